//! When to look at which vehicle, the earliest first, in eight bytes an entry. It says seconds, rounded down: what is due later
//! within its second waits for the next tick, so nothing is raised before its time. An entry may be too early, never too late:
//! a deadline that moved away keeps it, which is cheaper than moving it with every packet.

use crate::domain::{Timestamp, VehicleId};
use crate::guard::state::vehicle::{Vehicle, second_of};
use crate::guard::vehicle_table::VehicleTable;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// See the module: seconds since 1970, and slots in the vehicle table. Only the entry that the vehicle itself names counts.
#[derive(Clone, Debug, Default)]
pub struct Deadlines(BinaryHeap<Reverse<(u32, u32)>>);

impl Deadlines {
    /// Of what the vehicles name.
    pub fn of(table: &VehicleTable) -> Self {
        Self(table.places().filter_map(|(place, v)| Some(Reverse((v.scheduled?.get(), place)))).collect())
    }

    /// Sees to it that an entry is no later than `due`. What was there before is passed over when its time comes.
    pub fn put(&mut self, place: u32, vehicle: &mut Vehicle, due: Timestamp) {
        let Some(second) = second_of(due).filter(|due| vehicle.scheduled.is_none_or(|known| known > *due)) else {
            return;
        };
        vehicle.scheduled = Some(second);
        self.0.push(Reverse((second.get(), place)));
    }

    /// Takes out what may be due by `now`; the vehicles have no entry then.
    pub fn take_due(&mut self, table: &mut VehicleTable, now: Timestamp) -> Vec<VehicleId> {
        let mut taken = Vec::new();
        let Some(now) = second_of(now) else { return taken };
        while let Some(Reverse((second, place))) = self.0.peek().copied().filter(|Reverse((due, _))| *due <= now.get())
        {
            self.0.pop();
            if let Some((id, vehicle)) = table.at(place)
                && vehicle.scheduled.is_some_and(|s| s.get() == second)
            {
                vehicle.scheduled = None;
                taken.push(id);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Alert, AlertKind, Finding, Way};
    use crate::guard::{Guard, Params};

    const START_S: i64 = 1_770_000_000;

    fn after(secs: f64) -> Timestamp {
        Timestamp::from_secs(START_S).plus_secs_f64(secs)
    }

    /// Whose lost contact is raised, in order.
    fn lost(findings: &[Finding]) -> Vec<(i64, Timestamp)> {
        let of = |a: &Alert| (a.kind == AlertKind::LostContact).then_some((a.vehicle.0, a.raised_at));
        findings.iter().filter_map(|f| if let Finding::Alert(a) = f { of(a) } else { None }).collect()
    }

    /// Vehicles 0 to 9 armed within a second, the first last.
    fn armed() -> Guard {
        let mut guard = Guard::new(Params::default());
        for n in 0..10 {
            let at = after(0.95 - 0.1 * n as f64);
            guard.heard(VehicleId(n), at, Way::Broker);
            guard.arm(VehicleId(n), at, at);
        }
        guard
    }

    #[test]
    fn within_a_second_nothing_is_told_before_its_time_and_all_of_it_in_its_order() {
        let (mut guard, mut told) = (armed(), Vec::new());
        for tenth in 0..36_000 {
            let now = after(0.1 * f64::from(tenth));
            let findings = lost(&guard.tick(now));
            assert!(findings.iter().all(|(_, due)| *due <= now && now.seconds_since(*due) <= 0.11), "{findings:?}");
            told.extend(findings);
        }
        assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (0..10).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_checkpoint_changes_neither_what_is_told_nor_its_order() {
        let mut guard = armed();
        let mut again: Guard = rmp_serde::from_slice(&rmp_serde::to_vec_named(&guard).unwrap()).unwrap();
        let (told, told_again) = (guard.tick(after(7200.0)), again.tick(after(7200.0)));
        assert_eq!(lost(&told).len(), 10);
        assert_eq!(told, told_again);
    }

    #[test]
    fn one_whose_vehicle_is_gone_is_passed_over_and_the_next_at_its_place_has_its_own() {
        let mut guard = armed();
        guard.remove(VehicleId(3));
        guard.heard(VehicleId(30), after(600.0), Way::Broker);
        guard.arm(VehicleId(30), after(600.0), after(600.0));
        assert!(guard.advance(VehicleId(3), after(900.0)).is_empty() && guard.snapshot(VehicleId(3)).is_none());
        let told = lost(&guard.tick(after(86_400.0)));
        assert_eq!(told.len(), 10);
        assert!(told.iter().any(|(id, _)| *id == 30) && !told.iter().any(|(id, _)| *id == 3));
    }
}
