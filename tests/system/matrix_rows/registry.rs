//! The registry, imports, credentials of trackers.

use super::{DESK, DESK_MAKES, FIRST_MAKES, IN_THE_WAY, LOOKED_AFTER, MADE, NONE, REMOVED, Row, all, row};

pub const ROWS: &[Row] = &[
    // The registry.
    row("GET", "/registry/{kind}", ("people", "?q=MATRIX"), "", DESK),
    row("GET", "/registry/{kind}", ("vehicles", "?q=MATRIX"), "", DESK),
    row("GET", "/registry/{kind}", ("trackers", "?q=MATRIX"), "", DESK),
    row("GET", "/registry/export", ("", "?reason=matrix"), "", DESK),
    row("GET", "/registry/{kind}/{id}", ("people/$account", "?reason=matrix"), "", LOOKED_AFTER),
    row("GET", "/registry/{kind}/{id}", ("vehicles/$vehicle", ""), "", LOOKED_AFTER),
    row("GET", "/registry/{kind}/{id}", ("trackers/$tracker", ""), "", LOOKED_AFTER),
    row("GET", "/registry/{kind}/{id}/history", ("people/$account", ""), "", LOOKED_AFTER),
    row("GET", "/registry/{kind}/{id}/history", ("vehicles/$vehicle", ""), "", LOOKED_AFTER),
    row("GET", "/registry/{kind}/{id}/history", ("trackers/$tracker", ""), "", LOOKED_AFTER),
    // A change of nothing leaves the version as it is; of the others it is not the one of now.
    row("PATCH", "/registry/{kind}/{id}", ("people/$account", ""), r#"{"fields":{},"reason":"matrix"}"#, LOOKED_AFTER)
        .with("If-Match", "\"1\""),
    row(
        "PATCH",
        "/registry/{kind}/{id}",
        ("vehicles/$vehicle", ""),
        r#"{"fields":{"colour":"red"},"reason":"matrix"}"#,
        IN_THE_WAY,
    )
    .with("If-Match", "\"99\""),
    row(
        "PATCH",
        "/registry/{kind}/{id}",
        ("trackers/$tracker", ""),
        r#"{"fields":{"batch":"b"},"reason":"matrix"}"#,
        IN_THE_WAY,
    )
    .with("If-Match", "\"99\""),
    row(
        "POST",
        "/registry/{kind}",
        ("people", ""),
        r#"{"fields":{"name":"M","phone":"+8613800000002"},"reason":"matrix"}"#,
        FIRST_MAKES,
    ),
    row(
        "POST",
        "/registry/{kind}",
        ("trackers", ""),
        r#"{"fields":{"ident":"matrix-entered","protocol":"json"},"reason":"matrix"}"#,
        FIRST_MAKES,
    ),
    row(
        "POST",
        "/registry/{kind}",
        ("vehicles", ""),
        r#"{"fields":{"plate":"R$fresh","kind":"ebike","owner_id":"$account"},"reason":"matrix"}"#,
        MADE,
    ),
    // A tracker that is where it is asked to be, and one that is in another vehicle.
    row(
        "PUT",
        "/registry/vehicles/{id}/tracker",
        ("$vehicle", ""),
        r#"{"tracker_id":"$tracker","reason":"matrix"}"#,
        LOOKED_AFTER,
    ),
    row(
        "PUT",
        "/registry/vehicles/{id}/tracker",
        ("$own_spare", ""),
        r#"{"tracker_id":"$tracker","reason":"matrix"}"#,
        IN_THE_WAY,
    ),
    // To whom it belongs already; and a vehicle without an owner, to somebody of mine or not.
    row(
        "POST",
        "/registry/vehicles/{id}/hand-over",
        ("$vehicle", ""),
        r#"{"reason":"sale","document":"M-1","to_login":"$owner"}"#,
        IN_THE_WAY,
    ),
    row(
        "POST",
        "/registry/vehicles/{id}/hand-over",
        ("$own_spare", ""),
        r#"{"reason":"sale","document":"M-1","to_login":"$owner"}"#,
        IN_THE_WAY,
    ),
    row("POST", "/registry/imports", NONE, r#"{"file_name":"matrix.csv","reason":"matrix"}"#, DESK_MAKES),
    row("GET", "/registry/imports", NONE, "", DESK),
    row("GET", "/registry/imports/{id}", ("$import", ""), "", LOOKED_AFTER),
    // An empty file is no table.
    row(
        "PUT",
        "/registry/imports/{id}/file",
        ("$import", ""),
        "",
        &[("operator", [400, 400, 404, 404]), ("admin", [400, 400, 404, 404])],
    ),
    row("PUT", "/registry/imports/{id}/mapping", ("$import", ""), r#"{"mapping":[]}"#, LOOKED_AFTER),
    row("GET", "/registry/imports/{id}/problems", ("$import", ""), "", LOOKED_AFTER),
    row("POST", "/registry/imports/{id}/start", ("$import", ""), r#"{"only_good":true}"#, LOOKED_AFTER),
    row("POST", "/registry/imports/{id}/cancel", ("$import", ""), "", LOOKED_AFTER),
    // Credentials of trackers. A batch is looked for within the organisation: of another there is nothing to do.
    row("GET", "/trackers/{id}/credential", ("$tracker", ""), "", LOOKED_AFTER),
    row("POST", "/trackers/{id}/credential", ("$tracker", ""), r#"{"reason":"matrix"}"#, MADE),
    row("DELETE", "/trackers/{id}/credential", ("$tracker", "?reason=matrix"), "", REMOVED),
    row("POST", "/tracker-batches", NONE, r#"{"idents":["matrix-made"],"protocol":"json"}"#, FIRST_MAKES),
    row(
        "POST",
        "/tracker-batches/credentials",
        NONE,
        r#"{"batch":"$plate"}"#,
        &[("operator", all(201)), ("admin", all(201))],
    ),
];
