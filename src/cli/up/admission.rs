//! The private broker learns whom to let in.
//!
//! A notice of the database or a look each second says that something changed. The broker reads its users again at a
//! signal: nobody else is thrown off, and whoever is gone or has another password is.

use crate::door::roster::Roster;
use crate::supervisor::Folder;
use crate::supervisor::broker::{Credential, Mosquitto};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shortest time between two readings by the broker: a flood of changes is one.
const RELOAD_EVERY: Duration = Duration::from_millis(200);
/// And for each tracker more: Mosquitto stands still for 4 µs a line, or 7 µs on a busy machine, and is to work three
/// quarters of the time.
const RELOAD_EVERY_FOR_EACH: Duration = Duration::from_micros(25);

/// Who is let in, as it was last seen.
pub struct Admission {
    roster: Roster,
    /// Whether the broker does not know yet what is known here.
    is_owed: bool,
    told_at: Option<Instant>,
}

impl Admission {
    /// Knows nobody yet. `database` is how somebody reaches it who may ask for the broker's users.
    pub fn new(database: tokio_postgres::Config, trackers: PathBuf) -> Self {
        Self { roster: Roster::new(database, Some(trackers)), is_owed: true, told_at: None }
    }

    /// Looks whether something changed.
    pub async fn look(&mut self) {
        self.is_owed |= self.roster.look().await;
    }

    /// When the broker may be told next, if it is owed something.
    pub fn due_at(&self) -> Option<Instant> {
        self.is_owed.then(|| self.told_at.map_or_else(Instant::now, |at| at + apart(self.roster.len())))
    }

    /// The broker is another one, which knows nobody.
    pub fn forget_broker(&mut self) {
        (self.is_owed, self.told_at) = (true, None);
    }

    /// Tells the broker whom to let in.
    ///
    /// # Errors
    /// Its files cannot be written.
    pub fn tell(&mut self, folder: &Folder, broker: &Mosquitto) -> anyhow::Result<()> {
        self.told_at = Some(Instant::now());
        let users = self.roster.users().into_iter();
        let users: Vec<_> = users.map(|(ident, password_hash)| Credential { ident, password_hash }).collect();
        // Of 100,000 it takes 0.3 s, in which lanes need this thread.
        tokio::task::block_in_place(|| broker.admit(folder, &users))?;
        self.is_owed = false;
        Ok(())
    }
}

/// Shortest time between two readings of so many trackers.
fn apart(trackers: usize) -> Duration {
    RELOAD_EVERY + RELOAD_EVERY_FOR_EACH.saturating_mul(u32::try_from(trackers).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_changes_is_told_at_once_and_then_no_sooner_than_the_broker_can_take_it() {
        let mut admission = Admission::new(tokio_postgres::Config::new(), "trackers".into());
        assert!(admission.due_at().is_some_and(|at| at <= Instant::now()), "the first at once");
        let told_at = Instant::now();
        admission.told_at = Some(told_at);
        assert_eq!(admission.due_at(), Some(told_at + RELOAD_EVERY));
        assert_eq!(apart(100_000), RELOAD_EVERY + Duration::from_millis(2500));
        admission.is_owed = false;
        assert_eq!(admission.due_at(), None);
    }
}
