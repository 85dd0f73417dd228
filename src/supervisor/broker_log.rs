//! Mosquitto's log, as it passes through us: bounded while it runs, without the client ids of our sessions, and with an eye
//! on what trackers subscribe to.
//!
//! Mosquitto has no access list for SUBSCRIBE: a foreign filter is granted, and each delivery refused. It can only say
//! so in its log (`log_type subscribe`), where a tracker in a loop would fill the disk. So it writes to a named pipe that
//! never blocks it: what finds no room or no reader is lost. The pipe outlives us, as the broker does.

use crate::supervisor::{Folder, LOG_BYTES_MAX};
use anyhow::Context;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between looks at the pipe, which holds 64 KiB: about 6,000 lines a second, beyond which the broker's lines are lost.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Read at a look, bytes.
const LOOK_BYTES_MAX: usize = 256 * 1024;
/// Longest line that is kept, bytes; Mosquitto ends its own at 1,000.
const LINE_BYTES_MAX: usize = 4096;
/// A tracker is named in our log no sooner again.
const NAMED_EVERY: Duration = Duration::from_secs(3600);
/// How our users and client ids begin.
const OURS: &str = "rideguard-";
/// How the ids of our lanes' sessions begin; behind the lane's number stands what nobody may know.
const SESSION: &str = "rideguard-lane-";

/// Trackers at the broker, and when each was last named for what it subscribes to.
type Named = Arc<Mutex<BTreeMap<String, Option<Instant>>>>;

/// The reader of a broker's log; ends with it.
pub(super) struct BrokerLog {
    trackers: Named,
    /// Filters subscribed to by trackers that reach topics of others.
    foreign_subscriptions: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl BrokerLog {
    /// Makes the pipe and begins to read; also the end that a new broker gets.
    ///
    /// # Errors
    /// The pipe cannot be made, or the log not be written.
    pub fn start(folder: &Folder, home: &Path) -> anyhow::Result<(Self, fs::File)> {
        let pipe = home.join("log.pipe");
        let _ = fs::remove_file(&pipe); // of a broker that was killed
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).with_context(|| format!("cannot make {}", pipe.display()))?;
        let log = Self::follow(folder, home)?.context("the pipe is gone")?;
        let to_broker = fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&pipe)?;
        Ok((log, to_broker))
    }

    /// Begins to read what a running broker says; `None` if it is of an earlier release, and writes the log itself.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn follow(folder: &Folder, home: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(pipe) =
            fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(home.join("log.pipe"))
        else {
            return Ok(None);
        };
        // Those whom a broker that is adopted lets in already.
        let users = fs::read_to_string(home.join("passwords")).unwrap_or_default();
        let idents = users.lines().filter_map(|line| Some((line.split_once(':')?.0.to_owned(), None)));
        let trackers: Named = Arc::new(Mutex::new(idents.filter(|(user, _)| !user.starts_with(OURS)).collect()));
        let is_over = Arc::<AtomicBool>::default();
        let foreign_subscriptions = Arc::<AtomicU64>::default();
        let mut reader = Reader {
            file: LogFile::open(folder.path("mosquitto.log"))?,
            line: Vec::new(),
            trackers: trackers.clone(),
            foreign_subscriptions: foreign_subscriptions.clone(),
        };
        let is_last = is_over.clone();
        let reading = std::thread::Builder::new().name("mosquitto-log".into()).spawn(move || {
            loop {
                let ends = is_last.load(Ordering::SeqCst); // before the last look
                reader.look(&pipe);
                if ends {
                    return;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(Some(Self { trackers, foreign_subscriptions, is_over, reading: Some(reading) }))
    }

    /// How many filters that reach topics of others trackers have subscribed to.
    pub fn foreign_subscriptions(&self) -> u64 {
        self.foreign_subscriptions.load(Ordering::Relaxed)
    }

    /// Whose subscriptions are looked at.
    pub fn watch<'a>(&self, idents: impl Iterator<Item = &'a str>) {
        let mut trackers = self.trackers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched: BTreeMap<_, _> = idents.map(|ident| (ident.to_owned(), None)).collect();
        for (ident, named_at) in trackers.iter() {
            watched.entry(ident.clone()).and_modify(|at| *at = *named_at);
        }
        *trackers = watched;
    }
}

impl Drop for BrokerLog {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

struct Reader {
    file: LogFile,
    line: Vec<u8>,
    trackers: Named,
    foreign_subscriptions: Arc<AtomicU64>,
}

impl Reader {
    /// Takes what is there.
    fn look(&mut self, mut pipe: &fs::File) {
        let (mut taken, mut bytes) = (0, [0; 16 * 1024]);
        while taken < LOOK_BYTES_MAX {
            match pipe.read(&mut bytes) {
                Ok(0) => return, // no writer: the broker is starting, or has ended
                Ok(read) => {
                    taken += read;
                    self.take(&bytes[..read]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return, // nothing more now
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                match subscription(&line) {
                    Some((client, filter)) if self.is_known(client) => self.judge(client, filter),
                    _ => self.file.write(&without_session_ids(&line)),
                }
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(*byte);
            }
        }
    }

    /// Whether it is a tracker or ours; others are no clients, but words of a sentence.
    fn is_known(&self, client: &str) -> bool {
        client.starts_with(OURS) || self.trackers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(client)
    }

    /// Counts a filter that is not the tracker's, and names the tracker once in a while.
    fn judge(&self, client: &str, filter: &str) {
        if let Some(named_at) = self.trackers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(client)
            && is_foreign(filter, client)
        {
            self.foreign_subscriptions.fetch_add(1, Ordering::Relaxed);
            if named_at.is_none_or(|at| at.elapsed() > NAMED_EVERY) {
                *named_at = Some(Instant::now());
                tracing::warn!(
                    tracker = client,
                    "A tracker subscribes to topics of others; the broker sends it nothing of them (docs/security.md)"
                );
            }
        }
    }
}

/// Client and filter of a line about a subscription: `TIME: CLIENT QOS FILTER`.
fn subscription(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_once(": ")?.1.splitn(3, ' ');
    let (client, qos, filter) = (words.next()?, words.next()?, words.next()?);
    matches!(qos, "0" | "1" | "2").then_some((client, filter))
}

/// Whether a filter reaches what is not of this tracker. Phone applications subscribe to topics that nobody here has.
fn is_foreign(filter: &str, ident: &str) -> bool {
    let mut levels = filter.split('/');
    let (first, _, third) = (levels.next().unwrap_or_default(), levels.next(), levels.next());
    let is_own = first == "v1" && third == Some(ident);
    !is_own && (matches!(first, "v1" | "rideguard" | "+" | "#") || first.starts_with('$'))
}

/// The line without the part of our sessions' ids that is secret.
fn without_session_ids(line: &str) -> String {
    let mut parts = line.split(SESSION);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(SESSION);
        let (lane, rest) = part.split_once('-').unwrap_or((part, ""));
        text.push_str(lane);
        if !rest.is_empty() {
            text.push_str("-…");
            text.push_str(rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
        }
    }
    text
}

/// The log on disk: the last megabytes, and those before.
struct LogFile {
    path: PathBuf,
    file: fs::File,
    bytes: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        super::put_log_aside(&path)?;
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    /// Writes a line; what a full disk does not take is lost.
    fn write(&mut self, line: &str) {
        if self.bytes > LOG_BYTES_MAX
            && let Ok(fresh) = Self::open(self.path.clone())
        {
            *self = fresh;
        }
        let line = format!("{line}\n");
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.bytes += line.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_foreign_if_it_reaches_topics_of_others() {
        for own in ["v1/9/yy1/down", "v1/+/yy1/down", "v1/+/yy1/#", "owntracks/+/+", "homeassistant/status"] {
            assert!(!is_foreign(own, "yy1"), "{own}");
        }
        for foreign in [
            "#",
            "+/9/yy2/up",
            "v1/#",
            "v1/+/+/down",
            "v1/9/yy2/down",
            "v1",
            "rideguard/live/#",
            "$SYS/#",
            "$share/g/v1/#",
        ] {
            assert!(is_foreign(foreign, "yy1"), "{foreign}");
        }
    }

    #[test]
    fn a_line_about_a_subscription_is_told_from_a_sentence() {
        assert_eq!(subscription("1795974072: yy1 1 v1/+/a b"), Some(("yy1", "v1/+/a b")));
        for other in ["1795974072: Client yy1 disconnected.", "1795974072: mosquitto version 2.0.11 running", ""] {
            assert_eq!(subscription(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_secret_of_our_session_ids_is_left_out() {
        let line = "1: New client connected from /s/ingest-tls.sock:0 as rideguard-lane-12-0123456789abcdef (p2, c0, k60, u'x').";
        let said = "1: New client connected from /s/ingest-tls.sock:0 as rideguard-lane-12-… (p2, c0, k60, u'x').";
        assert_eq!(without_session_ids(line), said);
        for same in ["Client yy1 disconnected.", "rideguard-lane-", "rideguard-lane-3", "a rideguard-api-00ff b"] {
            assert_eq!(without_session_ids(same), same);
        }
    }

    #[test]
    fn the_log_is_bounded_while_the_broker_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosquitto.log");
        let mut log = LogFile::open(path.clone()).unwrap();
        let line = "x".repeat(999);
        for _ in 0..(2 * LOG_BYTES_MAX + LOG_BYTES_MAX / 2) / 1000 {
            log.write(&line);
        }
        let bytes = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(bytes(&path) < LOG_BYTES_MAX && bytes(&path) > 0, "{}", bytes(&path));
        assert!(bytes(&path.with_extension("log.1")) <= LOG_BYTES_MAX + 1000);
    }
}
