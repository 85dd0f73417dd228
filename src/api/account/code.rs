//! Codes that are used once, in two forms, kept as digests. One is in a link, behind `#`, which browsers send to nobody. The
//! other is read out, copied by hand or sent by people to each other.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::types::{CodeLink, Time};
use axum::http::{HeaderMap, header};
use qrcode::QrCode;
use qrcode::render::svg;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Random bytes of a code; 128 bits are the least for a secret that is looked up (NIST SP 800-63B, 5.1.2).
const CODE_BYTES: usize = 20;
/// Longest text that is taken for a code.
const CODE_CHARS_MAX: usize = 64;
/// Letters and digits of base 32 (RFC 4648, section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Bytes in base 32, without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    let (mut text, mut rest, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        rest = rest << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(rest >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(rest << (5 - bits) & 31) as usize]));
    }
    text
}

/// A new code: 160 random bits.
pub fn new_code() -> String {
    base32(&rand::random::<[u8; CODE_BYTES]>()).to_ascii_lowercase()
}

/// What the database keeps of a code.
pub fn digest_of_code(code: &str) -> Vec<u8> {
    Sha256::digest(code.as_bytes()).to_vec()
}

/// The digest of what somebody shows as a code; what cannot be one is asked of nobody.
pub(super) fn shown(said: &str) -> Result<Vec<u8>, Problem> {
    let said = said.trim();
    if said.is_empty() || said.len() > CODE_CHARS_MAX || !said.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = "the link was used, replaced or withdrawn, or its time is over; ask for a new one";
        return Err(Problem::missing(Code::CodeEnded, message));
    }
    Ok(digest_of_code(&said.to_ascii_lowercase()))
}

/// A text as a QR code (ISO/IEC 18004), drawn in SVG.
pub(super) fn qr_svg(text: &str) -> Result<String, Problem> {
    let qr = QrCode::new(text).map_err(|error| {
        tracing::error!(%error, "A QR code could not be drawn");
        Problem::Unavailable
    })?;
    Ok(qr.render::<svg::Color>().min_dimensions(220, 220).build())
}

/// The link that brings a code of this kind, and its QR code.
pub fn link(api: &Api, headers: &HeaderMap, kind: &str, code: &str, expires_at: Time) -> Result<CodeLink, Problem> {
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    let scheme = if api.behind_tls_proxy { "https" } else { "http" };
    let address = format!("{scheme}://{host}/#/{kind}/{code}");
    let qr_svg = qr_svg(&address)?;
    Ok(CodeLink { address, qr_svg, expires_at })
}

/// Characters of a code: digits and letters without I, L, O and U (Crockford's Base32). Each is 5 bits.
const SPOKEN_CHARACTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 80 bits, which nobody guesses in 72 hours.
const SPOKEN_CHARS: usize = 16;
/// Characters of a group.
const GROUP: usize = 4;
/// Longest text that is read as a code, bytes: its characters with blanks around and between.
const SPOKEN_BYTES_MAX: usize = 64;

/// A new code to read out or to copy by hand, in groups.
pub(in crate::api) fn new_spoken() -> String {
    let bits = rand::random::<u128>();
    let mut code = String::new();
    for n in 0..SPOKEN_CHARS {
        if n > 0 && n % GROUP == 0 {
            code.push('-');
        }
        let _ = write!(code, "{}", char::from(SPOKEN_CHARACTERS[(bits >> (5 * n)) as usize & 31]));
    }
    code
}

/// What the database keeps of a code, however it was typed; `None`: no code has this form.
pub(in crate::api) fn digest_of_spoken(typed: &str) -> Option<Vec<u8>> {
    if typed.len() > SPOKEN_BYTES_MAX {
        return None;
    }
    let mut plain = String::new();
    for c in typed.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '–' | '—' | '－' | '_')) {
        // A keyboard for Chinese types wide letters.
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?,
            c => c,
        };
        plain.push(match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c if c.is_ascii() && SPOKEN_CHARACTERS.contains(&(c as u8)) => c,
            _ => return None,
        });
    }
    (plain.len() == SPOKEN_CHARS).then(|| Sha256::digest(plain.as_bytes()).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_32_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(new_code().len(), 32);
    }

    #[test]
    fn what_cannot_be_a_code_is_asked_of_nobody() {
        let code = new_code();
        assert_eq!(shown(&format!(" {} ", code.to_uppercase())).unwrap(), digest_of_code(&code));
        for wrong in ["", " ", "\0", "a b", &"a".repeat(65), &"x".repeat(1 << 20)] {
            assert!(shown(wrong).is_err(), "{} bytes", wrong.len());
        }
    }

    #[test]
    fn a_link_becomes_a_picture() {
        let picture = qr_svg("http://127.0.0.1:8080/#/invitation/abcdefghijklmnopqrstuvwxyz234567").unwrap();
        assert!(picture.contains("<svg") && !picture.contains("<script"), "{picture}");
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = new_spoken();
        assert_eq!(code.len(), SPOKEN_CHARS + SPOKEN_CHARS / GROUP - 1, "{code}");
        let known = digest_of_spoken(&code);
        assert!(known.is_some());
        let wide: String = code.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
        for typed in [code.to_lowercase(), code.replace('-', " "), code.replace('-', ""), format!(" {code}\n"), wide] {
            assert_eq!(digest_of_spoken(&typed), known, "{typed}");
        }
        assert_eq!(digest_of_spoken("O0O0-1Il1-AAAA-ZZZZ"), digest_of_spoken("0000-1111-AAAA-ZZZZ"));
        for wrong in ["", "0000", "0000-1111-AAAA-ZZZU", "0000-1111-AAAA-ZZZZ-0", "益阳", &"0".repeat(65)] {
            assert_eq!(digest_of_spoken(wrong), None, "{wrong}");
        }
        assert_ne!(new_spoken(), code);
    }
}
