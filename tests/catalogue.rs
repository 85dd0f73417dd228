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
    for file in ["docs/test-catalogue.md", "docs/reliability.md"] {
        let text = fs::read_to_string(root.join(file)).expect("readable");
        for row in text.lines().filter(|l| l.starts_with("| ") && l.contains('`')) {
            for name in
                row.split('`').skip(1).step_by(2).filter(|n| n.contains('_') && !n.contains('*') && n.len() > 24)
            {
                let name = name.trim_end_matches('…');
                rows += 1;
                assert!(code.contains(&format!("fn {name}")), "{file} names {name}, which does not exist");
            }
        }
    }
    assert!(rows > 25, "only {rows} names were found: has the table another form?");
}
