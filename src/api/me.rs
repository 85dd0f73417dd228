//! Who I am.

use crate::api::error::Problem;
use crate::api::session::Person;
use crate::api::types;
use axum::Json;

/// Who asks.
#[utoipa::path(get, path = "/me", operation_id = "get_me", tag = "account", security(("bearer" = ["owner", "police", "operator", "admin"])), responses((status = 200, description = "the account", body = types::Me)))]
pub(super) async fn me(person: Person) -> Result<Json<types::Me>, Problem> {
    let role = person.role.name().to_owned();
    Ok(Json(types::Me { login: person.login, name: person.name, role, organisation: person.organisation }))
}
