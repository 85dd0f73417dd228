//! The spool: journal batches in files of this machine while PostgreSQL is away.
//!
//! A file holds one batch as a journal row would. It is written under another name, flushed to the disk
//! (the file, then the folder) and renamed, so that a file that bears its name is whole. What it
//! holds may then be acknowledged. Files of a lane are drained in the order of their names.

use crate::domain::{Entry, Lane};
use crate::store::journal;
use anyhow::{Context, bail};
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a whole file's name ends.
const WHOLE: &str = "batch";
/// How the name of one that is being written ends.
const UNFINISHED: &str = "unfinished";
/// How the name of one ends that nobody can read any more.
const SPOILT: &str = "spoilt";

/// The spool of one lane.
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    /// Which setting says so.
    setting: &'static str,
    bytes: u64,
    /// Number of the newest file; names sort by it.
    newest: u64,
}

impl Spool {
    /// Opens the spool of a lane, which may hold so much as a setting says, and removes what a kill left half written: nothing of it was acknowledged.
    ///
    /// # Errors
    /// Names the folder that cannot be made or read.
    pub fn open(root: &Path, lane: Lane, (bytes_max, setting): (u64, &'static str)) -> anyhow::Result<Self> {
        let folder = root.join(format!("lane-{:02}", lane.0));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make the spool folder {}", folder.display()))?;
        let mut spool = Self { folder, bytes_max, setting, bytes: 0, newest: 0 };
        for path in spool.paths(UNFINISHED)? {
            fs::remove_file(path)?;
        }
        for path in spool.paths(WHOLE)? {
            spool.bytes += fs::metadata(&path)?.len();
            let number = path.file_stem().and_then(|s| s.to_str()?.parse().ok());
            spool.newest = spool.newest.max(number.unwrap_or(0));
        }
        Ok(spool)
    }

    /// Whether anything waits in it.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that wait in it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a batch. When this returns, the disk has it.
    ///
    /// # Errors
    /// The spool is full, or the disk's own word; then nothing of the batch was kept.
    pub fn put(&mut self, entries: &[Entry]) -> anyhow::Result<()> {
        let content = journal::pack(entries)?;
        let length = content.len() as u64;
        if self.bytes + length > self.bytes_max {
            bail!(
                "the spool {} holds {} bytes and would get {length} more; it may hold {} ({})",
                self.folder.display(),
                self.bytes,
                self.bytes_max,
                self.setting
            );
        }
        self.newest += 1;
        let name = format!("{:020}", self.newest);
        let unfinished = self.folder.join(format!("{name}.{UNFINISHED}"));
        let written = self.write(&unfinished, &self.folder.join(format!("{name}.{WHOLE}")), &content);
        if written.is_err() {
            let _ = fs::remove_file(&unfinished); // a full disk wants every byte back
        }
        written.with_context(|| format!("cannot write to the spool {}", self.folder.display()))?;
        self.bytes += length;
        Ok(())
    }

    fn write(&self, unfinished: &Path, whole: &Path, content: &[u8]) -> std::io::Result<()> {
        // Only we may read it: packets hold positions.
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(unfinished, whole)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The oldest batch, with the file to [`Spool::forget`] once it is in the journal. A file that the
    /// disk has spoilt is renamed and logged, because it must not hold up the others.
    ///
    /// # Errors
    /// Names the folder or file that cannot be read or renamed.
    pub fn oldest(&mut self) -> anyhow::Result<Option<(PathBuf, Vec<Entry>)>> {
        for path in self.paths(WHOLE)? {
            let content = fs::read(&path).with_context(|| format!("cannot read {} of the spool", path.display()))?;
            match journal::unpack(&content) {
                Ok(entries) => return Ok(Some((path, entries))),
                Err(error) => {
                    let file = path.display();
                    tracing::error!(%file, error = %format!("{error:#}"), "Spool file is corrupt; renaming it to *.{SPOILT}");
                    fs::rename(&path, path.with_extension(SPOILT))?;
                    self.bytes = self.bytes.saturating_sub(content.len() as u64);
                }
            }
        }
        Ok(None)
    }

    /// Removes a batch that is in the journal.
    ///
    /// # Errors
    /// Names the file that cannot be removed.
    pub fn forget(&mut self, path: &Path) -> anyhow::Result<()> {
        let length = fs::metadata(path).map(|m| m.len()).unwrap_or_default();
        fs::remove_file(path).with_context(|| format!("cannot remove {} from the spool", path.display()))?;
        self.bytes = self.bytes.saturating_sub(length);
        Ok(())
    }

    /// Files whose names end so, oldest first.
    fn paths(&self, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder)
            .with_context(|| format!("cannot read the spool folder {}", self.folder.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == extension) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn tick(at: i64) -> Vec<Entry> {
        vec![Entry::Tick { at: Timestamp::from_secs(at) }]
    }

    fn drained(spool: &mut Spool) -> Vec<Vec<Entry>> {
        let mut all = Vec::new();
        while let Some((path, entries)) = spool.oldest().unwrap() {
            spool.forget(&path).unwrap();
            all.push(entries);
        }
        all
    }

    #[test]
    fn batches_come_back_in_order_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), Lane(3), (1 << 20, "a.setting")).unwrap();
        (0..20).for_each(|n| spool.put(&tick(n)).unwrap());
        let mut again = Spool::open(root.path(), Lane(3), (1 << 20, "a.setting")).unwrap();
        assert_eq!(again.bytes(), spool.bytes());
        assert_eq!(drained(&mut again), (0..20).map(tick).collect::<Vec<_>>());
        assert!(again.is_empty());
    }

    #[test]
    fn a_half_written_batch_counts_for_nothing() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(root.path(), Lane(0), (1 << 20, "a.setting")).unwrap();
        fs::write(spool.folder.join("00000000000000000001.unfinished"), b"half").unwrap();
        let mut again = Spool::open(root.path(), Lane(0), (1 << 20, "a.setting")).unwrap();
        assert!(again.is_empty() && again.oldest().unwrap().is_none());
        assert_eq!(fs::read_dir(&again.folder).unwrap().count(), 0);
    }

    #[test]
    fn a_spoilt_batch_holds_up_no_other() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), Lane(0), (1 << 20, "a.setting")).unwrap();
        (0..3).for_each(|n| spool.put(&tick(n)).unwrap());
        let (first, _) = spool.oldest().unwrap().unwrap();
        fs::write(&first, b"\x02what a dying disk makes of it").unwrap();
        assert_eq!(drained(&mut spool), [tick(1), tick(2)]);
        assert!(first.with_extension("spoilt").exists());
    }

    #[test]
    fn a_full_spool_says_so_and_keeps_nothing_of_the_batch() {
        let root = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(root.path(), Lane(0), (60, "a.setting")).unwrap();
        spool.put(&tick(1)).unwrap();
        let error = (2..9).find_map(|n| spool.put(&tick(n)).err()).expect("full").to_string();
        assert!(error.contains("it may hold 60 (a.setting)"), "{error}");
        let kept = spool.bytes();
        assert!(kept <= 60);
        assert_eq!(Spool::open(root.path(), Lane(0), (60, "a.setting")).unwrap().bytes(), kept);
    }
}
