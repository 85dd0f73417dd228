//! Answers as the OpenAPI document describes them: nothing missing, nothing unsaid.

use rideguard::api::types::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an answer into a shape and writes it again; what differs is a lie of the document.
type Check = fn(&Value) -> Result<(), String>;

/// Every answer that has a body of JSON: method, path, name of its shape.
const SHAPES: &[(&str, &str, &str, Check)] = &[
    ("POST", "/session", "SessionCreated", check::<SessionCreated>),
    ("GET", "/me", "CurrentAccount", check::<CurrentAccount>),
    ("GET", "/vehicles", "Vehicles", check::<Vehicles>),
    ("GET", "/vehicles/{id}", "Vehicle", check::<Vehicle>),
    ("GET", "/vehicles/{id}/track", "Track", check::<Track>),
    ("GET", "/vehicles/{id}/trips", "Trips", check::<Trips>),
    ("POST", "/vehicles/{id}/arm", "GuardState", check::<GuardState>),
    ("POST", "/vehicles/{id}/disarm", "GuardState", check::<GuardState>),
    ("GET", "/vehicles/{id}/guard-policy", "GuardPolicy", check::<GuardPolicy>),
    ("PUT", "/vehicles/{id}/guard-policy", "GuardPolicy", check::<GuardPolicy>),
    ("POST", "/vehicles/{id}/phone-tokens", "PhoneToken", check::<PhoneToken>),
    ("POST", "/phone-presence", "GuardSessionEnded", check::<GuardSessionEnded>),
    ("GET", "/alerts", "Alerts", check::<Alerts>),
    ("GET", "/incidents", "Incidents", check::<Incidents>),
    ("GET", "/incidents/{id}", "Incident", check::<Incident>),
    ("POST", "/incidents/{id}/answer", "Incident", check::<Incident>),
    ("GET", "/grants", "Grants", check::<Grants>),
    ("GET", "/door/jobs", "DoorDay", check::<DoorDay>),
    ("POST", "/door/jobs", "DoorJob", check::<DoorJob>),
    ("GET", "/door/visits", "DoorVisits", check::<DoorVisits>),
    ("POST", "/door/visits", "DoorVisit", check::<DoorVisit>),
    ("GET", "/door/visits/{id}", "DoorVisitChecked", check::<DoorVisitChecked>),
    ("PUT", "/door/visits/{id}/photo", "DoorVisit", check::<DoorVisit>),
    ("POST", "/door/visits/{id}/hand-over", "DoorHandedOver", check::<DoorHandedOver>),
    ("POST", "/door/visits/{id}/give-up", "DoorVisit", check::<DoorVisit>),
    ("GET", "/holds", "LegalHolds", check::<LegalHolds>),
    ("POST", "/holds", "LegalHold", check::<LegalHold>),
    ("POST", "/holds/{id}/release", "LegalHold", check::<LegalHold>),
    ("POST", "/search/area", "AreaSearchResult", check::<AreaSearchResult>),
    ("POST", "/search/co-travel", "CoTravelResult", check::<CoTravelResult>),
    ("POST", "/search/latest", "LatestPositions", check::<LatestPositions>),
    ("GET", "/zones", "Zones", check::<Zones>),
    ("POST", "/zones", "Zone", check::<Zone>),
    ("PUT", "/zones/{id}", "Zone", check::<Zone>),
    ("GET", "/trackers", "Trackers", check::<Trackers>),
    ("GET", "/trackers/{id}/credential", "TrackerCredentialState", check::<TrackerCredentialState>),
    ("POST", "/trackers/{id}/credential", "TrackerCredential", check::<TrackerCredential>),
    ("POST", "/tracker-batches", "TrackerCredentials", check::<TrackerCredentials>),
    ("POST", "/tracker-batches/credentials", "TrackerCredentials", check::<TrackerCredentials>),
    ("GET", "/outages", "Outages", check::<Outages>),
    ("GET", "/coverage-gaps", "CoverageGaps", check::<CoverageGaps>),
    ("GET", "/listeners", "TrackerDoors", check::<TrackerDoors>),
    ("POST", "/vehicles/{id}/hand-over", "HandOverOffered", check::<HandOverOffered>),
    ("GET", "/vehicles/{id}/hand-over", "OpenHandOver", check::<OpenHandOver>),
    ("POST", "/hand-overs/accept", "HandOverAccepted", check::<HandOverAccepted>),
    ("POST", "/registry/vehicles/{id}/hand-over", "HandOver", check::<HandOver>),
    ("POST", "/vehicles/{id}/family", "FamilyInvited", check::<FamilyInvited>),
    ("GET", "/vehicles/{id}/family", "FamilyMembers", check::<FamilyMembers>),
    ("POST", "/family/accept", "FamilyMember", check::<FamilyMember>),
    ("POST", "/vehicles/{id}/shares", "ShareMade", check::<ShareMade>),
    ("GET", "/vehicles/{id}/shares", "ShareLinks", check::<ShareLinks>),
    ("POST", "/share", "SharedView", check::<SharedView>),
    ("POST", "/vehicles/{id}/positioning", "PositioningState", check::<PositioningState>),
    ("GET", "/me/consent", "MyConsent", check::<MyConsent>),
    ("POST", "/me/consent", "MyConsent", check::<MyConsent>),
    ("DELETE", "/me/consent", "MyConsent", check::<MyConsent>),
    ("GET", "/me/hand-overs", "PendingHandOvers", check::<PendingHandOvers>),
    ("GET", "/me/looks", "VehicleLooks", check::<VehicleLooks>),
    ("DELETE", "/me", "ErasureReceipt", check::<ErasureReceipt>),
    ("POST", "/erasure-proof", "ErasureProof", check::<ErasureProof>),
    ("POST", "/setup", "LoginSet", check::<LoginSet>),
    ("POST", "/invitation/open", "Welcome", check::<Welcome>),
    ("POST", "/invitation/accept", "LoginSet", check::<LoginSet>),
    ("POST", "/reset/open", "Welcome", check::<Welcome>),
    ("POST", "/reset/accept", "LoginSet", check::<LoginSet>),
    ("GET", "/accounts", "ManagedAccounts", check::<ManagedAccounts>),
    ("POST", "/accounts", "AccountWithLink", check::<AccountWithLink>),
    ("GET", "/accounts/{id}", "ManagedAccount", check::<ManagedAccount>),
    ("PATCH", "/accounts/{id}", "ManagedAccount", check::<ManagedAccount>),
    ("POST", "/accounts/{id}/invitation", "AccountWithLink", check::<AccountWithLink>),
    ("DELETE", "/accounts/{id}/invitation", "ManagedAccount", check::<ManagedAccount>),
    ("POST", "/accounts/{id}/reset", "AccountWithLink", check::<AccountWithLink>),
    ("POST", "/accounts/{id}/disable", "ManagedAccount", check::<ManagedAccount>),
    ("POST", "/accounts/{id}/enable", "ManagedAccount", check::<ManagedAccount>),
    ("GET", "/organisations", "Organisations", check::<Organisations>),
    ("GET", "/account", "OwnAccount", check::<OwnAccount>),
    ("POST", "/account/password", "SessionsEnded", check::<SessionsEnded>),
    ("POST", "/account/second-factor", "Enrolment", check::<Enrolment>),
    ("PUT", "/account/second-factor", "NewRecoveryCodes", check::<NewRecoveryCodes>),
    ("POST", "/account/recovery-codes", "NewRecoveryCodes", check::<NewRecoveryCodes>),
    ("GET", "/sessions", "OwnSessions", check::<OwnSessions>),
    ("DELETE", "/sessions", "SessionsEnded", check::<SessionsEnded>),
    ("DELETE", "/sessions/{id}", "SessionsEnded", check::<SessionsEnded>),
    ("GET", "/registry/imports", "Imports", check::<Imports>),
    ("POST", "/registry/imports", "Import", check::<Import>),
    ("GET", "/registry/imports/{id}", "Import", check::<Import>),
    ("PUT", "/registry/imports/{id}/mapping", "Import", check::<Import>),
    ("POST", "/registry/imports/{id}/cancel", "Import", check::<Import>),
    ("POST", "/registry/imports/{id}/start", "Import", check::<Import>),
    ("PUT", "/registry/imports/{id}/file", "Import", check::<Import>),
    ("PATCH", "/registry/{kind}/{id}", "RegistryRecord", check::<RegistryRecord>),
    ("GET", "/registry/imports/{id}/problems", "ImportProblems", check::<ImportProblems>),
    ("GET", "/registry/{kind}", "RegistryRows", check::<RegistryRows>),
    ("POST", "/registry/{kind}", "RegistryRecord", check::<RegistryRecord>),
    ("GET", "/registry/{kind}/{id}", "RegistryRecord", check::<RegistryRecord>),
    ("GET", "/registry/{kind}/{id}/history", "RegistryRows", check::<RegistryRows>),
    ("PUT", "/registry/vehicles/{id}/tracker", "RegistryRecord", check::<RegistryRecord>),
    ("POST", "/live/ticket", "LiveTicket", check::<LiveTicket>),
];

fn check<T: DeserializeOwned + Serialize>(answer: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(answer.clone()).map_err(|e| e.to_string())?;
    let written = serde_json::to_value(read).map_err(|e| e.to_string())?;
    if is_same(&written, answer) { Ok(()) } else { Err(format!("it would be {written}")) }
}

/// Equal, with 5 and 5.0 as one number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| is_same(value, other)))
        }
        _ => a == b,
    }
}

/// Whether a path asked for is one of a template's: `{id}` is any one part.
fn is_of(template: &str, path: &str) -> bool {
    let (wanted, given) = (template.split('/'), path.split('/'));
    template.matches('/').count() == path.matches('/').count()
        && wanted.zip(given).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
}

/// Demands that an answer is what the document says.
pub fn must_fit(method: &str, path: &str, status: u16, answer: &Value) {
    let path = path.split('?').next().unwrap();
    let fits = match status {
        202 if !path.ends_with("/guard-policy") && path != "/phone-presence" => check::<ChangePending>(answer),
        200..300 => match SHAPES.iter().find(|(m, p, ..)| *m == method && is_of(p, path)) {
            Some((.., check)) => check(answer),
            None => return,
        },
        _ => check::<ErrorBody>(answer),
    };
    assert_eq!(fits, Ok(()), "{method} {path}: {status} {answer}");
}

/// The same of a message of the live stream.
pub fn must_fit_live(message: &Value) {
    assert_eq!(check::<LiveMessage>(message), Ok(()), "{message}");
}

#[test]
fn every_answer_of_the_document_has_the_shape_that_is_checked() {
    let document = serde_json::to_value(rideguard::api::openapi()).unwrap();
    let mut described = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                let name = schema.as_str().map(|r| r.trim_start_matches("#/components/schemas/"));
                if let Some(name) = name {
                    assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
                }
                match status.as_str() {
                    "200" | "201" if name.is_some() => {
                        described.push((
                            method.to_uppercase(),
                            path.trim_start_matches("/api/v1").to_owned(),
                            name.unwrap().to_owned(),
                        ));
                    }
                    "200" => {
                        assert!(
                            ["/tiles/traffic/{z}/{x}/{y}", "/export", "/photo"].iter().any(|end| path.ends_with(end)),
                            "{method} {path}: {response}"
                        );
                    }
                    "204" => assert_eq!(name, None),
                    "202" => assert!(name.is_some(), "{method} {path} {status}"),
                    _ => assert_eq!(name, Some("ErrorBody"), "{method} {path} {status}"),
                }
            }
        }
    }
    let mut checked: Vec<_> =
        SHAPES.iter().map(|(m, p, name, _)| (m.to_string(), p.to_string(), name.to_string())).collect();
    described.sort();
    checked.sort();
    assert_eq!(described, checked);
}
