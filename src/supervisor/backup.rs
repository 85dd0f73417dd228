//! Backups: a base backup of PostgreSQL by its own programs, and the files of the deployment beside it.
//!
//! ```text
//! DIR/backup.json     what it is
//! DIR/postgres/       a data directory, checked by its manifest
//! DIR/files/          settings, secrets, certificates, trackers
//! ```

use crate::config::{Config, read_secret};
use crate::supervisor::Folder;
use crate::supervisor::data_dir::write_private;
use crate::supervisor::postgres::{bin_folder, program};
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// Version of the folder's form.
const FORMAT: u32 = 1;
/// What a deployment has beside its database, below the folder of its settings.
const FILES: &[&str] = &["rideguard.toml", "ca.pem", "trackers", "demo-logins", "audit-key.pub", "secrets"];

/// What a backup is, as `backup.json` says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    format: u32,
    /// Version of the program that made it.
    pub rideguard: String,
    /// Major version of the server: only that one can read it.
    pub postgres: u32,
    /// When it was begun, RFC 3339.
    pub made_at: String,
}

/// Makes a backup of a running deployment into `to`, which must be empty or missing. `settings` is its settings file.
///
/// # Errors
/// The folder is in use, a program is missing, or what the program says.
pub fn make(config: &Config, settings: &Path, major: u32, made_at: String, to: &Path) -> anyhow::Result<About> {
    require_empty(to, "the backup")?;
    let dump = program(major, "pg_basebackup")?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    let database = &config.database;
    let mut command = Command::new(dump);
    command
        .args(["--wal-method=stream", "--checkpoint=fast", "--format=plain", "--no-password"])
        .args(["--host", &database.host, "--port", &database.port.to_string(), "--username", &database.user])
        .arg("--pgdata")
        .arg(to.join("postgres"))
        .env("PGPASSWORD", read_secret(&database.password_file)?);
    run(command, "pg_basebackup")?;
    let home = settings.parent().unwrap_or(Path::new("."));
    for name in FILES {
        if home.join(name).exists() {
            copy(&home.join(name), &to.join("files").join(name))?;
        }
    }
    let about = About { format: FORMAT, rideguard: env!("CARGO_PKG_VERSION").into(), postgres: major, made_at };
    // The last: a folder without it is no backup.
    write_private(&to.join("backup.json"), &serde_json::to_string_pretty(&about)?)?;
    Ok(about)
}

/// Makes a data folder for `rideguard up` of a backup; `data` must be empty or missing.
///
/// # Errors
/// It is no backup, is damaged, was made by another PostgreSQL, or the folder is in use.
pub fn restore(from: &Path, data: &Path) -> anyhow::Result<About> {
    let text = fs::read_to_string(from.join("backup.json"))
        .with_context(|| format!("{} is not a finished backup: it has no backup.json", from.display()))?;
    let about: About = serde_json::from_str(&text).with_context(|| format!("backup.json in {}", from.display()))?;
    ensure!(about.format == FORMAT, "the backup has form {}; this program reads form {FORMAT}", about.format);
    // `up` starts the newest server there is.
    let bin = bin_folder()?;
    let installed = bin.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    ensure!(
        installed == about.postgres.to_string(),
        "the backup is of PostgreSQL {}, and PostgreSQL {installed} would be started here: install that version alone",
        about.postgres
    );
    require_empty(data, "the data folder")?;
    let mut check = Command::new(program(about.postgres, "pg_verifybackup")?);
    check.args(["--quiet"]).arg(from.join("postgres"));
    run(check, "pg_verifybackup")?;
    let folder = Folder::open(data)?;
    let home = folder.service("postgres")?;
    let restored = home.join("data");
    copy(&from.join("postgres"), &restored)?;
    hand_over(&folder, &restored)?;
    for name in FILES {
        let file = from.join("files").join(name);
        if file.exists() {
            copy(&file, &folder.path(name))?;
        }
    }
    Ok(about)
}

fn require_empty(folder: &Path, what: &str) -> anyhow::Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{what} needs an empty folder, and {} is not", folder.display());
    }
    Ok(())
}

fn run(mut command: Command, name: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing").trim();
    ensure!(output.status.success(), "{name} failed: {last}");
    Ok(())
}

/// Copies a file or a folder; nobody else may read the copy.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let kind = fs::symlink_metadata(from).with_context(|| format!("cannot read {}", from.display()))?.file_type();
    if kind.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    ensure!(kind.is_file(), "{} is neither file nor folder: tablespaces and links are not backed up", from.display());
    if let Some(parent) = to.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o600))?)
}

fn hand_over(folder: &Folder, path: &Path) -> anyhow::Result<()> {
    folder.hand_over(path)?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(folder, &entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_backup_or_of_another_server_or_would_be_overwritten_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (from, data) = (folder.path().join("backup"), folder.path().join("data"));
        fs::create_dir_all(&from).unwrap();
        let refusal = || format!("{:#}", restore(&from, &data).unwrap_err());
        assert!(refusal().contains("not a finished backup"));
        let about = |format, postgres| {
            let about = About { format, rideguard: "0".into(), postgres, made_at: "2026-11-25T00:00:00Z".into() };
            fs::write(from.join("backup.json"), serde_json::to_string(&about).unwrap()).unwrap();
        };
        about(FORMAT + 1, 15);
        assert!(refusal().contains("form 2"));
        about(FORMAT, 9);
        let said = refusal();
        assert!(said.contains("is of PostgreSQL 9") || said.contains("was not found"), "{said}");
        let error = require_empty(&from, "the backup").unwrap_err().to_string();
        assert!(error.contains("needs an empty folder"), "{error}");
        require_empty(&data, "the data folder").unwrap();
        let error = program(9, "pg_basebackup").unwrap_err().to_string();
        assert!(error.contains("postgresql-client-9"), "{error}");
    }

    #[test]
    fn a_copy_is_readable_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("secrets")).unwrap();
        fs::write(from.join("secrets/x"), "y").unwrap();
        fs::set_permissions(from.join("secrets/x"), fs::Permissions::from_mode(0o644)).unwrap();
        copy(&from, &to).unwrap();
        for path in [to.join("secrets"), to.join("secrets/x")] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
        std::os::unix::fs::symlink("/etc/hostname", from.join("link")).unwrap();
        assert!(copy(&from, &to).unwrap_err().to_string().contains("link"));
    }
}
