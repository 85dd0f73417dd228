//! What the simulator says, by encoders of its own, is what the decoders read.

use rideguard::domain::Profile;
use rideguard::protocol;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

#[test]
fn every_language_of_the_simulator_is_read_as_it_was_meant() {
    let simulator = Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
    assert!(simulator.exists(), "{} is missing: cargo build --workspace first", simulator.display());
    // Language, how exactly it can say a place (degrees) and a speed (km/h).
    for (language, place_deg, speed_kmh) in [
        ("json", 1e-6, 0.06),
        ("jt808", 6e-7, 0.06),
        ("gt06", 4e-7, 0.51),
        ("h02", 2e-7, 0.02),
        ("teltonika", 6e-8, 0.51),
    ] {
        let output = Command::new(&simulator)
            .args(["messages", "--protocol", language, "--count", "200", "--seed", "11"])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.lines().count(), 200, "{language}");
        for line in text.lines() {
            let said: Value = serde_json::from_str(line).expect("a line");
            let payload = hex::decode(said["payload"].as_str().expect("hex")).expect("hex");
            let report =
                protocol::decode(&Profile::of(language), &payload).unwrap_or_else(|e| panic!("{language}: {e}"));
            let fix = report.fixes().next().unwrap_or_else(|| panic!("{language}: no fix"));
            let number = |key: &str| said[key].as_f64().expect("a number");
            assert!(fix.valid, "{language}");
            assert_eq!(fix.fixed_at.map(|t| t.micros() / 1000), said["at_ms"].as_i64(), "{language}");
            assert!((fix.position.lat_deg - number("lat")).abs() <= place_deg, "{language}: {line}");
            assert!((fix.position.lon_deg - number("lon")).abs() <= place_deg, "{language}: {line}");
            let speed = f64::from(fix.speed_kmh.unwrap_or(0.0));
            assert!((speed - number("speed_kmh")).abs() <= speed_kmh, "{language}: {speed} {line}");
            let course = f64::from(fix.course_deg.unwrap_or(0.0));
            let turned = (course - number("course_deg")).rem_euclid(360.0); // 360 is 0
            assert!(turned.min(360.0 - turned) <= 0.51, "{language}: {course} {line}");
            if language != "json" {
                assert_eq!(report.moments[0].status.ignition, said["ignition"].as_bool(), "{language}");
            }
        }
    }
}
