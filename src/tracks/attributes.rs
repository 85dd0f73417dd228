//! What fixes say beside place, time and speed, column by column: one value if all are equal, else
//! differences. Most columns of a ride hardly change, so most fixes cost a byte a column or nothing.

use crate::tracks::TrackFix;
use crate::tracks::twkb::Vertex;
use crate::tracks::varint::{Reader, put_signed};

/// A column of one value.
const CONSTANT: u8 = 0;
/// A column of differences.
const DIFFERENCES: u8 = 1;

type Get = fn(&TrackFix) -> i64;
type Set = fn(&mut TrackFix, i64) -> Option<()>;

/// "Not said" is 0, so what was said is moved up by one.
fn said<T: Into<i64>>(value: Option<T>) -> i64 {
    value.map_or(0, |v| v.into() + 1)
}

fn was_said<T: TryFrom<i64>>(value: i64) -> Option<Option<T>> {
    if value == 0 { Some(None) } else { T::try_from(value - 1).ok().map(Some) }
}

/// An altitude may be negative, and "not said" must stay below all of them.
const DEEPEST_M: i64 = 32_768;

/// The columns, in the order of the bytes.
const COLUMNS: [(Get, Set); 7] = [
    (|f| said(f.course_deg), |f, v| was_said(v).map(|v| f.course_deg = v)),
    (
        |f| said(f.altitude_m.map(|a| i64::from(a) + DEEPEST_M)),
        |f, v| {
            let deep: Option<i64> = was_said(v)?;
            f.altitude_m = match deep {
                Some(v) => Some(i16::try_from(v - DEEPEST_M).ok()?),
                None => None,
            };
            Some(())
        },
    ),
    (|f| said(f.accuracy_m), |f, v| was_said(v).map(|v| f.accuracy_m = v)),
    (|f| said(f.satellites), |f, v| was_said(v).map(|v| f.satellites = v)),
    (|f| f.source.into(), |f, v| u8::try_from(v).ok().map(|v| f.source = v)),
    (|f| f.flags.into(), |f, v| u8::try_from(v).ok().map(|v| f.flags = v)),
    (|f| f.lag_s.into(), |f, v| i32::try_from(v).ok().map(|v| f.lag_s = v)),
];

/// Writes the columns of fixes.
pub fn write(out: &mut Vec<u8>, fixes: &[TrackFix]) {
    let Some(first) = fixes.first() else { return };
    for (get, _) in COLUMNS {
        let start = get(first);
        if fixes.iter().all(|f| get(f) == start) {
            out.push(CONSTANT);
            put_signed(out, start);
        } else {
            out.push(DIFFERENCES);
            let mut last = 0;
            for value in fixes.iter().map(get) {
                put_signed(out, value - last);
                last = value;
            }
        }
    }
}

/// Reads the columns into as many fixes; `None` if they are damaged.
pub fn read(bytes: &[u8], fixes: &mut [TrackFix]) -> Option<()> {
    if fixes.is_empty() {
        return Some(());
    }
    let mut reader = Reader::new(bytes);
    for (_, set) in COLUMNS {
        match reader.byte()? {
            CONSTANT => {
                let value = reader.signed()?;
                fixes.iter_mut().try_for_each(|f| set(f, value))?;
            }
            DIFFERENCES => {
                let mut value: i64 = 0;
                for fix in &mut *fixes {
                    value = value.checked_add(reader.signed()?)?;
                    set(fix, value)?;
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// A vertex as a fix, its attributes still unread.
pub fn bare(vertex: &Vertex) -> TrackFix {
    TrackFix {
        at: vertex.at,
        spot: vertex.spot,
        speed_tenths: vertex.speed_tenths,
        course_deg: None,
        altitude_m: None,
        accuracy_m: None,
        satellites: None,
        source: 0,
        flags: 0,
        lag_s: 0,
    }
}
