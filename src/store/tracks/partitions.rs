//! Partitions by day: made ahead, dropped when their rows are stored as segments.
//!
//! Every change has a lock timeout: behind one long question it would otherwise stop every writer.

use crate::domain::Timestamp;
use std::collections::BTreeSet;
use tokio_postgres::{Client, Error, GenericClient};

/// Days made ahead: a weekend without the rollup costs nothing.
const AHEAD_DAYS: i32 = 3;
/// A day, microseconds.
const DAY_US: i64 = 86_400_000_000;

/// Creates what is missing: hot days from `hot_days` ago, and days of segments, to some days ahead.
///
/// # Errors
/// The database's own word.
pub async fn make(client: &Client, hot_days: u32) -> Result<i32, Error> {
    let days = i32::try_from(hot_days).unwrap_or(i32::MAX);
    let sql = "SELECT make_partitions('fix', array_agg(d) FILTER (WHERE d >= today - $1::int)) + make_partitions('track', array_agg(d))
        FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) t, LATERAL (SELECT today + n AS d FROM generate_series(-$1::int, $2::int) n) d";
    Ok(client.query_one(sql, &[&days, &AHEAD_DAYS]).await?.get(0))
}

/// Creates the days of the times given, of `fix` or of `track`.
///
/// # Errors
/// The database's own word.
pub async fn make_for(
    client: &impl GenericClient,
    table: &str,
    times: impl Iterator<Item = Timestamp>,
) -> Result<i32, Error> {
    let days: BTreeSet<i64> = times.map(|t| t.micros().div_euclid(DAY_US)).collect();
    let days: Vec<_> = days.into_iter().map(|d| Timestamp::from_micros(d * DAY_US)).collect();
    if days.is_empty() {
        return Ok(0);
    }
    let sql = "SELECT make_partitions($1, array_agg((t AT TIME ZONE 'UTC')::date)) FROM unnest($2::timestamptz[]) t";
    Ok(client.query_one(sql, &[&table, &days]).await?.get(0))
}

/// Notes where the hot fixes written last lie in time, in the index of the day of `at`; says how many stretches of the
/// table were new to it. PostgreSQL notes it by itself, but a minute later or, after a load, never; until then every
/// question about a quarter of an hour reads all that is new.
///
/// # Errors
/// The database's own word; a lock that somebody holds for longer among them.
pub async fn summarize(client: &Client, at: Timestamp) -> Result<i64, Error> {
    let sql = "SELECT summarize_hot_day($1)";
    Ok(client.query_one(sql, &[&at]).await?.get(0))
}

/// Drops hot days that lie `hot_days` back and are segments through and through; says how many.
/// The mark goes first: nothing reads or writes those days afterwards, wherever this is interrupted.
///
/// # Errors
/// The database's own word; the next call goes on where this one stopped.
pub async fn release(client: &Client, hot_days: u32) -> Result<usize, Error> {
    let days = i32::try_from(hot_days).unwrap_or(i32::MAX);
    client
        .execute(
            "UPDATE rollup_mark SET released_to = goal FROM (
                SELECT least(date_trunc('day', rolled_to, 'UTC'), date_trunc('day', now(), 'UTC') - make_interval(days => $1)) AS goal FROM rollup_mark) g
             WHERE goal > released_to AND rolled_to > '-infinity'",
            &[&days],
        )
        .await?;
    let Some(before) = client
        .query_one(
            "SELECT to_char(nullif(released_to, '-infinity') AT TIME ZONE 'UTC', 'YYYYMMDD') FROM rollup_mark",
            &[],
        )
        .await?
        .get::<_, Option<String>>(0)
    else {
        return Ok(0);
    };
    drop_days(client, "fix", &before, &[]).await
}

/// Drops the days of `fix` or `track` before a day (`YYYYMMDD`), those in `kept` apart; says how many. One transaction each;
/// who writes waits for a fifth of a second at most, and a day that somebody asks without a pause stays until the next call.
///
/// # Errors
/// The database's own word; the next call goes on where this one stopped.
pub async fn drop_days(client: &Client, table: &str, before: &str, kept: &[String]) -> Result<usize, Error> {
    // Detached ones, too: a program of before may have been ended between the two.
    let days = client
        .query(
            "SELECT c.relname::text FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
                AND c.relname ~ ('^' || $1::text || '_[0-9]{8}$') AND right(c.relname, 8) < $2 AND c.relname <> ALL ($3) ORDER BY 1",
            &[&table, &before, &kept],
        )
        .await?;
    for day in &days {
        client.execute("SELECT drop_day($1, $2)", &[&table, &day.get::<_, String>(0)]).await?;
    }
    Ok(days.len())
}
