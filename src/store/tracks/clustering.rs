//! A day of segments that is over is written again, in the order in which searches by area find its rows.

use anyhow::Context;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, pin_mut};
use tokio_postgres::Client;

/// Writes the newest day of segments that has been over for three hours, and is in no order yet, again by `writer`, with what
/// `reader` reads of it; says which. `None`: all are in order. One transaction: killed anywhere, it happened or it did not.
///
/// # Errors
/// The database's own word; a lock that somebody holds for longer among them. Nothing has changed then.
pub async fn cluster_next_day(writer: &mut Client, reader: &Client) -> anyhow::Result<Option<String>> {
    let Some(day) = writer.query_one("SELECT day_to_order()", &[]).await?.get::<_, Option<String>>(0) else {
        return Ok(None);
    };
    let transaction = writer.transaction().await?;
    let fresh: String = transaction.query_one("SELECT begin_exchange($1)", &[&day]).await?.get(0);
    // A day takes 0.4 s with 5,000 vehicles, so a minute and a half with a million.
    reader.batch_execute("SET statement_timeout = 0; SET work_mem = '64MB'").await?;
    // Frozen: who began to ask before this is committed, and comes to the new table, must see the rows that were in the old one.
    let sink = transaction.copy_in::<_, Bytes>(&format!("COPY {fresh} FROM STDIN (FORMAT binary, FREEZE)")).await?;
    let rows = reader
        .copy_out(&format!("COPY (SELECT * FROM {day} ORDER BY cell, from_at) TO STDOUT (FORMAT binary)"))
        .await?;
    pin_mut!(sink, rows);
    while let Some(some) = rows.next().await {
        // A server that has failed meanwhile says why at the end.
        if sink.feed(some.with_context(|| format!("reading {day}"))?).await.is_err() {
            break;
        }
    }
    sink.finish().await?;
    transaction.execute("SELECT exchange_day($1, $2)", &[&day, &fresh]).await?;
    transaction.commit().await?;
    Ok(Some(day))
}
