//! Traps of the field as data: each file of `tests/scenarios/` says what a tracker tells and what wakes
//! the owner. A file is TOML; `Step` below documents its words. Written from public reports of what
//! goes wrong with trackers, none of it anybody's data.

use rideguard::domain::{
    AlertKind, Datum, Entry, Finding, LatLon, Packet, Profile, Setting, Shard, Timestamp, TrackerIdent, TrackerKey,
    VehicleId, Way, Zone, ZoneId, ZoneRule, ZoneShape, datum,
};
use rideguard::engine::{Effects, FoldSettings, LaneState};
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

const HOME: LatLon = LatLon::new(28.55, 112.35);
const METRES_PER_DEGREE_EAST: f64 = 97_670.0;
const START: Timestamp = Timestamp::from_secs(1_770_000_000);
const VEHICLE: VehicleId = VehicleId(7);
const OTHER_VEHICLE: VehicleId = VehicleId(8);
/// The vehicle's tracker, and another one that is registered.
const IDENT: &str = "yy7";
const OTHER_IDENT: &str = "yy8";
const SETTINGS: FoldSettings = FoldSettings { max_fix_age_s: 30.0 * 86_400.0 };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Rows of the catalogue and pains that it stands for.
    about: Vec<String>,
    /// The datum in which the tracker shows positions.
    #[serde(default)]
    datum: Datum,
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
    /// around `metres`, of `radius_m`, with `rule`; the city's where it is not `own`), `hand over` (the tracker is
    /// put into another vehicle).
    what: String,
    /// How many packets, or zones.
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
    batt: Option<u8>,
    /// These bytes instead of our own language, hexadecimal.
    raw: Option<String>,
    /// They arrive together so long after the last one was measured, seconds.
    kept_s: f64,
    /// Newest first.
    reverse: bool,
    /// The tracker's clock is off by this, seconds.
    clock_s: f64,
    /// It stands at the end of the step before.
    clock_stands: bool,
    /// The number of each packet is that of the one before the step.
    number_stands: bool,
    /// Each is delivered so many times.
    copies: u32,
    /// Position instead of metres: latitude, longitude, as JSON says them.
    place: Option<[String; 2]>,
    ignition: Option<bool>,
    /// Whom the packet says that it is from, and whether the broker kept it.
    ident: String,
    retained: bool,
    radius_m: f64,
    rule: ZoneRule,
    dwell_s: u32,
    own: bool,
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
            batt: None,
            raw: None,
            kept_s: 0.0,
            reverse: false,
            clock_s: 0.0,
            clock_stands: false,
            number_stands: false,
            copies: 1,
            place: None,
            ignition: None,
            ident: IDENT.into(),
            retained: false,
            radius_m: 0.0,
            rule: ZoneRule::Both,
            dwell_s: 0,
            own: true,
        }
    }
}

impl Step {
    /// The `n`-th packet, measured at `at`: our own language, with a number that tells it from its like.
    fn payload(&self, n: u32, at: Timestamp, sequence: u64, datum: Datum) -> String {
        let stray = |turn: f64| self.stray_m * (f64::from(n) * turn).sin();
        let [lat, lon] = self.place.clone().unwrap_or_else(|| {
            let mut place = east_of_home(self.metres + f64::from(n) * self.by_m + stray(2.4));
            place.lat_deg += stray(1.7) / 111_195.0;
            let shown = if datum == Datum::Gcj02 { datum::shift(place) } else { place };
            [shown.lat_deg.to_string(), shown.lon_deg.to_string()]
        });
        let at_ms = at.plus_secs_f64(self.clock_s).micros() / 1000;
        let (valid, kmh, deg, sats, hdop) = (self.valid, self.kmh, self.course, self.sats, self.hdop);
        let source = if self.cell { "cell" } else { "gnss" };
        let (power, moving, ignition) = (self.power, self.moving, self.ignition);
        let status = json!({ "external_power": power, "moving": moving, "ignition": ignition, "battery": self.batt });
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
    datum: Datum,
    now: Timestamp,
    mark: Timestamp,
    packets: u64,
    zones: i64,
    woken: Vec<(AlertKind, Timestamp, bool)>,
    informed: Vec<String>,
    set_aside: Vec<String>,
}

impl Play {
    fn begin(datum: Datum) -> Self {
        let (lane, woken, informed, set_aside) = (LaneState::default(), Vec::new(), Vec::new(), Vec::new());
        let mut play = Self { lane, datum, now: START, mark: START, packets: 0, zones: 0, woken, informed, set_aside };
        play.put_into(1, IDENT, VEHICLE);
        play.put_into(2, OTHER_IDENT, OTHER_VEHICLE);
        play
    }

    fn put_into(&mut self, key: i64, ident: &str, vehicle: VehicleId) {
        let (tracker, vehicle) = (TrackerKey(key), Some(vehicle));
        let ident = TrackerIdent::parse(ident).expect("an ident");
        let profile = Profile { datum: self.datum, ..Profile::of("json") };
        self.set(Setting::Tracker { tracker, ident, profile, vehicle, vehicle_kind: None });
    }

    fn set(&mut self, setting: Setting) {
        let effects = self.lane.apply(&Entry::Setting { at: self.now, setting }, &SETTINGS);
        self.tell(effects);
    }

    fn tick(&mut self, at: Timestamp) {
        let effects = self.lane.apply(&Entry::Tick { at }, &SETTINGS);
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
                for n in 0..step.count {
                    let centre = east_of_home(step.metres + f64::from(n) * step.by_m);
                    self.zones += 1;
                    self.set(Setting::Zone(Zone {
                        id: ZoneId(self.zones),
                        name: "zone".into(),
                        shape: ZoneShape::Circle { centre, radius_m: step.radius_m },
                        rule: step.rule,
                        vehicle: step.own.then_some(VEHICLE),
                        dwell_s: step.dwell_s,
                        schedule: None,
                        vehicle_kind: None,
                    }));
                }
            }
            "hand over" => self.put_into(1, IDENT, OTHER_VEHICLE),
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
        let sequence = |n: u32| self.packets + if step.number_stands { 0 } else { u64::from(n) + 1 };
        let clock = |n: u32| if step.clock_stands { self.now } else { times(n) };
        let payload = |n: u32| match &step.raw {
            Some(raw) => hex::decode(raw).expect("hexadecimal"),
            None => step.payload(n, clock(n), sequence(n), self.datum).into_bytes(),
        };
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
                let packet =
                    Packet { topic, received_at, payload: payload.clone(), way: Way::by_broker(step.retained) };
                let effects = self.lane.apply(&Entry::Packet(packet), &SETTINGS);
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
    let mut play = Play::begin(scenario.datum);
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
    assert!(files.len() >= 60, "only {} scenarios are left", files.len());
    let wrong: Vec<_> = files
        .iter()
        .filter_map(|f| play(f).err().map(|e| format!("{}: {e}", f.file_name().unwrap_or_default().to_string_lossy())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
