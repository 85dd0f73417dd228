//! Rows of audit for people who look into them.

use crate::domain::Timestamp;
use serde_json::{Map, Value, json};
use tokio_postgres::GenericClient;

/// Most rows of an answer; earlier ones are found by narrower questions.
const ROWS_MAX: i64 = 100;
/// Parts of a question that are no places.
const SHOWN: [&str; 14] = [
    "text", "vehicle", "vehicles", "from", "to", "reason", "case", "hold", "incident", "answer", "entered", "zone",
    "change", "why",
];

/// Which rows; each narrows.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Of this account.
    pub account: Option<i64>,
    /// Whose question names this vehicle.
    pub vehicle: Option<i64>,
    /// From then on.
    pub since: Option<Timestamp>,
}

/// The newest rows, newest first, as JSON; of questions nothing that is a place.
///
/// # Errors
/// The database's own word.
pub async fn list(client: &impl GenericClient, asked: &Asked) -> anyhow::Result<Vec<Value>> {
    let sql = format!(
        "SELECT a.audit_id, a.at, p.login, a.grant_id, a.action, a.question, a.rows_returned
         FROM audit a LEFT JOIN account p USING (account_id)
         WHERE ($1::bigint IS NULL OR a.account_id = $1) AND ($3::timestamptz IS NULL OR a.at >= $3)
             AND ($2::bigint IS NULL OR a.question ->> 'vehicle' = $2::text OR a.question -> 'vehicles' @> to_jsonb($2::bigint))
         ORDER BY a.audit_id DESC LIMIT {ROWS_MAX}"
    );
    let rows = client.query(&sql, &[&asked.account, &asked.vehicle, &asked.since]).await?;
    let as_json = |row: &tokio_postgres::Row| {
        let (id, at): (i64, Timestamp) = (row.get(0), row.get(1));
        let (login, grant): (Option<&str>, Option<i64>) = (row.get(2), row.get(3));
        let (action, question, returned): (&str, Value, Option<i32>) = (row.get(4), row.get(5), row.get(6));
        json!({ "audit_id": id, "at": at.to_string(), "account": login, "grant": grant, "action": action,
            "question": without_places(question), "rows_returned": returned })
    };
    Ok(rows.iter().map(as_json).collect())
}

fn without_places(question: Value) -> Value {
    let Value::Object(parts) = question else { return Value::Null };
    let shown: Map<String, Value> = parts.into_iter().filter(|(key, _)| SHOWN.contains(&key.as_str())).collect();
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_shown_without_its_places() {
        let asked = json!({ "vehicle": 3, "from": "2026-11-29", "area": { "type": "Polygon" }, "box": [1, 2], "bbox": [1], "tile": [1] });
        assert_eq!(without_places(asked), json!({ "vehicle": 3, "from": "2026-11-29" }));
        assert_eq!(without_places(json!([112.3, 28.5])), Value::Null);
    }
}
