//! Alerts of my vehicles.

use crate::api::Api;
use crate::api::error::Problem;
use crate::api::session::{Person, Role};
use crate::api::types::{self, stored};
use crate::api::vehicles::id;
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Most alerts in one answer.
const ALERTS_MAX: i32 = 200;

#[derive(Deserialize, IntoParams)]
pub(super) struct Page {
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[serde(alias = "before")]
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// Alerts of my vehicles, newest first.
#[utoipa::path(get, path = "/alerts", operation_id = "list_alerts", tag = "alerts", params(Page), security(("bearer" = ["owner", "family"])), responses((status = 200, description = "alerts", body = types::Alerts)))]
pub(super) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    person.must_be(&[Role::Owner, Role::Family])?;
    let limit = page.limit.unwrap_or(50);
    if !(1..=ALERTS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, ALERTS_MAX));
    }
    let before = page.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?;
    let rows = api
        .pool
        .get()
        .await?
        .query("SELECT * FROM api_my_alerts($1, $2, $3)", &[&person.session, &before, &limit])
        .await?;
    let alerts: Vec<Value> = rows.iter().map(|r| stored::alert(r.get(0))).collect();
    let next = if alerts.len() == limit as usize { alerts.last().map(|a| a["id"].clone()) } else { None };
    Ok(Json(json!({ "alerts": alerts, "next_cursor": next })))
}
