//! What somebody changes in the sealed audit, with no trigger in the way, is found and named.

use crate::audit::{check, keys, kinds, look, seal_all, wait_until};
use crate::harness::{Database, superuser, use_ring};
use rideguard::seal::verify;
use rideguard::store::audit::check::Kind;
use rideguard::store::{self, roles};
use std::fs;
use std::path::{Path, PathBuf};
use tokio_postgres::Client;

/// Seals of three rows each, as a database that others are copied from; the heads file.
async fn sealed_template(database: &Database, folder: &Path) -> PathBuf {
    let mut settings = database.settings.clone();
    database.superuser().await.batch_execute("CREATE DATABASE sealed").await.unwrap();
    let config = rideguard::config::Database { name: "sealed".into(), ..database.config.clone() };
    roles::prepare(&config).await.unwrap();
    let mut client = store::connect(settings.dbname("sealed"), "test").await.unwrap();
    store::migrate::migrate(&mut client).await.unwrap();
    let (key, _) = keys(folder, 1);
    let mut lines = String::new();
    for n in 0..30 {
        look(&client, &format!("look {n}")).await;
        if n % 3 == 2 {
            lines += &seal_all(&mut client, &key).await.last().unwrap().line().unwrap();
        }
    }
    look(&client, "not sealed yet").await;
    let file = folder.join("outside.jsonl");
    fs::write(&file, lines).unwrap();
    file
}

/// A copy of it, in which a superuser has done something with no trigger in his way.
async fn tampered(database: &Database, name: &str, what: &str) -> Client {
    let admin = database.superuser().await;
    let copy = format!("CREATE DATABASE {name} TEMPLATE sealed");
    wait_until("the template has no sessions", async || admin.batch_execute(&copy).await.is_ok()).await;
    let mut settings = database.settings.clone();
    let client = superuser(settings.dbname(name).clone(), database.superuser_password_file()).await;
    client.batch_execute(&format!("SET session_replication_role = replica; {what}")).await.unwrap();
    client
}

#[tokio::test]
async fn what_a_superuser_changes_is_found_and_named() {
    use_ring();
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let outside = [sealed_template(&database, folder.path()).await];
    let (_, public) = keys(folder.path(), 1);
    let mut client = tampered(&database, "untouched", "").await;
    let report = check(&mut client, &public, &outside).await;
    assert!(report.ok, "{report:#?}");
    assert_eq!((report.rows, report.seals, report.heads[0].heads, report.unsealed_rows), (30, 10, 10, 1));
    assert!(report.unsealed_since.is_some());

    let cases: [(&str, &str, &[Kind], &str); 9] = [
        ("changed", "UPDATE audit SET account_id = 8 WHERE audit_id = 11", &[Kind::ChangedRow], "seal 4 is not what"),
        ("deleted", "DELETE FROM audit WHERE audit_id = 14", &[Kind::MissingRow], "seal 5 are missing: audit_id 14"),
        (
            "added",
            "INSERT INTO audit (audit_id, xact, account_id, action, question) OVERRIDING SYSTEM VALUE
             SELECT 1000, xact, 9, 'vehicles', '{}' FROM audit WHERE audit_id = 5",
            &[Kind::AddedRow],
            "audit_id 1000",
        ),
        (
            "a_seal_deleted",
            "DELETE FROM audit_seal WHERE number = 3",
            &[Kind::MissingSeal],
            "seal 3 is missing, of 3 rows",
        ),
        (
            "seal_rows",
            "UPDATE audit_seal SET rows = 99 WHERE number = 3",
            &[Kind::ChangedSeal, Kind::BadSignature],
            "seal 3 says",
        ),
        ("seal_ids", "UPDATE audit_seal SET ids = '{[7,9)}' WHERE number = 3", &[Kind::ChangedRow], "seal 3"),
        ("endless", "UPDATE audit_seal SET ids = '{[7,)}' WHERE number = 3", &[Kind::ChangedSeal], "seal 3"),
        (
            "signature",
            "UPDATE audit_seal SET signature = decode(repeat('00', 64), 'hex') WHERE number = 10",
            &[Kind::BadSignature],
            "head 10 of",
        ),
        (
            "time_of_seal",
            "UPDATE audit_seal SET sealed_at = sealed_at - interval '1 year' WHERE number = 2",
            &[Kind::BadSignature],
            "head 2 of",
        ),
    ];
    for (name, what, expected, words) in cases {
        let mut client = tampered(&database, name, what).await;
        let report = check(&mut client, &public, &[]).await;
        let found = kinds(&report);
        assert!(!report.ok && expected.iter().all(|kind| found.contains(kind)), "{name}: {report:#?}");
        assert!(report.findings[0].text.contains(words), "{name}: {report:#?}");
    }

    // A signature alone of an earlier seal changes nothing that the newest does not hold; who asks is told.
    let earlier = "UPDATE audit_seal SET signature = decode(repeat('00', 64), 'hex') WHERE number = 4";
    let mut client = tampered(&database, "earlier", earlier).await;
    assert!(check(&mut client, &public, &[]).await.ok);
    let report = verify::run(&mut client, public.clone(), &[], true).await.unwrap();
    assert_eq!((kinds(&report), report.findings[0].seal), (vec![Kind::BadSignature], Some(4)), "{report:#?}");

    // The end of the table is gone, seals and all: only a head from elsewhere knows of it.
    let tail = "DELETE FROM audit WHERE audit_id > 24; DELETE FROM audit_seal WHERE number > 8";
    let mut client = tampered(&database, "no_tail", tail).await;
    assert!(check(&mut client, &public, &[]).await.ok);
    let report = check(&mut client, &public, &outside).await;
    assert_eq!(kinds(&report), [Kind::HeadNotInTable; 2], "{report:#?}");
    assert!(report.findings[0].text.contains("outside.jsonl has head 9"), "{report:#?}");

    // Everything is sealed again with another key: the key and the heads from elsewhere know better.
    let (other, others) = keys(folder.path(), 2);
    let rewritten = "DELETE FROM audit WHERE audit_id = 1; DELETE FROM audit_seal";
    let mut client = tampered(&database, "rewritten", rewritten).await;
    seal_all(&mut client, &other).await;
    assert!(check(&mut client, &others, &[]).await.ok);
    assert_eq!(kinds(&check(&mut client, &public, &[]).await), [Kind::BadSignature]);
    let found = kinds(&check(&mut client, &others, &outside).await);
    assert!(found.contains(&Kind::HeadNotInTable) && found.contains(&Kind::BadSignature), "{found:?}");

    // With the triggers in place nobody gets so far.
    let client = tampered(&database, "guarded", "SET session_replication_role = origin").await;
    for change in ["UPDATE audit_seal SET rows = 1", "DELETE FROM audit_seal", "TRUNCATE audit_seal"] {
        let refused = client.batch_execute(change).await.unwrap_err();
        assert_eq!(refused.as_db_error().unwrap().message(), "rows of audit_seal are only added", "{change}");
    }
}
