//! The whole chain against its rows, its signatures and heads that were kept elsewhere.

use crate::domain::Timestamp;
use crate::seal::key::PublicKeys;
use crate::store::audit::check::{self, Finding, Kind};
use crate::store::audit::head::{Head, LINE_BYTES_MAX};
use anyhow::{Context, ensure};
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio_postgres::Client;

/// Most differences that are named; more are counted.
const FINDINGS_MAX: usize = 20;
/// Heads whose signatures are judged together.
const HEADS_TOGETHER: usize = 2000;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether everything is as it was sealed.
    pub ok: bool,
    /// Seals that were read.
    pub seals: u64,
    /// Rows that were hashed again.
    pub rows: u64,
    /// The newest seal.
    pub newest: Option<Newest>,
    /// The newest of the public keys, hexadecimal.
    pub public_key: String,
    /// Files with heads.
    pub heads: Vec<Compared>,
    /// Rows that no seal holds yet.
    pub unsealed_rows: i64,
    /// When the oldest of these came.
    pub unsealed_since: Option<String>,
    /// Differences.
    pub findings_total: usize,
    /// The first of them, those of the table in the order of seals.
    pub findings: Vec<Finding>,
}

/// The newest seal.
#[derive(Debug, Serialize)]
pub struct Newest {
    /// Its number.
    pub number: i64,
    /// Rows up to it.
    pub rows: i64,
    /// The head of the chain, hexadecimal.
    pub head: String,
    /// When it was made.
    pub sealed_at: String,
}

/// A file with heads that was compared.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub file: PathBuf,
    /// Heads in it.
    pub heads: u64,
    /// Lines that are no head; a power cut may leave one.
    pub unreadable_lines: u64,
}

/// Differences, the first ones named.
#[derive(Default)]
struct Findings {
    named: Vec<Finding>,
    total: usize,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        self.total += 1;
        if self.named.len() < FINDINGS_MAX {
            self.named.push(finding);
        }
    }
}

/// Checks everything. What the newest head's signature holds needs no other: those of earlier heads are judged where something
/// differs, to name the first, or where `every_signature` is asked for.
///
/// # Errors
/// The database's own word, or a file that cannot be read or has no head.
pub async fn run(
    client: &mut Client,
    keys: PublicKeys,
    files: &[PathBuf],
    every_signature: bool,
) -> anyhow::Result<Report> {
    // Files are looked at before anything long begins.
    for file in files {
        File::open(file).with_context(|| cannot_read(file))?;
    }
    let (mut findings, mut judge) = (Findings::default(), Judge::new(keys));
    let summary = check::run(client, |finding| findings.add(finding)).await?;
    let is_signed = summary.newest.as_ref().is_none_or(|newest| judge.keys.have_signed(newest));
    if every_signature || findings.total > 0 || !is_signed {
        check::each_head(client, |head| judge.take(head)).await?;
    }
    for head in judge.end()? {
        findings.add(unsigned(&head, "the table"));
    }
    findings.named.sort_by_key(|finding| finding.seal.unwrap_or(i64::MAX));
    let mut compared = Vec::new();
    for file in files {
        compared.push(compare(client, &judge.keys, file, &mut findings).await?);
    }
    let newest = summary.newest.map(|head| Newest {
        number: head.number,
        rows: head.rows,
        head: hex::encode(head.head),
        sealed_at: head.sealed_at.to_string(),
    });
    Ok(Report {
        ok: findings.total == 0,
        seals: summary.seals,
        rows: summary.rows,
        newest,
        public_key: judge.keys.newest(),
        heads: compared,
        unsealed_rows: summary.unsealed,
        unsealed_since: summary.unsealed_since.as_ref().map(Timestamp::to_string),
        findings_total: findings.total,
        findings: findings.named,
    })
}

fn unsigned(head: &Head, place: &str) -> Finding {
    let Head { number, sealed_at, .. } = head;
    let text = format!("head {number} of {sealed_at} in {place} is not signed by a key that is trusted");
    Finding { kind: Kind::BadSignature, seal: Some(*number), text }
}

fn cannot_read(file: &Path) -> String {
    format!("cannot read the heads in {}", file.display())
}

/// Judges signatures on every processor: each costs more than the bytes of many rows.
struct Judge {
    keys: Arc<PublicKeys>,
    gathered: Vec<Head>,
    at_work: VecDeque<JoinHandle<Vec<Head>>>,
    at_work_max: usize,
    bad: Vec<Head>,
}

impl Judge {
    fn new(keys: PublicKeys) -> Self {
        let at_work_max = thread::available_parallelism().map_or(2, usize::from);
        let (gathered, at_work, bad) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { keys: Arc::new(keys), gathered, at_work, at_work_max, bad }
    }

    fn take(&mut self, head: Head) -> anyhow::Result<()> {
        self.gathered.push(head);
        if self.gathered.len() >= HEADS_TOGETHER { self.hand_out() } else { Ok(()) }
    }

    fn hand_out(&mut self) -> anyhow::Result<()> {
        if self.at_work.len() >= self.at_work_max {
            self.wait_for_one()?;
        }
        let (keys, heads) = (self.keys.clone(), std::mem::take(&mut self.gathered));
        let judge = move || heads.into_iter().filter(|head| !keys.have_signed(head)).collect();
        self.at_work.push_back(thread::spawn(judge));
        Ok(())
    }

    fn wait_for_one(&mut self) -> anyhow::Result<()> {
        if let Some(first) = self.at_work.pop_front() {
            let bad = first.join().map_err(|_| anyhow::anyhow!("a thread that judges signatures ended"))?;
            let room = FINDINGS_MAX.saturating_sub(self.bad.len());
            self.bad.extend(bad.into_iter().take(room));
        }
        Ok(())
    }

    /// Those that no key has signed, the first ones.
    fn end(&mut self) -> anyhow::Result<Vec<Head>> {
        self.hand_out()?;
        while !self.at_work.is_empty() {
            self.wait_for_one()?;
        }
        Ok(std::mem::take(&mut self.bad))
    }
}

/// Looks every head of a file up in the table.
async fn compare(client: &Client, keys: &PublicKeys, file: &Path, findings: &mut Findings) -> anyhow::Result<Compared> {
    let cannot = || cannot_read(file);
    let mut lines = BufReader::new(File::open(file).with_context(cannot)?);
    let mut compared = Compared { file: file.to_owned(), heads: 0, unreadable_lines: 0 };
    let (mut some, mut line, mut is_over) = (Vec::new(), Vec::new(), false);
    while !is_over {
        line.clear();
        // A longer line is read in parts, none of which is a head.
        let limit = LINE_BYTES_MAX as u64 + 1;
        is_over = lines.by_ref().take(limit).read_until(b'\n', &mut line).with_context(cannot)? == 0;
        let text = String::from_utf8_lossy(&line);
        match Head::parse(text.trim_end()) {
            Ok(head) => some.push(head),
            Err(_) if text.trim().is_empty() => {}
            Err(_) => compared.unreadable_lines += 1,
        }
        if some.len() >= HEADS_TOGETHER || is_over {
            compared.heads += some.len() as u64;
            look_up(client, keys, file, &mut some, findings).await?;
        }
    }
    ensure!(compared.heads > 0, "{} holds no head of the audit", file.display());
    Ok(compared)
}

async fn look_up(
    client: &Client,
    keys: &PublicKeys,
    file: &Path,
    some: &mut Vec<Head>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let numbers: Vec<i64> = some.iter().map(|head| head.number).collect();
    let there = check::heads(client, &numbers).await?;
    for head in some.drain(..) {
        let in_table = there.get(&head.number);
        // What is in the table is judged by the chain.
        if in_table == Some(&head) {
            continue;
        }
        let (number, place) = (head.number, file.display());
        if !keys.have_signed(&head) {
            findings.add(unsigned(&head, &place.to_string()));
        }
        let differs = match in_table {
            Some(other) if other.head == head.head && other.rows == head.rows => continue,
            Some(_) => "the table has another one",
            None => "the table has no such seal",
        };
        let text = format!("{place} has head {number} of {} with {} rows; {differs}", head.sealed_at, head.rows);
        findings.add(Finding { kind: Kind::HeadNotInTable, seal: Some(number), text });
    }
    Ok(())
}
