//! People come in without a shell: the first start, invitations, the second factor, resets, sessions. One server for all.

mod looked_after;

use crate::harness::{Person, Up, use_ring};
use crate::live::Stream;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use totp_rs::{Algorithm, Builder};

const PASSWORD: &str = "seven herons over Zijiang";
const OTHER: &str = "nine otters under Zijiang";
/// Longest that a stream may go on whose right has ended.
const STREAM_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// An authenticator, as a phone has it.
struct Authenticator([u8; 20]);

impl Authenticator {
    /// From what an enrolment shows, base 32.
    fn of(secret: &str) -> Self {
        let value = |c: u8| u64::from(if c >= b'A' { c - b'A' } else { c - b'2' + 26 });
        let mut bytes = Vec::new();
        for group in secret.as_bytes().chunks(8) {
            let bits = group.iter().fold(0, |bits, c| bits << 5 | value(*c));
            bytes.extend_from_slice(&bits.to_be_bytes()[3..]);
        }
        Self(bytes.try_into().unwrap())
    }

    /// The code of so many steps from now.
    fn code(&self, steps: i64) -> String {
        let now_s = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_step_duration(30);
        let at_s = now_s.checked_add_signed(steps * 30).unwrap();
        totp.with_secret(self.0).build_noncompliant().generate(at_s).to_string()
    }
}

async fn post(up: &Up, path: &str, body: Value) -> (u16, Value) {
    up.person("").ask("POST", path, Some(body)).await
}

/// The code of a link.
fn code_of(link: &Value) -> String {
    let address = link["address"].as_str().unwrap();
    assert!(link["qr_svg"].as_str().unwrap().contains("<svg"), "{link}");
    address.rsplit_once('/').unwrap().1.to_owned()
}

fn refused(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
}

/// Logs in by the password; what it says.
async fn log_in(up: &Up, login: &str, more: Value) -> (u16, Value) {
    let mut body = json!({ "login": login, "password": PASSWORD });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(up, "/session", body).await
}

/// Enrols the second factor at the log-in: the session, the authenticator and the recovery codes.
async fn enrol(up: &Up, login: &str) -> (Person, Authenticator, Vec<String>) {
    let first = log_in(up, login, json!({})).await;
    refused(&first, 401, "second_factor_enrol");
    let enrolment = &first.1["values"];
    let authenticator = Authenticator::of(enrolment["secret"].as_str().unwrap());
    let wrong = log_in(up, login, json!({ "enrolment": enrolment["enrolment"], "totp": "000000" })).await;
    refused(&wrong, 401, "wrong_code");
    let (status, said) =
        log_in(up, login, json!({ "enrolment": enrolment["enrolment"], "totp": authenticator.code(-1) })).await;
    assert_eq!(status, 200, "{said}");
    let codes = said["recovery_codes"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect();
    (up.person(said["token"].as_str().unwrap()), authenticator, codes)
}

/// Makes an account; its number and the code of its invitation.
async fn invite(by: &Person, body: Value) -> (String, String) {
    let (status, said) = by.ask("POST", "/accounts", Some(body)).await;
    assert_eq!(status, 201, "{said}");
    assert_eq!(said["account"]["state"], "invited");
    (said["account"]["id"].as_str().unwrap().to_owned(), code_of(&said["link"]))
}

/// The same, accepted with this login.
async fn come_in(up: &Up, by: &Person, body: Value, login: &str) -> String {
    let (id, code) = invite(by, body).await;
    let accepted = post(up, "/invitation/accept", json!({ "code": code, "login": login, "password": PASSWORD })).await;
    assert_eq!(accepted, (200, json!({ "login": login })));
    id
}

async fn the_first_administrator_comes_in_by_the_printed_address_once(up: &Up) -> (Person, Authenticator, Vec<String>) {
    // It is printed when trackers are let in, a moment after the page answers.
    let since = std::time::Instant::now();
    while !up.log().contains("/#/setup/") {
        assert!(since.elapsed().as_secs() < 30, "{}", up.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let log = up.log();
    let code = log.split_once("/#/setup/").expect(&log).1.split_whitespace().next().unwrap().to_owned();
    assert_eq!(code.len(), 32);
    // A new one, by the command: the one before is dead.
    let made = up.command(&["admin", "setup-link"]);
    let address = String::from_utf8(made.stdout).unwrap();
    let newer = address.trim().split_once("/#/setup/").expect("an address").1.to_owned();
    refused(&post(up, "/setup/check", json!({ "code": code })).await, 404, "code_ended");
    assert_eq!(post(up, "/setup/check", json!({ "code": newer })).await.0, 204);
    let first = |more: Value| {
        let mut body = json!({ "code": newer, "name": "Administrator", "login": "chief", "password": PASSWORD });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (wrong, status, code) in [
        (json!({ "code": "x" }), 404, "code_ended"),
        (json!({ "password": "12345678" }), 400, "password_guessable"),
        (json!({ "password": "" }), 400, "text_length"),
        (json!({ "password": "13800000001" }), 400, "password_guessable"),
        (json!({ "login": "13800000001" }), 400, "login_form"),
        (json!({ "name": " " }), 400, "text_length"),
        (json!({ "phone": "12" }), 400, "phone_form"),
    ] {
        refused(&post(up, "/setup", first(wrong)).await, status, code);
    }
    assert_eq!(post(up, "/setup", first(json!({}))).await, (201, json!({ "login": "chief" })));
    refused(&post(up, "/setup", first(json!({ "login": "other" }))).await, 404, "code_ended");
    let (chief, authenticator, codes) = enrol(up, "chief").await;
    assert_eq!(chief.get("/me").await["role"], "admin");
    let again = up.command(&["admin", "setup-link"]);
    assert!(!again.status.success(), "there is an administrator");
    (chief, authenticator, codes)
}

/// S-44.
async fn a_code_is_used_once_and_so_is_a_recovery_code(up: &Up, authenticator: &Authenticator, codes: &[String]) {
    refused(&log_in(up, "chief", json!({})).await, 401, "second_factor_needed");
    let code = authenticator.code(0);
    assert_eq!(log_in(up, "chief", json!({ "totp": code })).await.0, 200);
    refused(&log_in(up, "chief", json!({ "totp": code })).await, 401, "wrong_code");
    let recovery = json!({ "recovery_code": codes[0].to_uppercase() });
    assert_eq!(log_in(up, "chief", recovery.clone()).await.0, 200);
    refused(&log_in(up, "chief", recovery).await, 401, "wrong_code");
    // With a wrong password the second factor is not looked at.
    let wrong = json!({ "password": OTHER, "totp": authenticator.code(1) });
    refused(&log_in(up, "chief", wrong).await, 401, "wrong_login");
    let sql = up.sql().await;
    let kept: Vec<u8> = sql.query_one("SELECT sealed FROM second_factor", &[]).await.unwrap().get(0);
    assert!(!kept.windows(20).any(|w| w == authenticator.0), "the secret is not sealed");
}

/// By phone, in any spelling; the link is dead then.
async fn an_owner_comes_in_by_phone_and_the_link_is_dead_then(up: &Up, chief: &Person) -> String {
    let body = json!({ "name": "Anna", "role": "owner", "phone": "138 0000 0001" });
    let (id, first) = invite(chief, body.clone()).await;
    refused(&chief.ask("POST", "/accounts", Some(body)).await, 409, "phone_taken");
    refused(&log_in(up, "13800000001", json!({})).await, 401, "wrong_login");
    // Another link in its place, then none, then one that counts.
    let path = format!("/accounts/{id}/invitation");
    let second = code_of(&chief.ask("POST", &path, None).await.1["link"]);
    refused(&post(up, "/invitation/open", json!({ "code": first })).await, 404, "code_ended");
    let (status, welcome) = post(up, "/invitation/open", json!({ "code": second })).await;
    assert_eq!((status, &welcome["name"], &welcome["second_factor"]), (200, &json!("Anna"), &json!(false)));
    assert_eq!(chief.ask("DELETE", &path, None).await.1["state"], "not_invited");
    refused(&post(up, "/invitation/open", json!({ "code": second })).await, 404, "code_ended");
    let third = code_of(&chief.ask("POST", &path, None).await.1["link"]);
    let accept = json!({ "code": third, "password": PASSWORD });
    assert_eq!(post(up, "/invitation/accept", accept.clone()).await.0, 200);
    refused(&post(up, "/invitation/accept", accept).await, 404, "code_ended");
    for typed in ["13800000001", "+86 138 0000 0001", "138-0000-0001"] {
        assert_eq!(log_in(up, typed, json!({})).await.0, 200, "{typed}");
    }
    // One that is over.
    let (late, code) = invite(chief, json!({ "name": "Late", "role": "owner", "phone": "13800000009" })).await;
    let sql = up.sql().await;
    sql.execute("UPDATE invitation SET expires_at = now()", &[]).await.unwrap();
    refused(&post(up, "/invitation/accept", json!({ "code": code, "password": PASSWORD })).await, 404, "code_ended");
    let found = chief.get("/accounts?q=Late").await;
    assert_eq!((&found["accounts"][0]["id"], &found["accounts"][0]["state"]), (&json!(late), &json!("not_invited")));
    id
}

/// S-45.
async fn a_code_of_one_kind_opens_no_other_door(up: &Up, chief: &Person) {
    let (_, invitation) = invite(chief, json!({ "name": "Bert", "role": "owner", "phone": "13800000002" })).await;
    let reset_of = come_in(up, chief, json!({ "name": "Carl", "role": "owner", "login": "carl0" }), "carl").await;
    let (status, said) =
        chief.ask("POST", &format!("/accounts/{reset_of}/reset"), Some(json!({ "reason": "forgot it" }))).await;
    assert_eq!((status, &said["account"]["state"]), (200, &json!("reset")), "{said}");
    let reset = code_of(&said["link"]);
    let sql = up.sql().await;
    let setup = "abcdefghijklmnopqrstuvwxyz234567";
    sql.execute("INSERT INTO setup_code (code_sha256) VALUES (sha256(convert_to($1, 'UTF8')))", &[&setup])
        .await
        .unwrap();
    let session = chief.token.clone();
    let doors = [
        ("/setup/check", setup),
        ("/setup", setup),
        ("/invitation/open", &invitation),
        ("/invitation/accept", &invitation),
        ("/reset/open", &reset),
        ("/reset/accept", &reset),
    ];
    for (door, own) in doors {
        for code in [setup, &invitation, &reset, &session, "", "\0", &"x".repeat(4000)] {
            if code != own || door.starts_with("/setup") {
                let body = json!({ "code": code, "password": OTHER, "name": "N", "login": "intruder" });
                refused(&post(up, door, body).await, 404, "code_ended");
            }
        }
    }
    for code in [setup, &invitation, &reset] {
        assert_eq!(up.person(code).ask("GET", "/me", None).await.0, 401);
        assert_eq!(post(up, "/phone-presence", json!({ "token": code })).await.0, 404);
    }
    assert_eq!(post(up, "/invitation/open", json!({ "code": invitation })).await.0, 200, "none was used up");
    assert_eq!(post(up, "/reset/accept", json!({ "code": reset, "password": OTHER })).await.0, 200);
    refused(&post(up, "/reset/accept", json!({ "code": reset, "password": OTHER })).await, 404, "code_ended");
    refused(&log_in(up, "carl", json!({})).await, 401, "wrong_login");
    assert_eq!(log_in(up, "carl", json!({ "password": OTHER })).await.0, 200);
}

/// The command may set one, and so may the code of another link.
async fn a_link_is_dead_as_soon_as_there_is_a_password(up: &Up, chief: &Person) {
    let (eve, invitation) = invite(chief, json!({ "name": "Eve", "role": "owner", "login": "eve" })).await;
    let sql = up.sql().await;
    let set = "UPDATE account SET password_hash = '!' WHERE login = 'eve'";
    sql.execute(set, &[]).await.unwrap();
    let (_, said) = chief.ask("POST", &format!("/accounts/{eve}/reset"), Some(json!({ "reason": "forgot it" }))).await;
    let reset = code_of(&said["link"]);
    assert_eq!(post(up, "/reset/open", json!({ "code": reset })).await.0, 200);
    sql.execute(set, &[]).await.unwrap();
    for (door, code) in [("invitation", &invitation), ("reset", &reset)] {
        for call in ["open", "accept"] {
            let body = json!({ "code": code, "password": OTHER });
            refused(&post(up, &format!("/{door}/{call}"), body).await, 404, "code_ended");
        }
    }
}

async fn a_reset_and_a_disabling_end_sessions_and_streams(up: &Up, chief: &Person, anna: &str) {
    for (call, body, state) in
        [("reset", json!({ "reason": "lost phone" }), "reset"), ("disable", json!({ "reason": "left" }), "disabled")]
    {
        let opened = log_in(up, "+8613800000001", json!({})).await;
        assert_eq!(opened.0, 200, "{}", opened.1);
        let person = up.person(opened.1["token"].as_str().unwrap());
        let mut stream = Stream::open(up, &person).await;
        let since = Instant::now();
        let (status, said) = chief.ask("POST", &format!("/accounts/{anna}/{call}"), Some(body)).await;
        let account = if call == "reset" { &said["account"] } else { &said };
        assert_eq!((status, account["state"].as_str()), (200, Some(state)), "{said}");
        assert_eq!(person.ask("GET", "/me", None).await.0, 401, "{call}");
        assert_eq!(stream.until(|said| said.get("closed").is_some()).await["closed"], 4401);
        assert!(since.elapsed() < STREAM_ENDS_WITHIN, "{:?}", since.elapsed());
        refused(&log_in(up, "13800000001", json!({})).await, 401, "wrong_login");
        if call == "reset" {
            let code = code_of(&said["link"]);
            assert_eq!(post(up, "/reset/accept", json!({ "code": code, "password": PASSWORD })).await.0, 200);
        }
    }
    // Nobody holds a link that does nothing.
    for (call, body) in [("reset", Some(json!({ "reason": "lost phone" }))), ("invitation", None)] {
        refused(&chief.ask("POST", &format!("/accounts/{anna}/{call}"), body).await, 409, "account_disabled");
    }
    let enabled = chief.ask("POST", &format!("/accounts/{anna}/enable"), Some(json!({ "reason": "is back" }))).await;
    assert_eq!((enabled.0, &enabled.1["state"]), (200, &json!("active")));
    assert_eq!(log_in(up, "13800000001", json!({})).await.0, 200);
    let me = chief.get("/accounts?role=admin").await["accounts"][0]["id"].as_str().unwrap().to_owned();
    for call in ["disable", "reset"] {
        let own = chief.ask("POST", &format!("/accounts/{me}/{call}"), Some(json!({ "reason": "by mistake" }))).await;
        refused(&own, 409, "yourself");
    }
}

/// S-04: a stolen session changes neither phone nor password nor second factor.
async fn what_changes_a_log_in_asks_for_the_password_again(up: &Up, anna: &Person) {
    for (method, path, body) in [
        ("POST", "/account/phone", json!({ "phone": "13800000007" })),
        ("POST", "/account/password", json!({ "new_password": OTHER })),
        ("POST", "/account/second-factor", json!({})),
        ("PUT", "/account/second-factor", json!({ "enrolment": "00", "totp": "000000" })),
        ("POST", "/account/second-factor/remove", json!({})),
    ] {
        for password in ["", "\0", OTHER] {
            let mut body = body.clone();
            body["password"] = json!(password);
            refused(&anna.ask(method, path, Some(body)).await, 403, "wrong_password");
        }
    }
    // Strangers who try the login do not hold up who is in.
    let login = anna.get("/account").await["login"].clone();
    while log_in(up, login.as_str().unwrap(), json!({ "password": OTHER })).await.0 != 429 {}
    let phone = json!({ "password": PASSWORD, "phone": "138 0000 0002" });
    refused(&anna.ask("POST", "/account/phone", Some(phone)).await, 409, "phone_taken");
    let phone = json!({ "password": PASSWORD, "phone": "138 0000 0007" });
    assert_eq!(anna.ask("POST", "/account/phone", Some(phone)).await.0, 204);
    assert_eq!(anna.get("/account").await["phone"], "+8613800000007");
}

async fn own_sessions_are_seen_and_ended(up: &Up) {
    let mut opened = Vec::new();
    for _ in 0..3 {
        let said = log_in(up, "13800000007", json!({})).await;
        opened.push(up.person(said.1["token"].as_str().unwrap_or_else(|| panic!("{}", said.1))));
    }
    let sessions = opened[0].get("/sessions").await["sessions"].clone();
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.iter().filter(|s| s["is_this"] == true).count(), 1, "{sessions:?}");
    let other = sessions.iter().find(|s| s["is_this"] == false).unwrap()["id"].as_str().unwrap();
    assert_eq!(opened[0].ask("DELETE", &format!("/sessions/{other}"), None).await, (200, json!({ "ended": 1 })));
    assert_eq!(opened[0].ask("DELETE", &format!("/sessions/{other}"), None).await.0, 404);
    let changed = json!({ "password": PASSWORD, "new_password": OTHER });
    assert_eq!(opened[0].ask("POST", "/account/password", Some(changed)).await.0, 200);
    assert_eq!(opened[0].get("/sessions").await["sessions"].as_array().unwrap().len(), 1, "the others ended with it");
    assert_eq!(opened[0].ask("DELETE", "/sessions", None).await, (200, json!({ "ended": 0 })));
}

/// An owner's or family's, by choice; then it is needed, and removed with it only.
async fn an_owner_may_have_a_second_factor_too(up: &Up, chief: &Person) {
    come_in(up, chief, json!({ "name": "Dave", "role": "family", "login": "dave0" }), "dave").await;
    let said = log_in(up, "dave", json!({})).await;
    let dave = up.person(said.1["token"].as_str().unwrap());
    let begun = dave.ask("POST", "/account/second-factor", Some(json!({ "password": PASSWORD }))).await.1;
    let authenticator = Authenticator::of(begun["secret"].as_str().unwrap());
    let first = json!({ "password": PASSWORD, "enrolment": begun["enrolment"], "totp": authenticator.code(-1) });
    let (status, codes) = dave.ask("PUT", "/account/second-factor", Some(first)).await;
    assert_eq!((status, codes["recovery_codes"].as_array().map(Vec::len)), (200, Some(10)), "{codes}");
    refused(&log_in(up, "dave", json!({})).await, 401, "second_factor_needed");
    let bare = json!({ "password": PASSWORD });
    refused(&dave.ask("POST", "/account/second-factor/remove", Some(bare.clone())).await, 403, "wrong_code");
    refused(&dave.ask("POST", "/account/second-factor", Some(bare)).await, 403, "wrong_code");
    let proof = json!({ "password": PASSWORD, "totp": authenticator.code(0) });
    let new_codes = dave.ask("POST", "/account/recovery-codes", Some(proof)).await;
    assert_eq!(new_codes.0, 200, "{}", new_codes.1);
    let old = json!({ "password": PASSWORD, "recovery_code": codes["recovery_codes"][0] });
    refused(&dave.ask("POST", "/account/second-factor/remove", Some(old)).await, 403, "wrong_code");
    let new = json!({ "password": PASSWORD, "recovery_code": new_codes.1["recovery_codes"][0] });
    assert_eq!(dave.ask("POST", "/account/second-factor/remove", Some(new)).await.0, 204);
    assert_eq!(log_in(up, "dave", json!({})).await.0, 200);
}

async fn who_is_erased_leaves_no_factor_no_phone_and_no_link(up: &Up, account: &str) {
    let sql = up.sql().await;
    sql.batch_execute(&format!(
        "INSERT INTO second_factor (account_id, sealed, last_step) VALUES ({account}, decode(repeat('00', 48), 'hex'), 0);
         INSERT INTO recovery_code VALUES ({account}, sha256('x'));
         INSERT INTO password_reset VALUES ({account}, sha256('y'), NULL, now(), now());
         SELECT close_account({account}, (SELECT account_id FROM account WHERE login = 'chief'), 'request 1')"
    ))
    .await
    .unwrap();
    let left = format!(
        "SELECT (SELECT count(*) FROM second_factor WHERE account_id = {account})
            + (SELECT count(*) FROM recovery_code WHERE account_id = {account})
            + (SELECT count(*) FROM password_reset WHERE account_id = {account})
            + (SELECT count(*) FROM account WHERE account_id = {account} AND (phone IS NOT NULL OR name <> ''))"
    );
    assert_eq!(up.count(&left).await, 0);
}

#[tokio::test]
async fn people_come_in_log_in_and_are_looked_after_without_a_shell() {
    use_ring();
    let up = Up::start_empty().await;
    let (chief, authenticator, codes) = the_first_administrator_comes_in_by_the_printed_address_once(&up).await;
    a_code_is_used_once_and_so_is_a_recovery_code(&up, &authenticator, &codes).await;
    let anna = an_owner_comes_in_by_phone_and_the_link_is_dead_then(&up, &chief).await;
    a_code_of_one_kind_opens_no_other_door(&up, &chief).await;
    a_link_is_dead_as_soon_as_there_is_a_password(&up, &chief).await;
    a_reset_and_a_disabling_end_sessions_and_streams(&up, &chief, &anna).await;
    let said = log_in(&up, "13800000001", json!({})).await;
    what_changes_a_log_in_asks_for_the_password_again(&up, &up.person(said.1["token"].as_str().unwrap())).await;
    own_sessions_are_seen_and_ended(&up).await;
    an_owner_may_have_a_second_factor_too(&up, &chief).await;
    looked_after::an_operator_looks_after_people_of_the_own_organisation_only(&up, &chief).await;
    who_is_erased_leaves_no_factor_no_phone_and_no_link(&up, &anna).await;
    let log = up.log();
    for secret in [PASSWORD, OTHER, "13800000001", "8613800000007", &chief.token, &codes[1]] {
        assert!(!log.contains(secret), "a secret stands in the log");
    }
}
