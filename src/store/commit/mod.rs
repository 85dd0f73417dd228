//! Commit 2: what followed from a batch, in one transaction with the lane's watermark.
//!
//! Its statements are sent in one breath and answered together, because a round trip costs more
//! than a batch of rows. The first of them checks the lease and fails if it is lost; PostgreSQL then
//! refuses the rest, and turns the COMMIT at the end into a rollback.

pub mod alerts;
pub(in crate::store) mod bisect;
pub mod fixes;
pub mod statements;
mod status;

use crate::domain::{Entry, Finding, Lane, Outcome, Timestamp};
use crate::engine::{Effects, FixRow};
use crate::failpoint::{self, Point};
use crate::store::commit::alerts::Written;
use crate::store::commit::fixes::{InsertMode, InsertModes};
use crate::store::commit::statements::Statements;
use crate::store::commit::status::Aside;
use crate::store::lane::{LEASE_S, Lease};
use std::ops::Range;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient};

/// A batch's effects, entry by entry.
pub struct Applied<'a> {
    /// Number of the journal row.
    pub n: i64,
    /// Each entry, and what followed.
    pub entries: Vec<(&'a Entry, Effects)>,
}

/// Some of a batch's entries, in a row.
#[derive(Clone, Copy)]
pub(in crate::store) struct Part<'p, 'a> {
    n: i64,
    /// Place of the first in the batch.
    first: usize,
    entries: &'p [(&'a Entry, Effects)],
}

impl<'a> Applied<'a> {
    pub(in crate::store) fn part(&self, range: Range<usize>) -> Part<'_, 'a> {
        Part { n: self.n, first: range.start, entries: &self.entries[range] }
    }

    fn whole(&self) -> Part<'_, 'a> {
        self.part(0..self.entries.len())
    }

    /// How many packets ended so.
    fn packets(&self, outcome: Outcome) -> i64 {
        let ended = self.entries.iter().filter(|(_, effects)| effects.outcome == Some(outcome));
        ended.map(|(entry, _)| entry.packets() as i64).sum()
    }

    fn outcomes(&self) -> Vec<u8> {
        self.entries.iter().map(|(_, e)| e.outcome.unwrap_or(Outcome::None) as u8).collect()
    }
}

impl<'p> Part<'p, '_> {
    fn effects(self) -> impl Iterator<Item = &'p Effects> + Clone {
        self.entries.iter().map(|(_, effects)| effects)
    }

    fn fixes(self) -> Vec<&'p FixRow> {
        let mut fixes: Vec<_> = self.effects().flat_map(|e| &e.fixes).collect();
        // As the key has them: a tracker's rows find their page of the index one after the other.
        fixes.sort_by_key(|f| (f.tracker.0, f.fixed_at));
        fixes
    }

    pub(in crate::store) fn findings(self) -> impl Iterator<Item = &'p Finding> {
        self.effects().flat_map(|e| &e.findings)
    }

    fn aside(self) -> Vec<Aside<'p>> {
        let entries = self.entries.iter().enumerate();
        let aside = entries.filter_map(|(i, (entry, effects))| {
            Aside::of(self.first + i, entry, effects.quarantined.as_ref().or(effects.left_over.as_ref())?)
        });
        aside.collect()
    }
}

/// Writes a batch's effects.
///
/// # Errors
/// [`crate::store::lane::LeaseLost`], or the database's own word.
pub async fn commit(
    client: &Client,
    statements: &Statements,
    modes: &mut InsertModes,
    lease: Lease,
    applied: &mut Applied<'_>,
) -> anyhow::Result<Vec<Written>> {
    let mode = modes.now();
    let tried = attempt(client, statements, modes, lease, applied).await;
    let written = match tried {
        Err(error) if mode == InsertMode::Copy && fixes::is_conflict(&error) => {
            modes.expect_duplicates();
            client.batch_execute("ROLLBACK").await?;
            attempt(client, statements, modes, lease, applied).await
        }
        tried => tried,
    };
    let written = match written {
        Err(error) if bisect::is_about_rows(&error) => {
            client.batch_execute("ROLLBACK").await?;
            bisect::commit(client, statements, lease, applied).await
        }
        written => written,
    };
    written.map_err(|e| lease.explain(e))
}

async fn attempt(
    client: &Client,
    statements: &Statements,
    modes: &mut InsertModes,
    lease: Lease,
    applied: &Applied<'_>,
) -> Result<Vec<Written>, Error> {
    let (mode, rows) = (modes.now(), applied.whole().fixes());
    let has_findings = applied.whole().findings().next().is_some();
    // Only what is copied must not be of a closed slice; the other mode sorts it out itself.
    let oldest = (mode == InsertMode::Copy).then(|| rows.iter().map(|r| r.fixed_at).min()).flatten();
    // Biased: each future sends its statement when it is first asked, so they go out in this order.
    let (begun, advanced, fixed, seen, committed) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        advance(client, statements, lease, applied, oldest),
        async {
            match mode {
                InsertMode::Copy => fixes::copy_parts(client, &statements.copy_fixes, &rows).await,
                InsertMode::Insert => fixes::insert(client, &statements.insert_fixes, &rows).await,
            }
        },
        write_seen(client, statements, lease.lane, applied.whole()),
        async { if has_findings { Ok(()) } else { client.batch_execute("COMMIT").await } },
    );
    // In the order in which they were sent: the first that failed is the reason.
    begun?;
    advanced?;
    let fixed = fixed?;
    seen?;
    committed?;
    modes.learn(rows.len(), fixed);
    let mut written = Vec::new();
    if has_findings {
        for finding in applied.whole().findings() {
            written.extend(alerts::write(client, statements, lease.lane, finding).await?);
        }
        failpoint::pass(Point::EffectsWritten);
        let notice = if written.is_empty() { "COMMIT" } else { "NOTIFY outbox; COMMIT" };
        client.batch_execute(notice).await?;
    }
    Ok(written)
}

/// The watermark with its counters, and what became of each entry: sent at once. `oldest`: the oldest
/// time that is copied.
pub(in crate::store) async fn advance(
    client: &Client,
    statements: &Statements,
    lease: Lease,
    applied: &Applied<'_>,
    oldest: Option<Timestamp>,
) -> Result<(), Error> {
    let outcomes = applied.outcomes();
    let [stored, duplicate, quarantined] =
        [Outcome::Stored, Outcome::Duplicate, Outcome::Quarantined].map(|outcome| applied.packets(outcome));
    let lane = lease.lane.0 as i16;
    let watermark: [&(dyn ToSql + Sync); 8] =
        [&lane, &lease.fence, &LEASE_S, &applied.n, &stored, &duplicate, &quarantined, &oldest];
    let judged: [&(dyn ToSql + Sync); 3] = [&lane, &applied.n, &outcomes];
    let (advanced, counted) = tokio::join!(
        biased;
        client.execute(&statements.advance, &watermark),
        client.execute(&statements.outcomes, &judged),
    );
    advanced?;
    counted?;
    Ok(())
}

/// Status, guards, quarantine: all sent at once.
async fn write_seen(
    client: &impl GenericClient,
    statements: &Statements,
    lane: Lane,
    part: Part<'_, '_>,
) -> Result<(), Error> {
    let aside = part.aside();
    let (put, tried, guarded, set_aside) = tokio::join!(
        biased;
        status::put(client, &statements.put_statuses, part.effects()),
        status::note_trial(client, &statements.note_trial, part.effects()),
        status::put_guards(client, &statements.put_guards, lane, part.effects().flat_map(|e| &e.guards)),
        status::set_aside(client, &statements.set_aside, (lane, part.n), &aside),
    );
    put.and(tried).and(guarded).and(set_aside)
}

/// Fixes, status, guards, quarantine of a part, without the watermark.
pub(in crate::store) async fn write_rows(
    client: &impl GenericClient,
    statements: &Statements,
    lane: Lane,
    part: Part<'_, '_>,
) -> Result<(), Error> {
    fixes::insert(client, &statements.insert_fixes, &part.fixes()).await?;
    write_seen(client, statements, lane, part).await
}
