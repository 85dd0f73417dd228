//! Imports: a file is read and checked, its report is looked at, and then it is started.

use super::{ROLES, idempotency, limit, protocols, reason, sheet, sockets};
use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::Person;
use crate::api::types;
use crate::api::vehicles::id;
use crate::domain::enrolment::{Field, Reader, holds_values, mapping_of};
use crate::store::imports::{self, Caller, Line};
use anyhow::{Context, ensure};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, Write};
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

/// Lines that go to the database at once.
pub const LINES: usize = 1000;
/// Batches read ahead of the database.
const AHEAD: usize = 2;
/// Longest name of a file, characters.
const FILE_NAME_CHARS_MAX: usize = 128;
/// Imports in a list.
const IMPORTS_MAX: i32 = 50;

/// An import to make.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct ImportRequest {
    /// As people know it, 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    file_name: String,
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Begin an import; its file follows.
#[utoipa::path(post, path = "/registry/imports", operation_id = "create_import", tag = "registry", params(("Idempotency-Key" = Option<String>, Header, max_length = 64)), request_body = ImportRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "the import", body = types::Import), (status = 409, description = "10 of yours have not ended; the key was used for another request")))]
pub(in crate::api) async fn make(
    State(api): State<Api>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<ImportRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let name = asked.file_name.trim();
    let chars = name.chars().count();
    if !(1..=FILE_NAME_CHARS_MAX).contains(&chars) {
        return Err(Problem::length("file_name", chars, FILE_NAME_CHARS_MAX));
    }
    let why = reason(Some(&asked.reason))?;
    let (key, digest) = idempotency(&headers, &json!(["imports", name, why]))?;
    let client = api.pool.get().await?;
    let row = client
        .query_one("SELECT api_import_make($1, $2, $3, $4, $5)", &[&person.session, &name, &why, &key, &digest])
        .await?;
    Ok((StatusCode::CREATED, Json(row.get(0))))
}

/// The last imports of my organisation.
#[utoipa::path(get, path = "/registry/imports", operation_id = "list_imports", tag = "registry", security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "imports", body = types::Imports)))]
pub(in crate::api) async fn list(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let rows = api.pool.get().await?.query("SELECT api_imports($1, $2)", &[&person.session, &IMPORTS_MAX]).await?;
    Ok(Json(json!({ "imports": rows.iter().map(|r| r.get(0)).collect::<Vec<Value>>() })))
}

/// How an import stands.
#[utoipa::path(get, path = "/registry/imports/{id}", operation_id = "get_import", tag = "registry", params(("id" = types::Id, Path)), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the import", body = types::Import)))]
pub(in crate::api) async fn one(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    Ok(Json(api.pool.get().await?.query_one("SELECT api_import($1, $2)", &[&person.session, &import]).await?.get(0)))
}

/// What a file is refused for.
fn no_table(error: &anyhow::Error) -> Problem {
    Problem::bad(Code::NoTable, format!("{error:#}"), json!({ "detail": format!("{error:#}") }))
}

/// The file: CSV in UTF-8 or GB18030, or XLSX, at most 32 MiB; the first line has the headings. It is read and checked.
#[utoipa::path(put, path = "/registry/imports/{id}/file", operation_id = "put_import_file", tag = "registry", params(("id" = types::Id, Path)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the import, with its mapping and the count of bad rows", body = types::Import), (status = 400, description = "it is no table"), (status = 409, description = "the import has begun")))]
pub(in crate::api) async fn file(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    let client = api.pool.get().await?;
    client.query_one("SELECT api_import($1, $2)", &[&person.session, &import]).await?;
    drop(client);
    // Without a name on the disk: what people sent is gone with the request.
    let mut file = unnamed().map_err(|error| Problem::from(anyhow::Error::from(error)))?;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| no_table(&anyhow::Error::from(error)))?;
        // A block of at most 400 KiB into the page cache.
        file.write_all(&part).map_err(|error| Problem::from(anyhow::Error::from(error)))?;
    }
    file.rewind().map_err(|error| Problem::from(anyhow::Error::from(error)))?;
    let (send, mut batches) = mpsc::channel(AHEAD);
    let key = api.id_key.clone();
    let reading = tokio::task::spawn_blocking(move || {
        read_lines(file, None, &|number| key.hash(number), &mut |part| Ok(send.blocking_send(part)?))
    });
    let client = api.pool.get().await?;
    let who = Caller::Session(&person.session);
    while let Some(part) = batches.recv().await {
        put_down(&**client, who, import, part).await?;
    }
    reading.await.map_err(|error| Problem::from(anyhow::Error::from(error)))?.map_err(|error| no_table(&error))?;
    Ok(Json(imports::checked(&**client, who, import).await?))
}

/// A file that nobody else can open.
fn unnamed() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("rideguard-{:032x}", rand::random::<u128>()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// A part of a file.
pub enum Part {
    /// The headings, and what their columns hold.
    Head(Vec<String>, Vec<Option<Field>>),
    /// Some lines.
    Lines(Vec<Line>),
}

/// What each column holds, by its heading.
type Mapping<'a> = &'a dyn Fn(&[String]) -> anyhow::Result<Vec<Option<Field>>>;

/// Reads a file into parts; without a mapping its headings say what the columns are.
///
/// # Errors
/// It is no table, or what `take` says.
pub fn read_lines(
    file: File,
    mapping: Option<Mapping<'_>>,
    id_hash: &(dyn Fn(&str) -> String + Sync),
    take: &mut dyn FnMut(Part) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (protocols, sockets) = (protocols(), sockets());
    let reader = Reader { protocols: &protocols, sockets: &sockets, id_hash };
    let (mut columns, mut lines) = (None, Vec::with_capacity(LINES));
    sheet::read(file, &mut |number, mut cells| {
        let Some(columns) = &columns else {
            ensure!(!holds_values(&cells), "the first line has values; it must have the headings");
            let found = mapping.map_or_else(|| Ok(mapping_of(&cells)), |of| of(&cells))?;
            columns = Some(found.clone());
            return take(Part::Head(cells, found));
        };
        reader.seal(&mut cells, columns);
        let understood = reader.understand(&cells, columns);
        lines.push(Line { number: i32::try_from(number).context("too many lines")?, cells, understood });
        if lines.len() == LINES {
            take(Part::Lines(std::mem::replace(&mut lines, Vec::with_capacity(LINES))))?;
        }
        Ok(())
    })?;
    if lines.is_empty() { Ok(()) } else { take(Part::Lines(lines)) }
}

/// The names of a mapping.
fn names(mapping: &[Option<Field>]) -> Value {
    mapping.iter().map(|f| f.map(Field::name)).collect()
}

/// Writes a part of a file down.
///
/// # Errors
/// The import has begun, or the database's own word.
pub async fn put_down(
    client: &impl tokio_postgres::GenericClient,
    who: Caller<'_>,
    import: i64,
    part: Part,
) -> Result<(), tokio_postgres::Error> {
    match part {
        Part::Head(headers, mapping) => {
            imports::begin(client, who, import, Some(&json!(headers)), &names(&mapping)).await
        }
        Part::Lines(lines) => imports::fill(client, who, import, &lines).await,
    }
}

/// The fact of each column.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct MappingRequest {
    /// A name of a fact for each column of the file, in order; null leaves a column out.
    #[schema(max_items = 64)]
    mapping: Vec<Option<String>>,
}

/// Read the columns as other facts; every row is checked again.
#[utoipa::path(put, path = "/registry/imports/{id}/mapping", operation_id = "put_import_mapping", tag = "registry", params(("id" = types::Id, Path)), request_body = MappingRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the import", body = types::Import), (status = 409, description = "the import has begun")))]
pub(in crate::api) async fn map(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
    body: Result<Json<MappingRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    let Json(asked) = body?;
    let mapping = fields(&asked.mapping)?;
    let client = api.pool.get().await?;
    let who = Caller::Session(&person.session);
    imports::begin(&**client, who, import, None, &names(&mapping)).await?;
    let (protocols, sockets, hash) = (protocols(), sockets(), |number: &str| api.id_key.hash(number));
    let reader = Reader { protocols: &protocols, sockets: &sockets, id_hash: &hash };
    let mut after = 0;
    loop {
        let sql = "SELECT line, cells FROM api_import_rows($1, $2, $3, $4)";
        let rows = client.query(sql, &[&person.session, &import, &after, &(LINES as i32)]).await?;
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        let line = |row: &tokio_postgres::Row| {
            let cells: Vec<String> = serde_json::from_value(row.get(1)).unwrap_or_default();
            Line { number: row.get(0), understood: reader.understand(&cells, &mapping), cells }
        };
        imports::fill(&**client, who, import, &rows.iter().map(line).collect::<Vec<_>>()).await?;
    }
    Ok(Json(imports::checked(&**client, who, import).await?))
}

/// Facts by their names; each in one column at most.
fn fields(names: &[Option<String>]) -> Result<Vec<Option<Field>>, Problem> {
    let mut found: Vec<Option<Field>> = Vec::new();
    for name in names {
        let field = name.as_deref().map(|n| {
            Field::of_name(n).filter(|f| !found.contains(&Some(*f))).ok_or_else(|| {
                let all: Vec<_> = Field::all().map(Field::name).collect();
                let said: String = n.chars().take(40).collect();
                let message = format!("{said:?} is no fact, or stands twice; there are {}", all.join(", "));
                Problem::bad(Code::UnknownWord, message, json!({ "field": "mapping", "value": said }))
            })
        });
        found.push(field.transpose()?);
    }
    Ok(found)
}

/// Whether bad rows are left out.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct StartRequest {
    /// Without it, an import with a bad row is not started.
    #[serde(default)]
    only_good: bool,
}

/// Start an import that was checked. It goes on by itself, also after a restart; again makes no difference.
#[utoipa::path(post, path = "/registry/imports/{id}/start", operation_id = "start_import", tag = "registry", params(("id" = types::Id, Path)), request_body = StartRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the import", body = types::Import), (status = 409, description = "rows are bad, or the file has not been read")))]
pub(in crate::api) async fn start(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
    body: Result<Json<StartRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    let Json(asked) = body?;
    let client = api.pool.get().await?;
    let row =
        client.query_one("SELECT api_import_start($1, $2, $3)", &[&person.session, &import, &asked.only_good]).await?;
    api.imports.notify_one();
    Ok(Json(row.get(0)))
}

/// End an import; what it has made so far stays.
#[utoipa::path(post, path = "/registry/imports/{id}/cancel", operation_id = "cancel_import", tag = "registry", params(("id" = types::Id, Path)), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the import", body = types::Import)))]
pub(in crate::api) async fn cancel(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    let client = api.pool.get().await?;
    Ok(Json(client.query_one("SELECT api_import_cancel($1, $2)", &[&person.session, &import]).await?.get(0)))
}

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Lines {
    /// How many lines with problems, 1 to 1000 (200).
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<i32>,
    /// `next_line` of the page before.
    #[param(minimum = 0)]
    after_line: Option<i32>,
}

/// What is wrong in the file, by line and fact.
#[utoipa::path(get, path = "/registry/imports/{id}/problems", operation_id = "list_import_problems", tag = "registry", params(("id" = types::Id, Path), Lines), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "problems", body = types::ImportProblems)))]
pub(in crate::api) async fn problems(
    State(api): State<Api>,
    person: Person,
    Path(import): Path<String>,
    Query(page): Query<Lines>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let import = id(&import, "id")?;
    let limit = limit(page.limit, 200, 1000)?;
    let after = page.after_line.unwrap_or(0);
    let client = api.pool.get().await?;
    let rows =
        client.query("SELECT api_import_problems($1, $2, $3, $4)", &[&person.session, &import, &after, &limit]).await?;
    let problems: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    let lines: std::collections::BTreeSet<i64> = problems.iter().filter_map(|p| p["line"].as_i64()).collect();
    let next = lines.last().filter(|_| lines.len() == limit as usize);
    Ok(Json(json!({ "problems": problems, "next_line": next })))
}
