//! People who come in, and how they log in.

use crate::api::types::{Id, Role, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An enrolment of a second factor: shown once, ended by its first code within 15 minutes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Comes back with the first code.
    pub enrolment: String,
    /// For an authenticator that is typed into, base 32.
    pub secret: String,
    /// For an authenticator on this device.
    pub uri: String,
    /// For an authenticator with a camera: a picture in SVG.
    pub qr_svg: String,
}

/// A link that is used once, to hand over. It is shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeLink {
    /// Its address; the code stands behind `#`.
    pub address: String,
    /// The same as a picture in SVG.
    pub qr_svg: String,
    /// Then it is dead.
    pub expires_at: Time,
}

/// How far somebody has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Has a password.
    Active,
    /// Has an invitation.
    Invited,
    /// Has neither: the invitation is over or was withdrawn.
    NotInvited,
    /// Has a link to set a new password.
    Reset,
    /// Is not let in.
    Disabled,
}

/// Somebody whom an administrator or an operator looks after.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManagedAccount {
    /// Number.
    pub id: Id,
    /// What is typed to log in.
    pub login: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// E.164.
    pub phone: Option<String>,
    /// Where the person works.
    pub organisation: Option<String>,
    /// Unit of it.
    pub unit: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// How far the person has come in.
    pub state: AccountState,
    /// When the link of an invitation or a reset is dead.
    pub code_expires_at: Option<Time>,
    /// Whether a second factor is enrolled.
    pub has_second_factor: bool,
    /// The newest session that is kept.
    pub last_log_in_at: Option<Time>,
    /// Grows with each change; the ETag has it, too.
    pub version: i32,
}

/// A page of accounts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManagedAccounts {
    /// By number.
    pub accounts: Vec<ManagedAccount>,
    /// For the next page.
    pub next_cursor: Option<String>,
}

/// An account, and the link that lets its person in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountWithLink {
    /// The account.
    pub account: ManagedAccount,
    /// The link; the one before is dead.
    pub link: CodeLink,
}

/// What an organisation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrganisationKind {
    /// Owns vehicles.
    Owner,
    /// Police.
    Police,
    /// Runs the system.
    Operator,
}

impl OrganisationKind {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Police => "police",
            Self::Operator => "operator",
        }
    }
}

/// An organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: OrganisationKind,
    /// Names of its units.
    pub units: Vec<String>,
}

/// Organisations that I may know of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Organisations {
    /// By name.
    pub organisations: Vec<Organisation>,
}

/// What somebody with a link is told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// Whom it is for.
    pub name: String,
    /// What the account may do.
    pub role: Role,
    /// Where the person works.
    pub organisation: Option<String>,
    /// The login as it is; a person may choose another.
    pub login: String,
    /// Whether a phone number of the person is there, which logs in, too.
    pub has_phone: bool,
    /// Whether the first log-in asks for a second factor.
    pub second_factor: bool,
    /// Then the link is dead.
    pub expires_at: Time,
}

/// What to log in with from now on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginSet {
    /// The login.
    pub login: String,
}

/// How I log in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnAccount {
    /// What is typed.
    pub login: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where I work.
    pub organisation: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    /// Whether a second factor is enrolled.
    pub has_second_factor: bool,
    /// Whether my role needs one.
    pub must_have_second_factor: bool,
    /// Recovery codes that are not used.
    pub recovery_codes_left: i32,
}

/// Recovery codes: shown once, each used once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecoveryCodes {
    /// Ten.
    pub recovery_codes: Vec<String>,
}

/// A session of mine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSession {
    /// Number.
    pub id: Id,
    /// When it was opened.
    pub created_at: Time,
    /// When it was last used, to the minute.
    pub last_used_at: Time,
    /// Then it is dead.
    pub expires_at: Time,
    /// What the browser or program called itself, 200 characters at most.
    pub user_agent: String,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// My sessions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSessions {
    /// The last used first.
    pub sessions: Vec<OwnSession>,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsEnded {
    /// How many.
    pub ended: usize,
}
