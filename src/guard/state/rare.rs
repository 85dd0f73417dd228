//! What few vehicles have.

use crate::domain::Timestamp;
use crate::guard::state::incident::OpenIncident;
use crate::guard::state::plane::Point;
use crate::guard::state::signal_loss::GnssLoss;
use crate::guard::state::stale_position::Stale;

/// What few vehicles have; where there is nothing it takes no room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RareState {
    /// Cell positions while at rest in this guard session.
    pub cells: Vec<Point>,
    /// Shaking without GNSS, if it began with the shaking.
    pub gnss_loss: Option<GnssLoss>,
    /// One place reported again and again while it moves.
    pub stale: Option<Stale>,
    /// First report of a loss of supply: event time and arrival.
    pub lost: Option<(Timestamp, Timestamp)>,
    /// The incident that is open.
    pub incident: Option<Box<OpenIncident>>,
}

impl RareState {
    /// Nothing of it.
    pub const NONE: &Self = &Self { cells: Vec::new(), gnss_loss: None, stale: None, lost: None, incident: None };
}
