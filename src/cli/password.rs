//! Which passwords are taken: long enough, and not among those that are guessed first.

use anyhow::{bail, ensure};

/// Shortest password, characters (NIST SP 800-63B, 5.1.1.1).
const CHARACTERS_MIN: usize = 8;
/// Longest password, characters: the estimator looks at no more.
const CHARACTERS_MAX: usize = 100;
/// Fewest guesses, power of ten: ten attempts a minute take two centuries for them.
const GUESSES_LOG10_MIN: f64 = 9.0;

/// Whether a password may be set; `about`: login and name, which are guessed first.
///
/// # Errors
/// Names the rule that it breaks.
pub(super) fn check(password: &str, about: &[&str]) -> anyhow::Result<()> {
    let characters = password.chars().count();
    if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters) {
        let what = if characters < CHARACTERS_MIN { "short" } else { "long" };
        bail!(
            "the password is too {what}; it has {characters} characters, and needs {CHARACTERS_MIN} to {CHARACTERS_MAX}"
        );
    }
    let found = zxcvbn::zxcvbn(password, about);
    let guesses = found.guesses_log10();
    let why = found.feedback().and_then(|f| f.warning()).map(|w| format!(": {w}")).unwrap_or_default();
    ensure!(
        guesses >= GUESSES_LOG10_MIN,
        "the password is too easy to guess; about 10^{guesses:.0} guesses find it, and it must take 10^{GUESSES_LOG10_MIN} \
         at least{why}"
    );
    Ok(())
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
        ] {
            let refused = check(password, &about).expect_err(password).to_string();
            assert!(refused.contains(rule), "{password:?}: {refused}");
        }
        assert!(check(&"x1".repeat(51), &about).unwrap_err().to_string().contains("too long"));
        for password in ["quite long enough", "hai tang 7 bu xiu gang", "f3a9c1d27b60", "湘江边的老榕树下2棵"]
        {
            check(password, &about).unwrap();
        }
    }
}
