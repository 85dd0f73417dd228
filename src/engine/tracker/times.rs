//! A tracker's times: what its clock teaches, and what the times of a packet mean.

use crate::domain::{Packet, Profile, Report};
use crate::engine::clock::{Arrival, LIVE_S, Note, Reading};
use crate::engine::tracker::Tracker;
use smallvec::SmallVec;

impl Tracker {
    /// Reads it by another profile from now on. What was learnt of its clock was learnt by the one before.
    pub fn set_profile(&mut self, profile: u16) {
        if self.profile != profile {
            self.note = Note::of(self.note.announced_s(), false);
            self.set_rare(None, |rare| &mut rare.clock);
        }
        self.profile = profile;
    }

    /// Learns from the times of a packet and puts them right; a reading for each moment.
    pub fn read_clock(
        &mut self,
        profile: &Profile,
        packet: &Packet,
        report: &mut Report,
        max_fix_age_s: f64,
    ) -> SmallVec<[Reading; 1]> {
        let mut clock = self.rare.as_mut().and_then(|r| r.clock.take()).map(|c| *c).unwrap_or_default();
        if let Some(zone_s) = report.announced_zone_s {
            let before = self.note;
            self.note.announce(zone_s);
            if self.note != before {
                clock.set_anew();
            }
        }
        let right_at = self.newest.as_ref().and_then(|n| n.right_at(LIVE_S));
        let arrival = Arrival { received_at: packet.received_at, max_fix_age_s, profile, right_at };
        // Of a batch the newest is the one that was live.
        let live = report.moments.iter().filter(|m| !m.buffered).filter_map(|m| m.fix.as_ref());
        let newest_live = live.filter(|fix| fix.valid).filter_map(|fix| fix.fixed_at).max();
        if let Some(told) = newest_live.filter(|_| !report.is_check_sum_wrong) {
            clock.observe(told, &arrival, &mut self.note);
        }
        let readings = report.moments.iter_mut().map(|moment| {
            let read = |told| clock.read(told, moment.buffered, &arrival, self.note);
            moment.at = moment.at.map(|told| read(told).at);
            let told = moment.fix.as_mut().and_then(|fix| fix.fixed_at.as_mut());
            told.map_or(Reading::of_arrival(packet.received_at), |told| {
                let reading = read(*told);
                *told = reading.at;
                reading
            })
        });
        let readings = readings.collect();
        self.set_rare((!clock.is_empty()).then(|| Box::new(clock)), |rare| &mut rare.clock);
        readings
    }
}
