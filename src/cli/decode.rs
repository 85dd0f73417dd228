//! `rideguard decode`: JSON lines in, JSON lines out, one answer for every line, in order.

use crate::domain::{FixSource, Profile, Report, Status};
use crate::protocol;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, Write};

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    id: Value,
    protocol: String,
    encoding: Option<String>,
    payload: Option<String>,
    wire: Option<String>,
    model_hint: Option<String>,
    decoder_option: Option<String>,
    http: Option<Http>,
}

/// How a packet came over HTTP.
#[derive(Deserialize)]
struct Http {
    #[serde(default)]
    uri: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
}

impl Http {
    /// The part that holds the report: the body if it is JSON or the address has no question.
    fn message(&self) -> &str {
        let body = self.body.as_deref().unwrap_or_default();
        let is_json = self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.as_str().is_some_and(|v| v.contains("json"))
        });
        if !body.is_empty() && (is_json || !self.uri.contains('?')) { body } else { &self.uri }
    }
}

/// Answers every line.
///
/// # Errors
/// Input cannot be read or output cannot be written.
pub fn run(input: impl BufRead, output: impl Write) -> io::Result<()> {
    let mut output = io::BufWriter::new(output);
    for line in input.split(b'\n') {
        let line = line?;
        serde_json::to_writer(&mut output, &answer(&line))?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

fn answer(line: &[u8]) -> Value {
    let question: Question = match serde_json::from_slice(line) {
        Ok(question) => question,
        Err(error) => {
            let id = serde_json::from_slice::<Value>(line).map(|v| v["id"].clone()).unwrap_or_default();
            return rejected(&id, &format!("the line is not a valid question: {error}"));
        }
    };
    let has_16_byte_values = question.decoder_option.as_deref().is_some_and(|o| o.starts_with("extended"));
    let model = question.model_hint.clone();
    let profile = Profile { model, has_16_byte_values, ..Profile::of(&question.protocol) };
    match bytes(&question).and_then(|b| protocol::decode(&profile, &b).map_err(|e| e.to_string())) {
        Ok(report) => accepted(&question.id, &report),
        Err(problem) => rejected(&question.id, &problem),
    }
}

fn bytes(question: &Question) -> Result<Vec<u8>, String> {
    if let Some(http) = &question.http {
        return Ok(http.message().as_bytes().to_vec());
    }
    let text = question.payload.as_ref().or(question.wire.as_ref()).ok_or("the line has no payload")?;
    match question.encoding.as_deref() {
        Some("text") => Ok(text.clone().into_bytes()),
        Some("hex") | None => hex::decode(text.trim()).map_err(|e| format!("payload: {e}")),
        Some(other) => Err(format!("encoding is {other:?}; it must be hex or text")),
    }
}

fn rejected(id: &Value, problem: &str) -> Value {
    json!({ "id": id, "result": "rejected", "error": problem, "tracker_ids": [], "message": null, "fixes": [], "status": {}, "alarms": [], "replies": [], "unknown": {} })
}

fn accepted(id: &Value, report: &Report) -> Value {
    let mut status = Status::default();
    report.moments.iter().for_each(|m| status.merge(&m.status));
    let mut alarms: Vec<&str> = report.moments.iter().flat_map(|m| &m.alarms).map(|a| a.kind.name()).collect();
    alarms.sort_unstable();
    alarms.dedup();
    let fixes: Vec<Value> = report
        .fixes()
        .map(|f| {
            let source = match f.source {
                FixSource::Gnss => "gnss",
                FixSource::Cell => "cell",
                FixSource::Wifi => "wifi",
            };
            json!({ "fixed_at": f.fixed_at.map(|t| t.to_string()), "valid": f.valid, "lat": f.position.lat_deg, "lon": f.position.lon_deg,
                "altitude_m": short(f.altitude_m), "speed_kmh": short(f.speed_kmh), "course_deg": short(f.course_deg),
                "satellites": f.satellites, "hdop": short(f.hdop), "accuracy_m": short(f.accuracy_m), "source": source })
        })
        .collect();
    let replies: Vec<String> = report.replies.iter().map(hex::encode).collect();
    json!({ "id": id, "result": "ok", "error": report.left_over, "tracker_ids": report.tracker_idents.iter().chain(&report.label).collect::<Vec<_>>(), "message": report.message, "fixes": fixes,
        "status": only_said(&status), "alarms": alarms, "replies": replies, "unknown": report.unknown })
}

/// The shortest decimal that is this number: 23.4, not 23.399999618530273.
fn short(number: Option<f32>) -> Option<f64> {
    number.and_then(|n| n.to_string().parse().ok())
}

/// Only what the packet says: values that are there.
fn only_said(status: &Status) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(status) else { return Map::new() };
    for (name, volts) in [("battery_v", status.battery_v), ("external_v", status.external_v)] {
        all.insert(name.into(), json!(short(volts)));
    }
    all.into_iter().filter(|(_, v)| !v.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &str) -> Vec<Value> {
        let mut out = Vec::new();
        run(input.as_bytes(), &mut out).unwrap();
        out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
    }

    #[test]
    fn every_line_is_answered_in_order() {
        let lines = [
            r#"{"id":"a","protocol":"json","encoding":"text","payload":"{\"v\":1,\"id\":\"x\"}"}"#,
            "no json",
            "",
            r#"{"id":7,"protocol":"klingon","encoding":"hex","payload":"00"}"#,
            r#"{"id":"d","protocol":"jt808","encoding":"hex","payload":"zz"}"#,
            r#"{"id":"e"}"#,
        ];
        let got = answers(&lines.join("\n"));
        let results: Vec<_> = got.iter().map(|v| (v["id"].clone(), v["result"].as_str().unwrap().to_owned())).collect();
        assert_eq!(
            results,
            [
                (json!("a"), "ok".into()),
                (Value::Null, "rejected".into()),
                (Value::Null, "rejected".into()),
                (json!(7), "rejected".into()),
                (json!("d"), "rejected".into()),
                (json!("e"), "rejected".into())
            ] as [(Value, String); 6]
        );
        assert_eq!(got[0]["tracker_ids"], json!(["x"]));
    }
}
