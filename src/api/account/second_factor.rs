//! The second factor: TOTP (RFC 6238), its secret sealed under a key that this process has, and recovery codes.
//!
//! An enrolment is not kept: the page holds the sealed secret until a code of it was typed.

use crate::api::account::code::{base32, qr_svg};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::types::Enrolment;
use crate::config::{Accounts, read_secret};
use anyhow::{Context, anyhow};
use axum::http::StatusCode;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use totp_rs::{Algorithm, Builder, Totp};

/// Bytes of a secret: as many as SHA-1 gives (RFC 4226, section 4, R6).
const SECRET_BYTES: usize = 20;
/// Length of a step, seconds (RFC 6238, section 5.2).
const STEP_S: u64 = 30;
/// Steps that a phone's clock may be early or late (RFC 6238, section 5.2 recommends one).
const SKEW_STEPS: u16 = 1;
/// Digits of a code; every authenticator shows six.
const DIGITS: u8 = 6;
/// How long an enrolment waits for its first code, seconds: to install an authenticator takes minutes.
const ENROLMENT_S_MAX: u64 = 900;
/// Recovery codes of an account.
const RECOVERY_CODES: usize = 10;
/// Random bytes of one.
const RECOVERY_BYTES: usize = 10;
/// Characters between two hyphens of one.
const RECOVERY_GROUP: usize = 4;
/// Longest text that is taken for a recovery code or an enrolment, bytes.
pub(super) const FACTOR_BYTES_MAX: usize = 256;

/// The key that secrets of second factors are sealed under. Without one nobody can enrol.
#[derive(Clone)]
pub struct FactorKey(Option<Arc<LessSafeKey>>);

/// Recovery codes to show once, and what is kept of them.
pub(super) struct RecoveryCodes {
    pub(super) shown: Vec<String>,
    pub(super) digests: Vec<Vec<u8>>,
}

impl FactorKey {
    /// Reads the key of a deployment.
    ///
    /// # Errors
    /// The file cannot be read, or is no key of 64 hexadecimal digits.
    pub fn open(settings: &Accounts) -> anyhow::Result<Self> {
        let Some(file) = &settings.key_file else {
            tracing::warn!(
                "accounts.key_file is not set: nobody can enrol or use a second factor, and roles that need one cannot log in"
            );
            return Ok(Self::none());
        };
        let bytes = hex::decode(read_secret(file)?).ok().filter(|bytes| bytes.len() == AES_256_GCM.key_len());
        let bytes =
            bytes.with_context(|| format!("{} is no key; it must have 64 hexadecimal digits", file.display()))?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| anyhow!("{} is no key", file.display()))?;
        Ok(Self(Some(Arc::new(LessSafeKey::new(key)))))
    }

    /// Of a deployment without one.
    pub fn none() -> Self {
        Self(None)
    }

    fn key(&self) -> Result<&LessSafeKey, Problem> {
        let message = "this deployment has no key for second factors; set accounts.key_file";
        self.0.as_deref().ok_or_else(|| {
            Problem::coded(StatusCode::NOT_IMPLEMENTED, Code::NotSupported, message, serde_json::json!({}))
        })
    }

    /// Seals, bound to a place: what was sealed for one account opens for no other.
    fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, Problem> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = plain.to_vec();
        let aad = Aad::from(place.as_bytes());
        self.key()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| Problem::Unavailable)?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn unseal(&self, place: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
        let key = self.key()?;
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.as_bytes()), &mut sealed);
        Ok(opened.ok().map(|plain| plain.to_vec()))
    }

    /// Begins an enrolment of an account.
    pub(super) fn begin(&self, account: i64, login: &str, now_s: u64) -> Result<Enrolment, Problem> {
        let secret: [u8; SECRET_BYTES] = rand::random();
        let sealed = self.seal(&enrolling(account), &[&secret[..], &now_s.to_be_bytes()].concat())?;
        let text = base32(&secret);
        // Key URI format of Google Authenticator; the login has no character that needs escaping but '@'.
        let label = login.replace('@', "%40");
        let uri = format!("otpauth://totp/RideGuard:{label}?secret={text}&issuer=RideGuard");
        Ok(Enrolment { enrolment: hex::encode(sealed), qr_svg: qr_svg(&uri)?, secret: text, uri })
    }

    /// Ends an enrolment by its first code: the secret as it is kept, and the step that the code used up. Nothing: the
    /// enrolment is another's or too old, or the code is wrong.
    pub(super) fn finish(
        &self,
        account: i64,
        enrolment: &str,
        code: &str,
        now_s: u64,
    ) -> Result<Option<(Vec<u8>, i64)>, Problem> {
        let Ok(sealed) = hex::decode(enrolment) else { return Ok(None) };
        let Some(plain) = self.unseal(&enrolling(account), &sealed)? else { return Ok(None) };
        let Some((secret, begun_s)) = plain.split_first_chunk::<SECRET_BYTES>() else { return Ok(None) };
        let begun_s = begun_s.try_into().map_or(0, u64::from_be_bytes);
        if now_s.saturating_sub(begun_s) > ENROLMENT_S_MAX {
            return Ok(None);
        }
        let Some(step) = step_of(*secret, code, now_s) else { return Ok(None) };
        Ok(Some((self.seal(&kept(account), secret)?, step)))
    }

    /// The step whose code this is, if it is one of now. Whether it was used before, the database knows.
    pub(super) fn step(&self, account: i64, sealed: &[u8], code: &str, now_s: u64) -> Result<Option<i64>, Problem> {
        let plain = self.unseal(&kept(account), sealed)?;
        let secret = plain.and_then(|plain| <[u8; SECRET_BYTES]>::try_from(plain).ok());
        let Some(secret) = secret else {
            tracing::error!("A second factor does not open under accounts.key_file: is it the key of this database?");
            return Err(Problem::Unavailable);
        };
        Ok(step_of(secret, code, now_s))
    }
}

fn enrolling(account: i64) -> String {
    format!("rideguard enrolment of {account}")
}

fn kept(account: i64) -> String {
    format!("rideguard second factor of {account}")
}

fn totp(secret: [u8; SECRET_BYTES]) -> Totp {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_skew(SKEW_STEPS)
        .with_step_duration(STEP_S)
        .with_secret(secret)
        .build_noncompliant()
}

/// Blanks are those that authenticators show in the middle.
fn step_of(secret: [u8; SECRET_BYTES], code: &str, now_s: u64) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let is_code = code.len() == usize::from(DIGITS) && code.bytes().all(|b| b.is_ascii_digit());
    let step = is_code.then(|| totp(secret).check(&code, now_s)).flatten()?;
    i64::try_from(step).ok()
}

impl RecoveryCodes {
    /// Ten new ones of 80 random bits: that many are beyond guessing, so that a fast digest is kept.
    pub(super) fn new() -> Self {
        let shown: Vec<String> = (0..RECOVERY_CODES)
            .map(|_| {
                let text = base32(&rand::random::<[u8; RECOVERY_BYTES]>()).to_ascii_lowercase();
                let groups: Vec<&str> =
                    (0..text.len()).step_by(RECOVERY_GROUP).map(|at| &text[at..at + RECOVERY_GROUP]).collect();
                groups.join("-")
            })
            .collect();
        let digests = shown.iter().map(|code| recovery_digest(code)).collect();
        Self { shown, digests }
    }
}

/// What is kept of a recovery code, however it is typed.
pub(super) fn recovery_digest(typed: &str) -> Vec<u8> {
    let plain: String = typed.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    Sha256::digest(plain.as_bytes()).to_vec()
}

/// Seconds of the Unix clock.
pub(super) fn now_s() -> u64 {
    crate::clock::now().secs_f64().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> FactorKey {
        let key = UnboundKey::new(&AES_256_GCM, &[byte; 32]).unwrap();
        FactorKey(Some(Arc::new(LessSafeKey::new(key))))
    }

    fn code_at(secret: [u8; SECRET_BYTES], s: u64) -> String {
        format!("{:06}", totp(secret).generate(s).to_string())
    }

    #[test]
    fn a_code_is_that_of_the_standard_and_holds_for_one_step_around() {
        let secret = *b"12345678901234567890"; // RFC 6238, appendix B
        assert_eq!(step_of(secret, "287082", 59), Some(1));
        assert_eq!(step_of(secret, "287 082", 59), Some(1));
        assert_eq!(step_of(secret, "081804", 1_111_111_109), Some(37_037_036));
        let code = code_at(secret, 3000);
        for (now_s, expected) in [(2939, None), (2970, Some(100)), (3000, Some(100)), (3059, Some(100)), (3060, None)] {
            assert_eq!(step_of(secret, &code, now_s), expected, "{now_s}");
        }
        for wrong in ["", "28708", "2870820", "28708x", "\0\0\0\0\0\0", "２８７０８２"] {
            assert_eq!(step_of(secret, wrong, 59), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_sealed_secret_opens_for_its_account_under_its_key_and_in_its_time_only() {
        let begun = key(1).begin(7, "anna@home", 10_000).unwrap();
        assert!(begun.uri.starts_with("otpauth://totp/RideGuard:anna%40home?secret="), "{}", begun.uri);
        let plain = key(1).unseal(&enrolling(7), &hex::decode(&begun.enrolment).unwrap()).unwrap().unwrap();
        let secret = *plain.first_chunk().unwrap();
        assert_eq!(base32(&secret), begun.secret);
        let code = code_at(secret, 10_020);
        let (sealed, step) = key(1).finish(7, &begun.enrolment, &code, 10_020).unwrap().unwrap();
        assert_eq!(step, 334);
        assert_eq!(key(1).step(7, &sealed, &code, 10_020).unwrap(), Some(334));
        assert!(key(1).step(8, &sealed, &code, 10_020).is_err(), "another account");
        assert!(key(2).step(7, &sealed, &code, 10_020).is_err(), "another key");
        assert!(key(1).finish(8, &begun.enrolment, &code, 10_020).unwrap().is_none(), "another account");
        let late_s = 10_000 + ENROLMENT_S_MAX + 30;
        assert!(key(1).finish(7, &begun.enrolment, &code_at(secret, late_s), late_s).unwrap().is_none(), "too late");
        for wrong in ["", "zz", "00", &begun.enrolment[2..]] {
            assert!(key(1).finish(7, wrong, &code, 10_020).unwrap().is_none(), "{wrong}");
        }
        assert!(FactorKey(None).begin(7, "a", 0).is_err());
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_typed() {
        let codes = RecoveryCodes::new();
        assert_eq!((codes.shown.len(), codes.shown[0].len()), (10, 19));
        let typed = codes.shown[0].to_uppercase().replace('-', " ");
        assert_eq!(recovery_digest(&typed), codes.digests[0]);
        assert_ne!(codes.shown[0], codes.shown[1]);
    }
}
