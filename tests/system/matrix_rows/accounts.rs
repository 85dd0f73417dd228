//! Accounts: those that somebody looks after, and one's own.

use super::{EVERYBODY, EVERYBODY_MISSES, LOOKED_AFTER, NONE, Row, once, row};

pub const ROWS: &[Row] = &[
    // Accounts, within the organisation. The second who invites finds the login taken.
    row("GET", "/accounts", NONE, "", &[("operator", once(200)), ("admin", once(200))]),
    row("GET", "/organisations", NONE, "", &[("operator", once(200)), ("admin", once(200))]),
    row(
        "POST",
        "/accounts",
        NONE,
        r#"{"name":"M","role":"owner","login":"matrix-guest"}"#,
        &[("operator", once(201)), ("admin", once(409))],
    ),
    row("GET", "/accounts/{id}", ("$account", ""), "", LOOKED_AFTER),
    // To where it is already, so that the version stays.
    row("PATCH", "/accounts/{id}", ("$account", ""), r#"{"unit":"Matrix A","reason":"matrix"}"#, LOOKED_AFTER)
        .with("If-Match", "\"1\""),
    row("POST", "/accounts/{id}/invitation", ("$account", ""), "", LOOKED_AFTER),
    row("DELETE", "/accounts/{id}/invitation", ("$account", ""), "", LOOKED_AFTER),
    row(
        "POST",
        "/accounts/{id}/reset",
        ("$account", ""),
        r#"{"reason":"matrix"}"#,
        &[("operator", [409, 409, 404, 404]), ("admin", [409, 409, 404, 404])],
    ),
    row("POST", "/accounts/{id}/disable", ("$account", ""), r#"{"reason":"matrix"}"#, LOOKED_AFTER),
    row("POST", "/accounts/{id}/enable", ("$account", ""), r#"{"reason":"matrix"}"#, LOOKED_AFTER),
    // One's own account: everybody sees it, and nobody changes it without the password.
    row("GET", "/account", NONE, "", EVERYBODY),
    row("GET", "/sessions", NONE, "", EVERYBODY),
    row("POST", "/account/password", NONE, r#"{"password":"","new_password":"seven herons"}"#, &[]),
    row("POST", "/account/phone", NONE, r#"{"password":"","phone":"13800000001"}"#, &[]),
    row("POST", "/account/second-factor", NONE, r#"{"password":""}"#, &[]),
    row("PUT", "/account/second-factor", NONE, r#"{"password":"","enrolment":"00","totp":"000000"}"#, &[]),
    row("POST", "/account/second-factor/remove", NONE, r#"{"password":""}"#, &[]),
    row("POST", "/account/recovery-codes", NONE, r#"{"password":""}"#, &[]),
    row("DELETE", "/sessions/{id}", ("999999", ""), "", EVERYBODY_MISSES),
    row("DELETE", "/sessions", NONE, "", EVERYBODY),
];
