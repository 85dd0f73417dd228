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
/// Most circles of files that import each other; those of a module with the files below it apart.
const CIRCLES_MAX: usize = 3;
/// Most files of one folder of `src`, those below it apart: more do not fit a look.
const FOLDER_FILES_MAX: usize = 30;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Module → what it may import of ours. `None`: everything.
type MayImport = BTreeMap<String, Option<Vec<String>>>;

/// The rows of a page's module table, of which each begins with `begin`.
fn module_table(page: &str, begin: &str) -> MayImport {
    let rows = page.lines().filter_map(|l| l.strip_prefix(begin));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [module, _, imports, ..] = cells[..] else { panic!("a row has no column of imports: {row}") };
        let imports = imports.replace('`', "");
        let may = imports.split(',').map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect();
        (module.trim_matches(['`', ']']).to_owned(), (imports != "everything").then_some(may))
    })
    .collect()
}

/// As the table of `src/lib.rs` says.
fn may_import() -> MayImport {
    let text = fs::read_to_string(source().join("lib.rs")).expect("readable");
    let table = module_table(&text, "//! | [`");
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
}

#[test]
fn the_module_table_of_the_architecture_page_is_that_of_the_library() {
    let page = fs::read_to_string(source().join("../docs/ARCHITECTURE.md")).expect("readable");
    let section = page.split("\n## ").find(|s| s.starts_with("Modules\n")).expect("a section Modules");
    assert_eq!(module_table(section, "| `"), may_import());
}

#[test]
fn a_folder_has_at_most_30_files() {
    let mut files_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    files(&source(), &mut found);
    for path in found {
        *files_of.entry(path.parent().expect("a folder").display().to_string()).or_default() += 1;
    }
    assert!(files_of.len() > 20, "the search finds what is there: {files_of:?}");
    files_of.retain(|_, files| *files > FOLDER_FILES_MAX);
    assert!(files_of.is_empty(), "more than {FOLDER_FILES_MAX} files: {files_of:?}");
}

#[test]
fn the_core_knows_no_clock_no_network_and_no_log() {
    let mut wrong = Vec::new();
    for (module, below, text) in sources() {
        if ["domain", "protocol", "guard", "tracks", "engine"].contains(&module.as_str()) {
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

/// Names that SQL may be put together from: constants and names of tables of our own, never what people type.
/// `role` and `password` of a setting are letters, digits and `_` by a check beside them; `ids` is PostgreSQL's own text of
/// ranges of numbers.
const PASTED: [&str; 30] = [
    "BASE",
    "BEFORE",
    "COLUMNS",
    "KEPT",
    "MIGRATE_LOCK",
    "ROWS_MAX",
    "SEALS_MAX",
    "SEAL_ROWS_MAX",
    "columns",
    "day",
    "erased",
    "fresh",
    "from",
    "how",
    "ids",
    "is_theirs",
    "name",
    "of",
    "open",
    "pairs",
    "password",
    "query",
    "role",
    "rows",
    "table",
    "to",
    "unshown",
    "until",
    "vehicle",
    "without",
];

#[test]
fn sql_is_put_together_from_our_own_names_only() {
    let (mut pasted, mut wrong) = (0, Vec::new());
    for (_, below, text) in sources() {
        for literal in text.split("format!(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')) {
            let literal = &literal[..literal.find('"').unwrap_or(literal.len())];
            if !["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM", "COPY ", " TABLE "]
                .iter()
                .any(|w| literal.contains(w))
            {
                continue;
            }
            pasted += 1;
            let names = literal.replace("{{", "").replace("}}", "");
            for name in names.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                let is_ours = PASTED.contains(&name) || name.is_empty() && literal == "DROP TABLE {}";
                if !is_ours {
                    wrong.push(format!("{below}: {{{name}}} in {literal}"));
                }
            }
        }
    }
    assert!(pasted > 15, "only {pasted} found: are they written another way?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The paths of a `use` tree, groups opened.
fn opened(tree: &str) -> Vec<String> {
    let path: String = tree.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
    let group = &tree[path.len()..];
    if !(path.ends_with("::") && group.starts_with('{')) {
        return vec![path];
    }
    let (mut depth, mut from, mut parts) = (0, 1, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                parts.push(&group[from..at]);
                from = at + 1;
            }
            '}' if depth == 1 => {
                parts.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(opened).map(|part| format!("{path}{part}")).collect()
}

/// Module → the modules that it imports, one a file. Imports of what a file lies below are not counted.
fn files_imported() -> BTreeMap<String, BTreeSet<String>> {
    let name = |below: &str| below.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let texts: BTreeMap<String, String> = sources().into_iter().map(|(_, below, text)| (name(&below), text)).collect();
    let file_of = |path: &str| {
        let ends = path.match_indices("::").map(|(end, _)| end).chain([path.len()]);
        ends.map(|end| &path[..end]).filter(|module| texts.contains_key(*module)).last().map(str::to_owned)
    };
    let imported = |module: &String, text: &String| {
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let named = code.split("crate::").skip(1).flat_map(opened).filter_map(|path| file_of(&path));
        let is_below = |of: &str, this: &str| of.strip_prefix(this).is_some_and(|rest| rest.starts_with("::"));
        let inner = texts.keys().filter(|other| is_below(other, module)).filter(|other| {
            let inside = &other[module.len() + 2..];
            !inside.contains("::") && code.contains(&format!("{inside}::"))
        });
        let all = named.chain(inner.cloned()).filter(|other| other != module && !is_below(module, other));
        (module.clone(), all.collect())
    };
    texts.iter().map(|(module, text)| imported(module, text)).collect()
}

#[test]
fn hardly_any_files_import_each_other() {
    let imported = files_imported();
    let reached = |from: &String| {
        let (mut found, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(imported[file].iter().filter(|other| found.insert((*other).clone())));
        }
        found
    };
    let reaches: BTreeMap<&String, BTreeSet<String>> = imported.keys().map(|file| (file, reached(file))).collect();
    assert!(reaches[&"pipeline".to_owned()].contains("domain::time"), "the search finds what is there");
    let circles: BTreeSet<Vec<&String>> = reaches
        .iter()
        .filter(|(file, found)| found.contains(**file))
        .map(|(file, found)| found.iter().filter(|other| reaches[other].contains(*file)).collect())
        .collect();
    assert!(circles.len() <= CIRCLES_MAX, "{circles:#?}");
    println!("house.circles: {}", circles.len());
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
    // A module of ours may have a library's name.
    let is_module = |name: &str| core.contains(&format!("mod {name};"));
    for (name, wanted) in ours.iter().filter(|(name, _)| !is_module(name)) {
        let has = fuzzers.get(name);
        assert!(!uses(name) || has.is_some(), "the core uses {name}; fuzz/Cargo.toml lacks it");
        assert!(has.is_none_or(|has| has == wanted), "{name}: fuzz/Cargo.toml has {has:?}, Cargo.toml {wanted:?}");
    }
    assert!(uses("base64") && uses("serde-json"), "the search finds what is there");
}
