//! Operators, police, holds, the live map.

use super::{BY_GRANT, DAY, DAY_BY_GRANT, NONE, OWN, Row, all, once, row};

pub const ROWS: &[Row] = &[
    // Operators.
    row("GET", "/trackers", ("", "?reason=matrix"), "", &[("operator", once(200)), ("admin", once(200))]),
    row("GET", "/outages", NONE, "", &[("operator", once(200)), ("admin", once(200))]),
    row("GET", "/coverage-gaps", NONE, "", &[("operator", once(200)), ("admin", once(200))]),
    row("GET", "/listeners", NONE, "", &[("operator", once(200)), ("admin", once(200))]),
    row("GET", "/tiles/traffic/{z}/{x}/{y}", ("", DAY_BY_GRANT), "", &[("operator", all(200)), ("police", BY_GRANT)]),
    row("GET", "/tiles/traffic/{z}/{x}/{y}", ("", DAY), "", &[("operator", once(200)), ("police", once(403))]),
    // Police are bound by grants, whatever organisation looks after a vehicle.
    row("GET", "/grants", NONE, "", &[("police", once(200))]),
    row(
        "POST",
        "/search/area",
        NONE,
        r#"{"grant_id":"$grant","circle":{"lat":28.5,"lon":112.3,"radius_m":100},"from":"2026-01-01T00:00:00Z","to":"2026-01-01T01:00:00Z"}"#,
        &[("police", BY_GRANT)],
    ),
    row(
        "POST",
        "/search/co-travel",
        NONE,
        r#"{"grant_id":"$grant","vehicle_id":"$own_vehicle","from":"2026-01-01T00:00:00Z","to":"2026-01-01T01:00:00Z"}"#,
        &[("police", BY_GRANT)],
    ),
    row(
        "POST",
        "/search/latest",
        NONE,
        r#"{"grant_id":"$grant","vehicles":["$own_vehicle"]}"#,
        &[("police", BY_GRANT)],
    ),
    row(
        "POST",
        "/search/latest",
        NONE,
        r#"{"grant_id":"$own_grant","vehicles":["$vehicle"]}"#,
        &[("police", all(200))],
    ),
    // Holds: of the grant's case for police, of the organisation's vehicles for administrators.
    row("GET", "/holds", ("", "?grant_id=$grant"), "", &[("police", BY_GRANT), ("admin", all(400))]),
    row("GET", "/holds", NONE, "", &[("police", once(403)), ("admin", once(200))]),
    row(
        "POST",
        "/holds",
        NONE,
        r#"{"case_number":"M-1","plate":"$plate","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","ends_at":"$soon","reason":"matrix"}"#,
        &[("police", all(400)), ("admin", [201, 201, 404, 404])],
    ),
    row(
        "POST",
        "/holds",
        NONE,
        r#"{"grant_id":"$grant","plate":"$own_plate","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","ends_at":"$soon","reason":"matrix"}"#,
        &[("police", [201, 403, 403, 403]), ("admin", all(400))],
    ),
    row(
        "POST",
        "/holds/{id}/release",
        ("$hold", ""),
        r#"{"reason":"matrix"}"#,
        &[("police", all(403)), ("admin", [200, 200, 404, 404])],
    ),
    row(
        "POST",
        "/holds/{id}/release",
        ("$hold", ""),
        r#"{"grant_id":"$own_grant","reason":"matrix"}"#,
        &[("police", OWN), ("admin", all(400))],
    ),
    // The live map; what its channels tell is in matrix.rs.
    row(
        "POST",
        "/live/ticket",
        NONE,
        r#"{"grant_id":"$grant"}"#,
        &[("owner", all(200)), ("family", all(200)), ("operator", all(200)), ("police", BY_GRANT)],
    ),
];
