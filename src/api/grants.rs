//! What an officer may do: grants.

use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// My grants in force.
#[utoipa::path(get, path = "/grants", operation_id = "list_grants", tag = "grants", security(("bearer" = ["police"])), responses((status = 200, description = "grants", body = types::Grants)))]
pub(super) async fn grants(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Police])?;
    let rows = api.pool.get().await?.query("SELECT * FROM api_my_grants($1)", &[&person.session]).await?;
    let grants: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "grants": grants })))
}
