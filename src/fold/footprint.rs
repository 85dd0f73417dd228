//! Which fixes the index of hot places holds: of each tracker the first heard in a cell of a hundredth of a degree and a
//! quarter of an hour. An index of every fix would cost as much as the key; these are a tenth of those that move.

use crate::domain::{LatLon, Timestamp};

/// Length of the spans of time, microseconds. The number stands in the schema, too (0019).
const SPAN_US: i64 = 15 * 60 * 1_000_000;
/// Cells a degree, and in a row around the earth; in the schema, too.
const PER_DEGREE: f64 = 100.0;
const PER_ROW: i32 = 36_000;

/// A cell in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Footprint {
    /// The span: quarters of an hour since 1970.
    span: i64,
    /// The cell: 0 to 648,036,000.
    cell: i32,
}

impl Footprint {
    /// Of a fix.
    pub fn of(fixed_at: Timestamp, position: LatLon) -> Self {
        // As the schema counts it, step by step: a cell must be the same there.
        let row = ((position.lat_deg + 90.0) * PER_DEGREE).floor() as i32;
        let column = ((position.lon_deg + 180.0) * PER_DEGREE).floor() as i32;
        Self { span: fixed_at.micros().div_euclid(SPAN_US), cell: row * PER_ROW + column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_hundredth_of_a_degree_in_a_quarter_of_an_hour() {
        let of = |at, lat, lon| Footprint::of(Timestamp::from_secs(at), LatLon::new(lat, lon));
        assert_eq!(of(900, 28.551, 112.351), Footprint { span: 1, cell: 11_855 * 36_000 + 29_235 });
        assert_eq!(of(900, 28.5599, 112.3599), of(1799, 28.551, 112.351));
        assert_ne!(of(900, 28.551, 112.351), of(1800, 28.551, 112.351));
        assert_ne!(of(900, 28.551, 112.351), of(900, 28.561, 112.351));
        assert_ne!(of(900, 28.551, 112.351), of(900, 28.551, 112.341));
    }

    #[test]
    fn the_ends_of_the_earth_have_cells() {
        for (lat, lon) in [(90.0, 180.0), (-90.0, -180.0), (90.0, -180.0), (-90.0, 180.0)] {
            let footprint = Footprint::of(Timestamp::from_secs(-1), LatLon::new(lat, lon));
            assert!((0..=648_036_000).contains(&footprint.cell), "{footprint:?}");
            assert_eq!(footprint.span, -1);
        }
    }
}
