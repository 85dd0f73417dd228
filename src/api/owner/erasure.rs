//! Delete my account: nobody is let in any more at once, and the rollup's process erases and proves it.

use crate::api::Api;
use crate::api::account::own::typed_again;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::password::CREDENTIAL_BYTES_MAX;
use crate::api::session::{Person, Role, new_token};
use crate::api::types;
use crate::domain::Timestamp;
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The password, once more: whoever finds an open page must not be able to do this.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DeleteAccountRequest {
    /// The account's own.
    #[schema(max_length = 256, format = Password)]
    password: String,
}

/// Delete my account and everything that was measured of my vehicles. It cannot be undone.
#[utoipa::path(delete, path = "/me", operation_id = "delete_account", tag = "belongings", request_body = DeleteAccountRequest, security(("bearer" = ["owner", "family"])), responses((status = 200, description = "nobody is let in any more; it is erased within minutes", body = types::ErasureReceipt), (status = 429, description = "too many tries")))]
pub(in crate::api) async fn ask(
    State(api): State<Api>,
    person: Person,
    body: Result<Json<DeleteAccountRequest>, JsonRejection>,
) -> Result<Json<types::ErasureReceipt>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let Json(given) = body?;
    if given.password.len() > CREDENTIAL_BYTES_MAX {
        return Err(Problem::length("password", given.password.len(), CREDENTIAL_BYTES_MAX));
    }
    let shown = typed_again(&api, &person, &given.password).await?;
    let receipt = new_token();
    let client = api.pool.get().await?;
    let sql = "SELECT api_ask_erasure($1, $2, $3)";
    let row = client.query_one(sql, &[&person.session, &shown, &Proof::shown(&receipt)]).await?;
    api.live.end_session(person.session);
    let asked_at = row.get::<_, Timestamp>(0).into();
    Ok(Json(types::ErasureReceipt { receipt, asked_at }))
}

/// What an erasure is asked after by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ErasureProofRequest {
    /// As the answer to the deletion gave it.
    #[schema(max_length = 64)]
    receipt: String,
}

/// What became of an erasure: the proof. Needs no log-in, as there is no account any more.
#[utoipa::path(post, path = "/erasure-proof", operation_id = "get_erasure_proof", tag = "belongings", request_body = ErasureProofRequest, responses((status = 200, description = "the proof", body = types::ErasureProof), (status = 404, description = "no such receipt"), (status = 429, description = "too often")))]
pub(in crate::api) async fn proof(
    State(api): State<Api>,
    body: Result<Json<ErasureProofRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let proof = Proof::shown(&body?.0.receipt);
    api.limits.allow_view(proof.digest()).map_err(|wait_s| Problem::too_often(Code::TooManyViews, wait_s))?;
    let row = api.pool.get().await?.query_opt("SELECT * FROM api_erasure($1)", &[&proof]).await?;
    let row = row.ok_or_else(|| Problem::missing(Code::UnknownCode, "no erasure has this receipt"))?;
    Ok(Json(row.get(0)))
}
