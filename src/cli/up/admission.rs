//! Whom the broker lets in: the trackers of the database, and those of the file `trackers` in the data folder.
//!
//! A notice of the database or a look each second says that something changed. The broker reads its users again at a
//! signal: nobody else is thrown off, and whoever is gone or has another password is.

use crate::domain::credential::{ITERATIONS_OF_TYPED, SALT_BYTES, hash, is_reserved};
use crate::store;
use crate::store::broker_users;
use crate::supervisor::Folder;
use crate::supervisor::broker::{Credential, Mosquitto};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tokio_postgres::Client;

/// Shortest time between two readings by the broker: a flood of changes is one.
const RELOAD_EVERY: Duration = Duration::from_millis(200);
/// And for each tracker more: Mosquitto stands still for 4 µs a line, or 7 µs on a busy machine, and is to work three
/// quarters of the time.
const RELOAD_EVERY_FOR_EACH: Duration = Duration::from_micros(25);

/// Longest the database is waited for; it is asked again a second later, and meanwhile servers that ended are started again.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The file `trackers`: a line a tracker, identifier and password, as people write it.
struct TrackersFile {
    path: PathBuf,
    /// Its time and its length when it was read.
    seen: Option<(SystemTime, u64)>,
    /// Identifier → password and its hash.
    lines: HashMap<String, (String, String)>,
}

impl TrackersFile {
    /// Reads it if it changed; says whether it did. One that is away for a moment, as an editor leaves it, stays as it was.
    fn look(&mut self) -> bool {
        let Ok(meta) = fs::metadata(&self.path) else { return false };
        let now = meta.modified().ok().map(|at| (at, meta.len()));
        if now.is_none() || now == self.seen {
            return false;
        }
        let Ok(text) = fs::read_to_string(&self.path) else { return false };
        self.seen = now;
        let mut lines = HashMap::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(ident), Some(password)) = (words.next(), words.next()) else { continue };
            let known = self.lines.get(ident).filter(|(earlier, _)| earlier == password).map(|(_, hash)| hash.clone());
            let kept = known.unwrap_or_else(|| hash(password, rand::random::<[u8; SALT_BYTES]>(), ITERATIONS_OF_TYPED));
            lines.insert(ident.to_owned(), (password.to_owned(), kept));
        }
        let changed = lines != self.lines;
        self.lines = lines;
        changed
    }
}

/// Who is let in, as it was last seen.
pub struct Admission {
    database: tokio_postgres::Config,
    client: Option<Client>,
    /// Up to where the database was read.
    mark: Option<String>,
    /// Row → identifier and hash; without a hash: revoked.
    registered: BTreeMap<i64, (String, Option<String>)>,
    file: TrackersFile,
    /// Whether the broker does not know yet what is known here.
    is_owed: bool,
    told_at: Option<Instant>,
    is_told_away: bool,
}

impl Admission {
    /// Knows nobody yet. `database` is how somebody reaches it who may ask for the broker's users.
    pub fn new(database: tokio_postgres::Config, trackers: PathBuf) -> Self {
        let file = TrackersFile { path: trackers, seen: None, lines: HashMap::new() };
        Self {
            database,
            client: None,
            mark: None,
            registered: BTreeMap::new(),
            file,
            is_owed: true,
            told_at: None,
            is_told_away: false,
        }
    }

    /// Looks whether something changed. While the database is away, everybody stays who is let in.
    pub async fn look(&mut self) {
        self.is_owed |= self.file.look();
        let looked = tokio::time::timeout(ANSWER_MAX, self.look_into_database()).await;
        match looked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", ANSWER_MAX.as_secs()))) {
            Ok(changed) => {
                self.is_owed |= changed;
                self.is_told_away = false;
            }
            Err(error) => {
                self.client = None;
                if !std::mem::replace(&mut self.is_told_away, true) {
                    tracing::warn!(error = %format!("{error:#}"), "Cannot ask who may come in; whoever may, still may");
                }
            }
        }
    }

    async fn look_into_database(&mut self) -> anyhow::Result<bool> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => store::connect(&self.database, "admission").await?,
        };
        let (users, mark) = broker_users::changed_since(&client, self.mark.as_deref()).await?;
        (self.client, self.mark) = (Some(client), Some(mark));
        let mut changed = false;
        for (row, ident, hash) in users {
            let now = (ident, hash);
            changed |= self.registered.get(&row) != Some(&now);
            self.registered.insert(row, now);
        }
        Ok(changed)
    }

    /// When the broker may be told next, if it is owed something.
    pub fn due_at(&self) -> Option<Instant> {
        let lines = u32::try_from(self.registered.len() + self.file.lines.len()).unwrap_or(u32::MAX);
        let apart = RELOAD_EVERY + RELOAD_EVERY_FOR_EACH.saturating_mul(lines);
        self.is_owed.then(|| self.told_at.map_or_else(Instant::now, |at| at + apart))
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
        // Of 100,000 it takes 0.3 s, in which lanes need this thread.
        tokio::task::block_in_place(|| broker.admit(folder, &self.users()))?;
        self.is_owed = false;
        Ok(())
    }

    /// Everybody to let in. What the database says of a tracker goes before the file: who is revoked there stays out.
    fn users(&self) -> Vec<Credential> {
        let registered: HashMap<&str, Option<&str>> =
            self.registered.values().map(|(ident, hash)| (ident.as_str(), hash.as_deref())).collect();
        let of_file = self.file.lines.iter().filter(|(ident, _)| !registered.contains_key(ident.as_str()));
        let of_file = of_file.map(|(ident, (_, hash))| (ident.as_str(), hash.as_str()));
        let mut users: Vec<_> =
            registered.iter().filter_map(|(ident, hash)| Some((*ident, (*hash)?))).chain(of_file).collect();
        users.sort_unstable();
        users
            .into_iter()
            // A colon ends the name in the broker's file; ours are ours.
            .filter(|(ident, _)| !ident.contains(':') && !is_reserved(ident))
            .map(|(ident, hash)| Credential { ident: ident.to_owned(), password_hash: hash.to_owned() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::is_of;

    fn admission(folder: &std::path::Path) -> Admission {
        Admission::new(tokio_postgres::Config::new(), folder.join("trackers"))
    }

    #[test]
    fn a_line_of_the_file_is_noticed_and_what_the_database_says_goes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut admission = admission(folder.path());
        assert!(!admission.file.look() && admission.users().is_empty(), "there is no file");
        fs::write(folder.path().join("trackers"), "yy1 first json\nyy2 second\n\nbroken\nrideguard-api x\nyy:3 x\n")
            .unwrap();
        assert!(admission.file.look() && !admission.file.look());
        let users = admission.users();
        assert_eq!(users.iter().map(|u| u.ident.as_str()).collect::<Vec<_>>(), ["yy1", "yy2"]);
        assert!(is_of(&users[0].password_hash, "first") && is_of(&users[1].password_hash, "second"));
        admission.registered.insert(1, ("yy1".into(), None));
        admission.registered.insert(2, ("yy2".into(), Some("other".into())));
        let now = admission.users();
        assert_eq!(now.len(), 1, "yy1 is revoked");
        assert_eq!((now[0].ident.as_str(), now[0].password_hash.as_str()), ("yy2", "other"));
        fs::write(folder.path().join("trackers"), "yy2 second\nyy4 fourth\n").unwrap();
        assert!(admission.file.look());
        assert_eq!(admission.users().len(), 2);
    }

    #[test]
    fn a_flood_of_changes_is_told_at_once_and_then_no_sooner_than_the_broker_can_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut admission = admission(folder.path());
        assert!(admission.due_at().is_some_and(|at| at <= Instant::now()), "the first at once");
        let told_at = Instant::now();
        admission.told_at = Some(told_at);
        assert_eq!(admission.due_at(), Some(told_at + RELOAD_EVERY));
        admission.registered = (0..100_000).map(|n| (n, (n.to_string(), None))).collect();
        assert_eq!(admission.due_at(), Some(told_at + RELOAD_EVERY + Duration::from_millis(2500)));
        admission.is_owed = false;
        assert_eq!(admission.due_at(), None);
    }
}
