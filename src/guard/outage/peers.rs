//! The groups of trackers that a vehicle belongs to.

use crate::domain::OutageKind;
use serde::{Deserialize, Serialize};

/// Where a vehicle belongs, as numbers of its groups; 0 = unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerGroups {
    pub(super) area: u32,
    pub(super) cell: u32,
    pub(super) firmware: u32,
    /// Whether it is counted there.
    pub(super) is_member: bool,
    /// Whether its last packet came at our own door, not by the broker.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(super) by_door: bool,
}

pub(super) fn is_no(value: &bool) -> bool {
    !value
}

/// A group of trackers: kind and number.
pub(super) type Key = (OutageKind, u32);

/// Everything that a lane hears by the broker.
pub(super) const LANE: Key = (OutageKind::Lane, 0);
/// Everything that it hears at its own door: one of the two may fail alone.
pub(super) const LANE_BY_DOOR: Key = (OutageKind::Lane, 1);

impl PeerGroups {
    /// Whether its last packet came at our own door, not by the broker.
    pub fn comes_by_door(self) -> bool {
        self.by_door
    }

    /// Its groups, the widest first.
    pub(super) fn groups(self) -> impl Iterator<Item = Key> {
        let of = |kind, number: u32| (number != 0).then_some((kind, number));
        [
            Some(if self.by_door { LANE_BY_DOOR } else { LANE }),
            of(OutageKind::Firmware, self.firmware),
            of(OutageKind::Area, self.area),
            of(OutageKind::Cell, self.cell),
        ]
        .into_iter()
        .flatten()
    }
}
