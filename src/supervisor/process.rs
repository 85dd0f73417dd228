//! A managed service's process: started apart from our terminal, adopted, stopped.

use crate::supervisor::data_dir::ServiceUser;
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process of ours, by its number.
pub struct Child {
    name: &'static str,
    pid: Pid,
    stop_signal: Signal,
    own: Option<std::process::Child>,
}

impl Child {
    /// Starts a program in a process group of its own, so that Ctrl-C reaches it through us only.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        service_user: Option<ServiceUser>,
        log: &Path,
        stop_signal: Signal,
    ) -> anyhow::Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
        Self::start_into(name, command, service_user, log, stop_signal)
    }

    /// The same, but what it says goes to `output`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_into(
        name: &'static str,
        command: &mut Command,
        service_user: Option<ServiceUser>,
        output: fs::File,
        stop_signal: Signal,
    ) -> anyhow::Result<Self> {
        if let Some(service_user) = service_user {
            command.uid(service_user.uid).gid(service_user.gid);
        }
        let own = command
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        let pid = Pid::from_raw(i32::try_from(own.id())?);
        Ok(Self { name, pid, stop_signal, own: Some(own) })
    }

    /// Takes over a process that an earlier run left behind, if its number is in `pid_file` and
    /// its command line names `marker`.
    pub fn adopt(name: &'static str, pid_file: &Path, marker: &str, stop_signal: Signal) -> Option<Self> {
        let pid: i32 = fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok()?;
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&command_line).contains(marker);
        (ours && is_running(Pid::from_raw(pid))).then(|| Self { name, pid: Pid::from_raw(pid), stop_signal, own: None })
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.own {
            Some(own) => matches!(own.try_wait(), Ok(None)),
            None => is_running(self.pid),
        }
    }

    /// Asks it to stop and waits; after `patience` it is killed.
    pub fn stop(&mut self, patience: Duration) {
        let since = Instant::now();
        let _ = kill(self.pid, self.stop_signal);
        while self.is_alive() {
            if since.elapsed() > patience {
                tracing::warn!("{} did not stop within {} s; killing it", self.name, patience.as_secs());
                let _ = kill(self.pid, Signal::SIGKILL);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }
}

/// Whether a process that is not our child runs. One that has ended may stand in the table for
/// ever where nobody reaps orphans (state Z in /proc/PID/stat, proc(5)).
fn is_running(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
