//! Who I am.

use crate::api::error::Problem;
use crate::api::session::Person;
use crate::api::types;
use axum::Json;

/// Who asks.
#[utoipa::path(get, path = "/me", operation_id = "get_me", tag = "account", security(("bearer" = ["owner", "police", "operator", "admin"])), responses((status = 200, description = "the account", body = types::CurrentAccount)))]
pub(super) async fn me(person: Person) -> Result<Json<types::CurrentAccount>, Problem> {
    Ok(Json(types::CurrentAccount {
        login: person.login,
        name: person.name,
        role: person.role,
        organisation: person.organisation,
    }))
}
