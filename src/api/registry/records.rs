//! Search, records, changes and their history.

use super::{ROLES, idempotency, limit, protocols, reason, sockets, version};
use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::Person;
use crate::api::types;
use crate::api::types::RegistryKind;
use crate::api::vehicles::id;
use crate::domain::enrolment::{Field, Reader};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

/// Most rows in one answer.
const ROWS_MAX: i32 = 200;
/// Longest text of a search, characters.
const TEXT_CHARS_MAX: usize = 64;

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Search {
    /// Part of a name, phone, plate, number or identifier; shorter than 3 characters: its beginning.
    #[param(max_length = 64)]
    q: Option<String>,
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// People, vehicles or trackers of my organisation; phones are masked.
#[utoipa::path(get, path = "/registry/{kind}", operation_id = "search_registry", tag = "registry", params(("kind" = RegistryKind, Path), Search), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "rows", body = types::RegistryRows)))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    person: Person,
    Path(kind): Path<RegistryKind>,
    Query(asked): Query<Search>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let limit = limit(asked.limit, 50, ROWS_MAX)?;
    let text = asked.q.unwrap_or_default();
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::length("q", text.chars().count(), TEXT_CHARS_MAX));
    }
    let after = asked.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?.unwrap_or(0);
    let sql = match kind {
        RegistryKind::People => "SELECT api_registry_people($1, $2, $3, $4)",
        RegistryKind::Vehicles => "SELECT api_registry_vehicles($1, $2, $3, $4)",
        RegistryKind::Trackers => "SELECT api_registry_trackers($1, $2, $3, $4)",
    };
    let found = api.pool.get().await?.query(sql, &[&person.session, &text, &after, &limit]).await?;
    let rows: Vec<Value> = found.iter().map(|r| r.get(0)).collect();
    let next = if rows.len() == limit as usize { rows.last().map(|r| r["id"].clone()) } else { None };
    Ok(Json(json!({ "rows": rows, "next_cursor": next })))
}

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Why {
    /// Why a person's record is opened, 1 to 500 characters; of vehicles and trackers it may be left out.
    #[param(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// A record, whole. Its ETag is what a change of it needs.
#[utoipa::path(get, path = "/registry/{kind}/{id}", operation_id = "get_registry_record", tag = "registry", params(("kind" = RegistryKind, Path), ("id" = types::Id, Path), Why), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the record", body = types::RegistryRecord)))]
pub(in crate::api) async fn one(
    State(api): State<Api>,
    person: Person,
    Path((kind, of)): Path<(RegistryKind, String)>,
    Query(why): Query<Why>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let of = id(&of, "id")?;
    let why =
        if kind == RegistryKind::People || why.reason.is_some() { Some(reason(why.reason.as_deref())?) } else { None };
    let client = api.pool.get().await?;
    let row = client
        .query_one("SELECT api_registry_record($1, $2, $3, $4)", &[&person.session, &kind.name(), &of, &why])
        .await?;
    tagged(StatusCode::OK, row.get::<_, Option<Value>>(0).ok_or(Problem::NotFound)?)
}

/// A record with its ETag.
pub(in crate::api) fn tagged(status: StatusCode, record: Value) -> Result<Response, Problem> {
    let tag = HeaderValue::from_str(&format!("\"{}\"", record["version"])).map_err(|_| Problem::Unavailable)?;
    Ok((status, [(header::ETAG, tag)], Json(record)).into_response())
}

/// Facts of a thing, by their names, and why.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct RegistryRequest {
    /// People: `name`, `phone`, `id_number`. Vehicles: `plate`, `kind`, `make`, `model`, `colour`, `frame_number`,
    /// `motor_number`, `owner_id` (new ones). Trackers: `ident` (new ones), `protocol`, `transport` (beside `protocol`),
    /// `tracker_model`, `iccid`, `sim_number`, `batch`. An empty text takes a fact away.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    fields: std::collections::BTreeMap<String, String>,
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl RegistryRequest {
    /// The facts in the form of the database.
    fn understood(&self, api: &Api, kind: RegistryKind, is_new: bool) -> Result<Value, Problem> {
        let hash = |number: &str| api.id_key.hash(number);
        let (protocols, sockets) = (protocols(), sockets());
        let reader = Reader { protocols: &protocols, sockets: &sockets, id_hash: &hash };
        let mut known = Map::new();
        for (name, value) in &self.fields {
            if name == "owner_id" && is_new && kind == RegistryKind::Vehicles {
                known.insert(name.clone(), json!(id(value, name)?.to_string()));
                continue;
            }
            let field = Field::of_name(name).filter(|f| kind.has(*f, is_new));
            let Some(field) = field else { return Err(unknown(name, kind, is_new)) };
            if value.trim().is_empty() && !is_new && kind.may_lack(field) {
                for key in if field == Field::IdNumber {
                    vec!["id_number_hmac", "id_number_last4"]
                } else {
                    vec![name.as_str()]
                } {
                    known.insert(key.into(), if kind.is_text(field) { json!("") } else { Value::Null });
                }
                continue;
            }
            let value = field.understand(value, &protocols).map_err(|f| Problem::wrong(&f))?;
            reader.keep(field, value, &mut known);
        }
        reader.settle_transport(&mut known).map_err(|f| Problem::wrong(&f))?;
        if is_new {
            for needed in kind.needs() {
                if !self.fields.contains_key(needed.name()) {
                    let fault = needed.understand("", &protocols).err();
                    return Err(fault.map_or(Problem::Unavailable, |f| Problem::wrong(&f)));
                }
            }
        } else if let Some(profile) = known.remove("profile") {
            let said =
                ["protocol", "transport"].into_iter().filter_map(|name| Some((name, profile.get(name)?.clone())));
            known.insert("profile_change".into(), said.collect());
        }
        if let Some(model) = known.remove("tracker_model") {
            known.insert("model".into(), model);
        }
        Ok(Value::Object(known))
    }
}

fn unknown(name: &str, kind: RegistryKind, is_new: bool) -> Problem {
    let names: Vec<_> = Field::all().filter(|f| kind.has(*f, is_new)).map(Field::name).collect();
    let said: String = name.chars().take(40).collect();
    let message = format!("{said:?} is no field of {}; there are {}", kind.name(), names.join(", "));
    Problem::bad(crate::api::codes::Code::UnknownWord, message, json!({ "field": "fields", "value": said }))
}

/// Enter a person, a vehicle or a tracker. With an `Idempotency-Key`, a retry makes nothing twice.
#[utoipa::path(post, path = "/registry/{kind}", operation_id = "add_to_registry", tag = "registry", params(("kind" = RegistryKind, Path), ("Idempotency-Key" = Option<String>, Header, max_length = 64)), request_body = RegistryRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "the record", body = types::RegistryRecord), (status = 404, description = "no such owner of yours"), (status = 409, description = "somebody else's phone, plate or identifier; the key was used for another request")))]
pub(in crate::api) async fn add(
    State(api): State<Api>,
    person: Person,
    Path(kind): Path<RegistryKind>,
    headers: HeaderMap,
    body: Result<Json<RegistryRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let why = reason(Some(&asked.reason))?;
    let fields = asked.understood(&api, kind, true)?;
    let (key, digest) = idempotency(&headers, &json!([kind.name(), fields]))?;
    put(&api, &person, kind, (None, None), &fields, why, (key, digest)).await
}

/// Change facts of a record, of the version that was seen (`If-Match`).
#[utoipa::path(patch, path = "/registry/{kind}/{id}", operation_id = "change_registry_record", tag = "registry", params(("kind" = RegistryKind, Path), ("id" = types::Id, Path), ("If-Match" = String, Header)), request_body = RegistryRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the record", body = types::RegistryRecord), (status = 409, description = "it was changed since; somebody else's phone or plate")))]
pub(in crate::api) async fn change(
    State(api): State<Api>,
    person: Person,
    Path((kind, of)): Path<(RegistryKind, String)>,
    headers: HeaderMap,
    body: Result<Json<RegistryRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let of = id(&of, "id")?;
    let seen = version(&headers)?;
    let Json(asked) = body?;
    let why = reason(Some(&asked.reason))?;
    let fields = asked.understood(&api, kind, false)?;
    put(&api, &person, kind, (Some(of), Some(seen)), &fields, why, (None, vec![0; 32])).await
}

async fn put(
    api: &Api,
    person: &Person,
    kind: RegistryKind,
    (of, seen): (Option<i64>, Option<i32>),
    fields: &Value,
    why: &str,
    (key, digest): (Option<String>, Vec<u8>),
) -> Result<Response, Problem> {
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_registry_put($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&person.session, &kind.name(), &of, &seen, &fields, &why, &key, &digest],
        )
        .await?;
    let status = if of.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    tagged(status, row.get::<_, Option<Value>>(0).ok_or(Problem::NotFound)?)
}

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Page {
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// Who changed what and why, newest first.
#[utoipa::path(get, path = "/registry/{kind}/{id}/history", operation_id = "get_registry_history", tag = "registry", params(("kind" = RegistryKind, Path), ("id" = types::Id, Path), Page), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "changes", body = types::RegistryRows)))]
pub(in crate::api) async fn history(
    State(api): State<Api>,
    person: Person,
    Path((kind, of)): Path<(RegistryKind, String)>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let of = id(&of, "id")?;
    let limit = limit(page.limit, 50, ROWS_MAX)?;
    let before = page.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?;
    let client = api.pool.get().await?;
    let found = client
        .query(
            "SELECT api_registry_history($1, $2, $3, $4, $5)",
            &[&person.session, &kind.name(), &of, &before, &limit],
        )
        .await?;
    let rows: Vec<Value> = found.iter().map(|r| r.get(0)).collect();
    let next = if rows.len() == limit as usize { rows.last().map(|r| r["id"].clone()) } else { None };
    Ok(Json(json!({ "rows": rows, "next_cursor": next })))
}

/// Which tracker a vehicle carries from now on, and why.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct InstallRequest {
    /// None: the one there is taken out.
    #[schema(value_type = Option<types::Id>)]
    tracker_id: Option<String>,
    /// Takes out the one there first.
    #[serde(default)]
    replace: bool,
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Put a tracker into a vehicle, replace it or take it out. Again makes no difference.
#[utoipa::path(put, path = "/registry/vehicles/{id}/tracker", operation_id = "install_tracker", tag = "registry", params(("id" = types::Id, Path)), request_body = InstallRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the vehicle", body = types::RegistryRecord), (status = 409, description = "one of them is taken")))]
pub(in crate::api) async fn install(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<InstallRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let vehicle = id(&vehicle, "id")?;
    let Json(asked) = body?;
    let why = reason(Some(&asked.reason))?;
    let tracker = asked.tracker_id.as_deref().map(|t| id(t, "tracker_id")).transpose()?;
    let client = api.pool.get().await?;
    let row = client
        .query_one(
            "SELECT api_registry_install($1, $2, $3, $4, $5)",
            &[&person.session, &vehicle, &tracker, &asked.replace, &why],
        )
        .await?;
    tagged(StatusCode::OK, row.get(0))
}
