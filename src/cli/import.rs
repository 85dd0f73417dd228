//! `rideguard import`: people, vehicles and trackers (`enrol`), or recorded tracks (`simulator tracks`) into the hot table, millions in a minute.

use crate::cli::args::SettingsArgs;
use crate::cli::{block_on, enrol};
use crate::config::Config;
use crate::domain::{Fix, FixSource, LatLon, Timestamp, TrackerKey, VehicleId};
use crate::engine::{CellEntry, FixFlags, FixRow, Parked};
use crate::store::tracks::import;
use crate::store::tracks::partitions;
use crate::store::{self, Role};
use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Bytes of a record (docs/tracks.md).
const RECORD_BYTES: usize = 28;
/// Fixes of one COPY.
const BATCH: usize = 20_000;
/// Batches decoded ahead of the database.
const AHEAD: usize = 4;
/// Most trackers of a file: as `simulator tracks` has it.
const TRACKERS_MAX: u32 = 2_000_000;

/// Flags of `import`.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// As `import tracks FILE`.
    #[command(flatten)]
    tracks: Option<TracksArgs>,
}

/// What is imported.
#[derive(Subcommand)]
enum What {
    /// Enters owners, vehicles and trackers from a table.
    People(enrol::Args),
    /// Loads recorded tracks into the hot table.
    Tracks(TracksArgs),
}

/// Flags of `import tracks`.
#[derive(Parser)]
struct TracksArgs {
    /// A file of `simulator tracks`.
    file: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// First line of a file.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    version: u32,
    vehicles: u32,
    from_s: i64,
    to_s: i64,
}

/// Imports people or tracks.
///
/// # Errors
/// A file in another form, times that are rolled up already. What stands there already is left out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match (&args.what, &args.tracks) {
        (Some(What::People(args)), _) => enrol::run(args),
        (Some(What::Tracks(args)), _) | (None, Some(args)) => tracks(args),
        (None, None) => bail!("name what to import: `import people FILE` or `import tracks FILE`"),
    }
}

/// Loads a file and says how much it was.
fn tracks(args: &TracksArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.settings.config)?;
    block_on(async {
        let client = store::connect(&store::settings(&config.database, Role::Admin)?, "load").await?;
        let loaded = file(&client, &args.file).await?;
        println!("{loaded} fixes are loaded; the rollup makes tracks of them.");
        Ok(())
    })
}

/// Loads a file over a connection; how many fixes it had.
///
/// # Errors
/// As [`run`].
pub async fn file(client: &tokio_postgres::Client, path: &Path) -> anyhow::Result<u64> {
    let (head, records) = open(path).with_context(|| format!("in {}", path.display()))?;
    let (from, to) = (Timestamp::from_secs(head.from_s), Timestamp::from_secs(head.to_s));
    let closed = import::closed_to(client).await?;
    ensure!(
        from >= closed,
        "the file begins at {from}, but fixes before {closed} are rolled up already: load it before the rollup runs"
    );
    let days = (head.from_s..=head.to_s).step_by(86_400).map(Timestamp::from_secs).chain([to]);
    partitions::make_for(client, "fix", days).await?;
    let reader = Reader::of(import::register(client, head.vehicles).await?);
    let (send, mut batches) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(records, reader, &send));
    let hot = import::Hot::prepare(client).await?;
    let mut count = 0;
    let mut newest: HashMap<TrackerKey, FixRow> = HashMap::new();
    while let Some(batch) = batches.recv().await {
        hot.put(client, &batch).await?;
        count += batch.len() as u64;
        newest.extend(batch.into_iter().map(|row| (row.tracker, row)));
    }
    reading.await??;
    for some in newest.values().collect::<Vec<_>>().chunks(BATCH) {
        import::note_newest(client, some).await?;
    }
    Ok(count)
}

/// The first batches of a file, without a database; trackers have the numbers that they have in the file.
///
/// # Errors
/// A file in another form.
pub fn sample(path: &Path, batches: usize) -> anyhow::Result<Vec<Vec<FixRow>>> {
    let (head, mut records) = open(path).with_context(|| format!("in {}", path.display()))?;
    let mut reader = Reader::of((1..=i64::from(head.vehicles)).map(|n| (TrackerKey(n), VehicleId(n))).collect());
    let mut bytes = [0; RECORD_BYTES];
    let mut next = || -> anyhow::Result<FixRow> {
        records.read_exact(&mut bytes)?;
        reader.row(&bytes)
    };
    (0..batches).map(|_| (0..BATCH).map(|_| next()).collect()).collect()
}

type Records = zstd::Decoder<'static, BufReader<BufReader<File>>>;

fn open(path: &Path) -> anyhow::Result<(Head, Records)> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    file.by_ref().take(1000).read_line(&mut line)?;
    let head: Head = serde_json::from_str(&line).context("the first line is not that of `simulator tracks`")?;
    ensure!(
        head.format == "rideguard-tracks" && head.version == 1,
        "format {} {} is not known",
        head.format,
        head.version
    );
    ensure!((1..=TRACKERS_MAX).contains(&head.vehicles), "{} vehicles; it must be 1 to {TRACKERS_MAX}", head.vehicles);
    ensure!(
        head.from_s < head.to_s && head.to_s - head.from_s <= 400 * 86_400,
        "it spans {} s; it must be 1 s to 400 days",
        head.to_s - head.from_s
    );
    Ok((head, zstd::Decoder::new(file)?))
}

/// Decodes records into batches, ahead of the database.
fn read(records: Records, mut reader: Reader, send: &mpsc::Sender<Vec<FixRow>>) -> anyhow::Result<()> {
    let mut records = BufReader::with_capacity(RECORD_BYTES * BATCH, records);
    let mut bytes = [0; RECORD_BYTES];
    let mut batch = Vec::with_capacity(BATCH);
    while !records.fill_buf()?.is_empty() {
        records.read_exact(&mut bytes).context("the last record is cut short")?;
        batch.push(reader.row(&bytes)?);
        if batch.len() == BATCH && send.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err()
        {
            return Ok(()); // the database has refused a batch, and says so itself
        }
    }
    drop(send.blocking_send(batch));
    Ok(())
}

/// Turns records into rows.
struct Reader {
    /// By the number in the file, from 1.
    trackers: Vec<(TrackerKey, VehicleId)>,
    /// The last fix of each.
    standings: Vec<Option<Parked>>,
}

impl Reader {
    fn of(trackers: Vec<(TrackerKey, VehicleId)>) -> Self {
        Self { standings: vec![None; trackers.len()], trackers }
    }

    fn row(&mut self, bytes: &[u8; RECORD_BYTES]) -> anyhow::Result<FixRow> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let seconds = |at| Timestamp::from_secs(u32::from_le_bytes(word(at)).into());
        let degrees = |at| f64::from(i32::from_le_bytes(word(at))) / 1e6;
        let short = |at: usize| f32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let number = u32::from_le_bytes(word(0));
        let place = (number as usize).checked_sub(1).filter(|n| *n < self.trackers.len());
        let place =
            place.with_context(|| format!("a record is of tracker {number}; the file has {}", self.trackers.len()))?;
        let (tracker, vehicle) = self.trackers[place];
        let position = LatLon::new(degrees(12), degrees(16));
        ensure!(position.is_in_range(), "a record of tracker {number} has a position out of range");
        let (cell_entry, stands) = CellEntry::of(seconds(4), position).after(seconds(4), self.standings[place]);
        self.standings[place] = Some(stands);
        let fix = Fix {
            fixed_at: Some(seconds(4)),
            valid: true,
            position,
            altitude_m: None,
            speed_kmh: Some(short(20) / 10.0),
            course_deg: Some(short(22)),
            satellites: Some(bytes[25]),
            hdop: None,
            accuracy_m: Some(f32::from(bytes[24])),
            source: FixSource::Gnss,
        };
        Ok(FixRow {
            tracker,
            vehicle: Some(vehicle),
            fixed_at: seconds(4),
            received_at: seconds(8),
            fix,
            flags: FixFlags(cell_entry),
        })
    }
}
