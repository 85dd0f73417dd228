//! Words that we do not use towards users: on the pages, in the texts of the programs, in the API's document.

use super::{is_record, links, pages, read, replaced};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Metaphors and puzzles that had a standard word all along (docs/writing.md). Matched without regard to case.
const PHRASES: &[&str] = &[
    "let go",
    "lets go",
    "come ashore",
    "comes ashore",
    " anew",
    "is none",
    "are none",
    "us a fix",
    "set aside",
    "sets aside",
    "held up",
    "holds up",
    "stumble",
    "at odds",
    "put in order",
    "told of",
];
/// The same as whole words.
const WORDS: &[&str] =
    &["shore", "sieve", "teller", "roster", "vault", "seam", "seams", "footprint", "footprints", "servant", "servants"];

/// The banned words of a text.
fn banned(text: &str) -> Vec<&'static str> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = text.split(|c| !is_word(c)).collect();
    let phrases = PHRASES.iter().filter(|p| {
        text.match_indices(**p).any(|(at, p)| {
            let is_begin = p.starts_with(' ') || !text[..at].ends_with(is_word);
            is_begin && (!text[at + p.len()..].starts_with(is_word) || p == "stumble")
        })
    });
    phrases.chain(WORDS.iter().filter(|w| words.contains(w))).copied().collect()
}

/// String literals of a source with the numbers of their lines; comments are left out.
fn literals(code: &str) -> Vec<(usize, String)> {
    let (mut found, mut rest, mut line) = (Vec::new(), code, 1);
    while !rest.is_empty() {
        let (length, literal) = token(rest);
        found.extend(literal.map(|literal| (line, literal)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Bytes of what a source begins with, and the text if it is a string literal.
fn token(rest: &str) -> (usize, Option<String>) {
    let raw = rest.strip_prefix('r').filter(|r| r.trim_start_matches('#').starts_with('"'));
    let first = rest.chars().next().expect("a character");
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = &raw[hashes + 1..];
        let length = inner.find(&end).expect("an end");
        return (1 + hashes + 1 + length + end.len(), Some(inner[..length].to_owned()));
    }
    if first == '"' || first == '\'' {
        let mut is_escaped = false;
        let ends = |c: char| {
            let ends = c == first && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        };
        let end = rest[1..].find(ends).map_or(rest.len(), |at| at + 1);
        if first == '"' {
            return (end + 1, Some(rest[1..end].replace("\\\n", " ")));
        }
        // A character, or the name of a lifetime.
        let is_character = rest[1..end].starts_with('\\') || rest[1..end].chars().count() == 1;
        return (if is_character { end + 1 } else { 1 }, None);
    }
    // A name as a whole, so that the r at the end of one begins no raw string.
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
    (if is_name(first) { name } else { first.len_utf8() }, None)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && !name.ends_with("tests") {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn literals_and_banned_words_are_found() {
    let code = "let a = \"one\\\"\"; // \"let go\"\nlet b = ('\"', '\\'', 'x', r#\"raw \"two\"\"#);\nfn f<'a>(x: &'a str) { g(b\"three\",\n\"fo\\\nur\") }";
    assert_eq!(
        literals(code),
        [(1, "one\\\"".into()), (2, "raw \"two\"".into()), (3, "three".into()), (4, "fo ur".into())]
            as [(usize, String); 4]
    );
    assert_eq!(banned("Rows were Let\n go; a canewood \"let_go\" seams_x, there is nonesuch"), ["let go"]);
    assert_eq!(banned("the lane stumbled at a seam, and began anew"), [" anew", "stumble", "seam"]);
}

#[test]
fn pages_use_the_words_of_the_field() {
    let mut wrong = Vec::new();
    // docs/writing.md and the glossary may name a word in order to replace it; nothing does today.
    for page in pages().into_iter().chain(["CONTRIBUTING.md".into(), "SECURITY.md".into()]).filter(|p| !is_record(p)) {
        let text = read(&page);
        for (n, paragraph) in replaced(&text, "```", "").split("\n\n").enumerate() {
            // What a link leads to keeps its name.
            let (links, rest) = links(paragraph);
            let plain: String = links.iter().flat_map(|l| [l.before, l.words]).chain([rest]).collect();
            wrong.extend(banned(&plain).iter().map(|word| format!("{page}, paragraph {}: {word:?}", n + 1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn texts_of_the_programs_use_the_words_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    sources(&root.join("src"), &mut paths);
    sources(&root.join("simulator/src"), &mut paths);
    let (mut count, mut wrong) = (0, Vec::new());
    for path in paths {
        let text = fs::read_to_string(&path).expect("readable");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (line, literal) in literals(code) {
            count += 1;
            let words = banned(&literal);
            wrong.extend(words.iter().map(|word| format!("{}:{line}: {word:?} in {literal:?}", path.display())));
        }
    }
    assert!(count > 2000, "only {count} texts were found: have the sources another form?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn help_and_the_apis_document_use_the_words_of_the_field() {
    let help = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rideguard")).args(args).arg("--help").output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let commands = |help: &str| -> Vec<String> {
        let list = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let names = list.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect()
    };
    let mut wrong = Vec::new();
    let top = help(&[]);
    let mut count = 0;
    for command in commands(&top) {
        let page = help(&[&command]);
        let below: Vec<_> = commands(&page).iter().map(|sub| help(&[&command, sub])).collect();
        for text in below.iter().chain([&page, &top]) {
            count += 1;
            wrong.extend(banned(text).iter().map(|word| format!("rideguard {command}: {word:?}")));
        }
    }
    assert!(count > 50, "only {count} pages of help were found");
    let document = rideguard::api::openapi().to_string();
    wrong.extend(banned(&document.replace("\\n", " ")).iter().map(|word| format!("the API's document: {word:?}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
