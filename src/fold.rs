//! The engine as a fold: one journal entry in, its effects out. Pure.
//!
//! In: an [`Entry`]. Out: [`Effects`], the rows and replies that follow from it. Never: clocks,
//! sockets, SQL. Folding the same journal again gives the same effects, which is what recovery
//! and `rideguard rebuild` rest on.

mod judge;
mod recent;

use crate::domain::{
    Entry, Finding, Fix, LatLon, Moment, Outcome, Packet, PacketDigest, Profile, Report, SessionBy, Setting, Status,
    Timestamp, TrackerIdent, TrackerKey, VehicleId,
};
use crate::guard::{Guard, Params, Seen, Snapshot};
use crate::ingest::topic::{self, Address};
use crate::protocol;
use judge::Judgement;
pub use judge::{FUTURE_S_MAX, FixFlags};
use recent::Recent;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Seconds after which a tracker's status row is written although nothing that people see changed.
const STATUS_EVERY_S: f64 = 15.0;

/// What the fold needs to know beside the journal; the same for a rebuild as for the first run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldSettings {
    /// Oldest plausible fix, seconds before its arrival.
    pub max_fix_age_s: f64,
}

/// Everything one lane believes. Checkpoints keep exactly this.
#[derive(Clone, Serialize, Deserialize)]
pub struct LaneState {
    trackers: HashMap<TrackerIdent, Tracker>,
    guard: Guard,
}

/// A tracker as its lane knows it.
#[derive(Clone, Serialize, Deserialize)]
struct Tracker {
    key: TrackerKey,
    profile: Profile,
    vehicle: Option<VehicleId>,
    recent: Recent,
    status: StatusRow,
    status_written_at: Timestamp,
}

/// A fix as the database keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixRow {
    /// Whose tracker.
    pub tracker: TrackerKey,
    /// In which vehicle, then.
    pub vehicle: Option<VehicleId>,
    /// When, by the tracker's clock (by arrival where it has none).
    pub fixed_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// As measured.
    pub fix: Fix,
    /// What was noticed about it.
    pub flags: FixFlags,
}

/// What people see of a tracker: one row, the newest word on everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusRow {
    /// When it was last heard of.
    pub last_heard_at: Timestamp,
    /// Its newest trustworthy fix, by event time.
    pub newest: Option<NewestFix>,
    /// Its newest status values.
    pub status: Status,
}

/// The newest fix of a tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewestFix {
    /// When, by the tracker's clock.
    pub fixed_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// As measured.
    pub fix: Fix,
}

/// Why a packet was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The tracker, if the topic names one that we know.
    pub tracker: Option<TrackerKey>,
    /// The identifier on the topic, if it has the form of one.
    pub ident: Option<String>,
    /// One word: `topic`, `unknown_tracker`, `retained`, `size`, `decode`, `identity`, `time`, `position`.
    pub reason: &'static str,
    /// One sentence, without positions.
    pub detail: String,
    /// Whether it may be somebody speaking for another.
    pub security: bool,
}

/// Bytes owed to a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Where it listens.
    pub topic: String,
    /// What it is told.
    pub payload: Vec<u8>,
}

/// How a vehicle is guarded.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardRow {
    /// Which vehicle.
    pub vehicle: VehicleId,
    /// Whether it is.
    pub armed: bool,
    /// Since when it is or is not.
    pub since: Timestamp,
    /// Around where, once that is known.
    pub point: Option<LatLon>,
    /// What began or ended it.
    pub by: SessionBy,
}

/// Everything that follows from one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What became of the packet; `None` if the entry is none.
    pub outcome: Option<Outcome>,
    /// Set aside, with the reason.
    pub quarantined: Option<Quarantined>,
    /// New fixes.
    pub fixes: Vec<FixRow>,
    /// The tracker's status row, when it is time to write it.
    pub status: Option<(TrackerKey, Option<VehicleId>, StatusRow)>,
    /// What the guard says.
    pub findings: Vec<Finding>,
    /// Vehicles whose guard changed.
    pub guards: Vec<GuardRow>,
    /// Owed to the tracker, once the journal has the packet.
    pub replies: Vec<Reply>,
}

impl Default for LaneState {
    fn default() -> Self {
        Self { trackers: HashMap::new(), guard: Guard::new(Params::default()) }
    }
}

impl LaneState {
    /// Folds one entry into what is believed, and says what follows.
    pub fn fold(&mut self, entry: &Entry, settings: &FoldSettings) -> Effects {
        let mut effects = match entry {
            Entry::Packet(packet) => self.packet(packet, settings),
            Entry::Setting { at, setting } => self.setting(*at, setting),
            Entry::Tick { at } => Effects { findings: self.guard.tick(*at), ..Effects::default() },
            Entry::Gap { from, to } => {
                self.guard.gap(*from, *to);
                Effects::default()
            }
        };
        self.show_sessions(&mut effects);
        effects
    }

    /// Sessions that began or ended by themselves are shown like those that the owner switched.
    fn show_sessions(&self, effects: &mut Effects) {
        for finding in &effects.findings {
            if let Finding::Session { vehicle, at, .. } = finding
                && !effects.guards.iter().any(|g| g.vehicle == *vehicle)
            {
                effects.guards.push(self.guard_row(*vehicle, *at));
            }
        }
    }

    /// How many trackers this lane knows.
    pub fn trackers(&self) -> usize {
        self.trackers.len()
    }

    /// Whether a packet's topic names a tracker that is registered.
    pub fn knows_sender_of(&self, packet: &Packet) -> bool {
        Address::parse(&packet.topic).is_ok_and(|a| self.trackers.contains_key(&a.ident))
    }

    fn setting(&mut self, at: Timestamp, setting: &Setting) -> Effects {
        let mut effects = Effects::default();
        match setting {
            Setting::Tracker { tracker, ident, profile, vehicle, vehicle_kind } => {
                let known = self.trackers.entry(ident.clone()).or_insert_with(|| Tracker {
                    key: *tracker,
                    profile: profile.clone(),
                    vehicle: None,
                    recent: Recent::default(),
                    status: StatusRow::default(),
                    status_written_at: Timestamp::default(),
                });
                known.key = *tracker;
                known.profile.clone_from(profile);
                known.vehicle = *vehicle;
                if let Some(vehicle) = vehicle {
                    self.guard.set_kind(*vehicle, *vehicle_kind);
                }
            }
            Setting::TrackerRemoved { ident } => {
                self.trackers.remove(ident);
            }
            Setting::Arm { vehicle } => {
                effects.findings = self.guard.arm(*vehicle, at, at);
                effects.guards.push(self.guard_row(*vehicle, at));
            }
            Setting::Disarm { vehicle } => {
                effects.findings = self.guard.disarm(*vehicle, at, at);
                effects.guards.push(self.guard_row(*vehicle, at));
            }
            Setting::Guarding { vehicle, policy } => {
                effects.findings = self.guard.set_policy(*vehicle, policy.clone(), at);
            }
            Setting::Phone { vehicle } => effects.findings = self.guard.phone(*vehicle, at),
            Setting::Answer { vehicle, incident, answer } => {
                effects.findings = self.guard.answer(*vehicle, *incident, *answer, at);
            }
            Setting::Zone(zone) => self.guard.put_zone(zone.clone(), at),
            Setting::ZoneRemoved { zone } => self.guard.remove_zone(*zone, at),
        }
        effects
    }

    fn guard_row(&self, vehicle: VehicleId, at: Timestamp) -> GuardRow {
        let snapshot = self.guard.snapshot(vehicle);
        let armed_at = snapshot.as_ref().and_then(|s| s.armed_at);
        let point = snapshot.filter(|_| armed_at.is_some()).and_then(|s| s.guard_point);
        let by = snapshot.map_or(SessionBy::Owner, |s| s.by);
        GuardRow { vehicle, armed: armed_at.is_some(), since: armed_at.unwrap_or(at), point, by }
    }

    fn packet(&mut self, packet: &Packet, settings: &FoldSettings) -> Effects {
        let digest = packet.digest();
        let (ident, report) = match self.understand(packet) {
            Ok(understood) => understood,
            Err(quarantined) => return set_aside(quarantined),
        };
        let Some(tracker) = self.trackers.get_mut(&ident) else {
            return set_aside(unknown(&ident)); // `understand` has just found it; a bug would show here
        };
        // A repetition changes nothing, but it is answered: its sender has not heard our first answer.
        let replies = replies(&ident, &tracker.profile, &report);
        if carries_time(&report) && tracker.recent.has(digest) {
            return Effects { outcome: Some(Outcome::Duplicate), replies, ..Effects::default() };
        }
        tracker.remember(packet, digest);
        let mut effects = Effects { replies, ..tracker.make_count(packet, &ident, &report, settings) };
        if let Some(vehicle) = tracker.vehicle {
            let before = self.guard.snapshot(vehicle);
            let seen = Seen { received_at: packet.received_at, digest };
            for moment in &report.moments {
                effects.findings.extend(self.guard.consider(vehicle, moment, &seen));
            }
            if report.moments.is_empty() {
                effects.findings.extend(self.guard.heard(vehicle, packet.received_at));
            }
            // The guard point creeps with every parked fix; people are told when it is found or lost.
            let shown = |s: &Option<Snapshot>| s.as_ref().map(|s| (s.armed_at, s.guard_point.is_some(), s.incident));
            let after = self.guard.snapshot(vehicle);
            if shown(&before).is_some() && shown(&before) != shown(&after) {
                effects.guards.push(self.guard_row(vehicle, packet.received_at));
            }
        }
        effects
    }

    /// What is owed to the sender of a packet, without taking it in.
    pub fn replies_to(&self, packet: &Packet) -> Vec<Reply> {
        let Ok((ident, report)) = self.understand(packet) else { return Vec::new() };
        self.trackers.get(&ident).map(|tracker| replies(&ident, &tracker.profile, &report)).unwrap_or_default()
    }

    /// Who sent it and what it says.
    fn understand(&self, packet: &Packet) -> Result<(TrackerIdent, Report), Quarantined> {
        let address = Address::parse(&packet.topic).map_err(|e| Quarantined {
            tracker: None,
            ident: None,
            reason: "topic",
            detail: e.to_string(),
            security: true,
        })?;
        let tracker = self.trackers.get(&address.ident).ok_or_else(|| unknown(&address.ident))?;
        let aside = |reason, detail: String, security| Quarantined {
            tracker: Some(tracker.key),
            ident: Some(address.ident.to_string()),
            reason,
            detail,
            security,
        };
        if packet.retained {
            return Err(aside("retained", "a tracker must not retain its messages".into(), true));
        }
        if packet.payload.len() > Packet::PAYLOAD_BYTES_MAX {
            return Err(aside(
                "size",
                format!("the packet is larger than {} bytes; its first part is kept", Packet::PAYLOAD_BYTES_MAX),
                true,
            ));
        }
        let report = protocol::decode(&tracker.profile, &packet.payload)
            .map_err(|e| aside("decode", format!("{}: {e}", tracker.profile.protocol.0), false))?;
        if !report.tracker_idents.is_empty() && !report.tracker_idents.iter().any(|i| address.ident.is_named_by(i)) {
            let said: String = report.tracker_idents[0].chars().take(32).collect();
            return Err(aside(
                "identity",
                format!("the packet says tracker {said:?}, its topic {}", address.ident),
                true,
            ));
        }
        Ok((address.ident, report))
    }
}

impl Tracker {
    fn remember(&mut self, packet: &Packet, digest: PacketDigest) {
        self.recent.add(digest);
        self.status.last_heard_at = self.status.last_heard_at.max(packet.received_at);
    }

    /// Judges every moment and turns it into rows.
    fn make_count(
        &mut self,
        packet: &Packet,
        ident: &TrackerIdent,
        report: &Report,
        settings: &FoldSettings,
    ) -> Effects {
        let mut effects = Effects { outcome: Some(Outcome::Stored), ..Effects::default() };
        let before = self.shown();
        let told = |m: &Moment| m.status.firmware.is_some() && m.status.firmware != self.status.status.firmware;
        let is_firmware_new = report.moments.iter().any(told);
        for moment in &report.moments {
            self.status.status.merge(&moment.status);
            let Some(fix) = &moment.fix else { continue };
            let newest_at = self.status.newest.as_ref().map(|n| n.fixed_at);
            match judge::judge(fix, moment.buffered, packet.received_at, newest_at, settings.max_fix_age_s) {
                Judgement::Keep { fixed_at, flags } => {
                    self.take_newest(fix, fixed_at, packet.received_at, flags);
                    effects.fixes.push(FixRow {
                        tracker: self.key,
                        vehicle: self.vehicle,
                        fixed_at,
                        received_at: packet.received_at,
                        fix: fix.clone(),
                        flags,
                    });
                }
                Judgement::SetAside { reason, detail } => {
                    // One bad fix sets the packet aside (its bytes are wanted for a look); what
                    // else it says still counts.
                    effects.outcome = Some(Outcome::Quarantined);
                    effects.quarantined.get_or_insert(Quarantined {
                        tracker: Some(self.key),
                        ident: Some(ident.to_string()),
                        reason,
                        detail,
                        security: false,
                    });
                }
            }
        }
        // Status rows cost more than fixes, so they are written when people would notice.
        let is_due = packet.received_at.seconds_since(self.status_written_at) >= STATUS_EVERY_S;
        if is_due || is_firmware_new || before != self.shown() {
            self.status_written_at = packet.received_at;
            effects.status = Some((self.key, self.vehicle, self.status.clone()));
        }
        effects
    }

    fn take_newest(&mut self, fix: &Fix, fixed_at: Timestamp, received_at: Timestamp, flags: FixFlags) {
        let newer = self.status.newest.as_ref().is_none_or(|n| fixed_at > n.fixed_at);
        if newer && flags.is_trustworthy() {
            self.status.newest = Some(NewestFix { fixed_at, received_at, fix: fix.clone() });
        }
    }

    /// What people would see change at once.
    fn shown(&self) -> (Option<bool>, Option<bool>, bool) {
        let status = &self.status.status;
        (status.external_power, status.ignition, self.status.newest.is_some())
    }
}

/// A packet without any time cannot be told from its repetition: two equal heartbeats are two.
fn carries_time(report: &Report) -> bool {
    let timed = |m: &Moment| m.at.is_some() || m.fix.as_ref().is_some_and(|f| f.fixed_at.is_some());
    report.moments.iter().any(timed)
}

fn unknown(ident: &TrackerIdent) -> Quarantined {
    Quarantined {
        tracker: None,
        ident: Some(ident.to_string()),
        reason: "unknown_tracker",
        detail: format!("no tracker is registered as {ident}"),
        security: true,
    }
}

fn set_aside(quarantined: Quarantined) -> Effects {
    Effects { outcome: Some(Outcome::Quarantined), quarantined: Some(quarantined), ..Effects::default() }
}

fn replies(ident: &TrackerIdent, profile: &Profile, report: &Report) -> Vec<Reply> {
    if !profile.wants_replies {
        return Vec::new();
    }
    let topic = topic::down_topic(ident);
    let wire = |bytes: &[u8]| match profile.protocol.0.as_str() {
        "jt808" => protocol::jt808::escape_frame(bytes),
        _ => bytes.to_vec(),
    };
    report.replies.iter().map(|bytes| Reply { topic: topic.clone(), payload: wire(bytes) }).collect()
}

#[cfg(test)]
mod tests;
