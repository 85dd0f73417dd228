//! The chain computed again from the table, in one snapshot and in bounded memory.

use crate::domain::Timestamp;
use crate::store::audit::head::Head;
use crate::store::audit::ids::Ids;
use crate::store::audit::{COLUMNS, ChainHead, SEAL_ROWS_MAX, each_row, head_of};
use std::collections::HashMap;
use std::ops::Range;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Seals read at a time.
const SEALS_MAX: i64 = 1000;
/// Rows held at a time, if a single seal has not more.
const ROWS_MAX: i64 = 2 * SEAL_ROWS_MAX;
/// Most numbers that a finding names.
const NAMED_MAX: usize = 5;

/// How a chain is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A row has other content.
    ChangedRow,
    /// A sealed row is gone.
    MissingRow,
    /// A row came in that the program has not written.
    AddedRow,
    /// A seal says something else about itself than its rows and neighbours do.
    ChangedSeal,
    /// A seal is gone.
    MissingSeal,
    /// No key that is trusted has signed it.
    BadSignature,
    /// A head that was kept elsewhere is not in the table.
    HeadNotInTable,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The seal where it shows.
    pub seal: Option<i64>,
    /// The same in words.
    pub text: String,
}

/// What is not sealed, and the end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seals read.
    pub seals: u64,
    /// Rows computed again.
    pub rows: u64,
    /// The newest seal's head.
    pub newest: Option<Head>,
    /// Rows that wait for a seal.
    pub unsealed: i64,
    /// The oldest of these.
    pub unsealed_since: Option<Timestamp>,
}

/// A seal as it stands in the table.
struct Stored {
    head: Head,
    ids: Result<Ids, String>,
}

/// Reads the whole table and tells each difference. Signatures are not judged here.
///
/// # Errors
/// The database's own word.
pub async fn run(client: &mut Client, mut found: impl FnMut(Finding)) -> anyhow::Result<Summary> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = snapshot.start().await?;
    let mut walk = Walk { chain: ChainHead::default(), number: 0, rows: 0, summary: Summary::default() };
    loop {
        let seals = read_seals(&transaction, walk.number).await?;
        if seals.is_empty() {
            break;
        }
        let mut rest = seals.as_slice();
        while !rest.is_empty() {
            let (some, later) = rest.split_at(as_many(rest));
            walk.through(&transaction, some, &mut found).await?;
            rest = later;
        }
        walk.summary.newest = seals.last().map(|seal| seal.head.clone());
    }
    let mut summary = walk.summary;
    unsealed(&transaction, &mut summary, &mut found).await?;
    Ok(summary)
}

/// Every head, in order.
///
/// # Errors
/// The database's own word.
pub async fn each_head(client: &Client, mut with: impl FnMut(Head) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT number, rows, head, sealed_at, signature FROM audit_seal WHERE number > $1 ORDER BY number LIMIT {SEALS_MAX}"
    );
    let mut after = 0_i64;
    loop {
        let rows = client.query(&sql, &[&after]).await?;
        for row in &rows {
            let head = head_of(row)?;
            after = head.number;
            with(head)?;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

/// Heads of seals by their numbers.
///
/// # Errors
/// The database's own word.
pub async fn heads(client: &Client, numbers: &[i64]) -> anyhow::Result<HashMap<i64, Head>> {
    let sql = "SELECT number, rows, head, sealed_at, signature FROM audit_seal WHERE number = ANY($1)";
    let rows = client.query(sql, &[&numbers]).await?;
    rows.iter().map(|row| head_of(row).map(|head| (head.number, head))).collect()
}

async fn read_seals(transaction: &Transaction<'_>, after: i64) -> anyhow::Result<Vec<Stored>> {
    let sql = format!(
        "SELECT number, rows, head, sealed_at, signature, ids::text FROM audit_seal WHERE number > $1 ORDER BY number LIMIT {SEALS_MAX}"
    );
    let rows = transaction.query(&sql, &[&after]).await?;
    let seal = |row| {
        let ids = Ids::parse(row_text(row)).map_err(|error| error.to_string()).and_then(|ids| match ids.count() {
            0 => Err("the seal names no row".to_owned()),
            n if n > SEAL_ROWS_MAX => {
                Err(format!("the seal names {n} rows; at most {SEAL_ROWS_MAX} are sealed at once"))
            }
            _ => Ok(ids),
        });
        Ok(Stored { head: head_of(row)?, ids })
    };
    rows.iter().map(seal).collect()
}

fn row_text(row: &tokio_postgres::Row) -> &str {
    row.get(5)
}

/// How many seals from the first on fit into memory together.
fn as_many(seals: &[Stored]) -> usize {
    let mut rows = 0;
    let fits = seals.iter().take_while(|seal| {
        rows += seal.ids.as_ref().map_or(0, Ids::count);
        rows <= ROWS_MAX
    });
    fits.count().max(1)
}

/// The bytes of some rows, found by number.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    places: Vec<(i64, Range<usize>)>,
}

impl Rows {
    async fn read(transaction: &Transaction<'_>, ids: &Ids) -> anyhow::Result<Self> {
        let mut rows = Self::default();
        if ids.ranges().is_empty() {
            return Ok(rows);
        }
        let query = format!(
            "SELECT {COLUMNS} FROM unnest('{ids}'::int8multirange) r, audit a WHERE a.audit_id >= lower(r) AND a.audit_id < upper(r)"
        );
        each_row(transaction, &query, |row| {
            let start = rows.bytes.len();
            row.write(&mut rows.bytes);
            rows.places.push((row.id, start..rows.bytes.len()));
            Ok(())
        })
        .await?;
        rows.places.sort_unstable_by_key(|(id, _)| *id); // they come in this order already
        Ok(rows)
    }

    /// Those of a range, in order.
    fn of(&self, ids: &Range<i64>) -> impl Iterator<Item = (i64, &[u8])> {
        let from = self.places.partition_point(|(id, _)| *id < ids.start);
        let to = self.places.partition_point(|(id, _)| *id < ids.end);
        self.places[from..to.max(from)].iter().map(|(id, place)| (*id, &self.bytes[place.clone()]))
    }
}

/// Where the walk along the chain is. After a difference it goes on from what the seal says, so that each is told once.
struct Walk {
    chain: ChainHead,
    number: i64,
    rows: i64,
    summary: Summary,
}

impl Walk {
    async fn through(
        &mut self,
        transaction: &Transaction<'_>,
        seals: &[Stored],
        found: &mut impl FnMut(Finding),
    ) -> anyhow::Result<()> {
        let ids = Ids::union(seals.iter().filter_map(|seal| seal.ids.as_ref().ok()));
        let rows = Rows::read(transaction, &ids).await?;
        for seal in seals {
            if let Some((kind, text)) = self.step(seal, &rows) {
                found(Finding { kind, seal: Some(seal.head.number), text });
            }
            self.summary.seals += 1;
            (self.chain, self.number, self.rows) = (seal.head.link(), seal.head.number, seal.head.rows);
        }
        Ok(())
    }

    /// What is wrong with a seal, if anything is.
    fn step(&mut self, seal: &Stored, rows: &Rows) -> Option<(Kind, String)> {
        let Head { number, rows: rows_to_here, head, .. } = seal.head;
        if number != self.number + 1 {
            let (from, to) = (self.number + 1, number - 1);
            let missing = rows_to_here - self.rows - seal.ids.as_ref().map_or(0, Ids::count);
            let text = if from == to { format!("seal {from} is") } else { format!("seals {from} to {to} are") };
            return Some((Kind::MissingSeal, format!("{text} missing, of {missing} rows")));
        }
        let ids = match &seal.ids {
            Ok(ids) => ids,
            Err(text) => return Some((Kind::ChangedSeal, format!("seal {number}: {text}"))),
        };
        let (mut chain, mut missing, mut missing_count, mut there) = (self.chain, Vec::new(), 0, 0);
        for range in ids.ranges() {
            let mut expected = range.start;
            let mut lacks = |from: i64, to: i64| {
                missing_count += to - from;
                missing.extend((from..to).take(NAMED_MAX.saturating_sub(missing.len())));
            };
            for (id, bytes) in rows.of(range) {
                lacks(expected, id);
                chain.add(bytes);
                (expected, there) = (id + 1, there + 1);
            }
            lacks(expected, range.end);
        }
        self.summary.rows += there;
        let span = format!("rows {ids}");
        if missing_count > 0 {
            let named: Vec<String> = missing.iter().map(i64::to_string).collect();
            let more = if missing_count > NAMED_MAX as i64 { " and more" } else { "" };
            let text =
                format!("{missing_count} rows of seal {number} are missing: audit_id {}{more}", named.join(", "));
            return Some((Kind::MissingRow, text));
        }
        if chain.0 != head {
            let text = format!(
                "a row of seal {number} is not what was sealed, or this seal or the one before is not; it has {span}"
            );
            return Some((Kind::ChangedRow, text));
        }
        (rows_to_here != self.rows + ids.count()).then(|| {
            let text = format!(
                "seal {number} says that {rows_to_here} rows are sealed; there are {}",
                self.rows + ids.count()
            );
            (Kind::ChangedSeal, text)
        })
    }
}

/// Counts what no seal holds; what could not have come since the newest seal was added.
async fn unsealed(
    transaction: &Transaction<'_>,
    summary: &mut Summary,
    found: &mut impl FnMut(Finding),
) -> anyhow::Result<()> {
    let sql = "WITH newest AS (SELECT decided, cluster FROM audit_seal ORDER BY number DESC LIMIT 1),
            unsealed AS (SELECT audit_id, at, xact < (SELECT decided FROM newest WHERE cluster = (SELECT system_identifier FROM pg_control_system())) AS added
                FROM audit WHERE NOT (SELECT coalesce(range_agg(ids), '{}') FROM audit_seal) @> audit_id)
        SELECT count(*) FILTER (WHERE added IS NOT TRUE), min(at) FILTER (WHERE added IS NOT TRUE),
            count(*) FILTER (WHERE added), min(audit_id) FILTER (WHERE added) FROM unsealed";
    let row = transaction.query_one(sql, &[]).await?;
    (summary.unsealed, summary.unsealed_since) = (row.get(0), row.get(1));
    let (added, first): (i64, Option<i64>) = (row.get(2), row.get(3));
    if let Some(first) = first {
        let text = format!(
            "{added} rows are in no seal, but older than the newest one: audit_id {first}{}",
            if added > 1 { " and more" } else { "" }
        );
        found(Finding { kind: Kind::AddedRow, seal: None, text });
    }
    Ok(())
}
