//! `rideguard replay`: runs a recording through the guard and writes what it says.
//!
//! Out: one JSON object a line, sorted by vehicle, then in the order of handling, so that a recording
//! grouped by vehicle and one merged over all vehicles give the same file.

use crate::cli::recording::{self, LeftOut};
use crate::domain::Finding;
use crate::guard::{Guard, Params};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Runs `rideguard replay`. Returns what of the recording was left out.
///
/// # Errors
/// Names the file that cannot be opened or written.
pub fn run(scenario: &Path, alerts: &Path) -> anyhow::Result<LeftOut> {
    let mut lines = BTreeMap::<String, Vec<String>>::new();
    let left_out = replay(scenario, Params::default(), |vehicle, finding| {
        if let Finding::Alert(alert) = finding {
            let line = serde_json::json!({
                "vehicle": vehicle, "t": alert.raised_at.secs_f64(), "kind": alert.kind.name(),
                "rule": alert.evidence.rule, "late": alert.late,
            });
            lines.entry(vehicle.to_owned()).or_default().push(line.to_string());
        }
    })?;
    let file = File::create(alerts).with_context(|| format!("cannot write {}", alerts.display()))?;
    let mut out = BufWriter::new(file);
    for line in lines.values().flatten() {
        writeln!(out, "{line}")?;
    }
    out.flush().with_context(|| format!("cannot write {}", alerts.display()))?;
    left_out.report();
    Ok(left_out)
}

/// Runs a recording through a guard; `tell` gets each finding with its vehicle's name, in the order
/// of handling. Returns what of the recording was left out.
///
/// # Errors
/// Names the file that cannot be opened.
pub fn replay(scenario: &Path, params: Params, mut tell: impl FnMut(&str, &Finding)) -> anyhow::Result<LeftOut> {
    let mut guard = Guard::new(params);
    recording::read(scenario, |name, vehicle, event| {
        for finding in event.play(&mut guard, vehicle) {
            tell(name, &finding);
        }
    })
}
