//! Tracks: what they cost to keep and how fast they are found.
//!
//! A city's days from `simulator tracks` are copied into the hot table and rolled up as they would be
//! slice by slice; then questions are asked through the audited functions and read as the API reads
//! them. The baseline of the same run is the hot table itself with a GiST over positions: rows. "Warm":
//! the same questions were asked once before. "Cold": PostgreSQL was restarted and its files dropped
//! from the page cache before each.
//!
//! `RIDEGUARD_BENCH_VEHICLES` (default 3,000) and `_DAYS` (1) set the size, or `_MINUTES` (of one day, from 07:00 on;
//! in quarters of an hour) instead of days, for larger cities; `_COLD` (0) how many cold questions; `_CROWD` (1,000,000)
//! how many trackers the box question has; `_ROWS` (1) whether the baseline is measured, too; `_RADIUS_M` (500) the
//! circle that is searched: where a million live in one town, one of 500 m holds more than an answer may.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "tracks/questions.rs"]
mod questions;

use anyhow::Context;
use rideguard::cli::import;
use rideguard::config::read_secret;
use rideguard::domain::Timestamp;
use rideguard::rollup::{self, Rollup};
use rideguard::store::proof::Proof;
use rideguard::store::tracks::clustering;
use rideguard::store::tracks::partitions;
use rideguard::store::tracks::queries::Officer;
use rideguard::store::{self, migrate};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::Postgres;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tokio_postgres::Client;

/// The rollup's slice, seconds.
const SLICE_S: f64 = 900.0;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

/// A private database with a city in it.
struct Place {
    root: PathBuf,
    folder: Folder,
    postgres: Postgres,
    client: Client,
    officer: Officer,
    from: Timestamp,
    /// How much of a city's life there is.
    minutes: i64,
}

async fn measure() -> anyhow::Result<()> {
    let (vehicles, days) = (setting("RIDEGUARD_BENCH_VEHICLES", 3000), setting("RIDEGUARD_BENCH_DAYS", 1));
    let minutes = setting("RIDEGUARD_BENCH_MINUTES", 0);
    let mut place = Place::make(vehicles, days, minutes).await?;
    let vehicle_days = f64::from(vehicles) * place.minutes as f64 / 1440.0;
    let measured = place.everything(vehicle_days).await;
    place.postgres.stop();
    std::fs::remove_dir_all(&place.root)?;
    measured
}

impl Place {
    async fn make(vehicles: u32, days: u32, minutes: u32) -> anyhow::Result<Self> {
        let root = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        let folder = Folder::open(&root)?;
        let postgres = Postgres::start(&folder, None)?;
        store::roles::prepare(&postgres.settings(&folder)?).await?;
        let mut client = connect(&postgres).await?;
        migrate::migrate(&mut client).await?;
        client
            .batch_execute(
                "INSERT INTO account (account_id, login, name, role, password_hash) VALUES (1, 'officer', 'o', 'police', ''), (2, 'chief', 'c', 'police', '');
                 INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_to, area_km2_max, hours_max)
                 VALUES (1, 1, 'bench', 'bench', 'bench', 2, 'infinity', 1000, 10000);
                 INSERT INTO session (token_sha256, account_id, expires_at) VALUES (sha256('officer'), 1, 'infinity');
                 INSERT INTO account (login, name, role, password_hash) SELECT 'bench-' || n, '', 'owner', '!' FROM generate_series(1, 20000) n;
                 INSERT INTO session (token_sha256, account_id, expires_at)
                 SELECT sha256(convert_to(login, 'UTF8')), account_id, 'infinity' FROM account WHERE login LIKE 'bench-%'",
            )
            .await?;
        let simulator = std::path::Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
        let midnight = (rideguard::clock::now().micros() / 86_400_000_000 - i64::from(days)) * 86_400;
        let (how_long, from_s, minutes) = match minutes {
            0 => (["--days".to_owned(), days.to_string()], midnight, i64::from(days) * 1440),
            _ => (["--hours".to_owned(), (f64::from(minutes) / 60.0).to_string()], midnight + 7 * 3600, minutes.into()),
        };
        let from = Timestamp::from_secs(from_s);
        let made = Command::new(simulator)
            .args(["tracks", "--vehicles", &vehicles.to_string()])
            .args(how_long)
            .args(["--from", &midnight.to_string(), "--out"])
            .arg(root.join("city"))
            .output()
            .context("cannot start the simulator: cargo build --release --workspace first")?;
        eprint!("{}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
        anyhow::ensure!(made.status.success(), "the simulator failed");
        Ok(Self {
            root,
            folder,
            postgres,
            client,
            officer: Officer { session: Proof::shown("officer"), grant: 1 },
            from,
            minutes,
        })
    }

    fn end(&self) -> Timestamp {
        self.from.plus_secs_f64(self.minutes as f64 * 60.0)
    }

    async fn everything(&mut self, vehicle_days: f64) -> anyhow::Result<()> {
        self.write_path().await?;
        let fixes = self.load().await?;
        self.roll_up(fixes).await?;
        self.sizes(vehicle_days).await?;
        self.ask_about_areas().await?;
        self.ask_about_vehicles().await?;
        self.ask_about_now().await?;
        self.ask_cold(setting("RIDEGUARD_BENCH_COLD", 0)).await
    }

    /// Our way into the hot table against a bare COPY into a table of the same form, batch by batch in turn.
    async fn write_path(&self) -> anyhow::Result<()> {
        let batches = import::sample(&self.root.join("city"), 12)?;
        for (name, share) in
            [("", 0.0), ("_one_duplicate", f64::MIN_POSITIVE), ("_5_percent", 0.05), ("_all_duplicates", 1.0)]
        {
            let days = batches.iter().flatten().map(|r| r.fixed_at);
            partitions::make_for(&self.client, "fix", days).await?;
            self.client.batch_execute("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE fix INCLUDING ALL); CREATE INDEX ON bare USING brin (fixed_at)").await?;
            let (mut ours_s, mut bare_s) = (0.0, 0.0);
            let hot = store::tracks::import::Hot::prepare(&self.client).await?;
            for batch in &batches {
                let there = ((batch.len() as f64 * share).ceil() as usize).min(batch.len());
                hot.put(&self.client, &batch[..there]).await?;
                let started = Instant::now();
                hot.put(&self.client, batch).await?;
                ours_s += started.elapsed().as_secs_f64();
                let started = Instant::now();
                store::tracks::import::copy_bare(&self.client, "bare", batch).await?;
                bare_s += started.elapsed().as_secs_f64();
            }
            println!("tracks.copy_vs_raw{name}: {:.2} x", bare_s / ours_s);
            self.client.batch_execute("TRUNCATE fix").await?;
        }
        self.client.batch_execute("DROP TABLE bare").await?;
        Ok(())
    }

    async fn load(&self) -> anyhow::Result<u64> {
        let started = Instant::now();
        let fixes = import::file(&self.client, &self.root.join("city")).await?;
        println!("tracks.load_rate: {:.0} fixes/s", fixes as f64 / started.elapsed().as_secs_f64());
        println!("tracks.fixes: {fixes} fixes");
        let hot: i64 = self.count("SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'fix'::regclass").await?;
        println!("tracks.bytes_per_hot_fix: {:.1} B", hot as f64 / fixes as f64);
        std::fs::remove_file(self.root.join("city"))?;
        Ok(fixes)
    }

    async fn count(&self, question: &str) -> anyhow::Result<i64> {
        Ok(self.client.query_one(question, &[]).await?.get(0))
    }

    /// Slice by slice, as it is in life; everybody's processor time counts. Before the last one is closed, questions
    /// reach into it.
    async fn roll_up(&self, fixes: u64) -> anyhow::Result<()> {
        let password = read_secret(&self.postgres.superuser_password_file)?;
        let mut superuser = settings(&self.postgres)?;
        superuser.user("postgres").password(password);
        store::connect(&superuser, "bench").await?.batch_execute("CHECKPOINT").await?;
        let lately = self.end().plus_secs_f64(-SLICE_S);
        let started = Instant::now();
        let (rolled, cpu_s) = self.roll_to(lately).await?;
        println!("tracks.rollup_cpu_per_fix: {:.2} us", cpu_s * 1e6 / rolled as f64);
        println!("tracks.rollup_rate: {:.0} fixes/s", rolled as f64 / started.elapsed().as_secs_f64());
        self.client.batch_execute("ANALYZE fix").await?; // as autovacuum would have done by then
        self.ask_lately(lately).await?;
        self.ask_company_lately(lately).await?;
        let rest = self.roll_to(self.end()).await?.0;
        anyhow::ensure!(
            (rolled + rest) as u64 >= fixes * 99 / 100,
            "{rolled} and {rest} of {fixes} fixes were rolled up"
        );
        self.put_in_order(rolled + rest).await?;
        self.client.batch_execute("VACUUM (ANALYZE) track, track_open, traffic, tracker_status").await?;
        Ok(())
    }

    /// Days that have been over for three hours, as the rollup does it; the last one is not among them.
    async fn put_in_order(&self, fixes: usize) -> anyhow::Result<()> {
        let pid = self.postgres.pid() as u32;
        let spent = || cpu::cpu_s(std::process::id()) + cpu::with_children_s(pid);
        let (started, before) = (Instant::now(), spent());
        let mut days = 0;
        let settings = settings(&self.postgres)?;
        let (mut writer, reader) =
            (store::connect(&settings, "bench").await?, store::connect(&settings, "bench").await?);
        while clustering::cluster_next_day(&mut writer, &reader).await?.is_some() {
            days += 1;
        }
        let cpu_s = spent() - before;
        println!("tracks.days_in_order: {days} days");
        if days > 0 {
            let share = f64::from(days) * 1440.0 / self.minutes as f64;
            println!("tracks.order_cpu_per_fix: {:.3} us", cpu_s * 1e6 / (fixes as f64 * share));
            println!("tracks.order_day_s: {:.1} s", started.elapsed().as_secs_f64() / f64::from(days));
        }
        Ok(())
    }

    /// How many fixes were rolled up, and the processor time that it took, seconds.
    async fn roll_to(&self, end: Timestamp) -> anyhow::Result<(usize, f64)> {
        let pid = self.postgres.pid() as u32;
        let spent = move || cpu::cpu_s(std::process::id()) + cpu::with_children_s(pid);
        let settings = settings(&self.postgres)?;
        let before = spent();
        let work = async move || -> anyhow::Result<(usize, f64)> {
            let (client, tidy) = (store::connect(&settings, "bench").await?, store::connect(&settings, "bench").await?);
            let mut rollup = Rollup::lead(client).await?.context("nobody else leads")?;
            rollup.close(end).await?;
            let (mut rolled, mut slices) = (0, 0);
            while let Some(count) = rollup.roll_next().await? {
                rolled += count;
                slices += 1;
                // In life autovacuum comes between two slices; here an hour passes in two seconds.
                if slices % 4 == 0 {
                    tidy.batch_execute("VACUUM track_open").await?;
                }
            }
            Ok((rolled, spent())) // while its backend is there
        };
        let (rolled, after) = rollup::alone(work).await??;
        Ok((rolled, after - before))
    }

    /// Bytes of rows and their share of the indexes, by kind; the history map, which grows with the city's streets and
    /// hours and not with its vehicles, by itself.
    async fn sizes(&self, vehicle_days: f64) -> anyhow::Result<()> {
        let rows = self
            .client
            .query("SELECT kind, count(*), sum(fixes)::bigint, sum(pg_column_size(t.*) + 4)::bigint FROM piece_all t GROUP BY kind ORDER BY kind", &[])
            .await?;
        let total = self.count("SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'track'::regclass)::bigint + pg_total_relation_size('track_open')").await? as f64;
        let traffic = self.count("SELECT pg_total_relation_size('traffic')").await? as f64;
        let closed = self
            .client
            .query_one("SELECT (SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'track'::regclass)::bigint / count(*)::float8,
                count(*) FILTER (WHERE kind = 2), sum(fixes) FILTER (WHERE kind = 2), sum(pg_column_size(t.*) + 4) FILTER (WHERE kind = 2) FROM track t", &[])
            .await?;
        let closed_of = |column: usize| closed.get::<_, i64>(column) as f64;
        let of = |kind: usize, column: usize| rows[kind].get::<_, i64>(column) as f64;
        let data = of(0, 3) + of(1, 3);
        let per_row = (total - data) / (of(0, 1) + of(1, 1));
        let bytes = |kind: usize| of(kind, 3) + per_row * of(kind, 1);
        println!("tracks.bytes_per_moving_fix: {:.1} B", bytes(0) / of(0, 2));
        println!("tracks.bytes_per_heartbeat: {:.2} B", bytes(1) / of(1, 2));
        // Open dwells take the same room after a year as after a day.
        let closed_bytes = closed_of(3) + closed.get::<_, f64>(0) * closed_of(1);
        println!("tracks.bytes_per_heartbeat_of_closed_dwells: {:.2} B", closed_bytes / closed_of(2));
        println!("tracks.bytes_per_fix: {:.1} B", total / (of(0, 2) + of(1, 2)));
        println!("tracks.gb_per_million_vehicle_days: {:.1} GB", (total + traffic) / vehicle_days / 1e3);
        println!("tracks.history_map_mb: {:.1} MB", traffic / 1e6);
        println!("tracks.fixes_per_ride: {:.0} fixes", of(0, 2) / of(0, 1));
        println!("tracks.heartbeats_per_dwell: {:.0} fixes", of(1, 2) / of(1, 1));
        Ok(())
    }
}

async fn connect(postgres: &Postgres) -> anyhow::Result<Client> {
    store::connect(&settings(postgres)?, "bench").await
}

fn settings(postgres: &Postgres) -> anyhow::Result<tokio_postgres::Config> {
    let mut settings = tokio_postgres::Config::new();
    let password = read_secret(&postgres.password_file)?;
    settings.host(&postgres.host).port(postgres.port).dbname("postgres").user("rideguard").password(password);
    Ok(settings)
}
