//! Each process has a role of its own in PostgreSQL, and no more rights than the page of security says.

use crate::harness::{Database, PATIENCE, Up, free_port, use_ring};
use crate::support::disk::Disk;
use crate::support::role::{Differs, Role as Process};
use crate::upgrade::migrations_up_to;
use rideguard::config::Config;
use rideguard::store::tracks::partitions;
use rideguard::store::{self, Role};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::{Postgres, bin_folder};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Every role that a process runs as; the first column's letters are those of the table.
const PROCESSES: [(&str, Role); 6] = [
    ("ingest", Role::Ingest),
    ("notify", Role::Notify),
    ("rollup", Role::Rollup),
    ("seal", Role::Seal),
    ("api", Role::Api),
    ("door", Role::Door),
];

/// Where the table begins in docs/security.md.
const HEAD: &str = "| table | ingest | notify | rollup | seal | api | door |\n|---|---|---|---|---|---|---|\n";

/// Rows of the table as the database has it: S, I, U, D of a role on a table; small where it is of some columns; ! is a right
/// that nobody may have.
const RIGHTS: &str = "SELECT '| `' || c.relname || '` | ' || string_agg(coalesce(nullif(right_of, ''), '–'), ' | ' ORDER BY place) || ' |'
    FROM pg_class c, unnest($1::text[]) WITH ORDINALITY AS r (role, place), LATERAL (
        SELECT coalesce(string_agg(CASE WHEN has_table_privilege(role, c.oid, wanted) THEN letter
                WHEN wanted <> 'DELETE' AND has_any_column_privilege(role, c.oid, wanted) THEN lower(letter) END, '' ORDER BY n), '')
            || CASE WHEN has_table_privilege(role, c.oid, 'TRUNCATE, TRIGGER, REFERENCES') OR pg_has_role(role, c.relowner, 'MEMBER') THEN '!' ELSE '' END AS right_of
        FROM (VALUES (1, 'SELECT', 'S'), (2, 'INSERT', 'I'), (3, 'UPDATE', 'U'), (4, 'DELETE', 'D')) AS w (n, wanted, letter)) x
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    GROUP BY c.relname ORDER BY c.relname COLLATE \"C\"";

#[tokio::test]
async fn each_role_may_what_the_table_of_the_security_page_says() {
    use_ring();
    let database = Database::start().await;
    let client = database.connect().await;
    let names: Vec<String> = PROCESSES.iter().map(|(name, _)| format!("rideguard_{name}")).collect();
    let rows = client.query(RIGHTS, &[&names]).await.unwrap();
    let now: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(&file).unwrap();
    let (before, table) = page.split_once(HEAD).expect("the table of roles and rights is there");
    let length = table.find("\n\n").expect("something follows") + 1;
    if std::env::var_os("RIDEGUARD_UPDATE_SCHEMA").is_some() {
        fs::write(&file, format!("{before}{HEAD}{now}{}", &table[length..])).unwrap();
        return;
    }
    let written = &table[..length];
    let differs = now.lines().zip(written.lines()).find(|(now, written)| now != written);
    assert!(now == written, "docs/security.md differs from the database: {differs:?}\n{now}");
    assert!(rows.len() > 40 && !now.contains('!'), "{now}");
    // Each day of tracks has what the rollup needs, and is nobody else's.
    let of_days = "SELECT count(*) FILTER (WHERE r.role LIKE '%rollup') = count(*) FILTER (WHERE has_table_privilege(r.role, i.inhrelid, 'SELECT'))
            AND count(*) FILTER (WHERE has_table_privilege(r.role, i.inhrelid, 'INSERT, UPDATE, TRUNCATE, TRIGGER')) = 0
        FROM pg_inherits i, unnest($1::text[]) AS r (role) WHERE i.inhparent = 'track'::regclass";
    assert!(client.query_one(of_days, &[&names]).await.unwrap().get::<_, bool>(0));
}

async fn refused(client: &Client, who: &str, statement: &str) {
    let tried = client.batch_execute(statement).await;
    let code = tried.as_ref().err().and_then(|e| e.code()).map(|c| c.code().to_owned());
    // 42501: insufficient privilege (PostgreSQL, "Error Codes").
    assert_eq!(code.as_deref(), Some("42501"), "{who}: {statement}: {tried:?}");
}

#[tokio::test]
async fn what_a_process_has_no_use_for_is_refused_when_it_tries() {
    use_ring();
    let database = Database::start().await;
    let connect = async |role| store::connect(&store::settings(&database.config, role).unwrap(), "test").await.unwrap();
    for (who, role) in PROCESSES {
        let client = connect(role).await;
        for statement in [
            "UPDATE audit SET action = 'x'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "ALTER TABLE audit DISABLE TRIGGER ALL",
            "DROP TRIGGER audit_is_only_added_to ON audit",
            "DROP FUNCTION audit_is_only_added_to() CASCADE",
            "SELECT password_hash FROM account",
            "SELECT * FROM session",
            "INSERT INTO session (token_sha256, account_id, expires_at) VALUES ('x', 1, 'infinity')",
            "UPDATE account SET role = 'admin'",
            "UPDATE access_grant SET valid_to = 'infinity'",
            "INSERT INTO access_grant (account_id, case_number, document, purpose, approved_by, valid_to) VALUES (1, '', '', '', 2, 'infinity')",
            "DELETE FROM access_grant",
            "UPDATE ownership SET valid_to = now()",
            "DELETE FROM migration",
            "CREATE TABLE mine (x integer)",
            "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "SET ROLE rideguard_owner",
            "SET ROLE rideguard",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('PG_VERSION')",
            "SELECT lo_create(0)",
            "CREATE TEMP TABLE mine (x integer)",
        ] {
            refused(&client, who, statement).await;
        }
        if role != Role::Rollup {
            refused(&client, who, "SELECT pg_try_advisory_lock(1)").await;
            refused(&client, who, "SELECT drop_day('fix', 'fix_20200101')").await;
        }
        // The row of an audit comes with the look that it is of: by a function of the API's.
        refused(&client, who, "INSERT INTO audit (action, question) VALUES ('x', '{}')").await;
        refused(&client, who, "SELECT write_audit(1, NULL, 'x', '{}', 0)").await;
    }
    // Nor do the functions that change the schema for the rollup change anything but days.
    let rollup = connect(Role::Rollup).await;
    for call in [
        "SELECT drop_day('account', 'account_20200101')",
        "SELECT drop_day('fix', 'audit')",
        "SELECT make_partitions('audit', ARRAY['2026-01-01'::date])",
        "SELECT begin_exchange('audit')",
        "SELECT exchange_day('track_20260101', 'audit')",
    ] {
        let error = rollup.batch_execute(call).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "P0001", "{call}: {error:?}");
    }
    let admin = database.connect().await;
    let is_superuser = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'rideguard%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)";
    assert_eq!(admin.query(is_superuser, &[]).await.unwrap().len(), 0);
    refused(&admin, "admin", "ALTER ROLE rideguard_api SUPERUSER").await;
    refused(&admin, "admin", "COPY (SELECT 1) TO PROGRAM 'true'").await;
}

/// Who is connected, but for the asker; superusers with a star.
async fn connected(client: &Client) -> Vec<String> {
    let sql = "SELECT DISTINCT usename || CASE WHEN rolsuper THEN '*' ELSE '' END FROM pg_stat_activity JOIN pg_roles ON rolname = usename
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY 1";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_process_alone_needs_its_own_password_only_and_connects_as_nobody_else() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    let client = up.superuser().await;
    up.wait_for("SELECT count(*) FROM pg_stat_activity WHERE usename = 'rideguard_rollup'", 1).await;
    let all = ["rideguard_api", "rideguard_ingest", "rideguard_notify", "rideguard_rollup"];
    let mut everybody = connected(&client).await;
    for _ in 0..50 {
        if !everybody.iter().any(|e| e == "rideguard") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // this test's own question before is going
        everybody = connected(&client).await;
    }
    assert!(all.iter().all(|role| everybody.iter().any(|e| e == role)), "{everybody:?}");
    assert!(everybody.iter().all(|e| !e.ends_with('*') && (e != "rideguard")), "{everybody:?}");
    up.kill();
    // Each is at work when it has done what only it does.
    let at_work = [
        (
            "ingest",
            "SELECT count(*) = 16 FROM lane WHERE lease_until > now() AND owner LIKE '%-%' AND backend_pid IN (SELECT pid FROM pg_stat_activity)",
        ),
        ("notify", "SELECT count(*) = 2 FROM pg_stat_activity WHERE usename = 'rideguard_notify'"),
        ("rollup", "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7241006"),
        ("api", "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'rideguard_api'"),
        ("door", "SELECT count(*) > 2 FROM pg_stat_activity WHERE usename = 'rideguard_door'"),
    ];
    let door = format!(
        "[link]\nworkers = [\"127.0.0.1:9\"]\nsecret_file = \"secrets/database-door\"\n[door]\nlistener = [{{ language = \"gt06\", listen = \"127.0.0.1:{}\" }}]",
        free_port()
    );
    for (role, question) in at_work {
        client
            .execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE 'rideguard%'",
                &[],
            )
            .await
            .unwrap();
        client.execute("UPDATE lane SET lease_until = '-infinity'", &[]).await.unwrap();
        let more = if role == "door" { door.clone() } else { String::new() };
        let process = Process::start(&up.folder, role, &Differs { is_alone: true, more, ..Differs::default() });
        let since = Instant::now();
        let is_ready =
            || async { role != "api" || up.text_if_there("/ready").await.is_some_and(|t| t.contains("ready")) };
        while !is_ready().await || !client.query_one(question, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(since.elapsed() < PATIENCE, "{role} does not get to work:\n{}", process.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..20 {
            assert_eq!(connected(&client).await, [format!("rideguard_{role}")], "{}", process.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!process.log().contains("permission denied"), "{}", process.log());
    }
}

#[tokio::test]
async fn a_process_with_a_password_of_its_own_waits_for_the_schema() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    up.kill();
    let client = up.superuser().await;
    client.execute("DELETE FROM migration WHERE name = (SELECT max(name) FROM migration)", &[]).await.unwrap();
    let process = Process::start(&up.folder, "ingest", &Differs { is_alone: true, ..Differs::default() });
    let since = Instant::now();
    while !process.log().contains("waiting for `rideguard migrate`") {
        assert!(since.elapsed() < PATIENCE, "{}", process.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A data folder as a release of before 0041 left it: its first role is `rideguard`, and has everything.
fn earlier(folder: &Path) -> Option<Disk> {
    let folder = Folder::open(folder).unwrap();
    let (password_file, password) = folder.secret("database").unwrap();
    let (_, api_password) = folder.secret("database-api").unwrap();
    let home = folder.service("postgres").unwrap();
    let as_servant = |program: &str| {
        let mut command = Command::new(bin_folder().unwrap().join(program));
        if let Some(servant) = folder.service_user() {
            command.uid(servant.uid).gid(servant.gid);
        }
        command.current_dir("/").env("PGPASSWORD", &password);
        command
    };
    let copy = home.join("password");
    fs::copy(password_file, &copy).unwrap();
    folder.hand_over(&copy).unwrap();
    let made = as_servant("initdb")
        .args(["--username=rideguard", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
        .arg(home.join("data"))
        .arg(format!("--pwfile={}", copy.display()))
        .output();
    assert!(made.unwrap().status.success());
    fs::remove_file(&copy).unwrap();
    let mut postgres = Postgres::start(&folder, None).unwrap();
    let script = folder.path("earlier.sql");
    let made = format!(
        "{}\nCREATE ROLE rideguard_api LOGIN PASSWORD '{api_password}';\nGRANT rideguard_api_rights TO rideguard_api;\n
         SELECT make_partitions('fix', ARRAY[current_date]) + make_partitions('track', ARRAY[current_date]);\n
         INSERT INTO account (login, name, role, password_hash) VALUES ('before', 'Before', 'owner', '');\n
         INSERT INTO audit (action, question) VALUES ('before', '{{}}');\n",
        migrations_up_to("0040")
    );
    fs::write(&script, made).unwrap();
    let applied = Command::new(bin_folder().unwrap().join("psql"))
        .args(["-q", "-1", "-v", "ON_ERROR_STOP=1", "-U", "rideguard", "-d", "postgres", "-h", &postgres.host])
        .args(["-p", &postgres.port.to_string(), "-f"])
        .arg(&script)
        .env("PGPASSWORD", &password)
        .output()
        .unwrap();
    postgres.stop();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    fs::remove_file(folder.path("secrets/database-superuser")).unwrap();
    None
}

#[tokio::test]
async fn a_data_folder_of_an_earlier_release_is_right_after_its_first_start() {
    use_ring();
    let mut up = Up::start_on(3, &[], earlier).await;
    for start in 1..=2 {
        let client = up.superuser().await;
        let everybody = connected(&client).await;
        assert!(everybody.iter().all(|e| !e.ends_with('*')), "start {start}: {everybody:?}");
        let superusers =
            "SELECT string_agg(rolname || ' ' || rolcanlogin, ', ' ORDER BY rolname) FROM pg_roles WHERE rolsuper";
        let superusers: String = client.query_one(superusers, &[]).await.unwrap().get(0);
        assert_eq!(superusers, "postgres true, rideguard_bootstrap false", "start {start}");
        let others = "SELECT count(*) FROM (
            SELECT relowner AS owner, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i' UNION ALL
            SELECT proowner, oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL
            SELECT typowner, oid FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e') UNION ALL
            SELECT nspowner, oid FROM pg_namespace WHERE nspname = 'public') o
            WHERE owner <> 'rideguard_owner'::regrole AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')
                AND NOT EXISTS (SELECT FROM pg_type t JOIN pg_depend d ON d.objid = t.oid AND d.deptype = 'e' WHERE t.typrelid = o.oid)";
        let left: i64 = client.query_one(others, &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "start {start}: objects of somebody else");
        let there = "SELECT (SELECT count(*) FROM account WHERE login = 'before') + (SELECT count(*) FROM audit WHERE action = 'before')";
        assert_eq!(up.count(there).await, 2, "start {start}: what was there is there");
        let verified = up.command(&["verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        drop(client);
        assert!(up.interrupt());
        up.start_again().await;
    }
    // A backup of it is one of now.
    let elsewhere = tempfile::tempdir().unwrap();
    let made = up.command(&["backup", &elsewhere.path().join("backup").to_string_lossy()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn a_first_start_that_was_killed_half_way_is_gone_on_with() {
    use_ring();
    let database = Database::start().await;
    let client = database.superuser().await;
    // It had made the superuser, and had not yet taken the rights from the role that administers.
    client.batch_execute("ALTER ROLE rideguard SUPERUSER; ALTER TABLE audit OWNER TO rideguard").await.unwrap();
    store::roles::prepare(&database.config).await.unwrap();
    let sql = "SELECT rolsuper, (SELECT relowner FROM pg_class WHERE oid = 'audit'::regclass) = 'rideguard_owner'::regrole FROM pg_roles WHERE rolname = 'rideguard'";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (false, true));
}

#[tokio::test]
async fn a_server_where_nobody_made_the_roles_is_refused_with_what_to_do() {
    use_ring();
    let database = Database::start().await;
    let mut without: rideguard::config::Database = database.config.clone();
    without.superuser_password_file = None;
    store::roles::prepare(&without).await.unwrap();
    let client = database.superuser().await;
    client.batch_execute("DROP OWNED BY rideguard_seal_rights; DROP ROLE rideguard_seal_rights").await.unwrap();
    let error = store::roles::prepare(&without).await.unwrap_err().to_string();
    assert!(error.contains("no role rideguard_seal_rights") && error.contains("schema/roles.sql"), "{error}");
    let one_for_all = rideguard::config::Database { ingest_user: "rideguard".into(), ..database.config.clone() };
    let error = format!("{:#}", store::roles::prepare(&one_for_all).await.unwrap_err());
    assert!(error.contains("two processes have the role rideguard"), "{error}");
}

#[tokio::test]
async fn settings_of_before_run_each_process_with_the_rights_of_administration() {
    use_ring();
    let mut up = Up::start(3, &[]).await;
    up.kill();
    let mut settings: toml::Table = fs::read_to_string(up.config()).unwrap().parse().unwrap();
    let database = settings["database"].as_table_mut().unwrap();
    database.retain(|key, _| !["ingest", "notify", "rollup", "seal"].iter().any(|role| key.starts_with(role)));
    fs::write(up.config(), settings.to_string()).unwrap();
    assert!(Config::read(&up.config()).unwrap().database.login(Role::Ingest).is_none());
    let client = up.superuser().await;
    client
        .execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE 'rideguard%'", &[])
        .await
        .unwrap();
    client.execute("UPDATE lane SET lease_until = '-infinity'", &[]).await.unwrap();
    let process = Process::start(&up.folder, "ingest", &Differs::default());
    up.wait_for("SELECT (count(*) = 16)::int::bigint FROM lane WHERE lease_until > now()", 1).await;
    let warned = process.log().matches("running with the rights of administration").count();
    assert_eq!(warned, 1, "{}", process.log());
}

#[tokio::test]
async fn a_day_that_an_earlier_release_left_half_detached_is_dropped_by_the_rollup() {
    use_ring();
    let database = Database::start().await;
    let (client, reader) = (database.connect().await, database.connect().await);
    let oldest = "SELECT min(c.relname::text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'fix'::regclass";
    let day: String = client.query_one(oldest, &[]).await.unwrap().get(0);
    // Who reads holds it up, and it is given up between its two transactions.
    reader.batch_execute("BEGIN; SELECT FROM fix").await.unwrap();
    client.batch_execute("SET lock_timeout = '200ms'").await.unwrap();
    let detach = format!("ALTER TABLE fix DETACH PARTITION {day} CONCURRENTLY");
    client.batch_execute(&detach).await.expect_err("somebody reads");
    reader.batch_execute("ROLLBACK").await.unwrap();
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    assert_eq!(client.query_one(pending, &[]).await.unwrap().get::<_, i64>(0), 1);
    let next = "SELECT right(min(c.relname::text), 8) FROM pg_class c WHERE c.relname ~ '^fix_[0-9]{8}$' AND c.relname > $1::text";
    let before: String = client.query_one(next, &[&day]).await.unwrap().get(0);
    let dropped = partitions::drop_days(&database.rollup().await, "fix", &before, &[]).await.unwrap();
    let is_there = "SELECT to_regclass($1::text) IS NOT NULL";
    assert_eq!((dropped, client.query_one(is_there, &[&day]).await.unwrap().get::<_, bool>(0)), (1, false));
}
