//! Processor time of processes.

/// User and system time of a process (proc(5), fields 14 and 15, in hundredths).
pub fn cpu_s(pid: u32) -> f64 {
    ticks(pid, 11) + ticks(pid, 12)
}

/// The same with that of every process it has started: those that are there, and those that have ended (fields 16 and 17).
pub fn with_children_s(pid: u32) -> f64 {
    cpu_s(pid) + ticks(pid, 13) + ticks(pid, 14) + children(pid).map(cpu_s).sum::<f64>()
}

/// The field of this number after the name, seconds.
fn ticks(pid: u32, field: usize) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(field).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default() / 100.0
}

/// The processes that a process has started.
fn children(parent: u32) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()).filter(move |pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        text.rsplit(')').next().and_then(|t| t.split_whitespace().nth(1)?.parse::<u32>().ok()) == Some(parent)
    })
}
