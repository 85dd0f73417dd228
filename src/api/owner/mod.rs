//! What belongs to owners: positioning and consent, hand-over, family, share links, their data and its end.

pub(super) mod erasure;
pub(super) mod export;
pub(super) mod family;
pub(super) mod hand_over;
pub(super) mod looks;
pub(super) mod positioning;
pub(super) mod share_page;
pub(super) mod shares;

use crate::api::error::Problem;
use crate::api::vehicles::time;
use crate::domain::Timestamp;
use serde_json::json;

/// A time within so many days from now, if one is given.
pub(super) fn ahead(text: Option<&str>, field: &str, days_max: u32) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let (at, now) = (time(text, field)?, crate::clock::now());
    let latest = now.plus_secs_f64(f64::from(days_max) * 86_400.0);
    if at > latest {
        return Err(Problem::range(field, at.to_string(), now.to_string(), latest.to_string()));
    }
    Ok(Some(at))
}

/// A text of 1 to `max` characters, without blanks around it.
pub(super) fn text(given: &str, field: &str, max: usize) -> Result<String, Problem> {
    let text = given.trim();
    let characters = text.chars().count();
    if characters == 0 || characters > max {
        return Err(Problem::length(field, characters, max));
    }
    if text.contains('\0') {
        let said = "a text holds a character that cannot be kept (NUL)";
        return Err(Problem::bad(crate::api::codes::Code::CharacterNotKept, said, json!({})));
    }
    Ok(text.to_owned())
}
