//! Where a segment is, as one number: what a B-tree finds it by.
//!
//! A segment belongs to the smallest of [`SIZES`] sizes, each twice the one before, that its box does not exceed; the
//! number holds the size and, in a grid of quarters of it, the cell of the box's south-west corner. So a segment reaches
//! four cells east and north at most, and a search looks, size by size and row by row, for the corners that can reach
//! into its box: a few runs of numbers. (After XZ-ordering, Böhm, Klump and Kriegel 1999, in rows instead of a curve.)

use crate::tracks::GridPoint;

/// Sizes: from 114 m, what a dwell's box stays below, to 230 km. What is larger has one number, and is always looked at.
const SIZES: u32 = 12;
/// The smallest size, millionths of a degree.
const SIZE_MIN: i64 = 1024;
/// Cells along a size.
const PARTS: i64 = 4;
/// Bits of a column number, and of a row number: enough for the world in the smallest cells.
const AXIS_BITS: u32 = 21;

/// The number of the box with these corners, both inside. The schema's `box_cell` and `cells_of` count alike.
pub fn of_box(low: GridPoint, high: GridPoint) -> i64 {
    let extent = |low: i32, high: i32| i64::from(high) - i64::from(low);
    let side = extent(low.lon, high.lon).max(extent(low.lat, high.lat));
    let Some(size) = (0..SIZES).find(|size| side <= SIZE_MIN << size) else {
        return i64::from(SIZES) << (2 * AXIS_BITS);
    };
    let column = |value: i32, origin: i64| (i64::from(value) + origin).max(0) / ((SIZE_MIN << size) / PARTS);
    let (x, y) = (column(low.lon, 180_000_000), column(low.lat, 90_000_000));
    i64::from(size) << (2 * AXIS_BITS) | y << AXIS_BITS | x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_belongs_to_the_smallest_size_that_it_does_not_exceed() {
        let at = |lon, lat| GridPoint { lon, lat };
        let corner = at(112_350_000, 28_550_000);
        let size = |side: i32| of_box(corner, at(corner.lon + side, corner.lat)) >> (2 * AXIS_BITS);
        assert_eq!([size(0), size(1024), size(1025), size(2048), size(2049), size(3_000_000)], [0, 0, 1, 1, 2, 12]);
        assert_eq!(of_box(corner, corner), (118_550_000 / 256) << 21 | (292_350_000 / 256));
        // Damaged bytes may say anything; the number still is one.
        assert_eq!(of_box(at(i32::MIN, i32::MIN), at(i32::MAX, i32::MAX)), 12 << 42);
    }
}
