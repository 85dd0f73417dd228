//! Traps of the field as data: each file of `tests/scenarios/` says what a tracker tells and what wakes
//! the owner. A file is TOML; `Step` below documents its words. Written from public reports of what
//! goes wrong with trackers, none of it anybody's data.

use rideguard::domain::{
    AlertKind, Entry, Finding, LatLon, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey, VehicleId,
    Zone, ZoneId, ZoneRule, ZoneShape,
};
use rideguard::fold::{Effects, FoldSettings, LaneState};
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

const HOME: LatLon = LatLon::new(28.55, 112.35);
const METRES_PER_DEGREE_EAST: f64 = 97_670.0;
const START: Timestamp = Timestamp::from_secs(1_770_000_000);
const VEHICLE: VehicleId = VehicleId(7);
/// The vehicle's tracker, and another one that is registered.
const IDENT: &str = "yy7";
const OTHER_IDENT: &str = "yy8";
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Rows of the catalogue and pains that it stands for.
    about: Vec<String>,
    /// What happens, in order.
    steps: Vec<Step>,
    /// What wakes the owner, in order.
    woken: Vec<String>,
    /// What is told without waking anybody, in order; absent: whatever it is.
    informed: Option<Vec<String>>,
    /// Why packets are set aside, each reason once, in the order in which they come first.
    #[serde(default)]
    set_aside: Vec<String>,
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
    /// `fixes`, `arm`, `disarm`, `mark` (what is waited for begins), `wait` (nothing is heard), `zone` (a circle
    /// around `metres`, of `radius_m`).
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
    /// Position instead of metres: latitude, longitude, as JSON says them.
    place: Option<[String; 2]>,
    ignition: Option<bool>,
    /// Whom the packet says that it is from, and whether the broker kept it.
    ident: String,
    retained: bool,
    radius_m: f64,
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
            ignition: None,
            ident: IDENT.into(),
            retained: false,
            radius_m: 0.0,
        }
    }
}

impl Step {
    /// The `n`-th packet, measured at `at`: our own language, with a number that tells it from its like.
    fn payload(&self, n: u32, at: Timestamp, sequence: u64) -> String {
        let stray = |turn: f64| self.stray_m * (f64::from(n) * turn).sin();
        let [lat, lon] = self.place.clone().unwrap_or_else(|| {
            let place = east_of_home(self.metres + f64::from(n) * self.by_m + stray(2.4));
            [(place.lat_deg + stray(1.7) / 111_195.0).to_string(), place.lon_deg.to_string()]
        });
        let at_ms = at.plus_secs_f64(self.clock_s).micros() / 1000;
        let (valid, kmh, deg, sats, hdop) = (self.valid, self.kmh, self.course, self.sats, self.hdop);
        let source = if self.cell { "cell" } else { "gnss" };
        let status = json!({ "external_power": self.power, "moving": self.moving, "ignition": self.ignition });
        format!(
            r#"{{"v":1,"id":"{}","seq":{sequence},"fixes":[{{"t":{at_ms},"lat":{lat},"lon":{lon},"valid":{valid},"kmh":{kmh},"deg":{deg},"sats":{sats},"hdop":{hdop},"src":"{source}"}}],"status":{status}}}"#,
            self.ident
        )
    }
}

fn east_of_home(metres: f64) -> LatLon {
    LatLon::new(HOME.lat_deg, HOME.lon_deg + metres / METRES_PER_DEGREE_EAST)
}

/// The vehicle's life: the lane that hears of it, the time, what was told.
struct Play {
    lane: LaneState,
    now: Timestamp,
    mark: Timestamp,
    packets: u64,
    woken: Vec<(AlertKind, Timestamp, bool)>,
    informed: Vec<String>,
    set_aside: Vec<String>,
}

impl Play {
    fn begin() -> Self {
        let (lane, woken, informed, set_aside) = (LaneState::default(), Vec::new(), Vec::new(), Vec::new());
        let mut play = Self { lane, now: START, mark: START, packets: 0, woken, informed, set_aside };
        for (key, ident, vehicle) in [(1, IDENT, VEHICLE), (2, OTHER_IDENT, VehicleId(8))] {
            let (tracker, vehicle) = (TrackerKey(key), Some(vehicle));
            let (ident, profile) = (TrackerIdent::parse(ident).expect("an ident"), Profile::of("json"));
            play.set(Setting::Tracker { tracker, ident, profile, vehicle, vehicle_kind: None });
        }
        play
    }

    fn set(&mut self, setting: Setting) {
        let effects = self.lane.fold(&Entry::Setting { at: self.now, setting }, &SETTINGS);
        self.tell(effects);
    }

    fn tick(&mut self, at: Timestamp) {
        let effects = self.lane.fold(&Entry::Tick { at }, &SETTINGS);
        self.tell(effects);
    }

    fn tell(&mut self, effects: Effects) {
        let reason = effects.quarantined.map(|q| q.reason.to_owned());
        self.set_aside.extend(reason.filter(|r| !self.set_aside.contains(r)));
        for finding in effects.findings {
            let Finding::Alert(alert) = finding else { continue };
            assert_eq!(alert.vehicle, VEHICLE, "another vehicle has nothing to do with it");
            if alert.kind.wakes_owner() {
                self.woken.push((alert.kind, alert.raised_at, alert.late));
            } else {
                self.informed.push(alert.kind.name().to_owned());
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step.what.as_str() {
            "arm" => self.set(Setting::Arm { vehicle: VEHICLE }),
            "disarm" => self.set(Setting::Disarm { vehicle: VEHICLE }),
            "zone" => {
                let shape = ZoneShape::Circle { centre: east_of_home(step.metres), radius_m: step.radius_m };
                self.set(Setting::Zone(Zone {
                    id: ZoneId(1),
                    name: "zone".into(),
                    shape,
                    rule: ZoneRule::Both,
                    vehicle: Some(VEHICLE),
                    dwell_s: 0,
                    schedule: None,
                    vehicle_kind: None,
                }));
            }
            "mark" => self.mark = self.now,
            "wait" => {
                self.now = self.now.plus_secs_f64(step.every_s);
                self.tick(self.now);
            }
            "fixes" => self.fixes(step),
            other => panic!("a step has no {other:?}"),
        }
    }

    fn fixes(&mut self, step: &Step) {
        let times = |n: u32| self.now.plus_secs_f64(step.every_s * f64::from(n + 1));
        let sequence = |n: u32| self.packets + u64::from(n) + 1;
        let payload = |n: u32| step.payload(n, times(n), sequence(n)).into_bytes();
        let mut packets: Vec<_> = (0..step.count).map(|n| (times(n), payload(n))).collect();
        self.packets += u64::from(step.count);
        let end = packets.last().map_or(self.now, |(at, _)| *at);
        if step.reverse {
            packets.reverse();
        }
        for (n, (measured_at, payload)) in packets.into_iter().enumerate() {
            let live = measured_at.plus_secs_f64(1.0);
            let kept = end.plus_secs_f64(step.kept_s + 0.1 * n as f64);
            let received_at = if step.kept_s > 0.0 { kept } else { live };
            self.tick(received_at);
            for copy in 0..step.copies {
                let topic = format!("v1/{}/{IDENT}/up", Shard::of(IDENT).0);
                let received_at = received_at.plus_secs_f64(0.01 * f64::from(copy));
                let packet = Packet { topic, received_at, payload: payload.clone(), retained: step.retained };
                let effects = self.lane.fold(&Entry::Packet(packet), &SETTINGS);
                self.tell(effects);
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
    let mut play = Play::begin();
    scenario.steps.iter().for_each(|step| play.step(step));
    let kinds: Vec<_> = play.woken.iter().map(|(kind, ..)| kind.name()).collect();
    if kinds != scenario.woken {
        return Err(format!("woken by {kinds:?}, not {:?}", scenario.woken));
    }
    if let Some(informed) = scenario.informed.filter(|i| *i != play.informed) {
        return Err(format!("informed of {:?}, not {informed:?}", play.informed));
    }
    if play.set_aside != scenario.set_aside {
        return Err(format!("set aside for {:?}, not {:?}", play.set_aside, scenario.set_aside));
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
