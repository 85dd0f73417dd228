//! Many trackers at once: registered with their credentials, or given credentials where they have none.

use super::credentials::ROLES;
use super::made::{Made, Retried};
use crate::api::Api;
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::registry::idempotency;
use crate::api::session::Person;
use crate::api::types::{TrackerCredential, TrackerCredentials};
use crate::domain::{Profile, TrackerIdent, Transport, credential};
use crate::protocol::PROTOCOLS;
use crate::protocol::connected;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// Most trackers of one call: their rows are written within the 20 s that a statement may take.
const TRACKERS_MAX: usize = 5000;
/// Longest name of a batch, and of a model, characters.
const NAME_CHARS_MAX: usize = 64;
/// Most digits of a running number: those of the longest identifier.
const DIGITS_MAX: u8 = 18;

/// Trackers to register. Either `idents` or `range` says which.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct TrackerBatchRequest {
    /// Name by which they are found together, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    batch: Option<String>,
    /// Identifiers: 1 to 32 of `A-Z a-z 0-9 _ -` each.
    #[serde(default)]
    #[schema(max_items = 5000)]
    idents: Vec<String>,
    /// Identifiers that count up.
    range: Option<IdentRange>,
    /// Language, as docs/protocols.md names it.
    #[schema(min_length = 1, max_length = 64, example = "jt808")]
    protocol: String,
    /// Model, where the language has dialects.
    #[schema(min_length = 1, max_length = 64)]
    model: Option<String>,
    /// How they connect: `mqtt`, or `socket`: their language on a port of the door.
    #[schema(max_length = 32, example = "socket")]
    transport: Option<String>,
}

/// Identifiers that count up: a prefix and a number with leading zeros.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct IdentRange {
    /// What they begin with.
    #[schema(max_length = 31)]
    prefix: String,
    /// First number.
    #[schema(minimum = 0, maximum = 999_999_999_999_999_999_i64)]
    first: u64,
    /// How many.
    #[schema(minimum = 1, maximum = 5000)]
    count: usize,
    /// Digits of each number, 1 to 18.
    #[schema(minimum = 1, maximum = 18)]
    digits: u8,
}

/// A batch whose trackers wait for credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct BatchCredentialsRequest {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    batch: String,
}

/// A text of 1 to so many characters.
fn name(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    match text.chars().count() {
        1..=NAME_CHARS_MAX => Ok(text.to_owned()),
        characters => Err(Problem::length(field, characters, NAME_CHARS_MAX)),
    }
}

impl IdentRange {
    fn idents(&self) -> Result<Vec<String>, Problem> {
        if !(1..=DIGITS_MAX).contains(&self.digits) {
            return Err(Problem::range("range.digits", self.digits, 1, DIGITS_MAX));
        }
        if !(1..=TRACKERS_MAX).contains(&self.count) {
            return Err(Problem::range("range.count", self.count, 1, TRACKERS_MAX));
        }
        let limit = 10_u64.pow(u32::from(self.digits));
        let end = self.first.saturating_add(self.count as u64);
        if end > limit {
            return Err(Problem::range("range.first", self.first, 0, limit.saturating_sub(self.count as u64)));
        }
        let digits = usize::from(self.digits);
        Ok((self.first..end).map(|n| format!("{}{n:0digits$}", self.prefix)).collect())
    }
}

impl TrackerBatchRequest {
    /// The identifiers, each fit for a topic and none of our own.
    fn idents(&self) -> Result<Vec<String>, Problem> {
        let idents = match &self.range {
            Some(range) if self.idents.is_empty() => range.idents()?,
            None if !self.idents.is_empty() => self.idents.clone(),
            _ => {
                let said = "give either idents or range";
                return Err(Problem::bad(Code::OneOf, said, json!({ "fields": ["idents", "range"] })));
            }
        };
        if idents.len() > TRACKERS_MAX {
            return Err(Problem::range("idents", idents.len(), 1, TRACKERS_MAX));
        }
        let mut seen = BTreeSet::new();
        for ident in &idents {
            let why = match TrackerIdent::parse(ident) {
                Err(error) => error.to_string(),
                Ok(_) if credential::is_reserved(ident) => "names that begin with rideguard are ours".into(),
                Ok(_) if !seen.insert(ident) => "it stands there twice".into(),
                Ok(_) => continue,
            };
            let value: String = ident.chars().take(40).collect();
            let said = format!("the identifier {value:?} cannot be taken: {why}");
            return Err(Problem::bad(
                Code::TrackerIdent,
                said,
                json!({ "field": "idents", "value": value, "reason": why }),
            ));
        }
        Ok(idents)
    }

    fn profile(&self) -> Result<Profile, Problem> {
        if !PROTOCOLS.iter().any(|p| p.name == self.protocol) {
            let known: Vec<_> = PROTOCOLS.iter().map(|p| p.name).collect();
            let value: String = self.protocol.chars().take(32).collect();
            let said = format!("protocol is {value:?}; it must be one of {}", known.join(", "));
            return Err(Problem::bad(Code::UnknownWord, said, json!({ "field": "protocol", "value": value })));
        }
        let model = self.model.as_deref().map(|m| name("model", m)).transpose()?;
        let transport = match self.transport.as_deref() {
            None | Some("mqtt") => Transport::Mqtt,
            Some("socket") if connected::spoken(&self.protocol).is_some() => Transport::Socket,
            Some(other) => {
                let value: String = other.chars().take(32).collect();
                let said = format!("transport is {value:?}; it must be mqtt, or socket with {}", connected::names());
                return Err(Problem::bad(Code::UnknownWord, said, json!({ "field": "transport", "value": value })));
            }
        };
        Ok(Profile { model, transport, ..Profile::of(&self.protocol) })
    }
}

/// Credentials and what is kept of them: hashes, and digests of claim codes.
type Kept = (Vec<Made>, Vec<String>, Vec<Vec<u8>>);

/// New credentials for these trackers, computed where it holds nobody up.
async fn make(call: &Option<Retried>, idents: &[String]) -> Result<Kept, Problem> {
    let (call, idents) = (call.clone(), idents.to_vec());
    let made = tokio::task::spawn_blocking(move || {
        let made: Vec<Made> =
            idents.iter().map(|ident| call.as_ref().map_or_else(Made::new, |call| Made::of(call, ident))).collect();
        let hashes = made.iter().map(Made::password_hash).collect();
        let claims = made.iter().map(Made::claim_sha256).collect();
        (made, hashes, claims)
    });
    made.await.map_err(|_| Problem::Unavailable)
}

/// The credentials as they are shown, computed where it holds nobody up.
async fn shown(made: Vec<(i64, String, Made)>) -> Result<Vec<TrackerCredential>, Problem> {
    let shown = tokio::task::spawn_blocking(move || {
        made.into_iter().map(|(id, ident, made)| made.shown(id, &ident)).collect::<Result<Vec<_>, _>>()
    });
    shown.await.map_err(|_| Problem::Unavailable)?
}

/// A tracker of a call that came before: its row, its identifier, and the hash that is kept by now.
type Before = (i64, String, Option<String>);

/// The credentials of a call that came before, made again. Where one was changed since, or the API's secret was, all are
/// refused: a password that is dead helps nobody.
async fn made_again(call: Retried, before: Vec<Before>) -> Result<Vec<TrackerCredential>, Problem> {
    let again = tokio::task::spawn_blocking(move || {
        before
            .into_iter()
            .map(|(id, ident, hash)| {
                let made = Made::of(&call, &ident);
                if hash.is_some_and(|hash| made.fits(&hash)) { Ok((id, ident, made)) } else { Err(ident) }
            })
            .collect::<Result<Vec<_>, _>>()
    });
    match again.await.map_err(|_| Problem::Unavailable)? {
        Ok(made) => shown(made).await,
        Err(ident) => {
            let said = format!(
                "this call was answered before, and the credential of {ident} was changed since; make new ones, tracker by tracker"
            );
            Err(Problem::coded(StatusCode::CONFLICT, Code::CredentialChanged, said, json!({ "ident": ident })))
        }
    }
}

/// What makes a call repeatable, and what the database keeps of it: the digests of its key and of what it asks.
type Repeatable = (Option<Retried>, Option<String>, Vec<u8>);

/// What makes a call repeatable, as its header says.
fn retried(api: &Api, person: &Person, headers: &HeaderMap, asked: &serde_json::Value) -> Result<Repeatable, Problem> {
    let (key, asked) = idempotency(headers, asked)?;
    let call = key.map(|key| Retried { secret: api.id_key.clone(), account: person.account, key });
    let digest = call.as_ref().map(Retried::digest);
    Ok((call, digest, asked))
}

/// Register trackers with credentials: all of them or none. The broker admits them within 2 s. With an `Idempotency-Key`, a
/// retry within a day makes nothing, and shows the same credentials.
#[utoipa::path(post, path = "/tracker-batches", operation_id = "register_trackers", tag = "trackers", params(("Idempotency-Key" = Option<String>, Header, max_length = 64)), request_body = TrackerBatchRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "their credentials, shown this once", body = TrackerCredentials), (status = 409, description = "one of them is registered already; the key was used for another request, or a credential was changed since")))]
pub(in crate::api) async fn register(
    State(api): State<Api>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<TrackerBatchRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<TrackerCredentials>), Problem> {
    person.must_be(ROLES)?;
    let Json(wanted) = body?;
    let (idents, profile) = (wanted.idents()?, json!(wanted.profile()?));
    let batch = wanted.batch.as_deref().map(|b| name("batch", b)).transpose()?;
    let asked = json!(["trackers", idents, profile, batch]);
    let (call, key, asked) = retried(&api, &person, &headers, &asked)?;
    let (made, hashes, claims) = make(&call, &idents).await?;
    let client = api.pool.get().await?;
    let sql = "SELECT * FROM api_make_trackers($1, $2, $3, $4, $5, $6, $7, $8)";
    let rows = client.query(sql, &[&person.session, &idents, &profile, &batch, &hashes, &claims, &key, &asked]).await?;
    drop(client);
    let credentials = match call {
        Some(call) if rows.first().is_some_and(|row| row.get(2)) => {
            let mut kept: HashMap<String, (i64, Option<String>)> =
                rows.iter().map(|row| (row.get(1), (row.get(0), row.get(3)))).collect();
            let now = idents.into_iter().map(|ident| match kept.remove(&ident) {
                Some((id, hash)) => (id, ident, hash),
                None => (0, ident, None), // it is called otherwise by now
            });
            made_again(call, now.collect()).await?
        }
        _ => {
            let ids: HashMap<String, i64> = rows.iter().map(|row| (row.get(1), row.get(0))).collect();
            let made = idents.into_iter().zip(made).filter_map(|(ident, made)| Some((*ids.get(&ident)?, ident, made)));
            shown(made.collect()).await?
        }
    };
    Ok((StatusCode::CREATED, Json(TrackerCredentials { credentials, has_more: false })))
}

/// Make credentials for those trackers of a batch that never had one, 5000 at a time. With an `Idempotency-Key`, a retry
/// within a day shows the same ones.
#[utoipa::path(post, path = "/tracker-batches/credentials", operation_id = "issue_batch_credentials", tag = "trackers", params(("Idempotency-Key" = Option<String>, Header, max_length = 64)), request_body = BatchCredentialsRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "their credentials, shown this once", body = TrackerCredentials), (status = 409, description = "the key was used for another request, or a credential was changed since")))]
pub(in crate::api) async fn issue(
    State(api): State<Api>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<BatchCredentialsRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<TrackerCredentials>), Problem> {
    person.must_be(ROLES)?;
    let Json(wanted) = body?;
    let batch = name("batch", &wanted.batch)?;
    let (call, key, asked) = retried(&api, &person, &headers, &json!(["credentials of", batch]))?;
    let most = i32::try_from(TRACKERS_MAX + 1).unwrap_or(i32::MAX);
    let client = api.pool.get().await?;
    let sql = "SELECT * FROM api_trackers_without_credential($1, $2, $3)";
    let mut rows = client.query(sql, &[&person.session, &batch, &most]).await?;
    if let Some(call) = call.clone() {
        let sql = "SELECT * FROM api_credentials_of_call($1, $2, $3, $4)";
        let before = client.query(sql, &[&person.session, &batch, &key, &asked]).await?;
        if !before.is_empty() {
            drop(client);
            let before = before.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
            let credentials = made_again(call, before).await?;
            return Ok((StatusCode::CREATED, Json(TrackerCredentials { credentials, has_more: !rows.is_empty() })));
        }
    }
    drop(client);
    let has_more = rows.len() > TRACKERS_MAX;
    rows.truncate(TRACKERS_MAX);
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let idents: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
    let (made, hashes, claims) = make(&call, &idents).await?;
    let client = api.pool.get().await?;
    let sql = "SELECT api_issue_credentials($1, $2, $3, $4, $5, $6, $7)";
    let given = client.query(sql, &[&person.session, &batch, &ids, &hashes, &claims, &key, &asked]).await?;
    drop(client);
    // Somebody else may have been faster with some of them: theirs counts, and ours was never kept.
    let given: BTreeSet<i64> = given.iter().map(|row| row.get(0)).collect();
    let made = ids.into_iter().zip(idents).zip(made);
    let made = made.map(|((id, ident), made)| (id, ident, made)).filter(|(id, ..)| given.contains(id));
    let credentials = shown(made.collect()).await?;
    Ok((StatusCode::CREATED, Json(TrackerCredentials { credentials, has_more })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(of: serde_json::Value) -> Result<Vec<String>, Code> {
        let mut asked = json!({ "protocol": "json" });
        asked.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        let wanted: TrackerBatchRequest = serde_json::from_value(asked).unwrap();
        wanted.idents().map_err(|problem| match problem {
            Problem::Coded(coded) => coded.code,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_range_counts_up_with_leading_zeros_and_stays_within_its_digits() {
        let range = |first: u64, count: usize, digits: u8| {
            batch(json!({ "range": { "prefix": "yy", "first": first, "count": count, "digits": digits } }))
        };
        assert_eq!(range(8, 3, 3).unwrap(), ["yy008", "yy009", "yy010"]);
        assert_eq!(range(0, 10, 1).unwrap().len(), 10);
        for (first, count, digits) in
            [(1, 10, 1), (0, 0, 3), (0, TRACKERS_MAX + 1, 9), (0, 1, 0), (0, 1, 19), (u64::MAX, 1, 18)]
        {
            assert_eq!(range(first, count, digits), Err(Code::OutOfRange), "{first} {count} {digits}");
        }
    }

    #[test]
    fn identifiers_that_a_topic_or_our_own_users_do_not_allow_are_refused() {
        for wrong in ["a/b", "#", "+", "", "rideguard-ingest", "RideGuard-x", "中", &"x".repeat(33)] {
            assert_eq!(batch(json!({ "idents": [wrong] })), Err(Code::TrackerIdent), "{wrong}");
        }
        assert_eq!(batch(json!({ "idents": ["a", "a"] })), Err(Code::TrackerIdent));
        assert_eq!(batch(json!({})), Err(Code::OneOf));
        let both = json!({ "idents": ["a"], "range": { "prefix": "", "first": 0, "count": 1, "digits": 1 } });
        assert_eq!(batch(both), Err(Code::OneOf));
        assert_eq!(batch(json!({ "idents": ["a", "b"] })).unwrap(), ["a", "b"]);
    }
}
