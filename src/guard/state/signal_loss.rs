//! A time of shaking without GNSS, and the cell towers heard in it.

use crate::domain::Timestamp;
use crate::guard::state::plane::Point;
use crate::guard::state::sample::{Sample, SampleKind};
use serde::{Deserialize, Serialize};

/// Places of cell towers kept of such a time: enough for those of one place and those of a ride.
const TOWERS_MAX: usize = 8;
/// Of these the first so many may be those of the place where it stood.
const TOWERS_OF_ONE_PLACE: usize = 3;

/// A time of shaking without GNSS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GnssLoss {
    /// Since when.
    pub since: Timestamp,
    /// Whether GNSS was lost when the shaking began: a cellar has none to lose.
    #[serde(rename = "lost_sky")]
    pub lost_gnss: bool,
    /// Packets since then that said whether it is shaken.
    #[serde(rename = "told")]
    pub packets: u16,
    /// Those that said that it is.
    pub shaken: u16,
    /// When it was last shaken.
    pub shaken_at: Timestamp,
    /// Different places of cell towers heard since then, in order.
    #[serde(rename = "masts")]
    towers: [Option<Point>; TOWERS_MAX],
}

impl GnssLoss {
    /// It begins with this sample.
    pub fn begin(sample: &Sample, lost_gnss: bool) -> Self {
        let (since, shaken_at) = (sample.at, sample.at);
        Self { since, lost_gnss, packets: 1, shaken: 1, shaken_at, towers: [None; TOWERS_MAX] }
    }

    /// Remembers the sample's cell tower if none is known near it.
    pub fn hear(&mut self, same_tower_m: f32, sample: &Sample, at_rest: &[Point]) {
        let is_near = |known: &Point| known.distance_m(sample.place) < same_tower_m;
        if sample.kind == SampleKind::Coarse
            && !at_rest.iter().any(is_near)
            && !self.towers.iter().flatten().any(is_near)
            && let Some(slot) = self.towers.iter_mut().find(|t| t.is_none())
        {
            *slot = Some(sample.place);
        }
    }

    /// Whether a tower answers that may have been there all along.
    pub fn still_hears(&self, same_tower_m: f32, tower: Point, at_rest: &[Point]) -> bool {
        let first = self.towers.iter().take(TOWERS_OF_ONE_PLACE).flatten();
        first.chain(at_rest).any(|known| known.distance_m(tower) < same_tower_m)
    }

    /// How many towers it has passed.
    pub fn towers_passed(&self) -> usize {
        self.towers.iter().flatten().count()
    }
}
