//! Accounts that an administrator or an operator looks after: invited, reset, let in no more. There is no registering
//! of oneself.

use crate::api::account::doors::{LOGIN_CHARS_MAX, given};
use crate::api::account::{NAME_CHARS_MAX, REASON_CHARS_MAX, code, phone, text};
use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::registry::records::tagged;
use crate::api::registry::version;
use crate::api::session::{Person, Role};
use crate::api::vehicles::id;
use crate::api::{Api, types};
use crate::store::proof::Proof;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

/// Who looks after accounts; an operator those of owners, family and installers.
const ROLES: &[Role] = &[Role::Operator, Role::Admin];
/// Most accounts in one answer.
const ACCOUNTS_MAX: i32 = 200;
/// Longest search, characters.
const SEARCH_CHARS_MAX: usize = 64;

#[derive(Deserialize, IntoParams)]
pub(in crate::api) struct Search {
    /// Part of a name, a login or a phone number.
    #[param(max_length = 64)]
    q: Option<String>,
    /// Only of this role.
    #[param(inline)]
    role: Option<Role>,
    /// Only of the organisation with this name.
    #[param(max_length = 100)]
    organisation: Option<String>,
    /// How many, 1 to 200 (50).
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<types::Id>)]
    cursor: Option<String>,
}

/// Accounts that I look after.
#[utoipa::path(get, path = "/accounts", operation_id = "list_accounts", tag = "accounts", params(Search), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "accounts", body = types::ManagedAccounts)))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    person: Person,
    Query(asked): Query<Search>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=ACCOUNTS_MAX).contains(&limit) {
        return Err(Problem::range("limit", limit, 1, ACCOUNTS_MAX));
    }
    let q = given(&asked.q, "q", SEARCH_CHARS_MAX)?.unwrap_or_default();
    let organisation = given(&asked.organisation, "organisation", NAME_CHARS_MAX)?;
    let after = asked.cursor.as_deref().map(|c| id(c, "cursor")).transpose()?;
    let role = asked.role.map(Role::name);
    let sql = "SELECT * FROM api_accounts($1, $2, $3, $4, $5, $6)";
    let rows = api.pool.get().await?.query(sql, &[&person.session, &q, &role, &organisation, &after, &limit]).await?;
    let accounts: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    let next = if accounts.len() == limit as usize { accounts.last().map(|a| a["id"].clone()) } else { None };
    Ok(Json(json!({ "accounts": accounts, "next_cursor": next })))
}

/// Organisations that I may know of, with their units.
#[utoipa::path(get, path = "/organisations", operation_id = "list_organisations", tag = "accounts", security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "organisations", body = types::Organisations)))]
pub(in crate::api) async fn organisations(State(api): State<Api>, person: Person) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let rows = api.pool.get().await?.query("SELECT * FROM api_organisations($1)", &[&person.session]).await?;
    let organisations: Vec<Value> = rows.iter().map(|r| r.get(0)).collect();
    Ok(Json(json!({ "organisations": organisations })))
}

/// Whom to invite. A phone number or a login makes the account one of a kind, so that trying again makes no second.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct InvitationRequest {
    /// How the person is called.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What the account may do.
    role: Role,
    /// Phone number, which logs in.
    #[schema(max_length = 32)]
    phone: Option<String>,
    /// Login; made if it is left out, and the person may choose another.
    #[schema(max_length = 64)]
    login: Option<String>,
    /// Name of the organisation; mine if it is left out. An administrator in none may name a new one.
    #[schema(max_length = 100)]
    organisation: Option<String>,
    /// What a new organisation does (`operator`).
    organisation_kind: Option<types::OrganisationKind>,
    /// Name of the unit; made if it is missing.
    #[schema(max_length = 100)]
    unit: Option<String>,
}

/// Make an account and the invitation of its person, which is used once within 72 hours.
#[utoipa::path(post, path = "/accounts", operation_id = "invite", tag = "accounts", request_body = InvitationRequest, security(("bearer" = ["operator", "admin"])), responses((status = 201, description = "the account and the link", body = types::AccountWithLink), (status = 404, description = "no such organisation"), (status = 409, description = "the phone or the login is taken")))]
pub(in crate::api) async fn invite(
    State(api): State<Api>,
    person: Person,
    headers: HeaderMap,
    body: Result<Json<InvitationRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let name = text(&asked.name, "name", NAME_CHARS_MAX)?;
    let phone = given(&asked.phone, "phone", NAME_CHARS_MAX)?.map(phone).transpose()?;
    let login = given(&asked.login, "login", LOGIN_CHARS_MAX)?;
    if phone.is_none() && login.is_none() {
        let message = "phone and login are both missing; give one of them at least";
        return Err(Problem::bad(Code::OneOf, message, json!({ "fields": ["phone", "login"] })));
    }
    let organisation = given(&asked.organisation, "organisation", NAME_CHARS_MAX)?;
    let unit = given(&asked.unit, "unit", NAME_CHARS_MAX)?;
    let kind = asked.organisation_kind.unwrap_or(types::OrganisationKind::Operator).name();
    let code = code::new_code();
    let role = asked.role.name();
    let sql = "SELECT api_invite($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let digest = code::digest_of_code(&code);
    let row = api
        .pool
        .get()
        .await?
        .query_one(sql, &[&person.session, &login, &name, &role, &phone, &organisation, &kind, &unit, &digest])
        .await?;
    Ok((StatusCode::CREATED, with_link(&api, &headers, "invitation", &code, row.get(0))?))
}

/// An account with the link of its code.
fn with_link(api: &Api, headers: &HeaderMap, kind: &str, code: &str, account: Value) -> Result<Json<Value>, Problem> {
    let Some(expires_at) = account["code_expires_at"].as_str() else {
        tracing::error!(kind, "The database gave an account whose code has no end");
        return Err(Problem::Unavailable);
    };
    let link = code::link(api, headers, kind, code, types::Time(expires_at.to_owned()))?;
    Ok(Json(json!({ "account": account, "link": link })))
}

/// Invite somebody again; the link before is dead.
#[utoipa::path(post, path = "/accounts/{id}/invitation", operation_id = "renew_invitation", tag = "accounts", params(("id" = types::Id, Path, description = "account")), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account and the link", body = types::AccountWithLink), (status = 409, description = "the person is in already, or disabled")))]
pub(in crate::api) async fn renew_invitation(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let code = code::new_code();
    let (account, digest) = (id(&account, "id")?, code::digest_of_code(&code));
    let sql = "SELECT api_renew_invitation($1, $2, $3)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &account, &digest]).await?;
    with_link(&api, &headers, "invitation", &code, row.get(0))
}

/// Withdraw an invitation: its link is dead.
#[utoipa::path(delete, path = "/accounts/{id}/invitation", operation_id = "revoke_invitation", tag = "accounts", params(("id" = types::Id, Path, description = "account")), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account", body = types::ManagedAccount)))]
pub(in crate::api) async fn revoke_invitation(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let account = id(&account, "id")?;
    let sql = "SELECT api_revoke_invitation($1, $2)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &account]).await?;
    Ok(Json(row.get(0)))
}

/// An account that I look after. Its ETag is what a change of it needs.
#[utoipa::path(get, path = "/accounts/{id}", operation_id = "get_account", tag = "accounts", params(("id" = types::Id, Path, description = "account")), security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account", body = types::ManagedAccount)))]
pub(in crate::api) async fn one(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let account = id(&account, "id")?;
    let sql = "SELECT api_managed_account($1, $2)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &account]).await?;
    tagged(StatusCode::OK, row.get(0))
}

/// What of an account becomes something else, and why. What is left out stays.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct AccountChangeRequest {
    /// How the person is called.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What is typed to log in: a letter, and 1 to 64 of A-Z a-z 0-9 . _ @ -
    #[schema(min_length = 1, max_length = 64)]
    login: Option<String>,
    /// Phone number, which logs in. An empty text takes it away.
    #[schema(max_length = 32)]
    phone: Option<String>,
    /// Name of another organisation, by an administrator in none.
    #[schema(min_length = 1, max_length = 100)]
    organisation: Option<String>,
    /// Name of a unit of the organisation; made if it is missing.
    #[schema(min_length = 1, max_length = 100)]
    unit: Option<String>,
    /// Why, 1 to 500 characters; it stands in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl AccountChangeRequest {
    /// The facts in the form of the database.
    fn understood(&self) -> Result<Value, Problem> {
        let mut fields = Map::new();
        for (field, said, max) in [
            ("name", &self.name, NAME_CHARS_MAX),
            ("login", &self.login, LOGIN_CHARS_MAX),
            ("organisation", &self.organisation, NAME_CHARS_MAX),
            ("unit", &self.unit, NAME_CHARS_MAX),
        ] {
            if let Some(said) = said {
                fields.insert(field.into(), text(said, field, max)?.into());
            }
        }
        if let Some(said) = self.phone.as_deref().map(str::trim) {
            fields.insert("phone".into(), if said.is_empty() { Value::Null } else { phone(said)?.into() });
        }
        if fields.is_empty() {
            let message = "nothing is to be changed; give name, login, phone, organisation or unit";
            let values = json!({ "fields": ["name", "login", "phone", "organisation", "unit"] });
            return Err(Problem::bad(Code::OneOf, message, values));
        }
        Ok(Value::Object(fields))
    }
}

/// Change facts of somebody's account, of the version that was seen (`If-Match`).
#[utoipa::path(patch, path = "/accounts/{id}", operation_id = "change_account", tag = "accounts", params(("id" = types::Id, Path, description = "account"), ("If-Match" = String, Header)), request_body = AccountChangeRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account", body = types::ManagedAccount), (status = 409, description = "it was changed since; the phone or the login is taken; it is yourself")))]
pub(in crate::api) async fn change(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Result<Json<AccountChangeRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    person.must_be(ROLES)?;
    let account = id(&account, "id")?;
    let seen = version(&headers)?;
    let Json(asked) = body?;
    let reason = text(&asked.reason, "reason", REASON_CHARS_MAX)?;
    let fields = asked.understood()?;
    let sql = "SELECT api_change_account($1, $2, $3, $4, $5)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &account, &seen, &fields, &reason]).await?;
    tagged(StatusCode::OK, row.get(0))
}

/// Why, and how much of it.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct AccountResetRequest {
    /// Why, 1 to 500 characters; it stands in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// The second factor is lost, too: the next log-in enrols another.
    #[serde(default)]
    second_factor: bool,
}

/// Reset somebody's password: the old one and every session are dead at once; the link sets a new one within 72 hours.
#[utoipa::path(post, path = "/accounts/{id}/reset", operation_id = "reset_account", tag = "accounts", params(("id" = types::Id, Path, description = "account")), request_body = AccountResetRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account and the link", body = types::AccountWithLink), (status = 409, description = "the person is not in yet, is disabled, or is yourself")))]
pub(in crate::api) async fn reset(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Result<Json<AccountResetRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let reason = text(&asked.reason, "reason", REASON_CHARS_MAX)?;
    let code = code::new_code();
    let (account, digest) = (id(&account, "id")?, code::digest_of_code(&code));
    let sql = "SELECT * FROM api_reset_account($1, $2, $3, $4, $5)";
    let row = api
        .pool
        .get()
        .await?
        .query_one(sql, &[&person.session, &account, &digest, &asked.second_factor, &reason])
        .await?;
    end_streams(&api, row.get(1));
    with_link(&api, &headers, "reset", &code, row.get(0))
}

/// Live streams of sessions that have ended end at once here, and within 5 s in other processes.
pub(super) fn end_streams(api: &Api, sessions: Vec<Proof>) {
    sessions.into_iter().for_each(|session| api.live.end_session(session));
}

/// Why.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct AccountStateRequest {
    /// Why, 1 to 500 characters; it stands in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Let somebody in no more: sessions and streams end at once.
#[utoipa::path(post, path = "/accounts/{id}/disable", operation_id = "disable_account", tag = "accounts", params(("id" = types::Id, Path, description = "account")), request_body = AccountStateRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account", body = types::ManagedAccount), (status = 409, description = "it is yourself")))]
pub(in crate::api) async fn disable(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
    body: Result<Json<AccountStateRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    set_disabled(&api, &person, &account, body, true).await
}

/// Let somebody in again.
#[utoipa::path(post, path = "/accounts/{id}/enable", operation_id = "enable_account", tag = "accounts", params(("id" = types::Id, Path, description = "account")), request_body = AccountStateRequest, security(("bearer" = ["operator", "admin"])), responses((status = 200, description = "the account", body = types::ManagedAccount), (status = 409, description = "it is yourself")))]
pub(in crate::api) async fn enable(
    State(api): State<Api>,
    person: Person,
    Path(account): Path<String>,
    body: Result<Json<AccountStateRequest>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    set_disabled(&api, &person, &account, body, false).await
}

async fn set_disabled(
    api: &Api,
    person: &Person,
    account: &str,
    body: Result<Json<AccountStateRequest>, JsonRejection>,
    disabled: bool,
) -> Result<Json<Value>, Problem> {
    person.must_be(ROLES)?;
    let Json(asked) = body?;
    let reason = text(&asked.reason, "reason", REASON_CHARS_MAX)?;
    let account = id(account, "id")?;
    let sql = "SELECT * FROM api_set_disabled($1, $2, $3, $4)";
    let row = api.pool.get().await?.query_one(sql, &[&person.session, &account, &disabled, &reason]).await?;
    end_streams(api, row.get(1));
    Ok(Json(row.get(0)))
}
