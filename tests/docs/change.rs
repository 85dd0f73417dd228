//! What a change costs: the files that `CONTRIBUTING.md` lists for a new rule and a new channel.

use super::read;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Most files of a rule with a kind of its own, its test apart.
const RULE_FILES_MAX: usize = 6;
/// Most files of a channel: its own, and the one with the line that names it.
const CHANNEL_FILES_MAX: usize = 2;
/// The kind of the newest rule: whatever names it, the next rule needs, too.
const NEWEST_KIND: [&str; 2] = ["AlertKind::StalePosition", "pre_stale_position"];

/// The paths in the first column of a section's table.
fn listed(section: &str) -> BTreeSet<String> {
    let page = read("CONTRIBUTING.md");
    let text =
        page.split(&format!("\n## {section}\n")).nth(1).expect(section).split("\n## ").next().unwrap_or_default();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next().map(str::to_owned)).collect()
}

/// Whether a program writes the file: its head says so.
fn is_generated(text: &str) -> bool {
    text.lines().take(5).any(|line| line.to_lowercase().contains("generated"))
}

/// Files below a folder that hold one of the texts; tests and generated files apart.
fn holding(folder: &str, texts: &[&str], found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("readable") {
        let entry = entry.expect("readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            if !["node_modules", "tests"].contains(&name.as_str()) {
                holding(&path, texts, found);
            }
        } else if !name.contains("test")
            && fs::read_to_string(entry.path())
                .is_ok_and(|text| !is_generated(&text) && texts.iter().any(|t| text.contains(t)))
        {
            found.insert(path);
        }
    }
}

#[test]
fn a_rule_needs_the_files_that_are_listed_and_no_more() {
    let listed = listed("Adding a rule");
    let mut named = BTreeSet::new();
    for folder in ["src", "web/src", "docs", "deploy", "scripts", "simulator/src", "profiles", "benches", "schema"] {
        holding(folder, &NEWEST_KIND, &mut named);
    }
    assert_eq!(named, listed, "files that name {NEWEST_KIND:?}, and those that CONTRIBUTING.md lists");
    println!("change.rule_files: {} files", listed.len());
    assert!(listed.len() <= RULE_FILES_MAX, "a rule costs {} files; at most {RULE_FILES_MAX}", listed.len());
}

#[test]
fn a_channel_is_a_file_and_a_line() {
    let listed = listed("Adding a channel");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in &listed {
        let there = root.join(path);
        assert!(there.exists() || path.contains("/NAME.") && there.parent().is_some_and(Path::is_dir), "{path}");
    }
    println!("change.channel_files: {} files", listed.len());
    assert!((1..=CHANNEL_FILES_MAX).contains(&listed.len()), "{listed:?}");
    // The other files of the folder are channels, each with its line.
    let code = read("src/notify/mod.rs");
    let list = code.split("fn channels(").nth(1).and_then(|t| t.split("\n}\n").next()).expect("the list of channels");
    let mut count = 0;
    for entry in fs::read_dir(root.join("src/notify")).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".rs").filter(|n| *n != "mod" && !n.contains("test")) else { continue };
        assert!(list.contains(&format!("{name}::")), "src/notify/mod.rs has no line for {name}");
        count += 1;
    }
    assert!(count > 0, "no channel was found");
}
