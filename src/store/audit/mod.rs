//! The chain over the audit: rows in, seals out. `docs/audit.md` has the form of every byte.
//!
//! A seal names its rows. What may still be unsealed is found by the transaction of a row: below the oldest transaction
//! that runs, everything is decided.

pub mod check;
pub mod head;
pub mod ids;
pub mod list;
mod row;

pub use row::{ChainHead, Row};

use crate::domain::Timestamp;
use crate::store::audit::head::Head;
use crate::store::audit::ids::Ids;
use anyhow::{Context, ensure};
use futures_util::StreamExt;
use std::pin::pin;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Most rows of a seal: what a seal and its check hold in memory, and how coarsely a change is told.
pub const SEAL_ROWS_MAX: i64 = 10_000;
/// A row as it is copied out, in the order of its bytes.
const COLUMNS: &str =
    "a.audit_id, a.xact::text, a.at, a.account_id, a.grant_id, a.action, a.question::text, a.rows_returned";
const TYPES: [Type; 8] =
    [Type::INT8, Type::TEXT, Type::TIMESTAMPTZ, Type::INT8, Type::INT8, Type::TEXT, Type::TEXT, Type::INT4];

/// What a look at the audit came to.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The newest head, made now or before; none: nothing was ever sealed.
    pub head: Option<Head>,
    /// Rows that wait for the next seal.
    pub waiting: i64,
}

/// Where the chain stands.
struct State {
    head: ChainHead,
    number: i64,
    rows: i64,
    /// Below this transaction everything is decided and sealed.
    decided: u64,
    newest: Option<Head>,
}

/// Seals what is committed and not sealed yet, if there is any: one seal of at most [`SEAL_ROWS_MAX`] rows. Where somebody
/// else sealed at the same time, nothing is sealed, and the rows wait.
///
/// # Errors
/// The database's own word.
pub async fn seal(
    client: &mut Client,
    now: Timestamp,
    sign: &(dyn Fn(&str) -> [u8; 64] + Sync),
) -> anyhow::Result<Sealed> {
    // One snapshot: what runs, what is there, and what is sealed.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    // Without statistics the planner would read the whole audit for its last rows.
    transaction.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let row = transaction
        .query_one(
            "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text, c.system_identifier
             FROM pg_current_snapshot() s, pg_control_system() c",
            &[],
        )
        .await?;
    let (xmin, xmax, cluster): (u64, u64, i64) = (xid(row.get(0))?, xid(row.get(1))?, row.get(2));
    let state = state(&transaction, cluster).await?;
    let row = transaction
        .query_one(
            "SELECT coalesce(range_agg(ids), '{}')::text FROM audit_seal WHERE before > $1::text::xid8",
            &[&state.decided.to_string()],
        )
        .await?;
    let sealed: &str = row.get(0);
    let open = format!("audit WHERE xact >= '{}' AND NOT '{sealed}'::int8multirange @> audit_id", state.decided);
    let waiting: i64 = transaction.query_one(&format!("SELECT count(*) FROM {open}"), &[]).await?.get(0);
    if waiting == 0 {
        transaction.rollback().await?;
        return Ok(Sealed { head: state.newest, waiting });
    }
    let rows = format!(
        "WITH open AS MATERIALIZED (SELECT audit_id FROM {open}),
              next AS MATERIALIZED (SELECT audit_id FROM open ORDER BY audit_id LIMIT {SEAL_ROWS_MAX})
         SELECT {COLUMNS} FROM next JOIN audit a USING (audit_id) ORDER BY a.audit_id"
    );
    let (mut chain, mut ids, mut before, mut bytes) = (state.head, Ids::default(), xmax, Vec::new());
    each_row(&transaction, &rows, |row| {
        bytes.clear();
        row.write(&mut bytes);
        chain.add(&bytes);
        ids.push(row.id);
        // Rows of another server's dump may have higher ones.
        before = before.max(row.xact.saturating_add(1));
        Ok(())
    })
    .await?;
    let left = waiting - ids.count();
    let mut head = Head {
        number: state.number + 1,
        rows: state.rows + ids.count(),
        head: chain.0,
        sealed_at: now,
        signature: [0; 64],
    };
    head.signature = sign(&head.text());
    let decided = if left > 0 { state.decided } else { xmin };
    let inserted = transaction
        .execute(
            "INSERT INTO audit_seal (number, ids, rows, head, sealed_at, signature, cluster, decided, before)
             VALUES ($1, $2::text::int8multirange, $3, $4, $5, $6, $7, $8::text::xid8, $9::text::xid8)",
            &[
                &head.number,
                &ids.to_string(),
                &head.rows,
                &head.head.as_slice(),
                &head.sealed_at,
                &head.signature.as_slice(),
                &cluster,
                &decided.to_string(),
                &before.to_string(),
            ],
        )
        .await;
    match inserted {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Ok(Sealed { head: state.newest, waiting }) // another sealer was faster
        }
        Err(error) => Err(error.into()),
        Ok(_) => {
            transaction.commit().await?;
            Ok(Sealed { head: Some(head), waiting: left })
        }
    }
}

/// Whether a head stands in the table.
///
/// # Errors
/// The database's own word.
pub async fn is_there(client: &Client, head: &Head) -> anyhow::Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM audit_seal WHERE number = $1 AND head = $2)";
    Ok(client.query_one(sql, &[&head.number, &head.head.as_slice()]).await?.get(0))
}

async fn state(transaction: &Transaction<'_>, cluster: i64) -> anyhow::Result<State> {
    let sql = "SELECT number, rows, head, sealed_at, signature, decided::text, cluster FROM audit_seal ORDER BY number DESC LIMIT 1";
    let Some(row) = transaction.query_opt(sql, &[]).await? else {
        return Ok(State { head: ChainHead::default(), number: 0, rows: 0, decided: 0, newest: None });
    };
    let newest = head_of(&row)?;
    // On another server transactions are counted anew: everything is looked through once.
    let decided = if row.get::<_, i64>(6) == cluster { xid(row.get(5))? } else { 0 };
    Ok(State { head: newest.link(), number: newest.number, rows: newest.rows, decided, newest: Some(newest) })
}

/// The head in the first five columns of a row.
fn head_of(row: &tokio_postgres::Row) -> anyhow::Result<Head> {
    let number: i64 = row.get(0);
    let (head, signature): (&[u8], &[u8]) = (row.get(2), row.get(4));
    Ok(Head {
        number,
        rows: row.get(1),
        head: head.try_into().with_context(|| format!("the head of seal {number} has not 32 bytes"))?,
        sealed_at: row.get(3),
        signature: signature.try_into().with_context(|| format!("the signature of seal {number} has not 64 bytes"))?,
    })
}

/// Copies rows out and passes each on.
async fn each_row(
    client: &Transaction<'_>,
    query: &str,
    mut with: impl FnMut(Row<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let copied = client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await?;
    let mut rows = pin!(BinaryCopyOutStream::new(copied, &TYPES));
    while let Some(row) = rows.next().await {
        with(read(&row?)?)?;
    }
    Ok(())
}

fn read(row: &BinaryCopyOutRow) -> anyhow::Result<Row<'_>> {
    Ok(Row {
        id: row.try_get(0)?,
        xact: xid(row.try_get(1)?)?,
        at_us: row.try_get::<Timestamp>(2)?.micros(),
        account: row.try_get(3)?,
        grant: row.try_get(4)?,
        action: row.try_get(5)?,
        question: row.try_get(6)?,
        rows: row.try_get(7)?,
    })
}

/// Reads a transaction's number.
fn xid(text: &str) -> anyhow::Result<u64> {
    ensure!(!text.is_empty(), "a transaction without a number");
    text.parse().with_context(|| format!("the transaction {text:?} is no number"))
}
