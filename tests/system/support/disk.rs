//! A disk that a test may fill: everything of one RideGuard lies on it, its servants' files and logs, too.

use crate::harness::Up;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Above what database, broker and a test's load need, and little enough for memory.
const MEGABYTES: u32 = 400;

/// See the module.
pub enum Disk {
    /// A file system of its own, in memory: full is ENOSPC.
    Small(PathBuf),
    /// Where nobody may mount, no file may grow instead (RLIMIT_FSIZE): every write is refused with EFBIG.
    Shared,
}

impl Disk {
    /// Puts a small disk under an empty folder, if this user may (RIDEGUARD_TEST_NO_MOUNT: as if it might not).
    pub fn under(folder: &Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={MEGABYTES}m,mode=0711"), "tmpfs"]).arg(folder);
        let is_wanted = std::env::var_os("RIDEGUARD_TEST_NO_MOUNT").is_none();
        if is_wanted && mount.output().is_ok_and(|output| output.status.success()) {
            return Self::Small(folder.to_owned());
        }
        eprintln!(
            "\n!!! No disk of its own can be mounted here. Instead of a full disk (ENOSPC), no file may grow (EFBIG by RLIMIT_FSIZE).\n"
        );
        Self::Shared
    }

    /// Nothing can be written, not even in the room that somebody has made since.
    pub fn fill(&self, up: &Up) {
        match self {
            Self::Small(folder) => {
                let mut filler = fs::File::options().create(true).append(true).open(folder.join("filler")).unwrap();
                let error = (0..).find_map(|_| filler.write_all(&[0; 4096]).err()).unwrap();
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            }
            Self::Shared => limit_files(up, "0"),
        }
    }

    /// There is room again.
    pub fn empty(&self, up: &Up) {
        match self {
            Self::Small(folder) => fs::remove_file(folder.join("filler")).unwrap(),
            Self::Shared => limit_files(up, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small(folder) = self {
            // Lazily: a servant may be on its way out, and its files go with the last who has them open.
            let _ = Command::new("umount").arg("-l").arg(&folder).status();
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Sets how large a file may grow, for the program first (whom it starts from now on inherits it), then for
/// everybody it has started.
fn limit_files(up: &Up, bytes: &str) {
    let mut waiting = vec![up.child.id()];
    for file in ["services/postgres/data/postmaster.pid", "services/mosquitto/mosquitto.pid"] {
        let text = fs::read_to_string(up.folder.join(file)).unwrap_or_default(); // it may be on its way up
        waiting.extend(text.lines().next().and_then(|l| l.trim().parse::<u32>().ok()));
    }
    while let Some(pid) = waiting.pop() {
        let Ok(process) = fs::metadata(format!("/proc/{pid}")) else { continue }; // it has ended meanwhile
        // Only the soft limit: the hard one could not be raised again. As its user: root in a container may
        // not do it for others.
        let mut limit = Command::new("prlimit");
        limit.args([&format!("--pid={pid}"), &format!("--fsize={bytes}:")]).uid(process.uid()).gid(process.gid());
        let _ = limit.output();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        waiting.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
    }
}
