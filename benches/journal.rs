//! The journal: bytes an entry as it comes and sealed, and what sealing, reading and erasing take.
//!
//! Trackers of one lane speak for six hours of three days ago as `simulator say` makes them speak: parked for the first
//! half of their time, then moving; each in turn every ten seconds, and every five minutes as parked ones do. Rows
//! have `RIDEGUARD_BENCH_ROW` packets (2: what 10 ms bring a lane at 2,000 a second); bytes are those of tables and indexes.

#[path = "support/cpu.rs"]
mod cpu;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::config::{Journal, read_secret};
use rideguard::domain::{Entry, Lane, Packet, Shard, Timestamp, Way};
use rideguard::engine::LaneState;
use rideguard::store::archive::keys::KeyStore;
use rideguard::store::archive::write;
use rideguard::store::archive::write::Sealed;
use rideguard::store::journal::{self, Asked};
use rideguard::store::{self, migrate};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::Postgres;
use std::process::Command;
use std::time::Instant;
use tokio_postgres::Client;

const LANE: Lane = Lane(0);
const HOURS: f64 = 6.0;
/// Language, seconds between two messages of a tracker, trackers.
const CITIES: [(&str, f64, usize); 4] =
    [("json", 10.0, 100), ("json", 300.0, 1000), ("jt808", 10.0, 100), ("jt808", 300.0, 1000)];

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    for (language, every_s, trackers) in CITIES {
        let root = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        let folder = Folder::open(&root)?;
        let mut postgres = Postgres::start(&folder, None)?;
        let key_store = KeyStore::of(&Journal { key_file: Some(folder.key("journal-key")?), ..Journal::default() });
        store::roles::prepare(&postgres.settings(&folder)?).await?;
        let measured = city(&postgres, &key_store, language, every_s, trackers).await;
        postgres.stop();
        std::fs::remove_dir_all(&root)?;
        measured?;
    }
    Ok(())
}

async fn city(
    postgres: &Postgres,
    key_store: &KeyStore,
    language: &str,
    every_s: f64,
    trackers: usize,
) -> anyhow::Result<()> {
    let mut settings = tokio_postgres::Config::new();
    let password = read_secret(&postgres.password_file)?;
    settings.host(&postgres.host).port(postgres.port).dbname("postgres").user("rideguard").password(password);
    let mut client = store::connect(&settings, "bench").await?;
    migrate::migrate(&mut client).await?;
    let (idents, entries) = write(&mut client, language, every_s, trackers).await?;
    let name = |figure: &str| format!("journal.{language}_every_{every_s}_s.{figure}");
    let rows = bytes(&client, &["journal", "journal_outcome"]).await?;
    println!("{}: {:.1} B", name("bytes_per_entry_in_rows"), rows / entries);

    let spent = || cpu::cpu_s(std::process::id()) + cpu::with_children_s(postgres.pid() as u32);
    let (before_s, started, mut sealed) = (spent(), Instant::now(), Sealed::default());
    write::run(&mut client, key_store, rideguard::clock::now(), &mut sealed).await?;
    println!("{}: {:.2} s", name("seal_per_million"), started.elapsed().as_secs_f64() / entries * 1e6);
    println!("{}: {:.2} s", name("seal_cpu_per_million"), (spent() - before_s) / entries * 1e6);
    let blocks = bytes(&client, &["journal_range", "journal_block", "journal_key"]).await?;
    println!("{}: {:.1} B", name("bytes_per_entry_sealed"), blocks / entries);
    println!("{}: {:.1} B", name("content_per_entry_sealed"), sealed.bytes as f64 / entries);
    println!("{}: {:.0} entries", name("entries_per_block"), entries / sealed.blocks as f64);

    let (started, mut n, mut read) = (Instant::now(), 0, 0);
    loop {
        let batches = journal::read_after(&client, key_store, LANE, n, 256).await?;
        let Some(last) = batches.last() else { break };
        n = last.n;
        read += batches.iter().map(|b| b.entries.len()).sum::<usize>();
    }
    ensure!(read as f64 == entries + 1.0, "{read} entries were read");
    println!("{}: {:.2} s", name("read_per_million"), started.elapsed().as_secs_f64() / entries * 1e6);
    let (from, to) = (Timestamp::from_secs(0), rideguard::clock::now());
    let (asked, started) = (Asked { from, to, tracker: idents.first().cloned() }, Instant::now());
    journal::scan(&mut client, key_store, &asked, |_| Ok(())).await?;
    println!("{}: {:.1} ms", name("read_of_one_tracker"), started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

async fn bytes(client: &Client, tables: &[&str]) -> anyhow::Result<f64> {
    let mut sum = 0;
    for table in tables {
        client.batch_execute(&format!("VACUUM FULL {table}")).await?;
        sum += client.query_one(&format!("SELECT pg_total_relation_size('{table}')"), &[]).await?.get::<_, i64>(0);
    }
    Ok(sum as f64)
}

/// Writes the lane's journal; who spoke, and how many packets it has.
async fn write(
    client: &mut Client,
    language: &str,
    every_s: f64,
    trackers: usize,
) -> anyhow::Result<(Vec<String>, f64)> {
    let simulator = std::path::Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
    let mut random = StdRng::seed_from_u64(1);
    let idents: Vec<String> =
        (0..).map(|n| format!("0138{n:08}")).filter(|i| Shard::of(i).lane() == LANE).take(trackers).collect();
    let count = (HOURS * 3600.0 / every_s) as usize;
    let begin = rideguard::clock::now().plus_secs_f64(-3.0 * 86_400.0);
    let mut packets = Vec::with_capacity(count * trackers);
    for (seed, ident) in (0_u32..).zip(&idents) {
        let said = Command::new(&simulator)
            .args(["say", "--protocol", language, "--count", &count.to_string(), "--seed", &seed.to_string()])
            .output()
            .context("cannot start the simulator: cargo build --release --workspace first")?;
        let offset_s = random.random_range(0.0..every_s);
        for (n, line) in std::str::from_utf8(&said.stdout)?.lines().enumerate() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            packets.push(Packet {
                topic: format!("v1/{}/{ident}/up", Shard::of(ident).0),
                received_at: begin.plus_secs_f64(offset_s + n as f64 * every_s + random.random_range(0.0..0.5)),
                payload: hex::decode(message["payload"].as_str().context("a payload")?)?,
                way: Way::Broker,
            });
        }
    }
    packets.sort_by_key(|p| p.received_at);
    let entries = packets.len() as f64;
    let row: usize = std::env::var("RIDEGUARD_BENCH_ROW").ok().and_then(|v| v.parse().ok()).unwrap_or(2);
    let lane = LANE.0 as i16;
    let transaction = client.transaction().await?;
    let sql = "WITH o AS (INSERT INTO journal_outcome VALUES ($1, $2, $7))
        INSERT INTO journal (lane, n, first_at, last_at, entries, content) VALUES ($1, $2, $3, $4, $5, $6)";
    let statement = transaction.prepare(sql).await?;
    let end = [Entry::Tick { at: rideguard::clock::now() }];
    let rows = packets.chunks(row).map(|some| some.iter().cloned().map(Entry::Packet).collect::<Vec<_>>());
    let mut last_n = 0;
    for (n, row) in (1_i64..).zip(rows.chain([end.to_vec()])) {
        let (first, last) = (row[0].at(), row[row.len() - 1].at());
        let (content, outcomes) = (journal::pack(&row)?, vec![1_u8; row.len()]);
        transaction.execute(&statement, &[&lane, &n, &first, &last, &(row.len() as i32), &content, &outcomes]).await?;
        last_n = n;
    }
    let state = journal::pack_any(&LaneState::default())?;
    let sql = "INSERT INTO checkpoint (lane, n, state) VALUES ($1, $2, $3)";
    transaction.execute(sql, &[&lane, &last_n, &state]).await?;
    transaction.commit().await?;
    Ok((idents, entries))
}
