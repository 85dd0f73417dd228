//! Lanes: who works on which, and how far they are.
//!
//! A lease row names the owner and a fence. Every transaction locks the row and compares the
//! fence, so that nothing stale commits; a takeover ends the old backend first, because a paused
//! worker inside a COPY is stopped by no timeout.

use crate::domain::Lane;
use crate::engine::LaneState;
use crate::store::commit::statements::Statements;
use crate::store::journal;
use anyhow::{Context, bail};
use tokio_postgres::Client;

/// How long a lease holds without being renewed, seconds. Every commit renews it, and a tick comes every
/// 5 s; on a disk that needs 5 s for a commit two of those lie between renewals that others can see.
pub const LEASE_S: f64 = 20.0;

/// Our right to a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which lane.
    pub lane: Lane,
    /// The fence of this tenure.
    pub fence: i64,
}

impl Lease {
    /// What a failed statement means for the lease: the functions of the schema say when it is lost.
    pub(super) fn explain(self, error: tokio_postgres::Error) -> anyhow::Error {
        match error.code() {
            Some(code) if code.code() == "P0410" => LeaseLost(self.lane.0).into(),
            _ => error.into(),
        }
    }
}

/// How far a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The journal reaches to here.
    pub journaled: i64,
    /// Effects reach to here.
    pub applied: i64,
    /// Settings up to here are in the journal.
    pub setting_cursor: i64,
}

/// Why a lane could not be worked on.
#[derive(Debug, thiserror::Error)]
#[error("lane {0} is held by another worker now")]
pub struct LeaseLost(pub u16);

/// How long a worker that does not ask [`workers`] counts as alive, seconds.
const SILENCE_S: f64 = 10.0;

/// Purpose of the connection by which a worker shows itself.
pub fn presence(owner: &str) -> String {
    format!("worker {owner}")
}

/// How many workers are alive; asking shows the asker.
///
/// # Errors
/// The database's own word.
pub async fn workers(client: &Client) -> anyhow::Result<usize> {
    let row = client
        .query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name LIKE 'rideguard worker %' AND query_start > now() - make_interval(secs => $1)",
            &[&SILENCE_S],
        )
        .await?;
    Ok(usize::try_from(row.get::<_, i64>(0))?)
}

/// Takes a lane if its holder's lease has run out or its connection is gone; one that was given back
/// only if there is room for it in our share, or if nobody has wanted it for as long as a lease.
///
/// # Errors
/// The database's own word.
pub async fn take(
    client: &Client,
    lane: Lane,
    owner: &str,
    has_room: bool,
) -> anyhow::Result<Option<(Lease, Progress)>> {
    // Without a lock: a holder that was paused inside a transaction has the row locked, and who waits for
    // it there never learns that the lease has run out. The fence says below whether this still holds.
    let row = client
        .query_one(
            "SELECT l.owner, l.fence, l.backend_pid, l.lease_until < now(),
                    l.lease_until < now() - make_interval(secs => $2),
                    EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = l.backend_pid AND a.backend_start = l.backend_start)
             FROM lane l WHERE lane = $1",
            &[&(lane.0 as i16), &LEASE_S],
        )
        .await?;
    let (held_by, fence, backend): (Option<String>, i64, Option<i32>) = (row.get(0), row.get(1), row.get(2));
    let (expired, long_expired, alive): (bool, bool, bool) = (row.get(3), row.get(4), row.get(5));
    let is_free = match held_by {
        // A tenure of our own that a broken connection ended need not run out.
        Some(holder) => holder == owner || !alive || expired,
        None => has_room || long_expired,
    };
    if !is_free {
        return Ok(None);
    }
    if let Some(pid) = backend.filter(|_| alive) {
        client.execute("SELECT pg_terminate_backend($1, 5000)", &[&pid]).await?;
    }
    let row = client
        .query_opt(
            "UPDATE lane SET owner = $2, fence = fence + 1, lease_until = now() + make_interval(secs => $3),
                    backend_pid = pg_backend_pid(),
                    backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
             WHERE lane = $1 AND fence = $4 RETURNING fence, journaled, applied, setting_cursor",
            &[&(lane.0 as i16), &owner, &LEASE_S, &fence],
        )
        .await?;
    Ok(row.map(|row| {
        let progress = Progress { journaled: row.get(1), applied: row.get(2), setting_cursor: row.get(3) };
        (Lease { lane, fence: row.get(0) }, progress)
    }))
}

/// Gives a lane back, so that nobody has to wait for the lease to run out.
///
/// # Errors
/// The database's own word.
pub async fn give_back(client: &Client, lease: Lease) -> anyhow::Result<()> {
    client
        .execute(
            "UPDATE lane SET owner = NULL, lease_until = now(), backend_pid = NULL WHERE lane = $1 AND fence = $2",
            &[&(lease.lane.0 as i16), &lease.fence],
        )
        .await?;
    Ok(())
}

/// Commit 1: the batch is in the journal. One statement, so one round trip.
///
/// # Errors
/// [`LeaseLost`], or the database's own word.
pub async fn commit_journal(
    client: &Client,
    statements: &Statements,
    lease: Lease,
    append: &journal::JournalAppend<'_>,
) -> anyhow::Result<()> {
    let row = journal::row::Row::of(append.entries)?;
    let (lane, n) = (lease.lane.0 as i16, append.n);
    let written = client
        .execute(
            &statements.journal,
            &[
                &lane,
                &n,
                &append.setting_cursor,
                &lease.fence,
                &LEASE_S,
                &row.first_at,
                &row.last_at,
                &row.count,
                &row.content,
                &append.handed_over,
            ],
        )
        .await?;
    if written == 1 {
        return Ok(());
    }
    let row = client.query_one("SELECT fence, journaled FROM lane WHERE lane = $1", &[&lane]).await?;
    if row.get::<_, i64>(0) != lease.fence {
        return Err(LeaseLost(lease.lane.0).into());
    }
    bail!("lane {lane} has journaled up to {}, we were about to write {n}", row.get::<_, i64>(1));
}

/// Writes a checkpoint and forgets all but the last two.
///
/// # Errors
/// [`LeaseLost`], or the database's own word.
pub async fn write_checkpoint(client: &mut Client, lease: Lease, n: i64, state: &LaneState) -> anyhow::Result<usize> {
    let bytes = journal::pack_any(state)?;
    let transaction = client.transaction().await?;
    let lane = lease.lane.0 as i16;
    transaction
        .execute("SELECT lane_renew($1, $2, $3)", &[&lane, &lease.fence, &LEASE_S])
        .await
        .map_err(|e| lease.explain(e))?;
    transaction
        .execute(
            "INSERT INTO checkpoint (lane, n, state) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[&lane, &n, &bytes],
        )
        .await?;
    transaction
        .execute(
            "DELETE FROM checkpoint WHERE lane = $1 AND n NOT IN (SELECT n FROM checkpoint WHERE lane = $1 ORDER BY n DESC LIMIT 2)",
            &[&lane],
        )
        .await?;
    transaction.commit().await?;
    Ok(bytes.len())
}

/// The newest checkpoint of a lane at or before `applied`. One that this program cannot read is
/// passed over: then more of the journal is folded again.
///
/// # Errors
/// The database's own word.
pub async fn read_checkpoint(client: &Client, lane: Lane, applied: i64) -> anyhow::Result<(i64, LaneState)> {
    let rows = client
        .query(
            "SELECT n, state FROM checkpoint WHERE lane = $1 AND n <= $2 ORDER BY n DESC",
            &[&(lane.0 as i16), &applied],
        )
        .await?;
    for row in rows {
        let n: i64 = row.get(0);
        match journal::unpack_any::<LaneState>(row.get(1)).with_context(|| format!("checkpoint {n} of lane {}", lane.0))
        {
            Ok(state) => return Ok((n, state)),
            Err(error) => {
                tracing::warn!(lane = lane.0, error = %format!("{error:#}"), "Checkpoint is corrupt; recovering from an earlier one")
            }
        }
    }
    Ok((0, LaneState::default()))
}
