//! The bytes of a journal row, of a checkpoint and of what is sealed.

use crate::domain::Entry;
use anyhow::bail;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Flood, GapCause, Packet, Setting, Timestamp, VehicleId, Way, Zone, ZoneId, ZoneRule, ZoneShape,
    };

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
                way: Way::Broker,
            }),
            Entry::Setting { at: Timestamp::from_secs(6), setting: Setting::Zone(zone) },
            Entry::Setting { at: Timestamp::from_secs(6), setting: Setting::Arm { vehicle: VehicleId(9) } },
            Entry::Tick { at: Timestamp::from_secs(7) },
            Entry::Gap { from: Timestamp::from_secs(7), to: Timestamp::from_secs(9), cause: GapCause::SessionLost },
            Entry::Flood(Flood {
                topic: "v1/1/a/up".into(),
                packets: 3,
                bytes: 180_000,
                from: Timestamp::from_secs(8),
                to: Timestamp::from_secs(9),
            }),
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
    fn a_journal_of_before_reads_the_same() {
        let at = Timestamp::from_secs(5);
        let packet =
            |way| Entry::Packet(Packet { topic: "v1/1/a/up".into(), received_at: at, payload: vec![0, 255, 126], way });
        // As programs wrote it while there was a retain flag: four values, or the same with their names.
        let values = |retained: bool| ("v1/1/a/up", at, serde_bytes::Bytes::new(&[0, 255, 126]), retained);
        for (retained, way) in [(false, Way::Broker), (true, Way::Retained)] {
            let old = rmp_serde::to_vec(&[BTreeMap::from([("Packet", values(retained))])]).unwrap();
            let old = compressed(COMPACT, ZSTD_LEVEL, &old).unwrap();
            assert_eq!(unpack(&old).unwrap(), [packet(way)]);
            assert_eq!(pack(&[packet(way)]).unwrap(), old, "and is written so");
            let named = serde_json::json!([{"Packet": {"topic": "v1/1/a/up", "received_at": at, "payload": [0, 255, 126], "retained": retained}}]);
            assert_eq!(serde_json::from_value::<Vec<Entry>>(named.clone()).unwrap(), [packet(way)]);
            assert_eq!(serde_json::to_value([packet(way)]).unwrap(), named);
        }
        let without = rmp_serde::to_vec(&[BTreeMap::from([("Packet", ("v1/1/a/up", at, values(false).2))])]).unwrap();
        assert_eq!(unpack(&compressed(COMPACT, ZSTD_LEVEL, &without).unwrap()).unwrap(), [packet(Way::Broker)]);
        let gap = Entry::Gap { from: at, to: at, cause: GapCause::WithoutBroker };
        let new = [packet(Way::Door), gap];
        assert_eq!(unpack(&pack(&new).unwrap()).unwrap(), new);
        assert_eq!(unpack(&pack_any(&new).unwrap()).unwrap(), new);
    }

    #[test]
    fn an_unknown_format_is_named() {
        assert!(unpack(&[9, 1, 2]).unwrap_err().to_string().contains("format 9"));
        assert!(unpack(&[]).is_err());
    }
}
