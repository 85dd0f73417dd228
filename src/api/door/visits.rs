//! A tracker that is fitted, tried and handed over.

use super::{AT_THE_DOOR, TEXT_CHARS_MAX, text, word};
use crate::api::Api;
use crate::api::account::code;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::Person;
use crate::api::types;
use crate::api::vehicles::{id, time};
use crate::domain::credential::canonical_claim;
use crate::domain::{Phone, Plate};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

/// Longest name of a person, characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest identifier and claim code of a label, characters.
const IDENT_CHARS_MAX: usize = 32;
const CLAIM_CHARS_MAX: usize = 64;
/// Shortest and longest key of a visit, characters: a UUID has 36.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=64;
/// How long an invitation from the door lives, s: as every other.
const INVITATION_S: f64 = 72.0 * 3600.0;
/// What a tracker or a place may keep anybody from seeing. That it is heard and that the drill's alert arrives is always seen.
const SKIPPABLE: [&str; 5] = ["place", "battery", "signal", "shake", "supply"];

/// What is on a label and on forms.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DoorVisitRequest {
    /// The tracker, as its label has it.
    #[schema(min_length = 1, max_length = 32)]
    ident: String,
    /// The claim code of its label.
    #[schema(min_length = 1, max_length = 64)]
    claim: String,
    /// The plate, in any spelling.
    plate: String,
    /// `ebike` or `motorcycle`.
    kind: String,
    /// The owner's name, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// The owner's phone, E.164.
    #[schema(pattern = r"^\+[1-9][0-9]{6,14}$")]
    phone: String,
    /// Version of the text that the owner agreed to.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,32}$")]
    consent: String,
    /// When, RFC 3339.
    #[schema(value_type = types::Time)]
    consented_at: String,
    /// Why a tracker is fitted again or replaced, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
    /// The job that it is for.
    #[schema(value_type = Option<types::Id>)]
    job_id: Option<String>,
}

/// The header that makes a call that is sent twice one.
fn key(headers: &HeaderMap) -> Result<&str, Problem> {
    let given = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if KEY_CHARS.contains(&given.len()) && given.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(given);
    }
    Err(form("Idempotency-Key", given, "8 to 64 letters, digits and -"))
}

/// A text that has another form than it must have.
fn form(field: &str, given: &str, must: &str) -> Problem {
    let said: String = given.chars().take(32).collect();
    let message = format!("{field} is {said:?}; it must be {must}");
    Problem::bad(Code::UnknownWord, message, json!({ "field": field, "value": said }))
}

/// A phone number in E.164, however it was typed.
fn phone(given: &str) -> Result<String, Problem> {
    let read = Phone::parse(given).map(|p| p.as_str().to_owned());
    read.ok_or_else(|| form("phone", given, "like 13800000001 or +8613800000001"))
}

fn consent(given: &str) -> Result<&str, Problem> {
    let is_version = (1..=32).contains(&given.len())
        && given.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_version { Ok(given) } else { Err(form("consent", given, "1 to 32 letters, digits, . _ and -")) }
}

/// Digest of a label's claim code as it was meant.
fn claim(given: &str) -> Result<[u8; 32], Problem> {
    Ok(Sha256::digest(canonical_claim(text(given, "claim", CLAIM_CHARS_MAX)?)).into())
}

/// Fit a tracker: owner by phone, vehicle by plate, tracker by label. Sent again with its key it answers the same.
#[utoipa::path(post, path = "/door/visits", operation_id = "enrol_at_the_door", tag = "door", params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits and -", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9-]{8,64}$")), request_body = DoorVisitRequest, security(("bearer" = ["installer", "operator", "admin"])), responses((status = 201, description = "the visit", body = types::DoorVisit), (status = 404, description = "no tracker of yours has this label, or no such job"), (status = 409, description = "plate, phone or tracker belong to others, or a reason is needed")))]
pub(in crate::api) async fn enrol(
    State(api): State<Api>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<DoorVisitRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(AT_THE_DOOR)?;
    let key = key(&headers)?;
    let Json(asked) = body?;
    let plate = Plate::parse(&asked.plate).map_err(|e| Problem::wrong(&e))?;
    let reason = asked.reason.as_deref().map(|r| text(r, "reason", TEXT_CHARS_MAX)).transpose()?;
    let job = asked.job_id.as_deref().map(|j| id(j, "job_id")).transpose()?;
    time(&asked.consented_at, "consented_at")?;
    let content = json!({
        "ident": text(&asked.ident, "ident", IDENT_CHARS_MAX)?,
        "plate": plate.as_str(),
        "kind": word(&asked.kind, "kind", &["ebike", "motorcycle"])?,
        "name": text(&asked.name, "name", NAME_CHARS_MAX)?,
        "phone": phone(&asked.phone)?,
        "consent": consent(&asked.consent)?,
        "consented_at": asked.consented_at,
        "reason": reason,
        "job_id": job.map(|j| j.to_string()),
    });
    let claim = claim(&asked.claim)?;
    let row = api
        .pool
        .get()
        .await?
        .query_one("SELECT api_door_enrol($1, $2, $3, $4)", &[&person.session, &key, &content, &claim.as_slice()])
        .await?;
    Ok((StatusCode::CREATED, Json(row.get(0))))
}

/// Where the installer's phone is. It is compared with the tracker's place, and not kept.
#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Here {
    /// Latitude, degrees.
    #[param(minimum = -90, maximum = 90)]
    lat: Option<f64>,
    /// Longitude, degrees.
    #[param(minimum = -180, maximum = 180)]
    lon: Option<f64>,
}

/// A place is two numbers in their limits, or none.
fn place(lat: Option<f64>, lon: Option<f64>) -> Result<(Option<f64>, Option<f64>), Problem> {
    for (given, field, max) in [(lat, "lat", 90.0), (lon, "lon", 180.0)] {
        if let Some(value) = given.filter(|v| !(-max..=max).contains(v)) {
            return Err(Problem::range(field, value, -max, max));
        }
    }
    Ok(lat.zip(lon).map_or((None, None), |(lat, lon)| (Some(lat), Some(lon))))
}

/// A visit and what has been seen since it began; ask again and again.
#[utoipa::path(get, path = "/door/visits/{id}", operation_id = "door_visit", tag = "door", params(("id" = types::Id, Path), Here), security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "the visit", body = types::DoorVisitChecked)))]
pub(in crate::api) async fn visit(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
    Query(here): Query<Here>,
) -> Result<Json<Value>, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    let (lat, lon) = place(here.lat, here.lon)?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_door_visit($1, $2, $3, $4)", &[&person.session, &visit, &lat, &lon]).await?;
    Ok(Json(row.get(0)))
}

/// Guard the vehicle, so that moving it has to raise an alert. Nobody else gets an alert.
#[utoipa::path(post, path = "/door/visits/{id}/drill", operation_id = "begin_drill", tag = "door", params(("id" = types::Id, Path)), security(("bearer" = ["installer", "operator", "admin"])), responses((status = 202, description = "handed on", body = types::ChangePending), (status = 409, description = "the visit is over")))]
pub(in crate::api) async fn drill(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    api.pool.get().await?.execute("SELECT api_door_drill($1, $2)", &[&person.session, &visit]).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "pending": true }))))
}

/// Where the phone is, and what cannot be seen here.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DoorHandOverRequest {
    /// Latitude of the phone, degrees.
    #[schema(minimum = -90, maximum = 90)]
    lat: Option<f64>,
    /// Longitude of the phone, degrees.
    #[schema(minimum = -180, maximum = 180)]
    lon: Option<f64>,
    /// What cannot be seen of this tracker or at this place: `place`, `battery`, `signal`, `shake`, `supply`.
    #[serde(default)]
    #[schema(max_items = 5)]
    without: Vec<String>,
    /// Why, 1 to 200 characters; where something is left out.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// Hand the vehicle over to its owner, who gets an invitation where they are not in yet.
#[utoipa::path(post, path = "/door/visits/{id}/hand-over", operation_id = "hand_over_at_the_door", tag = "door", params(("id" = types::Id, Path)), request_body = DoorHandOverRequest, security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "handed over", body = types::DoorHandedOver), (status = 409, description = "something was not seen, or the visit is over")))]
pub(in crate::api) async fn hand_over(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
    headers: HeaderMap,
    body: Result<Json<DoorHandOverRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    let Json(asked) = body?;
    let (lat, lon) = place(asked.lat, asked.lon)?;
    if asked.without.len() > SKIPPABLE.len() {
        return Err(Problem::range("without", asked.without.len(), 0, SKIPPABLE.len()));
    }
    for check in &asked.without {
        word(check, "without", &SKIPPABLE)?;
    }
    let reason = asked.reason.as_deref().map(|r| text(r, "reason", TEXT_CHARS_MAX)).transpose()?;
    if reason.is_none() && !asked.without.is_empty() {
        return Err(Problem::length("reason", 0, TEXT_CHARS_MAX));
    }
    let code = code::new_code();
    let digest = code::digest_of_code(&code);
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_door_hand_over($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&person.session, &visit, &lat, &lon, &asked.without, &reason, &digest, &INVITATION_S],
        )
        .await?;
    let said: Value = row.get(0);
    let until = said["invited_until"].as_str().map(|until| types::Time(until.to_owned()));
    let invitation = until.map(|until| code::link(&api, &headers, "invitation", &code, until)).transpose()?;
    Ok(Json(json!({ "visit": said["visit"], "invitation": invitation })))
}

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DoorReasonRequest {
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// End a visit without a hand-over; a tracker that it fitted is out again.
#[utoipa::path(post, path = "/door/visits/{id}/give-up", operation_id = "give_up_visit", tag = "door", params(("id" = types::Id, Path)), request_body = DoorReasonRequest, security(("bearer" = ["installer", "operator", "admin"])), responses((status = 200, description = "the visit", body = types::DoorVisit), (status = 409, description = "the visit is over")))]
pub(in crate::api) async fn give_up(
    State(api): State<Api>,
    person: Person,
    Path(visit): Path<String>,
    body: Result<Json<DoorReasonRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let visit = id(&visit, "id")?;
    let Json(asked) = body?;
    let reason = text(&asked.reason, "reason", TEXT_CHARS_MAX)?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_door_give_up($1, $2, $3)", &[&person.session, &visit, &reason]).await?;
    Ok(Json(row.get(0)))
}

/// A tracker to take out, by its label.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RemovalRequest {
    /// The tracker, as its label has it.
    #[schema(min_length = 1, max_length = 32)]
    ident: String,
    /// The claim code of its label.
    #[schema(min_length = 1, max_length = 64)]
    claim: String,
    /// Why, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Take a tracker out of its vehicle.
#[utoipa::path(post, path = "/door/removals", operation_id = "remove_tracker_at_the_door", tag = "door", request_body = RemovalRequest, security(("bearer" = ["installer", "operator", "admin"])), responses((status = 204, description = "it is out"), (status = 404, description = "no tracker of yours has this label, or it is in no vehicle")))]
pub(in crate::api) async fn remove(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<RemovalRequest>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    person.must_be(AT_THE_DOOR)?;
    let Json(asked) = body?;
    let ident = text(&asked.ident, "ident", IDENT_CHARS_MAX)?;
    let reason = text(&asked.reason, "reason", TEXT_CHARS_MAX)?;
    let claim = claim(&asked.claim)?;
    api.pool
        .get()
        .await?
        .execute("SELECT api_door_remove($1, $2, $3, $4)", &[&person.session, &ident, &claim.as_slice(), &reason])
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_e_164_and_a_version_of_consent_a_short_word() {
        for typed in ["+8613800000001", "138 0000 0001"] {
            assert_eq!(phone(typed).ok().as_deref(), Some("+8613800000001"));
        }
        for wrong in ["1380000", "+0861380000", "+86138", "+8613800000001234", ""] {
            assert!(phone(wrong).is_err(), "{wrong}");
        }
        assert!(consent("2026-11").is_ok() && consent("").is_err() && consent("a b").is_err());
    }

    #[test]
    fn a_claim_code_is_the_same_however_it_is_typed() {
        assert_eq!(claim("AB12-CD3O").ok(), claim("abl2 cd30").ok());
        assert_ne!(claim("ab12cd34").ok(), claim("ab12cd35").ok());
        assert!(claim("   ").is_err());
    }

    #[test]
    fn a_place_is_two_numbers_in_their_limits_or_none() {
        assert_eq!(place(Some(28.5), None).ok(), Some((None, None)));
        assert_eq!(place(Some(28.5), Some(112.3)).ok(), Some((Some(28.5), Some(112.3))));
        assert!(place(Some(91.0), Some(0.0)).is_err() && place(Some(f64::NAN), Some(0.0)).is_err());
    }
}
