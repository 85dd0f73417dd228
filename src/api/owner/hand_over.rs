//! A vehicle changes hands: the seller offers and the buyer accepts by code, or the operator hands over with a document.

use crate::api::Api;
use crate::api::account::code::{digest_of_spoken, new_spoken};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::owner::{ahead, text};
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// How far ahead a hand-over may be agreed, days.
const AHEAD_DAYS_MAX: u32 = 30;
/// Longest number of a document, characters.
const DOCUMENT_CHARS_MAX: usize = 64;
/// Longest phone number or login, characters.
const PERSON_CHARS_MAX: usize = 64;

/// From when on the vehicle is to be the buyer's.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct HandOverRequest {
    /// At most 30 days ahead; left out: when the buyer accepts.
    #[schema(value_type = Option<types::Time>)]
    takes_place_at: Option<String>,
}

/// Offer my vehicle to a buyer: the answer has the code that the buyer types, for 72 hours.
#[utoipa::path(post, path = "/vehicles/{id}/hand-over", operation_id = "offer_hand_over", tag = "belongings", params(("id" = types::Id, Path)), request_body = HandOverRequest, security(("bearer" = ["owner"])), responses((status = 201, description = "the code", body = types::HandOverOffered), (status = 404, description = "none of yours"), (status = 409, description = "a hand-over is open")))]
pub(in crate::api) async fn offer(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<HandOverRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let at = ahead(body?.0.takes_place_at.as_deref(), "takes_place_at", AHEAD_DAYS_MAX)?;
    let code = new_spoken();
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_offer_hand_over($1, $2, $3, $4)",
            &[&person.session, &vehicle, &digest_of_spoken(&code), &at],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(json!({ "code": code, "hand_over": row.get::<_, Value>(0) }))))
}

/// The hand-over of my vehicle that is open.
#[utoipa::path(get, path = "/vehicles/{id}/hand-over", operation_id = "get_hand_over", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 200, description = "it, if there is one", body = types::OpenHandOver), (status = 404, description = "none of yours")))]
pub(in crate::api) async fn open(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_opt("SELECT * FROM api_hand_over_of($1, $2)", &[&person.session, &vehicle]).await?;
    Ok(Json(json!({ "hand_over": row.map(|r| r.get::<_, Value>(0)) })))
}

/// Take the offer back, accepted or not, before it takes place.
#[utoipa::path(delete, path = "/vehicles/{id}/hand-over", operation_id = "cancel_hand_over", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 204, description = "it is over"), (status = 404, description = "none of yours, or nothing is open")))]
pub(in crate::api) async fn cancel(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_cancel_hand_over($1, $2)", &[&person.session, &vehicle]).await?;
    if row.get(0) { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}

/// A code, as somebody typed it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct InvitationCodeRequest {
    /// Small or large letters, with or without signs between.
    #[schema(max_length = 64)]
    code: String,
}

impl InvitationCodeRequest {
    /// What the database keeps of it; a code that can be none is as unknown as any other.
    pub(in crate::api) fn digest(&self, api: &Api, person: &Person) -> Result<Vec<u8>, Problem> {
        api.limits.allow_code(person.account).map_err(|wait_s| Problem::too_often(Code::TooManyCodes, wait_s))?;
        digest_of_spoken(&self.code)
            .ok_or_else(|| Problem::missing(Code::UnknownCode, "no invitation has this code, or it is over"))
    }
}

/// Accept a vehicle by the seller's code.
#[utoipa::path(post, path = "/hand-overs/accept", operation_id = "accept_hand_over", tag = "belongings", request_body = InvitationCodeRequest, security(("bearer" = ["owner"])), responses((status = 200, description = "it is yours, or will be", body = types::HandOverAccepted), (status = 404, description = "no such code"), (status = 409, description = "it is yours already"), (status = 429, description = "too many tries")))]
pub(in crate::api) async fn accept(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<InvitationCodeRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let code = body?.0.digest(&api, &person)?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_accept_hand_over($1, $2)", &[&person.session, &code]).await?;
    let mut accepted: Value = row.get(0);
    let plate = accepted.as_object_mut().and_then(|fields| fields.remove("plate"));
    Ok(Json(json!({ "plate": plate, "hand_over": accepted })))
}

/// Hand-overs that are agreed or offered and have not taken place: of my vehicles, and of those that will be mine.
#[utoipa::path(get, path = "/me/hand-overs", operation_id = "list_my_hand_overs", tag = "belongings", security(("bearer" = ["owner"])), responses((status = 200, description = "soonest first", body = types::PendingHandOvers)))]
pub(in crate::api) async fn mine(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_my_hand_overs($1)", &[&person.session]).await?;
    let pending: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "hand_overs": pending })))
}

/// End a hand-over before it takes place: the seller takes it back, or the buyer declines.
#[utoipa::path(delete, path = "/hand-overs/{id}", operation_id = "decline_hand_over", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 204, description = "it is over"), (status = 404, description = "none of yours is pending")))]
pub(in crate::api) async fn decline(
    State(api): State<Api>,
    person: Person,
    Path(transfer): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner])?;
    let transfer = id(&transfer, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_decline_hand_over($1, $2)", &[&person.session, &transfer]).await?;
    if row.get(0) { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}

/// Why an operator hands a vehicle over.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum HandOverReason {
    Sale,
    Death,
    Repossession,
    InsurerRecovery,
}

impl HandOverReason {
    fn name(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Death => "death",
            Self::Repossession => "repossession",
            Self::InsurerRecovery => "insurer_recovery",
        }
    }
}

/// To whom, why, and by which document.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct OperatorHandOverRequest {
    /// Why.
    reason: HandOverReason,
    /// Number of the contract, the certificate of inheritance or the court's order.
    #[schema(min_length = 1, max_length = 64)]
    document: String,
    /// The new owner's phone number, E.164; this or `to_login`.
    #[schema(max_length = 64)]
    to_phone: Option<String>,
    /// The new owner's login.
    #[schema(max_length = 64)]
    to_login: Option<String>,
}

/// Hand a vehicle over to another owner at once; the reason and the document are audited.
#[utoipa::path(post, path = "/registry/vehicles/{id}/hand-over", operation_id = "hand_over_vehicle", tag = "registry", params(("id" = types::Id, Path)), request_body = OperatorHandOverRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "it is theirs", body = types::HandOver), (status = 404, description = "no such vehicle or person"), (status = 409, description = "it is theirs already, or nobody's")))]
pub(in crate::api) async fn by_operator(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<OperatorHandOverRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Operator, Role::Admin])?;
    let vehicle = id(&vehicle, "id")?;
    let Json(asked) = body?;
    let document = text(&asked.document, "document", DOCUMENT_CHARS_MAX)?;
    let (phone, login) = match (asked.to_phone, asked.to_login) {
        (Some(phone), None) => (Some(text(&phone, "to_phone", PERSON_CHARS_MAX)?), None),
        (None, Some(login)) => (None, Some(text(&login, "to_login", PERSON_CHARS_MAX)?)),
        _ => {
            let (said, fields) = ("give to_phone or to_login", "to_phone, to_login");
            return Err(Problem::bad(Code::OneOf, said, json!({ "fields": fields })));
        }
    };
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_hand_over($1, $2, $3, $4, $5, $6)",
            &[&person.session, &vehicle, &asked.reason.name(), &document, &phone, &login],
        )
        .await?;
    Ok(Json(row.get(0)))
}
