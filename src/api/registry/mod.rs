//! The registry: people, vehicles and trackers as operators and administrators keep them, one organisation behind a wall
//! from the next. Every look and every change leaves a row of audit.

pub(super) mod export;
pub mod imports;
pub(super) mod records;
pub mod sheet;
pub(super) mod worker;

use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::Role;
use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Who keeps the registry.
const ROLES: &[Role] = &[Role::Operator, Role::Admin];
/// Longest reason of a look or a change, characters.
const REASON_CHARS_MAX: usize = 500;
/// Longest key of a call that a retry must not do twice, characters: a UUID has 36.
const KEY_CHARS_MAX: usize = 64;

/// The key by which id numbers are hashed: the database does not have it.
#[derive(Clone)]
pub struct IdKey(Hmac<Sha256>);

impl IdKey {
    /// From a secret that the API and the administration have.
    ///
    /// # Errors
    /// None: HMAC takes keys of any length.
    pub fn of(secret: &str) -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(format!("rideguard id number {secret}").as_bytes())?))
    }

    /// Bytes that follow from these words, and from nothing that the database has. No id number is so long or begins so.
    pub(in crate::api) fn derive(&self, purpose: &str, words: &[&str]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(format!("derived for {purpose}").as_bytes());
        for word in words {
            mac.update(&(word.len() as u64).to_be_bytes());
            mac.update(word.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// The hash of a number, hex.
    pub fn hash(&self, number: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(number.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// The names of the languages that trackers may speak.
pub fn protocols() -> Vec<&'static str> {
    crate::protocol::PROTOCOLS.iter().map(|p| p.name).collect()
}

/// Those of them that trackers speak on a socket of their own.
pub fn sockets() -> Vec<&'static str> {
    crate::protocol::connected::SPOKEN.iter().map(|spoken| spoken.name).collect()
}

/// A reason that is there and not too long.
fn reason(text: Option<&str>) -> Result<&str, Problem> {
    let text = text.unwrap_or_default().trim();
    match text.chars().count() {
        n if (1..=REASON_CHARS_MAX).contains(&n) => Ok(text),
        n => Err(Problem::length("reason", n, REASON_CHARS_MAX)),
    }
}

/// The `Idempotency-Key` of a call (IETF draft-ietf-httpapi-idempotency-key-header), and the digest of what it asks.
pub(in crate::api) fn idempotency(
    headers: &HeaderMap,
    asked: &serde_json::Value,
) -> Result<(Option<String>, Vec<u8>), Problem> {
    let key = headers.get("idempotency-key").map(|v| v.to_str().unwrap_or_default().trim_matches('"').to_owned());
    if let Some(n) = key.as_ref().map(|k| k.chars().count()).filter(|n| !(1..=KEY_CHARS_MAX).contains(n)) {
        return Err(Problem::length("Idempotency-Key", n, KEY_CHARS_MAX));
    }
    Ok((key, Sha256::digest(asked.to_string()).to_vec()))
}

/// The version that a change was made of: `If-Match` with the ETag of the record (RFC 9110, 13.1.1).
pub(in crate::api) fn version(headers: &HeaderMap) -> Result<i32, Problem> {
    let text = headers.get("if-match").and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.trim_start_matches("W/").trim_matches('"').parse().map_err(|_| {
        let said = "a change needs the header If-Match with the ETag of the record as it was read";
        Problem::bad(Code::VersionMissing, said, json!({}))
    })
}

/// A number from 1 to the most, or what is taken without one.
fn limit(given: Option<i32>, usual: i32, most: i32) -> Result<i32, Problem> {
    let limit = given.unwrap_or(usual);
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(Problem::range("limit", limit, 1, most)) }
}
