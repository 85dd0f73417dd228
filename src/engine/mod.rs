//! The engine as a fold: one journal entry in, its effects out. Pure.
//!
//! In: an [`Entry`]. Out: [`Effects`], the rows and replies that follow from it. Never: clocks,
//! sockets, SQL. Folding the same journal again gives the same effects, which is what recovery
//! and `rideguard rebuild` rest on.

mod cell_entry;
mod clock;
mod consistency;
mod coverage;
mod dedup;
mod effects;
mod firmware_table;
mod fix_flags;
mod ident_table;
mod interval;
mod status;
mod tracker;
mod tracker_table;
mod trial;
mod uncollected;
mod validation;

use crate::domain::topic::Address;
use crate::domain::{
    Entry, Finding, IncidentEnd, Moment, Outcome, Packet, Profile, Report, SessionBy, Setting, Timestamp, TrackerIdent,
    TrackerKey, VehicleId, Way,
};
use crate::guard::{Arrival, Guard, PREFETCH_MAX, Params};
use crate::protocol::{self, DecodeError};
pub use cell_entry::{CellEntry, Parked};
pub use clock::FUTURE_S_MAX;
use dedup::LaneDigests;
pub use effects::{Effects, FixRow, GuardRow, NewestFix, Quarantined, Reply, StatusRow, TrialSign};
pub use fix_flags::FixFlags;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::HashMap;
use tracker::Tracker;
use tracker_table::TrackerTable;
use uncollected::PositioningTable;
pub use uncollected::{FLOOD, Switched};

/// What the fold needs to know beside the journal; the same for a rebuild as for the first run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldSettings {
    /// Oldest plausible fix, seconds before its arrival.
    pub max_fix_age_s: f64,
}

/// Everything one lane believes. Checkpoints keep exactly this.
#[derive(Clone, Deserialize)]
#[serde(from = "LaneCheckpoint")]
pub struct LaneState {
    table: TrackerTable,
    /// Every profile in use, once.
    profiles: Vec<Profile>,
    digests: LaneDigests,
    guard: Guard,
    positioning: PositioningTable,
}

impl Default for LaneState {
    fn default() -> Self {
        Self {
            table: TrackerTable::default(),
            profiles: Vec::new(),
            digests: LaneDigests::default(),
            guard: Guard::new(Params::default()),
            positioning: PositioningTable::default(),
        }
    }
}

/// A checkpoint's form.
#[derive(Deserialize)]
#[serde(rename = "LaneState")]
struct LaneCheckpoint {
    places: HashMap<TrackerIdent, u32>,
    trackers: Vec<tracker::TrackerCheckpoint>,
    profiles: Vec<Profile>,
    recent: LaneDigests,
    guard: Guard,
    #[serde(default)]
    positioning: PositioningTable,
}

impl From<LaneCheckpoint> for LaneState {
    fn from(kept: LaneCheckpoint) -> Self {
        let LaneCheckpoint { places, trackers, profiles, recent, guard, positioning } = kept;
        Self { table: TrackerTable::of(places, trackers), profiles, digests: recent, guard, positioning }
    }
}

impl Serialize for LaneState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut kept = serializer.serialize_struct("LaneState", 7)?;
        kept.serialize_field("places", &self.table.places())?;
        kept.serialize_field("trackers", &self.table.kept())?;
        // Programs before this form of the table ask for it.
        kept.serialize_field("free", &[0u32; 0])?;
        kept.serialize_field("profiles", &self.profiles)?;
        kept.serialize_field("recent", &self.digests)?;
        kept.serialize_field("guard", &self.guard)?;
        kept.serialize_field("positioning", &self.positioning)?;
        kept.end()
    }
}

impl LaneState {
    /// The same, guarded by other parameters from now on.
    #[must_use]
    pub fn with_params(mut self, params: Params) -> Self {
        self.guard.set_params(params);
        self
    }

    /// Applies one entry to what is believed, and says what follows.
    pub fn apply(&mut self, entry: &Entry, settings: &FoldSettings) -> Effects {
        let mut effects = match entry {
            Entry::Packet(packet) => self.packet(packet, settings),
            Entry::Setting { at, setting } => self.setting(*at, setting),
            Entry::Tick { at } => Effects { findings: self.guard.tick(*at), ..Effects::default() },
            Entry::Gap { from, to, cause } => {
                self.guard.coverage_gap(*from, *to, *cause);
                let told = coverage::told_of(*from, *to, *cause);
                Effects { findings: told.into_iter().collect(), ..Effects::default() }
            }
            Entry::Tombstone { .. } => Effects::default(),
            Entry::Flood(flood) => set_aside(self.flood(flood)),
            Entry::Withheld(_) => Effects { outcome: Some(Outcome::Withheld), ..Effects::default() },
        };
        self.show_sessions(&mut effects);
        effects
    }

    /// Applies entries in order. What the next vehicles will need of memory is looked at first, some at a time.
    pub fn apply_all(&mut self, entries: &[Entry], settings: &FoldSettings) -> Vec<Effects> {
        let mut effects = Vec::with_capacity(entries.len());
        for part in entries.chunks(PREFETCH_MAX) {
            let vehicles: Vec<VehicleId> = part.iter().filter_map(|entry| self.vehicle_of(entry)).collect();
            self.guard.prefetch(&vehicles);
            effects.extend(part.iter().map(|entry| self.apply(entry, settings)));
        }
        effects
    }

    /// The vehicle whose packet an entry is.
    fn vehicle_of(&self, entry: &Entry) -> Option<VehicleId> {
        let Entry::Packet(packet) = entry else { return None };
        self.table.get(&Address::parse(&packet.topic).ok()?.ident)?.vehicle()
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
        self.table.len()
    }

    /// Whether a packet's topic names a tracker that is registered.
    pub fn knows_sender_of(&self, packet: &Packet) -> bool {
        Address::parse(&packet.topic).is_ok_and(|a| self.table.place(&a.ident).is_some())
    }

    fn setting(&mut self, at: Timestamp, setting: &Setting) -> Effects {
        let mut effects = Effects::default();
        match setting {
            setting if self.positioning.is_in_vain(setting) => {}
            Setting::Positioning { vehicle, off } => {
                let known = self.guard.snapshot(*vehicle).filter(|_| *off);
                effects.findings = self.switch_positioning(*vehicle, *off, at);
                effects.guards.extend(known.map(|_| self.guard_row(*vehicle, at)));
            }
            Setting::Erased { tracker, from, to } => self.positioning.erase(*tracker, (*from, *to)),
            Setting::Tracker { tracker, ident, profile, vehicle, vehicle_kind } => {
                let profile = self.profile_number(profile);
                let known = self.table.entry(ident, *tracker);
                known.key = *tracker;
                known.set_profile(profile);
                let is_another = known.vehicle() != *vehicle;
                known.set_vehicle(*vehicle);
                if let Some(vehicle) = vehicle {
                    if is_another {
                        self.guard.change_tracker(*vehicle);
                    }
                    self.guard.set_kind(*vehicle, *vehicle_kind);
                }
            }
            Setting::TrackerRemoved { ident } => self.table.remove(ident),
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
            Setting::Answer { vehicle, incident, answer, seen } => {
                effects.findings = self.guard.answer(*vehicle, *incident, (*answer, *seen), at);
            }
            Setting::Zone(zone) => self.guard.put_zone(zone.clone(), at),
            Setting::ZoneRemoved { zone } => self.guard.remove_zone(*zone, at),
            Setting::HandedOver { vehicle } => {
                effects.findings = self.guard.release(*vehicle, at, IncidentEnd::TrackerChanged)
            }
            Setting::Forget { vehicle, trackers } => self.forget(*vehicle, trackers),
        }
        effects
    }

    /// Nothing is left of where a vehicle was. Its trackers stay known; one that another vehicle carries by
    /// now is that one's.
    fn forget(&mut self, vehicle: VehicleId, trackers: &[TrackerKey]) {
        self.guard.remove(vehicle);
        let is_its = |t: &Tracker| t.vehicle() == Some(vehicle) || (t.vehicle().is_none() && trackers.contains(&t.key));
        self.table.iter_mut().filter(|t| is_its(t)).for_each(Tracker::forget);
    }

    /// The number of a profile in the table; the table grows with the kinds of trackers, not with trackers.
    fn profile_number(&mut self, profile: &Profile) -> u16 {
        let number = self.profiles.iter().position(|p| p == profile).unwrap_or_else(|| {
            self.profiles.push(profile.clone());
            self.profiles.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// A tracker and how to read it.
    fn known(&self, ident: &TrackerIdent) -> Option<(&Tracker, &Profile)> {
        let tracker = self.table.get(ident)?;
        Some((tracker, self.profiles.get(usize::from(tracker.profile))?))
    }

    fn guard_row(&self, vehicle: VehicleId, at: Timestamp) -> GuardRow {
        let snapshot = self.guard.snapshot(vehicle);
        let armed_at = snapshot.as_ref().and_then(|s| s.armed_at);
        let point = snapshot.filter(|_| armed_at.is_some()).and_then(|s| s.guard_point);
        let by = snapshot.map_or(SessionBy::Owner, |s| s.by);
        GuardRow { vehicle, told_at: at, armed: armed_at.is_some(), since: armed_at.unwrap_or(at), point, by }
    }

    fn packet(&mut self, packet: &Packet, settings: &FoldSettings) -> Effects {
        let digest = packet.digest();
        let (ident, report) = match self.decode(packet) {
            Ok(understood) => understood,
            Err(quarantined) => return set_aside(quarantined),
        };
        // A repetition changes nothing, but it is answered: its sender has not heard our first answer.
        let replies = self.replies(&ident, &report, packet.way);
        let place = self.table.place(&ident);
        let Some((tracker, firmwares)) = place.and_then(|p| self.table.at(p)) else {
            return set_aside(unknown(&ident)); // `decode` has just found it; a bug would show here
        };
        if carries_time(&report) && (tracker.digests.has(digest) || self.digests.has(digest)) {
            return Effects { outcome: Some(Outcome::Duplicate), replies, ..Effects::default() };
        }
        tracker.digests.add(digest);
        self.digests.add(digest);
        let Some(profile) = self.profiles.get(usize::from(tracker.profile)) else { return set_aside(unknown(&ident)) };
        let mut report = match tracker.whole(profile, packet, report) {
            Ok(report) => report,
            Err(error) => return Effects { replies, ..set_aside(undecodable(tracker, profile, &ident, &error)) },
        };
        let mut readings = tracker.read_clock(profile, packet, &mut report, settings.max_fix_age_s);
        self.positioning.drop_uncollected(tracker, &mut report, &mut readings);
        let effects = tracker.record_report((&ident, packet), &report, &readings, settings.max_fix_age_s, firmwares);
        let mut effects = Effects { replies, ..effects };
        // A packet that is set aside as a whole has its bytes kept already.
        if let (Some(detail), None) = (&report.left_over, &effects.quarantined) {
            effects.left_over = Some(Quarantined {
                tracker: Some(tracker.key),
                ident: Some(ident.to_string()),
                reason: LEFT_OVER,
                detail: format!("{}: {}", profile.protocol.0, detail.split(" (").next().unwrap_or_default()),
                security: false,
            });
        }
        if let Some(vehicle) = tracker.vehicle() {
            let before = self.guard.visible_state(vehicle);
            let seen = Arrival {
                received_at: packet.received_at,
                digest,
                report_interval_s: tracker.report_interval_s(),
                way: packet.way,
            };
            for moment in &report.moments {
                effects.findings.extend(self.guard.consider(vehicle, moment, &seen));
            }
            if report.moments.is_empty() {
                effects.findings.extend(self.guard.heard(vehicle, packet.received_at, packet.way));
            }
            // The guard point creeps with every parked fix; people see when it is found or lost.
            if before.is_some() && before != self.guard.visible_state(vehicle) {
                effects.guards.push(self.guard_row(vehicle, packet.received_at));
            }
        }
        effects
    }

    /// What is owed to the sender of a packet, without taking it in; `None` if nobody can read it.
    pub fn replies_to(&self, packet: &Packet) -> Option<Vec<Reply>> {
        self.decode(packet).map(|(ident, report)| self.replies(&ident, &report, packet.way)).ok()
    }

    fn replies(&self, ident: &TrackerIdent, report: &Report, way: Way) -> Vec<Reply> {
        // On a socket of its own the door answers: an answer belongs to the connection that its packet came by.
        let is_answered = way == Way::Socket;
        let Some((_, profile)) = self.known(ident).filter(|(_, p)| p.wants_replies && !is_answered) else {
            return Vec::new();
        };
        let wire = |bytes: &[u8]| match profile.protocol.0.as_str() {
            "jt808" => protocol::jt808::escape_frame(bytes),
            _ => bytes.to_vec(),
        };
        let reply = |bytes| Reply { ident: ident.clone(), payload: wire(bytes), sequence: report.sequence };
        report.replies.iter().map(|bytes| reply(bytes)).collect()
    }

    /// Who sent it and what it says.
    fn decode(&self, packet: &Packet) -> Result<(TrackerIdent, Report), Quarantined> {
        let address = Address::parse(&packet.topic).map_err(|e| Quarantined {
            tracker: None,
            ident: None,
            reason: "topic",
            detail: e.to_string(),
            security: true,
        })?;
        let (tracker, profile) = self.known(&address.ident).ok_or_else(|| unknown(&address.ident))?;
        let aside = |reason, detail: String, security| Quarantined {
            tracker: Some(tracker.key),
            ident: Some(address.ident.to_string()),
            reason,
            detail,
            security,
        };
        if packet.way == Way::Retained {
            return Err(aside("retained", "a tracker must not retain its messages".into(), true));
        }
        if packet.payload.len() > Packet::PAYLOAD_BYTES_MAX {
            return Err(aside(
                "size",
                format!("the packet is larger than {} bytes; its first part is kept", Packet::PAYLOAD_BYTES_MAX),
                true,
            ));
        }
        let report = protocol::decode(profile, &packet.payload)
            .map_err(|error| undecodable(tracker, profile, &address.ident, &error))?;
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

/// Reason of a quarantine that is beside a stored packet. Its row does not count as a packet.
pub const LEFT_OVER: &str = "left_over";

/// A packet without any time cannot be told from its repetition: two equal heartbeats are two.
fn carries_time(report: &Report) -> bool {
    let timed = |m: &Moment| m.at.is_some() || m.fix.as_ref().is_some_and(|f| f.fixed_at.is_some());
    report.moments.iter().any(timed)
}

fn undecodable(tracker: &Tracker, profile: &Profile, ident: &TrackerIdent, error: &DecodeError) -> Quarantined {
    Quarantined {
        tracker: Some(tracker.key),
        ident: Some(ident.to_string()),
        reason: "decode",
        detail: format!("{}: {error}", profile.protocol.0),
        security: false,
    }
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

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod way_tests;
