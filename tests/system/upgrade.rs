//! A database of an earlier version, with what was in it: nothing is lost on the way to this one, and all is found.

use crate::harness::{Database, superuser};
use crate::questions::{PEOPLE, areas_equal_a_scan, city};
use crate::tracks::{assert_same, roll_everything, shapes_are_flat};
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use rideguard::clock::now;
use rideguard::rollup::{Rollup, last_closed};
use rideguard::store::tracks::clustering;
use rideguard::store::tracks::partitions;
use rideguard::store::{self, migrate};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use tokio_postgres::Client;

/// Versions with something about tracks that the next ones change: no cells; GiST gone, no footprints; footprints of a
/// square kilometre.
const VERSIONS: [&str; 3] = ["0011", "0018", "0024"];

/// What a program of then applied, and noted.
pub fn migrations_up_to(version: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut files: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|f| f.starts_with("00") && &f[..4] <= version);
    files.sort();
    let mut all = "CREATE TABLE migration (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());\n".to_owned();
    for file in files {
        let text = read(&file);
        let (name, sha256) = (file.trim_end_matches(".sql"), hex::encode(Sha256::digest(text.as_bytes())));
        all += &format!("{text};\nINSERT INTO migration (name, sha256) VALUES ('{name}', '{sha256}');\n");
    }
    all + &read("rights.sql")
}

/// A database as a program of then made it: its migrations, applied as now.
pub async fn old_database(database: &Database, version: &str) -> Client {
    let name = format!("as_of_{version}");
    let superuser_password_file = database.config.superuser_password_file.clone().unwrap();
    database.superuser().await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let mut settings = database.settings.clone();
    settings.dbname(&name);
    // A superuser was at work everywhere then.
    let client = superuser(settings.clone(), &superuser_password_file).await;
    client.batch_execute(&migrations_up_to(version)).await.unwrap();
    partitions::make(&client, 3).await.unwrap();
    // The start of this program's makes the roles, and gives all of it to the owner.
    let config = rideguard::config::Database { name, ..database.config.clone() };
    store::roles::prepare(&config).await.unwrap();
    store::connect(&settings, "test").await.unwrap()
}

/// Takes the rows of a query over into another database's table.
async fn take_over(from: &Client, query: &str, to: &Client, table: &str) {
    let rows: Vec<Bytes> =
        from.copy_out(&format!("COPY ({query}) TO STDOUT")).await.unwrap().try_collect().await.unwrap();
    assert!(!rows.is_empty(), "{table} of before is empty");
    let sink = to.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for row in rows {
        sink.send(row).await.unwrap();
    }
    sink.finish().await.unwrap();
}

#[tokio::test]
async fn an_old_database_is_brought_up_to_date_with_all_that_is_hot_late_and_in_pieces() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let (database, as_now) = city().await;
    for version in VERSIONS {
        let mut old = old_database(&database, version).await;
        old.batch_execute(PEOPLE).await.unwrap();
        old.batch_execute("CREATE TABLE told (tracker_id bigint, fixed_at timestamptz, lon float8, lat float8, speed float8, held boolean)").await.unwrap();
        // Footprints as they were then: none, or the first fix in a cell of a hundredth of a degree and a quarter of an hour.
        let footprint = if version < "0019" { 0 } else { 4096 };
        let hot = format!("SELECT tracker_id, fixed_at, digest, received_at, vehicle_id, speed_kmh, course_deg, altitude_m, accuracy_m, satellites, source,
            flags & ~12288 | CASE WHEN row_number() OVER (PARTITION BY tracker_id, date_bin('15 minutes', fixed_at, 'epoch'),
                floor(ST_X(position) * 100), floor(ST_Y(position) * 100) ORDER BY fixed_at) = 1 THEN {footprint} ELSE 0 END, position FROM fix");
        // Without the columns of cells, or all.
        let (columns, into) = if version < "0012" {
            let columns = "tracker_id, vehicle_id, from_at, until_at, kind, fixes, path, more";
            (columns, format!("({columns})"))
        } else {
            ("*", String::new())
        };
        for table in ["track", "track_open"] {
            take_over(&as_now, &format!("SELECT {columns} FROM {table}"), &old, &format!("{table} {into}")).await;
        }
        take_over(&as_now, "SELECT * FROM told", &old, "told").await;
        take_over(&as_now, &hot, &old, "fix").await;
        take_over(&as_now, "SELECT * FROM fix_late", &old, "fix_late").await;
        old.batch_execute("DELETE FROM rollup_mark").await.unwrap();
        let marks = "closing_to, rolled_to, released_to";
        take_over(&as_now, &format!("SELECT {marks} FROM rollup_mark"), &old, &format!("rollup_mark ({marks})")).await;

        assert!(migrate::migrate(&mut old).await.unwrap() > 0);
        assert_eq!(migrate::migrate(&mut old).await.unwrap(), 0);
        assert_same(&old, true, version).await;
        shapes_are_flat(&old).await;
        areas_equal_a_scan(&old, seed, 15).await;
        // And work goes on.
        let mut settings = database.settings.clone();
        let settings = settings.dbname(format!("as_of_{version}"));
        let password = rideguard::config::read_secret(database.config.rollup_password_file.as_ref().unwrap()).unwrap();
        let settings = settings.user("rideguard_rollup").password(password);
        let connect = || async { store::connect(settings, "test").await.unwrap() };
        let (mut writer, reader) = (connect().await, connect().await);
        let mut rollup = Rollup::lead(connect().await).await.unwrap().unwrap();
        roll_everything(&mut rollup, last_closed(now(), 300)).await.unwrap();
        while clustering::cluster_next_day(&mut writer, &reader).await.unwrap().is_some() {}
        assert_same(&old, true, version).await;
        areas_equal_a_scan(&old, seed, 15).await;
    }
}
