//! Where the next page of a search begins, signed: a cursor belongs to its question and to nobody's hands.

use crate::api::codes::Code;
use crate::api::error::Problem;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Bytes of the signature that are kept: guessing one takes 2^127 tries.
const SIGNATURE_BYTES: usize = 16;

/// The key of this deployment's cursors.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// From a secret that every API process of the deployment has.
    ///
    /// # Errors
    /// None: HMAC takes keys of any length.
    pub fn of(secret: &str) -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(format!("rideguard cursor {secret}").as_bytes())?))
    }

    /// A cursor after the row with this time and number, for this question.
    pub(super) fn write(&self, question: &str, at_micros: i64, number: i64) -> String {
        let place = [at_micros.to_be_bytes(), number.to_be_bytes()].concat();
        BASE64.encode([&place[..], &self.sign(question, &place)].concat())
    }

    /// The time and number that a cursor of this question holds.
    pub(super) fn read(&self, question: &str, cursor: &str) -> Result<(i64, i64), Problem> {
        let wrong =
            || Problem::bad(Code::BadCursor, "cursor does not belong to this question; begin without one", json!({}));
        let bytes = BASE64.decode(cursor).map_err(|_| wrong())?;
        let (place, signature) = bytes.split_at_checked(16).ok_or_else(wrong)?;
        if !self.is_signed(question, place, signature) {
            return Err(wrong());
        }
        let number = |at: usize| place[at..at + 8].try_into().map(i64::from_be_bytes).map_err(|_| wrong());
        Ok((number(0)?, number(8)?))
    }

    fn mac(&self, question: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&Sha256::digest(question));
        mac
    }

    /// Whether these bytes were signed for this question.
    pub(super) fn is_signed(&self, question: &str, place: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.mac(question);
        mac.update(place);
        signature.len() == SIGNATURE_BYTES && mac.verify_truncated_left(signature).is_ok()
    }

    /// The signature of these bytes, which belong to this question.
    pub(super) fn sign(&self, question: &str, place: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut mac = self.mac(question);
        mac.update(place);
        let full = mac.finalize().into_bytes();
        let mut kept = [0; SIGNATURE_BYTES];
        kept.copy_from_slice(&full[..SIGNATURE_BYTES]);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_question_only() {
        let key = Key::of("secret").unwrap();
        let cursor = key.write("who was here", 123, -4);
        assert_eq!(key.read("who was here", &cursor).unwrap(), (123, -4));
        assert!(key.read("who was there", &cursor).is_err());
        assert!(Key::of("other").unwrap().read("who was here", &cursor).is_err());
        assert!(key.read("who was here", "AAAA").is_err());
        let mut forged = BASE64.decode(&cursor).unwrap();
        forged[7] ^= 1;
        assert!(key.read("who was here", &BASE64.encode(forged)).is_err());
    }
}
