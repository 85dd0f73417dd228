//! How people come in, and how they log in: codes that are used once, passwords, a second factor, sessions.
//!
//! | file | what it does |
//! |---|---|
//! | `log_in` | password, then second factor, then a session |
//! | `doors` | what needs no session: first start, invitation, reset |
//! | `people` | accounts that an administrator or an operator looks after |
//! | `own` | my account: password, phone, second factor, sessions |
//! | `second_factor` | TOTP, its sealed secret, recovery codes |
//! | `code` | codes that are used once, and the links that bring them |
//! | `strength` | which passwords are taken |

pub(super) mod code;
pub(super) mod doors;
pub(super) mod log_in;
pub(super) mod own;
pub(super) mod people;
pub(super) mod second_factor;
mod strength;

pub use code::{digest_of_code, new_code};
pub use second_factor::FactorKey;
pub use strength::{WeakPassword, check_password};

use crate::api::codes::{Code, Known};
use crate::api::error::Problem;
use crate::domain::Phone;
use serde_json::{Value, json};
use strength::{CHARACTERS_MAX, CHARACTERS_MIN, GUESSES_LOG10_MIN};

/// Longest name of a person, an organisation or a unit, characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest reason, characters.
const REASON_CHARS_MAX: usize = 500;

impl Known for WeakPassword {
    fn known(&self) -> (Code, Value) {
        match self {
            Self::Length { characters } => (
                Code::TextLength,
                json!({ "field": "password", "characters": characters, "min": CHARACTERS_MIN, "max": CHARACTERS_MAX }),
            ),
            Self::Guessable { guesses_log10, .. } => (
                Code::PasswordGuessable,
                json!({ "guesses_log10": guesses_log10.round(), "guesses_log10_min": GUESSES_LOG10_MIN }),
            ),
        }
    }
}

/// A text of 1 to so many characters, without the blanks around it and without control characters.
fn text<'a>(said: &'a str, field: &str, max: usize) -> Result<&'a str, Problem> {
    let said = said.trim();
    let characters = said.chars().count();
    if !(1..=max).contains(&characters) {
        return Err(Problem::length(field, characters, max));
    }
    if said.chars().any(char::is_control) {
        let message = format!("{field} holds a control character");
        return Err(Problem::bad(Code::CharacterNotKept, message, json!({ "field": field })));
    }
    Ok(said)
}

/// A phone number as people type it.
fn phone(said: &str) -> Result<String, Problem> {
    let parsed = Phone::parse(said).map(|phone| phone.as_str().to_owned());
    parsed.ok_or_else(|| {
        // The number itself stands in no message: it may be somebody's, mistyped.
        let message = "phone is no phone number; it must be one like 13800000001, or +44 … with 7 to 15 digits";
        Problem::bad(Code::PhoneForm, message, json!({ "field": "phone", "digits_min": 7, "digits_max": 15 }))
    })
}
