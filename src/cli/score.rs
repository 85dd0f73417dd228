//! `rideguard score`: the alerts that a deployment told, against what really happened.

use crate::cli::args::SettingsArgs;
use crate::cli::backtest::scoring::{Played, Truth, truths};
use crate::cli::backtest::table;
use crate::cli::backtest::variant::{Answer, Variant};
use crate::cli::block_on;
use crate::cli::database::connect;
use crate::domain::Timestamp;
use crate::guard::Params;
use crate::store::rebuild::history::{SentAlerts, told_of_trackers};
use anyhow::Context;
use clap::Parser;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Flags of `score`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// What really happened, as `simulator city --truth` writes it; vehicles by the idents of their trackers.
    #[arg(long)]
    truth: PathBuf,
    /// Also writes the alerts as JSON lines, as `rideguard replay` does.
    #[arg(long)]
    alerts: Option<PathBuf>,
    /// Lists false alarms and thefts that were not noticed within a minute.
    #[arg(long)]
    list: bool,
}

/// Runs `rideguard score`.
///
/// # Errors
/// Names the file that is wrong, or the database's own word.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (truths, played) = truths(&args.truth)?;
    let told = block_on(async {
        let (_, client) = connect(&args.settings).await?;
        let since = played.map_or(Timestamp::default(), |p| Timestamp::from_secs_f64(p.began));
        Ok(told_of_trackers(&client, since).await?)
    })?;
    let told = told.iter().map(|t| (t, played.map_or(t.raised_at.secs_f64(), |p| citys_time_s(t, p))));
    if let Some(path) = &args.alerts {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        for (alert, t) in told.clone() {
            writeln!(file, "{}", json!({ "vehicle": alert.ident, "t": t, "kind": alert.kind, "late": alert.late }))?;
        }
        file.flush()?;
    }
    let mut answers: BTreeMap<&str, Answer> = truths.keys().map(|name| (name.as_str(), Answer::default())).collect();
    for (alert, t) in told {
        let Some(answer) = answers.get_mut(alert.ident.as_str()) else { continue };
        if alert.wakes_owner {
            answer.woken.push((t, alert.kind.clone()));
        } else {
            answer.informed += 1;
        }
    }
    let score = |(name, mut answer): (&str, Answer)| {
        let woken: Vec<f64> = answer.woken.iter().map(|(t, _)| *t).collect();
        answer.score = truths.get(name).map_or_else(Default::default, |truth: &Truth| truth.score(&woken));
        (name.to_owned(), answer)
    };
    let answers: Vec<_> = answers.into_iter().map(score).collect();
    let variants = [Variant { name: "told".to_owned(), params: Params::default() }];
    table::print(&variants, std::slice::from_ref(&answers), true);
    if args.list {
        table::list(&variants, &[answers]);
    }
    Ok(())
}

/// When an alert was told, by the clock of a city that is played faster than life: the trackers tell its time, so the newest
/// fix that the alert rests on does. A deadline passes by our own clock.
fn citys_time_s(told: &SentAlerts, played: Played) -> f64 {
    let raised_s = told.raised_at.secs_f64();
    if played.speed == 1.0 {
        return raised_s;
    }
    let newest = told.newest_fix_at.filter(|_| !told.is_deadline).map(Timestamp::secs_f64);
    newest.unwrap_or(played.t0 + (raised_s - played.began) * played.speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_of_a_city_faster_than_life_has_the_citys_time() {
        let at = Timestamp::from_secs;
        let told = |newest_fix_at, is_deadline| SentAlerts {
            ident: "yy1".into(),
            kind: "moved".into(),
            wakes_owner: true,
            raised_at: at(1010),
            late: true,
            newest_fix_at,
            is_deadline,
        };
        let played = |speed| Played { t0: 500.0, began: 1000.0, speed };
        assert_eq!(citys_time_s(&told(Some(at(700)), false), played(60.0)), 700.0);
        assert_eq!(citys_time_s(&told(Some(at(700)), true), played(60.0)), 1100.0);
        assert_eq!(citys_time_s(&told(None, false), played(60.0)), 1100.0);
        assert_eq!(citys_time_s(&told(Some(at(700)), false), played(1.0)), 1010.0);
    }
}
