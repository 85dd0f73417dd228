//! Nanoseconds to decode one fix, on one core, by protocol. The packets are made up.

#[path = "support/packets.rs"]
mod packets;

use rideguard::domain::Profile;
use rideguard::protocol;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    for (name, packet) in packets::packets() {
        let profile = Profile::of(name);
        let report = protocol::decode(&profile, &packet).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(report.moments.iter().filter(|m| m.fix.is_some()).count(), 1, "{name}");
        println!(
            "decode.{name}: {:.0} ns",
            nanoseconds(|| {
                black_box(&protocol::decode(&profile, black_box(&packet)));
            })
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
