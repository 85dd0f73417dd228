//! A backtest over the journal: every lane folded again, once for each set of parameters, against what was told.

use crate::app;
use crate::cli::args::SettingsArgs;
use crate::cli::backtest::variant::Variant;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::domain::{Entry, Finding, Timestamp, VehicleId};
use crate::engine::{Effects, FoldSettings, LaneState};
use crate::store::archive::keys::KeyStore;
use crate::store::rebuild::history;
use crate::store::rebuild::history::Told;
use std::collections::{BTreeMap, BTreeSet};

const DAY_S: f64 = 86_400.0;

/// Runs it.
///
/// # Errors
/// The database is away, or a row is damaged.
pub fn run(settings: &SettingsArgs, variants: &[Variant], list: bool) -> anyhow::Result<()> {
    let (sent, refolded) = block_on(async {
        let (config, mut client) = connect(settings).await?;
        app::install_profiles(config.ingest.profiles_dir.as_deref())?;
        let settings = FoldSettings { max_fix_age_s: f64::from(config.ingest.max_fix_age_days) * DAY_S };
        let mut refolded = Refolded { settings, lane: Vec::new(), by_variant: Vec::new(), variants };
        refolded.by_variant.resize_with(variants.len(), Story::default);
        let sent = history::run(&mut client, &KeyStore::of(&config.journal), &mut refolded).await?;
        Ok((sent, refolded.by_variant))
    })?;
    say("variant | woken | per 1,000 armed vehicle-days | informed | told that was not | not told that was")?;
    for (variant, story) in std::iter::zip(variants, &refolded) {
        let (woken, days) = (story.woken, story.armed_days());
        say(format_args!(
            "{} | {woken} | {:.2} in {:.1} days | {} | {} | {}",
            variant.name,
            1_000.0 * woken as f64 / days.max(f64::MIN_POSITIVE),
            days,
            story.told.len() - woken,
            story.told.difference(&sent).count(),
            sent.difference(&story.told).count(),
        ))?;
    }
    if list {
        for (variant, story) in std::iter::zip(variants, &refolded) {
            let (more, less) = (story.told.difference(&sent), sent.difference(&story.told));
            for (sign, (vehicle, kind, at)) in more.map(|t| ('+', t)).chain(less.map(|t| ('-', t))) {
                say(format_args!("{}: {sign} vehicle {} {kind} {at}", variant.name, vehicle.0))?;
            }
        }
    }
    Ok(())
}

/// What one set of parameters makes of the journal.
#[derive(Default)]
struct Story {
    told: BTreeSet<Told>,
    woken: usize,
    armed_since: BTreeMap<VehicleId, Timestamp>,
    armed_s: f64,
    newest: Timestamp,
}

impl Story {
    fn hear(&mut self, at: Timestamp, effects: Effects) {
        self.newest = self.newest.max(at);
        for guard in effects.guards {
            if let Some(since) = self.armed_since.remove(&guard.vehicle) {
                self.armed_s += guard.since.max(since).seconds_since(since);
            }
            if guard.armed {
                self.armed_since.insert(guard.vehicle, guard.since);
            }
        }
        for finding in effects.findings {
            if let Finding::Alert(alert) = finding {
                let is_new = self.told.insert((alert.vehicle, alert.kind.name().to_owned(), alert.raised_at));
                self.woken += usize::from(is_new && alert.kind.wakes_owner());
            }
        }
    }

    /// Days in which vehicles were guarded; those that still are count until the journal's end.
    fn armed_days(&self) -> f64 {
        let open_s: f64 = self.armed_since.values().map(|since| self.newest.seconds_since(*since).max(0.0)).sum();
        (self.armed_s + open_s) / DAY_S
    }
}

/// A lane folded by all sets of parameters at once.
struct Refolded<'v> {
    settings: FoldSettings,
    variants: &'v [Variant],
    lane: Vec<LaneState>,
    by_variant: Vec<Story>,
}

impl history::Reader for Refolded<'_> {
    fn begin(&mut self, state: LaneState) {
        let with = |variant: &Variant| state.clone().with_params(variant.params);
        self.lane = self.variants.iter().map(with).collect();
    }

    fn read(&mut self, entry: &Entry) {
        for (state, story) in std::iter::zip(&mut self.lane, &mut self.by_variant) {
            story.hear(entry.at(), state.apply(entry, &self.settings));
        }
    }
}
