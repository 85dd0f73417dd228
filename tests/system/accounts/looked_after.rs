//! People who are looked after: by the own organisation's operators, whoever entered them, and edited with a reason.

use super::{OTHER, come_in, enrol, invite, log_in, refused};
use crate::harness::{Database, PATIENCE, Person, Up, use_ring};
use rideguard::store::registry::{NewAccount, put_account};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub async fn an_operator_looks_after_people_of_the_own_organisation_only(up: &Up, chief: &Person) {
    let at = |organisation: &str| json!({ "name": "Op", "role": "operator", "login": organisation.to_lowercase(), "organisation": organisation });
    // What an administrator in no organisation entered is the first one's that has operators.
    let early = json!({ "idents": ["early1"], "protocol": "json", "batch": "early" });
    let (status, said) = chief.ask("POST", "/tracker-batches", Some(early)).await;
    assert_eq!(status, 201, "{said}");
    come_in(up, chief, at("East"), "east.op").await;
    let (east, ..) = enrol(up, "east.op").await;
    let since = Instant::now();
    let of_nobody = "SELECT (SELECT count(*) FROM tracker WHERE unit_id IS NULL)
        + (SELECT count(*) FROM account WHERE unit_id IS NULL AND role IN ('owner', 'family', 'installer'))";
    while up.count(of_nobody).await > 0 {
        assert!(since.elapsed() < PATIENCE, "it is nobody's still:\n{}", up.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(east.get("/trackers").await["trackers"][0]["ident"], "early1");
    let owners = east.get("/accounts").await["accounts"].as_array().unwrap().len();
    assert!(owners > 0, "those who came before East had operators");
    come_in(up, chief, at("West"), "west.op").await;
    let (west, ..) = enrol(up, "west.op").await;
    let mut dora = json!({ "name": "Dora", "role": "owner", "phone": "13800000004" });
    let (dora_id, _) = invite(&east, dora.clone()).await;
    assert_eq!(east.get("/accounts").await["accounts"].as_array().unwrap().len(), owners + 1, "owners of the own only");
    assert_eq!(west.get("/accounts").await["accounts"], json!([]));
    assert_eq!(east.get("/organisations").await["organisations"][0]["name"], "East");
    for (method, call) in
        [("POST", "invitation"), ("DELETE", "invitation"), ("POST", "reset"), ("POST", "disable"), ("POST", "enable")]
    {
        let body = (call != "invitation").then(|| json!({ "reason": "curious" }));
        let foreign = west.ask(method, &format!("/accounts/{dora_id}/{call}"), body.clone()).await;
        let missing = west.ask(method, &format!("/accounts/1/{call}"), body).await;
        assert_eq!((foreign.0, &foreign), (404, &missing), "{call}");
    }
    an_account_is_edited_of_the_version_that_was_seen(up, chief, (&east, &west), &dora_id).await;
    dora["organisation"] = json!("East");
    dora["phone"] = json!("13800000005");
    refused(&west.ask("POST", "/accounts", Some(dora.clone())).await, 404, "no_such_organisation");
    for role in ["operator", "police", "approver", "auditor", "admin"] {
        let body = json!({ "name": "X", "role": role, "login": "xavier" });
        refused(&east.ask("POST", "/accounts", Some(body)).await, 403, "not_your_role");
    }
    assert_eq!(chief.get("/accounts?organisation=East").await["accounts"].as_array().unwrap().len(), owners + 2);
    // An owner looks after nobody.
    let said = log_in(up, "carl", json!({ "password": OTHER })).await;
    let carl = up.person(said.1["token"].as_str().unwrap());
    refused(&carl.ask("GET", "/accounts", None).await, 403, "wrong_role");
}

/// By an administrator, or by an operator of those it looks after; a reason stands in the audit, and no number.
async fn an_account_is_edited_of_the_version_that_was_seen(
    up: &Up,
    chief: &Person,
    (east, west): (&Person, &Person),
    dora: &str,
) {
    let path = format!("/accounts/{dora}");
    let seen = east.get(&path).await;
    assert_eq!((&seen["name"], &seen["organisation"], &seen["version"]), (&json!("Dora"), &json!("East"), &json!(1)));
    let change = async |by: &Person, version: Option<i64>, body: Value| -> (u16, Value) {
        let mut body = body;
        body["reason"] = json!("a slip of the pen");
        by.ask_of_version("PATCH", &path, version, Some(body)).await
    };
    refused(&change(east, None, json!({ "name": "Dora" })).await, 400, "version_missing");
    for (body, status, code) in [
        (json!({}), 400, "one_of"),
        (json!({ "name": " " }), 400, "text_length"),
        (json!({ "login": "13800000009" }), 400, "login_form"),
        (json!({ "login": "chief" }), 409, "login_taken"),
        (json!({ "phone": "12" }), 400, "phone_form"),
        (json!({ "phone": "13800000007" }), 409, "phone_taken"),
        (json!({ "organisation": "West" }), 404, "no_such_organisation"),
    ] {
        refused(&change(east, Some(1), body).await, status, code);
    }
    let body = json!({ "name": "Dora Li", "login": "dora.li", "phone": "138 0000 0014", "unit": "Harbour" });
    let (status, said) = change(east, Some(1), body.clone()).await;
    assert_eq!((status, &said["name"], &said["login"]), (200, &json!("Dora Li"), &json!("dora.li")), "{said}");
    assert_eq!(
        (&said["phone"], &said["unit"], &said["organisation"]),
        (&json!("+8613800000014"), &json!("Harbour"), &json!("East"))
    );
    refused(&change(east, Some(1), json!({ "name": "Dora" })).await, 409, "version_changed");
    let version = said["version"].as_i64();
    // What is another organisation's is missing; one's own is changed by one's password.
    let foreign = change(west, version, body.clone()).await;
    let missing =
        west.ask_of_version("PATCH", "/accounts/1", version, Some(json!({ "name": "x", "reason": "r" }))).await;
    assert_eq!((foreign.0, &foreign), (404, &missing));
    let me = chief.get("/accounts?role=admin").await["accounts"][0].clone();
    let own = format!("/accounts/{}", me["id"].as_str().unwrap());
    let body = json!({ "phone": "13800000015", "reason": "mine" });
    refused(&chief.ask_of_version("PATCH", &own, me["version"].as_i64(), Some(body)).await, 409, "yourself");
    // An administrator in no organisation gives it to another, and takes the number away.
    let (status, said) = change(chief, version, json!({ "organisation": "West", "phone": "" })).await;
    assert_eq!((status, &said["organisation"], &said["phone"]), (200, &json!("West"), &Value::Null), "{said}");
    assert_eq!(east.ask("GET", &path, None).await.0, 404);
    let back = json!({ "organisation": "East", "phone": "13800000004" });
    assert_eq!(change(chief, said["version"].as_i64(), back).await.0, 200);
    let rows =
        "SELECT count(*) FROM audit WHERE action = 'account_changed' AND question ->> 'reason' = 'a slip of the pen'";
    assert_eq!(up.count(rows).await, 3);
    assert_eq!(up.count("SELECT count(*) FROM audit WHERE question::text LIKE '%0000014%'").await, 0);
    assert!(up.count("SELECT count(*) FROM registry_change WHERE reason = 'a slip of the pen'").await >= 3);
}

#[tokio::test]
async fn an_owner_entered_by_the_command_is_looked_after_by_the_operators_where_they_are_all_of_one() {
    use_ring();
    let database = Database::start().await;
    let client = database.connect().await;
    let enter = async |login: &str, role: &str, organisation: Option<&str>| -> Option<String> {
        let new = NewAccount {
            login,
            name: login,
            role,
            password_hash: "!",
            unit: organisation.map(|name| (name, "operator", "desk")),
            webhook: None,
            drops_webhook: false,
            without_second_factor: false,
        };
        let account = put_account(&client, &new).await.unwrap();
        let sql = "SELECT o.name FROM account LEFT JOIN unit USING (unit_id) LEFT JOIN organisation o USING (organisation_id) WHERE account_id = $1";
        client.query_one(sql, &[&account]).await.unwrap().get(0)
    };
    assert_eq!(enter("early", "owner", None).await, None, "there is no operator yet");
    enter("op", "operator", Some("East")).await;
    for role in ["owner", "family", "installer"] {
        assert_eq!(enter(role, role, None).await.as_deref(), Some("East"), "{role}");
    }
    assert_eq!(enter("officer", "police", None).await, None, "who works for somebody is said to");
    assert_eq!(enter("early", "owner", None).await.as_deref(), Some("East"), "given again");
    enter("other", "operator", Some("West")).await;
    assert_eq!(enter("late", "owner", None).await, None, "of which of the two nobody knows");
    assert_eq!(enter("owner", "owner", None).await.as_deref(), Some("East"), "it stays where it is");
}
