//! Settings of a deployment: `rideguard.toml`. Every key is documented in `rideguard.example.toml`.
//!
//! Secrets come from files named here, so that the file itself can be shown around.

mod door;
mod link;
mod servers;

use anyhow::{Context, anyhow, bail};
pub use door::{Door, Language, Listener};
pub use link::Link;
use serde::Deserialize;
pub use servers::{Accounts, Broker, Database};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// PostgreSQL.
    pub database: Database,
    /// The MQTT broker.
    pub broker: Broker,
    /// Ingest.
    #[serde(default)]
    pub ingest: Ingest,
    /// HTTP.
    #[serde(default)]
    pub http: Http,
    /// Notifications.
    #[serde(default)]
    pub notify: Notify,
    /// The rollup of tracks.
    #[serde(default)]
    pub rollup: Rollup,
    /// How long what is kept.
    #[serde(default)]
    pub retention: Retention,
    /// The old journal, sealed.
    #[serde(default)]
    pub journal: Journal,
    /// The chain over the audit.
    #[serde(default)]
    pub audit: Audit,
    /// How people log in.
    #[serde(default)]
    pub accounts: Accounts,
    /// What a broker of one's own asks.
    #[serde(default)]
    pub admission: Admission,
    /// Where trackers connect to RideGuard itself.
    #[serde(default)]
    pub door: Door,
    /// The way between processes.
    #[serde(default)]
    pub link: Link,
}

/// Ingest limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Oldest fix that is plausible, days.
    pub max_fix_age_days: u32,
    /// Most packets in one journal batch. Below the broker's in-flight window, or nothing moves.
    pub batch_packets_max: usize,
    /// How long a packet waits for its batch to fill, milliseconds; a busy lane waits up to 300 ms.
    pub batch_wait_ms: u64,
    /// Seconds between checkpoints of a lane.
    pub checkpoint_every_s: u64,
    /// Seconds between clock ticks in the journal.
    pub tick_every_s: u64,
    /// Days that fixes stay hot after they were rolled up; older ones come late.
    pub hot_days: u32,
    /// Folder for what trackers send while PostgreSQL is away; without one the broker has to keep it.
    #[serde(alias = "spool_folder")]
    pub spool_dir: Option<PathBuf>,
    /// Most that may lie there, megabytes; beyond that the broker has to keep it.
    pub spool_mb_max: u64,
    /// Folder of tracker profiles (`*.toml`, docs/protocols.md) that go before the embedded ones.
    #[serde(alias = "profiles_folder")]
    pub profiles_dir: Option<PathBuf>,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            max_fix_age_days: 30,
            batch_packets_max: 1000,
            batch_wait_ms: 10,
            checkpoint_every_s: 60,
            tick_every_s: 5,
            hot_days: 3,
            spool_dir: None,
            spool_mb_max: 1024,
            profiles_dir: None,
        }
    }
}

/// Most files in a folder of profiles; ours are a fifteenth of that.
const PROFILE_FILES_MAX: usize = 256;

/// The tracker profiles of a folder, name and text, by name.
///
/// # Errors
/// The folder or a file that cannot be read.
pub fn read_profiles(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let listed =
        std::fs::read_dir(folder).with_context(|| format!("cannot read the profiles' folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            if files.len() == PROFILE_FILES_MAX {
                bail!("the profiles' folder {} has more than {PROFILE_FILES_MAX} files", folder.display());
            }
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read the profile {}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

/// HTTP listeners.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where people connect. Not loopback only behind a TLS proxy.
    pub listen: SocketAddr,
    /// Where Prometheus connects.
    pub metrics_listen: SocketAddr,
    /// Says that a proxy in front speaks TLS; needed to listen beyond loopback. Cookies are then Secure.
    pub behind_tls_proxy: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            metrics_listen: ([127, 0, 0, 1], 9188).into(),
            behind_tls_proxy: false,
        }
    }
}

/// Notification limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Whether webhooks may go to loopback and private addresses (demonstration, tests).
    pub allow_private_webhooks: bool,
    /// Whether webhooks may be plain http, in which anybody on the way reads plate and position.
    pub allow_http_webhooks: bool,
    /// Attempts before a notification counts as failed.
    pub attempts_max: i32,
}

impl Default for Notify {
    fn default() -> Self {
        Self { allow_private_webhooks: false, allow_http_webhooks: false, attempts_max: 12 }
    }
}

/// When tracks are rolled up.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollup {
    /// Seconds after its end at which a slice of 15 minutes is closed; later fixes of it are late.
    pub closes_after_s: u64,
    /// Seconds after which late fixes are merged: a backlog is merged together.
    #[serde(alias = "late_rest_s")]
    pub merge_late_after_s: u64,
}

impl Default for Rollup {
    fn default() -> Self {
        Self { closes_after_s: 300, merge_late_after_s: 600 }
    }
}

/// How long what is kept, by purpose, days; a nightly job of the rollup role lets go of the rest.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Positions that nothing happened around, and alerts without an incident.
    pub normal_days: u32,
    /// Incidents after their end, with their alerts and the positions around them.
    pub incident_days: u32,
    /// Positions of a case after their time, once its hold is released or over.
    pub case_days: u32,
    /// The raw journal, and what was set aside.
    pub journal_days: u32,
    /// The hour after which the nightly job runs, UTC.
    pub hour_utc: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { normal_days: 365, incident_days: 730, case_days: 1095, journal_days: 30, hour_utc: 19 }
    }
}

/// How the old journal is sealed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// File of the master key; without one the journal stays as it came.
    pub key_file: Option<PathBuf>,
    /// Days after which the nightly job seals what was received.
    pub seal_after_days: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Self { key_file: None, seal_after_days: 1 }
    }
}

/// How the audit is sealed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// File of the key that signs heads; only the role that seals reads it.
    pub key_file: Option<PathBuf>,
    /// File that gets its public half.
    pub public_key_file: Option<PathBuf>,
    /// File that heads are appended to.
    pub heads_file: Option<PathBuf>,
    /// Files elsewhere that get the same.
    pub copy_heads_to: Vec<PathBuf>,
    /// Seconds between two lines of such a file.
    pub heads_every_s: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { key_file: None, public_key_file: None, heads_file: None, copy_heads_to: Vec::new(), heads_every_s: 1 }
    }
}

/// The listener at which a broker of one's own asks who may come in; off by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Where it asks; none: nobody listens.
    pub listen: Option<SocketAddr>,
    /// File of the secret that it shows; needed beyond loopback.
    pub secret_file: Option<PathBuf>,
}

/// Most files that get copies of heads.
const HEAD_COPIES_MAX: u64 = 8;
/// Longest time that anything is kept, days.
const DAYS_MAX: u64 = 36_500;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file, and the key or the line that is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            anyhow!("cannot read the settings file {path}: {error}; choose it with --config FILE or RIDEGUARD_CONFIG")
        })?;
        let mut config: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            anyhow!("the settings file {}, line {line}: {}", path.display(), e.message())
        })?;
        config.broker.check()?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [
            &mut config.database.password_file,
            &mut config.database.api_password_file,
            &mut config.broker.ca_file,
            &mut config.broker.password_file,
        ] {
            *file = base.join(&*file);
        }
        for file in config.database.optional_files() {
            *file = file.take().map(|file| base.join(file));
        }
        config.journal.key_file = config.journal.key_file.map(|file| base.join(file));
        config.accounts.key_file = config.accounts.key_file.map(|file| base.join(file));
        let audit = &mut config.audit;
        let files = [&mut audit.key_file, &mut audit.public_key_file, &mut audit.heads_file];
        for file in files.into_iter().flatten().chain(&mut audit.copy_heads_to) {
            *file = base.join(&*file);
        }
        config.admission.secret_file = config.admission.secret_file.map(|file| base.join(file));
        config.door.settle_files(base);
        config.link.settle_files(base);
        config.broker.socket = config.broker.socket.map(|socket| base.join(socket));
        config.broker.api_password_file = config.broker.api_password_file.map(|file| base.join(file));
        config.ingest.spool_dir = config.ingest.spool_dir.map(|folder| base.join(folder));
        config.ingest.profiles_dir = config.ingest.profiles_dir.map(|folder| base.join(folder));
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let within = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(anyhow!("{name} is {value}; it must be {low} to {high}"))
            }
        };
        within("ingest.batch_packets_max", self.ingest.batch_packets_max as u64, 1, 2000)?;
        within("ingest.batch_wait_ms", self.ingest.batch_wait_ms, 1, 1000)?;
        within("ingest.checkpoint_every_s", self.ingest.checkpoint_every_s, 1, 3600)?;
        within("ingest.tick_every_s", self.ingest.tick_every_s, 1, 60)?;
        within("ingest.max_fix_age_days", self.ingest.max_fix_age_days.into(), 1, 36_500)?;
        within("ingest.hot_days", self.ingest.hot_days.into(), 1, 400)?;
        within("ingest.spool_mb_max", self.ingest.spool_mb_max, 16, 1 << 20)?;
        within("rollup.closes_after_s", self.rollup.closes_after_s, 60, 86_400)?;
        within("rollup.merge_late_after_s", self.rollup.merge_late_after_s, 0, 86_400)?;
        // Each needs what comes before it: hot days are compared with the journal, incidents outlive both.
        let hot = u64::from(self.ingest.hot_days);
        let Retention { normal_days, incident_days, case_days, journal_days, hour_utc } = self.retention;
        within("retention.journal_days", journal_days.into(), hot + 1, DAYS_MAX)?;
        within("retention.normal_days", normal_days.into(), u64::from(journal_days), DAYS_MAX)?;
        within("retention.incident_days", incident_days.into(), u64::from(normal_days), DAYS_MAX)?;
        within("retention.case_days", case_days.into(), u64::from(incident_days), DAYS_MAX)?;
        within("journal.seal_after_days", self.journal.seal_after_days.into(), 1, DAYS_MAX)?;
        within("audit.heads_every_s", self.audit.heads_every_s, 1, 3600)?;
        within("audit.copy_heads_to", self.audit.copy_heads_to.len() as u64, 0, HEAD_COPIES_MAX)?;
        within("retention.hour_utc", hour_utc.into(), 0, 23)?;
        within("notify.attempts_max", self.notify.attempts_max.max(0) as u64, 1, 100)?;
        self.door.check()?;
        self.link.check()?;
        if !self.broker.enabled && self.door.listener.is_empty() {
            bail!("broker.enabled is false and the door has no listener: no tracker could connect");
        }
        if self.broker.api_username.is_some() != self.broker.api_password_file.is_some() {
            bail!("of broker.api_username and broker.api_password_file one is missing: set both, or neither");
        }
        if let Some(listen) = self.admission.listen
            && !listen.ip().is_loopback()
            && self.admission.secret_file.is_none()
        {
            bail!("admission.listen is {listen}, which is not loopback: set admission.secret_file, too");
        }
        if !self.http.listen.ip().is_loopback() && !self.http.behind_tls_proxy {
            bail!(
                "http.listen is {}, which is not loopback: put a TLS proxy in front and set http.behind_tls_proxy = true",
                self.http.listen
            );
        }
        Ok(())
    }
}

/// Reads a secret from its file: the first line, without the line end.
///
/// # Errors
/// Names the file that is missing or empty.
pub fn read_secret(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the secret in {}", path.display()))?;
    let secret = text.lines().next().unwrap_or_default().trim().to_owned();
    if secret.is_empty() {
        bail!("the secret in {} is empty", path.display());
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rideguard.example.toml");
        Config::read(&path).unwrap();
    }

    #[test]
    fn the_api_and_our_services_fall_back_to_what_older_settings_have() {
        let older = "host = 'b'\nca_file = 'ca'\npassword_file = 'p'\nport = 1";
        let read = |more: &str| toml::from_str::<Broker>(&format!("{older}\n{more}")).unwrap();
        let (services, api) = (read("").for_services(), read("").for_api());
        assert_eq!((services.port, api.port, api.username.as_str()), (1, 1, "rideguard-ingest"));
        assert!(!read("").has_api_user());
        let now = read("services_port = 2\napi_username = 'a'\napi_password_file = 'q'");
        let (services, api) = (now.for_services(), now.for_api());
        assert_eq!((now.port, services.port, services.username.as_str()), (1, 2, "rideguard-ingest"));
        assert_eq!((api.port, api.username.as_str(), api.password_file), (2, "a", PathBuf::from("q")));
    }

    #[test]
    fn half_of_the_apis_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rideguard.toml");
        let example = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rideguard.example.toml"));
        let half = example.unwrap().replace("\napi_password_file = \"secrets/broker-api\"", "");
        std::fs::write(&path, half).unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("broker.api_password_file"), "{error}");
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rideguard.toml");
        std::fs::write(&path, "[database]\nhots = 'x'\n").unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: unknown field `hots`") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn earlier_names_of_keys_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rideguard.toml");
        let example = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rideguard.example.toml"));
        let names = [
            ("\nspool_dir =", "\nspool_folder ="),
            ("\n# profiles_dir =", "\nprofiles_folder ="),
            ("\nmerge_late_after_s =", "\nlate_rest_s ="),
        ];
        let earlier = names.iter().fold(example.unwrap(), |text, (new, old)| {
            assert!(text.contains(new), "the example has no {new:?}");
            text.replace(new, old)
        });
        std::fs::write(&path, earlier.replace("= 600 ", "= 601 ")).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.ingest.spool_dir, Some(folder.path().join("spool")));
        assert_eq!(config.ingest.profiles_dir, Some(folder.path().join("profiles")));
        assert_eq!(config.rollup.merge_late_after_s, 601);
    }

    #[test]
    fn a_folder_of_profiles_is_read_by_name_and_only_its_toml_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.toml", "2"), ("a.toml", "1"), ("notes.txt", "3")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let read = read_profiles(folder.path()).unwrap();
        assert_eq!(read, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let missing = read_profiles(&folder.path().join("nowhere")).unwrap_err();
        assert!(missing.to_string().contains("nowhere"), "{missing}");
    }
}
