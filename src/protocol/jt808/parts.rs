//! Messages in parts (JT/T 808, section 4.4.3: total and number of a part in the header).

use serde::{Deserialize, Serialize};

/// Most parts of a message; the largest that a tracker sends, a batch of 512 locations, has fewer.
const PARTS_MAX: u16 = 64;
/// Most bytes of a message.
const BYTES_MAX: usize = 32 * 1024;

/// The parts that one tracker has sent of a message so far. Parts come in order, or again, or not at
/// all: a part of another message drops them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    message: u16,
    /// Sequence number of the first part; the others follow it.
    first_sequence: u16,
    bodies: Vec<Option<Vec<u8>>>,
}

impl Parts {
    /// Takes a part; the whole, once no other is missing.
    pub fn add(&mut self, message: u16, sequence: u16, (total, number): (u16, u16), body: &[u8]) -> Option<Vec<u8>> {
        if number == 0 || number > total || total > PARTS_MAX {
            return None;
        }
        let first_sequence = sequence.wrapping_sub(number - 1);
        let continues =
            (message, first_sequence, usize::from(total)) == (self.message, self.first_sequence, self.bodies.len());
        if !continues {
            *self = Self { message, first_sequence, bodies: vec![None; total.into()] };
        }
        let held: usize = self.bodies.iter().flatten().map(Vec::len).sum();
        if held + body.len() > BYTES_MAX {
            *self = Self::default();
            return None;
        }
        self.bodies[usize::from(number) - 1] = Some(body.to_vec());
        if self.bodies.iter().any(Option::is_none) {
            return None;
        }
        Some(std::mem::take(self).bodies.into_iter().flatten().flatten().collect())
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_any_order_and_twice_give_the_whole() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(0x0704, 11, (3, 2), b"cd"), None);
        assert_eq!(parts.add(0x0704, 12, (3, 3), b"ef"), None);
        assert_eq!(parts.add(0x0704, 11, (3, 2), b"cd"), None);
        assert_eq!(parts.add(0x0704, 10, (3, 1), b"ab"), Some(b"abcdef".to_vec()));
        assert!(parts.is_empty());
    }

    #[test]
    fn a_part_of_another_message_drops_what_was_held() {
        let mut parts = Parts::default();
        parts.add(0x0704, 10, (2, 1), b"old");
        assert_eq!(parts.add(0x0704, 21, (2, 2), b"cd"), None);
        assert_eq!(parts.add(0x0704, 20, (2, 1), b"ab"), Some(b"abcd".to_vec()));
    }

    #[test]
    fn sequence_numbers_may_start_again_inside_a_message() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(0x0704, u16::MAX, (2, 1), b"ab"), None);
        assert_eq!(parts.add(0x0704, 0, (2, 2), b"cd"), Some(b"abcd".to_vec()));
    }

    #[test]
    fn too_many_or_too_large_parts_are_not_held() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(0x0704, 1, (PARTS_MAX + 1, 1), b"x"), None);
        assert_eq!(parts.add(0x0704, 1, (2, 3), b"x"), None);
        assert_eq!(parts.add(0x0704, 1, (2, 0), b"x"), None);
        assert!(parts.is_empty());
        parts.add(0x0704, 1, (2, 1), &vec![0; BYTES_MAX]);
        assert_eq!(parts.add(0x0704, 2, (2, 2), b"x"), None);
        assert!(parts.is_empty());
    }
}
