//! The catalogue of tests names only tests that exist.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs::read_to_string(path).expect("readable"));
        }
    }
}

#[test]
fn every_test_of_the_catalogue_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests", "simulator/src"] {
        sources(&root.join(folder), &mut code);
    }
    let mut rows = 0;
    for file in ["docs/test-catalogue.md", "docs/reliability.md", "docs/security.md"] {
        let text = fs::read_to_string(root.join(file)).expect("readable");
        for row in text.lines().filter(|l| l.starts_with("| ") && l.contains('`')) {
            for name in
                row.split('`').skip(1).step_by(2).filter(|n| n.contains('_') && !n.contains(['*', '/']) && n.len() > 24)
            {
                let name = name.trim_end_matches('…');
                rows += 1;
                assert!(code.contains(&format!("fn {name}")), "{file} names {name}, which does not exist");
            }
        }
    }
    assert!(rows > 25, "only {rows} names were found: has the table another form?");
}

/// Rows of the catalogue of security, S-01 and on.
const SECURITY_ROWS: usize = 47;

#[test]
fn each_row_of_security_has_a_test_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).expect("readable");
    let mut facts = String::new();
    for entry in fs::read_dir(root.join("web/tests/browser")).expect("readable") {
        facts.push_str(&fs::read_to_string(entry.expect("readable").path()).expect("readable"));
    }
    let (mut tested, mut rows) = (0, Vec::new());
    for cells in page.lines().filter(|l| l.starts_with("| S-")).map(|l| l.split(" | ").collect::<Vec<_>>()) {
        let [row, _, test, state] = cells[..] else { panic!("{cells:?} has not four cells") };
        rows.push(row.trim_start_matches("| ").to_owned());
        let state = state.trim_end_matches(" |");
        assert!(state.len() > 3, "{row} says nothing of its state");
        if let Some(fact) = test.strip_prefix('\u{201c}').and_then(|t| t.strip_suffix('\u{201d}')) {
            assert!(facts.contains(&format!("fact('{fact}'")), "{row} names the fact {fact}, which does not exist");
        }
        assert_eq!(test == "–", !state.starts_with("done") && !state.starts_with("part"), "{row}: {state}");
        tested += usize::from(test != "–");
    }
    assert_eq!(rows, (1..=SECURITY_ROWS).map(|n| format!("S-{n:02}")).collect::<Vec<_>>());
    println!("security.rows_tested: {tested} of {SECURITY_ROWS}");
}
