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

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::cli::load;
use rideguard::config::read_secret;
use rideguard::domain::{LatLon, Timestamp, VehicleId};
use rideguard::rollup::{self, Rollup};
use rideguard::store::questions::{self, Officer};
use rideguard::store::{self, migrate, partitions};
use rideguard::supervisor::Folder;
use rideguard::supervisor::postgres::Postgres;
use rideguard::tracks::area::{Area, SILENT_S, Window, presences};
use rideguard::tracks::company::{companions, minutes_of};
use rideguard::tracks::{bodies, story};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tokio_postgres::{Client, Error};

/// Questions of each kind.
const QUESTIONS: usize = 60;
/// The rollup's slice, seconds.
const SLICE_S: f64 = 900.0;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Radius of the circle that is searched, metres.
fn radius_m() -> f64 {
    setting("RIDEGUARD_BENCH_RADIUS_M", 500).into()
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
    let measured = place.everything(vehicle_days, vehicles).await;
    place.postgres.stop();
    std::fs::remove_dir_all(&place.root)?;
    measured
}

/// Whether a question was too wide.
fn is_refused<T>(answer: &anyhow::Result<T>) -> bool {
    let error = answer.as_ref().err();
    error.and_then(|e| e.downcast_ref()).and_then(Error::code).is_some_and(|c| c.code() == "P0400")
}

/// The value below which 95 of 100 lie, and the middle one.
fn p95_p50(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
    (at(0.95), at(0.5))
}

impl Place {
    async fn make(vehicles: u32, days: u32, minutes: u32) -> anyhow::Result<Self> {
        let root = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        let folder = Folder::open(&root)?;
        let postgres = Postgres::start(&folder, None)?;
        let mut client = connect(&postgres).await?;
        migrate::migrate(&mut client).await?;
        client
            .batch_execute(
                "INSERT INTO account (login, name, role, password_hash) VALUES ('officer', 'o', 'police', ''), ('chief', 'c', 'police', '');
                 INSERT INTO access_grant (account_id, case_number, document, purpose, approved_by, valid_to, area_km2_max, hours_max)
                 VALUES (1, 'bench', 'bench', 'bench', 2, 'infinity', 1000, 10000)",
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
        Ok(Self { root, folder, postgres, client, officer: Officer { account: 1, grant: 1 }, from, minutes })
    }

    fn end(&self) -> Timestamp {
        self.from.plus_secs_f64(self.minutes as f64 * 60.0)
    }

    async fn everything(&mut self, vehicle_days: f64, vehicles: u32) -> anyhow::Result<()> {
        self.write_path().await?;
        let fixes = self.load().await?;
        self.roll_up(fixes).await?;
        self.sizes(vehicle_days).await?;
        self.ask_about_areas().await?;
        self.ask_about_vehicles(vehicles).await?;
        self.ask_about_now().await?;
        self.ask_cold(setting("RIDEGUARD_BENCH_COLD", 0)).await
    }

    /// Our way into the hot table against a bare COPY into a table of the same form, batch by batch in turn.
    async fn write_path(&self) -> anyhow::Result<()> {
        let batches = load::sample(&self.root.join("city"), 12)?;
        for (name, share) in
            [("", 0.0), ("_one_duplicate", f64::MIN_POSITIVE), ("_5_percent", 0.05), ("_all_duplicates", 1.0)]
        {
            let days = batches.iter().flatten().map(|r| r.fixed_at);
            partitions::make_for(&self.client, "fix", days).await?;
            self.client.batch_execute("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE fix INCLUDING ALL); CREATE INDEX ON bare USING brin (fixed_at)").await?;
            let (mut ours_s, mut bare_s) = (0.0, 0.0);
            let hot = store::load::Hot::prepare(&self.client).await?;
            for batch in &batches {
                let there = ((batch.len() as f64 * share).ceil() as usize).min(batch.len());
                hot.put(&self.client, &batch[..there]).await?;
                let started = Instant::now();
                hot.put(&self.client, batch).await?;
                ours_s += started.elapsed().as_secs_f64();
                let started = Instant::now();
                store::load::copy_bare(&self.client, "bare", batch).await?;
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
        let fixes = load::file(&self.client, &self.root.join("city")).await?;
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
        self.client.batch_execute("CHECKPOINT").await?;
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
        self.client.batch_execute("VACUUM (ANALYZE) track, track_open, traffic, tracker_status").await?;
        Ok(())
    }

    /// How many fixes were rolled up, and the processor time that it took, seconds.
    async fn roll_to(&self, end: Timestamp) -> anyhow::Result<(usize, f64)> {
        let pid = self.postgres.pid() as u32;
        let spent = move || cpu::cpu_s(std::process::id()) + cpu::with_children_s(pid);
        let settings = settings(&self.postgres)?;
        let before = spent();
        let work = async move || -> anyhow::Result<(usize, f64)> {
            let client = store::connect(&settings, "bench").await?;
            let mut rollup = Rollup::lead(client).await?.context("nobody else leads")?;
            rollup.close(end).await?;
            let mut rolled = 0;
            while let Some(count) = rollup.roll_next().await? {
                rolled += count;
            }
            Ok((rolled, spent())) // while its backend is there
        };
        let (rolled, after) = rollup::alone(work).await??;
        Ok((rolled, after - before))
    }

    /// Circles in the slice that is not closed yet, and what reading all its fixes takes instead.
    async fn ask_lately(&self, from: Timestamp) -> anyhow::Result<()> {
        let circles: Vec<_> = self
            .circles(SLICE_S as i64 / 60, QUESTIONS, 5)
            .await?
            .into_iter()
            .map(|(centre, _)| (centre, from))
            .collect();
        let (mut ours, mut scans, mut fixes, mut refused) = (Vec::new(), Vec::new(), 0, 0);
        let scan = self.client.prepare("SELECT count(*) FROM fix WHERE fixed_at >= $1 AND position && ST_Expand(ST_SetSRID(ST_MakePoint($2, $3), 4326), 0.005)").await?;
        for is_timed in [false, true] {
            for circle in &circles {
                let started = Instant::now();
                let answer = self.near(*circle, SLICE_S / 3600.0).await?;
                let took_ms = started.elapsed().as_secs_f64() * 1e3;
                match answer {
                    Some((_, found)) if is_timed => {
                        ours.push(took_ms);
                        fixes += found;
                    }
                    None if is_timed => refused += 1,
                    _ => {}
                }
                let started = Instant::now();
                if is_timed && scans.len() < 5 {
                    self.client.query_one(&scan, &[&from, &circle.0.lon_deg, &circle.0.lat_deg]).await?;
                    scans.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        println!("tracks.area_lately_refused: {refused} of {QUESTIONS}");
        if !ours.is_empty() {
            println!("tracks.area_lately_found: {} fixes", fixes / ours.len());
            let (p95, p50) = p95_p50(ours);
            println!("tracks.area_lately_p95: {p95:.2} ms");
            println!("tracks.area_lately_p50: {p50:.2} ms");
        }
        println!("tracks.scan_lately_p50: {:.2} ms", p95_p50(scans).1);
        Ok(())
    }

    /// Company in the slice that is not closed, of vehicles that rode in it.
    async fn ask_company_lately(&self, from: Timestamp) -> anyhow::Result<()> {
        let riding = "SELECT vehicle_id FROM fix WHERE fixed_at >= $1 AND speed_kmh > 10 GROUP BY 1 HAVING count(*) > 30 ORDER BY md5(vehicle_id::text) LIMIT $2";
        let asked = self.client.query(riding, &[&from, &(QUESTIONS as i64)]).await?;
        let (mut times, mut refused, mut minutes) = (Vec::new(), 0, 0);
        for is_timed in [false, true] {
            for row in &asked {
                let of = VehicleId(row.get(0));
                let started = Instant::now();
                let found = questions::beside(&self.client, self.officer, of.0, (from, self.end()), (50.0, 30.0)).await;
                if is_refused(&found) {
                    refused += usize::from(is_timed);
                    continue;
                }
                let found = found?;
                let samples = minutes_of(of, &found);
                companions(of, &samples, &found, (50.0, 30.0), 5)?;
                if is_timed {
                    times.push(started.elapsed().as_secs_f64() * 1e3);
                    minutes += samples.len();
                }
            }
        }
        println!("tracks.co_travel_lately_refused: {refused} of {}", asked.len());
        if !times.is_empty() {
            println!("tracks.co_travel_lately_minutes: {} minutes", minutes / times.len());
            let (p95, p50) = p95_p50(times);
            println!("tracks.co_travel_lately_p95: {p95:.2} ms");
            println!("tracks.co_travel_lately_p50: {p50:.2} ms");
        }
        Ok(())
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

    /// Circles where people are, in windows of so many minutes.
    async fn circles(&self, minutes: i64, count: usize, seed: u64) -> anyhow::Result<Vec<(LatLon, Timestamp)>> {
        let mut random = StdRng::seed_from_u64(seed);
        let rows = self
            .client
            .query("SELECT ST_X(position), ST_Y(position) FROM tracker_status ORDER BY tracker_id", &[])
            .await?;
        let last = self.minutes - minutes;
        anyhow::ensure!(last >= 0, "there are fewer than {minutes} minutes");
        Ok((0..count)
            .map(|_| {
                let row = &rows[random.random_range(0..rows.len())];
                let day = random.random_range(0..=last / 1440) * 1440;
                // By day, where there is something to find; of whole days every one.
                let minute = match self.minutes {
                    ..1440 => random.random_range(0..=last),
                    _ if minutes >= 1440 => day,
                    _ => day + random.random_range(0..14) * 60,
                };
                (LatLon::new(row.get(1), row.get(0)), self.from.plus_secs_f64(minute.min(last) as f64 * 60.0))
            })
            .collect())
    }

    /// One search by area as the API does it; how many vehicles, how many pieces. `None`: refused, because there are
    /// more of them than one answer may have.
    async fn near(&self, (centre, from): (LatLon, Timestamp), hours: f64) -> anyhow::Result<Option<(usize, usize)>> {
        let area = Area::Circle { centre, radius_m: radius_m() };
        let (low, high) = area.bounds().context("a circle")?;
        let (w, s, e, n) = (low.lon_deg, low.lat_deg, high.lon_deg, high.lat_deg);
        let wkt = format!("POLYGON(({w} {s},{e} {s},{e} {n},{w} {n},{w} {s}))");
        let to = from.plus_secs_f64(hours * 3600.0);
        let found = questions::near(&self.client, self.officer, &wkt, (from, to), SILENT_S).await;
        if is_refused(&found) {
            return Ok(None);
        }
        let found = found?;
        Ok(Some((presences(&area, Window { from, to, known_to: to }, &found)?.len(), found.len())))
    }

    /// Windows of the questions about areas, with their minutes: an hour, or what there is of one, and a day.
    fn windows(&self) -> impl Iterator<Item = (&'static str, i64)> + use<> {
        let there = self.minutes;
        let windows = [("15min", 15), ("30min", 30), ("1h", 60), ("24h", 1440)];
        windows.into_iter().filter(move |(_, m)| if there < 60 { *m == there } else { (60..=there).contains(m) })
    }

    async fn ask_about_areas(&self) -> anyhow::Result<()> {
        for (window, minutes) in self.windows() {
            let hours = minutes as f64 / 60.0;
            let circles = self.circles(minutes, QUESTIONS, 1).await?;
            let (mut ours, mut pieces, mut vehicles, mut refused) = (Vec::new(), 0, 0, Vec::new());
            for is_timed in [false, true] {
                for circle in &circles {
                    let started = Instant::now();
                    let answer = self.near(*circle, hours).await?;
                    let took_ms = started.elapsed().as_secs_f64() * 1e3;
                    match answer {
                        Some((v, p)) if is_timed => {
                            ours.push(took_ms);
                            (pieces, vehicles) = (pieces + p, vehicles + v);
                        }
                        None if is_timed => refused.push(took_ms),
                        _ => {}
                    }
                }
            }
            println!("tracks.area_{window}_refused: {} of {QUESTIONS}", refused.len());
            if !refused.is_empty() {
                println!("tracks.area_{window}_refusal_p95: {:.2} ms", p95_p50(refused).0);
            }
            if ours.is_empty() {
                continue;
            }
            let answered = ours.len();
            let (p95, p50) = p95_p50(ours);
            println!("tracks.area_{window}_p95: {p95:.2} ms");
            println!("tracks.area_{window}_p50: {p50:.2} ms");
            println!("tracks.area_{window}_pieces: {} pieces", pieces / answered);
            println!("tracks.area_{window}_vehicles: {} vehicles", vehicles / answered);
            if setting("RIDEGUARD_BENCH_ROWS", 1) > 0 {
                let rows_p95 = self.ask_rows(&circles, hours).await?;
                println!("tracks.rows_area_{window}_p95: {rows_p95:.2} ms");
                println!("tracks.area_{window}_vs_rows: {:.2} x", rows_p95 / p95);
            }
        }
        Ok(())
    }

    /// The same of rows: the hot table with a GiST.
    async fn ask_rows(&self, circles: &[(LatLon, Timestamp)], hours: f64) -> anyhow::Result<f64> {
        self.client
            .batch_execute("CREATE INDEX IF NOT EXISTS rows_place ON fix USING gist (position); ANALYZE fix")
            .await?;
        let statement = self
            .client
            .prepare(
                "SELECT vehicle_id, min(fixed_at), max(fixed_at), count(*) FROM fix
                 WHERE position && ST_Expand(ST_SetSRID(ST_MakePoint($1, $2), 4326), $3::float8 / 97500, $3::float8 / 111195) AND fixed_at >= $4 AND fixed_at < $5
                    AND ST_DistanceSphere(position, ST_SetSRID(ST_MakePoint($1, $2), 4326)) < $3::float8 GROUP BY vehicle_id",
            )
            .await?;
        let mut times = Vec::new();
        for is_timed in [false, true] {
            for (centre, from) in circles {
                let started = Instant::now();
                let to = from.plus_secs_f64(hours * 3600.0);
                self.client.query(&statement, &[&centre.lon_deg, &centre.lat_deg, &radius_m(), from, &to]).await?;
                if is_timed {
                    times.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        Ok(p95_p50(times).0)
    }

    async fn ask_about_vehicles(&self, vehicles: u32) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(2);
        let asked: Vec<(i64, Timestamp)> = (0..QUESTIONS)
            .map(|_| {
                let day = random.random_range(0..=(self.minutes - 1) / 1440);
                (random.random_range(1..=i64::from(vehicles)), self.from.plus_secs_f64(day as f64 * 86_400.0))
            })
            .collect();
        let (mut day, mut company, mut newest, mut refused) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for is_timed in [false, true] {
            for (vehicle, from) in &asked {
                let span = (*from, from.plus_secs_f64(86_400.0).min(self.end()));
                let started = Instant::now();
                let found = questions::of_vehicle(&self.client, self.officer, *vehicle, span).await?;
                let points = story::points(&bodies(&found)?);
                anyhow::ensure!(!points.is_empty(), "vehicle {vehicle} has no points");
                let day_ms = started.elapsed().as_secs_f64() * 1e3;
                let started = Instant::now();
                let beside = questions::beside(&self.client, self.officer, *vehicle, span, (50.0, 30.0)).await;
                let is_answered = !is_refused(&beside);
                if is_answered {
                    let (of, found) = (VehicleId(*vehicle), beside?);
                    companions(of, &minutes_of(of, &found), &found, (50.0, 30.0), 5)?;
                }
                let company_ms = started.elapsed().as_secs_f64() * 1e3;
                let started = Instant::now();
                questions::newest(&self.client, self.officer, &[*vehicle]).await?;
                if is_timed {
                    newest.push(started.elapsed().as_secs_f64() * 1e3);
                    day.push(day_ms);
                    if is_answered {
                        company.push(company_ms);
                    } else {
                        refused += 1;
                    }
                }
            }
        }
        println!("tracks.day_p95: {:.2} ms", p95_p50(day).0);
        if refused > 0 {
            println!("tracks.co_travel_refused: {refused} of {QUESTIONS}");
        }
        if !company.is_empty() {
            let (p95, p50) = p95_p50(company);
            println!("tracks.co_travel_p95: {p95:.2} ms");
            println!("tracks.co_travel_p50: {p50:.2} ms");
        }
        println!("tracks.newest_p95: {:.2} ms", p95_p50(newest).0);
        Ok(())
    }

    /// A 2 km box among a million trackers.
    async fn ask_about_now(&self) -> anyhow::Result<()> {
        let crowd = i64::from(setting("RIDEGUARD_BENCH_CROWD", 1_000_000));
        self.client
            .execute(
                "INSERT INTO tracker_status (tracker_id, vehicle_id, last_heard_at, fixed_at, position, speed_kmh)
                 SELECT 10000000 + n, 1, now(), now(), ST_SetSRID(ST_MakePoint(111.9 + random(), 28.2 + random()), 4326), 0 FROM generate_series(1, $1::bigint) n",
                &[&crowd],
            )
            .await?;
        self.client.batch_execute("VACUUM ANALYZE tracker_status").await?;
        let mut times = Vec::new();
        for is_timed in [false, true] {
            let mut random = StdRng::seed_from_u64(3);
            for _ in 0..QUESTIONS {
                let (west, south) = (112.0 + random.random::<f64>() * 0.7, 28.3 + random.random::<f64>() * 0.7);
                let started = Instant::now();
                let sql =
                    "SELECT * FROM api_police_newest_in(1, 1, $1, $2, $1::float8 + 0.0205, $2::float8 + 0.018, 501)";
                self.client.query(sql, &[&west, &south]).await?;
                if is_timed {
                    times.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        println!("tracks.box_p95: {:.2} ms", p95_p50(times).0);
        self.client.execute("DELETE FROM tracker_status WHERE tracker_id > 10000000", &[]).await?;
        Ok(())
    }

    async fn ask_cold(&mut self, count: u32) -> anyhow::Result<()> {
        for (window, minutes) in self.windows() {
            let mut times = Vec::new();
            for circle in self.circles(minutes, count as usize, 7).await? {
                self.postgres.stop();
                drop_from_page_cache(&self.root)?;
                self.postgres = Postgres::start(&self.folder, None)?;
                self.client = connect(&self.postgres).await?;
                let started = Instant::now();
                self.near(circle, minutes as f64 / 60.0).await?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            if !times.is_empty() {
                let (p95, p50) = p95_p50(times);
                println!("tracks.area_{window}_cold_p95: {p95:.1} ms");
                println!("tracks.area_{window}_cold_p50: {p50:.1} ms");
            }
        }
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

/// posix_fadvise(POSIX_FADV_DONTNEED) on every file, by coreutils' dd.
fn drop_from_page_cache(folder: &std::path::Path) -> anyhow::Result<()> {
    let script = "sync; find \"$1\" -type f -size +0 -exec dd of={} oflag=nocache conv=notrunc,fdatasync count=0 status=none \\;";
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(folder).status()?;
    anyhow::ensure!(status.success(), "the files could not be dropped from the page cache");
    Ok(())
}
