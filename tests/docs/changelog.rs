//! The fragments of `changelog.d`, and the script that joins them.

use super::{read, replaced};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Most sentences of a fragment: what a user sees, not how it came.
const SENTENCES_MAX: usize = 3;

/// Whether a file's name is `NUMBER.KIND.md` or `NUMBER-WORD.KIND.md`.
fn is_well_formed(name: &str) -> bool {
    let Some((what, kind)) = name.strip_suffix(".md").and_then(|n| n.split_once('.')) else { return false };
    let (number, word) = what.split_once('-').map_or((what, None), |(number, word)| (number, Some(word)));
    (1..=5).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
        && word.is_none_or(|w| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')))
        && ["added", "changed", "fixed", "security"].contains(&kind)
}

fn sentences(text: &str) -> usize {
    replaced(text, "`", "code").split_whitespace().filter(|word| word.ends_with(['.', '!', '?'])).count()
}

#[test]
fn names_of_fragments_are_told_from_others() {
    for good in ["24.added.md", "7.changed.md", "24-metrics.fixed.md", "24-a-b2.security.md"] {
        assert!(is_well_formed(good), "{good}");
    }
    for bad in ["added.md", "24.md", "24.removed.md", "24-.added.md", "24-Metrics.added.md", "x24.added.md", "24.added"]
    {
        assert!(!is_well_formed(bad), "{bad}");
    }
    assert_eq!(sentences("One `a.b c.` fact. Another [one](x.md)."), 2);
}

#[test]
fn fragments_of_the_changelog_are_named_and_short() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("changelog.d")).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let text = read(&format!("changelog.d/{name}"));
        if !is_well_formed(&name) {
            wrong.push(format!("{name}: not NUMBER.KIND.md"));
        } else if !(1..=SENTENCES_MAX).contains(&sentences(&text)) || !text.trim_end().ends_with('.') {
            wrong.push(format!("{name}: {} sentences; expected 1 to {SENTENCES_MAX}", sentences(&text)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_release_joins_the_fragments_and_keeps_every_line() {
    let root = tempfile::tempdir().expect("a folder");
    let path = |name: &str| root.path().join(name);
    for folder in ["scripts", "changelog.d"] {
        fs::create_dir(path(folder)).expect("made");
    }
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/changelog"), path("scripts/changelog"))
        .expect("copied");
    fs::write(path("CHANGELOG.md"), "# Log\n\n## Unreleased\n\n### Fixed\n- Old.\n\n## 0.1.0 - 2026-01-01\n- First.\n")
        .expect("written");
    for (name, text) in [
        ("README.md", "no fragment"),
        ("10.fixed.md", "Ten.\n"),
        ("9.fixed.md", "Nine,\nin two lines.\n"),
        ("9-x.added.md", "New.\n"),
    ] {
        fs::write(path("changelog.d").join(name), text).expect("written");
    }
    let release = |version: &str| {
        let run = Command::new("python3").arg(path("scripts/changelog")).args([version, "2026-02-03"]).output();
        let run = run.expect("python3 is installed");
        (run.status.success(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    assert!(!release("2").0, "no version");
    assert_eq!(release("0.2.0"), (true, String::new()));
    let page = fs::read_to_string(path("CHANGELOG.md")).expect("readable");
    assert_eq!(
        page,
        "# Log\n\n## Unreleased\n\n## 0.2.0 - 2026-02-03\n\n### Added\n- New.\n\n### Fixed\n- Nine, in two lines.\n- Ten.\n\
         - Old.\n\n## 0.1.0 - 2026-01-01\n- First.\n"
    );
    assert_eq!(fs::read_dir(path("changelog.d")).expect("readable").count(), 1, "only its README is left");
    assert!(release("0.3.0").1.contains("nothing to release"));
    fs::write(path("changelog.d/note.md"), "x").expect("written");
    assert!(release("0.3.0").1.contains("note.md is not a valid name"));
}
