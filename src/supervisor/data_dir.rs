//! The data folder: who may enter, and where the managed services keep theirs.

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The user a managed service runs as; PostgreSQL refuses root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A data folder in use. Only one `rideguard up` works on it at a time.
pub struct Folder {
    root: PathBuf,
    services: PathBuf,
    service_user: Option<ServiceUser>,
    _lock: fs::File,
}

impl Folder {
    /// Opens a data folder, making it if need be, and locks it.
    ///
    /// # Errors
    /// It cannot be made, or another RideGuard is at work there.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make the data folder {}", root.display()))?;
        let root = root.canonicalize()?;
        let lock =
            fs::File::create(root.join("lock")).with_context(|| format!("cannot write in {}", root.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "another rideguard is at work in {}; stop it first, or name another folder with --data",
                root.display()
            );
        }
        let service_user = service_user()?;
        let services = match service_user {
            Some(_) if !is_enterable(&root) => apart(&root)?,
            _ => root.join("services"),
        };
        for (path, mode) in [(&services, 0o711), (&root.join("secrets"), 0o700)] {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(Self { root, services, service_user, _lock: lock })
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A managed service's own folder, 0700 and its own.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn service(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.services.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        self.hand_over(&path)?;
        Ok(path)
    }

    /// Gives a file to the managed services.
    ///
    /// # Errors
    /// It is not ours to give.
    pub fn hand_over(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(service_user) = self.service_user {
            std::os::unix::fs::chown(path, Some(service_user.uid), Some(service_user.gid))
                .with_context(|| format!("cannot hand {} over", path.display()))?;
        }
        Ok(())
    }

    /// The user that the managed services run as; `None`: as ourselves.
    pub fn service_user(&self) -> Option<ServiceUser> {
        self.service_user
    }

    /// A secret kept in `secrets/` (0700), made of 128 random bits at the first call; 0600.
    ///
    /// # Errors
    /// It cannot be written or read.
    pub fn secret(&self, name: &str) -> anyhow::Result<(PathBuf, String)> {
        let path = self.random::<16>(name)?;
        let secret = crate::config::read_secret(&path)?;
        Ok((path, secret))
    }

    /// The same of 256 bits, as keys are.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn key(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.random::<32>(name)
    }

    fn random<const BYTES: usize>(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join("secrets").join(name);
        if !path.exists() {
            // Under its name only when it is whole: on a full disk the first start must not leave an empty one.
            let fresh = path.with_extension("new");
            write_private(&fresh, &format!("{}\n", hex::encode(rand::random::<[u8; BYTES]>())))?;
            fs::rename(fresh, &path)?;
        }
        Ok(path)
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// Root hands down to the user `postgres`, which Debian's package makes; anybody else keeps himself.
fn service_user() -> anyhow::Result<Option<ServiceUser>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?
        .context("PostgreSQL refuses to run as root, and there is no user postgres: install the package postgresql")?;
    Ok(Some(ServiceUser { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// Whether anybody may walk through every folder above.
fn is_enterable(path: &Path) -> bool {
    path.ancestors().all(|p| fs::metadata(p).is_ok_and(|m| m.permissions().mode() & 0o001 != 0))
}

/// Where the managed services live if they cannot reach the data folder (a checkout below /root): a folder
/// of theirs, with a link from the data folder.
fn apart(root: &Path) -> anyhow::Result<PathBuf> {
    let meta = fs::metadata(root)?;
    let path = PathBuf::from(format!("/var/lib/rideguard-{:x}-{:x}", meta.dev(), meta.ino()));
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let link = root.join("services");
    if fs::symlink_metadata(&link).is_err() {
        std::os::unix::fs::symlink(&path, &link)?;
    }
    Ok(path)
}
