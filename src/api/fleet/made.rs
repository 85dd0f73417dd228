//! A credential that has just been made: what is shown once, and what is kept.

use crate::api::error::Problem;
use crate::api::registry::IdKey;
use crate::api::types::{Id, TrackerCredential, TrackerLabel};
use crate::domain::credential::{
    CLAIM_CHARS, ITERATIONS_OF_RANDOM, PASSWORD_CHARS, SALT_BYTES, canonical_claim, hash, is_of, label_text, text_of,
};
use crate::domain::topic::up_topic;
use qrcode::{Color, EcLevel, QrCode};
use sha2::{Digest, Sha256};

/// From what credentials of a call follow that may be sent again: the same each time. Neither the database nor whoever has
/// the API's secret knows the caller's key, of which a digest is kept for a day.
#[derive(Clone)]
pub(super) struct Retried {
    pub secret: IdKey,
    pub account: i64,
    pub key: String,
}

impl Retried {
    /// The key as the database has it: 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(format!("trackers {}", self.key)))
    }
}

/// A new password and claim code.
pub(super) struct Made {
    password: String,
    claim: String,
}

impl Made {
    pub fn new() -> Self {
        Self {
            password: text_of(&rand::random::<[u8; PASSWORD_CHARS]>()),
            claim: text_of(&rand::random::<[u8; CLAIM_CHARS]>()),
        }
    }

    /// Those of a tracker by a call that may be sent again.
    pub fn of(call: &Retried, ident: &str) -> Self {
        let words = [&call.account.to_string(), call.key.as_str(), ident];
        let (password, claim) =
            (call.secret.derive("a tracker's password", &words), call.secret.derive("a claim code", &words));
        Self { password: text_of(&password[..PASSWORD_CHARS]), claim: text_of(&claim[..CLAIM_CHARS]) }
    }

    /// Whether this hash, as it is kept, is of its password.
    pub fn fits(&self, hash: &str) -> bool {
        is_of(hash, &self.password)
    }

    /// What the broker compares with.
    pub fn password_hash(&self) -> String {
        hash(&self.password, rand::random::<[u8; SALT_BYTES]>(), ITERATIONS_OF_RANDOM)
    }

    /// What the label's code is compared with.
    pub fn claim_sha256(&self) -> Vec<u8> {
        Sha256::digest(canonical_claim(&self.claim).as_bytes()).to_vec()
    }

    /// As it is shown, once.
    pub fn shown(self, id: i64, ident: &str) -> Result<TrackerCredential, Problem> {
        let label = label(&label_text(ident, &self.claim))?;
        Ok(TrackerCredential {
            id: Id::from(id),
            ident: ident.to_owned(),
            topic: up_topic(ident),
            password: self.password,
            claim_code: self.claim,
            label,
        })
    }
}

/// A QR code that stands a scratch: level M mends 15 % (ISO/IEC 18004).
fn label(text: &str) -> Result<TrackerLabel, Problem> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|error| {
        tracing::error!(%error, "A label's text does not fit a QR code");
        Problem::Unavailable
    })?;
    let mut bytes = vec![0_u8; code.width().pow(2).div_ceil(8)];
    for (n, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            bytes[n / 8] |= 0x80 >> (n % 8);
        }
    }
    Ok(TrackerLabel { side: u32::try_from(code.width()).unwrap_or_default(), modules_hex: hex::encode(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_sent_again_makes_the_same_and_no_other_call_does() {
        let call =
            |account, key: &str, secret| Retried { secret: IdKey::of(secret).unwrap(), account, key: key.into() };
        let first = Made::of(&call(1, "a key", "secret"), "yy1");
        let again = Made::of(&call(1, "a key", "secret"), "yy1");
        assert_eq!((&first.password, &first.claim), (&again.password, &again.claim));
        assert!(again.fits(&first.password_hash()));
        for (other, ident) in [
            (call(2, "a key", "secret"), "yy1"),
            (call(1, "another key", "secret"), "yy1"),
            (call(1, "a key", "another secret"), "yy1"),
            (call(1, "a key", "secret"), "yy2"),
            (call(1, "a keyy", "secret"), "y1"),
        ] {
            let other = Made::of(&other, ident);
            assert!(!other.fits(&first.password_hash()) && other.claim != first.claim);
        }
        assert_ne!(first.password[..CLAIM_CHARS], first.claim);
        assert_eq!(call(1, "a key", "secret").digest().len(), 64);
        assert!(!first.fits("") && !first.fits("$7$"));
    }

    #[test]
    fn what_is_kept_is_of_what_is_shown_and_no_two_are_alike() {
        let (made, other) = (Made::new(), Made::new());
        let (kept, claim) = (made.password_hash(), made.claim_sha256());
        assert_ne!(kept, made.password_hash(), "each has a salt of its own");
        let shown = made.shown(7, "yy000001").unwrap();
        assert!(is_of(&kept, &shown.password) && !is_of(&kept, &other.password));
        assert_eq!(claim, Sha256::digest(&shown.claim_code).to_vec());
        assert_eq!((shown.password.len(), shown.claim_code.len()), (PASSWORD_CHARS, CLAIM_CHARS));
        assert!(!kept.contains(&shown.password));
    }

    #[test]
    fn a_label_of_the_longest_identifier_is_a_qr_code_with_its_three_corners() {
        let shown = Made::new().shown(1, &"x".repeat(32)).unwrap().label;
        let side = shown.side as usize;
        let bytes = hex::decode(&shown.modules_hex).unwrap();
        assert_eq!(bytes.len(), (side * side).div_ceil(8));
        let is_dark = |x: usize, y: usize| bytes[(y * side + x) / 8] & (0x80 >> ((y * side + x) % 8)) != 0;
        // Finder patterns: a dark ring of 7, a light one, a dark square (ISO/IEC 18004, 6.3.3).
        for (x, y) in [(0, 0), (side - 7, 0), (0, side - 7)] {
            assert!(is_dark(x, y) && !is_dark(x + 1, y + 1) && is_dark(x + 3, y + 3), "{x}, {y}");
        }
        assert!(!is_dark(side - 7 + 1, side - 7 + 1) || !is_dark(side - 1, side - 1) || !is_dark(side - 4, side - 4));
    }
}
