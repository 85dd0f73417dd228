//! Who is let in, in memory: asked at every log-in, brought up to date within a second.

use crate::domain::TrackerIdent;
use crate::domain::credential::is_of;
use crate::door::roster::Roster;
use crate::ingest::places::Places;
use crate::ingest::receipt::Word;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How often the database is asked even without a notice: one may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Trackers and the hashes of their passwords.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<RwLock<HashMap<TrackerIdent, Box<str>>>>);

impl Guests {
    /// The tracker of a user name, if this is its password.
    pub fn admit(&self, user: &str, password: &[u8]) -> Option<TrackerIdent> {
        let password = std::str::from_utf8(password).ok()?;
        let ident = TrackerIdent::parse(user).ok()?;
        let guests = self.0.read().unwrap_or_else(PoisonError::into_inner);
        guests.get(&ident).is_some_and(|hash| is_of(hash, password)).then_some(ident)
    }

    /// Takes the list of now; whoever is gone or has another password.
    fn replace(&self, users: Vec<(String, String)>) -> Vec<TrackerIdent> {
        let of = |(ident, hash): (String, String)| Some((TrackerIdent::parse(&ident).ok()?, hash.into_boxed_str()));
        let now: HashMap<TrackerIdent, Box<str>> = users.into_iter().filter_map(of).collect();
        let mut guests = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *guests, now);
        before.into_iter().filter(|(ident, hash)| guests.get(ident) != Some(hash)).map(|(ident, _)| ident).collect()
    }

    /// Reads the list, and follows its changes until `stop`.
    pub async fn follow(
        self,
        mut roster: Roster,
        places: Places,
        mut changed: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_first = true;
        while !*stop.borrow() {
            tokio::select! {
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
                _ = stop.changed() => return,
            }
            if roster.look().await || std::mem::take(&mut is_first) {
                for ident in self.replace(roster.users()) {
                    places.tell(&ident, Word::NotAdmitted);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::{ITERATIONS_OF_RANDOM, hash};

    #[test]
    fn whoever_is_gone_or_has_another_password_is_named_and_nobody_else() {
        let guests = Guests::default();
        let user = |ident: &str, password: &str| (ident.to_owned(), hash(password, [1; 12], ITERATIONS_OF_RANDOM));
        assert!(guests.replace(vec![user("yy1", "a"), user("yy2", "b"), user("yy3", "c")]).is_empty());
        assert_eq!(guests.admit("yy1", b"a").unwrap().as_str(), "yy1");
        for (name, password) in [("yy1", "b"), ("yy4", "a"), ("", ""), ("yy1", "")] {
            assert!(guests.admit(name, password.as_bytes()).is_none(), "{name} {password}");
        }
        let mut ended = guests.replace(vec![user("yy1", "a"), user("yy2", "new")]);
        ended.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        assert_eq!(ended.iter().map(TrackerIdent::as_str).collect::<Vec<_>>(), ["yy2", "yy3"]);
        assert!(guests.admit("yy2", b"b").is_none() && guests.admit("yy2", b"new").is_some());
    }
}
