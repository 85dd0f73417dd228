//! Who may come in: the trackers of the database, and those of a file with a line a tracker.

use crate::domain::credential::{ITERATIONS_OF_TYPED, SALT_BYTES, hash, is_reserved};
use crate::door::registrar::Registration;
use crate::store;
use crate::store::broker_users;
use crate::store::door_sockets::{self, DoorSocket, Registered};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio_postgres::Client;

/// Longest the database is waited for; it is asked again a second later.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A younger file may be half written: what it lacks would be thrown off. It is looked at again a second later.
const SETTLED: Duration = Duration::from_millis(200);

/// The file: a line a tracker, identifier and password, as people write it.
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
        let is_being_written = now.is_some_and(|(at, _)| at.elapsed().is_ok_and(|age| age < SETTLED));
        if now.is_none() || now == self.seen || is_being_written {
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

/// Everybody who may come in, as far as was read.
pub struct Roster {
    database: tokio_postgres::Config,
    client: Option<Client>,
    /// Up to where the database was read.
    mark: Option<String>,
    /// Row → identifier and hash; without a hash: revoked.
    registered: BTreeMap<i64, (String, Option<String>)>,
    /// Row → a tracker that speaks on a socket of its own.
    sockets: BTreeMap<i64, DoorSocket>,
    file: Option<TrackersFile>,
    is_told_away: bool,
}

impl Roster {
    /// Knows nobody yet. `database` is how somebody reaches it who may ask for the broker's users.
    pub fn new(database: tokio_postgres::Config, trackers_file: Option<PathBuf>) -> Self {
        let file = trackers_file.map(|path| TrackersFile { path, seen: None, lines: HashMap::new() });
        let (registered, sockets) = (BTreeMap::new(), BTreeMap::new());
        Self { database, client: None, mark: None, registered, sockets, file, is_told_away: false }
    }

    /// Looks at the file alone; says whether something changed.
    pub fn look_at_file(&mut self) -> bool {
        self.file.as_mut().is_some_and(TrackersFile::look)
    }

    /// Looks whether something changed, and says so. While the database is away, everybody stays who is let in.
    pub async fn look(&mut self) -> bool {
        let mut changed = self.look_at_file();
        let looked = tokio::time::timeout(ANSWER_MAX, self.look_into_database()).await;
        match looked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", ANSWER_MAX.as_secs()))) {
            Ok(differs) => {
                changed |= differs;
                self.is_told_away = false;
            }
            Err(error) => {
                self.client = None;
                if !std::mem::replace(&mut self.is_told_away, true) {
                    tracing::warn!(error = %format!("{error:#}"), "Cannot ask who may come in; whoever may, still may");
                }
            }
        }
        changed
    }

    /// Whether the database has been read.
    pub fn is_read(&self) -> bool {
        self.mark.is_some()
    }

    async fn look_into_database(&mut self) -> anyhow::Result<bool> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => store::connect(&self.database, "admission").await?,
        };
        let (users, mark) = broker_users::changed_since(&client, self.mark.as_deref()).await?;
        let sockets = door_sockets::changed_since(&client, self.mark.as_deref()).await?;
        (self.client, self.mark) = (Some(client), Some(mark));
        let mut changed = false;
        for (row, ident, hash) in users {
            let now = (ident, hash);
            changed |= self.registered.get(&row) != Some(&now);
            self.registered.insert(row, now);
        }
        for socket in sockets {
            changed |= self.sockets.get(&socket.tracker) != Some(&socket);
            self.sockets.insert(socket.tracker, socket);
        }
        Ok(changed)
    }

    /// Everybody who may come in on a socket of their own.
    pub(super) fn sockets(&self) -> Vec<DoorSocket> {
        self.sockets.values().filter(|socket| socket.is_admitted).cloned().collect()
    }

    /// Keeps what a terminal registered with; says what is good now, if it may, and nothing while the database is away.
    pub(super) async fn register(&mut self, asked: &Registration) -> Option<Option<Registered>> {
        let registering = async {
            let client = match self.client.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => store::connect(&self.database, "admission").await?,
            };
            let registered = door_sockets::register(&client, asked.tracker, asked.digests).await?;
            self.client = Some(client);
            anyhow::Ok(registered)
        };
        let registered = tokio::time::timeout(ANSWER_MAX, registering).await.ok()?.ok()?;
        if let (Some(_), Some(socket)) = (registered, self.sockets.get_mut(&asked.tracker)) {
            socket.registered = registered;
        }
        Some(registered)
    }

    /// How many there are, about.
    pub fn len(&self) -> usize {
        self.registered.len() + self.file.as_ref().map_or(0, |file| file.lines.len())
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everybody to let in, with the hash of the password, in order. What the database says of a tracker goes before the
    /// file: who is revoked there stays out.
    pub fn users(&self) -> Vec<(String, String)> {
        let registered: HashMap<&str, Option<&str>> =
            self.registered.values().map(|(ident, hash)| (ident.as_str(), hash.as_deref())).collect();
        let of_file = self.file.iter().flat_map(|file| &file.lines);
        let of_file = of_file.filter(|(ident, _)| !registered.contains_key(ident.as_str()));
        let of_file = of_file.map(|(ident, (_, hash))| (ident.as_str(), hash.as_str()));
        let mut users: Vec<_> =
            registered.iter().filter_map(|(ident, hash)| Some((*ident, (*hash)?))).chain(of_file).collect();
        users.sort_unstable();
        // A colon ends the name in a broker's file; ours are ours.
        users.retain(|(ident, _)| !ident.contains(':') && !is_reserved(ident));
        users.into_iter().map(|(ident, hash)| (ident.to_owned(), hash.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::is_of;

    #[test]
    fn a_line_of_the_file_is_noticed_and_what_the_database_says_goes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trackers");
        let mut roster = Roster::new(tokio_postgres::Config::new(), Some(path.clone()));
        let look = Roster::look_at_file;
        let write = |text: &str, ago_ms| {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_millis(ago_ms)).unwrap();
        };
        assert!(!look(&mut roster) && roster.users().is_empty(), "there is no file");
        write("yy1 first json\n", 0);
        assert!(!look(&mut roster), "it may be half written");
        write("yy1 first json\nyy2 second\n\nbroken\nrideguard-api x\nyy:3 x\n", 5000);
        assert!(look(&mut roster) && !look(&mut roster));
        let users = roster.users();
        assert_eq!(users.iter().map(|u| u.0.as_str()).collect::<Vec<_>>(), ["yy1", "yy2"]);
        assert!(is_of(&users[0].1, "first") && is_of(&users[1].1, "second"));
        roster.registered.insert(1, ("yy1".into(), None));
        roster.registered.insert(2, ("yy2".into(), Some("other".into())));
        assert_eq!(roster.users(), [("yy2".to_owned(), "other".to_owned())], "yy1 is revoked");
        write("yy2 second\nyy4 fourth\n", 1000);
        assert!(look(&mut roster));
        assert_eq!(roster.users().len(), 2);
    }
}
