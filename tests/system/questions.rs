//! Questions about tracks on a real PostgreSQL: equal to a scan of everything, by the right index, for the
//! entitled only.

use crate::harness::Database;
use crate::tracks::{LIFE, assert_same, lead, roll_everything};
use geo::{LineString, MultiPolygon, Polygon};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::clock::now;
use rideguard::domain::{LatLon, Timestamp, VehicleId};
use rideguard::rollup::last_closed;
use rideguard::store::proof::Proof;
use rideguard::store::query_thread::QueryThread;
use rideguard::store::tracks::queries;
use rideguard::store::tracks::queries::Officer;
use rideguard::tracks::area::{Area, Window};
use rideguard::tracks::co_travel::{companions, ride_minutes};
use rideguard::tracks::presence::{SILENT_S, presences};
use rideguard::tracks::summary;
use rideguard::tracks::{Hit, bodies};
use std::time::Duration;
use tokio_postgres::Client;

fn officer() -> Officer {
    Officer { session: Proof::shown("officer"), grant: 1 }
}

/// Vehicles with trackers, an officer with a grant, an owner of vehicle 1001 since four hours ago.
pub const PEOPLE: &str = "
    INSERT INTO account (account_id, login, name, role, password_hash) OVERRIDING SYSTEM VALUE
        VALUES (1, 'officer', 'o', 'police', ''), (2, 'chief', 'c', 'police', ''), (3, 'owner', 'o', 'owner', '');
    INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_to) OVERRIDING SYSTEM VALUE
        VALUES (1, 1, 'c', 'd', 'p', 2, 'infinity');
    INSERT INTO session (token_sha256, account_id, expires_at)
        VALUES (sha256('officer'), 1, 'infinity'), (sha256('chief'), 2, 'infinity'), (sha256('owner'), 3, 'infinity');
    INSERT INTO vehicle (vehicle_id, plate, kind) OVERRIDING SYSTEM VALUE SELECT 1000 + n, 'T' || n, 'ebike' FROM generate_series(1, 40) n;
    INSERT INTO tracker (tracker_id, ident, profile) OVERRIDING SYSTEM VALUE SELECT n, 't' || n, '{\"protocol\": \"json\"}' FROM generate_series(1, 40) n;
    INSERT INTO installation (tracker_id, vehicle_id, valid_from) SELECT n, 1000 + n, '2020-01-01' FROM generate_series(1, 40) n;
    INSERT INTO ownership (vehicle_id, account_id, valid_from) VALUES (1001, 3, now() - interval '4 hours');";

/// A database in which some is pieces, some hot, some late.
pub async fn city() -> (Database, Client) {
    let database = Database::start().await;
    let client = database.connect().await;
    client.batch_execute(PEOPLE).await.unwrap();
    client.batch_execute(LIFE).await.unwrap();
    client.execute("SELECT hear(false)", &[]).await.unwrap();
    roll_everything(&mut lead(&database).await, last_closed(now(), 3 * 3600)).await.unwrap();
    client.execute("SELECT hear(true)", &[]).await.unwrap();
    assert_same(&client, true, "before it is asked").await;
    (database, client)
}

/// Times and vehicles inside an area ($1 WKT, $2 to $3), by opening every piece there is: fixes of rides and
/// what lay off dwells by their place, the others by the box of their dwell.
const SCAN: &str = "
    WITH area AS (SELECT ST_GeomFromText($1, 4326) AS a),
    every AS (
        SELECT p.vehicle_id, f.fixed_at, ST_Contains(a, f.position) AS inside FROM piece_all p, area, piece_fixes(p.from_at, p.kind, p.path, p.more) f
        WHERE p.kind = 1 OR f.speed_kmh IS NOT NULL
        UNION ALL
        SELECT p.vehicle_id, f.fixed_at, ST_Intersects(a, ST_SetSRID(ST_Force2D(ST_Envelope(ST_Collect(ST_GeometryN(g, 1), ST_GeometryN(g, 2)))), 4326))
        FROM piece_all p, area, ST_GeomFromTWKB(p.path) g, piece_fixes(p.from_at, p.kind, p.path, p.more) f WHERE p.kind = 2 AND f.speed_kmh IS NULL
        UNION ALL SELECT vehicle_id, fixed_at, ST_Contains(a, position) FROM fix, area WHERE fixed_at >= (SELECT rolled_to FROM rollup_mark)
        UNION ALL SELECT vehicle_id, fixed_at, ST_Contains(a, position) FROM fix_late, area)
    SELECT vehicle_id, min(fixed_at), max(fixed_at) FROM every WHERE inside AND fixed_at >= $2 AND fixed_at < $3 GROUP BY 1 ORDER BY 2, 1";

/// A polygon around where people are, with a hole as a rule, and its text.
fn polygon(random: &mut StdRng) -> (Area, String) {
    let (lon, lat) = (112.35 + random.random::<f64>() * 0.13, 28.55 + random.random::<f64>() * 0.06);
    let mut ring = |radius: f64| -> Vec<(f64, f64)> {
        let mut angles: Vec<f64> = (0..7).map(|_| random.random_range(0.0..std::f64::consts::TAU)).collect();
        angles.sort_by(f64::total_cmp);
        let corner = |a: &f64| (lon + a.cos() * radius, lat + a.sin() * radius);
        let mut ring: Vec<_> = angles.iter().map(corner).collect();
        ring.push(ring[0]);
        ring
    };
    let rings = [ring(0.02), ring(0.004)];
    let text = rings.iter().map(|r| {
        let corners: Vec<_> = r.iter().map(|(x, y)| format!("{x} {y}")).collect();
        format!("({})", corners.join(","))
    });
    let wkt = format!("POLYGON({})", text.collect::<Vec<_>>().join(","));
    let [outside, hole] = rings.map(LineString::from);
    (Area::Polygons(MultiPolygon::new(vec![Polygon::new(outside, vec![hole])])), wkt)
}

/// So many areas and windows, asked and scanned.
pub async fn areas_equal_a_scan(client: &Client, seed: u64, questions: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut asked, mut hits) = (0, 0);
    while asked < questions {
        let (area, wkt) = polygon(&mut random);
        let is_valid = "SELECT ST_IsValid(ST_GeomFromText($1))";
        if !client.query_one(is_valid, &[&wkt]).await.unwrap().get::<_, bool>(0) {
            continue; // the hole pokes through
        }
        asked += 1;
        let from = now().plus_secs_f64(-random.random_range(1800.0..8.0 * 3600.0));
        let to = from.plus_secs_f64(random.random_range(60.0..4.0 * 3600.0));
        let found = queries::near(client, officer(), &wkt, (from, to), SILENT_S).await.unwrap();
        let ours: Vec<_> = presences(&area, Window { from, to, known_to: to }, &found)
            .unwrap()
            .into_iter()
            .map(|p| (p.vehicle.0, p.first, p.last))
            .collect();
        let scanned = client.query(SCAN, &[&wkt, &from, &to]).await.unwrap();
        let scanned: Vec<(i64, Timestamp, Timestamp)> =
            scanned.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
        assert_eq!(ours, scanned, "{wkt} {from} {to}");
        // And nobody who was truly there is missing.
        let told = "SELECT count(*) FROM told WHERE ST_Contains(ST_GeomFromText($1, 4326), ST_SetSRID(ST_MakePoint(lon, lat), 4326))
            AND fixed_at >= $2 AND fixed_at < $3 AND tracker_id + 1000 <> ALL($4)";
        let vehicles: Vec<i64> = ours.iter().map(|o| o.0).collect();
        let missing: i64 = client.query_one(told, &[&wkt, &from, &to, &vehicles]).await.unwrap().get(0);
        assert_eq!(missing, 0, "{wkt} {from} {to}");
        hits += ours.len();
    }
    assert!(hits > asked / 3, "{hits} hits in {asked} questions");
}

#[tokio::test]
async fn who_was_in_an_area_equals_a_scan_of_everything() {
    let (_database, client) = city().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    areas_equal_a_scan(&client, seed, 60).await;
}

#[tokio::test]
async fn each_question_goes_by_its_index() {
    let (_database, client) = city().await;
    // Who writes cells and who looks for them count alike.
    let differing = "SELECT count(*) FROM track WHERE cell <> box_cell(ST_GeomFromTWKB(path))
        OR (east, north) <> (round(ST_XMax(ST_GeomFromTWKB(path)) * 1e6), round(ST_YMax(ST_GeomFromTWKB(path)) * 1e6))";
    assert_eq!(client.query_one(differing, &[]).await.unwrap().get::<_, i64>(0), 0);
    client.batch_execute("ANALYZE; SET enable_seqscan = off").await.unwrap();
    let day = "now() - interval '8 hours', now()";
    let plans = [
        (
            format!("SELECT * FROM pieces_near(ST_MakeEnvelope(112.36, 28.55, 112.37, 28.56), {day})"),
            vec!["_cell_from_at_until_at_east_north_idx", "track_open_cell", "_date_bin_case_idx"],
        ),
        (format!("SELECT * FROM pieces_of(1001, {day})"), vec!["_tracker_id_from_at_idx", "track_open_pkey"]),
        (
            format!("SELECT * FROM rides_beside(1001, {day}, 50, 30)"),
            vec!["_cell_from_at_until_at_east_north_idx", "_tracker_id_from_at_idx", "_date_bin_case_idx", "_pkey"],
        ),
        (
            "SELECT * FROM newest_in(ST_MakeEnvelope(112.36, 28.55, 112.37, 28.56, 4326), 500)".into(),
            vec!["tracker_status_position"],
        ),
    ];
    for (question, indexes) in plans {
        let rows = client.query(&format!("EXPLAIN {question}"), &[]).await.unwrap();
        let plan: String = rows.iter().map(|r| r.get::<_, String>(0) + "\n").collect();
        for index in indexes {
            assert!(plan.contains(index), "{question} does not go by {index}:\n{plan}");
        }
        assert!(!plan.contains("Seq Scan on track"), "{question}:\n{plan}");
    }
    // A window that is all pieces does not touch the hot table, whatever is known about that.
    let past = "EXPLAIN (ANALYZE) SELECT * FROM pieces_near(ST_MakeEnvelope(112.36, 28.55, 112.37, 28.56), now() - interval '8 hours', now() - interval '4 hours')";
    let rows = client.query(past, &[]).await.unwrap();
    let hot: Vec<String> = rows.iter().map(|r| r.get(0)).filter(|l: &String| l.contains(" on fix_2")).collect();
    assert!(!hot.is_empty() && hot.iter().all(|l| l.contains("never executed")), "{hot:#?}");
}

/// What a function does inside, EXPLAIN does not show; PostgreSQL counts it.
async fn scans(client: &tokio_postgres::Client, tables: &[&str]) -> Vec<(String, i64, i64)> {
    let sql = "SELECT relname::text, seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = ANY ($1) ORDER BY relname";
    let rows = client.query(sql, &[&tables]).await.unwrap();
    assert_eq!(rows.len(), tables.len());
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

fn assert_by_index(before: &[(String, i64, i64)], after: &[(String, i64, i64)]) {
    for ((table, whole, by_index), (_, whole_now, by_index_now)) in before.iter().zip(after) {
        assert_eq!(whole, whole_now, "{table} was read whole");
        assert!(by_index_now > by_index, "{table} was not read by an index");
    }
}

#[tokio::test]
async fn the_newest_of_some_vehicles_reads_no_table_whole() {
    let (_database, client) = city().await;
    client
        .batch_execute(
            "INSERT INTO grant_vehicle VALUES (1, 1001, true), (1, 1002, true); ANALYZE; SET enable_seqscan = off; BEGIN",
        )
        .await
        .unwrap();
    let tables = ["grant_vehicle", "vehicle", "installation", "tracker", "tracker_status", "guard_status", "incident"];
    let before = scans(&client, &tables).await;
    let found = queries::newest(&client, officer(), &[1001, 1002]).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_by_index(&before, &scans(&client, &tables).await);
}

#[tokio::test]
async fn a_tile_of_the_history_map_reads_the_hours_asked_for() {
    let (_database, client) = city().await;
    client.batch_execute("ANALYZE; SET enable_seqscan = off; BEGIN").await.unwrap();
    let before = scans(&client, &["traffic"]).await;
    let sql = "SELECT history_tile(12, 3326, 1708, now() - interval '8 hours', now())";
    let tile: Vec<u8> = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(!tile.is_empty());
    assert_by_index(&before, &scans(&client, &["traffic"]).await);
}

#[tokio::test]
async fn a_track_is_told_whole_to_the_entitled_only_and_every_look_leaves_a_row() {
    let (database, client) = city().await;
    let span = (now().plus_secs_f64(-9.0 * 3600.0), now());
    let points = |found: &[Hit]| summary::points(&bodies(found).unwrap());
    let told = "SELECT count(*) FROM told WHERE tracker_id = $1 AND fixed_at >= $2";
    let count = async |tracker: i64, since: Timestamp| {
        client.query_one(told, &[&tracker, &since]).await.unwrap().get::<_, i64>(0) as usize
    };
    let all = queries::of_vehicle(&client, officer(), 1001, span).await.unwrap();
    assert_eq!(points(&all).len(), count(1, span.0).await);
    // The owner of today does not see what was before, not even inside a piece that reaches over.
    let since: Timestamp = client.query_one("SELECT valid_from FROM ownership", &[]).await.unwrap().get(0);
    let mine = queries::mine(&client, Proof::shown("owner"), 1001, span).await.unwrap();
    assert_eq!(points(&mine).len(), count(1, since).await);
    assert!(points(&mine).iter().all(|p| p.at >= since));
    assert!(mine.len() < all.len());
    // Trips and stops alternate over six hours of riding a third of the time.
    let (stops, trips) = summary::stops_and_trips(&bodies(&all).unwrap());
    assert!((3..=8).contains(&trips.len()) && (3..=8).contains(&stops.len()), "{} {}", trips.len(), stops.len());
    assert!(trips.iter().all(|t| t.metres > 1000.0 && t.until.seconds_since(t.from) < 3600.0));
    // Thinned out, a line keeps its budget and its ends.
    let line = points(&all);
    let simplify = summary::simplify(line.clone(), summary::Simplify::Points(40));
    assert!((2..=40).contains(&simplify.len()) && simplify[0] == line[0]);
    // Without a right there is an error, and a row for every look that was allowed.
    let audited = "SELECT count(*) FROM audit WHERE grant_id = 1 AND rows_returned > 0";
    let before: i64 = client.query_one(audited, &[]).await.unwrap().get(0);
    let chief = Officer { session: Proof::shown("chief"), grant: 1 };
    let refused = queries::of_vehicle(&client, chief, 1001, span).await.unwrap_err();
    assert!(format!("{refused:#}").contains("grant"), "{refused:#}");
    assert!(queries::mine(&client, Proof::shown("owner"), 1002, span).await.is_err());
    queries::beside(&client, officer(), 1001, span, (50.0, 30.0)).await.unwrap();
    client
        .query("SELECT * FROM api_police_newest_in(sha256('officer'), 1, 112.3, 28.5, 112.31, 28.51, 10)", &[])
        .await
        .unwrap();
    let looks: i64 = client
        .query_one("SELECT count(*) FROM audit WHERE action IN ('track', 'company', 'newest')", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!((before, looks), (1, 3));
    // The API's role reads no track but through these functions.
    let client = database.superuser().await;
    client.batch_execute("SET ROLE rideguard_api_rights").await.unwrap();
    for table in ["track", "track_open", "fix_all", "traffic", "fix_late", "pieces_of(1001, now(), now())"] {
        assert!(client.query(&format!("SELECT * FROM {table}"), &[]).await.is_err(), "{table} can be read");
    }
}

#[tokio::test]
async fn company_is_who_rode_beside_and_the_history_map_counts_crowds_only() {
    let (_database, client) = city().await;
    // Vehicle 1041 follows 1001, ten metres and two seconds behind; all of it is pieces.
    client
        .batch_execute(
            "INSERT INTO vehicle (vehicle_id, plate, kind) OVERRIDING SYSTEM VALUE VALUES (1041, 'T41', 'ebike');
             INSERT INTO fix_late SELECT 41, fixed_at + interval '2 seconds', digest, received_at - interval '1 hour', 1041, speed_kmh, course_deg, altitude_m,
                accuracy_m, satellites, source, flags, ST_Translate(position, 0.0001, 0) FROM fix WHERE tracker_id = 1",
        )
        .await
        .unwrap();
    let rollup_client = _database.connect().await;
    let mut rollup = rideguard::rollup::Rollup::lead(rollup_client).await.unwrap().unwrap();
    roll_everything(&mut rollup, last_closed(now(), 300)).await.unwrap();
    let span = (now().plus_secs_f64(-9.0 * 3600.0), now());
    let found = queries::beside(&client, officer(), 1001, span, (50.0, 30.0)).await.unwrap();
    let samples = ride_minutes(VehicleId(1001), &found);
    let together = companions(VehicleId(1001), &samples, &found, (50.0, 30.0), 5).unwrap();
    assert_eq!(together.iter().map(|c| c.vehicle.0).collect::<Vec<_>>(), [1041]);
    // Where a fix of the follower is still missing, the next is 60 m away: most minutes count, not all.
    assert!(together[0].minutes * 10 >= samples.len() * 8, "{} of {}", together[0].minutes, samples.len());
    // A tile of a place with traffic has something in it; a far one is empty.
    let tile = "SELECT coalesce(length(history_tile($1, $2, $3, now() - interval '1 day', now())), 0)";
    let size = async |z: i32, x: i32, y: i32| client.query_one(tile, &[&z, &x, &y]).await.unwrap().get::<_, i32>(0);
    assert_eq!(size(10, 1, 1).await, 0);
    client.batch_execute("UPDATE traffic SET vehicles = 2").await.unwrap();
    assert_eq!(size(10, 831, 427).await, 0, "two vehicles are no crowd");
    client.batch_execute("UPDATE traffic SET vehicles = 3").await.unwrap();
    assert!(size(10, 831, 427).await > 20);
}

#[tokio::test]
async fn company_of_the_slices_that_are_not_closed_equals_a_scan_of_them() {
    let (_database, client) = city().await;
    // Vehicle 1041 follows 1001, ten metres and two seconds behind; nothing of it is pieces, and 1042 stands by the way.
    client
        .batch_execute(
            "INSERT INTO vehicle (vehicle_id, plate, kind) OVERRIDING SYSTEM VALUE VALUES (1041, 'T41', 'ebike'), (1042, 'T42', 'ebike');
             INSERT INTO fix SELECT 41, fixed_at + interval '2 seconds', digest, received_at, 1041, speed_kmh, course_deg, altitude_m,
                accuracy_m, satellites, source, flags | 4096, ST_Translate(position, 0.0001, 0) FROM fix
                WHERE tracker_id = 1 AND fixed_at >= (SELECT rolled_to FROM rollup_mark) ON CONFLICT DO NOTHING;
             INSERT INTO fix SELECT DISTINCT ON (fixed_at) 42, fixed_at, 7, received_at, 1042, 0, NULL, NULL, NULL, NULL, source, 4096,
                (SELECT position FROM fix WHERE tracker_id = 1 AND fixed_at >= (SELECT rolled_to FROM rollup_mark) AND speed_kmh > 5 ORDER BY fixed_at LIMIT 1)
                FROM fix WHERE tracker_id = 1 AND fixed_at >= (SELECT rolled_to FROM rollup_mark)",
        )
        .await
        .unwrap();
    let rolled_to: Timestamp = client.query_one("SELECT rolled_to FROM rollup_mark", &[]).await.unwrap().get(0);
    let of = VehicleId(1001);
    let ask =
        async |from: Timestamp| queries::beside(&client, officer(), 1001, (from, now()), (50.0, 30.0)).await.unwrap();
    let found = ask(rolled_to).await;
    let samples = ride_minutes(of, &found);
    let together = companions(of, &samples, &found, (50.0, 30.0), 5).unwrap();
    assert_eq!(together.iter().map(|c| c.vehicle.0).collect::<Vec<_>>(), [1041]);
    assert!(together[0].minutes * 10 >= samples.len() * 8, "{} of {}", together[0].minutes, samples.len());
    // Each fix of others that is beside one of the minutes is brought; the box is wider than the circle, so more may be.
    let scan = "SELECT DISTINCT f.vehicle_id, f.fixed_at FROM fix f, unnest($1::timestamptz[], $2::float8[], $3::float8[]) AS m (at, lon, lat)
        WHERE f.vehicle_id <> 1001 AND f.flags & 140 = 0 AND f.fixed_at >= $4 AND abs(extract(epoch FROM f.fixed_at - m.at)) <= 30
            AND ST_DistanceSphere(f.position, ST_SetSRID(ST_MakePoint(lon, lat), 4326)) <= 49.9";
    let (at, lon, lat): (Vec<_>, Vec<_>, Vec<_>) =
        samples.iter().map(|s| (s.at, f64::from(s.spot.lon) / 1e6, f64::from(s.spot.lat) / 1e6)).collect();
    let scanned = client.query(scan, &[&at, &lon, &lat, &rolled_to]).await.unwrap();
    let brought = |vehicle: i64, fixed_at: Timestamp| {
        found.iter().any(|f| matches!(f, Hit::Fix { vehicle: Some(v), at, .. } if v.0 == vehicle && *at == fixed_at))
    };
    assert!(scanned.len() > samples.len(), "{} of {} minutes", scanned.len(), samples.len());
    for row in &scanned {
        assert!(brought(row.get(0), row.get(1)), "{} at {}", row.get::<_, i64>(0), row.get::<_, Timestamp>(1));
    }
    // A way over the edge of what is closed is one.
    let whole = ride_minutes(of, &ask(rolled_to.plus_secs_f64(-5.0 * 3600.0)).await);
    assert!(whole.first().unwrap().at < rolled_to && whole.len() > samples.len());
    assert_eq!(whole.iter().filter(|s| s.at >= rolled_to).count(), samples.len());
}

#[tokio::test]
async fn a_question_that_is_too_wide_is_told_what_to_narrow() {
    let (_database, client) = city().await;
    let wide = "SELECT * FROM api_police_near(sha256('officer'), 1, 'POLYGON((112.3 28.5,112.5 28.5,112.5 28.6,112.3 28.6,112.3 28.5))', now() - interval '9 hours', now(), '0', 100)";
    let refused = client.query(wide, &[]).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.code().code(), "P0400");
    assert!(refused.message().contains("km²") || refused.message().contains("smaller area"), "{}", refused.message());
    let long = "SELECT * FROM api_police_near(sha256('officer'), 1, 'POLYGON((112.3 28.5,112.31 28.5,112.31 28.51,112.3 28.51,112.3 28.5))', now() - interval '99 hours', now(), '0', 100)";
    let refused = client.query(long, &[]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("24 hours"));
}

#[test]
fn a_circle_touches_the_boxes_that_it_reaches() {
    let area = Area::Circle { centre: LatLon::new(28.55, 112.35), radius_m: 100.0 };
    let spot = |lat: f64, lon: f64| rideguard::tracks::GridPoint::of(LatLon::new(lat, lon));
    assert!(area.touches(spot(28.5508, 112.34), spot(28.56, 112.36)), "89 m north of the middle");
    assert!(!area.touches(spot(28.551, 112.34), spot(28.56, 112.36)), "111 m");
    assert!(area.touches(spot(28.5, 112.3), spot(28.6, 112.4)), "the box is around it");
}

#[tokio::test]
async fn a_question_that_fails_or_is_given_up_leaves_the_next_its_connection() {
    let database = Database::start().await;
    let manager = deadpool_postgres::Manager::new(database.settings.clone(), tokio_postgres::NoTls);
    let patience = Duration::from_secs(30);
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(1)
        .wait_timeout(Some(patience))
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .build();
    let queries = QueryThread::open("questions", pool.unwrap()).unwrap();
    let thread = |_| async { Ok(std::thread::current().name().map(str::to_owned)) };
    assert_eq!(queries.run(thread).await.unwrap().as_deref(), Some("questions"));
    let failed = queries.run(|client| async move { Ok(client.execute("SELECT 1 / 0", &[]).await?) }).await.unwrap_err();
    assert!(failed.downcast_ref::<tokio_postgres::Error>().is_some(), "{failed:#}");
    let panicked =
        queries.run(|_| async { if now() > Timestamp::from_secs(0) { panic!("on purpose") } else { Ok(()) } });
    assert!(panicked.await.unwrap_err().to_string().contains("panic"));
    let sleeps = queries.run(|client| async move { Ok(client.execute("SELECT pg_sleep(0.5)", &[]).await?) });
    assert!(tokio::time::timeout(Duration::from_millis(100), sleeps).await.is_err());
    let one = queries.run(|client| async move { Ok(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)) });
    assert_eq!(one.await.unwrap(), 1);
}
