//! The registry: people, vehicles and trackers without a shell, and imports of many.

use crate::harness::{Database, PATIENCE, Person, Up, use_ring};
use rand::{Rng, SeedableRng};
use rideguard::api::registry::imports::{put_down, read_lines};
use rideguard::store::imports::{self, Caller};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

const HEAD: &str = "姓名,手机号,车牌号,车型,品牌,颜色,车架号,设备号,协议,ICCID,批次\n";

fn row(n: usize) -> String {
    format!(
        "车主{n},138{:08},湘H·{:05},电动自行车,雅迪,红,FRAME{n:08},T{n:06},jt808,8986{:016},B1\n",
        10_000_000 + n,
        10_000 + n,
        n
    )
}

fn table(rows: usize) -> String {
    (0..rows).fold(HEAD.to_owned(), |text, n| text + &row(n))
}

impl Person {
    /// The same with a header more and any body; status, ETag, text.
    async fn send(
        &self,
        up: &Up,
        method: &str,
        path: &str,
        header: (&str, &str),
        body: impl Into<reqwest::Body>,
    ) -> (u16, String, Value) {
        let request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("http://{}/api/v1{path}", up.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .header(header.0, header.1)
            .body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let tag = answer.headers().get("etag").map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
        let text = answer.text().await.unwrap();
        (status, tag, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

/// Who made what, as rows: nothing may be there twice.
async fn count_of(client: &Client, sql: &str, pid: i32) -> i64 {
    client.query_one(sql, &[&pid]).await.unwrap().get(0)
}

async fn counts(client: &Client) -> [i64; 6] {
    let sql = "SELECT (SELECT count(*) FROM account WHERE phone IS NOT NULL), (SELECT count(*) FROM vehicle WHERE frame_number LIKE 'FRAME%'),
        (SELECT count(*) FROM tracker WHERE ident LIKE 'T0%'), (SELECT count(*) FROM installation i JOIN tracker t USING (tracker_id) WHERE t.ident LIKE 'T0%'),
        (SELECT count(*) FROM ownership o JOIN account a USING (account_id) WHERE a.phone IS NOT NULL),
        (SELECT count(*) FROM setting WHERE content ->> 'kind' = 'tracker' AND content ->> 'ident' LIKE 'T0%')";
    let row = client.query_one(sql, &[]).await.unwrap();
    std::array::from_fn(|n| row.get(n))
}

async fn staged(client: &Client, file: &Path) -> i64 {
    let import = imports::make(client, "t.csv", "test", None).await.unwrap();
    let mut parts = Vec::new();
    read_lines(File::open(file).unwrap(), None, &|_| "00".repeat(32), &mut |part| {
        parts.push(part);
        Ok(())
    })
    .unwrap();
    for part in parts {
        put_down(client, Caller::Admin, import, part).await.unwrap();
    }
    let checked = imports::checked(client, Caller::Admin, import).await.unwrap();
    assert_eq!(checked["bad"], 0, "{checked}");
    import
}

/// Waits until an import has ended.
async fn ended(person: &Person, path: &str) -> Value {
    let since = Instant::now();
    loop {
        let state = person.get(path).await;
        if state["state"] == "done" {
            return state;
        }
        assert!(since.elapsed() < PATIENCE, "{state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Imports a file by the API, the good rows of it.
async fn imported(person: &Person, up: &Up, bytes: Vec<u8>) -> Value {
    let (status, import) =
        person.ask("POST", "/registry/imports", Some(json!({ "file_name": "b.csv", "reason": "again" }))).await;
    assert_eq!(status, 201, "{import}");
    let path = format!("/registry/imports/{}", import["id"].as_str().unwrap());
    let (status, _, checked) = person.send(up, "PUT", &format!("{path}/file"), ("x-none", "1"), bytes).await;
    assert_eq!(status, 200, "{checked}");
    assert_eq!(person.ask("POST", &format!("{path}/start"), Some(json!({ "only_good": true }))).await.0, 200);
    ended(person, &path).await
}

#[tokio::test]
async fn what_is_entered_is_found_changed_with_a_reason_and_kept_behind_the_wall() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let chief = up.administrator().await;
    let entered = json!({ "fields": { "name": "张三丰", "phone": "138 0000 0001" }, "reason": "came to the counter" });
    let (status, tag, person) =
        chief.send(&up, "POST", "/registry/people", ("Idempotency-Key", "one"), entered.to_string()).await;
    assert_eq!((status, tag.as_str()), (201, "\"1\""), "{person}");
    let (_, _, again) =
        chief.send(&up, "POST", "/registry/people", ("Idempotency-Key", "one"), entered.to_string()).await;
    assert_eq!(again["id"], person["id"], "a retry makes nothing twice");
    let (status, _, refused) =
        chief.send(&up, "POST", "/registry/people", ("Idempotency-Key", "two"), entered.to_string()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("phone_taken")));
    let wrong = json!({ "fields": { "name": "x", "phone": "12" }, "reason": "r" });
    let (status, refused) = chief.ask("POST", "/registry/people", Some(wrong)).await;
    assert_eq!((status, &refused["code"], &refused["values"]["field"]), (400, &json!("field_form"), &json!("phone")));

    let id = person["id"].as_str().unwrap();
    let vehicle = json!({ "fields": { "plate": "湘h 55555", "kind": "ebike", "colour": "red", "owner_id": id }, "reason": "new" });
    let (status, vehicle) = chief.ask("POST", "/registry/vehicles", Some(vehicle)).await;
    assert_eq!((status, &vehicle["plate"]), (201, &json!("湘H·55555")), "{vehicle}");
    let tracker =
        json!({ "fields": { "ident": "RT-1", "protocol": "jt808", "iccid": "89860000000000000001" }, "reason": "new" });
    let (status, tracker) = chief.ask("POST", "/registry/trackers", Some(tracker)).await;
    assert_eq!(status, 201, "{tracker}");
    let path = format!("/registry/vehicles/{}/tracker", vehicle["id"].as_str().unwrap());
    let (status, fitted) =
        chief.ask("PUT", &path, Some(json!({ "tracker_id": tracker["id"], "reason": "fitted" }))).await;
    assert_eq!((status, fitted["trackers"].as_array().unwrap().len()), (200, 1));

    // Each is found by what is known of it; phones are masked until the record is opened with a reason.
    for (kind, q, is_there) in [
        ("people", "三丰", true),
        ("people", "张三", true),
        ("people", "张", true),
        ("people", "丰三", false),
        ("people", "13800000001", true),
        ("people", "%2B86%20138-0000-0001", true),
        ("people", "0001", true),
        // The digits that a list masks are not to be guessed one by one.
        ("people", "00001", false),
        ("people", "1380", false),
        ("people", "800000001", false),
        ("vehicles", "800000001", false),
        ("vehicles", "13800000001", true),
        ("vehicles", "湘H55555", true),
        ("vehicles", "三丰", true),
        ("vehicles", "RT-1", true),
        ("trackers", "8986000000000", true),
        ("trackers", "r", true),
    ] {
        let found = chief.get(&format!("/registry/{kind}?q={q}")).await;
        assert_eq!(found["rows"].as_array().unwrap().len(), usize::from(is_there), "{kind} {q}: {found}");
        assert!(!found.to_string().contains("13800000001"), "{found}");
    }
    // Each goes by its index, none through the table.
    let mut sql = up.sql().await;
    for (question, table, index) in [
        ("SELECT people_found('三丰')", "account", "account_characters"),
        ("SELECT people_found('张三丰')", "account", "account_searched"),
        ("SELECT people_found('张')", "account", "account_searched"),
        ("SELECT people_found('13800000001')", "account", "account_phone_key"),
        ("SELECT vehicles_found('湘H55')", "vehicle", "vehicle_searched"),
        ("SELECT trackers_found('rt')", "tracker", "tracker_searched"),
    ] {
        let asked = sql.transaction().await.unwrap();
        // Of a handful of rows any order is as good: a walk along a key is not to be had here.
        asked.batch_execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off").await.unwrap();
        asked.execute(question, &[]).await.unwrap();
        let scans =
            "SELECT pg_stat_get_xact_numscans($1::text::regclass), pg_stat_get_xact_numscans($2::text::regclass)";
        let row = asked.query_one(scans, &[&table, &index]).await.unwrap();
        let (of_table, of_index): (i64, i64) = (row.get(0), row.get(1));
        assert!(of_table == 0 && of_index > 0, "{question}: {of_table} scans of the table, {of_index} of the index");
    }
    assert_eq!(chief.ask("GET", &format!("/registry/people/{id}"), None).await.0, 400, "without a reason");
    let whole = chief.get(&format!("/registry/people/{id}?reason=call%20back")).await;
    assert_eq!(whole["phone"], "+8613800000001");

    let change = json!({ "fields": { "phone": "13800000002" }, "reason": "new number" }).to_string();
    let path = format!("/registry/people/{id}");
    assert_eq!(chief.send(&up, "PATCH", &path, ("x-none", "1"), change.clone()).await.2["code"], "version_missing");
    let (status, tag, _) = chief.send(&up, "PATCH", &path, ("If-Match", "\"1\""), change.clone()).await;
    assert_eq!((status, tag.as_str()), (200, "\"2\""));
    let (status, _, refused) = chief.send(&up, "PATCH", &path, ("If-Match", "\"1\""), change).await;
    assert_eq!((status, &refused["code"]), (409, &json!("version_changed")));
    let history = chief.get(&format!("{path}/history")).await;
    let newest = &history["rows"][0];
    assert_eq!((&newest["reason"], &newest["by"]), (&json!("new number"), &json!("Chief")), "{history}");
    assert_eq!(
        (&newest["was"]["phone"], &newest["becomes"]["phone"]),
        (&json!("+86138****0001"), &json!("+86138****0002"))
    );

    // An operator of an organisation knows nothing of what another one keeps.
    sql.batch_execute("INSERT INTO organisation (name, kind) VALUES ('Wall', 'operator'); INSERT INTO unit (organisation_id, name) SELECT organisation_id, 'W' FROM organisation WHERE name = 'Wall'").await.unwrap();
    let hash = rideguard::api::hash_password("long enough").unwrap();
    let operator = "INSERT INTO account (login, name, role, password_hash, unit_id, without_second_factor) SELECT 'walled', 'Walled', 'operator', $1, unit_id, true FROM unit WHERE name = 'W'";
    sql.execute(operator, &[&hash]).await.unwrap();
    let (_, body) =
        up.person("").ask("POST", "/session", Some(json!({ "login": "walled", "password": "long enough" }))).await;
    let walled = up.person(body["token"].as_str().unwrap());
    for kind in ["people", "vehicles", "trackers"] {
        assert_eq!(walled.get(&format!("/registry/{kind}")).await["rows"], json!([]), "{kind}");
    }
    assert_eq!(walled.ask("GET", &format!("/registry/people/{id}?reason=x"), None).await.0, 404);
    assert_eq!(walled.ask("GET", &format!("/registry/people/{id}/history"), None).await.0, 404);

    // A file through the page: mapping, report, the good rows, and then everything is the organisation's own.
    let (status, import) =
        walled.ask("POST", "/registry/imports", Some(json!({ "file_name": "a.csv", "reason": "first bikes" }))).await;
    assert_eq!(status, 201, "{import}");
    let path = format!("/registry/imports/{}", import["id"].as_str().unwrap());
    let text = table(20) + "坏,123,无牌,boat,,,,!,morse,,\n" + "别人,13800000002,湘H·66666,ebike,,,,,,,\n" + &row(3);
    let (status, _, checked) = walled.send(&up, "PUT", &format!("{path}/file"), ("x-none", "1"), text.clone()).await;
    assert_eq!((status, &checked["rows"], &checked["bad"]), (200, &json!(23), &json!(3)), "{checked}");
    let problems = walled.get(&format!("{path}/problems")).await;
    let of = |line: i64| {
        problems["problems"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["line"] == line)
            .map(|p| p["code"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(22), ["ident_form", "unknown_word", "phone_form", "plate_form", "unknown_word"], "{problems}");
    assert_eq!(of(23), ["phone_taken"], "another organisation's person");
    assert_eq!(of(24), ["repeated", "repeated"]);
    let (status, refused) = walled.ask("POST", &format!("{path}/start"), Some(json!({}))).await;
    assert_eq!((status, &refused["code"], &refused["values"]["bad"]), (409, &json!("import_has_bad_rows"), &json!(3)));
    let (status, mapped) = walled.ask("PUT", &format!("{path}/mapping"), Some(json!({ "mapping": ["name", "phone", "plate", "kind", "make", "colour", "frame_number", "ident", "protocol", "iccid", null] }))).await;
    assert_eq!((status, &mapped["bad"]), (200, &json!(3)), "{mapped}");
    assert_eq!(walled.ask("POST", &format!("{path}/start"), Some(json!({ "only_good": true }))).await.0, 200);
    let done = ended(&walled, &path).await;
    assert_eq!(
        (&done["people_made"], &done["vehicles_made"], &done["trackers_made"], &done["refused"]),
        (&json!(20), &json!(20), &json!(20), &json!(3))
    );
    assert_eq!(walled.get("/registry/vehicles?q=车主7").await["rows"][0]["tracker"], "T000007");
    assert_eq!(counts(&sql).await, [21, 20, 20, 20, 21, 20]);
    assert_eq!(
        sql.query_one("SELECT count(*) FROM import_row", &[]).await.unwrap().get::<_, i64>(0),
        0,
        "no line stays"
    );
    let (_, _, export) = walled.send(&up, "GET", "/registry/export?reason=backup", ("x-none", "1"), "").await;
    let export = export.as_str().unwrap();
    assert_eq!(export.lines().count(), 21, "{export}");
    assert!(export.contains(",'+8613810000007,"), "no cell is a formula: {export}");
    // It comes back as it is, with values that are awkward in a table; in the encoding of a Chinese Excel, too.
    let awkward = [
        ("people", json!({ "name": "=SUM(\"a\";1), 三", "phone": "13700000001" })),
        ("people", json!({ "name": "'+1 O\"Neil", "phone": "13700000002" })),
        ("trackers", json!({ "ident": "-RT-2", "protocol": "json", "batch": "@B,\"1\"", "tracker_model": "-9" })),
    ];
    for (kind, fields) in awkward {
        let (status, made) = walled
            .ask("POST", &format!("/registry/{kind}"), Some(json!({ "fields": fields, "reason": "by hand" })))
            .await;
        assert_eq!(status, 201, "{made}");
    }
    let (_, _, export) = walled.send(&up, "GET", "/registry/export?reason=backup", ("x-none", "1"), "").await;
    let export = export.as_str().unwrap().to_owned();
    assert_eq!(export.lines().count(), 24, "{export}");
    let changes = up.count("SELECT count(*) FROM registry_change").await;
    for bytes in
        [export.clone().into_bytes(), encoding_rs::GB18030.encode(export.trim_start_matches('\u{feff}')).0.into_owned()]
    {
        let done = imported(&walled, &up, bytes).await;
        assert_eq!(
            (&done["bad"], &done["rows"], &done["people_made"], &done["trackers_made"]),
            (&json!(0), &json!(23), &json!(0), &json!(0)),
            "{done}"
        );
    }
    assert_eq!(up.count("SELECT count(*) FROM registry_change").await, changes, "nothing has changed");
    let (_, _, again) = walled.send(&up, "GET", "/registry/export?reason=backup", ("x-none", "1"), "").await;
    assert_eq!(again.as_str().unwrap(), export);

    // A line that a table refuses is told, and keeps no other one out.
    sql.batch_execute("ALTER TABLE tracker ADD CONSTRAINT tracker_bench_check CHECK (ident <> 'T000031')")
        .await
        .unwrap();
    let done = imported(&walled, &up, (HEAD.to_owned() + &row(30) + &row(31) + &row(32)).into_bytes()).await;
    assert_eq!(
        (&done["refused"], &done["trackers_made"], &done["people_made"]),
        (&json!(1), &json!(2), &json!(2)),
        "{done}"
    );
    let path = format!("/registry/imports/{}/problems", done["id"].as_str().unwrap());
    let told = walled.get(&path).await;
    assert_eq!((&told["problems"][0]["line"], &told["problems"][0]["code"]), (&json!(3), &json!("refused")), "{told}");

    // Whoever has withdrawn their consent is not watched in a vehicle that an import gives them; others are.
    let withdraw = "INSERT INTO consent (account_id, version, channel, withdrawn_at) SELECT account_id, 'v1', 'paper', now() FROM account WHERE phone = '+8613810000030'";
    assert_eq!(sql.execute(withdraw, &[]).await.unwrap(), 1);
    let of_thirty = row(40).replace("车主40", "车主30").replace("13810000040", "13810000030");
    let done = imported(&walled, &up, (HEAD.to_owned() + &of_thirty + &row(41)).into_bytes()).await;
    assert_eq!(
        (&done["bad"], &done["vehicles_made"], &done["people_made"]),
        (&json!(0), &json!(2), &json!(1)),
        "{done}"
    );
    let off = "SELECT string_agg(plate, ',') FROM positioning_off JOIN vehicle USING (vehicle_id)";
    assert_eq!(sql.query_one(off, &[]).await.unwrap().get::<_, Option<String>>(0).as_deref(), Some("湘H·10040"));

    // What is erased is erased here, too; the history says only that something was.
    let erased = "SELECT close_account((SELECT account_id FROM account WHERE phone = '+8613800000002'), (SELECT account_id FROM account WHERE login = 'chief'), 'R1')";
    sql.execute(erased, &[]).await.unwrap();
    let left = "SELECT count(*) FROM registry_change WHERE was::text || becomes::text LIKE '%1380000000%' OR becomes::text LIKE '%张三丰%'";
    assert_eq!(sql.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert!(sql.execute("DELETE FROM registry_change", &[]).await.is_err());
}

/// Runs `rideguard import people` and kills it at so many random moments; then nothing is there twice, and all of it once.
/// How each tracker comes, as the door reads it.
async fn comes(up: &Up, ident: &str) -> (Option<String>, bool) {
    let sql = "SELECT profile ->> 'transport', coalesce((SELECT is_admitted FROM tracker_socket s WHERE s.tracker_id = t.tracker_id), false) FROM tracker t WHERE ident = $1";
    let row = up.sql().await.query_one(sql, &[&ident]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn how_a_tracker_comes_is_a_column_of_files_and_a_field_of_its_record() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let chief = up.administrator().await;
    let head = "设备号,协议,接入方式\n";
    let file = format!(
        "{head}TR1,gt06,socket\nTR2,gt06,mqtt\nTR3,gt06,\nTR4,json,socket\nTR5,h02,pigeon\nTR6,json,\nTR7,h02,UDP\n"
    );
    let done = imported(&chief, &up, file.into_bytes()).await;
    assert_eq!((&done["trackers_made"], &done["bad"]), (&json!(5), &json!(2)), "{done}");
    let report = chief.get(&format!("/registry/imports/{}/problems", done["id"].as_str().unwrap())).await;
    let said = |n: usize| {
        let problem = &report["problems"][n];
        json!([problem["line"], problem["field"], problem["value"], problem["code"], problem["allowed"]])
    };
    let limit = "mqtt, or socket with gt06, h02, jt808, teltonika";
    assert_eq!(said(0), json!([5, "transport", "socket", "unknown_word", limit]));
    assert_eq!(said(1), json!([6, "transport", "pigeon", "unknown_word", "mqtt or socket"]));
    let by_socket = (Some("socket".to_owned()), true);
    for (ident, wanted) in [
        ("TR1", by_socket.clone()),
        ("TR2", (None, false)),
        ("TR3", (None, false)),
        ("TR6", (None, false)),
        ("TR7", by_socket.clone()),
    ] {
        assert_eq!(comes(&up, ident).await, wanted, "{ident}");
    }
    // Lines that say nothing of it leave it as it is; those that say something change it.
    imported(&chief, &up, "设备号,协议\nTR1,gt06\n".into()).await;
    assert_eq!(comes(&up, "TR1").await, by_socket);
    imported(&chief, &up, format!("{head}TR1,gt06,mqtt\nTR3,gt06,tcp\n").into_bytes()).await;
    assert_eq!((comes(&up, "TR1").await, comes(&up, "TR3").await), ((None, false), by_socket.clone()));
    // What is exported can be imported, and changes nothing.
    let export = chief.send(&up, "GET", "/registry/export?reason=test", ("x-none", "1"), "").await.2;
    let export = export.as_str().unwrap().to_owned();
    assert!(export.lines().next().unwrap().ends_with(",transport"), "{export}");
    assert!(export.lines().any(|line| line.contains("TR3,gt06,") && line.ends_with(",socket")), "{export}");
    // Those of the demonstration have owners without a phone.
    let own = |line: &(usize, &str)| line.0 == 0 || line.1.contains(",TR");
    let export: String = export.lines().enumerate().filter(own).map(|(_, line)| format!("{line}\n")).collect();
    let again = imported(&chief, &up, export.into_bytes()).await;
    let said = (&again["rows"], &again["trackers_made"], &again["bad"]);
    assert_eq!(said, (&json!(5), &json!(0), &json!(0)), "{again}");
    assert_eq!(comes(&up, "TR3").await, by_socket);
    // By the page: with its language, which tells whether it can.
    let rows = chief.get("/registry/trackers?q=TR3").await;
    assert_eq!(rows["rows"][0]["transport"], "socket", "{rows}");
    let path = format!("/registry/trackers/{}", rows["rows"][0]["id"].as_str().unwrap());
    let change = async |version: &str, fields: Value| {
        let body = json!({ "fields": fields, "reason": "r" }).to_string();
        let (status, _, said) = chief.send(&up, "PATCH", &path, ("If-Match", version), body).await;
        (status, said)
    };
    let version = chief.get(&path).await["version"].to_string();
    for (fields, field) in [
        (json!({ "transport": "mqtt" }), "protocol"),
        (json!({ "transport": "socket", "protocol": "json" }), "transport"),
        (json!({ "transport": "", "protocol": "gt06" }), "transport"),
    ] {
        let (status, said) = change(&version, fields.clone()).await;
        assert_eq!((status, &said["values"]["field"]), (400, &json!(field)), "{fields}: {said}");
    }
    let (status, said) = change(&version, json!({ "transport": "mqtt", "protocol": "gt06" })).await;
    assert_eq!((status, &said["transport"]), (200, &json!("mqtt")), "{said}");
    assert_eq!(comes(&up, "TR3").await, (None, false));
    let (status, said) =
        change(&said["version"].to_string(), json!({ "transport": "socket", "protocol": "h02" })).await;
    assert_eq!((status, &said["transport"]), (200, &json!("socket")), "{said}");
    // A language that no socket takes comes by MQTT from then on.
    let (status, said) = change(&said["version"].to_string(), json!({ "protocol": "json" })).await;
    assert_eq!((status, &said["transport"]), (200, &json!("mqtt")), "{said}");
    assert_eq!(comes(&up, "TR3").await, (None, false));
}

async fn killed_import(kills: usize, rows: usize, test: &str) {
    use_ring();
    let mut random = rand::rngs::StdRng::seed_from_u64(crate::harness::seed(test));
    let database = Database::start().await;
    let client = database.connect().await;
    let file = database.folder.join("t.csv");
    fs::write(&file, table(rows)).unwrap();
    let import = staged(&client, &file).await;
    imports::start(&client, import, false).await.unwrap();
    let mut killed = 0;
    while killed < kills {
        let worker = database.connect().await;
        let pid: i32 = worker.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        // The backend is ended within a step, wherever it is.
        let wait = Duration::from_micros(random.random_range(0..250_000));
        let (stepped, _) = tokio::join!(
            async {
                while let Some(state) = imports::step(&worker, import).await? {
                    if state["state"] == "done" {
                        return Ok(true);
                    }
                }
                Ok::<_, tokio_postgres::Error>(false)
            },
            async {
                tokio::time::sleep(wait).await;
                client.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
            }
        );
        killed += 1;
        // Until it has ended it holds the import, and whoever comes next finds nothing to do.
        while 0 < count_of(&client, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid).await {}
        if stepped.is_ok_and(|is_done| is_done) {
            break;
        }
    }
    assert!(killed == kills, "it was done after {killed} kills: take more rows");
    while imports::step(&client, import).await.unwrap().is_some() {}
    let n = rows as i64;
    assert_eq!(counts(&client).await, [n; 6]);
    let state = imports::state(&client, import).await.unwrap().unwrap();
    assert_eq!(
        (&state["state"], &state["gone_through"], &state["refused"], &state["vehicles_made"]),
        (&json!("done"), &json!(n), &json!(0), &json!(n))
    );
    // The same file again makes nothing.
    let again = staged(&client, &file).await;
    imports::start(&client, again, false).await.unwrap();
    while imports::step(&client, again).await.unwrap().is_some() {}
    assert_eq!(counts(&client).await, [n; 6]);
    let overlaps = "SELECT count(*) FROM installation a JOIN installation b ON a.vehicle_id = b.vehicle_id AND a.tracker_id < b.tracker_id";
    assert_eq!(client.query_one(overlaps, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn an_import_that_is_killed_three_times_goes_on_and_makes_nothing_twice() {
    killed_import(3, 3000, "an_import_that_is_killed_three_times").await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn an_import_that_is_killed_at_20_random_moments_makes_nothing_twice() {
    killed_import(20, 40_000, "an_import_that_is_killed_at_20").await;
}

/// Kills the whole program so many times while its worker imports, each time at a random moment; database and broker go on.
async fn killed_program(kills: usize, rows: usize, test: &str) {
    use_ring();
    let mut random = rand::rngs::StdRng::seed_from_u64(crate::harness::seed(test));
    let mut up = Up::start(3, &[]).await;
    let client = up.sql().await;
    let file = up.folder.join("t.csv");
    fs::write(&file, table(rows)).unwrap();
    let import = staged(&client, &file).await;
    imports::start(&client, import, false).await.unwrap();
    for kill in 0..kills {
        if kill > 0 {
            up.start_again().await;
        }
        // A step takes some hundred milliseconds: in one, or between two.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..600_000))).await;
        up.kill();
        let state = imports::state(&up.sql().await, import).await.unwrap().unwrap();
        assert_eq!(state["state"], "running", "it was done after {kill} kills: take more rows");
    }
    up.start_again().await;
    up.wait_for("SELECT count(*) FROM import_job WHERE state = 'done'", 1).await;
    let (n, client) = (rows as i64, up.sql().await);
    assert_eq!(counts(&client).await, [n; 6]);
    let state = imports::state(&client, import).await.unwrap().unwrap();
    assert_eq!((&state["gone_through"], &state["vehicles_made"], &state["refused"]), (&json!(n), &json!(n), &json!(0)));
    let told = "SELECT count(*) FROM registry_change WHERE kind = 'enrolled'";
    assert_eq!(client.query_one(told, &[]).await.unwrap().get::<_, i64>(0), n, "one row of history a line");
}

#[tokio::test]
async fn an_import_whose_program_is_killed_twice_goes_on_and_makes_nothing_twice() {
    killed_program(2, 8000, "an_import_whose_program_is_killed_twice").await;
}

#[tokio::test]
#[ignore = "takes minutes: make test-long"]
async fn an_import_whose_program_is_killed_at_20_random_moments_makes_nothing_twice() {
    killed_program(20, 95_000, "an_import_whose_program_is_killed_at_20").await;
}
