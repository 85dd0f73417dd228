//! `simulator messages`: messages of trackers with the truth, for anybody who checks a decoder.

use crate::encode::Language;
use crate::vehicle::Vehicle;
use anyhow::Context;
use clap::Parser;
use serde_json::json;

/// Flags of `messages`.
#[derive(Parser)]
pub struct Args {
    /// json, jt808, gt06, h02 or teltonika.
    #[arg(long)]
    protocol: String,
    /// How many messages.
    #[arg(long, default_value_t = 100)]
    count: u32,
    /// The same seed gives the same messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Prints messages as JSON lines: `payload` in hexadecimal, and what it says.
///
/// # Errors
/// A language that nobody speaks here.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let language = Language::parse(&args.protocol).with_context(|| {
        format!("--protocol is {:?}; it must be json, jt808, gt06, h02 or teltonika", args.protocol)
    })?;
    let ident = "013800138000";
    let mut vehicle = Vehicle::new(args.seed, 1, 5.0);
    for n in 0..args.count {
        if n == args.count / 2 {
            vehicle.steal();
        }
        vehicle.live(10.0);
        // Whole seconds: not every language has more.
        let mut said = vehicle.measure(1_781_492_245_000 + i64::from(n) * 10_000);
        // Each quarter of the world in turn.
        if n % 4 >= 2 {
            said.lat = -said.lat;
        }
        if n % 2 == 1 {
            said.lon = -said.lon;
        }
        let payload: String = language.message(ident, n, &said).iter().map(|b| format!("{b:02x}")).collect();
        println!(
            "{}",
            json!({ "payload": payload, "at_ms": said.at_ms, "lat": said.lat, "lon": said.lon, "speed_kmh": said.speed_kmh,
                "course_deg": said.course_deg.round() % 360.0, "ignition": said.ignition, "external_power": said.external_power })
        );
    }
    Ok(())
}
