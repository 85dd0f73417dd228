//! The installer at the door: the day's jobs, a tracker that is fitted, tried and handed over.
//!
//! Until it is handed over the vehicle is in trial, and what it raises is sent to nobody (`0052_install_at_the_door.sql`).

mod jobs;
mod photo;
mod visits;

pub(super) use jobs::*;
pub(super) use photo::*;
pub(super) use visits::*;

use crate::api::codes::Code;
use crate::api::error::Problem;
use crate::api::session::Role;
use serde_json::json;

/// Who works at doors.
const AT_THE_DOOR: &[Role] = &[Role::Installer, Role::Operator, Role::Admin];
/// Longest reason and place, characters.
const TEXT_CHARS_MAX: usize = 200;

/// A text with something in it.
fn text<'a>(given: &'a str, field: &str, max: usize) -> Result<&'a str, Problem> {
    let given = given.trim();
    match given.chars().count() {
        n if (1..=max).contains(&n) => Ok(given),
        n => Err(Problem::length(field, n, max)),
    }
}

/// One of the words that a field may be.
fn word<'a>(given: &'a str, field: &str, words: &[&str]) -> Result<&'a str, Problem> {
    if words.contains(&given) {
        return Ok(given);
    }
    let said: String = given.chars().take(32).collect();
    let message = format!("{field} is {said:?}; it must be {}", words.join(" or "));
    Err(Problem::bad(Code::UnknownWord, message, json!({ "field": field, "value": said })))
}
