//! Which passwords are taken: long enough, and not among those that are guessed first.

use crate::domain::Phone;

/// Shortest password, characters (NIST SP 800-63B, 5.1.1.1).
pub(super) const CHARACTERS_MIN: usize = 8;
/// Longest password, characters: the estimator looks at no more.
pub(super) const CHARACTERS_MAX: usize = 100;
/// Fewest guesses, power of ten: ten attempts a minute take two centuries for them.
pub(super) const GUESSES_LOG10_MIN: f64 = 9.0;

/// Guesses that find a phone number of a city's prefixes, power of ten.
const PHONE_GUESSES_LOG10: f64 = 7.0;

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeakPassword {
    /// Too short or too long.
    #[error(
        "the password is too {}; it has {characters} characters, and needs {CHARACTERS_MIN} to {CHARACTERS_MAX}",
        if *characters < CHARACTERS_MIN { "short" } else { "long" }
    )]
    Length {
        /// How many it has.
        characters: usize,
    },
    /// Among those that are guessed first.
    #[error(
        "the password is too easy to guess; about 10^{guesses_log10:.0} guesses find it, and it must take 10^{GUESSES_LOG10_MIN} \
         at least{why}"
    )]
    Guessable {
        /// How many guesses find it, power of ten.
        guesses_log10: f64,
        /// What makes it easy, or nothing.
        why: String,
    },
}

/// Whether a password may be set; `about`: login and name, which are guessed first.
///
/// # Errors
/// Names the rule that it breaks.
pub fn check_password(password: &str, about: &[&str]) -> Result<(), WeakPassword> {
    let characters = password.chars().count();
    if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters) {
        return Err(WeakPassword::Length { characters });
    }
    if Phone::parse(password).is_some() {
        return Err(WeakPassword::Guessable {
            guesses_log10: PHONE_GUESSES_LOG10,
            why: ": it is a phone number".into(),
        });
    }
    let found = zxcvbn::zxcvbn(password, about);
    let guesses_log10 = found.guesses_log10();
    if guesses_log10 >= GUESSES_LOG10_MIN {
        return Ok(());
    }
    let why = found.feedback().and_then(|f| f.warning()).map(|w| format!(": {w}")).unwrap_or_default();
    Err(WeakPassword::Guessable { guesses_log10, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_refused_with_the_rule() {
        let about = ["wang.operator", "Wang Gong"];
        for (password, rule) in [
            ("1234567", "too short; it has 7 characters"),
            ("12345678", "too easy to guess"),
            ("password", "too easy to guess"),
            ("Passw0rd", "too easy to guess"),
            ("        ", "too easy to guess"),
            ("wang.operator", "too easy to guess"),
            ("operator2026", "too easy to guess"),
            ("qwertyuiop", "too easy to guess"),
            ("abcabcabcabc", "too easy to guess"),
            ("20260101", "too easy to guess"),
            ("13800000001", "it is a phone number"),
        ] {
            let refused = check_password(password, &about).expect_err(password).to_string();
            assert!(refused.contains(rule), "{password:?}: {refused}");
        }
        assert!(check_password(&"x1".repeat(51), &about).unwrap_err().to_string().contains("too long"));
        for password in ["quite long enough", "hai tang 7 bu xiu gang", "f3a9c1d27b60", "湘江边的老榕树下2棵"]
        {
            check_password(password, &about).unwrap();
        }
    }
}
