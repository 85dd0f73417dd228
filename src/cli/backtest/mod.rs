//! `rideguard backtest`: what the guard would say with other parameters, before they go live.
//!
//! Recordings are read once and played to one guard for each set of parameters, so that all of them
//! see the same packets. With the truth beside it, the answers are scored and compared pairwise; over the
//! journal, they are compared with what was told.

mod journal;
pub mod scoring;
pub mod table;
pub mod variant;

use crate::cli::args::SettingsArgs;
use crate::cli::backtest::scoring::Truth;
use crate::cli::backtest::variant::{Answer, Variant};
use crate::cli::recording::{self, LeftOut};
use crate::domain::{Finding, VehicleId};
use crate::guard::Guard;
use anyhow::bail;
use clap::Parser;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flags of `backtest`.
#[derive(Parser)]
pub struct Args {
    /// A packets.jsonl[.gz], or a folder that holds one; may be given several times.
    #[arg(long, required_unless_present = "journal")]
    scenario: Vec<PathBuf>,
    /// Instead of recordings the journal of this deployment, against the alerts that it raised.
    #[arg(long, conflicts_with_all = ["scenario", "truth"])]
    journal: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// What really happened in each scenario, in the same order; without it alerts are only counted.
    #[arg(long)]
    truth: Vec<PathBuf>,
    /// Parameters as TOML or JSON; what a file leaves out keeps its default. May be given several times.
    #[arg(long)]
    params: Vec<PathBuf>,
    /// One parameter with the values to try: `exit.evidence_min=4,5.5,7`. May be given several times.
    #[arg(long)]
    vary: Vec<String>,
    /// Lists false alarms and thefts that were not noticed within a minute; over the journal, every difference.
    #[arg(long)]
    list: bool,
}

/// Runs `rideguard backtest`. Returns what of the recordings was left out.
///
/// # Errors
/// Names the file or the parameter that is wrong.
pub fn run(args: &Args) -> anyhow::Result<LeftOut> {
    if !args.truth.is_empty() && args.truth.len() != args.scenario.len() {
        bail!("{} truth files for {} scenarios; give one for each or none", args.truth.len(), args.scenario.len());
    }
    let variants = variant::all(&args.params, &args.vary)?;
    if args.journal {
        journal::run(&args.settings, &variants, args.list)?;
        return Ok(LeftOut::default());
    }
    let per_scenario = play_all(args, &variants)?;
    // Names of vehicles are only unique within a recording.
    let mut answers: Vec<Vec<(String, Answer)>> = variants.iter().map(|_| Vec::new()).collect();
    let mut left_out = LeftOut::default();
    for (scenario, left_out_here) in per_scenario {
        left_out += left_out_here;
        std::iter::zip(&mut answers, scenario).for_each(|(all, some)| all.extend(some));
    }
    let has_truth = !args.truth.is_empty();
    table::print(&variants, &answers, has_truth);
    if args.list && has_truth {
        table::list(&variants, &answers);
    }
    left_out.report();
    Ok(left_out)
}

/// Answers by variant, then by vehicle.
type Answers = Vec<BTreeMap<String, Answer>>;

/// Recordings are independent, and reading costs more than guarding: one thread each.
fn play_all(args: &Args, variants: &[Variant]) -> anyhow::Result<Vec<(Answers, LeftOut)>> {
    std::thread::scope(|scope| {
        let spawn = |(n, scenario): (usize, &'_ PathBuf)| {
            let (scenario, truth) = (scenario.clone(), args.truth.get(n).cloned());
            scope.spawn(move || play(&scenario, truth.as_deref(), variants))
        };
        let running: Vec<_> = args.scenario.iter().enumerate().map(spawn).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}

fn play(scenario: &Path, truth: Option<&Path>, variants: &[Variant]) -> anyhow::Result<(Answers, LeftOut)> {
    let truths = truth.map(scoring::truths).transpose()?.unwrap_or_default().0;
    let mut guards: Vec<Guard> = variants.iter().map(|v| Guard::new(v.params)).collect();
    let mut answers: Answers =
        variants.iter().map(|_| truths.keys().map(|v| (v.clone(), Answer::default())).collect()).collect();
    let left_out = recording::read(scenario, |name, vehicle: VehicleId, event| {
        for (guard, answers) in std::iter::zip(&mut guards, &mut answers) {
            for finding in event.play(guard, vehicle) {
                let Finding::Alert(alert) = finding else { continue };
                let answer = answers.entry(name.to_owned()).or_default();
                if alert.kind.wakes_owner() {
                    answer.woken.push((alert.raised_at.secs_f64(), alert.kind.name().to_owned()));
                } else {
                    answer.informed += 1;
                }
            }
        }
    })?;
    for (name, answer) in answers.iter_mut().flatten() {
        let woken: Vec<f64> = answer.woken.iter().map(|(t, _)| *t).collect();
        answer.score = truths.get(name).map(|t: &Truth| t.score(&woken)).unwrap_or_default();
    }
    Ok((answers, left_out))
}
