//! The rollup on a real PostgreSQL: whatever was hot is there afterwards, once, whatever happens on the way.

use crate::harness::Database;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::clock::now;
use rideguard::domain::{Timestamp, TrackerKey};
use rideguard::rollup::{Rollup, last_closed};
use rideguard::store::tracks::clustering;
use rideguard::store::tracks::partitions;
use rideguard::store::tracks::rollup;
use rideguard::tracks::SegmentBody;
use std::time::Duration;
use tokio_postgres::Client;

/// Trackers 1 to 40 ride and stand for six hours that ended an hour ago: made in SQL, so that nothing of
/// the program under test takes part. Every seventh fix is held back in `held`.
pub const LIFE: &str = "
    CREATE TABLE told AS
    SELECT t::bigint AS tracker_id, start + s * interval '20 seconds' + t * interval '1 second' AS fixed_at,
        round((112.355 + t * 0.002 + CASE WHEN riding THEN (s % 90) * 0.0006 ELSE 0.0001 * random() END)::numeric, 6)::float8 AS lon,
        round((28.554 + t * 0.001 + CASE WHEN riding THEN (s % 90) * 0.0002 ELSE 0.0001 * random() END)::numeric, 6)::float8 AS lat,
        CASE WHEN riding THEN 25.5 ELSE 0 END AS speed, (t * 31 + s) % 7 = 0 AS held
    FROM (SELECT date_trunc('hour', now() - interval '8 hours') AS start) b, generate_series(1, 40) t, generate_series(0, 1079) s,
        LATERAL (SELECT (s / 90 + t) % 3 = 0 AS riding) r
    WHERE riding OR s % 9 = 0;
    CREATE FUNCTION hear(is_held boolean) RETURNS void LANGUAGE sql AS $$
        WITH heard AS (SELECT *, row_number() OVER (PARTITION BY tracker_id, date_bin('15 minutes', fixed_at, 'epoch'), speed > 0,
            floor((lon + 180) * cells), floor((lat + 90) * cells) ORDER BY fixed_at) = 1 AS footprint
            FROM told, LATERAL (SELECT CASE WHEN speed > 0 THEN 250 ELSE 500 END AS cells) c WHERE held = is_held)
        INSERT INTO fix SELECT tracker_id, fixed_at, hashtext(lon::text || lat::text), fixed_at + interval '1 second', tracker_id + 1000,
            speed, 90, NULL, 5, 9, 0, CASE WHEN NOT footprint THEN 0 WHEN speed > 0 THEN 4096 ELSE 4096 | 8192 END, ST_SetSRID(ST_MakePoint(lon, lat), 4326) FROM heard WHERE NOT is_held;
        WITH heard AS (SELECT * FROM told WHERE held = is_held)
        INSERT INTO fix_late SELECT tracker_id, fixed_at, hashtext(lon::text || lat::text), now() - interval '1 hour', tracker_id + 1000,
            speed, 90, NULL, 5, 9, 0, 1, ST_SetSRID(ST_MakePoint(lon, lat), 4326) FROM heard WHERE is_held;
    $$;";

/// Fixes told and not there, there and not told, there twice, and farther from their place than a dwell allows.
const DIFFERENCE: &str = "
    WITH kept AS (SELECT tracker_id, fixed_at, position FROM fix_all),
    told AS (SELECT tracker_id, fixed_at, ST_SetSRID(ST_MakePoint(lon, lat), 4326) AS position FROM told WHERE held <= $1)
    SELECT (SELECT count(*) FROM told WHERE NOT EXISTS (SELECT FROM kept k WHERE (k.tracker_id, k.fixed_at) = (told.tracker_id, told.fixed_at))),
        (SELECT count(*) FROM kept WHERE NOT EXISTS (SELECT FROM told t WHERE (t.tracker_id, t.fixed_at) = (kept.tracker_id, kept.fixed_at))),
        (SELECT count(*) FROM (SELECT FROM kept GROUP BY tracker_id, fixed_at HAVING count(*) > 1) d),
        (SELECT count(*) FROM kept JOIN told USING (tracker_id, fixed_at) WHERE ST_Distance(kept.position::geography, told.position::geography) > 25.2)";

pub async fn assert_same(client: &Client, with_held: bool, when: &str) {
    let row = client.query_one(DIFFERENCE, &[&with_held]).await.unwrap();
    let found: Vec<i64> = (0..4).map(|i| row.get(i)).collect();
    assert_eq!(found, [0, 0, 0, 0], "{when}: missing, extra, doubled, displaced");
}

/// Map programs get lines and points without a third number, which is a speed and no height.
pub async fn shapes_are_flat(client: &Client) {
    let kinds = "SELECT count(DISTINCT kind) FROM track_shape";
    let odd = "SELECT count(*) FROM track_shape WHERE ST_Zmflag(shape) <> 0 OR ST_SRID(shape) <> 4326";
    assert_eq!((count(client, kinds).await, count(client, odd).await), (2, 0));
}

async fn count(client: &Client, question: &str) -> i64 {
    client.query_one(question, &[]).await.unwrap().get(0)
}

/// A rollup that takes over: the lock of one that was killed is free a moment after its end.
pub async fn lead(database: &Database) -> Rollup {
    loop {
        if let Some(rollup) = Rollup::lead(database.rollup().await).await.unwrap() {
            return rollup;
        }
        tokio::task::yield_now().await;
    }
}

pub async fn roll_everything(rollup: &mut Rollup, to: Timestamp) -> anyhow::Result<()> {
    rollup.close(to).await?;
    while rollup.roll_next().await?.is_some() {}
    while rollup.merge_late(0.0).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn days_that_only_grow_are_not_vacuumed_for_growing() {
    let (_database, client) = crate::questions::city().await;
    let others =
        "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'fix'::regclass
        AND coalesce(NOT 'autovacuum_vacuum_insert_threshold=-1' = ANY (c.reloptions), true)";
    assert_eq!(count(&client, others).await, 0);
    assert!(count(&client, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'fix'::regclass").await > 3);
}

#[tokio::test]
async fn what_was_hot_is_there_once_after_rolling_up_merging_and_dropping() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.batch_execute(LIFE).await.unwrap();
    client.execute("SELECT hear(false)", &[]).await.unwrap();
    let mut rollup = lead(&database).await;
    assert_same(&client, false, "hot").await;
    roll_everything(&mut rollup, last_closed(now(), 3600 * 4)).await.unwrap();
    assert_same(&client, false, "half of it pieces").await;
    let last = rollup.marks().rolled_to.plus_secs_f64(-1.0);
    assert_eq!(partitions::summarize(&client, last).await.unwrap(), 0, "the index by time knows what was rolled up");
    assert!(count(&client, "SELECT count(*) FROM track WHERE kind = 1").await > 100);
    client.execute("SELECT hear(true)", &[]).await.unwrap();
    assert_same(&client, true, "late ones wait").await;
    roll_everything(&mut rollup, last_closed(now(), 300)).await.unwrap();
    assert_same(&client, true, "late ones are merged").await;
    assert_eq!(count(&client, "SELECT count(*) FROM fix_late").await, 0);
    assert!(count(&client, "SELECT count(*) FROM track WHERE kind = 2").await > 40);
    assert!(count(&client, "SELECT sum(fixes)::bigint FROM traffic").await > 1000);
    // The same late fixes again change nothing.
    client.execute("SELECT hear(true)", &[]).await.unwrap();
    while rollup.merge_late(0.0).await.unwrap() > 0 {}
    assert_same(&client, true, "late ones came again").await;
    // An old hot day that is pieces goes, and a detach that was interrupted is finished.
    let attached = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'fix'::regclass";
    let before = count(&client, attached).await;
    partitions::release(&database.rollup().await, 1).await.unwrap();
    assert!(count(&client, attached).await < before);
    assert_same(&client, true, "old days are dropped").await;
    assert_eq!(
        count(
            &client,
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^fix_[0-9]{8}$' AND NOT relispartition"
        )
        .await,
        0
    );
}

/// One end of the rollup at a random place, again and again: the backend is terminated while it works.
async fn kill_and_check(seed: u64, kills: usize) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let database = Database::start().await;
    let client = database.connect().await;
    client.batch_execute(LIFE).await.unwrap();
    client.execute("SELECT hear(false)", &[]).await.unwrap();
    client.execute("SELECT hear(true)", &[]).await.unwrap();
    let end = last_closed(now(), 300);
    let (mut ended_early, mut busy) = (0, 0);
    // Somewhere in the time that it would take, however fast the machine is: as long as the last that came to its end.
    let mut takes = std::time::Duration::from_millis(60);
    for kill in 0..kills {
        let mut rollup = lead(&database).await;
        // Each tenure may close one slice in `kills` parts of the time more.
        let to = last_closed(end, 27_000 * (kills - 1 - kill) as u64 / kills as u64);
        let is_busy = rollup.marks().rolled_to < to;
        busy += usize::from(is_busy);
        let mut work = std::pin::pin!(roll_everything(&mut rollup, to));
        let (begun, wait) = (std::time::Instant::now(), takes.mul_f64(random.random_range(0.0..1.0)));
        if tokio::time::timeout(wait, &mut work).await.is_err() {
            let ended =
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'rideguard_rollup'";
            database.superuser().await.query_one(ended, &[]).await.unwrap();
            ended_early += usize::from(work.await.is_err() && is_busy);
            takes = takes.mul_f64(1.1);
        } else if is_busy {
            takes = begun.elapsed();
        }
        assert_same(&client, true, &format!("after kill {kill}")).await;
    }
    println!("{ended_early} of {kills} kills met it at work, which there was {busy} times");
    assert!(ended_early * 2 > busy, "only {ended_early} of {busy} kills met it at work");
    roll_everything(&mut lead(&database).await, end).await.unwrap();
    assert_same(&client, true, "at the end").await;
    assert_eq!(count(&client, "SELECT count(*) FROM fix_late").await, 0);
    let marks = rollup::marks(&client).await.unwrap();
    assert_eq!((marks.rolled_to, marks.closing_to), (end, end));
}

#[tokio::test]
async fn a_rollup_that_is_killed_anywhere_loses_and_doubles_nothing() {
    kill_and_check(rand::random(), 6).await;
}

#[tokio::test]
#[ignore = "the many-kills kind"]
async fn a_rollup_that_is_killed_a_hundred_times_loses_and_doubles_nothing() {
    kill_and_check(rand::random(), 100).await;
}

#[tokio::test]
async fn only_one_leads_and_a_closed_slice_sends_its_late_fixes_aside() {
    let database = Database::start().await;
    let client = database.connect().await;
    let mut rollup = lead(&database).await;
    assert!(Rollup::lead(database.rollup().await).await.unwrap().is_none(), "a second one waits");
    rollup.close(last_closed(now(), 300)).await.unwrap();
    // A lane that would copy a fix of a closed slice into the hot table is told so, with our code.
    client.execute("UPDATE lane SET fence = 1 WHERE lane = 0", &[]).await.unwrap();
    let advance = "SELECT lane_advance(0::smallint, 1, 10, 1, 1, 0, 0, now() - $1 * interval '1 minute')";
    let refused = client.execute(advance, &[&60.0]).await.unwrap_err();
    assert_eq!(refused.code().map(|c| c.code()), Some("P0411"));
    client.execute(advance, &[&0.0]).await.unwrap();
    // Slices are closed only between batches: a lane at work holds it up, and its fixes are in time.
    client.batch_execute("BEGIN; SELECT lane_advance(0::smallint, 1, 10, 2, 1, 0, 0, now())").await.unwrap();
    let other = database.connect().await;
    let closing = tokio::spawn(async move {
        let mut rollup = rollup;
        rollup.close(now()).await.map(|()| rollup.marks().closing_to)
    });
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM lane ORDER BY%'";
    while count(&other, waits).await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    client.batch_execute("COMMIT").await.unwrap();
    assert!(closing.await.unwrap().unwrap() > last_closed(now(), 300));
}

#[tokio::test]
async fn whatever_is_odd_about_a_fix_its_piece_says_where_it_came_from() {
    let database = Database::start().await;
    let mut client = database.connect().await;
    client.batch_execute(LIFE).await.unwrap();
    client.batch_execute("SELECT hear(false); UPDATE fix SET flags = flags | 256 | 512 | 1024 | 2048").await.unwrap();
    roll_everything(&mut lead(&database).await, last_closed(now(), 300)).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let (from, to) = (now().plus_secs_f64(-9.0 * 3600.0), now());
    let segments = rollup::segments_around(&transaction, TrackerKey(1), from, to).await.unwrap();
    let fixes = segments.iter().filter_map(|(segment, _)| match segment.read().unwrap() {
        SegmentBody::Ride(fixes) => Some(fixes),
        SegmentBody::Dwell(_) => None,
    });
    let sources: Vec<u8> = fixes.flatten().map(|f| f.source).collect();
    assert!(sources.len() > 100 && sources.iter().all(|s| *s == 0), "{sources:?}");
}

#[tokio::test]
async fn the_times_of_a_dwell_are_read_in_the_database_as_well_in_both_forms() {
    let database = Database::start().await;
    let client = database.connect().await;
    let times = async |more: &[u8]| -> Vec<f64> {
        // Two corners at 0, 0 and nothing off them (TWKB, six places, Z and M).
        let sql = "SELECT extract(epoch FROM fixed_at)::float8 FROM piece_fixes(to_timestamp(1000), 2::smallint,
            '\\xc40803020000010000000000'::bytea, $1::bytea) ORDER BY 1";
        client.query(sql, &[&more]).await.unwrap().iter().map(|r| r.get(0)).collect()
    };
    let expected = [1000.0, 1060.0, 1121.0, 1180.0, 1240.0, 1250.0, 1261.0, 1270.0];
    // Differences of differences of times, zigzag, until 2026-11.
    assert_eq!(times(&[0, 0, 0, 0, 8, 120, 2, 3, 2, 99, 2, 3]).await, expected);
    // A pace of 60: 60, 61, 59; one of 60; a pace of 10 from here: 10, 11, 9.
    let triple = 2 * 25 + 3 * 5 + 1;
    let paced = [16, 0, 0, 0, 8, 120, triple, 125, 0x80 | 71, 2, triple]; // 128 + (99 << 1 | 1) in two bytes
    assert_eq!(times(&paced).await, expected);
}

/// What is kept of a day, in the order in which it lies there.
async fn lying(client: &Client, day: &str) -> Vec<String> {
    let rows = client.query(&format!("SELECT t::text FROM {day} t ORDER BY ctid"), &[]).await.unwrap();
    rows.iter().map(|r| r.get(0)).collect()
}

#[tokio::test]
async fn a_day_that_is_over_is_put_in_the_order_of_its_index_once_and_all_of_it_is_there() {
    let (database, client) = crate::questions::city().await;
    let today = "SELECT to_char(now() AT TIME ZONE 'UTC', '\"track_\"YYYYMMDD')";
    let today: String = client.query_one(today, &[]).await.unwrap().get(0);
    let (mut writer, night) = (database.rollup().await, database.rollup().await);
    while let Some(day) = clustering::cluster_next_day(&mut writer, &night).await.unwrap() {
        assert!(day < today, "{day} is not over");
    }
    // The same pieces, within one day of the week before.
    let from: Timestamp =
        client.query_one("SELECT date_trunc('day', now(), 'UTC') - interval '6 days'", &[]).await.unwrap().get(0);
    partitions::make_for(&client, "track", [from].into_iter()).await.unwrap();
    let shifted = "INSERT INTO track SELECT tracker_id, vehicle_id, from_at + ago, until_at + ago, kind, fixes, path, more, cell, east, north
        FROM track, (SELECT $1 - min(from_at) AS ago FROM track) s ORDER BY random()";
    client.execute(shifted, &[&from]).await.unwrap();
    let name = "SELECT to_char($1::timestamptz AT TIME ZONE 'UTC', '\"track_\"YYYYMMDD')";
    let day: String = client.query_one(name, &[&from]).await.unwrap().get(0);
    shapes_are_flat(&client).await;
    let all = "SELECT count(*) FROM fix_all";
    let (before, fixes) = (lying(&client, &day).await, count(&client, all).await);
    assert!(before.len() > 300, "{}", before.len());

    // Who reads for a while is let through, and it is tried again.
    let reader = database.connect().await;
    let rows = format!("SELECT FROM {day}");
    reader.batch_execute("BEGIN").await.unwrap();
    assert_eq!(reader.query(&rows, &[]).await.unwrap().len(), before.len());
    let watcher = database.connect().await;
    let reading = tokio::spawn(async move {
        let given_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while count(&watcher, given_up).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = reader.query(&rows, &[]).await.unwrap().len();
        reader.batch_execute("ROLLBACK").await.unwrap();
        read
    });
    // Who has begun before, and comes to that day when it is exchanged, sees its rows as well.
    let old = database.connect().await;
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM lane").await.unwrap();

    let mut ordered = Vec::new();
    while let Some(day) = clustering::cluster_next_day(&mut writer, &night).await.unwrap() {
        ordered.push(day);
    }
    assert!(ordered.contains(&day) && ordered.is_sorted_by(|a, b| a > b), "{ordered:?}, the newest first");
    assert_eq!(reading.await.unwrap(), before.len());
    assert_eq!(lying(&old, &day).await.len(), before.len());
    old.batch_execute("ROLLBACK").await.unwrap();
    let after = lying(&client, &day).await;
    let sorted = |mut rows: Vec<String>| {
        rows.sort_unstable();
        rows
    };
    assert_eq!(sorted(after), sorted(before), "the same rows");
    let places = format!(
        "SELECT count(*) FROM (SELECT (cell, from_at) < lag((cell, from_at)) OVER (ORDER BY ctid) AS back FROM {day}) t WHERE back"
    );
    assert_eq!(count(&client, &places).await, 0, "in the order of the index");
    assert_eq!(count(&client, all).await, fixes);
    let odd = format!("SELECT count(*) FROM pg_constraint WHERE conrelid = '{day}'::regclass AND contype = 'c'");
    assert_eq!(count(&client, &odd).await, 0);
    let indexes = format!(
        "SELECT count(*) FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indexrelid WHERE x.indrelid = '{day}'::regclass"
    );
    assert_eq!(count(&client, &indexes).await, 2, "its indexes are those of all days");
    // Days made later, late fixes and retention find what they look for.
    partitions::make_for(&client, "track", [from].into_iter()).await.unwrap();
    roll_everything(&mut lead(&database).await, last_closed(now(), 300)).await.unwrap();
    assert!(partitions::drop_days(&night, "track", "99991231", &[]).await.unwrap() > 3);
}
