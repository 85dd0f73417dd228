//! The oracle: a fleet that is never killed and notes what it sent and what it was promised, and a judge
//! who compares that with the journal, the tables and the webhook (CONTRACTS of the journal: what an
//! answer or PUBACK promised is there, counts once, and nothing else is there).

use super::sink::Sink;
use super::sockets::Sockets;
use crate::harness::{PATIENCE, Up};
use rideguard::domain::Profile;
use rideguard::protocol;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// A fleet at work and its notes.
pub struct Oracle {
    fleet: Child,
    notes: PathBuf,
    /// Trackers at the door without MQTT, if it has ports for them.
    sockets: Sockets,
    /// Apart from what is broken: its disk is never full.
    _folder: tempfile::TempDir,
}

/// What binds us, by SHA-256 of the payload.
#[derive(Default)]
pub struct Notes {
    pub sent: BTreeSet<String>,
    /// Sent, too, and answered before it is kept: a log-in.
    pub at_once: BTreeSet<String>,
    /// Milliseconds since 1970 of the broker's PUBACK.
    pub acknowledged: BTreeMap<String, i64>,
    /// Our own answer, or that of the door to a frame: binds whatever happens to the broker.
    pub answered: BTreeSet<String>,
    /// When a message was sent, milliseconds since 1970, and how long its answer took.
    pub answers_ms: Vec<(i64, i64)>,
}

impl Oracle {
    /// Starts a fleet whose first vehicle is stolen after 14 s.
    pub fn start(up: &Up, seed: u64, vehicles: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes.jsonl");
        let own =
            [format!("--vehicles={vehicles}"), format!("--seed={seed}"), format!("--acknowledged={}", notes.display())];
        let fixed = ["--parked-interval-s=0.5", "--moving-interval-s=0.5"];
        let staged = ["--theft-vehicle=yy000001", "--theft-after-s=14"];
        let args: Vec<&str> =
            own.iter().map(String::as_str).chain(fixed).chain(staged).chain(more.iter().copied()).collect();
        Self { fleet: up.fleet(&args), notes, sockets: Sockets::start(up, seed), _folder: folder }
    }

    /// Lets it finish what it has begun; returns its notes.
    pub async fn end(mut self) -> Notes {
        let pid = nix::unistd::Pid::from_raw(self.fleet.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM); // it may have ended
        // Elsewhere, for a proxy that it needs may work on this thread.
        let ending = tokio::task::spawn_blocking(move || {
            self.sockets.end();
            assert!(self.fleet.wait().unwrap().success());
            self
        });
        ending.await.unwrap().read()
    }

    /// Its notes so far.
    pub fn read(&self) -> Notes {
        let mut notes = read_notes(&self.notes);
        self.sockets.read_into(&mut notes);
        notes
    }
}

/// Notes that a fleet has written so far.
pub fn read_notes(path: &std::path::Path) -> Notes {
    let (mut notes, mut sent_at_ms) = (Notes::default(), BTreeMap::new());
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue }; // being written
        let payload = line["payload_sha256"].as_str().unwrap().to_owned();
        if let Some(at) = line["puback_at_ms"].as_i64() {
            notes.acknowledged.insert(payload, at);
        } else if let Some(at) = line["answered_at_ms"].as_i64() {
            notes.answers_ms.extend(sent_at_ms.get(&payload).map(|sent| (*sent, at - sent)));
            notes.answered.insert(payload);
        } else {
            sent_at_ms.extend(line["sent_at_ms"].as_i64().map(|at| (payload.clone(), at)));
            notes.sent.insert(payload);
        }
    }
    notes
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.fleet.kill();
        let _ = self.fleet.wait();
    }
}

/// What a judge found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub obligations: usize,
    pub answered: usize,
    pub lost: usize,
    /// Stored twice, told twice under two names, or a row too many.
    pub duplicated: usize,
    /// In the journal or the tables without having been sent.
    pub invented: usize,
    /// From the call until everything was there and counted.
    pub healthy_after: Duration,
}

/// Waits until everything promised is in the journal and nothing is pending, then judges packets and the one theft.
/// `binds_from_ms`: a broker that died has taken what it acknowledged before with it; our answers bind always, and so does each
/// PUBACK of the door. Without a
/// sink the webhook is the demonstration's own, which keeps no list.
pub async fn judge(up: &Up, notes: &Notes, binds_from_ms: i64, sink: Option<&Sink>) -> Verdict {
    let mut verdict = judge_packets(up, notes, binds_from_ms).await;
    judge_alerts(up, sink, &mut verdict).await;
    verdict
}

/// The same of packets alone, where the theft may not have been played to its end.
pub async fn judge_packets(up: &Up, notes: &Notes, binds_from_ms: i64) -> Verdict {
    let since = Instant::now();
    let binds_from_ms = if up.door_port().is_some() { 0 } else { binds_from_ms };
    let broker_bound = notes.acknowledged.iter().filter(|(_, at)| **at >= binds_from_ms).map(|(p, _)| p);
    let promised: BTreeSet<&String> = broker_bound.chain(&notes.answered).collect();
    let mut journal = read_journal(up);
    let is_whole = |journal: &Journal| {
        let is_applied = journal.outcomes.values().flatten().all(|o| o != "pending");
        is_applied && promised.iter().all(|p| journal.outcomes.contains_key(*p))
    };
    while !is_whole(&journal) && since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        journal = read_journal(up);
    }
    let mut verdict = Verdict { obligations: promised.len(), answered: notes.answered.len(), ..Verdict::default() };
    verdict.healthy_after = since.elapsed();
    verdict.lost = promised.iter().filter(|p| !journal.outcomes.contains_key(**p)).count();
    for (payload, outcomes) in &journal.outcomes {
        let stored = outcomes.iter().filter(|o| *o == "stored").count();
        verdict.lost += usize::from(stored == 0);
        let surplus = if journal.timeless.contains(payload) { 0 } else { stored.saturating_sub(1) };
        verdict.duplicated += surplus;
        verdict.invented += usize::from(!notes.sent.contains(payload) && !notes.at_once.contains(payload));
    }
    // Positions: those of the journal, each once.
    let fixes = journal.fixes.len() as i64;
    let rows = up.count("SELECT (SELECT count(*) FROM fix) + (SELECT count(*) FROM fix_late)").await;
    verdict.lost += usize::try_from(fixes - rows).unwrap_or(0);
    verdict.duplicated += usize::try_from(rows - fixes).unwrap_or(0);
    for check in [up.command(&["verify"]), up.command(&["rebuild", "--check"])] {
        assert!(
            check.status.success(),
            "{}{}",
            String::from_utf8_lossy(&check.stdout),
            String::from_utf8_lossy(&check.stderr)
        );
    }
    verdict
}

/// One theft is one incident with one alert that it has moved, and its owner was told of each waking alert
/// under one name.
async fn judge_alerts(up: &Up, sink: Option<&Sink>, verdict: &mut Verdict) {
    up.wait_for("SELECT count(*) FROM alert WHERE kind = 'moved'", 1).await;
    // A claim of a worker that was killed holds for 30 s; then another sends.
    let due = "SELECT (count(*) = 0)::int::bigint FROM outbox WHERE state <> 'done'";
    up.wait_for(due, 1).await;
    let surplus = |found: i64| usize::try_from(found - 1).unwrap_or(0);
    verdict.duplicated += surplus(up.count("SELECT count(*) FROM incident").await);
    verdict.duplicated += surplus(up.count("SELECT count(*) FROM alert WHERE kind = 'moved'").await);
    let Some(sink) = sink else { return };
    let (owed, deliveries) = (up.count("SELECT count(*) FROM outbox").await as usize, sink.deliveries());
    verdict.lost += owed.saturating_sub(deliveries.len());
    verdict.invented += deliveries.len().saturating_sub(owed);
}

impl Verdict {
    /// Nothing lost, nothing twice, nothing invented; and there was something to lose.
    pub fn must_be_clean(&self) {
        assert!(self.obligations > 200, "only {} messages bind us: {self:?}", self.obligations);
        assert_eq!((self.lost, self.duplicated, self.invented), (0, 0, 0), "{self:?}");
    }
}

#[derive(Default)]
struct Journal {
    /// SHA-256 of each payload → what became of it, as often as it stands there.
    outcomes: BTreeMap<String, Vec<String>>,
    /// Payloads that say no time, as a log-in: each counts.
    timeless: BTreeSet<String>,
    /// The fixes in it: topic, time, position. A second has room for several, but not for the same twice.
    fixes: BTreeSet<(String, i64, u64, u64)>,
}

fn read_journal(up: &Up) -> Journal {
    let output = up.command(&["journal"]);
    let mut journal = Journal::default();
    if !output.status.success() {
        return journal; // the database is on its way up
    }
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (topic, payload) = (row["topic"].as_str().unwrap(), hex::decode(row["payload"].as_str().unwrap()).unwrap());
        let language = match &payload[..] {
            [b'{', ..] => "json",
            [b'x', b'x', ..] => "gt06",
            [b'*', ..] => "h02",
            [0, 0, 0, 0, ..] => "teltonika",
            _ => "jt808",
        };
        let report = protocol::decode(&Profile::of(language), &payload).unwrap();
        for fix in report.moments.iter().flat_map(|m| &m.fix) {
            let position = (fix.position.lat_deg.to_bits(), fix.position.lon_deg.to_bits());
            journal.fixes.insert((topic.to_owned(), fix.fixed_at.unwrap().micros(), position.0, position.1));
        }
        let name = hex::encode(Sha256::digest(&payload));
        if report.moments.is_empty() {
            journal.timeless.insert(name.clone());
        }
        let outcomes = journal.outcomes.entry(name).or_default();
        outcomes.push(row["outcome"].as_str().unwrap().to_owned());
    }
    journal
}
