//! What few vehicles have.

use crate::domain::Timestamp;
use crate::guard::state::incident::OpenIncident;
use crate::guard::state::plane::Point;
use crate::guard::state::signal_loss::GnssLoss;
use crate::guard::state::stale_position::Stale;

/// What few vehicles have.
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

/// The same of a vehicle; where there is nothing it takes no room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare(Option<Box<RareState>>);

impl Rare {
    /// All of it.
    pub fn get(&self) -> &RareState {
        self.0.as_deref().unwrap_or(RareState::NONE)
    }

    /// Remembers a cell position of the time at rest.
    pub fn learn_cell(&mut self, place: Point) {
        self.change(|rare| rare.cells.push(place));
    }

    /// Shaking without GNSS began, goes on or is over.
    pub fn set_gnss_loss(&mut self, loss: Option<GnssLoss>) {
        self.set(loss, |rare| &mut rare.gnss_loss);
    }

    /// One place is reported again while it moves, or no longer.
    pub fn set_stale(&mut self, stale: Option<Stale>) {
        self.set(stale, |rare| &mut rare.stale);
    }

    /// Its supply is lost since then, or no longer.
    pub fn set_lost(&mut self, lost: Option<(Timestamp, Timestamp)>) {
        self.set(lost, |rare| &mut rare.lost);
    }

    /// The incident that is open.
    pub fn incident(&self) -> Option<&OpenIncident> {
        self.get().incident.as_deref()
    }

    /// The same, to change it.
    pub fn incident_mut(&mut self) -> Option<&mut OpenIncident> {
        self.0.as_mut()?.incident.as_deref_mut()
    }

    /// An incident is open, or no longer.
    pub fn set_incident(&mut self, incident: Option<Box<OpenIncident>>) {
        self.set(incident, |rare| &mut rare.incident);
    }

    /// What was learned of where it is parked ends with the guard session.
    pub fn forget_place(&mut self) {
        if self.0.is_some() {
            self.change(|rare| {
                *rare = RareState { lost: rare.lost, incident: rare.incident.take(), ..RareState::default() };
            });
        }
    }

    fn set<T>(&mut self, value: Option<T>, which: fn(&mut RareState) -> &mut Option<T>) {
        if value.is_some() || self.0.is_some() {
            self.change(|rare| *which(rare) = value);
        }
    }

    /// Changes it; where nothing is left it takes no room.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut RareState)) {
        let rare = self.0.get_or_insert_default();
        change(rare);
        if **rare == *RareState::NONE {
            self.0 = None;
        }
    }

    /// All of it, taken out.
    pub fn into_state(self) -> RareState {
        self.0.map(|rare| *rare).unwrap_or_default()
    }
}
