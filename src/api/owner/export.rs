//! My data: everything that is kept of me and of what is or was mine, as a ZIP of JSON, CSV and GPX.
//!
//! The ZIP goes out while it is made: a week of points lies in memory, however many years there are.

use crate::api::Api;
use crate::api::codes::Code;
use crate::api::door;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::time;
use crate::domain::Timestamp;
use crate::store::proof::Proof;
use crate::store::tracks::queries;
use crate::tracks::bodies;
use crate::tracks::summary::{Point, gaps, points};
use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Most points of one export: a year of a fix every three seconds. What is left out is said, with where to go on.
const POINTS_MAX: usize = 10_000_000;
/// Length of one question for tracks, days: 600,000 points at a fix a second, 15 MB.
const WINDOW_DAYS: f64 = 7.0;
/// Bytes that go out at once.
const PART_BYTES: usize = 64 * 1024;
/// Longest that a client may take for a part; its place is another's then.
const PART_MAX: Duration = Duration::from_secs(60);

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct ExportAsked {
    /// Only tracks from then on, RFC 3339; left out: all.
    #[param(value_type = Option<types::Time>)]
    from: Option<String>,
}

/// What was the person's: a vehicle, and from when to when.
struct Owned {
    vehicle: i64,
    from: Timestamp,
    to: Timestamp,
}

/// Everything that is mine as a ZIP: `mine.json`, and a CSV and a GPX for each vehicle. Three times a day.
#[utoipa::path(get, path = "/me/export", operation_id = "export_my_data", tag = "belongings", params(ExportAsked), security(("bearer" = ["owner", "family"])), responses((status = 200, description = "a ZIP", content_type = "application/zip", body = Vec<u8>), (status = 429, description = "three a day")))]
pub(in crate::api) async fn export(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<ExportAsked>,
) -> Result<Response, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let since = asked.from.as_deref().map(|at| time(at, "from")).transpose()?;
    api.limits.allow_export(person.account).map_err(|wait_s| Problem::too_often(Code::TooManyExports, wait_s))?;
    let place = api.limits.exporting.clone().acquire_owned().await.map_err(|_| Problem::Unavailable)?;
    let mine: Value = api.pool.get().await?.query_one("SELECT api_begin_export($1)", &[&person.session]).await?.get(0);
    let tracks = if person.role == Role::Owner { owned(&mine, since) } else { Vec::new() };
    let photos = door::photos_of_owner(&api, &person).await?;
    let (send, mut parts) = mpsc::channel::<std::io::Result<Bytes>>(2);
    let (handle, session) = (Handle::current(), person.session);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let ask = |vehicle, span| handle.block_on(track(&api, session, vehicle, span));
        let out = Outgoing { send: send.clone(), handle: handle.clone(), part: Vec::with_capacity(PART_BYTES) };
        if archive(out, (mine, &photos), (&tracks, since, POINTS_MAX), ask).is_err() {
            // A file that is cut short must not look whole.
            let _ = send.blocking_send(Err(std::io::Error::other("the export was cut short")));
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"rideguard-my-data.zip\""),
    ];
    let body = Body::from_stream(futures_util::stream::poll_fn(move |context| parts.poll_recv(context)));
    Ok((headers, body).into_response())
}

/// What goes to the client, part by part: whoever reads slowly is waited for.
struct Outgoing {
    send: mpsc::Sender<std::io::Result<Bytes>>,
    handle: Handle,
    part: Vec<u8>,
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
        let sent =
            self.handle.block_on(async { tokio::time::timeout(PART_MAX, self.send.send(Ok(part.into()))).await });
        sent.ok().and_then(Result::ok).ok_or_else(|| std::io::Error::other("the client does not read"))
    }
}

/// The vehicles that the database named, from `since` on.
fn owned(mine: &Value, since: Option<Timestamp>) -> Vec<Owned> {
    let at = |value: &Value| value.as_str().and_then(Timestamp::parse_rfc3339);
    let vehicles = mine["vehicles"].as_array().into_iter().flatten();
    vehicles
        .filter_map(|v| {
            let (vehicle, from) = (v["vehicle_id"].as_str()?.parse().ok()?, at(&v["from"])?);
            // Clocks of trackers run ahead by some minutes; a day is more than any that is plausible.
            let to = at(&v["to"]).unwrap_or_else(|| crate::clock::now().plus_secs_f64(86_400.0));
            Some(Owned { vehicle, from: since.map_or(from, |since| since.max(from)), to })
        })
        .collect()
}

impl Owned {
    /// The questions for its track, oldest first.
    fn windows(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let (first, end) = (self.from, self.to);
        let next = move |from: &Timestamp| Some(from.plus_secs_f64(WINDOW_DAYS * 86_400.0));
        let begins = std::iter::successors(Some(first), next).take_while(move |from| *from < end);
        begins.map(move |from| (from, from.plus_secs_f64(WINDOW_DAYS * 86_400.0).min(end)))
    }
}

/// Points of what was theirs in a span, oldest first.
async fn track(api: &Api, session: Proof, vehicle: i64, span: (Timestamp, Timestamp)) -> anyhow::Result<Vec<Point>> {
    let ask = move |client: deadpool_postgres::Object| async move {
        let hits = queries::exported(&client, session, vehicle, span).await?;
        Ok(points(&bodies(&hits)?))
    };
    let mut found = api.tracks.run(ask).await?;
    // A segment over the edge comes with both its windows.
    found.retain(|p| p.at >= span.0 && p.at < span.1);
    Ok(found)
}

/// The ZIP (APPNOTE.TXT 6.3): photos of fittings, a CSV and a GPX for each time in which a vehicle was theirs, and `mine.json`, which says
/// whether that is all.
fn archive<W: Write>(
    out: W,
    (mut mine, photos): (Value, &[(String, Vec<u8>)]),
    (tracks, since, mut room): (&[Owned], Option<Timestamp>, usize),
    ask: impl Fn(i64, (Timestamp, Timestamp)) -> anyhow::Result<Vec<Point>>,
) -> anyhow::Result<W> {
    let mut zip = ZipWriter::new_stream(out);
    let options = SimpleFileOptions::default().unix_permissions(0o600);
    for (name, content) in photos {
        zip.start_file(name, options)?;
        zip.write_all(content)?;
    }
    let mut goes_on = None;
    for (number, owned) in tracks.iter().enumerate().filter(|(_, owned)| owned.from < owned.to) {
        let name = format!("track-{}-{}", number + 1, owned.vehicle);
        zip.start_file(format!("{name}.csv"), options)?;
        let mut until = owned.from;
        csv_line(&mut zip, &["fixed_at", "lat", "lon", "speed_kmh"].map(str::to_owned))?;
        for (from, to) in owned.windows() {
            if room == 0 {
                break;
            }
            let points = ask(owned.vehicle, (from, to))?;
            room = room.saturating_sub(points.len());
            csv(&mut zip, &points).context("writing a CSV")?;
            until = to;
        }
        if until < owned.to {
            goes_on = goes_on.or(Some(until));
        }
        zip.start_file(format!("{name}.gpx"), options)?;
        gpx_begin(&mut zip)?;
        let mut last = None;
        for (from, to) in owned.windows().take_while(|(from, _)| *from < until) {
            last = gpx(&mut zip, &ask(owned.vehicle, (from, to))?, last).context("writing a GPX")?;
        }
        writeln!(zip, "</trkseg></trk></gpx>")?;
    }
    mine["tracks_complete"] = json!(since.is_none() && goes_on.is_none());
    mine["tracks_from"] = json!(since.map(|t| t.to_string()));
    mine["tracks_go_on_from"] = json!(goes_on.map(|t: Timestamp| t.to_string()));
    zip.start_file("mine.json", options)?;
    serde_json::to_writer_pretty(&mut zip, &mine)?;
    let mut out = zip.finish()?.into_inner();
    out.flush()?;
    Ok(out)
}

fn csv_line(out: &mut impl Write, cells: &[String]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(cells)?;
    table.flush()?;
    Ok(())
}

/// A line for each point (RFC 4180).
fn csv(out: &mut impl Write, points: &[Point]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    for p in points {
        let at = p.spot.position();
        let speed = p.speed_tenths.map(|v| format!("{:.1}", f64::from(v) / 10.0)).unwrap_or_default();
        table.write_record([p.at.to_string(), format!("{:.6}", at.lat_deg), format!("{:.6}", at.lon_deg), speed])?;
    }
    table.flush()?;
    Ok(())
}

fn gpx_begin(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<gpx version=\"1.1\" creator=\"RideGuard\" xmlns=\"http://www.topografix.com/GPX/1/1\"><trk><trkseg>"
    )
}

/// Points of one track after `last`; a silence ends a segment (GPX 1.1). Returns the last of them.
fn gpx(out: &mut impl Write, points: &[Point], mut last: Option<Point>) -> std::io::Result<Option<Point>> {
    for p in points {
        if last.is_some_and(|last| !gaps(&[last, *p]).is_empty()) {
            writeln!(out, "</trkseg><trkseg>")?;
        }
        let at = p.spot.position();
        writeln!(out, "<trkpt lat=\"{:.6}\" lon=\"{:.6}\"><time>{}</time></trkpt>", at.lat_deg, at.lon_deg, p.at)?;
        last = Some(*p);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LatLon;
    use crate::tracks::GridPoint;
    use std::io::{Cursor, Read};

    fn point(s: i64, speed_tenths: Option<u16>) -> Point {
        Point { at: Timestamp::from_secs(s), spot: GridPoint::of(LatLon::new(28.5, 112.3)), speed_tenths }
    }

    /// An export of vehicle 7 from the first second of 1970 on, for so many days.
    fn files(days: i64, points: impl Fn((Timestamp, Timestamp)) -> Vec<Point>) -> impl FnMut(&str) -> String {
        let tracks = [Owned { vehicle: 7, from: Timestamp::from_secs(0), to: Timestamp::from_secs(days * 86_400) }];
        let mine = json!({ "account": { "name": "甲" } });
        let photos = [("fitting-7.jpeg".to_owned(), vec![1, 2])];
        let bytes = archive(Vec::new(), (mine, &photos), (&tracks, None, 2000), |_, span| Ok(points(span))).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        move |name| {
            let mut text = String::new();
            zip.by_name(name).unwrap().read_to_string(&mut text).unwrap();
            text
        }
    }

    #[test]
    fn an_export_is_a_zip_that_others_read_with_a_segment_after_each_silence() {
        let all = [point(0, Some(123)), point(10, None), point(90_000, None), point(700_000, None)];
        let mut read = files(20, |(from, to)| all.into_iter().filter(|p| p.at >= from && p.at < to).collect());
        let mine: Value = serde_json::from_str(&read("mine.json")).unwrap();
        assert_eq!((&mine["account"]["name"], &mine["tracks_complete"]), (&json!("甲"), &json!(true)), "{mine}");
        assert_eq!(read("fitting-7.jpeg"), "\u{1}\u{2}");
        let table = read("track-1-7.csv");
        assert_eq!(table.lines().nth(1), Some("1970-01-01T00:00:00Z,28.500000,112.300000,12.3"), "{table}");
        assert_eq!(table.lines().count(), 5);
        let track = read("track-1-7.gpx");
        assert_eq!((track.matches("<trkpt ").count(), track.matches("<trkseg>").count()), (4, 3), "{track}");
    }

    #[test]
    fn an_export_that_is_cut_says_where_to_go_on() {
        let week = |(from, _): (Timestamp, Timestamp)| {
            let first_s = from.micros() / 1_000_000;
            (0..100).map(|n| point(first_s + n, None)).collect::<Vec<_>>()
        };
        let mut read = files(7 * 21, week);
        let mine: Value = serde_json::from_str(&read("mine.json")).unwrap();
        let end = Timestamp::from_secs(20 * 7 * 86_400).to_string();
        assert_eq!((&mine["tracks_complete"], &mine["tracks_go_on_from"]), (&json!(false), &json!(end)), "{mine}");
    }
}
