//! Family: who may see a vehicle with its owner, arm it, or answer its incidents.

use crate::api::Api;
use crate::api::account::code::{digest_of_spoken, new_spoken};
use crate::api::error::Problem;
use crate::api::owner::hand_over::InvitationCodeRequest;
use crate::api::owner::{ahead, text};
use crate::api::session::{Person, Role};
use crate::api::types::{self, FamilyRight};
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Longest name that an owner gives to somebody, characters.
const NAME_CHARS_MAX: usize = 64;
/// Farthest end of a share with family that may be named, days; without one it lasts until it is revoked.
const ENDS_DAYS_MAX: u32 = 3660;

/// Whom to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct FamilyInvitationRequest {
    /// What the owner calls them.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What they may do.
    may: FamilyRight,
    /// Until when; left out: until it is revoked.
    #[schema(value_type = Option<types::Time>)]
    ends_at: Option<String>,
}

/// Invite a member of the family: the answer has the code that they type, for 72 hours.
#[utoipa::path(post, path = "/vehicles/{id}/family", operation_id = "invite_family", tag = "belongings", params(("id" = types::Id, Path)), request_body = FamilyInvitationRequest, security(("bearer" = ["owner"])), responses((status = 201, description = "the code", body = types::FamilyInvited), (status = 404, description = "none of yours"), (status = 409, description = "as many as there may be")))]
pub(in crate::api) async fn invite(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
    body: Result<Json<FamilyInvitationRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let Json(asked) = body?;
    let name = text(&asked.name, "name", NAME_CHARS_MAX)?;
    let ends = ahead(asked.ends_at.as_deref(), "ends_at", ENDS_DAYS_MAX)?;
    let code = new_spoken();
    let row = api
        .pool
        .get()
        .await?
        .query_one(
            "SELECT api_invite_family($1, $2, $3, $4, $5, $6)",
            &[&person.session, &vehicle, &digest_of_spoken(&code), &name, &asked.may.name(), &ends],
        )
        .await?;
    Ok((StatusCode::CREATED, Json(json!({ "code": code, "member": row.get::<_, Value>(0) }))))
}

/// With whom my vehicle is shared.
#[utoipa::path(get, path = "/vehicles/{id}/family", operation_id = "list_family", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner"])), responses((status = 200, description = "members and open invitations", body = types::FamilyMembers), (status = 404, description = "none of yours")))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    person: Person,
    Path(vehicle): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let vehicle = id(&vehicle, "id")?;
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_family($1, $2)", &[&person.session, &vehicle]).await?;
    let members: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "members": members })))
}

/// Accept an invitation by its code.
#[utoipa::path(post, path = "/family/accept", operation_id = "accept_family", tag = "belongings", request_body = InvitationCodeRequest, security(("bearer" = ["owner", "family"])), responses((status = 200, description = "what you may do now", body = types::FamilyMember), (status = 404, description = "no such code"), (status = 409, description = "it is your own vehicle"), (status = 429, description = "too many tries")))]
pub(in crate::api) async fn accept(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<InvitationCodeRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let code = body?.0.digest(&api, &person)?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_accept_family($1, $2)", &[&person.session, &code]).await?;
    Ok(Json(row.get(0)))
}

/// End what somebody may do: by the owner, or by themselves.
#[utoipa::path(delete, path = "/family/{id}", operation_id = "end_family", tag = "belongings", params(("id" = types::Id, Path)), security(("bearer" = ["owner", "family"])), responses((status = 204, description = "it has ended"), (status = 404, description = "none of yours")))]
pub(in crate::api) async fn end(
    State(api): State<Api>,
    person: Person,
    Path(member): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let member = id(&member, "id")?;
    let client = api.pool.get().await?;
    let row = client.query_one("SELECT api_end_family($1, $2)", &[&person.session, &member]).await?;
    if row.get(0) { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::NotFound) }
}
