//! Who I am.

use super::error::Problem;
use super::session::Person;
use super::shapes;
use axum::Json;

/// Who asks.
#[utoipa::path(get, path = "/me", operation_id = "get_me", tag = "account", security(("bearer" = ["owner", "police", "operator", "admin"])), responses((status = 200, description = "the account", body = shapes::Me)))]
pub(super) async fn me(person: Person) -> Result<Json<shapes::Me>, Problem> {
    let role = person.role.name().to_owned();
    Ok(Json(shapes::Me { login: person.login, name: person.name, role, organisation: person.organisation }))
}
