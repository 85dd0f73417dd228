//! What one watcher of the live map may see, and what he has been told.

use crate::api::codes::Code;
use crate::api::live_state::{Memory, Scope, Watch};
use crate::api::session::Role;
use crate::domain::{LatLon, Timestamp};
use crate::store::proof::Proof;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};

/// Most vehicles in one message.
const VEHICLES_MAX: usize = 5000;
/// Radius of the sphere that has the Earth's area, km.
const EARTH_KM: f64 = 6371.007;
/// Bytes of an operator's id for a vehicle: that two of a million vehicles share one is a chance of 10⁻¹⁷.
const PSEUDONYM_BYTES: usize = 12;

/// Why a view is not shown: its code, and what the code says.
pub(super) type Refused = (Code, Value);

/// Who watches, and what they may see.
pub(super) struct Watcher {
    pub(super) account: i64,
    pub(super) role: Role,
    pub(super) grant: Option<i64>,
    pub(super) session: Proof,
    /// What opened the stream: its rows of audit are by it.
    pub(super) ticket: Proof,
    /// West, south, east, north, degrees. Police are shown nothing without one.
    pub(super) bbox: Option<[f64; 4]>,
    /// Largest view that the grant allows, km² (police).
    pub(super) area_km2_max: Option<f64>,
    /// The organisation of the account: its vehicles are an operator's to see.
    pub(super) organisation: Option<i64>,
    /// Vehicles of this account, and since when (owners).
    pub(super) owned: BTreeMap<i64, Timestamp>,
    /// Whether some of them are somebody else's, who lets the account see them.
    pub(super) is_shared: bool,
    /// Vehicles told since the last row of audit.
    pub(super) told: BTreeSet<i64>,
    /// Counts the stream among those that are open.
    pub(super) watch: Option<Watch>,
    /// Everything up to this version has been sent.
    seen_version: u64,
    /// A look through the memory that one message could not hold: where it goes on, and the version
    /// at its start.
    rest: Option<(i64, u64)>,
    shown: BTreeSet<i64>,
    /// Whether a vehicle that is shown has no place any more: everything is to be told again.
    has_lost: bool,
    /// Turns numbers of vehicles into an operator's ids, which mean nothing outside of this stream.
    key: Hmac<Sha256>,
}

impl Watcher {
    pub(super) fn new(account: i64, role: Role, grant: Option<i64>, session: Proof, ticket: Proof) -> Self {
        let key = <Hmac<Sha256> as KeyInit>::new(&rand::random::<[u8; 64]>().into());
        Self {
            account,
            role,
            grant,
            session,
            ticket,
            bbox: None,
            area_km2_max: None,
            organisation: None,
            owned: BTreeMap::new(),
            is_shared: false,
            told: BTreeSet::new(),
            watch: None,
            seen_version: 0,
            rest: None,
            shown: BTreeSet::new(),
            has_lost: false,
            key,
        }
    }

    /// Whether messages for this owner are for this watcher.
    pub(super) fn is_owner(&self, account: i64) -> bool {
        self.role.sees_own() && account == self.account
    }

    /// The view that a client's message asks for: west, south, east, north, degrees.
    pub(super) fn view_in(said: &str) -> Option<[f64; 4]> {
        let message: Value = serde_json::from_str(said).ok()?;
        if message["type"] != "view" {
            return None;
        }
        serde_json::from_value(message["bbox"].clone()).ok()
    }

    /// Takes a new view; the next changes are everything in it. One that the grant does not allow shows nothing.
    pub(super) fn look_at(&mut self, view: [f64; 4]) -> Result<(), Refused> {
        self.bbox = None;
        self.begin_again();
        self.allows(view)?;
        self.bbox = Some(view);
        Ok(())
    }

    /// Whether the grant allows a view. Owners see their own wherever it is, and operators see no plates.
    pub(super) fn allows(&self, [west, south, east, north]: [f64; 4]) -> Result<(), Refused> {
        if self.role != Role::Police {
            return Ok(());
        }
        let corners = [LatLon::new(south, west), LatLon::new(north, east)];
        if corners.iter().any(|c| !c.is_in_range()) || west >= east || south >= north {
            return Err((Code::BadBox, json!({})));
        }
        let (low, high) = (south.to_radians().sin(), north.to_radians().sin());
        let km2 = EARTH_KM * EARTH_KM * (east - west).to_radians() * (high - low);
        let max = self.area_km2_max.unwrap_or(0.0);
        if km2 > max {
            return Err((Code::ViewTooLarge, json!({ "km2": km2.round(), "km2_max": max })));
        }
        Ok(())
    }

    /// Takes what the account owns now; `true` if that has changed, and everything is to be told again.
    pub(super) fn owns_now(&mut self, owned: BTreeMap<i64, Timestamp>) -> bool {
        let has_changed = self.owned != owned;
        self.owned = owned;
        if has_changed {
            self.begin_again();
        }
        has_changed
    }

    /// Whether one that was shown has lost its place since the last look; the next changes are everything then.
    pub(super) fn begins_again(&mut self) -> bool {
        let has_lost = std::mem::take(&mut self.has_lost);
        if has_lost {
            self.begin_again();
        }
        has_lost
    }

    fn begin_again(&mut self) {
        (self.seen_version, self.rest) = (0, None);
        self.shown.clear();
    }

    /// What changed since the last message, as this watcher may see it.
    pub(super) fn changes(&mut self, memory: &Memory) -> Vec<Value> {
        let mut out = self.changed(memory);
        if self.role == Role::Operator {
            // In the order of numbers, the n-th dot would be the n-th tracker.
            out.sort_unstable_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
        }
        out
    }

    fn changed(&mut self, memory: &Memory) -> Vec<Value> {
        let mut out = Vec::new();
        if self.role == Role::Police && self.bbox.is_none() {
            return out;
        }
        let (first, version) = self.rest.take().unwrap_or((i64::MIN, memory.version));
        for (vehicle, place) in memory.vehicles.range(first..) {
            if out.len() >= VEHICLES_MAX {
                self.rest = Some((*vehicle, version));
                return out;
            }
            let Some((lat, lon, fixed_at, speed_kmh)) = place.at else {
                self.has_lost |= place.version > self.seen_version && self.shown.remove(vehicle);
                continue;
            };
            if place.version <= self.seen_version || !self.may_see(*vehicle, place.organisation, fixed_at) {
                continue;
            }
            let inside = self.bbox.is_none_or(|[west, south, east, north]| {
                (west..=east).contains(&lon) && (south..=north).contains(&lat)
            });
            // One that leaves the view is sent once more, so that it does not stand at the edge for ever.
            if !inside && !self.shown.remove(vehicle) {
                continue;
            }
            if inside {
                self.shown.insert(*vehicle);
            }
            self.told.insert(*vehicle);
            let mut told = json!({ "lat": lat, "lon": lon, "fixed_at": fixed_at.to_string(), "speed_kmh": speed_kmh });
            match self.role {
                Role::Owner | Role::Family | Role::Police => {
                    told["id"] = vehicle.to_string().into();
                    (told["armed"], told["incident"]) = (place.armed.into(), place.incident.into());
                }
                Role::Operator | Role::Installer | Role::Approver | Role::Auditor | Role::Admin => {
                    told["id"] = self.pseudonym(*vehicle).into();
                }
            }
            if self.role.sees_own() {
                told["plate"] = place.plate.clone().into();
            }
            out.push(told);
        }
        self.seen_version = version;
        out
    }
}

impl Watcher {
    /// Owners and family see what is theirs, from the time since which the owner has it. Police see what is in their view,
    /// operators what their organisation looks after. No other role watches.
    fn may_see(&self, vehicle: i64, organisation: Option<i64>, fixed_at: Timestamp) -> bool {
        match self.role {
            Role::Owner | Role::Family => self.owned.get(&vehicle).is_some_and(|since| *since <= fixed_at),
            Role::Police => true,
            Role::Operator => organisation == self.organisation,
            Role::Installer | Role::Approver | Role::Auditor | Role::Admin => false,
        }
    }

    /// What of the memory this watcher may see.
    pub(super) fn scope(&self) -> Scope {
        match self.role {
            Role::Police => Scope::All,
            Role::Operator => Scope::Organisation(self.organisation),
            Role::Owner | Role::Family | Role::Installer | Role::Approver | Role::Auditor | Role::Admin => Scope::Own,
        }
    }

    /// Takes the organisation of now; one of another is told everything again.
    pub(super) fn is_of(&mut self, organisation: Option<i64>) {
        if std::mem::replace(&mut self.organisation, organisation) != organisation {
            self.begin_again();
        }
    }

    /// An operator's dots tell neither which vehicle each is nor whether it is guarded.
    fn pseudonym(&self, vehicle: i64) -> String {
        let mut mac = self.key.clone();
        mac.update(&vehicle.to_be_bytes());
        hex::encode(&mac.finalize().into_bytes()[..PSEUDONYM_BYTES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live_state::Place;

    fn memory() -> Memory {
        let place = |lon| Place {
            plate: "湘H00001".into(),
            at: Some((28.5, lon, Timestamp::from_secs(1), None)),
            armed: true,
            incident: false,
            organisation: None,
            version: 1,
            looked: 0,
        };
        Memory { version: 1, vehicles: BTreeMap::from([(1, place(112.3)), (2, place(113.0))]), ..Memory::default() }
    }

    fn watcher(role: Role) -> Watcher {
        let mut watcher = Watcher::new(10, role, None, Proof::shown("session"), Proof::shown("ticket"));
        watcher.owned = owned(&[(1, 1)]);
        watcher.area_km2_max = Some(20_000.0);
        watcher
    }

    const REGION: [f64; 4] = [112.0, 28.0, 113.2, 29.0];

    fn owned(since_s: &[(i64, i64)]) -> BTreeMap<i64, Timestamp> {
        since_s.iter().map(|(vehicle, since_s)| (*vehicle, Timestamp::from_secs(*since_s))).collect()
    }

    fn view(watcher: &mut Watcher, said: &str) -> bool {
        Watcher::view_in(said).is_some_and(|view| watcher.look_at(view).is_ok())
    }

    #[test]
    fn an_owner_sees_only_what_is_his() {
        let seen = watcher(Role::Owner).changes(&memory());
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0]["id"].as_str(), seen[0]["plate"].as_str()), (Some("1"), Some("湘H00001")));
    }

    #[test]
    fn roles_that_do_not_watch_are_told_nothing_and_family_what_is_shared() {
        for role in [Role::Installer, Role::Approver, Role::Auditor, Role::Admin] {
            assert!(watcher(role).changes(&memory()).is_empty(), "{role:?}");
        }
        let seen = watcher(Role::Family).changes(&memory());
        assert_eq!((seen.len(), seen[0]["id"].as_str()), (1, Some("1")));
    }

    #[test]
    fn what_is_sold_is_told_no_more_whatever_the_memory_says() {
        let (mut watcher, mut memory) = (watcher(Role::Owner), memory());
        assert!(!watcher.owns_now(owned(&[(1, 1)])));
        assert_eq!(watcher.changes(&memory).len(), 1);
        assert!(watcher.owns_now(owned(&[])));
        memory.version = 2;
        memory.vehicles.get_mut(&1).unwrap().version = 2;
        assert!(watcher.changes(&memory).is_empty());
    }

    #[test]
    fn a_buyer_is_not_told_where_the_vehicle_was_before() {
        let mut watcher = watcher(Role::Owner);
        watcher.owns_now(owned(&[(2, 2)]));
        let mut memory = memory();
        assert!(watcher.changes(&memory).is_empty(), "the fix is of second 1");
        memory.version = 2;
        let bought = memory.vehicles.get_mut(&2).unwrap();
        (bought.version, bought.at) = (2, Some((28.5, 113.0, Timestamp::from_secs(2), None)));
        assert_eq!(watcher.changes(&memory).len(), 1);
    }

    #[test]
    fn an_operator_sees_neither_plates_nor_numbers_nor_what_is_guarded() {
        let (mut one, mut other) = (watcher(Role::Operator), watcher(Role::Operator));
        let (seen, elsewhere) = (one.changes(&memory()), other.changes(&memory()));
        assert_eq!(seen.len(), 2);
        let names: BTreeSet<_> = seen[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["fixed_at", "id", "lat", "lon", "speed_kmh"]));
        let ids = |seen: &[Value]| seen.iter().map(|v| v["id"].to_string()).collect::<BTreeSet<_>>();
        assert_eq!(ids(&seen).len(), 2);
        assert!(ids(&seen).is_disjoint(&ids(&elsewhere)), "another stream has other ids");
        let mut again = memory();
        (again.version, again.vehicles.get_mut(&1).unwrap().version) = (2, 2);
        assert!(ids(&seen).contains(&one.changes(&again)[0]["id"].to_string()), "within a stream they stay");
        assert!(seen[0]["id"].as_str() < seen[1]["id"].as_str(), "not in the order of vehicles");
    }

    #[test]
    fn each_vehicle_is_counted_once_between_two_rows_of_audit() {
        let (mut watcher, mut memory) = (watcher(Role::Police), memory());
        watcher.look_at(REGION).unwrap();
        watcher.changes(&memory);
        (memory.version, memory.vehicles.get_mut(&1).unwrap().version) = (2, 2);
        watcher.changes(&memory);
        assert_eq!(watcher.told.len(), 2);
        watcher.told.clear();
        assert!(view(&mut watcher, r#"{"type":"view","bbox":[112.0,28.0,112.5,29.0]}"#));
        watcher.changes(&memory);
        assert_eq!(watcher.told, BTreeSet::from([1]), "a new view is told as far as it shows something");
    }

    #[test]
    fn police_see_nothing_without_a_view_that_the_grant_allows() {
        let mut watcher = watcher(Role::Police);
        assert!(watcher.changes(&memory()).is_empty(), "before a view");
        watcher.look_at(REGION).unwrap();
        assert_eq!(watcher.changes(&memory()).len(), 2);
        let (code, values) = watcher.look_at([112.0, 28.0, 114.0, 30.0]).unwrap_err();
        assert_eq!((code, &values["km2_max"]), (Code::ViewTooLarge, &json!(20_000.0)));
        assert!((43_000.0..43_800.0).contains(&values["km2"].as_f64().unwrap()), "{values}");
        assert!(watcher.changes(&memory()).is_empty(), "the view before is over, too");
        for wrong in [[113.0, 28.0, 112.0, 29.0], [112.0, 28.0, 113.0, 91.0], [112.0, f64::NAN, 113.0, 29.0]] {
            assert_eq!(watcher.look_at(wrong).unwrap_err().0, Code::BadBox);
        }
        // Who sees no plates, or what is their own, looks as far as they like.
        assert!(
            [Role::Operator, Role::Owner]
                .map(|r| super::tests::watcher(r).look_at([-180.0, -90.0, 180.0, 90.0]))
                .iter()
                .all(Result::is_ok)
        );
    }

    #[test]
    fn a_vehicle_whose_positioning_goes_off_is_taken_from_every_map() {
        for role in [Role::Operator, Role::Owner, Role::Police] {
            let (mut watcher, mut memory) = (watcher(role), memory());
            watcher.look_at(REGION).unwrap();
            let before = watcher.changes(&memory).len();
            assert!(before > 0 && !watcher.begins_again(), "{role:?}");
            memory.version = 2;
            let off = memory.vehicles.get_mut(&1).unwrap();
            (off.at, off.version) = (None, 2);
            assert!(watcher.changes(&memory).is_empty() && watcher.begins_again(), "{role:?}");
            assert_eq!(watcher.changes(&memory).len(), before - 1, "{role:?}");
            assert!(!watcher.begins_again());
        }
    }

    #[test]
    fn nothing_new_is_nothing_to_send() {
        let mut watcher = watcher(Role::Operator);
        watcher.changes(&memory());
        assert!(watcher.changes(&memory()).is_empty());
        assert!(view(&mut watcher, r#"{"type":"view","bbox":[112.0,28.0,112.5,29.0]}"#));
        assert_eq!(watcher.changes(&memory()).len(), 1);
    }

    #[test]
    fn a_city_larger_than_one_message_is_sent_in_several() {
        let one = memory().vehicles[&1].clone();
        let vehicles = (0..VEHICLES_MAX as i64 + 7).map(|id| (id, one.clone())).collect();
        let mut memory = Memory { version: 1, vehicles, ..Memory::default() };
        let mut watcher = watcher(Role::Police);
        watcher.look_at(REGION).unwrap();
        assert_eq!(watcher.changes(&memory).len(), VEHICLES_MAX);
        // What moves meanwhile is not forgotten, on whichever side of the cut it stands.
        memory.version = 2;
        memory.vehicles.get_mut(&3).unwrap().version = 2;
        assert_eq!(watcher.changes(&memory).len(), 7);
        let moved = watcher.changes(&memory);
        assert_eq!((moved.len(), moved[0]["id"].as_str()), (1, Some("3")));
        assert!(watcher.changes(&memory).is_empty());
    }
}
