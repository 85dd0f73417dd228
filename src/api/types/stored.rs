//! Answers of the schema's functions, in the words of the document.
//!
//! Names in the database stay as they are; what a stranger would not understand is renamed here.

use crate::domain::alert_level;
use serde_json::{Value, json};

fn rename(object: &mut Value, pairs: &[(&str, &str)]) {
    let Some(fields) = object.as_object_mut() else { return };
    for (stored, shown) in pairs {
        if let Some(value) = fields.remove(*stored) {
            fields.insert((*shown).to_owned(), value);
        }
    }
}

/// An alert, with the level that follows from whether it wakes the owner.
pub(in crate::api) fn alert(mut alert: Value) -> Value {
    rename(&mut alert, &[("held_back", "suppressed")]);
    alert["level"] = json!(alert_level(alert["wakes_owner"] == true));
    alert
}

/// An incident, in short or with its alerts.
pub(in crate::api) fn incident(mut incident: Value) -> Value {
    rename(&mut incident, &[("end", "close_reason")]);
    for one in incident.get_mut("alerts").and_then(Value::as_array_mut).into_iter().flatten() {
        *one = alert(one.take());
    }
    incident
}

/// When a vehicle is guarded by itself.
pub(in crate::api) fn guard_policy(mut policy: Value) -> Value {
    rename(&mut policy, &[("by", "armed_by")]);
    policy
}

/// Trackers that fell silent together.
pub(in crate::api) fn outage(mut outage: Value) -> Value {
    rename(&mut outage, &[("lost", "silent_count"), ("members", "member_count")]);
    outage
}

/// A zone; the corners of its shape keep their own names in the table.
pub(in crate::api) fn zone(mut zone: Value) -> Value {
    rename(&mut zone, &[("drawn_crs", "source_crs"), ("mine", "editable")]);
    corners(&mut zone["shape"]);
    zone
}

/// A shape holds rings of rings at most, so this goes four deep.
fn corners(shape: &mut Value) {
    rename(shape, &[("lat_deg", "lat"), ("lon_deg", "lon")]);
    match shape {
        Value::Array(parts) => parts.iter_mut().for_each(corners),
        Value::Object(parts) => parts.values_mut().for_each(corners),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_calls_by_its_own_names_is_shown_by_those_of_the_document() {
        let shown = alert(json!({ "id": "7", "wakes_owner": false, "held_back": true }));
        assert_eq!(shown, json!({ "id": "7", "wakes_owner": false, "suppressed": true, "level": "notice" }));
        let alerts = json!([{ "wakes_owner": true, "held_back": false }]);
        assert_eq!(
            incident(json!({ "end": null, "alerts": alerts })),
            json!({ "close_reason": null, "alerts": [{ "wakes_owner": true, "suppressed": false, "level": "alarm" }] })
        );
        assert_eq!(incident(json!({ "end": "disarmed" })), json!({ "close_reason": "disarmed" }));
        assert_eq!(guard_policy(json!({ "by": "phone" })), json!({ "armed_by": "phone" }));
        assert_eq!(outage(json!({ "lost": 3, "members": 9 })), json!({ "silent_count": 3, "member_count": 9 }));
    }

    #[test]
    fn corners_of_every_shape_have_short_names() {
        let (stored, shown) = (json!({ "lat_deg": 28.5, "lon_deg": 112.3 }), json!({ "lat": 28.5, "lon": 112.3 }));
        let shape =
            |at: &Value| json!([{ "centre": at, "radius_m": 9 }, { "outer": [at], "holes": [[at]] }, { "line": [at] }]);
        let given = json!({ "drawn_crs": "gcj02", "mine": true, "shape": shape(&stored) });
        assert_eq!(zone(given), json!({ "source_crs": "gcj02", "editable": true, "shape": shape(&shown) }));
    }
}
