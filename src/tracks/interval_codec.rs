//! The times of a parked tracker as steps that keep a pace, up to three of them in a byte: what is parked speaks every so
//! many seconds, give or take one or two.
//!
//! First the pace (zigzag), then numbers (LEB128): below 125 three steps, each the pace and -2 to 2 (three digits of base 5,
//! the first weighs most; what is beyond the last step is 0); 125 to 127 one step, the pace and a zigzag of 0 to 2; from
//! 128 on an even rest is one step, the pace and a zigzag of half of it, and an odd one changes the pace by that. The schema
//! reads it, too (`dwell_steps`, 0020).

use crate::tracks::varint::{Reader, put, put_signed, unzigzag, zigzag};

/// What a digit says at most.
const FAR: i64 = 2;
/// Numbers of three steps.
const TRIPLES: u64 = 125;
/// Numbers in a byte.
const BYTE: u64 = 128;
/// Steps that are looked at for another pace.
const AHEAD: usize = 24;
/// So many more of them must keep it: a change costs two bytes or three.
const GAIN: usize = 4;

/// Writes steps; read again by who knows how many there are.
pub fn write(out: &mut Vec<u8>, steps: &[i64]) {
    let mut pace = best(&steps[..steps.len().min(AHEAD)]);
    put_signed(out, pace);
    let (mut i, mut look_at) = (0, AHEAD / 2);
    while i < steps.len() {
        let three = &steps[i..steps.len().min(i + 3)];
        if keep(three, pace) == three.len() {
            let digit = |n: usize| three.get(n).map_or(FAR, |s| s - pace + FAR) as u8;
            out.push((digit(0) * 5 + digit(1)) * 5 + digit(2));
            i += three.len();
            continue;
        }
        if i >= look_at {
            look_at = i + AHEAD / 2;
            let ahead = &steps[i..steps.len().min(i + AHEAD)];
            let other = best(ahead);
            if keep(ahead, other) >= keep(ahead, pace) + GAIN {
                put(out, BYTE + (zigzag(other - pace) << 1 | 1));
                pace = other;
                continue;
            }
        }
        match zigzag(three[0] - pace) {
            small @ 0..=2 => put(out, TRIPLES + small),
            large => put(out, BYTE + (large << 1)),
        }
        i += 1;
    }
}

/// The pace that most steps keep; of equal ones the one in the middle of what keeps it.
fn best(steps: &[i64]) -> i64 {
    let mut sorted = [0; AHEAD];
    let sorted = &mut sorted[..steps.len()];
    sorted.copy_from_slice(steps);
    sorted.sort_unstable();
    let (mut most, mut pace) = (0, 0);
    for (first, low) in sorted.iter().enumerate() {
        let run = sorted[first..].partition_point(|s| *s <= low.saturating_add(2 * FAR));
        if run > most {
            (most, pace) = (run, (low + sorted[first + run - 1]).div_euclid(2));
        }
    }
    pace
}

/// How many steps keep a pace.
fn keep(steps: &[i64], pace: i64) -> usize {
    steps.iter().filter(|s| (*s - pace).abs() <= FAR).count()
}

/// Hands over so many steps; `None` of bytes that are not what [`write`] wrote.
pub fn read(reader: &mut Reader<'_>, count: usize, mut take: impl FnMut(i64) -> Option<()>) -> Option<()> {
    let mut pace = reader.signed()?;
    let mut left = count;
    while left > 0 {
        let number = reader.unsigned()?;
        match number {
            0..TRIPLES => {
                for weight in [25, 5, 1].into_iter().take(left) {
                    take(pace.checked_add((number / weight % 5) as i64 - FAR)?)?;
                }
                left -= left.min(3);
            }
            TRIPLES..BYTE => {
                take(pace.checked_add(unzigzag(number - TRIPLES))?)?;
                left -= 1;
            }
            _ if number % 2 == 0 => {
                take(pace.checked_add(unzigzag((number - BYTE) >> 1))?)?;
                left -= 1;
            }
            _ => pace = pace.checked_add(unzigzag((number - BYTE) >> 1))?,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(steps: &[i64]) -> usize {
        let mut bytes = Vec::new();
        write(&mut bytes, steps);
        let length = bytes.len();
        bytes.push(7); // what comes behind is not touched
        let mut reader = Reader::new(&bytes);
        let mut again = Vec::new();
        read(&mut reader, steps.len(), |s| {
            again.push(s);
            Some(())
        })
        .unwrap();
        assert_eq!((again.as_slice(), reader.rest()), (steps, &[7][..]));
        length
    }

    #[test]
    fn three_steps_that_keep_a_pace_take_a_byte() {
        assert_eq!(there_and_back(&[]), 1);
        assert_eq!(there_and_back(&[180; 120]), 2 + 40);
        let unsteady: Vec<i64> = (0..120).map(|n| 180 + n * 7 % 5 - 2).collect();
        assert_eq!(there_and_back(&unsteady), 2 + 40);
        // Half a minute on the way, then parked: the pace changes once.
        let both: Vec<i64> = [10; 30].into_iter().chain([300; 90]).collect();
        assert!(there_and_back(&both) <= 1 + 10 + 3 + 30 + 2);
    }

    #[test]
    fn a_cut_end_is_none() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[60, 61, 4000, 59]);
        for end in 0..bytes.len() {
            assert_eq!(read(&mut Reader::new(&bytes[..end]), 4, |_| Some(())), None);
        }
        let endless = [0, 129, 1, 129, 1]; // a pace that changes for ever, then nothing
        assert_eq!(read(&mut Reader::new(&endless), 1, |_| Some(())), None);
    }

    proptest! {
        #[test]
        fn steps_come_back(runs in proptest::collection::vec((0..100_000_i64, 1..40_usize, 0..6_i64), 0..8), odd in any::<u64>()) {
            let steps: Vec<i64> = runs.iter().flat_map(|(pace, count, jitter)| {
                (0..*count as u64).map(move |n| pace + (odd.rotate_left((n * 7 % 64) as u32) % (2 * *jitter as u64 + 1)) as i64 - jitter)
            }).collect();
            there_and_back(&steps);
        }

        #[test]
        fn any_steps_come_back(steps in proptest::collection::vec(-100_000_000_000..100_000_000_000_i64, 0..200)) {
            there_and_back(&steps);
        }
    }
}
