//! A range of the journal taken apart by whose it is, and put together again. Pure: what is sealed, not how.

use crate::domain::topic;
use crate::domain::{Entry, Flood, Outcome, Packet, Setting, Timestamp, VehicleId, Way, Withheld};
use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Topics of a block that a packet's is looked for among: a tracker has one or two; the others may be anybody's.
const TOPICS_LOOKED_AT: usize = 16;

/// Whose an entry is: what is erased together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum KeyScope {
    /// Nobody's: ticks, settings, gaps, packets on topics that name no tracker.
    Lane(i16),
    /// Packets on a tracker's topics, and counts of such that are not kept.
    Tracker(String),
    /// Zones of one vehicle: places of its owner.
    Vehicle(VehicleId),
}

impl KeyScope {
    /// Of an entry.
    pub fn of(lane: i16, entry: &Entry) -> Self {
        match entry {
            Entry::Packet(Packet { topic, .. })
            | Entry::Flood(Flood { topic, .. })
            | Entry::Withheld(Withheld { topic, .. }) => {
                topic::tracker(topic).map_or(Self::Lane(lane), |t| Self::Tracker(t.as_str().into()))
            }
            Entry::Setting { setting: Setting::Zone(zone), .. } => zone.vehicle.map_or(Self::Lane(lane), Self::Vehicle),
            _ => Self::Lane(lane),
        }
    }
}

/// As it is in `journal_key`.
impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Tracker(ident) => write!(f, "tracker {ident}"),
            Self::Vehicle(vehicle) => write!(f, "vehicle {}", vehicle.0),
        }
    }
}

/// What a range keeps of every entry, whoever's it is: its row, its time, its outcome.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Index {
    /// Entries of each row.
    rows: Vec<u32>,
    /// Microseconds between each entry and the one before it, the first from 1970.
    steps_us: Vec<i64>,
    #[serde(with = "serde_bytes")]
    outcomes: Vec<u8>,
}

/// What one scope has in a range. In columns: like beside like is smaller.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Block {
    /// Distance of each entry in the range to the one before it; the first from the entry before the range.
    steps: Vec<u32>,
    /// Which of `topics` each entry came on; beyond the last: the next of `others`.
    kinds: Vec<u32>,
    /// Topics, and the way by which the packet came.
    topics: Vec<(String, Way)>,
    lengths: Vec<u32>,
    #[serde(with = "serde_bytes")]
    payloads: Vec<u8>,
    others: Vec<Entry>,
}

/// Rows of a lane being taken apart.
#[derive(Default)]
pub(in crate::store) struct Segment {
    index: Index,
    parts: BTreeMap<KeyScope, Part>,
    newest: Timestamp,
    span: Option<(Timestamp, Timestamp)>,
    /// Bytes of payloads so far.
    pub bytes: usize,
}

/// A block that grows, and the place of its last entry.
#[derive(Default)]
struct Part {
    block: Block,
    places: i64,
}

impl Segment {
    /// Takes the next row in. A tombstone of something purged is nobody's: its place stays empty.
    ///
    /// # Errors
    /// A row whose outcomes are not of its length.
    pub fn push(&mut self, lane: i16, entries: Vec<Entry>, outcomes: &[u8]) -> anyhow::Result<()> {
        ensure!(outcomes.len() == entries.len(), "it has {} entries and {} outcomes", entries.len(), outcomes.len());
        self.index.rows.push(u32::try_from(entries.len())?);
        self.index.outcomes.extend_from_slice(outcomes);
        for entry in entries {
            let (place, at) = (self.index.steps_us.len() as i64, entry.at());
            self.index.steps_us.push(at.micros().wrapping_sub(self.newest.micros()));
            self.newest = at;
            self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            if let Entry::Packet(packet) = &entry {
                self.bytes += packet.payload.len();
            }
            if !matches!(entry, Entry::Tombstone { .. }) {
                let part = self.parts.entry(KeyScope::of(lane, &entry)).or_default();
                part.block.push(u32::try_from(place + 1 - part.places)?, entry);
                part.places = place + 1;
            }
        }
        Ok(())
    }

    /// How many entries are in it.
    pub fn entries(&self) -> usize {
        self.index.steps_us.len()
    }

    /// First and last time.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        self.span.unwrap_or_default()
    }

    /// The index, and what each scope has.
    pub fn parts(self) -> (Index, impl Iterator<Item = (KeyScope, Block)>) {
        (self.index, self.parts.into_iter().map(|(scope, part)| (scope, part.block)))
    }
}

impl Block {
    /// How many entries are in it.
    pub fn entries(&self) -> usize {
        self.steps.len()
    }

    fn push(&mut self, step: u32, entry: Entry) {
        self.steps.push(step);
        match entry {
            Entry::Packet(packet) => {
                let topic = (packet.topic, packet.way);
                let looked_at = self.topics.len().saturating_sub(TOPICS_LOOKED_AT);
                let kind = self.topics[looked_at..].iter().position(|t| *t == topic).map(|p| looked_at + p);
                let kind = kind.unwrap_or_else(|| {
                    self.topics.push(topic);
                    self.topics.len() - 1
                });
                self.kinds.push(kind as u32);
                self.lengths.push(packet.payload.len() as u32);
                self.payloads.extend_from_slice(&packet.payload);
            }
            other => {
                self.kinds.push(u32::MAX);
                self.others.push(other);
            }
        }
    }

    /// Its entries with their places in the range.
    ///
    /// # Errors
    /// Columns that do not fit each other or the index.
    pub fn read(self, times: &[Timestamp]) -> anyhow::Result<Vec<(usize, Entry)>> {
        ensure!(self.steps.len() == self.kinds.len(), "{} places and {} kinds", self.steps.len(), self.kinds.len());
        let (mut lengths, mut others) = (self.lengths.into_iter(), self.others.into_iter());
        let (mut payloads, mut place) = (self.payloads.as_slice(), 0_usize);
        let mut entries = Vec::with_capacity(self.steps.len());
        for (step, kind) in std::iter::zip(self.steps, self.kinds) {
            place += step as usize;
            let Some(at) = place.checked_sub(1).and_then(|p| times.get(p)) else {
                bail!("an entry is beyond its range")
            };
            let entry = match self.topics.get(kind as usize) {
                None => others.next(),
                Some((topic, way)) => {
                    lengths.next().and_then(|l| payloads.split_at_checked(l as usize)).map(|(payload, rest)| {
                        payloads = rest;
                        let (topic, payload) = (topic.clone(), payload.to_vec());
                        Entry::Packet(Packet { topic, received_at: *at, payload, way: *way })
                    })
                }
            };
            let Some(entry) = entry else { bail!("a block ends early") };
            entries.push((place - 1, entry));
        }
        Ok(entries)
    }

    /// Some entries with their places, in order.
    ///
    /// # Errors
    /// More places than a range has.
    pub fn of(entries: Vec<(usize, Entry)>) -> anyhow::Result<Self> {
        let (mut block, mut before) = (Self::default(), 0);
        for (place, entry) in entries {
            block.push(u32::try_from(place + 1 - before)?, entry);
            before = place + 1;
        }
        Ok(block)
    }
}

impl Index {
    /// The time of every entry.
    pub fn times(&self) -> Vec<Timestamp> {
        let mut at_us = 0_i64;
        let steps = self.steps_us.iter();
        steps
            .map(|step| {
                Timestamp::from_micros({
                    at_us = at_us.wrapping_add(*step);
                    at_us
                })
            })
            .collect()
    }

    /// What became of the entry at a place.
    pub fn outcome(&self, place: usize) -> Outcome {
        self.outcomes.get(place).map_or(Outcome::None, |byte| Outcome::from_byte(*byte))
    }

    /// Places in the range, in order, as rows counted from its first, each with the places in it.
    pub fn by_row(&self, places: impl Iterator<Item = usize>) -> Vec<(i64, Vec<i32>)> {
        let mut places = places.peekable();
        let (mut found, mut begin) = (Vec::new(), 0);
        for (row, entries) in (0_i64..).zip(&self.rows) {
            let end = begin + *entries as usize;
            let mut inside = Vec::new();
            while let Some(place) = places.next_if(|place| *place < end) {
                inside.push((place - begin) as i32);
            }
            if !inside.is_empty() {
                found.push((row, inside));
            }
            begin = end;
        }
        found
    }

    /// The rows as they were, with a mark where nothing is left.
    ///
    /// # Errors
    /// Blocks that do not fit.
    pub fn join(&self, blocks: Vec<Block>) -> anyhow::Result<Vec<(Vec<Entry>, Vec<Outcome>)>> {
        let times = self.times();
        let mut entries: Vec<_> = times.iter().map(|at| Entry::Tombstone { at: *at }).collect();
        for block in blocks {
            for (place, entry) in block.read(&times)? {
                entries[place] = entry;
            }
        }
        let mut outcomes = (0..entries.len()).map(|place| self.outcome(place));
        let mut entries = entries.into_iter();
        let rows = self.rows.iter().map(|rows| *rows as usize);
        Ok(rows.map(|n| (entries.by_ref().take(n).collect(), outcomes.by_ref().take(n).collect())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GapCause, LatLon, Zone, ZoneId, ZoneRule, ZoneShape};
    use crate::store::journal::codec::{pack_tight, unpack_any};
    use proptest::prelude::*;

    fn zone(vehicle: Option<VehicleId>) -> Setting {
        Setting::Zone(Zone {
            id: ZoneId(3),
            name: "校园".into(),
            shape: ZoneShape::Circle { centre: LatLon::new(28.5, 112.3), radius_m: 100.0 },
            rule: ZoneRule::Enter,
            vehicle,
            dwell_s: 0,
            schedule: None,
            vehicle_kind: None,
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let at = (-10_i64..1_000_000_000_000).prop_map(Timestamp::from_micros);
        let topic = prop_oneof!["v1/7/[a-d]/up", "v1/7/[a-d]/gw/g/up", "[a-c]{0,3}", "v1/7/[ +]/up"];
        let payload = proptest::collection::vec(any::<u8>(), 0..40);
        let way = prop_oneof![Just(Way::Broker), Just(Way::Retained), Just(Way::Door), Just(Way::Socket)];
        (at, topic, payload, way, 0..10).prop_map(|(at, topic, payload, way, kind)| match kind {
            0 => Entry::Tick { at },
            1 => Entry::Gap { from: at, to: at, cause: GapCause::SessionLost },
            2 => Entry::Setting { at, setting: zone(None) },
            3 => Entry::Setting { at, setting: zone(Some(VehicleId(9))) },
            4 => Entry::Tombstone { at },
            5 => Entry::Flood(Flood { topic, packets: 9, bytes: 2000, from: at, to: at }),
            _ => Entry::Packet(Packet { topic, received_at: at, payload, way }),
        })
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<(Entry, u8)>>> {
        proptest::collection::vec(proptest::collection::vec((entry(), 0..4_u8), 0..12), 0..20)
    }

    /// Through the bytes that are sealed.
    fn stored(block: &Block) -> Block {
        unpack_any(&pack_tight(block).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_range_taken_apart_is_put_together_as_it_was_but_for_the_holder_that_is_gone(
            rows in rows(), erased in prop_oneof![Just(KeyScope::Tracker("a".into())), Just(KeyScope::Vehicle(VehicleId(9))), Just(KeyScope::Lane(5)), Just(KeyScope::Lane(1))],
        ) {
            let mut range = Segment::default();
            let mut expected = Vec::new();
            for row in &rows {
                let (entries, outcomes): (Vec<Entry>, Vec<u8>) = row.iter().cloned().unzip();
                range.push(5, entries.clone(), &outcomes).unwrap();
                let is_gone = |entry: &Entry| KeyScope::of(5, entry) == erased;
                let left = entries.into_iter().map(|e| if is_gone(&e) { Entry::Tombstone { at: e.at() } } else { e });
                expected.push((left.collect::<Vec<_>>(), outcomes.into_iter().map(Outcome::from_byte).collect::<Vec<_>>()));
            }
            let count = range.entries();
            let (index, parts) = range.parts();
            let index: Index = unpack_any(&pack_tight(&index).unwrap()).unwrap();
            let blocks: Vec<_> = parts.filter(|(scope, _)| *scope != erased).map(|(_, block)| block).collect();
            prop_assert!(blocks.iter().map(Block::entries).sum::<usize>() <= count);
            // A block written again is the same block.
            for block in &blocks {
                prop_assert_eq!(&Block::of(stored(block).read(&index.times()).unwrap()).unwrap(), block);
            }
            prop_assert_eq!(index.join(blocks.iter().map(stored).collect()).unwrap(), expected);
        }

        #[test]
        fn columns_that_do_not_fit_are_an_error(steps in proptest::collection::vec(0..4_u32, 0..6), kinds in proptest::collection::vec(0..3_u32, 0..6), lengths in proptest::collection::vec(0..9_u32, 0..6), payloads in proptest::collection::vec(any::<u8>(), 0..9)) {
            let block = Block { steps, kinds, topics: vec![("v1/7/a/up".into(), Way::Broker)], lengths, payloads, others: Vec::new() };
            let times = [Timestamp::from_secs(1); 5];
            if let Ok(entries) = block.read(&times) {
                prop_assert!(entries.iter().all(|(place, _)| *place < times.len()));
            }
        }
    }

    #[test]
    fn what_was_sealed_with_a_retain_flag_reads_the_same() {
        let before = ([1_u32, 1], [0_u32, 1], [("v1/7/a/up", false), ("v1/7/a/up", true)], [1_u32, 1]);
        let (steps, kinds, topics, lengths) = before;
        let payloads = serde_bytes::Bytes::new(&[7, 8]);
        let old = pack_tight(&(steps, kinds, topics, lengths, payloads, Vec::<Entry>::new())).unwrap();
        let block: Block = unpack_any(&old).unwrap();
        assert_eq!(pack_tight(&block).unwrap(), old);
        let entries = block.read(&[Timestamp::from_secs(1); 2]).unwrap();
        let ways =
            entries.iter().map(|(_, entry)| if let Entry::Packet(packet) = entry { Some(packet.way) } else { None });
        assert_eq!(ways.collect::<Vec<_>>(), [Some(Way::Broker), Some(Way::Retained)]);
    }

    #[test]
    fn places_are_told_by_row() {
        let index = Index { rows: vec![2, 0, 3, 1], ..Index::default() };
        assert_eq!(index.by_row([0, 1, 3, 5].into_iter()), [(0, vec![0, 1]), (2, vec![1]), (3, vec![0])]);
        assert!(index.by_row([].into_iter()).is_empty());
    }

    #[test]
    fn a_row_without_its_outcomes_is_refused() {
        let entries = vec![Entry::Tick { at: Timestamp::from_secs(1) }];
        assert!(Segment::default().push(5, entries, &[]).unwrap_err().to_string().contains("1 entries and 0 outcomes"));
    }
}
