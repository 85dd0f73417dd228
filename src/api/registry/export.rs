//! The export: the columns of an import, as CSV.

use super::{ROLES, reason, sheet};
use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::Person;
use crate::domain::enrolment::Field;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

/// Rows read at once.
const ROWS: i32 = 2000;
/// What is written out, in this order: a vehicle's row has its owner and tracker, too.
const KINDS: [&str; 3] = ["vehicles", "people", "trackers"];

/// Where the next part begins.
#[derive(Clone, Copy)]
struct Place {
    /// One of [`KINDS`], by its place.
    kind: usize,
    /// The last number before it.
    after: i64,
}

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Why {
    /// Why, 1 to 500 characters.
    #[param(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Every vehicle of my organisation with its owner and tracker, then people and trackers without a vehicle, as CSV. Of id numbers the last four.
#[utoipa::path(get, path = "/registry/export", operation_id = "export_registry", tag = "registry", params(Why), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "CSV in UTF-8 with a byte order mark", body = String, content_type = "text/csv")))]
pub(in crate::api) async fn export(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<Why>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let why = reason(asked.reason.as_deref())?.to_owned();
    let (send, mut parts) = mpsc::channel::<Result<Bytes, std::io::Error>>(2);
    // The first part is asked for before the answer begins, so that a refusal can be told.
    let (first, mut after) = part(&api, &person, Place { kind: 0, after: 0 }, &why).await?;
    tokio::spawn(async move {
        let mut text = [&b"\xef\xbb\xbf"[..], &head(), &first].concat();
        loop {
            if send.send(Ok(text.into())).await.is_err() {
                return;
            }
            let Some(from) = after else { return };
            match part(&api, &person, from, &why).await {
                Ok((next, then)) => (text, after) = (next, then),
                // A file that is cut short must not look whole.
                Err(_) => return drop(send.send(Err(std::io::Error::other("the export was cut short"))).await),
            }
        }
    });
    let body = Body::from_stream(futures_util::stream::poll_fn(move |context| parts.poll_recv(context)));
    let name = "attachment; filename=\"registry.csv\"";
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name)], body).into_response())
}

fn line(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    // Into memory: nothing can fail.
    let _ = rows.write_record(cells);
    rows.into_inner().unwrap_or_default()
}

fn head() -> Vec<u8> {
    // What is there of an id number is no id number: an import leaves the column out.
    line(Field::all().map(|f| if f == Field::IdNumber { "id_number_last4".into() } else { f.name().to_owned() }))
}

async fn part(api: &Api, person: &Person, from: Place, why: &str) -> Result<(Vec<u8>, Option<Place>), Problem> {
    let client = api.pool.get().await?;
    let sql = "SELECT * FROM api_registry_export($1, $2, $3, $4, $5)";
    let rows = client.query(sql, &[&person.session, &KINDS[from.kind], &from.after, &ROWS, &why]).await?;
    let mut text = Vec::new();
    for row in &rows {
        let cells: Vec<Option<String>> = row.get(1);
        text.extend(line(cells.iter().map(|c| sheet::as_text(c.as_deref().unwrap_or_default()))));
    }
    let more = rows.last().filter(|_| rows.len() == ROWS as usize);
    let next = match more {
        Some(last) => Some(Place { after: last.get(0), ..from }),
        None => Some(Place { kind: from.kind + 1, after: 0 }).filter(|p| p.kind < KINDS.len()),
    };
    Ok((text, next))
}
