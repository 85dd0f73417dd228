//! The files that heads are appended to. Each has a task of its own: one on a disk that hangs holds up nobody else.

use crate::store::audit::head::{Head, LINE_BYTES_MAX};
use crate::telemetry::Metrics;
use anyhow::Context;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Longest that a file may take; then it counts as failed, and is waited for.
const APPEND_MAX: Duration = Duration::from_secs(5);
/// How long to wait after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Keeps the newest head in a file until the sender of heads is gone. The head that stood there before goes to `earlier`,
/// once.
pub(super) async fn keep(
    file: PathBuf,
    every: Duration,
    mut heads: watch::Receiver<Option<Head>>,
    earlier: mpsc::Sender<(PathBuf, Head)>,
    metrics: Arc<Metrics>,
) {
    let (mut earlier, mut is_failing) = (Some(earlier), false);
    while heads.changed().await.is_ok() {
        loop {
            let Some(head) = heads.borrow_and_update().clone() else { break };
            let failed = match in_time(append_apart(file.clone(), head), &metrics).await {
                Ok(found) => {
                    if let (Some(earlier), Some(found)) = (earlier.take(), found) {
                        drop(earlier.send((file.clone(), found)).await);
                    }
                    None
                }
                Err(error) => Some(error),
            };
            match (&failed, is_failing) {
                (Some(error), false) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "Heads of the audit do not get to {}; retrying", file.display());
                }
                (None, true) => tracing::info!("Heads of the audit get to {} again", file.display()),
                _ => {}
            }
            is_failing = failed.is_some();
            if !is_failing {
                break;
            }
            metrics.audit_copy_failures.inc();
            tokio::time::sleep(RETRY_AFTER).await;
            if heads.has_changed().is_err() {
                return;
            }
        }
        rest(every, &heads).await;
    }
}

/// Waits, but not when the end of the program wants the last head to be written.
async fn rest(every: Duration, heads: &watch::Receiver<Option<Head>>) {
    let since = tokio::time::Instant::now();
    while since.elapsed() < every && heads.has_changed().is_ok() {
        tokio::time::sleep(Duration::from_millis(100).min(every)).await;
    }
}

type Appended = anyhow::Result<Option<Head>>;

/// Waits for a file, however long it takes; each time that it takes too long counts.
async fn in_time(mut appended: oneshot::Receiver<Appended>, metrics: &Metrics) -> Appended {
    loop {
        match tokio::time::timeout(APPEND_MAX, &mut appended).await {
            Ok(done) => return done.context("the writer ended")?,
            Err(_) => {
                tracing::error!("A file for heads of the audit has not answered for {APPEND_MAX:?}");
                metrics.audit_copy_failures.inc();
            }
        }
    }
}

/// A thread of its own: the end of the program does not wait for a file that hangs.
fn append_apart(file: PathBuf, head: Head) -> oneshot::Receiver<Appended> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || drop(tell.send(append(&file, &head))));
    told
}

/// Appends a head, unless it is the last one there; the last one that was there before.
fn append(file: &Path, head: &Head) -> Appended {
    let cannot = || format!("cannot write {}", file.display());
    let mut opened =
        OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(file).with_context(cannot)?;
    let (last, is_torn) = last_head(&mut opened).with_context(cannot)?;
    if last.as_ref() != Some(head) {
        // A power cut may have left a part of a line.
        let line = if is_torn { "\n" } else { "" }.to_owned() + &head.line()?;
        opened.write_all(line.as_bytes()).and_then(|()| opened.sync_data()).with_context(cannot)?;
    }
    Ok(last)
}

/// The last head of a file, and whether its last line has no end.
fn last_head(file: &mut std::fs::File) -> std::io::Result<(Option<Head>, bool)> {
    // Whole lines, a torn one and one more.
    let tail_bytes = 3 * LINE_BYTES_MAX as u64;
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(tail_bytes)))?;
    let mut tail = Vec::new();
    file.take(tail_bytes).read_to_end(&mut tail)?;
    let text = String::from_utf8_lossy(&tail);
    let last = text.lines().rev().find_map(|line| Head::parse(line).ok());
    Ok((last, !text.is_empty() && !text.ends_with('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn head(number: i64) -> Head {
        Head { number, rows: number, head: [1; 32], sealed_at: Timestamp::from_secs(number), signature: [2; 64] }
    }

    #[test]
    fn a_head_is_appended_once_and_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("heads");
        assert_eq!(append(&file, &head(1)).unwrap(), None);
        assert_eq!(append(&file, &head(1)).unwrap(), Some(head(1)));
        assert_eq!(append(&file, &head(2)).unwrap(), Some(head(1)));
        let whole = std::fs::read_to_string(&file).unwrap();
        assert_eq!(whole, head(1).line().unwrap() + &head(2).line().unwrap());
        // A power cut in the middle of the third line.
        let third = head(3).line().unwrap();
        std::fs::write(&file, whole.clone() + &third[..40]).unwrap();
        assert_eq!(append(&file, &head(3)).unwrap(), Some(head(2)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{whole}{}\n{third}", &third[..40]));
        let nowhere = append(&folder.path().join("none/heads"), &head(1)).unwrap_err().to_string();
        assert!(nowhere.contains("cannot write") && nowhere.contains("none/heads"), "{nowhere}");
    }
}
