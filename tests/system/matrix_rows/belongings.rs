//! What belongs to people: shares, hand-overs, family, looks, exports, erasure.

use super::{NONE, OWN, Row, once, row};

pub const ROWS: &[Row] = &[
    // Belongings: only the owner shares a vehicle or gives it away.
    row(
        "POST",
        "/vehicles/{id}/shares",
        ("$vehicle", ""),
        r#"{"minutes":60,"openings_max":5}"#,
        &[("owner", [201, 404, 404, 404])],
    ),
    row("GET", "/vehicles/{id}/shares", ("$vehicle", ""), "", &[("owner", OWN)]),
    row("DELETE", "/shares/{id}", ("$share", ""), "", &[("owner", [204, 404, 404, 404])]),
    row("POST", "/share", NONE, r#"{"token":"0"}"#, &[("nobody", once(404))]),
    row("POST", "/vehicles/{id}/hand-over", ("$vehicle", ""), "{}", &[("owner", [201, 404, 404, 404])]),
    row("GET", "/vehicles/{id}/hand-over", ("$vehicle", ""), "", &[("owner", OWN)]),
    row("DELETE", "/vehicles/{id}/hand-over", ("$vehicle", ""), "", &[("owner", [204, 404, 404, 404])]),
    row("POST", "/hand-overs/accept", NONE, r#"{"code":"0"}"#, &[("owner", once(404))]),
    row(
        "POST",
        "/vehicles/{id}/family",
        ("$vehicle", ""),
        r#"{"name":"m","may":"see"}"#,
        &[("owner", [201, 404, 404, 404])],
    ),
    row("GET", "/vehicles/{id}/family", ("$vehicle", ""), "", &[("owner", OWN)]),
    row("POST", "/family/accept", NONE, r#"{"code":"0"}"#, &[("owner", once(404)), ("family", once(404))]),
    row("GET", "/me/looks", NONE, "", &[("owner", once(200))]),
    row("GET", "/me/hand-overs", NONE, "", &[("owner", once(200))]),
    row("DELETE", "/hand-overs/{id}", ("7", ""), "", &[("owner", once(404))]),
    row("POST", "/vehicles/{id}/positioning", ("$vehicle", ""), r#"{"on":true}"#, &[("owner", OWN)]),
    row("GET", "/me/consent", NONE, "", &[("owner", once(200))]),
    row("DELETE", "/me/consent", NONE, "", &[("owner", once(200))]),
    row("POST", "/me/consent", NONE, r#"{"version":"matrix"}"#, &[("owner", once(200))]),
    row("GET", "/me/export", NONE, "", &[("owner", once(200)), ("family", once(200))]),
    // Without the password nobody gets so far; it is asked for before anything of the person is looked at.
    row("DELETE", "/me", NONE, "{}", &[("owner", once(400)), ("family", once(400))]),
    row("POST", "/erasure-proof", NONE, r#"{"receipt":"0"}"#, &[("nobody", once(404))]),
];
