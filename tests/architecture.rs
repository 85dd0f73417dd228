//! The picture of `docs/ARCHITECTURE.md` and `src/lib.rs` is the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Whatever would make the core impure.
const IMPURE: &[&str] = &[
    "async fn",
    "tokio",
    "tracing",
    "println!",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "std::fs",
    "std::net",
    "std::env",
    "rand::",
];
/// Most lines of a file, tests apart.
const FILE_LINES_MAX: usize = 420;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Module → what it may import of ours, as the table of `src/lib.rs` says. `None`: everything.
fn may_import() -> BTreeMap<String, Option<Vec<String>>> {
    let text = fs::read_to_string(source().join("lib.rs")).expect("readable");
    let rows = text.lines().filter_map(|l| l.strip_prefix("//! | [`"));
    let table: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let may = cells[2].split(',').map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect();
            (cells[0].trim_matches(['`', ']']).to_owned(), (cells[2] != "everything").then_some(may))
        })
        .collect();
    assert!(table.len() > 15, "the table of src/lib.rs has another form: {table:?}");
    table
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Module, path below `src`, text without what stands under `#[cfg(test)]` at its end.
fn sources() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    found.sort();
    let texts = found.into_iter().map(|path| {
        let below = path.strip_prefix(source()).expect("below src").to_string_lossy().into_owned();
        let module = below.split(['/', '.']).next().expect("a name").to_owned();
        (module, below, fs::read_to_string(path).expect("readable"))
    });
    texts
        .filter(|(_, below, _)| !below.ends_with("tests.rs") && !below.contains("/tests/"))
        .map(|(module, below, text)| {
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            (module, below, code)
        })
        .collect()
}

/// What a text imports of ours: `crate::` paths, groups opened.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split("crate::").skip(1) {
        let path: String = part.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
        found.insert(path.trim_end_matches(':').to_owned());
    }
    found
}

#[test]
fn modules_import_only_what_the_picture_shows() {
    let allowed = may_import();
    let mut wrong = Vec::new();
    for (module, below, text) in sources() {
        let Some(Some(may)) = allowed.get(&module) else { continue };
        for import in imports(&text) {
            let own = import.split("::").next() == Some(module.as_str());
            let fits = |m: &String| import == *m || import.starts_with(&format!("{m}::"));
            if !own && !may.iter().any(fits) {
                wrong.push(format!("{below} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_place_in_the_picture() {
    let placed: BTreeSet<_> = may_import().into_keys().collect();
    let mut modules: BTreeSet<_> = sources().into_iter().map(|(m, _, _)| m).collect();
    modules.retain(|m| m != "lib" && m != "main");
    assert_eq!(placed, modules, "the table of src/lib.rs is not the folders of src");
    let page = fs::read_to_string(source().join("../docs/ARCHITECTURE.md")).expect("readable");
    let unnamed: Vec<_> = modules.iter().filter(|m| !page.contains(&format!("`{m}`"))).collect();
    assert!(unnamed.is_empty(), "docs/ARCHITECTURE.md does not name {unnamed:?}");
}

#[test]
fn the_core_knows_no_clock_no_network_and_no_log() {
    let mut wrong = Vec::new();
    for (module, below, text) in sources() {
        if ["domain", "protocol", "guard", "tracks"].contains(&module.as_str()) {
            let code: String =
                text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            wrong.extend(IMPURE.iter().filter(|i| code.contains(**i)).map(|i| format!("{below}: {i}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_store_speaks_sql_and_the_api_calls_only_audited_functions() {
    let mut wrong = Vec::new();
    for (module, below, text) in sources().into_iter().filter(|(m, _, _)| m != "store") {
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            let speaks = ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"].iter().any(|w| line.contains(w));
            let calls_function = module == "api"
                && (line.contains("\"SELECT 1\"") || (line.matches("api_").count() == 1 && !line.contains(" JOIN ")));
            if speaks && !calls_function {
                wrong.push(format!("{below}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_fit_a_head() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(_, below, text)| (below, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn no_secret_and_no_machine_path_is_in_the_sources() {
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|(_, _, text)| ["BEGIN PRIVATE KEY", "/home/", "/root/"].iter().any(|w| text.contains(w)))
        .map(|(_, below, _)| below)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The dependencies of a manifest.
fn dependencies(manifest: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let table: toml::Table = toml::from_str(&fs::read_to_string(path).expect("readable")).expect("TOML");
    table["dependencies"].as_table().expect("a table").clone()
}

/// The fuzzer compiles the core by itself, outside the workspace, where no build of ours would notice.
#[test]
fn the_fuzzer_has_every_library_that_the_core_it_compiles_uses() {
    let (ours, fuzzers) = (dependencies("Cargo.toml"), dependencies("fuzz/Cargo.toml"));
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/src");
    let lib = ["lib.rs", "engine.rs"].map(|file| fs::read_to_string(fuzz.join(file)).expect("readable")).concat();
    let compiled: Vec<&str> =
        lib.lines().filter_map(|l| l.strip_prefix("#[path = \"../../src/")?.strip_suffix("\"]")).collect();
    assert!(compiled.len() >= 4, "{compiled:?}");
    let core: String = sources()
        .into_iter()
        .filter(|(_, below, _)| {
            compiled.iter().any(|c| c.strip_suffix("mod.rs").map_or(c == below, |folder| below.starts_with(folder)))
        })
        .map(|(_, _, code)| code)
        .collect();
    let uses = |name: &str| {
        let name = name.replace('-', "_");
        [format!("use {name}::"), format!(" {name}::"), format!("({name}::"), format!("!{name}::")]
            .iter()
            .any(|form| core.contains(form.as_str()))
    };
    for (name, wanted) in &ours {
        let has = fuzzers.get(name);
        assert!(!uses(name) || has.is_some(), "the core uses {name}; fuzz/Cargo.toml lacks it");
        assert!(has.is_none_or(|has| has == wanted), "{name}: fuzz/Cargo.toml has {has:?}, Cargo.toml {wanted:?}");
    }
    assert!(uses("base64") && uses("serde-json"), "the search finds what is there");
}
