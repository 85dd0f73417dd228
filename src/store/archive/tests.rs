//! A range of the journal as an earlier program sealed it.
//!
//! `tests/golden/state/archive.json` was written by commit 56bfafe out of `row.compact`, 20 entries a row, under the
//! master key of 32 sevens: sealed as the database has it, and the plain bytes beside it. It is not written again.

use crate::domain::{Entry, Outcome};
use crate::store::archive::keys::Key;
use crate::store::archive::read::{block_place, frame_place, key_place};
use crate::store::archive::segment::{Block, Index, Segment};
use crate::store::journal::codec::{pack_tight, unpack, unpack_any};
use serde::Deserialize;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct Golden {
    lane: i16,
    from_n: i64,
    to_n: i64,
    day: String,
    frame: Part,
    blocks: Vec<Part>,
}

/// Everything in hexadecimal digits.
#[derive(Deserialize)]
struct Part {
    holder: String,
    wrapped: String,
    content: String,
    plain: String,
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state").join(name)).unwrap()
}

#[test]
fn a_range_that_an_earlier_program_sealed_is_read_and_written_the_same() {
    let sealed: Golden = serde_json::from_slice(&golden("archive.json")).unwrap();
    let (lane, place) = (sealed.lane, (sealed.lane, sealed.from_n, sealed.to_n));
    let master = Key::of(&[7; 32]).unwrap();
    let open = |part: &Part, at: String| {
        let key =
            master.unwrap(&key_place(lane, &part.holder, &sealed.day), &hex::decode(&part.wrapped).unwrap()).unwrap();
        let plain = key.open(&at, &hex::decode(&part.content).unwrap()).unwrap();
        assert_eq!(hex::encode(&plain), part.plain, "{}", part.holder);
        plain
    };
    let index: Index = unpack_any(&open(&sealed.frame, frame_place(place))).unwrap();
    let blocks: Vec<Block> =
        sealed.blocks.iter().map(|b| unpack_any(&open(b, block_place(place, &b.holder))).unwrap()).collect();
    let rows = index.join(blocks).unwrap();

    // Read: the entries of the journal row. The tombstone among them is in no block.
    let entries: Vec<Entry> = unpack(&golden("row.compact")).unwrap();
    let expected: Vec<(Vec<Entry>, Vec<Outcome>)> = entries
        .chunks(20)
        .map(|row| (row.to_vec(), (0..row.len()).map(|n| Outcome::from_byte((n % 4) as u8)).collect()))
        .collect();
    assert_eq!(rows, expected);
    assert_eq!(rows.len() as i64, sealed.to_n - sealed.from_n + 1);

    // Written: the same bytes before they are sealed.
    let mut segment = Segment::default();
    for (row, outcomes) in rows {
        let outcomes: Vec<u8> = (0..outcomes.len()).map(|n| (n % 4) as u8).collect();
        segment.push(lane, row, &outcomes).unwrap();
    }
    let (index, blocks) = segment.parts();
    assert_eq!(hex::encode(pack_tight(&index).unwrap()), sealed.frame.plain);
    let written: Vec<(String, String)> =
        blocks.map(|(scope, block)| (scope.to_string(), hex::encode(pack_tight(&block).unwrap()))).collect();
    let before: Vec<(String, String)> = sealed.blocks.into_iter().map(|b| (b.holder, b.plain)).collect();
    assert_eq!(written, before);
}
