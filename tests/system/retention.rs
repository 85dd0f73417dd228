//! What is kept goes when its days are over; what a case holds stays; a person who is erased is gone from everywhere.

use crate::harness::{Database, PATIENCE, Up, lines, settled, tell, use_ring};
use crate::tracks::{LIFE, assert_same, lead, roll_everything};
use rideguard::clock::now;
use rideguard::config::{Config, Journal, Retention};
use rideguard::rollup::last_closed;
use rideguard::store::retention;
use rideguard::store::tracks::partitions;
use rideguard::telemetry::Metrics;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// The pieces of the last hours, put so many days back.
async fn put_back(client: &Client, days: i32) {
    let old = |offset: f64| now().plus_secs_f64((offset - f64::from(days)) * 86_400.0);
    partitions::make_for(client, "track", [old(-1.0), old(0.0)].into_iter()).await.unwrap();
    let sql = "INSERT INTO track SELECT tracker_id, vehicle_id, from_at - make_interval(days => $1), until_at - make_interval(days => $1), kind, fixes, path, more, cell, east, north
        FROM track WHERE from_at > now() - interval '2 days'";
    client.execute(sql, &[&days]).await.unwrap();
}

async fn count(client: &Client, question: &str) -> i64 {
    client.query_one(question, &[]).await.unwrap().get(0)
}

const OLD: &str = "SELECT count(*) FROM track WHERE from_at < now() - interval '30 days'";

#[tokio::test]
async fn old_days_go_but_for_incidents_and_cases() {
    let database = Database::start().await;
    let (client, mut night) = (database.connect().await, database.rollup().await);
    client.batch_execute(LIFE).await.unwrap();
    client.execute("SELECT hear(false)", &[]).await.unwrap();
    let mut rollup = lead(&database).await;
    roll_everything(&mut rollup, last_closed(now(), 300)).await.unwrap();
    let fresh = count(&client, "SELECT count(*) FROM track").await;
    put_back(&client, 400).await;
    put_back(&client, 900).await;
    client
        .batch_execute(
            "INSERT INTO vehicle OVERRIDING SYSTEM VALUE SELECT v, 'T' || v, 'ebike' FROM generate_series(1001, 1040) v;
             INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!'), ('officer', 'O', 'police', '!'), ('lead', 'L', 'police', '!');
             INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_to)
                SELECT 1, o.account_id, 'C-7', 'd', 'p', l.account_id, now() + interval '1 day' FROM account o, account l WHERE o.login = 'officer' AND l.login = 'lead';
             INSERT INTO incident (incident_id, vehicle_id, opened_at, closed_at, fixes_from, state)
                SELECT 1, 1001, now() - interval '401 days', now() - interval '399 days', now() - interval '401 days', 'closed'
                UNION ALL SELECT 2, 1002, now() - interval '901 days', now() - interval '899 days', now() - interval '901 days', 'closed';
             INSERT INTO alert (incident_id, vehicle_id, kind, wakes_owner, raised_at, late, evidence)
                SELECT incident_id, vehicle_id, 'moved', true, opened_at, false, '{}' FROM incident;
             SELECT place_hold((SELECT account_id FROM account WHERE login = 'officer'), 1, NULL, 'T1003', now() - interval '401 days',
                now() - interval '399 days', now() + interval '1 day', 'evidence');
             SELECT place_hold((SELECT account_id FROM account WHERE login = 'chief'), NULL, 'C-8', 'T1004', now() - interval '902 days',
                now() - interval '899 days', now() + interval '1 day', 'evidence');",
        )
        .await
        .unwrap();
    let days = Retention { normal_days: 365, incident_days: 730, case_days: 1095, journal_days: 30, hour_utc: 19 };
    let before = count(&client, OLD).await;
    let planned = retention::run(&mut night, &days, &Journal::default(), true).await.unwrap().unwrap();
    assert_eq!(
        (count(&client, OLD).await, count(&client, "SELECT count(*) FROM incident").await),
        (before, 2),
        "a dry run only counts"
    );
    let done = retention::run(&mut night, &days, &Journal::default(), false).await.unwrap().unwrap();
    assert_eq!(
        (planned.pieces_kept, planned.pieces_deleted, planned.incidents, planned.alerts),
        (done.pieces_kept, done.pieces_deleted, done.incidents, done.alerts)
    );
    assert_eq!((done.incidents, done.alerts, done.holds), (1, 1, 2));
    let vehicles = "SELECT string_agg(DISTINCT vehicle_id::text, ' ' ORDER BY vehicle_id::text) FROM track WHERE from_at < now() - interval '30 days'";
    let left: String = client.query_one(vehicles, &[]).await.unwrap().get(0);
    assert_eq!(left, "1001 1003 1004", "an incident of 400 days, and two cases");
    assert_eq!(count(&client, OLD).await, done.pieces_kept);
    assert_eq!(count(&client, "SELECT count(*) FROM track WHERE from_at > now() - interval '30 days'").await, fresh);
    for check in rideguard::store::rebuild::verify::run(&client).await.unwrap() {
        assert_eq!(check.broken, 0, "{}", check.name);
    }

    // A released hold keeps for the days of a case, and no longer; an empty day is dropped as a whole.
    client
        .batch_execute("SELECT release_hold((SELECT account_id FROM account WHERE login = 'chief'), NULL, 2, 'over')")
        .await
        .unwrap();
    let shorter = Retention { case_days: 880, ..days };
    retention::run(&mut night, &shorter, &Journal::default(), false).await.unwrap().unwrap();
    let left: String = client.query_one(vehicles, &[]).await.unwrap().get(0);
    assert_eq!(left, "1001 1003");
    assert_eq!(count(&client, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^track_[0-9]{8}$' AND right(relname, 8) < to_char(now() - interval '800 days', 'YYYYMMDD')").await, 0);
    // A fix that comes for days that are gone goes, too; one of a case stays.
    client
        .batch_execute(
            "INSERT INTO fix_late SELECT v - 1000, now() - interval '400 days', 1, now() - interval '1 hour', v, 0, 0, 0, 5, 9, 0, 1, ST_SetSRID(ST_MakePoint(112, 28), 4326)
             FROM (VALUES (1003), (1010)) x (v)",
        )
        .await
        .unwrap();
    while rollup.merge_late(0.0).await.unwrap() > 0 {}
    assert_eq!(count(&client, "SELECT count(*) FROM fix_late").await, 0);
    let left: String = client.query_one(vehicles, &[]).await.unwrap().get(0);
    assert_eq!(left, "1001 1003");
    // Who may not, and what cannot be.
    for (wrong, code) in [
        (
            "SELECT place_hold((SELECT account_id FROM account WHERE login = 'officer'), NULL, 'C-9', 'T1005', now() - interval '1 day', now(), now() + interval '1 day', 'x')",
            "P0403",
        ),
        (
            "SELECT place_hold((SELECT account_id FROM account WHERE login = 'chief'), NULL, NULL, 'T1005', now() - interval '1 day', now(), now() + interval '1 day', 'x')",
            "P0400",
        ),
        (
            "SELECT place_hold((SELECT account_id FROM account WHERE login = 'chief'), NULL, 'C-9', 'T1005', now() - interval '1 day', now(), now() + interval '9 years', 'x')",
            "P0400",
        ),
        ("SELECT release_hold((SELECT account_id FROM account WHERE login = 'chief'), NULL, 2, 'again')", "P0409"),
    ] {
        let error = client.batch_execute(wrong).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), code, "{wrong}");
    }
    assert_eq!(count(&client, "SELECT count(*) FROM audit WHERE action IN ('hold', 'hold_released')").await, 3);
}

#[tokio::test]
async fn a_nightly_job_that_fails_holds_up_no_slice() {
    let database = Database::start().await;
    let client = database.connect().await;
    client.batch_execute(LIFE).await.unwrap();
    client.execute("SELECT hear(false)", &[]).await.unwrap();
    client.execute("SELECT hear(true)", &[]).await.unwrap();
    // The worst of failures: each run takes the connection with it.
    client
        .batch_execute(
            "CREATE SEQUENCE failure;
             GRANT USAGE ON SEQUENCE failure TO rideguard_rollup_rights;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                PERFORM nextval('failure'), pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON retention_run FOR EACH ROW EXECUTE FUNCTION fail();
             UPDATE retention_mark SET ran_at = now() - interval '2 days'",
        )
        .await
        .unwrap();
    let nowhere = "[database]\nhost = ''\npassword_file = ''\napi_password_file = ''\n[broker]\nhost = ''\nca_file = ''\npassword_file = ''";
    let config: Config = toml::from_str(nowhere).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let metrics = Arc::new(Metrics::new().unwrap());
    let rolling = tokio::spawn(rideguard::rollup::run(config, database.rollup_settings(), metrics, stopped));
    let since = Instant::now();
    let ended = "SELECT last_value * is_called::int FROM failure";
    while count(&client, ended).await == 0 {
        assert!(since.elapsed() < PATIENCE && !rolling.is_finished(), "the job was never tried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.send(true).unwrap();
    rolling.await.unwrap();
    assert_eq!(count(&client, "SELECT count(*) FROM retention_run").await, 0);
    let marks = rideguard::store::tracks::rollup::marks(&client).await.unwrap();
    assert!(marks.rolled_to >= last_closed(now(), 3600), "it was rolled up before: {marks:?}");
    assert_eq!(count(&client, "SELECT count(*) FROM fix_late").await, 0, "and late fixes were merged");
    assert_same(&client, true, "while the job fails").await;
}

/// Everything that is checked of a live database; what was purged is said.
fn check(up: &Up, purge: &str) {
    let verified = lines(&up.command(&["verify"])).join("\n");
    assert!(verified.contains(purge), "{verified}");
    let rebuilt = lines(&up.command(&["rebuild", "--check"])).join("\n");
    assert!(rebuilt.contains(" purged"), "{rebuilt}");
}

#[tokio::test]
async fn the_journal_goes_up_to_a_seam_and_a_person_from_everywhere() {
    use_ring();
    let mut up = Up::start(5, &[]).await;
    tell(&up, 0).await;
    let told_until = now().plus_secs_f64(1.0);
    let between = told_until.to_string();
    // A clean end leaves a checkpoint of every lane.
    assert!(up.interrupt());
    up.start_again().await;
    settled(&up).await;
    let (client, mut night) = (up.sql().await, up.rollup().await);
    let everything = Retention { journal_days: 0, ..Retention::default() };
    let report = retention::run(&mut night, &everything, &Journal::default(), true).await.unwrap().unwrap();
    assert!(report.journal_rows > 0);
    assert_eq!(up.count("SELECT max(n) FROM journal_base").await, 0, "a dry run only counts");
    // What a case holds stays in the journal, row for row.
    let plate: String = client.query_one("SELECT plate FROM vehicle ORDER BY plate LIMIT 1", &[]).await.unwrap().get(0);
    let grant: String = client.query_one("SELECT grant_id::text FROM access_grant", &[]).await.unwrap().get(0);
    let at = |hours: f64| now().plus_secs_f64(hours * 3600.0).to_string();
    let (from, ends) = (at(-1.0), at(24.0));
    let held = [
        "hold", "place", "--by", "police", "--grant", &grant, "--plate", &plate, "--from", &from, "--to", &between,
        "--ends", &ends, "--reason", "theft",
    ];
    assert_eq!(lines(&up.command(&held)), ["hold 1"]);
    let report = retention::run(&mut night, &everything, &Journal::default(), false).await.unwrap().unwrap();
    assert!(report.journal_rows > 0 && report.journal_rows_kept > 0, "{report:?}");
    assert_eq!(lines(&up.command(&["journal"])).len(), 20);
    check(&up, "purged: ");
    while now() <= told_until {
        tokio::time::sleep(Duration::from_millis(20)).await; // what comes now is told after the time of the case
    }
    tell(&up, 0).await;
    check(&up, "purged: ");
    assert_eq!(lines(&up.command(&["journal"])).len(), 40);

    // The hold is on what was told first; the person goes, but for that.
    lines(&up.command(&["hold", "release", "1", "--by", "police", "--grant", &grant, "--reason", "narrowed"]));
    let held = [
        "hold", "place", "--by", "police", "--grant", &grant, "--plate", &plate, "--from", &from, "--to", &between,
        "--ends", &ends, "--reason", "theft",
    ];
    assert_eq!(lines(&up.command(&held)), ["hold 2"]);
    client
        .batch_execute("INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!')")
        .await
        .unwrap();
    let erase = ["erase", "owner", "--by", "chief", "--request", "R-1"];
    let dry: Value =
        serde_json::from_str(&lines(&up.command(&[&erase[..], &["--dry-run"]].concat())).join("")).unwrap();
    assert_eq!(dry["dry_run"], true);
    assert_eq!(up.count("SELECT count(*) FROM erasure").await, 0, "a dry run only counts");
    settled(&up).await;
    let proof: Value = serde_json::from_str(&lines(&up.command(&erase)).join("")).unwrap();
    assert_eq!((&proof["left"], &proof["erased"]["fix"]), (&0.into(), &20.into()), "{proof}");
    assert_eq!(
        (&dry["erased"]["fix"], &dry["journal"]["packets"]),
        (&proof["erased"]["fix"], &proof["journal"]["packets"])
    );
    assert_eq!(proof["kept_under_hold"]["fix"], 20);
    settled(&up).await;
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 20);
    assert_eq!(up.count("SELECT count(*) FROM account WHERE name LIKE '陈女士%' OR login = 'owner'").await, 0);
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE action = 'erase'").await, 1);
    check(&up, "1 erased people");
    // A hold's packets are held by when they came, up to a day late: the whole telling of today is under it.
    lines(&up.command(&["hold", "release", "2", "--by", "police", "--grant", &grant, "--reason", "over"]));
    retention::run(&mut night, &everything, &Journal::default(), false).await.unwrap().unwrap();
    assert_eq!(up.count("SELECT count(*) FROM fix").await, 0, "without the hold the night takes the rest");
    let journal = lines(&up.command(&["journal"]));
    assert!(journal.is_empty(), "{journal:?}");
    check(&up, "1 erased people");

    // Another start of the demonstration gives it an owner again, with vehicles that carry the trackers.
    assert!(up.interrupt());
    up.start_again().await;
    let mine = up.log_in("owner").await.get("/vehicles").await;
    assert!(!mine["vehicles"].as_array().unwrap().is_empty(), "{mine}");
}
