//! One tracker's credential at the broker: made, replaced, revoked. What it is, is shown once.

use super::made::Made;
use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types::{self, TrackerCredential};
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Who makes and revokes credentials.
pub(super) const ROLES: &[Role] = &[Role::Operator, Role::Admin];
/// Length of a reason, characters.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 4..=200;

/// Why the credential that is there is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CredentialRequest {
    /// Needed where there is one, which is dead from then on; 4 to 200 characters.
    #[schema(min_length = 4, max_length = 200)]
    reason: Option<String>,
}

/// Why a credential is revoked.
#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Revocation {
    /// 4 to 200 characters; it is audited.
    #[param(min_length = 4, max_length = 200)]
    reason: String,
}

/// A reason of the length that reasons have.
fn reason(text: &str) -> Result<String, Problem> {
    let (text, (min, max)) = (text.trim(), (REASON_CHARS.start(), REASON_CHARS.end()));
    let characters = text.chars().count();
    if REASON_CHARS.contains(&characters) {
        return Ok(text.to_owned());
    }
    let said = format!("reason has {characters} characters; it must have {min} to {max}");
    let values = json!({ "field": "reason", "characters": characters, "min": min, "max": max });
    Err(Problem::bad(Code::TextLength, said, values))
}

/// What is known of a tracker's credential.
#[utoipa::path(get, path = "/trackers/{id}/credential", operation_id = "get_tracker_credential", tag = "trackers", params(("id" = types::Id, Path)), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "whether it has one", body = types::TrackerCredentialState)))]
pub(in crate::api) async fn get(
    State(api): State<Api>,
    person: Person,
    Path(tracker): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let tracker = id(&tracker, "id")?;
    let client = api.pool.get().await?;
    Ok(Json(client.query_one("SELECT api_credential($1, $2)", &[&person.session, &tracker]).await?.get(0)))
}

/// Make a credential. The broker admits the tracker within 2 s; one that it had is dead as soon.
#[utoipa::path(post, path = "/trackers/{id}/credential", operation_id = "issue_tracker_credential", tag = "trackers", params(("id" = types::Id, Path)), request_body = CredentialRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "the credential, shown this once", body = types::TrackerCredential), (status = 409, description = "it has one, and no reason was given")))]
pub(in crate::api) async fn issue(
    State(api): State<Api>,
    person: Person,
    Path(tracker): Path<String>,
    body: Result<Json<CredentialRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<TrackerCredential>), Problem> {
    person.must_be(ROLES)?;
    let tracker = id(&tracker, "id")?;
    let Json(wanted) = body?;
    let reason = wanted.reason.as_deref().map(reason).transpose()?;
    let made = Made::new();
    let client = api.pool.get().await?;
    let sql = "SELECT api_issue_credential($1, $2, $3, $4, $5)";
    let (hash, claim) = (made.password_hash(), made.claim_sha256());
    let ident: String = client.query_one(sql, &[&person.session, &tracker, &hash, &claim, &reason]).await?.get(0);
    Ok((StatusCode::CREATED, Json(made.shown(tracker, &ident)?)))
}

/// Revoke a tracker's credential: its connection ends within 2 s, and it comes in no more.
#[utoipa::path(delete, path = "/trackers/{id}/credential", operation_id = "revoke_tracker_credential", tag = "trackers", params(("id" = types::Id, Path), Revocation), security(("bearer" = ["operator", "admin"])), responses((status = 204, description = "revoked")))]
pub(in crate::api) async fn revoke(
    State(api): State<Api>,
    person: Person,
    Path(tracker): Path<String>,
    Query(revocation): Query<Revocation>,
) -> Result<StatusCode, Problem> {
    person.must_be(ROLES)?;
    let (tracker, reason) = (id(&tracker, "id")?, reason(&revocation.reason)?);
    let client = api.pool.get().await?;
    client.execute("SELECT api_revoke_credential($1, $2, $3)", &[&person.session, &tracker, &reason]).await?;
    Ok(StatusCode::NO_CONTENT)
}
