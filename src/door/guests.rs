//! Who is let in, in memory: asked at every log-in, brought up to date within a second.

use crate::domain::credential::is_of;
use crate::domain::{Profile, TrackerIdent};
use crate::door::kept::Kept;
use crate::door::limits::LOG_IN_MAX;
use crate::door::registrar::{Name, Registration, name_of};
use crate::door::roster::Roster;
use crate::ingest::door_state::DoorState;
use crate::ingest::places::Places;
use crate::ingest::receipt::Word;
use crate::store::door_sockets::{DoorSocket, Registered};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How often the database is asked even without a notice: one may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A tracker that speaks on a socket of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SocketGuest {
    /// Its row.
    pub tracker: i64,
    pub ident: TrackerIdent,
    pub profile: Profile,
    /// JT/T 808: its terminal and codes.
    pub registered: Option<Registered>,
}

/// Everybody who may come.
#[derive(Default)]
struct List {
    /// By MQTT: trackers and the hashes of their passwords.
    passwords: HashMap<TrackerIdent, Arc<str>>,
    sockets: HashMap<Name, Arc<SocketGuest>>,
}

/// None before the database was read. See the module.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<RwLock<Option<List>>>);

/// What a log-in comes to.
pub(super) enum Admitted {
    /// The tracker, and the hash that its password has.
    As(TrackerIdent, Arc<str>),
    /// Unknown, or another password.
    No,
    /// Nobody knows yet.
    NotYet,
}

/// What an identifier on a socket comes to.
pub(super) enum Known {
    /// This tracker.
    As(Arc<SocketGuest>),
    /// Unknown, of another language, or not let in.
    No,
    /// Nobody knows yet.
    NotYet,
}

impl Guests {
    fn list(&self) -> RwLockReadGuard<'_, Option<List>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the list was read.
    pub fn is_read(&self) -> bool {
        self.list().is_some()
    }

    /// The tracker with this identifier that speaks this language on a socket of its own.
    pub fn on_socket(&self, language: &str, ident: &str) -> Known {
        match &*self.list() {
            None => Known::NotYet,
            Some(list) => {
                list.sockets.get(&name_of(language, ident)).map_or(Known::No, |guest| Known::As(guest.clone()))
            }
        }
    }

    /// The tracker of a user name, if this is its password.
    pub fn admit(&self, user: &str, password: &[u8]) -> Admitted {
        let hash = {
            let list = self.list();
            let Some(list) = &*list else { return Admitted::NotYet };
            TrackerIdent::parse(user)
                .ok()
                .and_then(|ident| list.passwords.get(&ident).map(|hash| (ident, hash.clone())))
        };
        match (hash, std::str::from_utf8(password)) {
            (Some((ident, hash)), Ok(password)) if is_of(&hash, password) => Admitted::As(ident, hash),
            _ => Admitted::No,
        }
    }

    /// Whether a tracker still has this hash. Asked when its connection has its place: whoever changes the list tells those
    /// who have one.
    pub fn is_still(&self, ident: &TrackerIdent, hash: &str) -> bool {
        self.list().as_ref().and_then(|list| list.passwords.get(ident)).is_some_and(|now| **now == *hash)
    }

    /// Takes the list of now; whoever is gone, has another password or is read otherwise.
    fn replace(&self, users: Vec<(String, String)>, sockets: Vec<DoorSocket>) -> Vec<TrackerIdent> {
        let of = |(ident, hash): (String, String)| Some((TrackerIdent::parse(&ident).ok()?, hash.into()));
        let passwords: HashMap<TrackerIdent, Arc<str>> = users.into_iter().filter_map(of).collect();
        let guest = |socket: DoorSocket| {
            let ident = TrackerIdent::parse(&socket.ident).ok()?;
            let name = name_of(&socket.profile.protocol.0, &socket.ident);
            let DoorSocket { tracker, profile, registered, .. } = socket;
            Some((name, Arc::new(SocketGuest { tracker, ident, profile, registered })))
        };
        let mut now = List { passwords, sockets: HashMap::new() };
        for (name, guest) in sockets.into_iter().filter_map(guest) {
            // Two may differ in leading zeros only: who was registered first keeps the name.
            now.sockets.entry(name).or_insert(guest);
        }
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = list.take().unwrap_or_default();
        let is_gone = |(ident, hash): &(TrackerIdent, Arc<str>)| now.passwords.get(ident) != Some(hash);
        // A terminal that registers anew stays; one whose registration was forgotten has to.
        let is_shut = |(name, guest): &(Name, Arc<SocketGuest>)| {
            let same = now.sockets.get(name).filter(|n| n.profile == guest.profile && n.ident == guest.ident);
            let terminal = |guest: &SocketGuest| guest.registered.map(|registered| registered.terminal);
            same.is_none_or(|n| terminal(guest).is_some() && terminal(guest) != terminal(n))
        };
        let gone = before.passwords.into_iter().filter(is_gone).map(|(ident, _)| ident);
        let shut = before.sockets.into_iter().filter(is_shut).map(|(_, guest)| guest.ident.clone());
        let ended = gone.chain(shut).collect();
        *list = Some(now);
        ended
    }

    /// A terminal has registered.
    fn learn(&self, name: &Name, registered: Registered) {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = list.as_mut().and_then(|list| list.sockets.get_mut(name)) {
            let SocketGuest { tracker, ident, profile, .. } = &**guest;
            let (ident, profile, registered) = (ident.clone(), profile.clone(), Some(registered));
            *guest = Arc::new(SocketGuest { tracker: *tracker, ident, profile, registered });
        }
    }

    /// Reads the list, and follows its changes until `stop`.
    pub async fn follow(
        self,
        mut roster: Roster,
        (places, kept, state): (Places, Arc<Kept>, DoorState),
        mut registrations: mpsc::Receiver<Registration>,
        mut changed: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_first = true;
        let renew = |roster: &Roster| {
            for ident in self.replace(roster.users(), roster.sockets()) {
                kept.forget(&ident);
                places.shut_out(&ident, crate::clock::now());
            }
        };
        while !*stop.borrow() {
            tokio::select! {
                _ = look.tick() => {}
                Ok(()) = changed.changed() => {}
                Some(asked) = registrations.recv() => {
                    // Whoever waited for longer gave up, or is told that nobody knows.
                    let is_late = asked.asked_at.elapsed() >= LOG_IN_MAX;
                    let registered = if is_late { None } else { roster.register(&asked).await };
                    // It shows its code at once, so it is known before it is told.
                    if let Some(Some(registered)) = registered {
                        self.learn(&asked.name, registered);
                    }
                    asked.mailbox.put([(asked.place, Word::Registered(registered.map(|r| r.is_some())))]);
                    continue;
                }
                _ = stop.changed() => return,
            }
            // The file first: it does not wait for a database that is away.
            if roster.look_at_file() && !is_first {
                renew(&roster);
            }
            if roster.look().await || is_first && roster.is_read() {
                is_first = false;
                renew(&roster);
                state.note_list_read();
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
        assert!(guests.replace(vec![user("yy1", "a"), user("yy2", "b"), user("yy3", "c")], Vec::new()).is_empty());
        let is_in = |name, password: &str| matches!(guests.admit(name, password.as_bytes()), Admitted::As(..));
        for (name, password) in [("yy1", "b"), ("yy4", "a"), ("", ""), ("yy1", "")] {
            assert!(!is_in(name, password), "{name} {password}");
        }
        let Admitted::As(ident, shown) = guests.admit("yy2", b"b") else { panic!("it has this password") };
        assert!(is_in("yy1", "a") && guests.is_still(&ident, &shown));
        let mut ended = guests.replace(vec![user("yy1", "a"), user("yy2", "new")], Vec::new());
        ended.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        assert_eq!(ended.iter().map(TrackerIdent::as_str).collect::<Vec<_>>(), ["yy2", "yy3"]);
        assert!(!is_in("yy2", "b") && is_in("yy2", "new") && !guests.is_still(&ident, &shown));
    }

    #[test]
    fn whoever_speaks_on_a_socket_is_found_by_its_language_and_its_name_without_leading_zeros() {
        let guests = Guests::default();
        assert!(matches!(guests.on_socket("gt06", "1"), Known::NotYet));
        let socket = |ident: &str, registered| {
            let profile = Profile::of("jt808");
            DoorSocket { tracker: 1, ident: ident.into(), profile, is_admitted: true, registered }
        };
        let ended = |sockets| guests.replace(Vec::new(), sockets).iter().map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(ended(vec![socket("013800138000", None), socket("2", None)]).is_empty());
        let is_in = |language, ident| matches!(guests.on_socket(language, ident), Known::As(_));
        assert!(is_in("jt808", "13800138000") && is_in("jt808", "00000000013800138000"));
        assert!(!is_in("gt06", "13800138000") && !is_in("jt808", "113800138000"));
        let of = |code, terminal| Some(Registered { code: [code; 32], before: None, terminal: [terminal; 32] });
        let code = of(1, 2);
        assert!(ended(vec![socket("013800138000", code), socket("2", code)]).is_empty(), "both registered");
        assert_eq!(ended(vec![socket("013800138000", of(3, 2)), socket("2", None)]), ["2"]);
        assert_eq!(ended(vec![socket("2", None)]), ["013800138000"]);
        assert!(ended(vec![socket("7", code), socket("2", None)]).is_empty());
        assert_eq!(ended(vec![socket("7", of(4, 5)), socket("2", None)]), ["7"], "another terminal");
        assert!(
            ended(vec![socket("7", of(4, 5)), socket("007", code), socket("2", None)]).is_empty(),
            "the first keeps it"
        );
    }
}
