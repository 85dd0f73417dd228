//! Plates: one canonical form for every spelling of one plate.
//!
//! Plates of China are those of GA 36-2018: province, letter of the issuing office, five or six more characters. Cities
//! give e-bikes plates of their own, with the city's name in front. Those of other countries are letters and digits.
//! The same rules stand in SQL (`plate_canonical`, schema 0033); a test asks both.

use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Fewest letters and digits of a plate.
pub const PLATE_CHARS_MIN: usize = 2;
/// Most letters and digits of a plate: the longest e-bike plate with a city's name has 11.
pub const PLATE_CHARS_MAX: usize = 16;
/// Most characters of a text that an error repeats.
const SAID_CHARS_MAX: usize = 40;

/// What people put between the letters and digits of a plate, after NFKC: blanks, dots, bullets, hyphens, marks of no width.
const SEPARATORS: &str = "\t\n\u{b}\u{c}\r \u{ad}\u{b7}\u{2022}\u{2027}\u{2219}\u{22c5}\u{25cf}\u{25e6}\u{2e31}\u{2e33}\u{30fb}\u{3002}\u{a78f}\
    .-_/\u{2010}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2060}\u{feff}";

/// A plate in its canonical form: no blanks, capital letters, a middle dot behind province and letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plate(String);

/// Why a text is no plate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlateError {
    /// Empty, or more than a plate can hold.
    #[error(
        "the plate {said:?} has {characters} letters and digits; it must have {PLATE_CHARS_MIN} to {PLATE_CHARS_MAX}"
    )]
    Length {
        /// What was given, its beginning.
        said: String,
        /// Letters and digits in it.
        characters: usize,
    },
    /// Something that is on no plate.
    #[error(
        "the plate {said:?} has the character {character:?}; it may have letters, digits, blanks, dots, hyphens and slashes"
    )]
    Character {
        /// What was given, its beginning.
        said: String,
        /// What is in it.
        character: char,
    },
    /// A word, and no plate.
    #[error("the plate {said:?} has no digit; it must have one at least")]
    NoDigit {
        /// What was given, its beginning.
        said: String,
    },
}

/// The letters and digits of a text as plates are compared by: NFKC (full-width forms become ASCII), capitals, no separators.
pub fn key(text: &str) -> String {
    let known = text.chars().map(|c| if is_never_of_plates(c) { char::REPLACEMENT_CHARACTER } else { c });
    known.nfkc().filter(|c| !SEPARATORS.contains(*c)).map(capital).collect()
}

/// Raised and lowered letters, and what lies outside the basic plane. Later versions of Unicode make letters of more of them, so
/// that program and database would differ.
fn is_never_of_plates(c: char) -> bool {
    matches!(c, '\u{2b0}'..='\u{2ff}' | '\u{1d00}'..='\u{1dbf}' | '\u{2070}'..='\u{209f}' | '\u{a640}'..='\u{a69f}'
        | '\u{a700}'..='\u{a78e}' | '\u{a790}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}' | '\u{10000}'..)
}

/// The capital of a letter of the alphabets that plates use.
fn capital(c: char) -> char {
    let below = |distance: u32| char::from_u32(u32::from(c) - distance).unwrap_or(c);
    match c {
        'a'..='z' | 'à'..='ö' | 'ø'..='þ' | 'α'..='ρ' | 'σ'..='ω' | 'а'..='я' => below(0x20),
        'ѐ'..='џ' => below(0x50),
        'đ' => 'Đ',
        _ => c,
    }
}

/// Whether a character of a key may stand on a plate: letters of Latin, Greek, Cyrillic, Arabic, Thai, Japanese, Chinese and
/// Korean plates, and digits.
fn is_of_plates(c: char) -> bool {
    matches!(c,
        '0'..='9' | 'A'..='Z' | 'À'..='Ö' | 'Ø'..='Þ' | 'Đ' | 'Α'..='Ρ' | 'Σ'..='Ω' | 'Ѐ'..='Я'
        | '\u{621}'..='\u{63a}' | '\u{641}'..='\u{64a}' | '\u{e01}'..='\u{e2e}'
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{ac00}'..='\u{d7a3}')
        || is_han(c)
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// A key as people read it: a middle dot behind province and letter (湘H·D0001), or behind a city's name (益阳·123456).
fn shown(key: &str) -> String {
    let names = key.chars().take_while(|c| is_han(*c)).count();
    let office = key.chars().nth(names).is_some_and(|c| c.is_ascii_uppercase());
    let before = match names {
        0 => 0,
        1 if office => 2,
        1 => 0,
        _ => names,
    };
    match key.char_indices().nth(before) {
        Some((at, _)) if at > 0 => format!("{}·{}", &key[..at], &key[at..]),
        _ => key.to_owned(),
    }
}

impl Plate {
    /// Reads any spelling of a plate.
    ///
    /// # Errors
    /// Names the text, what is wrong in it and the limit.
    pub fn parse(text: &str) -> Result<Self, PlateError> {
        let said = || text.chars().take(SAID_CHARS_MAX).collect::<String>();
        if let Some(character) = text.chars().find(|c| is_never_of_plates(*c)) {
            return Err(PlateError::Character { said: said(), character });
        }
        let key = key(text);
        if let Some(character) = key.chars().find(|c| !is_of_plates(*c)) {
            return Err(PlateError::Character { said: said(), character });
        }
        let characters = key.chars().count();
        if !(PLATE_CHARS_MIN..=PLATE_CHARS_MAX).contains(&characters) {
            return Err(PlateError::Length { said: said(), characters });
        }
        if !key.bytes().any(|b| b.is_ascii_digit()) {
            return Err(PlateError::NoDigit { said: said() });
        }
        Ok(Self(shown(&key)))
    }

    /// Checks a plate as a question names it: where vehicles share a plate, the number of one follows it (`湘H·D0001#17`).
    ///
    /// # Errors
    /// As [`Plate::parse`].
    pub fn check_asked(text: &str) -> Result<(), PlateError> {
        let plain: String = text.nfkc().collect();
        match plain.split_once('#') {
            Some((plate, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                if key(plate).is_empty() { Ok(()) } else { Self::parse(plate).map(drop) }
            }
            _ => Self::parse(text).map(drop),
        }
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Plate::parse(text).unwrap_or_else(|e| panic!("{e}")).as_str().to_owned()
    }

    #[test]
    fn every_spelling_of_a_plate_is_one_plate() {
        for text in [
            "湘H·D0001",
            "湘HD0001",
            "湘hd0001",
            " 湘H D0001 ",
            "湘Ｈ・Ｄ０００１",
            "湘h•d0001",
            "湘H-D0001",
            "湘H－Ｄ0001",
            "湘 H·D 0001",
            "湘H.D0001",
            "湘H\u{3000}D0001",
            "湘H\u{200b}D0001\u{feff}",
            "湘H—D0001",
            "湘H●D0001",
        ] {
            assert_eq!(canonical(text), "湘H·D0001", "{text:?}");
        }
    }

    #[test]
    fn plates_of_all_kinds_read_as_people_write_them() {
        for (text, shown) in [
            ("湘h12345", "湘H·12345"),
            ("湘HD12345", "湘H·D12345"),
            ("湘AF1234学", "湘A·F1234学"),
            ("湘h 1234 警", "湘H·1234警"),
            ("湘H1234挂", "湘H·1234挂"),
            ("粤z-1234 港", "粤Z·1234港"),
            ("益阳 123456", "益阳·123456"),
            ("益阳a12345", "益阳·A12345"),
            ("使014·578", "使014578"),
            ("wj湘·1234x", "WJ湘1234X"),
            ("\u{2fad}A12345", "\u{9751}A·12345"),
            ("KA-AB 123", "KAAB123"),
            ("mü-ab 12", "MÜAB12"),
            ("品川 300 あ 12-34", "品川·300あ1234"),
            ("12가 3456", "12가3456"),
            ("а123вс 77", "А123ВС77"),
        ] {
            assert_eq!(canonical(text), shown, "{text:?}");
            assert_eq!(canonical(shown), shown, "the canonical form stays as it is");
        }
    }

    #[test]
    fn what_is_no_plate_is_refused_with_its_limit() {
        for (text, said) in [
            ("", "has 0 letters and digits; it must have 2 to 16"),
            (" ·-· ", "has 0 letters and digits"),
            ("7", "has 1 letters and digits"),
            ("湘H·123456789012345", "has 17 letters and digits"),
            ("湘H·D00😀1", "has the character '😀'"),
            ("湘H\0D0001", "has the character '\\0'"),
            ("<b>1</b>", "has the character '<'"),
            ("无牌", "has no digit"),
            ("湘H·D0001#17", "has the character '#'"),
        ] {
            let error = Plate::parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        let long = "9".repeat(100_000);
        assert!(Plate::parse(&long).expect_err("too long").to_string().len() < 200);
    }

    #[test]
    fn a_question_may_name_the_number_of_a_vehicle_behind_a_shared_plate() {
        for text in ["湘h d0001", "湘H·D0001#17", "湘Ｈ Ｄ0001＃17", "#17"] {
            assert_eq!(Plate::check_asked(text), Ok(()), "{text:?}");
        }
        for text in ["", "#", "湘H·D0001#", "湘H·D0001#x", "湘H#D#1", "无牌#3"] {
            assert!(Plate::check_asked(text).is_err(), "{text:?}");
        }
    }
}
