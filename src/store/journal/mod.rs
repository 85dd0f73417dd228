//! The journal: batches of entries, compressed, one row each. Old ones stand in ranges, sealed (`archive`); who reads
//! the journal here gets both as one.

pub mod spool;

use crate::domain::{Entry, Lane, Outcome, Timestamp};
use crate::store::archive::keys::KeyStore;
use crate::store::archive::read;
use crate::store::archive::segment::KeyScope;
use anyhow::{Context, bail};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use tokio_postgres::{Client, GenericClient, IsolationLevel};

/// First byte of a journal row: how the rest is written. 1 = zstd over MessagePack with names (still
/// read, and written for checkpoints, whose fields come and go); 2 = without names.
const NAMED: u8 = 1;
const COMPACT: u8 = 2;
/// zstd level: 1, because level 3 saves 5 % for twice the time on packets this small.
const ZSTD_LEVEL: i32 = 1;
/// zstd level of what is sealed: nobody waits for it, and it stays.
const SEALED_ZSTD_LEVEL: i32 = 9;
/// Largest row when unpacked; a batch of 2,000 packets of 64 KiB stays below.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Packs entries into the bytes of a row.
///
/// # Errors
/// Never for entries that came from outside; the encoder's word otherwise.
pub fn pack(entries: &[Entry]) -> anyhow::Result<Vec<u8>> {
    compressed(COMPACT, ZSTD_LEVEL, &rmp_serde::to_vec(entries)?)
}

/// Packs what is to be sealed.
///
/// # Errors
/// The encoder's word.
pub(in crate::store) fn pack_tight<T: serde::Serialize>(value: &T) -> anyhow::Result<Vec<u8>> {
    compressed(COMPACT, SEALED_ZSTD_LEVEL, &rmp_serde::to_vec(value)?)
}

/// Unpacks a row.
///
/// # Errors
/// An unknown format byte, or damage.
pub fn unpack(content: &[u8]) -> anyhow::Result<Vec<Entry>> {
    unpack_any(content)
}

/// Packs any state in the same format (checkpoints).
///
/// # Errors
/// The encoder's word.
pub fn pack_any<T: serde::Serialize>(value: &T) -> anyhow::Result<Vec<u8>> {
    compressed(NAMED, ZSTD_LEVEL, &rmp_serde::to_vec_named(value)?)
}

fn compressed(format: u8, level: i32, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    thread_local! {
        // Making a compressor costs as much as a small batch.
        static COMPRESSORS: RefCell<BTreeMap<i32, zstd::bulk::Compressor<'static>>> = const { RefCell::new(BTreeMap::new()) };
    }
    let content = COMPRESSORS.with_borrow_mut(|kept| match kept.entry(level) {
        MapEntry::Occupied(compressor) => compressor.into_mut().compress(plain),
        MapEntry::Vacant(place) => place.insert(zstd::bulk::Compressor::new(level)?).compress(plain),
    })?;
    let mut out = Vec::with_capacity(content.len() + 1);
    out.push(format);
    out.extend_from_slice(&content);
    Ok(out)
}

/// Unpacks any state.
///
/// # Errors
/// An unknown format byte, or damage.
pub fn unpack_any<T: serde::de::DeserializeOwned>(content: &[u8]) -> anyhow::Result<T> {
    match content.split_first() {
        // The reader of MessagePack takes a record either way.
        Some((&(NAMED | COMPACT), rest)) => Ok(rmp_serde::from_slice(&zstd::bulk::decompress(rest, room_for(rest)?)?)?),
        Some((format, _)) => {
            bail!("the journal row has format {format}; this program reads formats {NAMED} and {COMPACT}")
        }
        None => bail!("the journal row is empty"),
    }
}

/// The room that a row takes unpacked, as it says itself: what we write always does.
fn room_for(packed: &[u8]) -> anyhow::Result<usize> {
    match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(size)) if size <= UNPACKED_BYTES_MAX as u64 => Ok(size as usize),
        Ok(Some(size)) => bail!("the journal row is {size} bytes when unpacked; at most {UNPACKED_BYTES_MAX} are read"),
        Ok(None) => Ok(UNPACKED_BYTES_MAX),
        Err(_) => bail!("the journal row is damaged: it does not begin as zstd does"),
    }
}

/// A batch as it stands in the journal.
pub struct Batch {
    /// Its number in the lane, from 1.
    pub n: i64,
    /// Its inputs, in order.
    pub entries: Vec<Entry>,
}

/// A batch as columns of its row.
pub(in crate::store) struct Row {
    /// First and last receive time.
    pub first_at: Timestamp,
    /// Last receive time.
    pub last_at: Timestamp,
    /// How many entries.
    pub count: i32,
    /// Packed.
    pub content: Vec<u8>,
}

impl Row {
    /// Packs a batch.
    pub fn of(entries: &[Entry]) -> anyhow::Result<Self> {
        Ok(Self {
            first_at: entries.iter().map(Entry::at).min().unwrap_or_default(),
            last_at: entries.iter().map(Entry::at).max().unwrap_or_default(),
            count: i32::try_from(entries.len())?,
            content: pack(entries)?,
        })
    }
}

/// What commit 1 writes.
pub struct JournalAppend<'a> {
    /// Number of the row.
    pub n: i64,
    /// The inputs, in order.
    pub entries: &'a [Entry],
    /// Settings up to here are among them.
    pub setting_cursor: i64,
    /// Batches of another worker's spool that are among them.
    pub handed_over: &'a [i64],
}

/// Most batches of another worker's spool taken at a time.
const HANDED_OVER_MAX: i64 = 8;

/// Leaves a batch of our spool to the worker that holds the lane now.
///
/// # Errors
/// The database's own word.
pub async fn hand_over(client: &Client, lane: Lane, entries: &[Entry]) -> anyhow::Result<()> {
    let content = pack(entries)?;
    client.execute("INSERT INTO handed_over (lane, content) VALUES ($1, $2)", &[&(lane.0 as i16), &content]).await?;
    Ok(())
}

/// The oldest batches that other workers left for a lane, with their numbers. Commit 1 removes them.
///
/// # Errors
/// Names the batch that cannot be read.
pub async fn handed_over(client: &Client, lane: Lane) -> anyhow::Result<Vec<(i64, Vec<Entry>)>> {
    let rows = client
        .query(
            "SELECT handed_over_id, content FROM handed_over WHERE lane = $1 ORDER BY handed_over_id LIMIT $2",
            &[&(lane.0 as i16), &HANDED_OVER_MAX],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id: i64 = row.get(0);
            Ok((id, unpack(row.get(1)).with_context(|| format!("batch {id} of another worker's spool"))?))
        })
        .collect()
}

/// The batches of a lane after number `after`, in order: at most `limit` rows, or one range.
///
/// # Errors
/// The database's own word, a damaged row, named, or a range whose key is not there.
pub async fn read_after(
    client: &impl GenericClient,
    key_store: &KeyStore,
    lane: Lane,
    after: i64,
    limit: i64,
) -> anyhow::Result<Vec<Batch>> {
    let lane = lane.0 as i16;
    // One statement, so that a row that is being sealed is seen in one place.
    let rows = client
        .query(
            "(SELECT n, content FROM journal WHERE lane = $1 AND n > $2 ORDER BY n LIMIT $3)
             UNION ALL (SELECT from_n, NULL FROM journal_range WHERE lane = $1 AND to_n > $2 ORDER BY from_n LIMIT 1) ORDER BY 1",
            &[&lane, &after, &limit],
        )
        .await?;
    let mut batches = Vec::with_capacity(rows.len());
    for row in &rows {
        let n: i64 = row.get(0);
        match row.get::<_, Option<&[u8]>>(1) {
            Some(content) => {
                let entries = unpack(content).with_context(|| format!("journal row {n} of lane {lane}"))?;
                batches.push(Batch { n, entries });
            }
            None if batches.is_empty() => {
                let rows = read::open(client, key_store, (lane, n), None).await?.rows()?;
                let numbered = (n..).zip(rows).filter(|(n, _)| *n > after);
                return Ok(numbered.map(|(n, (entries, _))| Batch { n, entries }).collect());
            }
            None => break,
        }
    }
    Ok(batches)
}

/// A row that was just written, if it stands there.
///
/// # Errors
/// The database's own word, or a damaged row, named.
pub async fn read_row(client: &Client, lane: Lane, n: i64) -> anyhow::Result<Option<Vec<Entry>>> {
    let row =
        client.query_opt("SELECT content FROM journal WHERE lane = $1 AND n = $2", &[&(lane.0 as i16), &n]).await?;
    row.map(|row| unpack(row.get(0)).with_context(|| format!("journal row {n} of lane {}", lane.0))).transpose()
}

/// Entries of the journal with their outcomes, for `rideguard journal`.
pub struct Judged {
    /// Which lane.
    pub lane: i16,
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// What became of each; empty while not applied.
    pub outcomes: Vec<Outcome>,
}

/// Which part of the journal is asked for.
pub struct Asked {
    /// Received at or after.
    pub from: Timestamp,
    /// Received before.
    pub to: Timestamp,
    /// Of this tracker at least: what is sealed of others is not opened.
    pub tracker: Option<String>,
}

/// Calls `each` for every row or range with packets received in a span, in the order of lanes and numbers.
///
/// # Errors
/// The database's word, a damaged row, a range whose key is not there, or what `each` says.
pub async fn scan(
    client: &mut Client,
    key_store: &KeyStore,
    asked: &Asked,
    mut each: impl FnMut(Judged) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What is sealed meanwhile is seen as it was.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    let statement = transaction
        .prepare(
            "SELECT j.lane, j.n, j.content, coalesce(o.outcomes, ''::bytea) FROM journal j
             LEFT JOIN journal_outcome o USING (lane, n) WHERE j.last_at >= $1 AND j.first_at < $2
             UNION ALL SELECT lane, from_n, NULL, NULL FROM journal_range WHERE last_at >= $1 AND first_at < $2 ORDER BY 1, 2",
        )
        .await?;
    let portal = transaction.bind(&statement, &[&asked.from, &asked.to]).await?;
    let holder = asked.tracker.clone().map(KeyScope::Tracker);
    loop {
        let rows = transaction.query_portal(&portal, 64).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let (lane, n): (i16, i64) = (row.get(0), row.get(1));
            let (entries, outcomes) = match row.get::<_, Option<&[u8]>>(2) {
                None => read::open(&transaction, key_store, (lane, n), holder.as_ref()).await?.entries()?,
                Some(content) => {
                    let entries = unpack(content).with_context(|| format!("journal row {n} of lane {lane}"))?;
                    (entries, row.get::<_, &[u8]>(3).iter().map(|b| Outcome::from_byte(*b)).collect())
                }
            };
            each(Judged { lane, entries, outcomes })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GapCause, Packet, Setting, VehicleId, Zone, ZoneId, ZoneRule, ZoneShape};
    use std::collections::BTreeMap;

    #[test]
    fn a_row_takes_the_room_that_it_says_and_no_more_than_the_limit() {
        let batch = vec![Entry::Tick { at: Timestamp::from_secs(7) }; 500];
        let plain = rmp_serde::to_vec(&batch).unwrap();
        let packed = pack(&batch).unwrap();
        assert_eq!(room_for(&packed[1..]).unwrap(), plain.len());
        assert_eq!(unpack(&packed).unwrap().len(), 500);
        // A frame that says 4 GiB: magic number, one segment with a size of eight bytes, the size (RFC 8878, 3.1.1.1).
        let claim = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(4_u64 << 30).to_le_bytes(), &[0; 8]].concat();
        let row = [&[COMPACT][..], &claim].concat();
        assert!(unpack(&row).unwrap_err().to_string().contains("4294967296 bytes when unpacked"));
        assert!(unpack(&[COMPACT, 1, 2, 3, 4, 5]).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn a_batch_survives_packing() {
        let shape = ZoneShape::Circle { centre: crate::domain::LatLon::new(28.5, 112.3), radius_m: 100.0 };
        let zone = Zone {
            id: ZoneId(3),
            name: "校园".into(),
            shape,
            rule: ZoneRule::Enter,
            vehicle: None,
            dwell_s: 0,
            schedule: None,
            vehicle_kind: None,
        };
        let entries = vec![
            Entry::Packet(Packet {
                topic: "v1/1/a/up".into(),
                received_at: Timestamp::from_secs(5),
                payload: vec![0, 255, 126],
                retained: false,
            }),
            Entry::Setting { at: Timestamp::from_secs(6), setting: Setting::Zone(zone) },
            Entry::Setting { at: Timestamp::from_secs(6), setting: Setting::Arm { vehicle: VehicleId(9) } },
            Entry::Tick { at: Timestamp::from_secs(7) },
            Entry::Gap { from: Timestamp::from_secs(7), to: Timestamp::from_secs(9), cause: GapCause::SessionLost },
        ];
        assert_eq!(unpack(&pack(&entries).unwrap()).unwrap(), entries);
        assert_eq!(unpack(&pack_any(&entries).unwrap()).unwrap(), entries, "as journals were written at first");
    }

    #[test]
    fn gaps_without_a_cause_as_journals_held_them_at_first_are_read() {
        let (from, to) = (Timestamp::from_secs(7), Timestamp::from_secs(9));
        let old =
            compressed(COMPACT, ZSTD_LEVEL, &rmp_serde::to_vec(&[BTreeMap::from([("Gap", (from, to))])]).unwrap())
                .unwrap();
        assert_eq!(unpack(&old).unwrap(), [Entry::Gap { from, to, cause: GapCause::Connection }]);
    }

    #[test]
    fn an_unknown_format_is_named() {
        assert!(unpack(&[9, 1, 2]).unwrap_err().to_string().contains("format 9"));
        assert!(unpack(&[]).is_err());
    }
}
