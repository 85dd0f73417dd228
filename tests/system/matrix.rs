//! Every route and every live channel, as each role, of one's own things, others', another organisation's and missing
//! ones. What is foreign is answered like what is not there.

use crate::harness::{Person, Up, settled, use_ring};
use crate::live::Stream;
use crate::matrix_rows::{COLUMNS, ROLES, Row, rows};
use crate::support::shapes;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Two organisations with people of each role. `-a` are those who ask, `-2` others of theirs, `-b` those of the other.
const PEOPLE: &str = "
    INSERT INTO organisation (name, kind) VALUES ('Matrix A', 'operator'), ('Matrix B', 'operator');
    INSERT INTO unit (organisation_id, name) SELECT organisation_id, name FROM organisation WHERE name LIKE 'Matrix _';
    INSERT INTO account (login, name, role, password_hash, unit_id)
    SELECT role || s.suffix, role, role, '!', (SELECT unit_id FROM unit WHERE name = s.unit)
    FROM unnest(every_role()) role, (VALUES ('-a', 'Matrix A'), ('-2', 'Matrix A'), ('-b', 'Matrix B')) s (suffix, unit);
    INSERT INTO session (token_sha256, account_id, expires_at)
    SELECT sha256(convert_to('matrix ' || login, 'UTF8')), account_id, now() + interval '1 hour' FROM account WHERE login ~ '-[a2b]$';";

/// The things of tracker `$ident`, which is number `$n` (1 to 3), of the people with `$suffix`.
const THINGS: &str = r#"
    UPDATE tracker SET unit_id = (SELECT unit_id FROM account WHERE login = 'owner$suffix') WHERE ident = '$ident';
    UPDATE vehicle v SET plate = 'MATRIX$n', unit_id = (SELECT unit_id FROM account WHERE login = 'owner$suffix')
        FROM installation i JOIN tracker USING (tracker_id) WHERE i.vehicle_id = v.vehicle_id AND ident = '$ident';
    UPDATE ownership w SET account_id = (SELECT account_id FROM account WHERE login = 'owner$suffix')
        FROM vehicle v WHERE v.vehicle_id = w.vehicle_id AND v.plate = 'MATRIX$n';
    INSERT INTO tracker_status (tracker_id, vehicle_id, last_heard_at, fixed_at, received_at, position, speed_kmh, source)
        SELECT tracker_id, vehicle_id, now(), now(), now(), ST_SetSRID(ST_MakePoint(112.35, 28.55), 4326), 0, 0
        FROM installation JOIN tracker USING (tracker_id) WHERE ident = '$ident' AND valid_to IS NULL;
    INSERT INTO account (account_id, login, name, role, unit_id)
        SELECT 5000 + $n, 'enrolled$suffix', 'MATRIX$n', 'owner', unit_id FROM account WHERE login = 'owner$suffix';
    INSERT INTO incident (incident_id, vehicle_id, opened_at, fixes_from)
        SELECT 3000 + $n, vehicle_id, now(), now() FROM vehicle WHERE plate = 'MATRIX$n';
    INSERT INTO zone (zone_id, name, rule, shape, vehicle_id, account_id)
        SELECT 1000 + z.more + $n, 'zone-matrix-$n', 'enter', '{"type":"circle","centre":{"lat_deg":28.9,"lon_deg":112.9},"radius_m":100}',
            CASE WHEN z.role = 'owner' THEN (SELECT vehicle_id FROM vehicle WHERE plate = 'MATRIX$n') END, a.account_id
        FROM (VALUES (10, 'owner'), (20, 'operator'), (30, 'admin')) z (more, role) JOIN account a ON a.login = z.role || '$suffix';
    INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_to)
        SELECT 4000 + $n, a.account_id, 'M-P$n', 'd', 'p', b.account_id, 'infinity' FROM account a, account b
        WHERE a.login = 'police$suffix' AND b.login = 'approver$suffix';
    INSERT INTO legal_hold (hold_id, case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at) OVERRIDING SYSTEM VALUE
        SELECT 2000 + h.more + $n, h.case_number, vehicle_id, '2026-01-01', '2026-01-02', 'r', a.account_id, now() + interval '1 day'
        FROM vehicle, account a, (VALUES (10, 'M-P$n'), (20, 'M-1')) h (more, case_number)
        WHERE plate = 'MATRIX$n' AND a.login = 'admin$suffix';
    INSERT INTO family_member (family_member_id, vehicle_id, invited_by, account_id, name, may, code_sha256, code_ends_at, accepted_at)
        SELECT 6000 + m.more + $n, vehicle_id, o.account_id, f.account_id, 'm', 'answer', sha256(convert_to(m.more || 'member $n', 'UTF8')),
            now() + interval '1 day', CASE WHEN f.account_id IS NOT NULL THEN now() END
        FROM vehicle, account o, (VALUES (10, ''), (20, 'family$suffix')) m (more, login) LEFT JOIN account f ON f.login = m.login
        WHERE plate = 'MATRIX$n' AND o.login = 'owner$suffix';
    INSERT INTO share_link (share_link_id, vehicle_id, account_id, incident_id, token_sha256, expires_at, openings_max)
        SELECT 6500 + $n, vehicle_id, account_id, 3000 + $n, sha256('share $n'), now() + interval '1 day', 5
        FROM vehicle, account WHERE plate = 'MATRIX$n' AND login = 'owner$suffix';
    INSERT INTO vehicle (vehicle_id, plate, kind, unit_id) SELECT 7000 + $n, 'SPARE$n', 'ebike', unit_id FROM account WHERE login = 'owner$suffix';
    INSERT INTO door_job (job_id, unit_id, day, work, place, made_by)
        SELECT 8500 + $n, unit_id, '2026-11-29', 'install', 'MATRIX$n', account_id FROM account WHERE login = 'operator$suffix';
    INSERT INTO door_visit (visit_id, installer_id, key, unit_id, work, vehicle_id, tracker_id, consent, consented_at)
        SELECT 8000 + $n, account_id, 'matrix-visit', account.unit_id, 'refit', vehicle_id, tracker_id, 'c', now()
        FROM account, installation JOIN vehicle USING (vehicle_id) WHERE login = 'installer$suffix' AND plate = 'MATRIX$n' AND valid_to IS NULL;
    INSERT INTO door_photo (visit_id, media, content) VALUES (8000 + $n, 'image/jpeg', '"photo"');
    INSERT INTO import_job (import_id, who, file_name, reason)
        SELECT 9000 + $n, ROW(account_id, role, unit_id, organisation_id)::asker, 'MATRIX$n', 'r'
        FROM account JOIN unit USING (unit_id) WHERE login = 'operator$suffix';"#;
/// Trackers with labels that are in no vehicle yet, one for each role that works at doors, and one without a credential.
const LABELS: &str = "
    INSERT INTO tracker (ident, profile, unit_id, batch)
        SELECT 'MATRIX$n-' || label, profile, unit_id, CASE WHEN label = 'bare' THEN 'MATRIX$n' ELSE '' END
        FROM tracker, unnest('{installer,operator,admin,bare}'::text[]) label WHERE ident = '$ident';
    INSERT INTO tracker_credential (tracker_id, password_hash, claim_sha256)
        SELECT tracker_id, '$7$1$' || repeat('A', 16) || '$' || repeat('A', 86) || '==', sha256('acde9')
        FROM tracker WHERE ident ~ '^MATRIX$n-' AND batch = '';";
/// What nobody who asked may have changed; and of the batches, whose trackers should have got credentials.
const TOUCHED: &str = "
    SELECT 'share ' || share_link_id FROM share_link WHERE share_link_id IN (6502, 6503) AND revoked_at IS NOT NULL
    UNION ALL SELECT 'member ' || family_member_id FROM family_member
        WHERE family_member_id IN (6012, 6013, 6022, 6023) AND ended_at IS NOT NULL
    UNION ALL SELECT 'visit ' || visit_id FROM door_visit WHERE visit_id = 8003 AND (drill_at IS NOT NULL OR ended_at IS NOT NULL)
    UNION ALL SELECT 'import ' || import_id FROM import_job WHERE import_id = 9003 AND state <> 'new'
    UNION ALL SELECT 'person ' || account_id FROM account WHERE account_id = 5003 AND (disabled OR version <> 1)
    UNION ALL SELECT 'offer of ' || plate FROM transfer JOIN vehicle USING (vehicle_id) WHERE plate <> 'MATRIX1'
    UNION ALL SELECT 'tracker of ' || plate FROM vehicle LEFT JOIN installation USING (vehicle_id)
        WHERE plate ~ '^MATRIX[123]$' AND tracker_id IS NULL OR plate ~ '^SPARE' AND tracker_id IS NOT NULL
    UNION ALL SELECT 'credential of ' || plate FROM vehicle JOIN installation USING (vehicle_id) JOIN tracker_credential USING (tracker_id)
        WHERE plate = 'MATRIX3' AND revoked_at IS NOT NULL
    UNION ALL SELECT 'credential of ' || ident FROM tracker LEFT JOIN tracker_credential c USING (tracker_id)
        WHERE ident ~ '^MATRIX.-bare$' AND (ident = 'MATRIX3-bare') = (c.password_hash IS NOT NULL)";
/// No thing has this number or plate.
const MISSING: &str = "999999";

/// Those of `PEOPLE`, by column.
const SUFFIXES: [&str; 3] = ["-a", "-2", "-b"];

/// What the words of a row are for a role in a column.
struct Words {
    vehicles: [String; 3],
    trackers: [String; 3],
    soon: String,
}

impl Words {
    fn of(&self, word: &str, role: &str, column: usize) -> String {
        if let Some(thing) = word.strip_prefix("own_") {
            return self.of(thing, role, 0);
        }
        if word == "soon" {
            return self.soon.clone();
        }
        if column == 3 {
            return MISSING.to_owned();
        }
        let number = |begin: usize| (begin + column + 1).to_string();
        match (word, role) {
            ("vehicle", _) => self.vehicles[column].clone(),
            ("tracker", _) => self.trackers[column].clone(),
            ("label", _) => format!("MATRIX{}-{role}", column + 1),
            ("owner", _) => format!("owner{}", SUFFIXES[column]),
            // Of nobody else, in no other column.
            ("fresh", _) => format!("{}{column}", ROLES.iter().position(|r| *r == role).unwrap()),
            ("plate", _) => format!("MATRIX{}", column + 1),
            ("account", _) => number(5000),
            ("incident", _) => number(3000),
            ("grant", _) => number(4000),
            ("zone", "operator") => number(1020),
            ("zone", "admin") => number(1030),
            ("zone", _) => number(1010),
            ("hold", "police") => number(2010),
            ("hold", _) => number(2020),
            ("member", "family") => number(6020),
            ("member", _) => number(6010),
            ("share", _) => number(6500),
            ("spare", _) => number(7000),
            ("visit", _) => number(8000),
            ("job", _) => number(8500),
            ("import", _) => number(9000),
            _ => panic!("no word is called ${word}"),
        }
    }

    /// A text with its words, and what they were.
    fn fill(&self, text: &str, role: &str, column: usize) -> (String, Vec<String>) {
        let (mut out, mut said) = (String::new(), Vec::new());
        let mut parts = text.split('$');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(part.len());
            let word = self.of(&part[..end], role, column);
            out.push_str(&word);
            out.push_str(&part[end..]);
            said.push(word);
        }
        (out, said)
    }
}

/// A row's question of one column.
struct Question {
    path: String,
    body: Option<Value>,
    header: Option<(&'static str, String)>,
    /// What its words were.
    said: Vec<String>,
}

impl Question {
    fn of(row: &Row, words: &Words, role: &str, column: usize) -> Self {
        // Of a path with a kind: KIND/ID, or the kind alone.
        let (kind, id) =
            if row.path.contains("{kind}") { row.id.split_once('/').unwrap_or((row.id, "")) } else { ("", row.id) };
        let path = row.path.replace("{kind}", kind).replace("{id}", id);
        let path = path.replace("{z}", "12").replace("{x}", "3326").replace("{y}", "1708");
        let (path, mut said) = words.fill(&format!("{path}{}", row.query), role, column);
        let (body, more) = words.fill(row.body, role, column);
        said.extend(more);
        let body = if body.is_empty() { None } else { Some(serde_json::from_str(&body).unwrap()) };
        let header = row.header.map(|(name, value)| (name, words.fill(value, role, column).0));
        Self { path, body, header, said }
    }

    /// Status and answer. One that is no JSON is a text.
    async fn ask(&self, up: &Up, person: &Person, method: &str) -> (u16, Value) {
        let url = format!("http://{}/api/v1{}", up.http, self.path);
        let mut request = reqwest::Client::new().request(method.parse().unwrap(), url).bearer_auth(&person.token);
        if let Some(body) = &self.body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let Ok(answer) = serde_json::from_str(&text) else {
            assert!(status < 400, "{method} {}: {status} {text}", self.path);
            return (status, text.into());
        };
        shapes::must_fit(method, &self.path, status, &answer);
        (status, answer)
    }
}

/// An answer without the numbers that were asked for.
fn nameless(answer: &Value, said: &[String]) -> String {
    said.iter().filter(|word| word.len() > 3).fold(answer.to_string(), |text, word| text.replace(word.as_str(), "…"))
}

/// Every route of the document is in the table.
fn all_are_listed(document: &Value) {
    let listed: BTreeSet<(String, &str)> = rows().map(|row| (row.method.to_lowercase(), row.path)).collect();
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            routes.insert((method.clone(), path.trim_start_matches("/api/v1")));
        }
    }
    let unlisted: Vec<_> = routes.difference(&listed).collect();
    assert!(unlisted.is_empty(), "no row of tests/system/matrix_rows asks {unlisted:?}");
    let gone: Vec<_> = listed.difference(&routes).collect();
    assert!(gone.is_empty(), "the document has no {gone:?}");
}

/// What nobody of this role may read: of others for owners, of the other organisation for those who work for one.
fn hidden(role: &str) -> &'static [&'static str] {
    match role {
        "owner" | "family" => &["MATRIX2", "MATRIX3"],
        "operator" | "admin" | "installer" | "approver" | "auditor" => &["MATRIX3", "zone-matrix-3"],
        _ => &[],
    }
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_matrix_says_and_foreign_things_like_missing_ones() {
    use_ring();
    let up = Up::start(3, &[]).await;
    all_are_listed(&serde_json::from_str(&up.text("/api/openapi.json").await).unwrap());
    let sql = up.sql().await;
    sql.batch_execute(PEOPLE).await.unwrap();
    let add = async |things: &str| {
        for (n, suffix) in (1..).zip(SUFFIXES) {
            let things = things.replace("$suffix", suffix).replace("$ident", &up.tracker(n - 1).0);
            sql.batch_execute(&things.replace("$n", &n.to_string())).await.unwrap();
        }
    };
    add(THINGS).await;
    settled(&up).await;
    lists(&up, &sql).await;
    add(LABELS).await;
    let numbers = "SELECT vehicle_id::text, tracker_id::text FROM vehicle JOIN installation USING (vehicle_id)
        WHERE plate ~ '^MATRIX[123]$' AND valid_to IS NULL ORDER BY plate";
    let numbers = sql.query(numbers, &[]).await.unwrap();
    let numbers = |column: usize| -> [String; 3] {
        numbers.iter().map(|r| r.get(column)).collect::<Vec<_>>().try_into().unwrap()
    };
    let soon = rideguard::clock::now().plus_secs_f64(86_400.0).to_string();
    let words = Words { vehicles: numbers(0), trackers: numbers(1), soon };
    let people: Vec<(&str, Person)> = ROLES.iter().map(|r| (*r, up.person(&format!("matrix {r}-a")))).collect();
    let (nobody, dead) = (up.person(""), up.person("dead"));

    let (mut asked, mut wrong) = (0, Vec::new());
    for row in rows() {
        let is_open = row.who.iter().any(|(role, _)| *role == "nobody");
        for (who, person) in [("nobody", &nobody), ("a dead session", &dead)] {
            let wanted = row.who.iter().find(|(role, _)| *role == "nobody").map_or(401, |(_, wanted)| wanted[0]);
            let question = Question::of(row, &words, "owner", 0);
            let (status, answer) = question.ask(&up, person, row.method).await;
            if status != wanted {
                let path = &question.path;
                wrong.push(format!("{} {path} as {who}: {status}, not {wanted}: {answer}", row.method));
            }
        }
        for (role, person) in people.iter().filter(|_| !is_open) {
            let listed = row.who.iter().find(|(of, _)| of == role).map(|(_, wanted)| *wanted);
            let has_words = [row.id, row.query, row.body].iter().any(|t| t.contains('$') && *t != "$soon");
            let mut answers: Vec<(u16, String)> = Vec::new();
            for column in 0..if has_words { 4 } else { 1 } {
                let question = Question::of(row, &words, role, column);
                let (status, answer) = question.ask(&up, person, row.method).await;
                // "Not yet" is a question of how busy the machine is.
                let status = if status == 202 { 200 } else { status };
                asked += 1;
                let path = &question.path;
                let wanted = listed.map_or(403, |wanted| wanted[column]);
                if status != wanted {
                    let what = COLUMNS[column];
                    wrong.push(format!("{} {path} ({what}) as {role}: {status}, not {wanted}: {answer}", row.method));
                }
                let text = answer.to_string();
                if let Some(word) = hidden(role).iter().find(|w| status < 400 && text.contains(**w)) {
                    wrong.push(format!("{} {path} tells {role} of {word}: {text}", row.method));
                }
                answers.push((status, nameless(&answer, &question.said)));
            }
            if let Some((missing, foreign)) = answers.split_last()
                && missing.0 >= 400
            {
                for (column, answer) in foreign.iter().enumerate().filter(|(_, a)| a.0 == missing.0) {
                    if answer != missing {
                        wrong.push(format!(
                            "{} {} as {role}: {} is told apart: {answer:?}, {missing:?}",
                            row.method, row.path, COLUMNS[column]
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked} answers are not as the table says: {wrong:#?}", wrong.len());
    assert!(asked > 500, "only {asked} questions were asked");

    let touched: Vec<String> = sql.query(TOUCHED, &[]).await.unwrap().iter().map(|r| r.get(0)).collect();
    assert!(touched.is_empty(), "a refusal came after the deed: {touched:?}");
    channels(&up, &words).await;
}

/// The lists have what is within. Those of the other organisation see theirs.
async fn lists(up: &Up, sql: &Client) {
    let (own, other) = (up.person("matrix operator-2"), up.person("matrix operator-b"));
    let seen = async |person: &Person| person.get("/trackers?reason=matrix").await;
    let (a, b) = (seen(&own).await, seen(&other).await);
    for (list, plates, count) in [(&a, ["MATRIX1", "MATRIX2"].as_slice(), 2), (&b, ["MATRIX3"].as_slice(), 1)] {
        let names: BTreeSet<&str> =
            list["trackers"].as_array().unwrap().iter().map(|t| t["plate"].as_str().unwrap()).collect();
        assert_eq!(names, plates.iter().copied().collect(), "{list}");
        let counts: i64 = list["counts"].as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum();
        assert_eq!(counts, count, "{list}");
    }
    // Outages and gaps are told to whom they concern; what was noticed before a word of whose it is, to who sees all.
    sql.batch_execute(
        "INSERT INTO outage_part (lane, kind, name, began_at, noticed_at, lost, members, lost_of)
            SELECT 1, 'cell', name, now(), now(), 3, 9, lost_by_organisation(ARRAY(SELECT vehicle_id FROM vehicle WHERE plate = ANY (plates)))
            FROM (VALUES ('old', NULL), ('of-a', '{MATRIX1,MATRIX2}'::text[]), ('of-b', '{MATRIX3}'), ('of-both', '{MATRIX1,MATRIX3}')) o (name, plates);
        DELETE FROM coverage_gap;
        INSERT INTO coverage_gap (lane, cause, from_at, until_at)
            SELECT DISTINCT lane_of(ident), 'connection', now() - interval '2 minutes', now() FROM tracker WHERE is_within(
                (SELECT ROW(0, 'operator', 0, organisation_id)::asker FROM organisation WHERE name = 'Matrix B'), unit_id)",
    )
    .await
    .unwrap();
    sql.batch_execute("INSERT INTO account (login, name, role, password_hash) VALUES ('admin-of-all', 'a', 'admin', '!');
        INSERT INTO session SELECT sha256('matrix of all'), account_id, now(), now() + interval '1 hour' FROM account WHERE login = 'admin-of-all'").await.unwrap();
    let of_all = up.person("matrix of all");
    let outages = async |person: &Person| -> BTreeSet<(String, i64, Option<i64>)> {
        let said = person.get("/outages").await;
        let of = |o: &Value| {
            (o["name"].as_str().unwrap().into(), o["silent_count"].as_i64().unwrap(), o["member_count"].as_i64())
        };
        said["outages"].as_array().unwrap().iter().map(of).collect()
    };
    let told = |of: &[(&str, i64, Option<i64>)]| of.iter().map(|(n, l, m)| ((*n).to_owned(), *l, *m)).collect();
    assert_eq!(outages(&own).await, told(&[("of-a", 2, None), ("of-both", 1, None)]));
    assert_eq!(outages(&other).await, told(&[("of-b", 1, None), ("of-both", 1, None)]));
    let every = ["old", "of-a", "of-b", "of-both"].map(|name| (name, 3, Some(9)));
    assert_eq!(outages(&of_all).await, told(&every));
    let gaps = async |person: &Person| person.get("/coverage-gaps").await["gaps"].as_array().unwrap().len();
    // The lane of the other organisation's tracker may be one's own, too.
    let shared = "SELECT count(*) FROM tracker t JOIN coverage_gap g ON g.lane = lane_of(t.ident) JOIN unit USING (unit_id) WHERE name = 'Matrix A'";
    let shared = usize::from(up.count(shared).await > 0);
    assert_eq!((gaps(&own).await, gaps(&other).await, gaps(&of_all).await), (shared, 1, 1));
    assert_eq!(seen(&of_all).await["trackers"].as_array().unwrap().len(), 3);
}

/// The live channels: positions for owners, operators and police, each within what is theirs to see.
async fn channels(up: &Up, words: &Words) {
    let dots = |said: &Value| said["vehicles"].as_array().map_or(0, Vec::len);
    for (login, wanted) in [("operator-2", 2), ("operator-b", 1)] {
        // The memory of all streams takes what changed without a lane's word within half a minute.
        let mut stream = Stream::open_with(up, &up.person(&format!("matrix {login}")), None).await;
        let seen = RefCell::new(BTreeSet::new());
        let takes = |said: &Value| {
            let ids = said["vehicles"].as_array().into_iter().flatten().map(|v| v["id"].to_string());
            seen.borrow_mut().extend(ids);
            seen.borrow().len() >= wanted
        };
        stream.until(takes).await;
        assert_eq!(seen.borrow().len(), wanted, "{login}");
    }
    let mut owner = Stream::open_with(up, &up.person("matrix owner-2"), None).await;
    let told = owner.until(|said| said["type"] == "snapshot").await;
    assert_eq!((dots(&told), &told["vehicles"][0]["id"]), (1, &json!(words.vehicles[1])), "{told}");
    let grant = json!({ "grant_id": "4002" });
    let mut police = Stream::open_with(up, &up.person("matrix police-2"), Some(grant)).await;
    assert_eq!(dots(&police.until(|said| said["type"] == "snapshot").await), 0);
    police.send(r#"{"type":"view","bbox":[112.33,28.53,112.37,28.57]}"#);
    assert_eq!(dots(&police.until(|said| said["type"] == "snapshot").await), 3);
}
