//! Imports of people, vehicles and trackers: lines of a file on their way into the registry.
//!
//! Each call has two forms: for the API, with the digest of a session's token, and for the administration.

use crate::domain::enrolment::Fault;
use crate::store::proof::Proof;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Error, GenericClient};

/// Lines that one transaction of an import does: it takes less than a second, and holds the order of settings for a part of it.
/// Each one wakes every lane, so that fewer would cost them more.
pub const STEP_LINES: i32 = 2000;
/// Times that a step is done which waited for another transaction that waited for it.
const TRIES_MAX: usize = 5;

/// Who calls.
#[derive(Clone, Copy)]
pub enum Caller<'a> {
    /// Whoever has this session.
    Session(&'a Proof),
    /// A command on the server.
    Admin,
}

/// A line of a file: its number, its cells, and what they mean or what is wrong in them.
pub struct Line {
    /// From 1, the headings included.
    pub number: i32,
    /// As they may be kept.
    pub cells: Vec<String>,
    /// Facts, or faults.
    pub understood: Result<Value, Vec<Fault>>,
}

/// Begins to take lines; the rows that are there may stay, for another mapping.
///
/// # Errors
/// The import has begun, or the database's own word.
pub async fn begin(
    client: &impl GenericClient,
    who: Caller<'_>,
    import: i64,
    headers: Option<&Value>,
    mapping: &Value,
) -> Result<(), Error> {
    let keeps = headers.is_none();
    match who {
        Caller::Session(token) => {
            client
                .execute("SELECT api_import_begin($1, $2, $3, $4, $5)", &[&token, &import, &headers, &mapping, &keeps])
                .await?
        }
        Caller::Admin => {
            client.execute("SELECT import_begin($1, $2, $3, $4)", &[&import, &headers, &mapping, &keeps]).await?
        }
    };
    Ok(())
}

/// Puts some lines down.
///
/// # Errors
/// The import has begun, or the database's own word.
pub async fn fill(client: &impl GenericClient, who: Caller<'_>, import: i64, lines: &[Line]) -> Result<(), Error> {
    // Written as they stand: a copy of each as a value would cost as much as understanding it.
    let rows = lines.iter().map(|l| (l.number, l.cells.as_slice(), l.understood.as_ref().ok()));
    let rows = Json(rows.collect::<Vec<_>>());
    let faults = lines.iter().flat_map(|l| l.understood.as_ref().err().into_iter().flatten().map(|f| (l.number, f)));
    let problems: Value = faults.map(|(line, f)| json!([line, f.field, f.value, f.code, f.allowed])).collect();
    match who {
        Caller::Session(token) => {
            client.execute("SELECT api_import_fill($1, $2, $3, $4)", &[&token, &import, &rows, &problems]).await?
        }
        Caller::Admin => client.execute("SELECT import_fill($1, $2, $3)", &[&import, &rows, &problems]).await?,
    };
    Ok(())
}

/// All lines are there: judges them against each other and the registry.
///
/// # Errors
/// The database's own word.
pub async fn checked(client: &impl GenericClient, who: Caller<'_>, import: i64) -> Result<Value, Error> {
    let row = match who {
        Caller::Session(token) => client.query_one("SELECT api_import_checked($1, $2)", &[&token, &import]).await?,
        Caller::Admin => client.query_one("SELECT import_checked($1)", &[&import]).await?,
    };
    Ok(row.get(0))
}

/// Makes an import for the administration, in a unit of an organisation or in none.
///
/// # Errors
/// There is no such unit, or the database's own word.
pub async fn make(
    client: &impl GenericClient,
    file_name: &str,
    reason: &str,
    unit: Option<(&str, &str)>,
) -> anyhow::Result<i64> {
    let (organisation, name) = unit.unzip();
    let sql = "SELECT import_make(ROW(NULL, 'admin', u.unit_id, u.organisation_id)::asker, $1, $2)
        FROM (SELECT 1) one LEFT JOIN (SELECT unit_id, organisation_id FROM unit JOIN organisation o USING (organisation_id) WHERE o.name = $3 AND unit.name = $4) u ON true
        WHERE $3::text IS NULL OR u.unit_id IS NOT NULL";
    let row = client.query_opt(sql, &[&file_name, &reason, &organisation, &name]).await?;
    row.map(|r| r.get(0)).ok_or_else(|| {
        anyhow::anyhow!("there is no unit {} of {}", name.unwrap_or_default(), organisation.unwrap_or_default())
    })
}

/// Starts an import of the administration.
///
/// # Errors
/// It has bad rows and not only the good ones are wanted, or the database's own word.
pub async fn start(client: &impl GenericClient, import: i64, only_good: bool) -> anyhow::Result<Value> {
    Ok(client
        .query_one("SELECT import_start($1, $2)", &[&import, &only_good])
        .await
        .map_err(crate::store::said)?
        .get(0))
}

/// Does the next lines of an import; `None`: it runs no more, or another process is at it.
///
/// # Errors
/// The database's own word.
pub async fn step(client: &impl GenericClient, import: i64) -> Result<Option<Value>, Error> {
    done(client, "SELECT import_step($1, $2)", &[&import, &STEP_LINES]).await
}

/// The same for the API: of any import that somebody has started.
///
/// # Errors
/// The database's own word.
pub async fn step_any(client: &impl GenericClient) -> Result<Option<Value>, Error> {
    done(client, "SELECT api_import_step($1)", &[&STEP_LINES]).await
}

/// Does a step. One that waited for somebody who waited for it was undone, and is done again.
async fn done(client: &impl GenericClient, sql: &str, with: &[&(dyn ToSql + Sync)]) -> Result<Option<Value>, Error> {
    for _ in 1..TRIES_MAX {
        match client.query_one(sql, with).await {
            Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
            answer => return Ok(answer?.get(0)),
        }
    }
    Ok(client.query_one(sql, with).await?.get(0))
}

/// How an import stands.
///
/// # Errors
/// The database's own word.
pub async fn state(client: &impl GenericClient, import: i64) -> Result<Option<Value>, Error> {
    let row = client.query_opt("SELECT import_as_json(j) FROM import_job j WHERE import_id = $1", &[&import]).await?;
    Ok(row.map(|r| r.get(0)))
}

/// The first problems of an import: line, field, value, code, what is allowed.
///
/// # Errors
/// The database's own word.
pub async fn problems(client: &impl GenericClient, import: i64, most: i64) -> Result<Vec<Value>, Error> {
    let sql = "SELECT jsonb_build_object('line', line, 'field', field, 'value', value, 'code', code, 'allowed', allowed) FROM import_problem
        WHERE import_id = $1 ORDER BY line, field LIMIT $2";
    Ok(client.query(sql, &[&import, &most]).await?.iter().map(|row| row.get(0)).collect())
}
