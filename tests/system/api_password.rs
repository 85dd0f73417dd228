//! What the API's password of the database opens: with it and everything that its functions say, nobody's account.

use crate::harness::{Person, Up};
use argon2::password_hash::PasswordHash;
use argon2::{Argon2, PasswordHasher};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Every function that the role may call: name and types of arguments.
const FUNCTIONS: &str = "SELECT p.proname::text, ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) t)
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1";

/// A value of a type, as somebody would give it who tries everything.
fn guess(of: &str, token: &[u8], account: i64, hash: &str) -> String {
    match of {
        "bytea" => format!("'\\x{}'::bytea", hex::encode(token)),
        "bytea[]" => format!("ARRAY['\\x{}'::bytea]", hex::encode(token)),
        "date" => "current_date".into(),
        "bigint" => account.to_string(),
        "bigint[]" => format!("ARRAY[{account}]::bigint[]"),
        "text" => hash.into(),
        "text[]" => "ARRAY['owner']".into(),
        "boolean" => "true".into(),
        "jsonb" => "'{}'::jsonb".into(),
        "interval" => "interval '1 hour'".into(),
        "timestamp with time zone" => "now()".into(),
        number => format!("10::{number}"),
    }
}

/// Everything that the role's functions say to whoever has a token, with a text in each place of a text. Nothing stays.
async fn said_by_functions(api: &Client, token: &[u8], account: i64, text: &str) -> (usize, BTreeSet<String>) {
    let (mut answered, mut said) = (0, BTreeSet::new());
    for function in api.query(FUNCTIONS, &[]).await.unwrap() {
        let (name, types): (String, Vec<String>) = (function.get(0), function.get(1));
        let arguments: Vec<String> = types.iter().map(|t| guess(t, token, account, text)).collect();
        let call = format!("SELECT x::text FROM {name}({}) x", arguments.join(", "));
        api.batch_execute("BEGIN; SET LOCAL statement_timeout = '5s'").await.unwrap();
        if let Ok(rows) = api.simple_query(&call).await {
            answered += 1;
            said.extend(rows.iter().filter_map(|row| match row {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }));
        }
        api.batch_execute("ROLLBACK").await.unwrap();
    }
    (answered, said)
}

/// Whether somebody comes in who shows this as the computed password.
async fn opens(api: &Client, login: &str, account: i64, shown: &str) -> bool {
    let token = Sha256::digest(shown).to_vec();
    let sql = "SELECT api_open_session($1, $2, $3, 60, 'test')";
    let opened = api.query_one(sql, &[&token, &account, &shown]).await.is_ok();
    let named = api.query_opt("SELECT * FROM api_account($1, $1, $2)", &[&login, &shown]).await.unwrap().is_some();
    assert_eq!(opened, named, "both functions compare");
    opened
}

/// With the role of the API: what its functions give opens no account, and the right password does.
pub async fn it_opens_no_account(up: &Up, api: &Client) {
    let hashes = "SELECT account_id, login, password_hash FROM account WHERE password_hash LIKE '$argon2id$%'";
    let hashes = up.sql().await.query(hashes, &[]).await.unwrap();
    let hashes: Vec<(i64, String, String)> = hashes.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    let hash_of = |login: &str| hashes.iter().find(|(_, of, _)| of == login).unwrap();
    let people: Vec<(&str, Person)> = vec![
        ("owner", up.log_in("owner").await),
        ("operator", up.log_in("operator").await),
        ("police", up.log_in("police").await),
        ("chief", up.administrator().await),
    ];
    let mut said = BTreeSet::new();
    for (login, person) in &people {
        let account = hashes.iter().find(|(_, of, _)| of == login).map_or(0, |(account, ..)| *account);
        let token = Sha256::digest(&person.token).to_vec();
        for text in [format!("'{login}'"), "NULL".into()] {
            let (answered, told) = said_by_functions(api, &token, account, &text).await;
            assert!(answered > 20, "as {login} only {answered} functions answered");
            said.extend(told);
        }
    }
    let recipe = |hash: &str| hash.rsplit_once('$').map(|(recipe, hash)| (recipe.to_owned(), hash.to_owned())).unwrap();
    for (_, login, hash) in &hashes {
        let secret = recipe(hash).1;
        assert!(!said.iter().any(|text| text.contains(&secret)), "the hash of {login} was given");
    }
    let (account, login, hash) = hash_of("owner");
    let (of_owner, _) = recipe(hash);
    assert!(said.iter().any(|text| text.contains(&of_owner)), "the recipe is what is given");
    // What was given, alone and in the place of a hash.
    for text in &said {
        let parts = [text.clone(), format!("{of_owner}${text}"), text.trim_matches(['(', ')', '"']).to_owned()];
        for shown in parts {
            assert!(!opens(api, login, *account, &shown).await, "{shown} opens {login}");
        }
    }
    let (_, _, of_another) = hash_of("operator");
    for shown in ["", "!", &of_owner, of_another] {
        assert!(!opens(api, login, *account, shown).await, "{shown}");
        let tried = json!({ "login": login, "password": if shown.is_empty() { "x" } else { shown } });
        let (status, answer) = up.person("").ask("POST", "/session", Some(tried)).await;
        assert_eq!((status, &answer["code"]), (401, &json!("wrong_login")));
    }
    let logins = std::fs::read_to_string(up.folder.join("demo-logins")).unwrap();
    let password = logins.lines().find_map(|l| l.strip_prefix("owner")).unwrap().trim();
    let given: String =
        api.query_one("SELECT recipe FROM api_password_recipe('owner', 'owner')", &[]).await.unwrap().get(0);
    let parsed = PasswordHash::new(&given).unwrap();
    assert!(parsed.hash.is_none());
    let computed = Argon2::default().hash_password(password.as_bytes(), parsed.salt.unwrap()).unwrap().to_string();
    assert!(opens(api, login, *account, &computed).await, "the right password does not");
    assert!(api.query("SELECT * FROM api_password_recipe('nobody', 'nobody')", &[]).await.unwrap().is_empty());
}
