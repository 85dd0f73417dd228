//! The chain over the audit: what checking a million rows takes, and what a seal takes above so many.
//!
//! Questions are as police ask them, a few hundred bytes at most. Seals have `RIDEGUARD_BENCH_SEAL_ROWS` rows (100: a second
//! of a busy city), then one each, which costs a seal a row. Every head stands in a file, too, and is compared.

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::SinkExt;
use rideguard::clock::now;
use rideguard::config::read_secret;
use rideguard::domain::Timestamp;
use rideguard::seal::key::{PublicKeys, SigningKey};
use rideguard::seal::verify;
use rideguard::store::audit::head::Head;
use rideguard::store::audit::{self, ChainHead, Row};
use rideguard::store::{self, migrate};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::Postgres;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::time::Instant;
use tokio_postgres::Client;

/// Rows read at a time.
const PAGE: i64 = 10_000;
/// Seals of one row whose time is taken.
const SEALS_TIMED: usize = 101;

fn number(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let root = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        let folder = Folder::open(&root)?;
        let mut postgres = Postgres::start(&folder, None)?;
        let measured = measure(&folder, &postgres).await;
        postgres.stop();
        fs::remove_dir_all(&root)?;
        measured
    })
}

async fn measure(folder: &Folder, postgres: &Postgres) -> anyhow::Result<()> {
    let mut settings = tokio_postgres::Config::new();
    store::roles::prepare(&postgres.settings(folder)?).await?;
    settings.host(&postgres.host).port(postgres.port).dbname("postgres");
    settings.user("rideguard").password(read_secret(&postgres.password_file)?);
    migrate::migrate(&mut store::connect(&settings, "bench").await?).await?;
    // Seals are taken away between the two runs, which nobody but a superuser can.
    settings.user("postgres").password(read_secret(&postgres.superuser_password_file)?);
    let mut client = store::connect(&settings, "bench").await?;
    let (rows, seal_rows) = (number("RIDEGUARD_BENCH_AUDIT_ROWS", 1_000_000), number("RIDEGUARD_BENCH_SEAL_ROWS", 100));
    client.batch_execute(&format!(
        "INSERT INTO audit (account_id, grant_id, action, question, rows_returned)
         SELECT 1 + n % 90, CASE WHEN n % 5 > 0 THEN 1 + n % 400 END, (ARRAY['vehicles', 'track', 'area', 'live', 'newest'])[1 + n % 5],
             CASE n % 3
             WHEN 0 THEN jsonb_build_object('text', '湘A' || n)
             WHEN 1 THEN jsonb_build_object('vehicle', n % 200000, 'from', now() - interval '1 day', 'to', now())
             ELSE jsonb_build_object('from', now() - interval '1 day', 'to', now(), 'area', jsonb_build_object('type', 'Polygon', 'coordinates',
                 jsonb_build_array((SELECT jsonb_agg(jsonb_build_array(round((random() * 360)::numeric, 5), round((random() * 90)::numeric, 5))) FROM generate_series(1, 8)))))
             END, n % 200
         FROM generate_series(1, {rows}::bigint) n;
         ANALYZE audit"
    ))
    .await?;
    let key = SigningKey::read(&folder.key("audit-key")?)?;
    let (public, heads) = (folder.path("audit-key.pub"), folder.path("heads.jsonl"));
    key.publish(&public)?;
    let figure = format!("people.audit_verify_per_million{}", if seal_rows == 100 { "" } else { "_of_other_seals" });
    for (figure, seal_rows) in [(figure.as_str(), seal_rows), ("people.audit_verify_per_million_one_a_seal", 1)] {
        seal_all(&mut client, &key, rows, seal_rows, &heads).await?;
        let (keys, started) = (PublicKeys::read(&public)?, Instant::now());
        let report = verify::run(&mut client, keys, std::slice::from_ref(&heads), false).await?;
        let took_s = started.elapsed().as_secs_f64();
        ensure!(report.ok && report.rows as i64 == rows, "{report:?}");
        println!("{figure}: {:.2} s", took_s / rows as f64 * 1e6);
    }
    let mut times_ms = Vec::new();
    for _ in 0..SEALS_TIMED {
        client.execute("SELECT write_audit(1, NULL, 'vehicles', '{}', 0)", &[]).await?;
        let started = Instant::now();
        let sealed = audit::seal(&mut client, now(), &|text| key.sign(text)).await?;
        times_ms.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(sealed.waiting == 0, "{sealed:?}");
    }
    times_ms.sort_by(f64::total_cmp);
    println!("people.audit_seal_p50: {:.1} ms", times_ms[SEALS_TIMED / 2]);
    Ok(())
}

/// Seals everything as so many seconds of so many rows would have, which takes less time.
async fn seal_all(
    client: &mut Client,
    key: &SigningKey,
    rows: i64,
    seal_rows: i64,
    heads: &Path,
) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL session_replication_role = replica; TRUNCATE audit_seal").await?;
    let state = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, system_identifier FROM pg_control_system()";
    let row = transaction.query_one(state, &[]).await?;
    let (decided, cluster): (String, i64) = (row.get(0), row.get(1));
    let (mut chain, mut number, mut bytes) = (ChainHead::default(), 0, Vec::new());
    let (mut seals, mut lines) = (Vec::new(), String::new());
    for page in 0..(rows + PAGE - 1) / PAGE {
        let sql =
            "SELECT audit_id, xact::text, at, account_id, grant_id, action, question::text, rows_returned FROM audit
            WHERE audit_id > $1 AND audit_id <= $2 ORDER BY audit_id";
        for row in transaction.query(sql, &[&(page * PAGE), &((page + 1) * PAGE)]).await? {
            let id: i64 = row.get(0);
            bytes.clear();
            Row {
                id,
                xact: row.get::<_, &str>(1).parse().context("a transaction")?,
                at_us: row.get::<_, Timestamp>(2).micros(),
                account: row.get(3),
                grant: row.get(4),
                action: row.get(5),
                question: row.get(6),
                rows: row.get(7),
            }
            .write(&mut bytes);
            chain.add(&bytes);
            if id % seal_rows == 0 || id == rows {
                number += 1;
                let mut head = Head { number, rows: id, head: chain.0, sealed_at: now(), signature: [0; 64] };
                head.signature = key.sign(&head.text());
                lines += &head.line()?;
                chain = head.link();
                let (first, head) = (1 + (number - 1) * seal_rows, head);
                seals.push(format!(
                    "{number}\t{{[{first},{})}}\t{id}\t\\\\x{}\t{}\t\\\\x{}\t{cluster}\t{decided}\t{decided}\n",
                    id + 1,
                    hex::encode(head.head),
                    head.sealed_at,
                    hex::encode(head.signature)
                ));
            }
        }
    }
    let sink = transaction.copy_in::<_, Bytes>("COPY audit_seal FROM STDIN").await?;
    let mut sink = pin!(sink);
    for some in seals.chunks(10_000) {
        sink.send(some.concat().into()).await?;
    }
    sink.finish().await?;
    transaction.commit().await?;
    client.batch_execute("VACUUM ANALYZE audit_seal").await?;
    Ok(fs::write(heads, lines)?)
}
