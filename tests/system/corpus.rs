//! Real packets through the real broker into PostGIS. Needs RIDEGUARD_CORPUS.

use crate::harness::{Up, topic, use_ring};
use serde_json::Value;
use std::process::Command;

#[tokio::test]
async fn real_jt808_packets_end_in_postgis_where_an_independent_decoder_saw_them() {
    let Ok(corpus) = std::env::var("RIDEGUARD_CORPUS") else {
        println!(
            "skipped: real_jt808_packets_end_in_postgis_where_an_independent_decoder_saw_them: RIDEGUARD_CORPUS is not set"
        );
        return;
    };
    use_ring();
    let up = Up::start(3, &["--max-fix-age-days", "36500"]).await;
    let text = std::fs::read_to_string(format!("{corpus}/packets/jt808.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (mut messages, mut wanted) = (Vec::new(), Vec::new());
    for row in rows
        .iter()
        .filter(|r| r["frame"]["checksum_ok"] == true && r["encoding"] == "hex" && r["oracle"]["exception"].is_null())
    {
        let wire = row["wire"].as_str().or(row["payload"].as_str()).unwrap();
        let Some(ident) = row["oracle"]["device_ids"][0].as_str() else { continue };
        let registered = Command::new(crate::harness::program())
            .args(["admin", "--config"])
            .arg(up.config())
            .args(["tracker", ident, "--protocol", "jt808"])
            .output()
            .unwrap();
        assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
        messages.push((topic(ident), hex::decode(wire).unwrap()));
        for p in row["oracle"]["positions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["kind"] == "location" && p["has_fix"] == true)
        {
            wanted.push((
                row["id"].clone(),
                ident.to_owned(),
                p["fix_time"].as_str().unwrap_or_default().to_owned(),
                p["lat"].as_f64(),
                p["lon"].as_f64(),
            ));
        }
    }
    let count = messages.len() as i64;
    // Trackers may publish for themselves only; a gateway's credential stands in for fifty of them.
    let gateway = std::fs::read_to_string(up.folder.join("secrets/broker")).unwrap();
    allow_ingest_user_to_publish(&up);
    up.publish("rideguard-ingest", gateway.trim(), messages).await;
    up.wait_for("SELECT sum(received)::bigint FROM lane", count).await;
    let client = up.sql().await;
    let mut right = 0;
    for (id, ident, at, lat, lon) in &wanted {
        let found: i64 = client
            .query_one(
                "SELECT count(*) FROM (SELECT * FROM fix UNION ALL SELECT * FROM fix_late) f JOIN tracker t USING (tracker_id)
                 WHERE ltrim(t.ident, '0') = ltrim($1, '0') AND f.fixed_at = ($2::text)::timestamptz AND abs(ST_Y(f.position) - $3) < 1.1e-6 AND abs(ST_X(f.position) - $4) < 1.1e-6",
                &[ident, at, lat, lon],
            )
            .await
            .unwrap()
            .get(0);
        if found == 1 {
            right += 1;
        } else {
            println!("not there: {id}");
        }
    }
    println!("{right} of {} positions are there", wanted.len());
    assert!(right * 100 >= wanted.len() * 90, "{right} of {}", wanted.len());
}

/// Adds a line to the broker's ACL and has it read again.
fn allow_ingest_user_to_publish(up: &Up) {
    let home = up.folder.join("services/mosquitto");
    let acl = std::fs::read_to_string(home.join("acl")).unwrap();
    std::fs::write(home.join("acl"), acl + "topic write v1/#\n").unwrap();
    let pid: i32 = std::fs::read_to_string(home.join("mosquitto.pid")).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGHUP).unwrap();
}
