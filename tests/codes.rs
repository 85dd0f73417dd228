//! The words of the API: those of refusals are the same in code, schema, docs and page; schemas have names that say
//! what they are; the checked-in document is that of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Words of the web page for what no server says.
const OF_THE_PAGE: [&str; 3] = ["unreachable", "unknown", "other"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The texts of every file with this ending below a folder.
fn texts(folder: &Path, ending: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            texts(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(fs::read_to_string(path).expect("readable"));
        }
    }
}

/// The codes of the OpenAPI document, which is made from the code.
fn codes() -> BTreeSet<String> {
    let document = serde_json::to_value(rideguard::api::openapi()).expect("JSON");
    let list = document["components"]["schemas"]["ErrorCode"].clone();
    // Variants with a comment of their own stand apart.
    let mut found = BTreeSet::new();
    let parts = list["oneOf"].as_array().cloned().unwrap_or_else(|| vec![list]);
    for part in parts {
        found.extend(part["enum"].as_array().into_iter().flatten().filter_map(|c| c.as_str().map(str::to_owned)));
    }
    found
}

/// What `refuse` raises in the schema.
fn codes_of_the_schema() -> BTreeSet<String> {
    let mut schema = Vec::new();
    texts(&root().join("schema"), "sql", &mut schema);
    let raised = schema.iter().flat_map(|text| text.split("refuse('P0").skip(1));
    raised.filter_map(|call| call.split('\'').nth(2).map(str::to_owned)).collect()
}

/// Code and values of each line of the page.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/errors.md");
    let lines = page.lines().filter(|l| l.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let values = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (cells[0].trim_matches('`').to_owned(), values)
        })
        .collect()
}

/// Words of the web page whose key begins with a prefix, with the places that they have for values.
fn words(language: &str, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
    // Those of every entry of the page, and those of some.
    let mut parts = vec![read(&format!("web/src/lib/words/{language}.ts"))];
    texts(&root().join(format!("web/src/lib/words/{language}")), "ts", &mut parts);
    let text = parts.join("\n");
    let lines = text.lines().filter_map(|l| l.trim().strip_prefix(prefix)?.split_once(": "));
    lines
        .map(|(key, said)| {
            let places = said.split('{').skip(1).filter_map(|p| p.split_once('}')).map(|(name, _)| name.to_owned());
            (key.to_owned(), places.collect())
        })
        .collect()
}

#[test]
fn code_schema_docs_and_both_languages_have_the_same_words_for_refusals() {
    let codes = codes();
    assert!(codes.len() > 50, "only {codes:?}: has the document another form?");
    let documented = documented();
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), codes, "docs/errors.md and src/api/codes.rs");
    let of_the_schema = codes_of_the_schema();
    assert!(of_the_schema.len() > 15, "only {of_the_schema:?}: has `refuse` another form?");
    assert!(of_the_schema.is_subset(&codes), "the schema has more: {:?}", of_the_schema.difference(&codes));
    for language in ["zh", "en"] {
        let mut words = words(language, "error_");
        for own in OF_THE_PAGE {
            assert!(words.remove(own).is_some(), "{language}.ts lacks error_{own}");
        }
        assert_eq!(words.keys().cloned().collect::<BTreeSet<_>>(), codes, "{language}.ts");
        for (code, places) in words {
            let values = &documented[&code];
            assert!(places.is_subset(values), "{language}.ts, {code}: it brings {values:?}, not {places:?}");
        }
    }
}

#[test]
fn no_word_for_refusals_is_left_over() {
    let mut sources = Vec::new();
    texts(&root().join("src/api"), "rs", &mut sources);
    let sources = sources.concat();
    let of_the_schema = codes_of_the_schema();
    let is_raised = |code: &String| {
        let name: String = code.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        let variant = format!("Code::{name}");
        let is_named = sources
            .match_indices(&variant)
            .any(|(at, _)| !sources[at + variant.len()..].starts_with(char::is_alphanumeric));
        is_named || of_the_schema.contains(code)
    };
    let unused: Vec<_> = codes().into_iter().filter(|code| !is_raised(code)).collect();
    assert!(unused.is_empty(), "nobody says {unused:?}");
}

#[test]
fn every_reason_for_setting_a_packet_aside_has_words() {
    let mut sources = Vec::new();
    texts(&root().join("src/engine"), "rs", &mut sources);
    sources.extend([read("src/store/commit/bisect.rs")]);
    let mut reasons = BTreeSet::new();
    for text in &sources {
        for before in [
            "reason: \"",
            "REASON: &str = \"",
            "LEFT_OVER: &str = \"",
            "FLOOD: &str = \"",
            "aside(\"",
            "aside(\n                \"",
        ] {
            let said = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            reasons.extend(said.map(str::to_owned));
        }
    }
    assert!(reasons.len() >= 9, "only {reasons:?}: has the code another form?");
    let page = read("docs/errors.md");
    for language in ["zh", "en"] {
        assert_eq!(words(language, "aside_").into_keys().collect::<BTreeSet<_>>(), reasons, "{language}.ts");
    }
    let missing: Vec<_> = reasons.iter().filter(|r| !page.contains(&format!("`{r}`"))).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
}

/// Schemas named by one word. All others have two or more, so that a stranger knows what they are of.
const ONE_WORD: &[&str] = &[
    "Account",
    "Alert",
    "Alerts",
    "Answer",
    "Circle",
    "Companion",
    "Credentials",
    "Crs",
    "Enrolment",
    "Fix",
    "Grant",
    "Grants",
    "Id",
    "Import",
    "Imports",
    "Incident",
    "Incidents",
    "Organisation",
    "Organisations",
    "Outage",
    "Outages",
    "Position",
    "Protection",
    "Role",
    "Severity",
    "Stop",
    "Time",
    "Track",
    "Trackers",
    "Trip",
    "Trips",
    "Vehicle",
    "Vehicles",
    "Welcome",
    "Zone",
    "Zones",
];

/// Names of two words that are no nouns of the field.
const NOT_NOUNS: [&str; 4] = ["Asked", "Body", "Said", "Seen"];

#[test]
fn every_schema_has_a_name_that_says_what_it_is() {
    let document = rideguard::api::openapi();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.len() > 60, "only {} schemas", schemas.len());
    for (name, schema) in schemas {
        let words = name.chars().filter(char::is_ascii_uppercase).count();
        assert!(words > 1 || ONE_WORD.contains(&name.as_str()), "{name} is one word, and not of the list");
        let is_odd = NOT_NOUNS.iter().any(|end| name.ends_with(end)) && name != "ErrorBody";
        assert!(!is_odd, "{name} is no noun of the field");
        let says = schema.to_string().contains("\"description\"");
        assert!(says, "{name} has no description");
    }
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, call) in item.as_object().expect("calls") {
            let body = call["requestBody"]["content"]["application/json"]["schema"].to_string();
            let is_request = ["Request\"", "Release\"", "Credentials\""].iter().any(|end| body.contains(end));
            let is_file = path.ends_with("/file") || path.ends_with("/photo");
            assert!(call.get("requestBody").is_none() || is_request || is_file, "{method} {path} takes {body}");
        }
    }
}

#[test]
fn every_call_says_which_refusals_it_can_answer_with() {
    let document = rideguard::api::openapi();
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, call) in item.as_object().expect("calls") {
            let has_body = call.get("requestBody").is_some();
            let is_secured = call.get("security").is_some();
            for (status, can) in [
                ("503", true),
                ("401", is_secured),
                ("404", path.contains("{id}")),
                ("400", has_body),
                ("413", has_body),
            ] {
                let said = &call["responses"][status];
                assert!(!can || said["description"].is_string(), "{method} {path} does not say {status}");
            }
            for (status, said) in call["responses"].as_object().expect("answers") {
                let form = &said["content"]["application/json"]["schema"]["$ref"];
                let is_refusal = form == "#/components/schemas/ErrorBody";
                assert_eq!(is_refusal, status.starts_with(['4', '5']), "{method} {path} {status}: {said}");
            }
            calls += 1;
        }
    }
    assert!(calls >= 34, "only {calls} calls");
}

/// The page's types are made from it (`npm run types`), and its check needs no program.
#[test]
fn the_document_beside_the_page_is_that_of_the_program() {
    let path = root().join("web/openapi.json");
    let document = serde_json::to_string_pretty(&rideguard::api::openapi()).expect("JSON") + "\n";
    if std::env::var_os("RIDEGUARD_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &document).expect("written");
    }
    let kept = fs::read_to_string(&path).expect("web/openapi.json");
    let how = "run `rideguard openapi > web/openapi.json` and `npm run types` in web/";
    assert!(kept == document, "web/openapi.json is not what the program says; {how}");
}
