//! Who looked at my vehicles.

use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types;
use crate::api::vehicles::time;
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Most looks in one answer.
const LOOKS_MAX: i32 = 200;

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct LooksAsked {
    /// Only looks before this time, RFC 3339.
    #[param(value_type = Option<types::Time>)]
    before: Option<String>,
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
}

/// Looks of authorities at what is or was mine, in that time, as far as they may be told by now.
#[utoipa::path(get, path = "/me/looks", operation_id = "list_looks", tag = "belongings", params(LooksAsked), security(("bearer" = ["owner"])), responses((status = 200, description = "newest first", body = types::VehicleLooks)))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<LooksAsked>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner])?;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=LOOKS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, LOOKS_MAX));
    }
    let before = asked.before.as_deref().map(|at| time(at, "before")).transpose()?;
    let client = api.pool.get().await?;
    let rows = client.query("SELECT * FROM api_my_looks($1, $2, $3)", &[&person.session, &before, &limit]).await?;
    let looks: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "looks": looks })))
}
