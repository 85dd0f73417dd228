//! The browser that logged a name in before: a signed cookie, so that strangers who try the name cannot shut it out.
//!
//! Source: OWASP, "Slow down online guessing attacks with device cookies". It grants tries, never entry.

use crate::api::cursor::Key;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// Its random number.
pub(super) type DeviceId = [u8; 16];

/// The cookie's name.
pub(super) const COOKIE: &str = "rideguard_device";
/// How long a browser stays known after its last log-in, days.
pub(super) const KNOWN_DAYS: f64 = 180.0;

/// What is signed with the number: the name that logged in.
fn question(login: &str) -> String {
    format!("device of {login}")
}

/// A new cookie's value for a browser that has just logged in.
pub(super) fn issue(key: &Key, login: &str) -> String {
    let id: DeviceId = rand::random();
    BASE64.encode([&id[..], &key.sign(&question(login), &id)].concat())
}

/// The browser, if it carries a cookie that we issued for this name.
pub(super) fn known(key: &Key, login: &str, headers: &HeaderMap) -> Option<DeviceId> {
    let bytes = BASE64.decode(cookie(headers, COOKIE)?).ok()?;
    let (id, signature) = bytes.split_at_checked(size_of::<DeviceId>())?;
    key.is_signed(&question(login), id, signature).then(|| id.try_into().ok())?
}

/// The value of a cookie that a browser sends.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_for_the_name_that_logged_in_there_and_no_other() {
        let key = Key::of("secret").unwrap();
        let with = |value: &str| -> HeaderMap {
            [(header::COOKIE, format!("a=b; {COOKIE}={value}").parse().unwrap())].into_iter().collect()
        };
        let issued = issue(&key, "anna");
        assert!(known(&key, "anna", &with(&issued)).is_some());
        assert_eq!(known(&key, "bert", &with(&issued)), None);
        assert_eq!(known(&Key::of("other").unwrap(), "anna", &with(&issued)), None);
        for forged in ["", "AAAA", &BASE64.encode([0; 32]), &issued[..30]] {
            assert_eq!(known(&key, "anna", &with(forged)), None, "{forged}");
        }
        assert_eq!(known(&key, "anna", &HeaderMap::new()), None);
    }
}
