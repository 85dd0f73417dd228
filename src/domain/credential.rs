//! What a tracker shows at the broker: its password's hash in the form of Mosquitto's password file, and texts to type.
//!
//! Source: mosquitto_passwd(1), `-H sha512-pbkdf2`; RFC 8018, section 5.2 (PBKDF2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::pbkdf2;
use std::num::NonZeroU32;

/// Random bytes of a salt, as `mosquitto_passwd` takes.
pub const SALT_BYTES: usize = 12;
/// Characters of a password; each has 5 random bits, so it has 130.
pub const PASSWORD_CHARS: usize = 26;
/// Characters of a claim code, which people may have to type: 60 random bits.
pub const CLAIM_CHARS: usize = 12;
/// Iterations for a password of ours. Nobody guesses 130 random bits, and Mosquitto hashes for every connection at
/// each reload (docs/decisions/0032-one-iteration-for-random-passwords.md).
pub const ITERATIONS_OF_RANDOM: NonZeroU32 = NonZeroU32::MIN;
/// Iterations for a password that somebody thought of, as `mosquitto_passwd` takes.
pub const ITERATIONS_OF_TYPED: NonZeroU32 = match NonZeroU32::new(101) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
/// Most iterations that are computed for a hash from outside: some milliseconds.
const ITERATIONS_MAX: u32 = 10_000;
/// Digits and small letters without i, l, o and u (Crockford's base 32): none is taken for another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Bytes of SHA-512.
const HASH_BYTES: usize = 64;
/// How names of our own users at the broker begin, in whichever case.
const RESERVED: &str = "rideguard";

/// A text that is easily told and typed; of each random byte it takes 5 bits.
pub fn text_of(random: &[u8]) -> String {
    random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

/// A claim code as it was meant: people add blanks and hyphens, and read o for 0, i and l for 1.
pub fn canonical_claim(typed: &str) -> String {
    let plain = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase());
    plain
        .map(|c| match c {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect()
}

/// What a label's QR code says: the text that an installer's page reads.
pub fn label_text(ident: &str, claim: &str) -> String {
    format!("RG1:{ident}:{claim}")
}

/// Whether a name is kept for our own users at the broker.
pub fn is_reserved(ident: &str) -> bool {
    ident.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// A line's second part in Mosquitto's password file: `$7$ITERATIONS$SALT$HASH`.
pub fn hash(password: &str, salt: [u8; SALT_BYTES], iterations: NonZeroU32) -> String {
    let mut derived = [0; HASH_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &salt, password.as_bytes(), &mut derived);
    format!("$7${iterations}${}${}", BASE64.encode(salt), BASE64.encode(derived))
}

/// Whether a password has this hash; compared in constant time. A text that is no such hash has no password.
pub fn is_of(hash: &str, password: &str) -> bool {
    let parsed = || {
        let mut parts = hash.strip_prefix("$7$")?.split('$');
        let iterations: u32 = parts.next()?.parse().ok().filter(|n| *n <= ITERATIONS_MAX)?;
        let (salt, derived) = (BASE64.decode(parts.next()?).ok()?, BASE64.decode(parts.next()?).ok()?);
        (parts.next().is_none() && derived.len() == HASH_BYTES).then_some((NonZeroU32::new(iterations)?, salt, derived))
    };
    parsed().is_some_and(|(iterations, salt, derived)| {
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &salt, password.as_bytes(), &derived).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other_text() {
        for iterations in [ITERATIONS_OF_RANDOM, ITERATIONS_OF_TYPED] {
            let made = hash("correct", [7; SALT_BYTES], iterations);
            assert!(made.starts_with(&format!("$7${iterations}$BwcHBwcHBwcHBwcH$")), "{made}");
            assert!(is_of(&made, "correct"));
            for wrong in ["", "Correct", "correct "] {
                assert!(!is_of(&made, wrong), "{wrong:?}");
            }
            for broken in
                [&made[1..], &made[..made.len() - 4], &format!("{made}$"), "", "$7$0$$", "$7$99999999$AAAA$AAAA"]
            {
                assert!(!is_of(broken, "correct"), "{broken}");
            }
        }
    }

    #[test]
    fn hashes_are_those_of_mosquittos_own_program() {
        // Made with `mosquitto_passwd -b` of 2.0.11.
        const MADE: &str = "$7$101$n2VGHYpWKXYcMhGu$XSnokGsXevtnc32xKRzCBovx8InSHJmwN/842/rF2H9dTq4unwZAy426o/lX49B/9g778iy0CKXKgy5SGR79HQ==";
        assert!(is_of(MADE, "of a test"), "{MADE}");
        assert!(!is_of(MADE, "of a Test"));
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        assert_eq!(text_of(&[0, 31, 32, 255, 18]), "0z0zj");
        let all: String = text_of(&(0..32).collect::<Vec<u8>>());
        assert_eq!(canonical_claim(&all), all, "what we write means itself");
        assert_eq!(canonical_claim(" 0A1b-2C3d OIl "), "0a1b2c3d011");
        assert_eq!(label_text("yy1", "0a1b"), "RG1:yy1:0a1b");
    }

    #[test]
    fn names_of_our_own_users_are_reserved() {
        for reserved in ["rideguard-ingest", "RideGuard-API", "rideguard"] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for free in ["yy1", "ride", "my-rideguard", ""] {
            assert!(!is_reserved(free), "{free}");
        }
    }
}
