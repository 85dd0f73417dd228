//! Who I am.

use super::error::Problem;
use super::session::Person;
use axum::Json;
use serde_json::{Value, json};

/// Who asks.
#[utoipa::path(get, path = "/me", security(("bearer" = ["owner", "police", "operator", "admin"])), responses((status = 200, description = "the account", body = Value)))]
pub(super) async fn me(person: Person) -> Result<Json<Value>, Problem> {
    Ok(Json(
        json!({ "login": person.login, "name": person.name, "role": person.role, "organisation": person.organisation }),
    ))
}
