//! A tracker as its lane knows it. A city has a million of them, so every byte counts here: profiles and
//! firmware versions are in tables of the lane, and what few trackers have is kept apart.

mod times;

use crate::domain::{
    Datum, Fix, Outcome, Packet, Profile, Report, Status, Timestamp, TrackerIdent, TrackerKey, VehicleId,
};
use crate::engine::cell_entry::{CellEntry, Parked};
use crate::engine::clock::{Clock, Note, Reading};
use crate::engine::consistency::{ConsistencyCheck, Place};
use crate::engine::dedup::TrackerDigests;
use crate::engine::effects::{Effects, FixRow, Quarantined, StatusRow};
use crate::engine::firmware_table::FirmwareTable;
use crate::engine::fix_flags::FixFlags;
use crate::engine::ident_table::IdentId;
use crate::engine::interval::ReportInterval;
use crate::engine::status::{LastStatus, Newest};
use crate::engine::trial;
use crate::engine::validation;
use crate::engine::validation::Verdict;
use crate::protocol::jt808::Parts;
use crate::protocol::{self, DecodeError};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Seconds after which a tracker's status row is written although nothing that people see changed.
const STATUS_EVERY_S: u16 = 15;

/// See the module.
#[derive(Clone)]
pub(super) struct Tracker {
    /// Its identifier, as the table keeps it.
    pub ident: IdentId,
    /// Its row.
    pub key: TrackerKey,
    /// Row of the vehicle that carries it, or [`NOBODY`].
    vehicle: i64,
    /// Its last packets.
    pub digests: TrackerDigests,
    /// When it was last heard of.
    pub last_heard_at: Timestamp,
    /// Its newest trustworthy fix, by event time.
    pub newest: Option<Newest>,
    last_status: LastStatus,
    /// When its status row was written last: the low half of the seconds since 1970, as only the last minute is asked for.
    status_written_s: u16,
    /// What few trackers have.
    rare: Option<Box<RareState>>,
    /// Number of its profile in the lane's table.
    pub profile: u16,
    /// Equal places in a row: see [`ConsistencyCheck`].
    equal: u8,
    /// What every tracker keeps of its clock.
    note: Note,
}

/// Seconds since 1970, rounded down; the ends of `u32` (1970, 2106) stand for what is beyond.
fn whole_s(at: Timestamp) -> u32 {
    at.micros().div_euclid(1_000_000).clamp(0, u32::MAX.into()) as u32
}

/// No row has this number: they count from one.
const NOBODY: i64 = i64::MIN;

/// What few trackers have.
#[derive(Clone, Default)]
struct RareState {
    /// The last place that was a jump: see [`ConsistencyCheck`].
    jumped: Option<(Place, u8)>,
    /// Parts of a message that is not whole yet.
    parts: Option<Parts>,
    /// A firmware version for which the lane's table has no room.
    firmware: Option<CompactString>,
    /// A clock that is not simply right.
    clock: Option<Box<Clock>>,
}

impl RareState {
    fn is_empty(&self) -> bool {
        self.jumped.is_none() && self.parts.is_none() && self.firmware.is_none() && self.clock.is_none()
    }
}

/// A tracker as a checkpoint keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct TrackerCheckpoint {
    key: TrackerKey,
    profile: u16,
    vehicle: Option<VehicleId>,
    recent: TrackerDigests,
    status: StatusRow,
    status_written_at: Timestamp,
    #[serde(default, rename = "doubt")]
    consistency: ConsistencyCheck,
    #[serde(default)]
    parts: Option<Parts>,
    #[serde(default)]
    interval: ReportInterval,
    /// All were wide before there were narrow ones, and those of before stand for themselves (schema 0025).
    #[serde(default = "yes")]
    is_wide: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<Box<Clock>>,
    /// The zone that it says its clock has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announced_zone_s: Option<i32>,
    /// Whether its clock was seen right. Checkpoints before this field say nothing of clocks.
    #[serde(default, skip_serializing_if = "is_no")]
    is_clock_right: bool,
}

fn is_no(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

impl Tracker {
    pub fn new(ident: IdentId, key: TrackerKey) -> Self {
        Self {
            ident,
            key,
            vehicle: NOBODY,
            digests: TrackerDigests::default(),
            last_heard_at: Timestamp::default(),
            newest: None,
            last_status: LastStatus::default(),
            status_written_s: 0,
            rare: None,
            profile: 0,
            equal: 0,
            note: Note::default(),
        }
    }

    /// Made again of what a checkpoint kept.
    pub fn of(ident: IdentId, kept: TrackerCheckpoint, firmwares: &mut FirmwareTable) -> Self {
        let mut tracker = Self {
            profile: kept.profile,
            note: Note::of(kept.announced_zone_s, kept.is_clock_right),
            digests: kept.recent,
            last_heard_at: kept.status.last_heard_at,
            newest: kept.status.newest.as_ref().map(|row| Newest::of_row(row, kept.is_wide)),
            last_status: LastStatus::of(&kept.status),
            status_written_s: whole_s(kept.status_written_at) as u16,
            ..Self::new(ident, kept.key)
        };
        tracker.last_status.set_interval(kept.interval);
        tracker.set_vehicle(kept.vehicle);
        tracker.set_consistency(kept.consistency);
        tracker.set_rare(kept.parts, |rare| &mut rare.parts);
        tracker.set_rare(kept.clock, |rare| &mut rare.clock);
        tracker.set_firmware(kept.status.firmware.as_ref(), firmwares);
        tracker
    }

    /// What a checkpoint keeps.
    pub fn kept(&self, firmwares: &FirmwareTable) -> TrackerCheckpoint {
        TrackerCheckpoint {
            key: self.key,
            profile: self.profile,
            vehicle: self.vehicle(),
            recent: self.digests,
            status: self.row(firmwares),
            status_written_at: Timestamp::from_secs(self.status_written_s()),
            consistency: self.consistency(),
            parts: self.rare.as_ref().and_then(|r| r.parts.clone()),
            interval: self.last_status.interval(),
            is_wide: self.newest.as_ref().is_some_and(|n| n.is_wide),
            clock: self.rare.as_ref().and_then(|r| r.clock.clone()),
            announced_zone_s: self.note.announced_s(),
            is_clock_right: self.note.is_right(),
        }
    }

    /// When its status row was written last, seconds since 1970: within 18 hours before it was last heard.
    fn status_written_s(&self) -> i64 {
        let heard_s = whole_s(self.last_heard_at);
        i64::from(heard_s.saturating_sub(u32::from((heard_s as u16).wrapping_sub(self.status_written_s))))
    }

    /// The vehicle that carries it.
    pub fn vehicle(&self) -> Option<VehicleId> {
        (self.vehicle != NOBODY).then_some(VehicleId(self.vehicle))
    }

    pub fn set_vehicle(&mut self, vehicle: Option<VehicleId>) {
        self.vehicle = vehicle.map_or(NOBODY, |v| v.0);
    }

    /// How often it reports, seconds, as far as that is known.
    pub fn report_interval_s(&self) -> Option<u16> {
        self.last_status.interval().usual_s()
    }

    fn row(&self, firmwares: &FirmwareTable) -> StatusRow {
        self.last_status.row(self.last_heard_at, self.newest.as_ref(), self.firmware(firmwares))
    }

    fn firmware<'t>(&'t self, firmwares: &'t FirmwareTable) -> Option<&'t CompactString> {
        let own = self.rare.as_ref().and_then(|r| r.firmware.as_ref());
        own.or_else(|| firmwares.name(self.last_status.firmware?.get() - 1))
    }

    fn set_firmware(&mut self, told: Option<&CompactString>, firmwares: &mut FirmwareTable) {
        self.last_status.firmware = told.and_then(|name| NonZeroU16::new(firmwares.number(name)? + 1));
        let own = told.filter(|_| self.last_status.firmware.is_none()).cloned();
        self.set_rare(own, |rare| &mut rare.firmware);
    }

    fn consistency(&self) -> ConsistencyCheck {
        ConsistencyCheck { jumped: self.rare.as_ref().and_then(|r| r.jumped), equal: self.equal }
    }

    fn set_consistency(&mut self, check: ConsistencyCheck) {
        self.equal = check.equal;
        self.set_rare(check.jumped, |rare| &mut rare.jumped);
    }

    /// Room is taken for what is rare, and given back with the last of it.
    fn set_rare<T>(&mut self, value: Option<T>, which: fn(&mut RareState) -> &mut Option<T>) {
        match (&mut self.rare, value) {
            (None, None) => {}
            (None, value) => *which(self.rare.insert(Box::default())) = value,
            (Some(rare), value) => {
                *which(rare) = value;
                if rare.is_empty() {
                    self.rare = None;
                }
            }
        }
    }

    /// Forgets where it was; that it is there, and how to read it, stays.
    pub fn forget(&mut self) {
        let (profile, vehicle, digests, note) = (self.profile, self.vehicle, self.digests, self.note);
        let clock = self.rare.as_mut().and_then(|r| r.clock.take());
        *self = Self { profile, vehicle, digests, note, ..Self::new(self.ident, self.key) };
        self.set_rare(clock, |rare| &mut rare.clock);
    }

    /// A part of a longer message gives way to the whole, once all parts are there; positions of another
    /// datum become ours.
    pub fn whole(&mut self, profile: &Profile, packet: &Packet, mut report: Report) -> Result<Report, DecodeError> {
        if report.is_part {
            let mut parts = self.rare.as_mut().and_then(|r| r.parts.take()).unwrap_or_default();
            let whole = protocol::decode_with_parts(profile, &packet.payload, &mut parts);
            self.set_rare(Some(parts).filter(|p| !p.is_empty()), |rare| &mut rare.parts);
            report = whole?;
        }
        // The profile's word, or that of its dialect.
        let datum = match profile.datum {
            Datum::Wgs84 => protocol::dialect::of(profile).datum,
            said => said,
        };
        for fix in report.moments.iter_mut().filter_map(|m| m.fix.as_mut()) {
            fix.position = datum.to_wgs84(fix.position);
        }
        Ok(report)
    }

    /// Takes over what a moment says of the tracker; returns whether its firmware is new. One that is older than the
    /// newest (`is_history`) says only what nothing newer has said: a day late, an empty battery is full again.
    fn merge_status(&mut self, status: &Status, is_history: bool, firmwares: &mut FirmwareTable) -> bool {
        self.last_status.merge(status, is_history);
        let known = self.firmware(firmwares);
        let Some(told) =
            status.firmware.as_ref().filter(|told| Some(*told) != known && !(is_history && known.is_some()))
        else {
            return false;
        };
        self.set_firmware(Some(told), firmwares);
        true
    }

    /// Judges every moment and turns it into rows.
    pub fn record_report(
        &mut self,
        (ident, packet): (&TrackerIdent, &Packet),
        report: &Report,
        readings: &[Reading],
        max_fix_age_s: f64,
        firmwares: &mut FirmwareTable,
    ) -> Effects {
        let is_check_sum_wrong = report.is_check_sum_wrong;
        let mut effects = Effects { outcome: Some(Outcome::Stored), is_check_sum_wrong, ..Effects::default() };
        let before = self.shown();
        if self.last_heard_at != Timestamp::default() {
            let mut interval = self.last_status.interval();
            interval.hear(self.last_heard_at, packet.received_at);
            self.last_status.set_interval(interval);
        }
        self.last_heard_at = self.last_heard_at.max(packet.received_at);
        let (mut is_firmware_new, mut is_shaken) = (false, false);
        for (moment, reading) in report.moments.iter().zip(readings) {
            let newest_at = self.newest.as_ref().map(|n| n.fixed_at);
            let Some(fix) = &moment.fix else {
                let is_plausible = |at: &Timestamp| packet.received_at.seconds_since(*at) <= max_fix_age_s;
                let is_older = |at: Timestamp| newest_at.is_some_and(|newest| at < newest);
                let is_history = moment.at.filter(is_plausible).is_some_and(is_older);
                is_shaken |= !is_history && trial::is_shaken(moment);
                is_firmware_new |= self.merge_status(&moment.status, is_history, firmwares);
                continue;
            };
            let verdict =
                validation::validate(fix, reading, moment.buffered, packet.received_at, newest_at, max_fix_age_s);
            is_shaken |= !verdict.is_history() && trial::is_shaken(moment);
            is_firmware_new |= self.merge_status(&moment.status, verdict.is_history(), firmwares);
            match verdict {
                Verdict::Accept { fixed_at, mut flags, .. } => {
                    let fix = validation::without_nonsense(fix, &mut flags);
                    if is_check_sum_wrong {
                        flags.0 |= FixFlags::CHECK_SUM_WRONG;
                    }
                    if flags.is_trustworthy() {
                        let mut check = self.consistency();
                        flags.0 |= check.flags(self.newest.as_ref(), moment, &fix, fixed_at);
                        self.set_consistency(check);
                    }
                    let (cell_entry, parked) = CellEntry::of(fixed_at, fix.position).after(fixed_at, self.parked());
                    if flags.is_shown() {
                        flags.0 |= cell_entry;
                    }
                    self.take_newest(&fix, fixed_at, packet.received_at, flags, parked);
                    effects.fixes.push(FixRow {
                        tracker: self.key,
                        vehicle: self.vehicle(),
                        fixed_at,
                        received_at: packet.received_at,
                        fix,
                        flags,
                    });
                }
                Verdict::Quarantine { reason, detail } => {
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
        let is_unplugged = before.0 == Some(true) && self.last_status.external_power == Some(false);
        effects.signs = trial::signs(self.key, packet.received_at, is_shaken, is_unplugged);
        // Status rows cost more than fixes, so they are written when people would notice.
        let now_s = whole_s(packet.received_at) as u16;
        let is_due = now_s.wrapping_sub(self.status_written_s) >= STATUS_EVERY_S;
        if is_due || is_firmware_new || before != self.shown() {
            self.status_written_s = now_s;
            effects.status = Some((self.key, self.vehicle(), self.row(firmwares)));
        }
        effects
    }

    /// Where it is parked, by its newest fix. Fixes that are not trusted may become entries again where one is already, which costs an
    /// entry and no more.
    fn parked(&self) -> Option<Parked> {
        let newest = self.newest.as_ref()?;
        let (at, position) = (newest.fixed_at, newest.position);
        Some(Parked { at, cells: CellEntry::of(at, position), is_wide: newest.is_wide })
    }

    fn take_newest(&mut self, fix: &Fix, fixed_at: Timestamp, received_at: Timestamp, flags: FixFlags, parked: Parked) {
        let newer = self.newest.as_ref().is_none_or(|n| fixed_at > n.fixed_at);
        if newer && flags.is_trustworthy() {
            self.newest = Some(Newest::of(fix, fixed_at, received_at, parked.is_wide));
        }
    }

    /// What people would see change at once.
    fn shown(&self) -> (Option<bool>, Option<bool>, bool) {
        (self.last_status.external_power, self.last_status.ignition, self.newest.is_some())
    }
}

#[cfg(test)]
mod tests;
