//! What every tracker keeps of its clock, in one byte: a city has a million of them.

use crate::engine::clock::{QUARTER_S, ZONES_S};

/// The bit that says that the clock was seen right; the others are quarters of an hour east of UTC plus 64, 0: none.
const RIGHT: u8 = 0x80;
const UTC: i32 = 64;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Note(u8);

impl Note {
    /// Of what a checkpoint kept.
    pub fn of(announced_s: Option<i32>, is_right: bool) -> Self {
        let mut note = Self::default();
        if let Some(zone_s) = announced_s {
            note.announce(zone_s);
        }
        if is_right {
            note.set_right();
        }
        note
    }

    /// The zone that the tracker says its clock has, seconds east of UTC.
    pub fn announced_s(self) -> Option<i32> {
        Some(i32::from(self.0 & !RIGHT)).filter(|quarters| *quarters != 0).map(|quarters| (quarters - UTC) * QUARTER_S)
    }

    /// Takes over a zone that is one.
    pub fn announce(&mut self, zone_s: i32) {
        if ZONES_S.contains(&zone_s) && zone_s % QUARTER_S == 0 {
            let quarters = u8::try_from(zone_s / QUARTER_S + UTC).unwrap_or_default();
            self.0 = self.0 & RIGHT | quarters;
        }
    }

    /// Whether the clock was seen right.
    pub fn is_right(self) -> bool {
        self.0 & RIGHT != 0
    }

    pub fn set_right(&mut self) {
        self.0 |= RIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_keeps_every_zone_of_the_earth_and_nothing_else() {
        for zone_s in ZONES_S.step_by(QUARTER_S as usize) {
            for is_right in [false, true] {
                let note = Note::of(Some(zone_s), is_right);
                assert_eq!((note.announced_s(), note.is_right()), (Some(zone_s), is_right));
            }
        }
        for nonsense in [1, 899, -13 * 3600, 15 * 3600, i32::MAX, i32::MIN] {
            assert_eq!(Note::of(Some(nonsense), true), Note::of(None, true), "{nonsense}");
        }
    }
}
