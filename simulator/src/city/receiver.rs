//! What one tracker measures and what becomes of its packets: drift, wrong fixes, tunnels, a buffer,
//! vendor quirks.

use super::plan::{City, Doing, Leg, Outage, Theft};
use super::{Place, gauss};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Seconds between packets while shaken or ridden.
const MOVING_EVERY_S: f64 = 10.0;
/// Without an accelerometer a tracker notices a ride by its speed, at a packet of this rhythm.
const BLIND_EVERY_S: f64 = 60.0;
/// Where a receiver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Open,
    Urban,
    Indoor,
}

impl Environment {
    /// As the truth names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Urban => "urban",
            Self::Indoor => "indoor",
        }
    }

    /// Standard deviation of the wandering error, metres, and share of packets without a fix.
    fn sky(self) -> (f64, f64) {
        match self {
            Self::Open => (3.0, 0.001),
            Self::Urban => (7.0, 0.005),
            Self::Indoor => (12.0, 0.05),
        }
    }
}

/// One packet as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    pub seq: u32,
    /// When it was measured, and when it arrives.
    pub at_s: f64,
    pub rx_s: f64,
    /// As measured, and as it is.
    pub place: Place,
    pub truly: Place,
    pub speed_kmh: f64,
    pub course_deg: f64,
    pub satellites: u8,
    pub valid: bool,
    /// A mast's position, not a satellite fix.
    pub is_lbs: bool,
    pub hdop: Option<f64>,
    pub battery: u8,
    pub external_power: bool,
    pub ignition: bool,
    /// Accelerometer, and whether a shake just began; `None` without one.
    pub moving: Option<bool>,
    pub shake: bool,
    pub buffered: bool,
}

/// Something that happened and is no theft, for the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nuisance {
    pub tag: &'static str,
    pub from_s: f64,
    pub to_s: f64,
}

/// A tracker.
pub struct Receiver {
    rng: ChaCha8Rng,
    pub environment: Environment,
    pub has_accelerometer: bool,
    /// Passes mast positions off as satellite fixes with no satellite.
    hides_lbs: bool,
    tells_hdop: bool,
    keeps_packets: bool,
    heartbeat_s: f64,
    wander: (f64, f64),
    wandered_s: f64,
    wrong_until_s: f64,
    wrong: (f64, f64),
    seq: u32,
    battery: f64,
    was_moving: bool,
    last: Option<Place>,
}

impl Receiver {
    /// The tracker of a vehicle.
    pub fn new(city: &City, vehicle: u32) -> Self {
        let mut rng = city.rng(vehicle, 2);
        let environment = match rng.random_range(0..10) {
            0..3 => Environment::Open,
            3..8 => Environment::Urban,
            _ => Environment::Indoor,
        };
        Self {
            environment,
            has_accelerometer: rng.random_bool(0.85),
            hides_lbs: rng.random_bool(0.1),
            tells_hdop: rng.random_bool(0.8),
            keeps_packets: rng.random_bool(0.8),
            heartbeat_s: [60.0, 120.0, 180.0, 300.0][rng.random_range(0..4)],
            wander: (0.0, 0.0),
            wandered_s: 0.0,
            wrong_until_s: 0.0,
            wrong: (0.0, 0.0),
            seq: 0,
            battery: rng.random_range(30.0..100.0),
            was_moving: false,
            last: None,
            rng,
        }
    }

    /// Everything it says in a leg of its vehicle's life, by arrival within the leg's own packets.
    pub fn live(&mut self, leg: &Leg, outages: &[Outage], packets: &mut Vec<Packet>, noise: &mut Vec<Nuisance>) {
        let mut at_s = leg.from_s + self.rng.random_range(0.5..4.0);
        let mut shaken_until_s = 0.0;
        let mut has_seen_speed = false;
        let mut outage_noted_s = 0.0;
        while at_s < leg.to_s && leg.doing != Doing::Stolen(Theft::Silent) {
            let (truly, speed_kmh, course_deg) = leg.at(at_s);
            let is_moving = leg.doing != Doing::Parked && speed_kmh > 0.0 || at_s < shaken_until_s;
            let packet = self.measure(leg, (truly, speed_kmh, course_deg), at_s, is_moving, noise);
            let held = outages.iter().find_map(|o| o.holds(truly, at_s));
            if let Some(until_s) = held.filter(|u| *u > outage_noted_s) {
                outage_noted_s = until_s;
                noise.push(Nuisance { tag: "outage", from_s: at_s, to_s: until_s });
            }
            self.deliver(packet, held, packets);
            has_seen_speed |= speed_kmh > 5.0;
            // Passers-by, wind, trucks: now and then a parked bike is shaken for a while.
            if leg.doing == Doing::Parked && self.rng.random_bool(3.0 * self.heartbeat_s / 86_400.0) {
                shaken_until_s = at_s + self.rng.random_range(10.0..90.0);
            }
            at_s += match (is_moving, self.has_accelerometer, has_seen_speed) {
                (true, true, _) | (true, false, true) => MOVING_EVERY_S,
                (true, false, false) => BLIND_EVERY_S,
                // A shake wakes it before its next heartbeat.
                (false, true, _) if at_s < shaken_until_s => 1.0,
                (false, ..) => self.heartbeat_s,
            } + self.rng.random_range(-0.3..0.3);
        }
    }

    fn measure(
        &mut self,
        leg: &Leg,
        (truly, speed_kmh, course_deg): (Place, f64, f64),
        at_s: f64,
        is_moving: bool,
        noise: &mut Vec<Nuisance>,
    ) -> Packet {
        let (spread_m, blind_share) = self.environment.sky();
        // Gauss-Markov: the error forgets itself within minutes.
        let kept = (-(at_s - self.wandered_s).max(0.0) / 90.0).exp();
        let fresh = spread_m * (1.0 - kept * kept).sqrt();
        self.wander.0 = self.wander.0 * kept + gauss(&mut self.rng) * fresh;
        self.wander.1 = self.wander.1 * kept + gauss(&mut self.rng) * fresh;
        self.wandered_s = at_s;
        if leg.doing == Doing::Parked && self.rng.random_bool(0.4 * self.heartbeat_s / 86_400.0) {
            let far_m = 10f64.powf(self.rng.random_range(1.9..3.3));
            let angle = self.rng.random_range(0.0..std::f64::consts::TAU);
            self.wrong = (far_m * angle.cos(), far_m * angle.sin());
            self.wrong_until_s = at_s + 1.0;
            noise.push(Nuisance { tag: "teleport", from_s: at_s, to_s: at_s + self.heartbeat_s });
        }
        let wrong = if at_s < self.wrong_until_s { self.wrong } else { (0.0, 0.0) };
        let has_no_sky = leg.doing == Doing::Stolen(Theft::Van)
            || leg.tunnel_s.is_some_and(|(from_s, to_s)| (from_s..to_s).contains(&at_s));
        let is_blind = !has_no_sky && self.rng.random_bool(blind_share);
        let mut place = truly.moved(self.wander.0 + wrong.0, self.wander.1 + wrong.1);
        if has_no_sky {
            place = mast_of(truly);
        } else if is_blind {
            place = self.last.unwrap_or(place); // the last one again, called not valid
        }
        self.last = Some(place);
        self.seq += 1;
        self.battery = (self.battery - 0.002).max(20.0);
        let shake = is_moving && !self.was_moving;
        self.was_moving = is_moving;
        let doppler = (speed_kmh + gauss(&mut self.rng) * 0.5).max(0.0);
        Packet {
            seq: self.seq,
            at_s: round(at_s, 1),
            rx_s: at_s + self.rng.random_range(0.3..3.0),
            place,
            truly,
            speed_kmh: if has_no_sky || is_blind { 0.0 } else { round(doppler, 1) },
            course_deg: course_deg.round(),
            satellites: if has_no_sky || is_blind { 0 } else { self.rng.random_range(6..=14) },
            valid: !is_blind,
            is_lbs: has_no_sky && !self.hides_lbs,
            hdop: self.tells_hdop.then(|| round(0.7 + spread_m / 8.0 + self.rng.random_range(0.0..0.4), 2)),
            battery: self.battery as u8,
            external_power: leg.doing != Doing::Stolen(Theft::PowerCut),
            ignition: leg.doing == Doing::Ridden,
            moving: self.has_accelerometer.then_some(is_moving),
            shake: self.has_accelerometer && shake,
            buffered: false,
        }
    }

    /// Without network a packet is kept, or lost; now and then one comes twice.
    fn deliver(&mut self, mut packet: Packet, held_until_s: Option<f64>, packets: &mut Vec<Packet>) {
        if let Some(until_s) = held_until_s {
            if !self.keeps_packets {
                return;
            }
            packet.rx_s = until_s + self.rng.random_range(5.0..90.0);
            packet.buffered = true;
        }
        packet.rx_s = round(packet.rx_s, 1);
        if self.rng.random_bool(0.008) {
            let again = Packet { rx_s: round(packet.rx_s + self.rng.random_range(3.0..20.0), 1), ..packet.clone() };
            packets.push(again);
        }
        packets.push(packet);
    }
}

fn round(value: f64, places: i32) -> f64 {
    (value * 10f64.powi(places)).round() / 10f64.powi(places)
}

/// The mast that answers for a place: one in a square of a kilometre and a half.
fn mast_of(place: Place) -> Place {
    let snap = |degrees: f64| (degrees / 0.013).floor() * 0.013 + 0.006;
    Place { lat: snap(place.lat), lon: snap(place.lon) }
}
