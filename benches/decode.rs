//! Nanoseconds to decode one fix, on one core, by protocol. The packets are made up.

use rideguard::domain::Profile;
use rideguard::protocol;
use std::hint::black_box;
use std::time::Instant;

/// A JT/T 808 location with the usual additional items.
fn jt808() -> Vec<u8> {
    let mut inner = vec![0x02, 0x00, 0, 0, 0x01, 0x38, 0x00, 0x13, 0x80, 0x00, 0x00, 0x07];
    inner.extend([0, 0, 0, 0, 0, 0, 0, 3]); // no alarm; ignition on, fix valid
    inner.extend(28_550_000u32.to_be_bytes());
    inner.extend(112_350_000u32.to_be_bytes());
    inner.extend([0, 41, 0, 234, 0, 181]); // 41 m, 23.4 km/h, 181 degrees
    inner.extend([0x26, 0x06, 0x15, 0x10, 0x57, 0x25]);
    inner.extend([0x01, 4, 0, 0, 0, 100, 0x30, 1, 22, 0x31, 1, 9]); // odometer, signal, satellites
    inner[3] = inner.len() as u8 - 12;
    inner.push(inner.iter().fold(0, |a, b| a ^ b));
    [&[0x7e], inner.as_slice(), &[0x7e]].concat()
}

fn main() {
    let frame = jt808();
    let json = br#"{"v":1,"id":"yy000001","seq":42,"fixes":[{"t":1790000000000,"lat":28.551234,"lon":112.351234,"alt":41,"kmh":23.4,"deg":181,"sats":11,"hdop":0.9,"acc":4.5}]}"#;
    for (name, packet) in [("jt808", frame.as_slice()), ("json", json.as_slice())] {
        let profile = Profile::of(name);
        let report = protocol::decode(&profile, packet).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(report.moments.iter().filter(|m| m.fix.is_some()).count(), 1, "{name}");
        println!(
            "decode.{name}: {:.0} ns",
            nanoseconds(|| drop(black_box(protocol::decode(&profile, black_box(packet)))))
        );
    }
}

/// Median of 21 runs of 20,000 calls.
fn nanoseconds(mut work: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let mut runs: Vec<f64> = (0..21)
        .map(|_| {
            let started = Instant::now();
            (0..CALLS).for_each(|_| work());
            started.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
