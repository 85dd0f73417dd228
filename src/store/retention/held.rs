//! Packets under a hold, and rows of the journal with something taken out: single entries give way to [`Entry::Tombstone`], so that the places and outcomes of the others stay as they are.

use crate::domain::topic;
use crate::domain::{Entry, Lane, Shard, Timestamp};
use crate::store::journal::codec;
use tokio_postgres::{GenericClient, Transaction};

/// Packets of a tracker received in a time: from, before.
pub(in crate::store) struct HeldPackets {
    pub ident: String,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl HeldPackets {
    /// Whether a lane is the tracker's.
    pub fn is_in(&self, lane: Lane) -> bool {
        Shard::of(&self.ident).lane() == lane
    }

    /// Whether an entry is one of them, or tells how many came beyond the quota.
    pub fn has(&self, entry: &Entry) -> bool {
        let is_its = entry.topic().is_some_and(|topic| topic::names(topic, &self.ident));
        is_its && entry.at() >= self.from && entry.at() < self.to
    }
}

/// What holds in force keep, of one lane or of all.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn held(
    client: &impl GenericClient,
    lane: Option<i16>,
) -> Result<Vec<HeldPackets>, tokio_postgres::Error> {
    let sql = "SELECT ident, from_at, to_at FROM held_packets WHERE lane = coalesce($1, lane) AND from_at < to_at";
    let rows = client.query(sql, &[&lane]).await?;
    Ok(rows.iter().map(|r| HeldPackets { ident: r.get(0), from: r.get(1), to: r.get(2) }).collect())
}

/// Replaces what goes; says where it stood.
pub(in crate::store) fn redact(entries: &mut [Entry], goes: impl Fn(&Entry) -> bool) -> Vec<i32> {
    let mut gone = Vec::new();
    for (place, entry) in entries.iter_mut().enumerate() {
        if !matches!(entry, Entry::Tombstone { .. }) && goes(entry) {
            *entry = Entry::Tombstone { at: entry.at() };
            gone.push(place as i32);
        }
    }
    gone
}

/// Writes a row again without what is gone, and takes that out of quarantine, too; says how much was there.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn rewrite(
    transaction: &Transaction<'_>,
    (lane, n): (i16, i64),
    entries: &[Entry],
    gone: &[i32],
) -> anyhow::Result<i64> {
    let content = codec::pack(entries)?;
    transaction.execute("UPDATE journal SET content = $3 WHERE lane = $1 AND n = $2", &[&lane, &n, &content]).await?;
    Ok(purge_quarantined(transaction, (lane, n), gone).await?)
}

/// Takes entries of a row out of quarantine; says how many were there.
///
/// # Errors
/// The database's own word.
pub(in crate::store) async fn purge_quarantined(
    transaction: &Transaction<'_>,
    (lane, n): (i16, i64),
    gone: &[i32],
) -> Result<i64, tokio_postgres::Error> {
    let sql = "WITH q AS (DELETE FROM quarantine WHERE lane = $1 AND n = $2 AND entry = ANY ($3) RETURNING reason, packets),
        counted AS (UPDATE journal_base SET quarantined = quarantined + (SELECT coalesce(sum(packets), 0) FROM q WHERE reason <> 'left_over') WHERE lane = $1)
        SELECT count(*) FROM q";
    Ok(transaction.query_one(sql, &[&lane, &n, &gone]).await?.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Flood, Packet, Way};

    fn packet(ident: &str, at_s: i64) -> Entry {
        Entry::Packet(Packet {
            topic: format!("v1/1/{ident}/up"),
            received_at: Timestamp::from_secs(at_s),
            payload: vec![1],
            way: Way::Broker,
        })
    }

    #[test]
    fn what_goes_leaves_its_place_and_its_time_and_goes_once() {
        let wanted = HeldPackets { ident: "a".into(), from: Timestamp::from_secs(10), to: Timestamp::from_secs(20) };
        let mut entries = [packet("a", 9), packet("a", 10), packet("b", 11), packet("a", 19), packet("a", 20)];
        let before = entries.clone();
        assert_eq!(redact(&mut entries, |e| wanted.has(e)), [1, 3]);
        assert_eq!(entries[1], Entry::Tombstone { at: Timestamp::from_secs(10) });
        assert_eq!([&entries[0], &entries[2], &entries[4]], [&before[0], &before[2], &before[4]]);
        assert!(redact(&mut entries, |e| wanted.has(e) || matches!(e, Entry::Tombstone { .. })).is_empty());
        let (from, to) = (Timestamp::from_secs(9), Timestamp::from_secs(11));
        let flood = |topic: &str| Entry::Flood(Flood { topic: topic.into(), packets: 7, bytes: 7, from, to });
        assert!(
            wanted.has(&flood("v1/1/a/up")) && !wanted.has(&flood("v1/1/b/up")),
            "a count of packets goes with them"
        );
    }
}
