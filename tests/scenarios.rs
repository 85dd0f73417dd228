//! Traps of the field as data: each file of `tests/scenarios/` says what a tracker tells and what wakes
//! the owner. A file is TOML; `Step` below documents its words. Written from public reports of what
//! goes wrong with trackers, none of it anybody's data.

use rideguard::domain::{
    AlertKind, Finding, Fix, FixSource, LatLon, Moment, PacketDigest, Status, Timestamp, VehicleId,
};
use rideguard::guard::{Guard, Params, Seen};
use serde::Deserialize;
use std::path::Path;

const HOME: LatLon = LatLon::new(28.55, 112.35);
const METRES_PER_DEGREE_EAST: f64 = 97_670.0;
const START: Timestamp = Timestamp::from_secs(1_770_000_000);
const VEHICLE: VehicleId = VehicleId(7);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Rows of the catalogue and pains that it stands for.
    about: Vec<String>,
    /// What happens, in order.
    steps: Vec<Step>,
    /// What wakes the owner, in order.
    woken: Vec<String>,
    /// The last of it at most so long after the last mark, seconds.
    within_s: Option<f64>,
    /// Whether the last of it rests on late packets.
    #[serde(default)]
    late: bool,
}

/// Some packets in a row, or a command. Times count from the end of the step before.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// `fixes`, `arm`, `disarm`, `mark` (what is waited for begins), `wait` (nothing is heard).
    what: String,
    /// How many packets.
    count: u32,
    /// Seconds from one to the next, and to the first.
    every_s: f64,
    /// Metres east of home of the first, and how much further each next one is.
    metres: f64,
    by_m: f64,
    /// Errors: each packet strays up to so many metres, by a fixed pattern.
    stray_m: f64,
    kmh: f32,
    course: f32,
    /// What the accelerometer says; absent on trackers without one.
    moving: Option<bool>,
    valid: bool,
    cell: bool,
    sats: u8,
    hdop: f32,
    power: bool,
    /// They arrive together so long after the last one was measured, seconds.
    kept_s: f64,
    /// Newest first.
    reverse: bool,
    /// The tracker's clock is off by this, seconds.
    clock_s: f64,
    /// Each is delivered so many times.
    copies: u32,
    /// Position instead of metres: latitude, longitude.
    place: Option<[f64; 2]>,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            what: "fixes".into(),
            count: 1,
            every_s: 10.0,
            metres: 0.0,
            by_m: 0.0,
            stray_m: 0.0,
            kmh: 0.0,
            course: 90.0,
            moving: None,
            valid: true,
            cell: false,
            sats: 9,
            hdop: 1.0,
            power: true,
            kept_s: 0.0,
            reverse: false,
            clock_s: 0.0,
            copies: 1,
            place: None,
        }
    }
}

impl Step {
    /// The `n`-th packet, measured at `at`.
    fn moment(&self, n: u32, at: Timestamp) -> Moment {
        let stray = |turn: f64| self.stray_m * (f64::from(n) * turn).sin();
        let east_m = self.metres + f64::from(n) * self.by_m + stray(2.4);
        let position = match self.place {
            Some([lat_deg, lon_deg]) => LatLon::new(lat_deg, lon_deg),
            None => LatLon::new(HOME.lat_deg + stray(1.7) / 111_195.0, HOME.lon_deg + east_m / METRES_PER_DEGREE_EAST),
        };
        let fix = Fix {
            fixed_at: Some(at.plus_secs_f64(self.clock_s)),
            valid: self.valid,
            position,
            altitude_m: None,
            speed_kmh: Some(self.kmh),
            course_deg: Some(self.course),
            satellites: Some(self.sats),
            hdop: Some(self.hdop),
            accuracy_m: None,
            source: if self.cell { FixSource::Cell } else { FixSource::Gnss },
        };
        let status = Status { external_power: Some(self.power), moving: self.moving, ..Status::default() };
        Moment { fix: Some(fix), status, ..Moment::default() }
    }
}

/// The vehicle's life: the guard, the time, what woke the owner.
struct Play {
    guard: Guard,
    now: Timestamp,
    mark: Timestamp,
    packets: u64,
    woken: Vec<(AlertKind, Timestamp, bool)>,
}

impl Play {
    fn tell(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if let Finding::Alert(alert) = finding
                && alert.kind.wakes_owner()
            {
                self.woken.push((alert.kind, alert.raised_at, alert.late));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step.what.as_str() {
            "arm" => {
                let findings = self.guard.arm(VEHICLE, self.now, self.now);
                self.tell(findings);
            }
            "disarm" => {
                let findings = self.guard.disarm(VEHICLE, self.now, self.now);
                self.tell(findings);
            }
            "mark" => self.mark = self.now,
            "wait" => {
                self.now = self.now.plus_secs_f64(step.every_s);
                let findings = self.guard.tick(self.now);
                self.tell(findings);
            }
            "fixes" => self.fixes(step),
            other => panic!("a step has no {other:?}"),
        }
    }

    fn fixes(&mut self, step: &Step) {
        let times = |n: u32| self.now.plus_secs_f64(step.every_s * f64::from(n + 1));
        let mut packets: Vec<_> = (0..step.count).map(|n| (times(n), step.moment(n, times(n)))).collect();
        let end = packets.last().map_or(self.now, |(at, _)| *at);
        if step.reverse {
            packets.reverse();
        }
        for (n, (measured_at, moment)) in packets.into_iter().enumerate() {
            let live = measured_at.plus_secs_f64(1.0);
            let kept = end.plus_secs_f64(step.kept_s + 0.1 * n as f64);
            let received_at = if step.kept_s > 0.0 { kept } else { live };
            self.packets += 1;
            let seen = Seen { received_at, digest: PacketDigest(self.packets) };
            let findings = self.guard.tick(received_at);
            self.tell(findings);
            for copy in 0..step.copies {
                let again = Seen { received_at: received_at.plus_secs_f64(0.01 * f64::from(copy)), ..seen };
                let findings = self.guard.consider(VEHICLE, &moment, &again);
                self.tell(findings);
            }
            self.now = received_at;
        }
    }
}

fn play(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).expect("readable");
    let scenario: Scenario = toml::from_str(&text).map_err(|e| e.to_string())?;
    if scenario.about.is_empty() {
        return Err("it names nothing that it is about".into());
    }
    let guard = Guard::new(Params::default());
    let mut play = Play { guard, now: START, mark: START, packets: 0, woken: Vec::new() };
    scenario.steps.iter().for_each(|step| play.step(step));
    let kinds: Vec<_> = play.woken.iter().map(|(kind, ..)| kind.name()).collect();
    if kinds != scenario.woken {
        return Err(format!("woken by {kinds:?}, not {:?}", scenario.woken));
    }
    let Some((_, at, late)) = play.woken.last() else { return Ok(()) };
    let after_s = at.seconds_since(play.mark);
    match scenario.within_s {
        Some(limit_s) if after_s > limit_s => Err(format!("woken after {after_s:.0} s, not within {limit_s} s")),
        _ if *late != scenario.late => Err(format!("late is {late}")),
        _ => Ok(()),
    }
}

#[test]
fn every_trap_of_the_field_is_met() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the folder").map(|e| e.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 25, "only {} scenarios are left", files.len());
    let wrong: Vec<_> = files
        .iter()
        .filter_map(|f| play(f).err().map(|e| format!("{}: {e}", f.file_name().unwrap_or_default().to_string_lossy())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
