//! Nobody is named by number: each call of the database's functions for the API passes what somebody showed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Functions that come before there is a session, or speak for nobody. The table of docs/security.md says why each remains
/// and what it gives at worst.
const WITHOUT_PROOF: &[&str] = &[
    "api_account",
    "api_broker_user",
    "api_enrol",
    "api_import_step",
    "api_known_logins",
    "api_log_in_failed",
    "api_open_session",
    "api_password_recipe",
    "api_use_recovery_code",
    "api_use_step",
];
/// Functions whose first argument is another secret than a session's token.
const BY_ANOTHER_SECRET: &[&str] = &[
    "api_accept_invitation",
    "api_accept_reset",
    "api_audit_live",
    "api_check_setup",
    "api_erasure",
    "api_invitation",
    "api_open_share",
    "api_phone",
    "api_reset",
    "api_set_up",
    "api_use_ticket",
];
/// Functions whose first argument are the sessions of all open streams: one memory serves them, and without one nothing.
const BY_OPEN_STREAMS: &[&str] = &["api_alert_news", "api_incident_news", "api_live_positions"];
/// Functions that look up the session by themselves: they answer nothing where it has ended, and refuse nobody.
const LOOK_THEMSELVES: &[&str] = &["api_close_session", "api_live_right", "api_session", "api_touch_session"];
/// Files that turn a secret into a proof: of a session, a ticket, a phone, a receipt, a share link.
const MAKE_PROOFS: &[&str] = &[
    "api/account/log_in.rs",
    "api/guard_policy.rs",
    "api/live.rs",
    "api/owner/erasure.rs",
    "api/owner/shares.rs",
    "api/session.rs",
    "store/proof.rs",
];
/// What holds a proof in our code: the last word of the first value of a call.
const PROOFS: &[&str] = &["asker", "code", "phone", "proof", "session", "sessions", "ticket", "token"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Name, arguments and body of every function `api_*` of the schema.
fn functions() -> Vec<(String, Vec<String>, String)> {
    let schema = fs::read_to_string(root().join("schema/current.sql")).expect("readable");
    let found = schema.split("CREATE OR REPLACE FUNCTION public.").filter(|f| f.starts_with("api_")).map(|function| {
        let (name, rest) = function.split_once('(').expect("arguments");
        let (arguments, rest) = rest.split_once(")\n RETURNS").expect("a result");
        let body = rest.split("$function$").nth(1).expect("a body");
        let arguments = arguments.split(", ").filter(|a| !a.is_empty()).map(str::to_owned).collect();
        (name.to_owned(), arguments, body.to_owned())
    });
    found.collect()
}

#[test]
fn every_function_for_the_api_takes_what_somebody_showed() {
    let functions = functions();
    assert!(functions.len() > 45, "only {} were found: has the schema another form?", functions.len());
    let page = fs::read_to_string(root().join("docs/security.md")).expect("readable");
    let mut wrong = Vec::new();
    for (name, arguments, body) in &functions {
        let name = name.as_str();
        let first = arguments.first().map_or("", String::as_str);
        let derives = ["asker_of(", "anyone_of(", "own_import("].map(|d| body.matches(d).count()).iter().sum::<usize>();
        if BY_OPEN_STREAMS.contains(&name) && first != "p_tokens bytea[]" {
            wrong.push(format!("{name} begins with {first}, not with p_tokens bytea[]"));
        }
        if [WITHOUT_PROOF, BY_ANOTHER_SECRET, BY_OPEN_STREAMS].iter().any(|list| list.contains(&name)) {
            if !page.contains(&format!("| `{name}` |")) {
                wrong.push(format!("{name} is not in the table of docs/security.md"));
            }
            if BY_ANOTHER_SECRET.contains(&name) && !first.ends_with(" bytea") {
                wrong.push(format!("{name} begins with {first}"));
            }
            continue;
        }
        if first != "p_token bytea" {
            wrong.push(format!("{name} begins with {first}, not with p_token bytea"));
        }
        // A person whom somebody manages is an argument; who asks never is.
        if arguments.iter().any(|a| ["p_role text", "p_asker bigint"].contains(&a.as_str())) && derives == 0 {
            wrong.push(format!("{name} takes who asks: {arguments:?}"));
        }
        if derives != 1 && !LOOK_THEMSELVES.contains(&name) {
            wrong.push(format!("{name} derives who asks {derives} times, not once"));
        }
    }
    let names: BTreeSet<&str> = functions.iter().map(|(name, ..)| name.as_str()).collect();
    for name in WITHOUT_PROOF.iter().chain(BY_ANOTHER_SECRET).chain(BY_OPEN_STREAMS).chain(LOOK_THEMSELVES) {
        if !names.contains(name) {
            wrong.push(format!("{name} is listed and is not there"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Path below `src` and code, without tests and comments.
fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let text = |path: PathBuf| {
        let below = path.strip_prefix(root().join("src")).expect("below src").to_string_lossy().into_owned();
        let text = fs::read_to_string(path).expect("readable");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        (below, lines.join("\n"))
    };
    found.into_iter().map(text).collect()
}

/// The first value that is passed with the SQL that ends at `end`: in place, from a list with a name, or where the SQL has one.
fn first_value(code: &str, end: usize) -> Option<String> {
    let after = code[end..].trim_start_matches('"').trim_start();
    let begin = code[..end].rfind('"').unwrap_or(end);
    let is_arm = code[..begin].trim_end().ends_with("=>");
    let after = match after.strip_prefix(if is_arm { ',' } else { ';' }) {
        Some(later) => &later[later.find("sql, ")? + "sql, ".len()..],
        None => after.strip_prefix(',')?.trim_start(),
    };
    let list = match after.strip_prefix("&[") {
        Some(list) => list,
        None => {
            let name: String =
                after.trim_start_matches('&').chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let made = &code[code[..end].rfind(&format!("let {name}"))?..];
            let made = &made[made.find('=')? + 1..];
            made.trim_start().strip_prefix('[')?
        }
    };
    let value: String =
        list.trim_start_matches(|c: char| "(& \n[".contains(c)).chars().take_while(|c| !",)]".contains(*c)).collect();
    Some(value.trim().to_owned())
}

#[test]
fn every_call_passes_a_proof_that_somebody_showed() {
    let (mut calls, mut wrong) = (0, Vec::new());
    for (below, code) in code() {
        if code.contains("Proof::shown(") && !MAKE_PROOFS.contains(&below.as_str()) {
            wrong.push(format!("{below} makes proofs"));
        }
        for (at, _) in code.match_indices("api_") {
            // In SQL, at the begin of a function's name.
            let literal = &code[code[..at].rfind('"').map_or(at, |q| q + 1)..at];
            let name: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !literal.contains("SELECT ") || !code[at + name.len()..].starts_with('(') {
                continue;
            }
            calls += 1;
            if WITHOUT_PROOF.contains(&name.as_str()) {
                continue;
            }
            let end = at + code[at..].find('"').expect("an end");
            let value = first_value(&code, end).unwrap_or_default();
            let word = value.rsplit(['.', ' ']).next().unwrap_or_default();
            if !PROOFS.contains(&word) && !value.starts_with("Proof::shown(") {
                wrong.push(format!("{below}: {name} is given {value:?}"));
            }
        }
    }
    assert!(calls > 40, "only {calls} calls were found: are they written another way?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
