//! Anybody, owners and their zones.

use super::{
    BY_GRANT, CITY_ZONE, DAY_BY_GRANT, DAY_BY_OWN_GRANT, EVERYBODY, NONE, OWN, OWN_OR_SHARED, Row, VEHICLE_ZONE, all,
    once, row,
};

pub const ROWS: &[Row] = &[
    // Of anybody.
    row("POST", "/session", NONE, r#"{"login":"nobody-here","password":"wrong words"}"#, &[("nobody", once(401))]),
    row("POST", "/phone-presence", NONE, r#"{"token":"0"}"#, &[("nobody", once(404))]),
    row("GET", "/me", NONE, "", EVERYBODY),
    // Owners.
    row("GET", "/vehicles", NONE, "", &[("owner", once(200)), ("family", once(200)), ("police", once(400))]),
    row(
        "GET",
        "/vehicles",
        ("", "?q=MATRIX&grant_id=$grant"),
        "",
        &[("owner", all(200)), ("family", all(200)), ("police", BY_GRANT)],
    ),
    row("GET", "/vehicles/{id}", ("$vehicle", ""), "", OWN_OR_SHARED),
    row(
        "GET",
        "/vehicles/{id}/track",
        ("$vehicle", DAY_BY_OWN_GRANT),
        "",
        &[("owner", OWN), ("family", OWN), ("police", all(200))],
    ),
    row(
        "GET",
        "/vehicles/{id}/track",
        ("$own_vehicle", DAY_BY_GRANT),
        "",
        &[("owner", all(200)), ("family", all(200)), ("police", BY_GRANT)],
    ),
    row(
        "GET",
        "/vehicles/{id}/trips",
        ("$vehicle", DAY_BY_OWN_GRANT),
        "",
        &[("owner", OWN), ("family", OWN), ("police", all(200))],
    ),
    row(
        "GET",
        "/vehicles/{id}/trips",
        ("$own_vehicle", DAY_BY_GRANT),
        "",
        &[("owner", all(200)), ("family", all(200)), ("police", BY_GRANT)],
    ),
    row("POST", "/vehicles/{id}/arm", ("$vehicle", ""), "", OWN_OR_SHARED),
    row("POST", "/vehicles/{id}/disarm", ("$vehicle", ""), "", OWN_OR_SHARED),
    row("GET", "/vehicles/{id}/guard-policy", ("$vehicle", ""), "", &[("owner", OWN)]),
    row("PUT", "/vehicles/{id}/guard-policy", ("$vehicle", ""), r#"{"auto_after_s":300}"#, &[("owner", OWN)]),
    row("POST", "/vehicles/{id}/phone-tokens", ("$vehicle", ""), "", &[("owner", [201, 404, 404, 404])]),
    row("DELETE", "/vehicles/{id}/phone-tokens", ("$vehicle", ""), "", &[("owner", [204, 404, 404, 404])]),
    row("GET", "/alerts", NONE, "", &[("owner", once(200)), ("family", once(200))]),
    row("GET", "/incidents", NONE, "", &[("owner", once(200)), ("family", once(200))]),
    row("GET", "/incidents/{id}", ("$incident", ""), "", OWN_OR_SHARED),
    // One's own is at another version than the answer says.
    row(
        "POST",
        "/incidents/{id}/answer",
        ("$incident", ""),
        r#"{"answer":"me","version":9}"#,
        &[("owner", [409, 404, 404, 404]), ("family", [409, 404, 404, 404])],
    ),
    // Zones: of a vehicle for its owner, of the city for operators and administrators.
    row("GET", "/zones", NONE, "", &[("owner", once(200)), ("operator", once(200)), ("admin", once(200))]),
    row(
        "GET",
        "/zones",
        ("", "?cursor=$zone"),
        "",
        &[("owner", [200, 400, 400, 400]), ("operator", [200, 200, 400, 400]), ("admin", [200, 200, 400, 400])],
    ),
    row("POST", "/zones", NONE, CITY_ZONE, &[("owner", once(404)), ("operator", once(201)), ("admin", once(201))]),
    row(
        "POST",
        "/zones",
        NONE,
        VEHICLE_ZONE,
        &[("owner", [201, 404, 404, 404]), ("operator", all(403)), ("admin", all(403))],
    ),
    row("PUT", "/zones/{id}", ("$zone", ""), CITY_ZONE, &[("owner", OWN), ("operator", OWN), ("admin", OWN)]),
    row(
        "DELETE",
        "/zones/{id}",
        ("$zone", ""),
        "",
        &[("owner", [204, 404, 404, 404]), ("operator", [204, 404, 404, 404]), ("admin", [204, 404, 404, 404])],
    ),
];
