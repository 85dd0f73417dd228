//! Every route and what each role is answered: the table that `matrix.rs` asks. A route of the OpenAPI document that is
//! not here fails the test.

mod accounts;
mod belongings;
mod doors;
mod offices;
mod owners;
mod registry;

/// What is asked of: of one's own, another's of the same organisation, another organisation's, one that is not there.
pub const COLUMNS: [&str; 4] = ["mine", "another's", "another organisation's", "missing"];

/// Every role there is.
pub const ROLES: [&str; 8] = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"];

/// One question. Words like `$vehicle` become the number of the column's thing, `$own_grant` and `$own_plate` that of
/// the asker's in each column. A row without such a word is asked once, as `mine`. A role asks column by column, and
/// the roles ask in the order of `ROLES`: what the first one changed, the next one finds changed.
pub struct Row {
    pub method: &'static str,
    /// As the OpenAPI document has it, below `/api/v1`.
    pub path: &'static str,
    /// What `{id}` is (KIND/ID where the path has a kind), and the query behind the path.
    pub id: &'static str,
    pub query: &'static str,
    /// JSON, or nothing.
    pub body: &'static str,
    pub header: Option<(&'static str, &'static str)>,
    /// Role → status by column. A role that is not here is refused with 403; `nobody` asks without a session.
    pub who: &'static [(&'static str, [u16; 4])],
}

const fn row(
    method: &'static str,
    path: &'static str,
    (id, query): (&'static str, &'static str),
    body: &'static str,
    who: &'static [(&'static str, [u16; 4])],
) -> Row {
    Row { method, path, id, query, body, header: None, who }
}

impl Row {
    const fn with(self, header: &'static str, value: &'static str) -> Self {
        Self { header: Some((header, value)), ..self }
    }
}

/// Not asked.
const NO: u16 = 0;
/// Somebody's own, and nothing else.
const OWN: [u16; 4] = [200, 404, 404, 404];
/// The same whatever is asked of.
const fn all(status: u16) -> [u16; 4] {
    [status; 4]
}
/// Without a thing in it.
const fn once(status: u16) -> [u16; 4] {
    [status, NO, NO, NO]
}
/// What is found by a grant of one's own.
const BY_GRANT: [u16; 4] = [200, 403, 403, 403];

const NONE: (&str, &str) = ("", "");
const LABEL: &str = r#"{"ident":"$label","claim":"acde9","reason":"matrix"}"#;
const VISIT: &str = r#"{"ident":"$label","claim":"acde9","plate":"$label","kind":"ebike","name":"M","phone":"+8613800000001","consent":"c","consented_at":"2026-11-29T00:00:00Z"}"#;
const VISIT_FOR_JOB: &str = r#"{"ident":"$own_label","claim":"acde9","plate":"$own_label","kind":"ebike","name":"M","phone":"+8613800000001","consent":"c","consented_at":"2026-11-29T00:00:00Z","job_id":"$job"}"#;
const DAY: &str = "?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
const DAY_BY_GRANT: &str = "?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&grant_id=$grant";
const DAY_BY_OWN_GRANT: &str = "?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&grant_id=$own_grant";
const CITY_ZONE: &str =
    r#"{"name":"z","rule":"enter","shape":{"type":"circle","centre":{"lat":28.5,"lon":112.3},"radius_m":100}}"#;
const VEHICLE_ZONE: &str = r#"{"name":"z","rule":"enter","vehicle_id":"$vehicle","shape":{"type":"circle","centre":{"lat":28.5,"lon":112.3},"radius_m":100}}"#;
const EVERYBODY: &[(&str, [u16; 4])] = &[
    ("owner", once(200)),
    ("family", once(200)),
    ("installer", once(200)),
    ("operator", once(200)),
    ("police", once(200)),
    ("approver", once(200)),
    ("auditor", once(200)),
    ("admin", once(200)),
];
const EVERYBODY_GOES: &[(&str, [u16; 4])] = &[
    ("owner", once(204)),
    ("family", once(204)),
    ("installer", once(204)),
    ("operator", once(204)),
    ("police", once(204)),
    ("approver", once(204)),
    ("auditor", once(204)),
    ("admin", once(204)),
];

const EVERYBODY_MISSES: &[(&str, [u16; 4])] = &[
    ("owner", once(404)),
    ("family", once(404)),
    ("installer", once(404)),
    ("operator", once(404)),
    ("police", once(404)),
    ("approver", once(404)),
    ("auditor", once(404)),
    ("admin", once(404)),
];
/// What an organisation looks after, for those who may.
const LOOKED_AFTER: &[(&str, [u16; 4])] = &[("operator", [200, 200, 404, 404]), ("admin", [200, 200, 404, 404])];
/// The same where something else stands in the way.
const IN_THE_WAY: &[(&str, [u16; 4])] = &[("operator", [409, 409, 404, 404]), ("admin", [409, 409, 404, 404])];
const MADE: &[(&str, [u16; 4])] = &[("operator", [201, 201, 404, 404]), ("admin", [201, 201, 404, 404])];
const REMOVED: &[(&str, [u16; 4])] = &[("operator", [204, 204, 404, 404]), ("admin", [204, 204, 404, 404])];
/// Those who keep the registry.
const DESK: &[(&str, [u16; 4])] = &[("operator", once(200)), ("admin", once(200))];
const DESK_MAKES: &[(&str, [u16; 4])] = &[("operator", once(201)), ("admin", once(201))];
/// The second who asks finds it taken.
const FIRST_MAKES: &[(&str, [u16; 4])] = &[("operator", once(201)), ("admin", once(409))];
/// Of vehicles that are one's own or shared with one by its owner.
const OWN_OR_SHARED: &[(&str, [u16; 4])] = &[("owner", OWN), ("family", OWN)];

/// The table, topic by topic. The order is that in which it is asked: what removes a thing comes after what looks at it.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [owners::ROWS, offices::ROWS, accounts::ROWS, belongings::ROWS, registry::ROWS, doors::ROWS].into_iter().flatten()
}
