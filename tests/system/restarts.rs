//! Restart equals no restart: the same stream leads to the same incidents, however often ingest was killed.

use crate::harness::{seed, topic};
use crate::support::role::Differs;
use crate::support::world::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::store::registry;
use std::collections::BTreeSet;
use std::time::Duration;

/// Every fourth vehicle is ridden away, pushed away, cut from its battery, or left alone.
const VEHICLES: usize = 12;
/// The stream: parts of some seconds each; a kill after every one.
const PARTS: i64 = 20;
const PART_S: i64 = 5;
/// When it begins.
const THEFT_S: i64 = 45;

/// What second `second` of the stream says of vehicle `n`. The latitude tells the packet: no two are alike.
fn message(ident: &str, n: usize, second: i64, began_ms: i64) -> (String, Vec<u8>) {
    let gone_s = (second - THEFT_S).max(0) as f64;
    let (metres, kmh) = match n % 4 {
        0 => (gone_s * 7.0, if gone_s > 0.0 { 25 } else { 0 }),
        1 => (gone_s * 2.5, if gone_s > 0.0 { 9 } else { 0 }),
        _ => (0.0, 0),
    };
    let has_power = n % 4 != 2 || gone_s == 0.0;
    let lat = 28.55 + metres / 111_195.0 + second as f64 * 1e-6;
    let t = began_ms + second * 1000;
    let moving = n % 4 < 2 && gone_s > 0.0;
    let text = format!(
        r#"{{"v":1,"id":"{ident}","seq":{second},"fixes":[{{"t":{t},"lat":{lat:.6},"lon":112.35,"kmh":{kmh},"sats":12,"acc":4}}],"status":{{"battery":80,"external_power":{has_power},"moving":{moving}}}}}"#
    );
    (topic(ident), text.into_bytes())
}

/// The trackers that speak JSON, and the vehicles that carry them, from number `first`.
async fn guarded(world: &World, first: usize) -> Vec<(String, String, i64)> {
    let client = world.up.sql().await;
    let mut vehicles = Vec::new();
    for n in first..first + VEHICLES {
        let (ident, password) = world.up.tracker(2 * n);
        let sql = "SELECT vehicle_id, account_id FROM tracker JOIN installation USING (tracker_id) JOIN ownership USING (vehicle_id) WHERE ident = $1";
        let row = client.query_one(sql, &[&ident]).await.unwrap();
        let vehicle: i64 = row.get(0);
        assert!(registry::arm(&client, row.get(1), vehicle, true).await.unwrap());
        world
            .up
            .wait_for(&format!("SELECT count(*) FROM guard_status WHERE armed AND vehicle_id = {vehicle}"), 1)
            .await;
        vehicles.push((ident, password, vehicle));
    }
    vehicles
}

/// Incidents and alerts of the vehicles: number, kind, whether a packet or a deadline caused it, and which.
async fn alerts(world: &World, vehicles: &[(String, String, i64)]) -> BTreeSet<(usize, String, bool, i64)> {
    let client = world.up.sql().await;
    let mut found = BTreeSet::new();
    for (n, (.., vehicle)) in vehicles.iter().enumerate() {
        let sql =
            "SELECT kind, cause IS NOT NULL, coalesce(round(lat * 1e6), 0)::bigint FROM alert WHERE vehicle_id = $1";
        for row in client.query(sql, &[vehicle]).await.unwrap() {
            let (kind, by_packet, lat): (String, bool, i64) = (row.get(0), row.get(1), row.get(2));
            assert!(found.insert((n, kind.clone(), by_packet, lat)), "{kind} of vehicle {n} twice");
        }
    }
    found
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn with_and_without_twenty_kills_the_same_stream_leads_to_the_same_incidents() {
    let seed = seed("with_and_without_twenty_kills");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start(4 * VEHICLES, seed).await;
    let (mut ingest, _notify) = (world.ingest(&Differs::default()), world.notify());
    world.is_served_by(&ingest).await;
    let mut outcomes = Vec::new();
    for is_killed in [false, true] {
        let vehicles = guarded(&world, if is_killed { VEHICLES } else { 0 }).await;
        let began_ms = rideguard::clock::now().micros() / 1000;
        for part in 0..PARTS {
            for (n, (ident, password, _)) in vehicles.iter().enumerate() {
                let seconds = part * PART_S + 1..=(part + 1) * PART_S;
                let messages = seconds.map(|second| message(ident, n, second, began_ms)).collect();
                world.up.publish(ident, password, messages).await;
            }
            if is_killed {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await; // anywhere in its work
                ingest.start_again(None);
                world.end_leases().await;
            }
        }
        let ids: Vec<String> = vehicles.iter().map(|(.., v)| v.to_string()).collect();
        let whole = |what: &str| format!("SELECT count(*) FROM {what} WHERE vehicle_id IN ({})", ids.join(","));
        world.up.wait_for(&whole("fix"), VEHICLES as i64 * PARTS * PART_S).await;
        // Deadlines by our own clock: power that stays away.
        let cut = VEHICLES as i64 / 4;
        world.up.wait_for(&format!("{} AND kind = 'power_cut'", whole("alert")), cut).await;
        world.up.wait_for(&format!("{} AND kind = 'moved'", whole("alert")), 2 * cut).await;
        outcomes.push((alerts(&world, &vehicles).await, world.up.count(&whole("incident")).await));
    }
    let (killed, calm) = (outcomes.pop().unwrap(), outcomes.pop().unwrap());
    assert_eq!(calm, killed);
    assert!(world.up.command(&["verify"]).status.success());
}
