//! Installers at the door; then what ends things: visits, family, sessions.

use super::{DESK_MAKES, EVERYBODY_GOES, LABEL, NONE, OWN, Row, VISIT, VISIT_FOR_JOB, all, once, row};

pub const ROWS: &[Row] = &[
    // At the door: an installer's visits are their own, and the organisation's are its operators' and administrators'.
    row("POST", "/door/jobs", NONE, r#"{"day":"2026-11-29","work":"install","place":"matrix"}"#, DESK_MAKES),
    row(
        "GET",
        "/door/jobs",
        ("", "?day=2026-11-29"),
        "",
        &[("installer", once(200)), ("operator", once(200)), ("admin", once(200))],
    ),
    row(
        "POST",
        "/door/visits",
        NONE,
        VISIT,
        &[("installer", [201, 201, 404, 404]), ("operator", [201, 201, 404, 404]), ("admin", [201, 201, 404, 404])],
    )
    .with("Idempotency-Key", "visit-$label"),
    // The vehicle is being worked on by now.
    row(
        "POST",
        "/door/visits",
        NONE,
        VISIT_FOR_JOB,
        &[("installer", [409, 409, 404, 404]), ("operator", [409, 409, 404, 404]), ("admin", [409, 409, 404, 404])],
    )
    .with("Idempotency-Key", "visit-for-job-$job"),
    row(
        "POST",
        "/door/removals",
        NONE,
        LABEL,
        &[("installer", [204, 204, 404, 404]), ("operator", [204, 204, 404, 404]), ("admin", [204, 204, 404, 404])],
    ),
    row(
        "GET",
        "/door/visits/{id}",
        ("$visit", ""),
        "",
        &[("installer", OWN), ("operator", [200, 200, 404, 404]), ("admin", [200, 200, 404, 404])],
    ),
    row(
        "GET",
        "/door/visits",
        ("", "?vehicle_id=$vehicle"),
        "",
        &[("operator", [200, 200, 404, 404]), ("admin", [200, 200, 404, 404])],
    ),
    // What is no picture is refused before anything is looked up.
    row(
        "PUT",
        "/door/visits/{id}/photo",
        ("$visit", ""),
        r#""photo""#,
        &[("installer", all(400)), ("operator", all(400)), ("admin", all(400))],
    ),
    row(
        "GET",
        "/door/visits/{id}/photo",
        ("$visit", ""),
        "",
        &[("installer", OWN), ("operator", [200, 200, 404, 404]), ("admin", [200, 200, 404, 404])],
    ),
    row(
        "POST",
        "/door/visits/{id}/drill",
        ("$visit", ""),
        "",
        &[("installer", OWN), ("operator", [200, 200, 404, 404]), ("admin", [200, 200, 404, 404])],
    ),
    // Nothing was seen yet.
    row(
        "POST",
        "/door/visits/{id}/hand-over",
        ("$visit", ""),
        "{}",
        &[("installer", [409, 404, 404, 404]), ("operator", [409, 409, 404, 404]), ("admin", [409, 409, 404, 404])],
    ),
    // A visit is given up once.
    row(
        "POST",
        "/door/visits/{id}/give-up",
        ("$visit", ""),
        r#"{"reason":"matrix"}"#,
        &[("installer", OWN), ("operator", [409, 200, 404, 404]), ("admin", [409, 409, 404, 404])],
    ),
    // The owner ends an invitation, and the family what it was let do: it sees nothing from then on.
    row(
        "DELETE",
        "/family/{id}",
        ("$member", ""),
        "",
        &[("owner", [204, 404, 404, 404]), ("family", [204, 404, 404, 404])],
    ),
    row("GET", "/vehicles/{id}", ("$vehicle", ""), "", &[("owner", OWN), ("family", all(404))]),
    // Doors, each for its own code.
    row("POST", "/setup/check", NONE, r#"{"code":"0"}"#, &[("nobody", once(404))]),
    row("POST", "/setup", NONE, r#"{"code":"0","name":"n","login":"l","password":"p"}"#, &[("nobody", once(404))]),
    row("POST", "/invitation/open", NONE, r#"{"code":"0"}"#, &[("nobody", once(404))]),
    row("POST", "/invitation/accept", NONE, r#"{"code":"0","password":"p"}"#, &[("nobody", once(404))]),
    row("POST", "/reset/open", NONE, r#"{"code":"0"}"#, &[("nobody", once(404))]),
    row("POST", "/reset/accept", NONE, r#"{"code":"0","password":"p"}"#, &[("nobody", once(404))]),
    // Last: the session is over then.
    row("DELETE", "/session", NONE, "", EVERYBODY_GOES),
];
