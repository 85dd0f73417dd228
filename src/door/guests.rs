//! Who is let in, in memory: asked at every log-in, brought up to date within a second.

use crate::domain::TrackerIdent;
use crate::domain::credential::is_of;
use crate::door::kept::Kept;
use crate::door::roster::Roster;
use crate::ingest::places::Places;
use crate::ingest::receipt::Word;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How often the database is asked even without a notice: one may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Trackers and the hashes of their passwords; none before the database was read.
type List = Option<HashMap<TrackerIdent, Arc<str>>>;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<RwLock<List>>);

/// What a log-in comes to.
pub(super) enum Admitted {
    /// The tracker, and the hash that its password has.
    As(TrackerIdent, Arc<str>),
    /// Unknown, or another password.
    No,
    /// Nobody knows yet.
    NotYet,
}

impl Guests {
    /// The tracker of a user name, if this is its password.
    pub fn admit(&self, user: &str, password: &[u8]) -> Admitted {
        let hash = {
            let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let Some(guests) = &*list else { return Admitted::NotYet };
            TrackerIdent::parse(user).ok().and_then(|ident| guests.get(&ident).map(|hash| (ident, hash.clone())))
        };
        match (hash, std::str::from_utf8(password)) {
            (Some((ident, hash)), Ok(password)) if is_of(&hash, password) => Admitted::As(ident, hash),
            _ => Admitted::No,
        }
    }

    /// Whether a tracker still has this hash. Asked when its connection has its place: whoever changes the list tells those
    /// who have one.
    pub fn is_still(&self, ident: &TrackerIdent, hash: &str) -> bool {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.as_ref().and_then(|guests| guests.get(ident)).is_some_and(|now| **now == *hash)
    }

    /// Takes the list of now; whoever is gone or has another password.
    fn replace(&self, users: Vec<(String, String)>) -> Vec<TrackerIdent> {
        let of = |(ident, hash): (String, String)| Some((TrackerIdent::parse(&ident).ok()?, hash.into()));
        let now: HashMap<TrackerIdent, Arc<str>> = users.into_iter().filter_map(of).collect();
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = list.replace(now).unwrap_or_default();
        let is_gone = |(ident, hash): &(TrackerIdent, Arc<str>)| list.as_ref().and_then(|l| l.get(ident)) != Some(hash);
        before.into_iter().filter(is_gone).map(|(ident, _)| ident).collect()
    }

    /// Reads the list, and follows its changes until `stop`.
    pub async fn follow(
        self,
        mut roster: Roster,
        (places, kept): (Places, Arc<Kept>),
        mut changed: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_first = true;
        let renew = |roster: &Roster| {
            for ident in self.replace(roster.users()) {
                kept.forget(&ident);
                places.tell(&ident, Word::NotAdmitted);
            }
        };
        while !*stop.borrow() {
            tokio::select! {
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
                _ = stop.changed() => return,
            }
            // The file first: it does not wait for a database that is away.
            if roster.look_at_file() && !is_first {
                renew(&roster);
            }
            if roster.look().await || is_first && roster.is_read() {
                is_first = false;
                renew(&roster);
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
        assert!(matches!(guests.admit("yy1", b"a"), Admitted::NotYet), "nobody is refused before the list was read");
        let user = |ident: &str, password: &str| (ident.to_owned(), hash(password, [1; 12], ITERATIONS_OF_RANDOM));
        assert!(guests.replace(vec![user("yy1", "a"), user("yy2", "b"), user("yy3", "c")]).is_empty());
        let is_in = |name, password: &str| matches!(guests.admit(name, password.as_bytes()), Admitted::As(..));
        for (name, password) in [("yy1", "b"), ("yy4", "a"), ("", ""), ("yy1", "")] {
            assert!(!is_in(name, password), "{name} {password}");
        }
        let Admitted::As(ident, shown) = guests.admit("yy2", b"b") else { panic!("it has this password") };
        assert!(is_in("yy1", "a") && guests.is_still(&ident, &shown));
        let mut ended = guests.replace(vec![user("yy1", "a"), user("yy2", "new")]);
        ended.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        assert_eq!(ended.iter().map(TrackerIdent::as_str).collect::<Vec<_>>(), ["yy2", "yy3"]);
        assert!(!is_in("yy2", "b") && is_in("yy2", "new") && !guests.is_still(&ident, &shown));
    }
}
