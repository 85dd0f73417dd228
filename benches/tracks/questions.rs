//! The questions of this bench: areas, vehicles, what is now; warm, cold, and in the slice that is not closed.

use super::{Place, SLICE_S, connect, setting};
use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::domain::{LatLon, Timestamp, VehicleId};
use rideguard::store::tracks::queries;
use rideguard::supervisor::postgres::Postgres;
use rideguard::tracks::area::{Area, Window};
use rideguard::tracks::bodies;
use rideguard::tracks::co_travel::{companions, ride_minutes};
use rideguard::tracks::presence::{SILENT_S, presences};
use rideguard::tracks::summary;
use std::process::Command;
use std::time::Instant;
use tokio_postgres::Error;

/// Questions of each kind.
const QUESTIONS: usize = 60;

/// Radius of the circle that is searched, metres.
fn radius_m() -> f64 {
    setting("RIDEGUARD_BENCH_RADIUS_M", 500).into()
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
    /// Circles in the slice that is not closed yet, and what reading all its fixes takes instead.
    pub(super) async fn ask_lately(&self, from: Timestamp) -> anyhow::Result<()> {
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
    pub(super) async fn ask_company_lately(&self, from: Timestamp) -> anyhow::Result<()> {
        let riding = "SELECT vehicle_id FROM fix WHERE fixed_at >= $1 AND speed_kmh > 10 GROUP BY 1 HAVING count(*) > 30 ORDER BY md5(vehicle_id::text) LIMIT $2";
        let asked = self.client.query(riding, &[&from, &(QUESTIONS as i64)]).await?;
        let (mut times, mut refused, mut minutes) = (Vec::new(), 0, 0);
        for is_timed in [false, true] {
            for row in &asked {
                let of = VehicleId(row.get(0));
                let started = Instant::now();
                let found = queries::beside(&self.client, self.officer, of.0, (from, self.end()), (50.0, 30.0)).await;
                if is_refused(&found) {
                    refused += usize::from(is_timed);
                    continue;
                }
                let found = found?;
                let samples = ride_minutes(of, &found);
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

    /// One search by area as the API does it; how many vehicles, how many segments. `None`: refused, because there are
    /// more of them than one answer may have.
    async fn near(&self, (centre, from): (LatLon, Timestamp), hours: f64) -> anyhow::Result<Option<(usize, usize)>> {
        let area = Area::Circle { centre, radius_m: radius_m() };
        let (low, high) = area.bounds().context("a circle")?;
        let (w, s, e, n) = (low.lon_deg, low.lat_deg, high.lon_deg, high.lat_deg);
        let wkt = format!("POLYGON(({w} {s},{e} {s},{e} {n},{w} {n},{w} {s}))");
        let to = from.plus_secs_f64(hours * 3600.0);
        let found = queries::near(&self.client, self.officer, &wkt, (from, to), SILENT_S).await;
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

    pub(super) async fn ask_about_areas(&self) -> anyhow::Result<()> {
        for (window, minutes) in self.windows() {
            let hours = minutes as f64 / 60.0;
            let circles = self.circles(minutes, QUESTIONS, 1).await?;
            let (mut ours, mut segments, mut vehicles, mut refused) = (Vec::new(), 0, 0, Vec::new());
            for is_timed in [false, true] {
                for circle in &circles {
                    let started = Instant::now();
                    let answer = self.near(*circle, hours).await?;
                    let took_ms = started.elapsed().as_secs_f64() * 1e3;
                    match answer {
                        Some((v, p)) if is_timed => {
                            ours.push(took_ms);
                            (segments, vehicles) = (segments + p, vehicles + v);
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
            println!("tracks.area_{window}_pieces: {} pieces", segments / answered);
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

    pub(super) async fn ask_about_vehicles(&self) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(2);
        let rows = self.client.query("SELECT vehicle_id FROM vehicle ORDER BY plate", &[]).await?;
        let vehicles: Vec<i64> = rows.iter().map(|r| r.get(0)).collect();
        let asked: Vec<(i64, Timestamp)> = (0..QUESTIONS)
            .map(|_| {
                let day = random.random_range(0..=(self.minutes - 1) / 1440);
                (vehicles[random.random_range(0..vehicles.len())], self.from.plus_secs_f64(day as f64 * 86_400.0))
            })
            .collect();
        let (mut day, mut company, mut newest, mut refused) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for is_timed in [false, true] {
            for (vehicle, from) in &asked {
                let span = (*from, from.plus_secs_f64(86_400.0).min(self.end()));
                let started = Instant::now();
                let found = queries::of_vehicle(&self.client, self.officer, *vehicle, span).await?;
                let points = summary::points(&bodies(&found)?);
                anyhow::ensure!(!points.is_empty(), "vehicle {vehicle} has no points");
                let day_ms = started.elapsed().as_secs_f64() * 1e3;
                let started = Instant::now();
                let beside = queries::beside(&self.client, self.officer, *vehicle, span, (50.0, 30.0)).await;
                let is_answered = !is_refused(&beside);
                if is_answered {
                    let (of, found) = (VehicleId(*vehicle), beside?);
                    companions(of, &ride_minutes(of, &found), &found, (50.0, 30.0), 5)?;
                }
                let company_ms = started.elapsed().as_secs_f64() * 1e3;
                if is_timed {
                    day.push(day_ms);
                    if is_answered {
                        company.push(company_ms);
                    } else {
                        refused += 1;
                    }
                }
            }
        }
        // What the database takes to derive who asks, check the grant, answer and leave the row of audit.
        let mut audited = Vec::new();
        for is_timed in [false, true] {
            for (vehicle, from) in &asked {
                let span = (*from, from.plus_secs_f64(86_400.0).min(self.end()));
                let started = Instant::now();
                queries::of_vehicle(&self.client, self.officer, *vehicle, span).await?;
                if is_timed {
                    audited.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        audited.sort_by(f64::total_cmp);
        println!("people.audited_read_p99: {:.2} ms", audited[(audited.len() - 1) * 99 / 100]);
        // By itself: right after an answer of a hundred milliseconds everything it needs has left the processor's caches.
        for is_timed in [false, true] {
            for (vehicle, _) in &asked {
                let started = Instant::now();
                queries::newest(&self.client, self.officer, &[*vehicle]).await?;
                if is_timed {
                    newest.push(started.elapsed().as_secs_f64() * 1e3);
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
    pub(super) async fn ask_about_now(&self) -> anyhow::Result<()> {
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
                let sql = "SELECT * FROM api_police_newest_in(sha256('officer'), 1, $1, $2, $1::float8 + 0.0205, $2::float8 + 0.018, 501)";
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

    pub(super) async fn ask_cold(&mut self, count: u32) -> anyhow::Result<()> {
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

/// posix_fadvise(POSIX_FADV_DONTNEED) on every file, by coreutils' dd.
fn drop_from_page_cache(folder: &std::path::Path) -> anyhow::Result<()> {
    let script = "sync; find \"$1\" -type f -size +0 -exec dd of={} oflag=nocache conv=notrunc,fdatasync count=0 status=none \\;";
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(folder).status()?;
    anyhow::ensure!(status.success(), "the files could not be dropped from the page cache");
    Ok(())
}
