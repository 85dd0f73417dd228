//! A tracker as its lane knows it. A city has a million of them, so every byte counts here: profiles
//! stand in a table of the lane, and of the status only what its row shows is kept.

use super::doubt::Doubt;
use super::effects::{Effects, FixRow, NewestFix, Quarantined, StatusRow};
use super::judge::{self, FixFlags, Judgement};
use super::recent::Own;
use crate::domain::{
    Datum, Fix, Moment, Outcome, Packet, Profile, Report, Status, Timestamp, TrackerIdent, TrackerKey, VehicleId,
};
use crate::protocol::jt808::Parts;
use crate::protocol::{self, DecodeError};
use serde::{Deserialize, Serialize};

/// Seconds after which a tracker's status row is written although nothing that people see changed.
const STATUS_EVERY_S: f64 = 15.0;

/// See the module.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tracker {
    /// Its row.
    pub key: TrackerKey,
    /// Number of its profile in the lane's table.
    pub profile: u16,
    /// The vehicle that carries it.
    pub vehicle: Option<VehicleId>,
    /// Its last packets.
    pub recent: Own,
    /// What people see.
    pub status: StatusRow,
    status_written_at: Timestamp,
    /// What its last places say against the next.
    #[serde(default)]
    doubt: Doubt,
    /// Parts of a message that is not whole yet.
    #[serde(default)]
    parts: Option<Box<Parts>>,
}

impl Tracker {
    pub fn new(key: TrackerKey) -> Self {
        Self {
            key,
            profile: 0,
            vehicle: None,
            recent: Own::default(),
            status: StatusRow::default(),
            status_written_at: Timestamp::default(),
            doubt: Doubt::default(),
            parts: None,
        }
    }

    /// Forgets where it was; that it is there, and how to read it, stays.
    pub fn forget(&mut self) {
        let (profile, vehicle, recent) = (self.profile, self.vehicle, std::mem::take(&mut self.recent));
        *self = Self { profile, vehicle, recent, ..Self::new(self.key) };
    }

    /// A part of a longer message gives way to the whole, once all parts are there; positions of another
    /// datum become ours.
    pub fn whole(&mut self, profile: &Profile, packet: &Packet, mut report: Report) -> Result<Report, DecodeError> {
        if report.is_part {
            let parts = self.parts.get_or_insert_default();
            let whole = protocol::jt808::decode_with_parts(profile, &packet.payload, parts);
            if parts.is_empty() {
                self.parts = None;
            }
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

    /// Judges every moment and turns it into rows.
    pub fn make_count(
        &mut self,
        packet: &Packet,
        ident: &TrackerIdent,
        report: &Report,
        max_fix_age_s: f64,
    ) -> Effects {
        let is_check_sum_wrong = report.is_check_sum_wrong;
        let mut effects = Effects { outcome: Some(Outcome::Stored), is_check_sum_wrong, ..Effects::default() };
        let before = self.shown();
        self.status.last_heard_at = self.status.last_heard_at.max(packet.received_at);
        let told = |m: &Moment| m.status.firmware.is_some() && m.status.firmware != self.status.firmware;
        let is_firmware_new = report.moments.iter().any(told);
        for moment in &report.moments {
            self.status.merge(&moment.status);
            let Some(fix) = &moment.fix else { continue };
            let newest_at = self.status.newest.as_ref().map(|n| n.fixed_at);
            match judge::judge(fix, moment.buffered, packet.received_at, newest_at, max_fix_age_s) {
                Judgement::Keep { fixed_at, mut flags } => {
                    let fix = judge::without_nonsense(fix, &mut flags);
                    if is_check_sum_wrong {
                        flags.0 |= FixFlags::CHECK_SUM_WRONG;
                    }
                    if flags.is_trustworthy() {
                        flags.0 |= self.doubt.flags(self.status.newest.as_ref(), moment, &fix, fixed_at);
                    }
                    self.take_newest(&fix, fixed_at, packet.received_at, flags);
                    effects.fixes.push(FixRow {
                        tracker: self.key,
                        vehicle: self.vehicle,
                        fixed_at,
                        received_at: packet.received_at,
                        fix,
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
            self.status.newest = Some(NewestFix {
                fixed_at,
                received_at,
                position: fix.position,
                speed_kmh: fix.speed_kmh,
                course_deg: fix.course_deg,
                accuracy_m: fix.accuracy_m,
                satellites: fix.satellites,
                source: fix.source,
            });
        }
    }

    /// What people would see change at once.
    fn shown(&self) -> (Option<bool>, Option<bool>, bool) {
        (self.status.external_power, self.status.ignition, self.status.newest.is_some())
    }
}

impl StatusRow {
    /// Takes over every value that `later` has.
    fn merge(&mut self, later: &Status) {
        macro_rules! take {
            ($($field:ident)*) => { $( if later.$field.is_some() { self.$field.clone_from(&later.$field); } )* };
        }
        take!(battery_percent external_power ignition signal_percent satellites firmware);
    }
}
