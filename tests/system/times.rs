//! Times of one vehicle, tracker or owner never overlap, whoever writes them and at once.

use crate::harness::{Database, seed, use_ring};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Vehicles and trackers: few, so that their times meet.
const THINGS: i64 = 3;
/// Times that one session writes.
const WRITES: usize = 300;

/// Any two times of one thing that have a moment in common.
const OVERLAPS: &str = "SELECT count(*) FROM (
    SELECT tracker_id AS thing, 1 AS of, valid_from, valid_to, ctid FROM installation
    UNION ALL SELECT vehicle_id, 2, valid_from, valid_to, ctid FROM installation
    UNION ALL SELECT vehicle_id, 3, valid_from, valid_to, ctid FROM ownership) a
    JOIN (SELECT tracker_id AS thing, 1 AS of, valid_from, valid_to, ctid FROM installation
    UNION ALL SELECT vehicle_id, 2, valid_from, valid_to, ctid FROM installation
    UNION ALL SELECT vehicle_id, 3, valid_from, valid_to, ctid FROM ownership) b USING (thing, of)
    WHERE a.ctid < b.ctid AND tstzrange(a.valid_from, a.valid_to) && tstzrange(b.valid_from, b.valid_to)";

async fn place() -> Database {
    use_ring();
    let database = Database::start().await;
    let sql = format!(
        "INSERT INTO account (account_id, login, name, role) VALUES (1, 'one', 'One', 'owner');
         INSERT INTO vehicle (vehicle_id, plate, kind) SELECT n, 'T' || n, 'ebike' FROM generate_series(1, {THINGS}) n;
         INSERT INTO tracker (tracker_id, ident, profile) OVERRIDING SYSTEM VALUE
            SELECT n, 't' || n, '{{\"protocol\": \"jt808\"}}' FROM generate_series(1, {THINGS}) n"
    );
    database.connect().await.batch_execute(&sql).await.unwrap();
    database
}

/// A time from one day to another of a year, or to no end.
fn some_time(random: &mut StdRng) -> (i32, Option<i32>) {
    let from = random.random_range(0..360);
    (from, random.random_bool(0.6).then(|| from + random.random_range(1..30)))
}

/// Writes one time or changes one; whether the database took it.
async fn write(client: &Client, random: &mut StdRng) -> bool {
    let (from, to) = some_time(random);
    let (vehicle, tracker) = (random.random_range(1..=THINGS), random.random_range(1..=THINGS));
    let day = |n: i32| format!("timestamptz '2026-01-01Z' + interval '{n} days'");
    let end = to.map_or("NULL".to_owned(), day);
    let sql = match random.random_range(0..5) {
        0 | 1 => format!("INSERT INTO installation VALUES ({tracker}, {vehicle}, {}, {end})", day(from)),
        2 => format!("INSERT INTO ownership VALUES ({vehicle}, 1, {}, {end})", day(from)),
        3 => format!(
            "UPDATE installation SET valid_from = {}, valid_to = {end} WHERE ctid = (SELECT ctid FROM installation WHERE tracker_id = {tracker} ORDER BY random() LIMIT 1)",
            day(from)
        ),
        _ => format!(
            "UPDATE ownership SET valid_from = {}, valid_to = {end} WHERE ctid = (SELECT ctid FROM ownership WHERE vehicle_id = {vehicle} ORDER BY random() LIMIT 1)",
            day(from)
        ),
    };
    match client.execute(&sql, &[]).await {
        Ok(_) => true,
        Err(error) => {
            let known = [
                SqlState::EXCLUSION_VIOLATION,
                SqlState::UNIQUE_VIOLATION,
                SqlState::CHECK_VIOLATION,
                SqlState::T_R_DEADLOCK_DETECTED,
            ];
            assert!(error.code().is_some_and(|c| known.contains(c)), "{sql}: {error:?}");
            false
        }
    }
}

#[tokio::test]
async fn times_of_one_thing_never_overlap_whoever_writes_them() {
    let seed = seed("times_of_one_thing_never_overlap_whoever_writes_them");
    let database = place().await;
    let mut sessions = Vec::new();
    for n in 0..4 {
        let (client, mut random) = (database.connect().await, StdRng::seed_from_u64(seed + n));
        sessions.push(tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..WRITES {
                // Transactions of some statements: the next one waits for times that it does not see yet.
                client.batch_execute("BEGIN").await.unwrap();
                let mut is_good = true;
                for _ in 0..random.random_range(1..4) {
                    is_good = is_good && write(&client, &mut random).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(random.random_range(0..4))).await;
                client.batch_execute(if is_good { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
                taken += usize::from(is_good);
            }
            taken
        }));
    }
    let mut taken = 0;
    for session in sessions {
        taken += session.await.unwrap();
    }
    assert!(taken > 20, "only {taken} were taken: nothing met (seed {seed})");
    let client = database.connect().await;
    assert_eq!(client.query_one(OVERLAPS, &[]).await.unwrap().get::<_, i64>(0), 0, "seed {seed}");
}

#[tokio::test]
async fn a_time_waits_for_another_of_the_same_thing_and_is_refused_beside_it() {
    let database = place().await;
    let (first, second) = (database.connect().await, database.connect().await);
    let open = "INSERT INTO installation VALUES (1, 1, '2026-03-01Z', NULL)";
    for (tracker, vehicle, rule) in [(1, 2, "installation_one_vehicle"), (2, 1, "installation_one_tracker")] {
        let ended =
            format!("INSERT INTO installation VALUES ({tracker}, {vehicle}, '2026-02-01Z', '2026-03-01 00:00:01Z')");
        first.batch_execute(&format!("DELETE FROM installation; BEGIN; {ended}")).await.unwrap();
        let (told, ()) = tokio::join!(second.execute(open, &[]), async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            first.batch_execute("COMMIT").await.unwrap();
        });
        let told = told.unwrap_err();
        let told = told.as_db_error().unwrap();
        assert_eq!((told.code(), told.constraint()), (&SqlState::EXCLUSION_VIOLATION, Some(rule)));
    }
    // One ends where the next one begins.
    let beside = "DELETE FROM installation; INSERT INTO installation VALUES (1, 1, '2026-02-01Z', '2026-03-01Z')";
    second.batch_execute(beside).await.unwrap();
    second.execute(open, &[]).await.unwrap();
    // What sees only the beginning of its transaction cannot know of another's times.
    let old = "BEGIN ISOLATION LEVEL REPEATABLE READ; UPDATE installation SET valid_to = '2026-04-01Z' WHERE valid_to IS NULL";
    assert!(second.batch_execute(old).await.is_err());
}
