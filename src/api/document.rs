//! What the derived OpenAPI document lacks: facts that hold for many calls or answers at once.

use crate::api::types::ErrorBody;
use crate::domain::AlertKind;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;

/// Where schemas stand.
const SCHEMAS: &str = "#/components/schemas/";

/// The document with all of them.
pub(super) fn completed(derived: &OpenApi) -> Value {
    let mut document = json!(derived);
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, call) in item.as_object_mut().into_iter().flatten() {
            refusals(path, method, call);
            cookie(call);
            for one in call.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                never_null(&mut one["schema"]);
            }
        }
    }
    let answers = answered(&document);
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        open(schema);
        if answers.contains(name) {
            always_there(schema);
        }
    }
    let schemas = &mut document["components"]["schemas"];
    schemas["AlertKind"]["enum"] = AlertKind::ALL.iter().map(|kind| kind.name()).collect();
    let number = |kind: Value, format: &str| json!({ "type": kind, "format": format });
    let (time, degrees) = (number(json!("integer"), "int64"), number(json!("number"), "double"));
    let parts = [time, degrees.clone(), degrees, number(json!(["number", "null"]), "double")];
    schemas["TrackPoint"]["prefixItems"] = json!(parts);
    schemas["TrackPoint"]["items"] = json!(false);
    either(&mut schemas["LatestPositions"]);
    document
}

/// Every refusal that a call can answer with, in the one form of all refusals.
fn refusals(path: &str, method: &str, call: &mut Value) {
    let has_body = call.get("requestBody").is_some();
    let asks = has_body || call["parameters"].as_array().is_some_and(|p| !p.is_empty());
    let roles = call["security"][0]["bearer"].as_array().map(Vec::len);
    let of_one = path.contains("{id}");
    let can = [
        ("400", asks, "a value is wrong: `code`, `values` and `message` name it and its limit"),
        ("401", roles.is_some(), "nobody is logged in, or the session has ended"),
        // A change by cookie is refused to a page of another origin.
        ("403", roles.is_some_and(|n| n < ALL_ROLES || method != "get"), "not for this role, grant or page"),
        ("404", of_one, "none of yours"),
        ("413", has_body, "the body is too large"),
        ("503", true, "try again in a moment"),
    ];
    let form = json!({ "schema": { "$ref": format!("{SCHEMAS}{}", ErrorBody::name()) } });
    let Some(responses) = call["responses"].as_object_mut() else { return };
    for (status, _, description) in can.iter().filter(|(_, can, _)| *can) {
        responses.entry(*status).or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])) {
        response["content"] = json!({ "application/json": form });
        if status == "429" {
            let wait = json!({ "description": "seconds to wait", "schema": { "type": "integer", "minimum": 1 } });
            response["headers"] = json!({ "Retry-After": wait });
        }
    }
}

/// Roles there are.
const ALL_ROLES: usize = 4;

/// Every call that takes a token takes a browser's cookie, for the same roles.
fn cookie(call: &mut Value) {
    let roles = call["security"][0]["bearer"].clone();
    if let Some(ways) = call.get_mut("security").and_then(Value::as_array_mut) {
        ways.push(json!({ "cookie": roles }));
    }
}

/// An answer without a tag may fit several forms, as an empty list does.
fn either(schema: &mut Value) {
    if let Some(forms) = schema.as_object_mut().and_then(|fields| fields.remove("oneOf")) {
        schema["anyOf"] = forms;
    }
}

/// What a query may leave out is never null in it.
fn never_null(schema: &mut Value) {
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = &mut choices[..] {
            *schema = only.take();
        }
    } else if let Some([only, _null]) = schema["type"].as_array().map(Vec::as_slice) {
        schema["type"] = only.clone();
    }
}

/// An object without fields of its own may have any.
fn open(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(open),
        Value::Object(fields) => {
            fields.values_mut().for_each(open);
            if fields.get("type").is_some_and(|t| t == "object") && !fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(Value::Bool(true));
            }
        }
        _ => {}
    }
}

/// In an answer, what is not known is null; what can be left out is never null.
fn always_there(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(always_there),
        Value::Object(fields) => {
            fields.values_mut().for_each(always_there);
            require_nullable(fields);
        }
        _ => {}
    }
}

fn require_nullable(schema: &mut Map<String, Value>) {
    let is_null = |kind: &Value| kind == "null" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
    let may_be_null = |field: &Value| {
        let choices = field["oneOf"].as_array().into_iter().flatten();
        is_null(&field["type"]) || choices.into_iter().any(|choice| is_null(&choice["type"]))
    };
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    let mut required: BTreeSet<String> =
        fields.iter().filter(|(_, field)| may_be_null(field)).map(|(name, _)| name.clone()).collect();
    let before = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    required.extend(before.filter_map(Value::as_str).map(str::to_owned));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
}

/// Schemas that answers are made of, and messages of the live stream.
fn answered(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut ahead = vec!["LiveMessage".to_owned()];
    for item in document["paths"].as_object().into_iter().flat_map(Map::values) {
        for call in item.as_object().into_iter().flat_map(Map::values) {
            named(&call["responses"], &mut ahead);
        }
    }
    while let Some(name) = ahead.pop() {
        if found.insert(name.clone()) {
            named(&document["components"]["schemas"][&name], &mut ahead);
        }
    }
    found
}

/// The schemas that a part of the document refers to.
fn named(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Array(parts) => parts.iter().for_each(|part| named(part, found)),
        Value::Object(fields) => {
            found.extend(
                fields.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(SCHEMAS)).map(Into::into),
            );
            fields.values().for_each(|part| named(part, found));
        }
        _ => {}
    }
}
