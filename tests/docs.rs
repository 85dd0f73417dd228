//! What the pages say is what the code has.

#[path = "docs/change.rs"]
mod change;
#[path = "docs/changelog.rs"]
mod changelog;
#[path = "docs/words.rs"]
mod words;

use rideguard::domain::AlertKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// `section.key` of every setting that `src/config.rs` reads.
fn settings() -> BTreeSet<String> {
    let parts = ["src/config.rs", "src/config/servers.rs", "src/config/door.rs", "src/config/link.rs"];
    let code = parts.map(read).concat();
    let mut found = BTreeSet::new();
    for part in code.split("pub struct ").skip(1) {
        let (name, fields) = part.split_once(" {").expect("a body");
        let fields = fields.split("\n}").next().expect("an end");
        for line in fields.lines().filter_map(|l| l.trim().strip_prefix("pub ")) {
            let key = line.split(':').next().expect("a name");
            let section = if name == "Listener" { "door.listener".to_owned() } else { name.to_lowercase() };
            if name != "Config" && key != "listener" {
                found.insert(format!("{section}.{key}"));
            }
        }
    }
    found
}

#[test]
fn every_setting_stands_on_its_page_and_in_the_example() {
    let page = read("docs/configuration.md");
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `"))
        .filter_map(|l| l.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(told, settings());
    let example = read("rideguard.example.toml");
    let missing: Vec<_> = settings()
        .into_iter()
        .filter(|s| {
            let key = s.split('.').next_back().expect("a key");
            !example.lines().any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} =")))
        })
        .collect();
    assert!(missing.is_empty(), "the example lacks {missing:?}");
}

#[test]
fn every_metric_stands_on_the_page_of_operators() {
    let code = read("src/telemetry.rs");
    let page = read("docs/metrics.md");
    let names: BTreeSet<&str> = code
        .split('"')
        .filter(|t| t.starts_with("rideguard_") && t.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect();
    assert!(names.len() > 15, "only {names:?} were found: has the code another form?");
    let missing: Vec<_> = names.iter().filter(|n| !page.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
}

#[test]
fn every_call_has_an_id_of_its_own_a_tag_and_a_line_on_the_page() {
    let document = serde_json::to_value(rideguard::api::openapi()).expect("JSON");
    let page = read("docs/api.md");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let short = path.strip_prefix("/api/v1").expect("below /api/v1");
        for (method, call) in item.as_object().expect("calls") {
            let id = call["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is the id of two calls, one of them {method} {path}");
            let ways = call["security"].as_array().cloned().unwrap_or_default();
            let roles = |way: &str| ways.iter().find_map(|w| w.get(way)).cloned();
            assert_eq!(roles("bearer"), roles("cookie"), "{method} {path}: a cookie is as good as a token");
            let is_door = ["/setup", "/invitation/", "/reset/"].iter().any(|door| short.starts_with(door));
            let brings_a_secret = ["/session", "/phone-presence", "/share", "/erasure-proof"].contains(&short);
            let is_open = (is_door || brings_a_secret) && method == "post";
            assert_eq!(ways.len(), if is_open { 0 } else { 2 }, "{method} {path}");
            assert_eq!(call["tags"].as_array().map(Vec::len), Some(1), "{method} {path} has not one tag");
            let last = short.rsplit('/').find(|p| !p.starts_with('{')).expect("a name");
            assert!(page.contains(short) || page.contains(&format!("`/{last}`")), "docs/api.md lacks {short}");
        }
    }
    assert!(ids.len() >= 34, "{ids:?}");
}

/// Sends a request as the webhook channel does; returns the status line.
fn post(port: u16, timestamp: i64, signature: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the receiver listens");
    write!(
        socket,
        "POST / HTTP/1.0\r\nX-RideGuard-Timestamp: {timestamp}\r\nX-RideGuard-Delivery: 7\r\n\
         X-RideGuard-Signature: sha256={signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_receiver_of_the_webhook_page_takes_our_signature_and_refuses_others() {
    let page = read("docs/webhooks.md");
    let program = page.split("```python\n").nth(1).and_then(|t| t.split("```").next()).expect("an example");
    let mut receiver = Command::new("python3")
        .args(["-c", program])
        .env("SECRET", "s3cret")
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut lines = BufReader::new(receiver.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let port = lines.next().and_then(|l| l.rsplit(' ').next()?.parse().ok()).expect("its port");

    let body =
        r#"{"delivery":"7","attempt":1,"alert":{"kind":"moved","plate":"X1","raised_at":"2026-01-01T00:00:00Z"}}"#;
    let now = rideguard::clock::now().micros() / 1_000_000;
    let sign = |at| rideguard::notify::webhook::signature("s3cret", at, body);
    let answers = [
        post(port, now, &sign(now), body),
        post(port, now, &sign(now + 1), body),
        post(port, now - 3600, &sign(now - 3600), body),
        post(port, now, &sign(now), body),
    ];
    receiver.kill().expect("killed");
    receiver.wait().expect("ended");
    let statuses: Vec<&str> = answers.iter().filter_map(|a| a.split(' ').nth(1)).collect();
    assert_eq!(statuses, ["204", "401", "401", "204"]);
    assert_eq!(lines.collect::<Vec<_>>(), ["moved X1 2026-01-01T00:00:00Z"], "a repeat is shown once");
}

/// README and every page below `docs/`, by their paths from the root.
fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (vec!["README.md".to_owned()], vec!["docs".to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("readable") {
            let path = entry.expect("readable").path();
            let name = format!("{folder}/{}", path.file_name().expect("a name").to_string_lossy());
            if path.is_dir() {
                folders.push(name);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(name);
            }
        }
    }
    found.sort();
    assert!(found.len() > 15, "only {found:?} were found");
    found
}

/// Dated texts that stay as they were written.
fn is_record(page: &str) -> bool {
    page == "docs/performance/log.md" || page.starts_with("docs/decisions/")
}

/// The text with everything between two marks replaced, marks included.
fn replaced(text: &str, mark: &str, by: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(mark) {
        let Some((_, behind)) = after.split_once(mark) else { break };
        out.push_str(before);
        out.push_str(by);
        rest = behind;
    }
    out + rest
}

/// The links of a text, with what stands before each of them, and what stands behind the last.
fn links(text: &str) -> (Vec<Link<'_>>, &str) {
    let (mut found, mut done, mut from) = (Vec::new(), 0, 0);
    while let Some(open) = text[from..].find('[').map(|at| from + at) {
        from = open + 1;
        let Some((words, behind)) = text[from..].split_once(']') else { break };
        let Some((target, _)) = behind.strip_prefix('(').and_then(|inner| inner.split_once(')')) else { continue };
        found.push(Link { before: &text[done..open], words, target });
        done = from + words.len() + target.len() + "](".len() + ")".len();
        from = done;
    }
    (found, &text[done..])
}

/// `before[words](target)`
struct Link<'t> {
    before: &'t str,
    words: &'t str,
    target: &'t str,
}

/// What stands behind the mark of a list's item, if a line begins one.
fn list_item(line: &str) -> Option<&str> {
    let behind = match line.strip_prefix(['-', '*']) {
        Some(behind) => behind,
        None => {
            let behind = line.trim_start_matches(|c: char| c.is_ascii_digit());
            behind.strip_prefix('.').filter(|_| behind.len() < line.len())?
        }
    };
    behind.starts_with(char::is_whitespace).then(|| behind.trim_start())
}

/// Paragraphs and items of a page. Code blocks, tables and headings are none.
fn paragraphs(page: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in replaced(page, "```", "").lines() {
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('|') || line.starts_with('#') {
            found.push(String::new());
            continue;
        }
        let item = list_item(text);
        if item.is_some() {
            found.push(String::new());
        }
        let paragraph = found.last_mut().expect("one at least");
        paragraph.push(' ');
        paragraph.push_str(item.unwrap_or(text));
    }
    found
}

/// The words of a text without blanks: each begins with a letter or digit of ASCII.
fn words_of(token: &str) -> Vec<&str> {
    let is_inner = |c: char| c.is_alphanumeric() || "_'’.,/%-".contains(c);
    let (mut found, mut rest) = (Vec::new(), token);
    while let Some(begin) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let word = &rest[begin..];
        let end = word.find(|c: char| !is_inner(c)).unwrap_or(word.len());
        found.push(&word[..end]);
        rest = &word[end..];
    }
    found
}

/// Figures of sentences.
#[derive(Default)]
struct Prose {
    /// Words of each sentence of two words or more.
    lengths: Vec<usize>,
    /// Words that are numbers.
    numbers: usize,
}

impl Prose {
    fn of(page: &str) -> Self {
        let mut prose = Self::default();
        for paragraph in paragraphs(page) {
            let (links, rest) = links(&paragraph);
            let plain: String = links.iter().flat_map(|l| [l.before, l.words]).chain([rest]).collect();
            let (mut length, mut numbers) = (0, 0);
            for token in replaced(&plain, "`", "code").split_whitespace() {
                let words = words_of(token);
                length += words.len();
                numbers += words.iter().filter(|w| w.chars().all(|c| c.is_ascii_digit() || ".,%".contains(c))).count();
                if token.ends_with(['.', '!', '?']) {
                    prose.add_sentence(std::mem::take(&mut length), std::mem::take(&mut numbers));
                }
            }
            prose.add_sentence(length, numbers);
        }
        prose.lengths.sort_unstable();
        prose
    }

    fn add_sentence(&mut self, words: usize, numbers: usize) {
        if words >= 2 {
            self.lengths.push(words);
            self.numbers += numbers;
        }
    }

    fn add(&mut self, other: Self) {
        self.lengths.extend(other.lengths);
        self.lengths.sort_unstable();
        self.numbers += other.numbers;
    }

    fn median(&self) -> f64 {
        let (half, last) = (self.lengths.len() / 2, (self.lengths.len() - 1) / 2);
        (self.lengths[half] + self.lengths[last]) as f64 / 2.0
    }

    fn p90(&self) -> usize {
        self.lengths[(self.lengths.len() - 1) * 9 / 10]
    }

    fn numbers_per_100_words(&self) -> f64 {
        100.0 * self.numbers as f64 / self.lengths.iter().sum::<usize>() as f64
    }
}

#[test]
fn prose_is_plain() {
    let (mut all, mut hard) = (Prose::default(), Vec::new());
    for page in pages().iter().filter(|page| !is_record(page) && !page.starts_with("docs/zh/")) {
        let prose = Prose::of(&read(page));
        if prose.lengths.is_empty() {
            continue;
        }
        if prose.median() > 20.0 {
            hard.push(format!("{page}: {} words in the median", prose.median()));
        }
        all.add(prose);
    }
    println!("docs.sentence_median: {} words", all.median());
    println!("docs.sentence_p90: {} words", all.p90());
    println!("docs.numbers: {:.1} in 100 words", all.numbers_per_100_words());
    assert!(hard.is_empty(), "sentences of more than 20 words: {hard:?}");
    assert!(all.median() <= 16.0, "the median sentence has {} words; at most 16", all.median());
    assert!(all.p90() <= 30, "one sentence in ten has more than {} words; at most 30", all.p90());
    let numbers = all.numbers_per_100_words();
    assert!(numbers <= 4.0, "{numbers:.1} of 100 words are numbers; at most 4: put them into tables");
}

#[test]
fn sentences_are_told_apart() {
    let page = "# A heading. It is none\n\nOne fact. A [link of four words](x.md) and `some code`!\n- an item\n  goes on 3,000 times\n\
                1. *Another* item, 5 %. I\n\n| a table | is none |\n\n```\nno code either\n```\n**Bold** is prose?\n";
    let prose = Prose::of(page);
    assert_eq!(prose.lengths, [2, 3, 3, 6, 7]);
    assert_eq!(prose.numbers, 2);
    assert_eq!((prose.median(), prose.p90()), (3.0, 6));
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in replaced(page, "```", "").lines().filter(|line| line.starts_with('#')) {
        let (links, rest) = links(heading.trim_start_matches('#').trim());
        let text: String = links.iter().flat_map(|l| [l.before, l.words]).chain([rest]).collect();
        let anchor: String = text
            .to_lowercase()
            .chars()
            .map(|c| if c == ' ' { '-' } else { c })
            .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
            .collect();
        let repeated = (1..).map(|n| format!("{anchor}-{n}")).find(|a| !found.contains(a)).expect("a number is free");
        found.insert(if found.contains(&anchor) { repeated } else { anchor });
    }
    found
}

/// The paths of ours that a code span names: `src/{a,b}.rs` names two.
fn named_paths(span: &str) -> Vec<String> {
    let is_path = ["src/", "docs/", "schema/"].iter().any(|folder| span.starts_with(folder))
        && span.chars().all(|c| c.is_alphanumeric() || "_-./{},".contains(c));
    if !is_path {
        return Vec::new();
    }
    let braces = span.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match braces {
        Some((before, (names, behind))) => names.split(',').map(|name| format!("{before}{name}{behind}")).collect(),
        None => vec![span.to_owned()],
    }
}

#[test]
fn links_and_paths_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in pages().iter().filter(|page| !is_record(page)) {
        let text = replaced(&read(page), "```", "");
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let plain = replaced(&text, "`", "code");
        for Link { target, .. } in links(&plain).0 {
            let target = target.split_whitespace().next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { format!("{folder}/{path}") };
            let file = file.trim_start_matches('/');
            if !root.join(file).exists() || (!anchor.is_empty() && !anchors(&read(file)).contains(anchor)) {
                wrong.push(format!("{page}: {target}"));
            }
        }
        for path in text.split('`').skip(1).step_by(2).flat_map(named_paths) {
            checked += 1;
            if !root.join(&path).exists() {
                wrong.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(checked > 100, "only {checked} links and paths were found: have the pages another form?");
    assert!(wrong.is_empty(), "these lead nowhere: {wrong:#?}");
}

/// Most lines of README.md: who opens it reads it to its end.
const README_LINES_MAX: usize = 90;

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines; at most {README_LINES_MAX}");
}

/// Longest line outside tables, characters.
const LINE_CHARS_MAX: usize = 200;

#[test]
fn lines_of_pages_fit_an_editor() {
    let mut long = Vec::new();
    for page in pages() {
        let text = read(&page);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('|'));
        let over = lines.filter(|(_, line)| line.chars().count() > LINE_CHARS_MAX);
        long.extend(over.map(|(n, _)| format!("{page}:{}", n + 1)));
    }
    assert!(long.is_empty(), "lines of more than {LINE_CHARS_MAX} characters: {long:#?}");
}

/// The words of alert kinds in a language of the page, by kind.
fn kind_words(language: &str) -> BTreeMap<String, String> {
    let words = read(&format!("web/src/lib/words/{language}/owner.ts"));
    let lines = words.lines().filter_map(|line| line.trim().strip_prefix("kind_")?.split_once(": '"));
    lines.map(|(kind, rest)| (kind.to_owned(), rest.trim_end_matches("',").to_owned())).collect()
}

#[test]
fn every_kind_of_alert_has_its_words_and_its_row() {
    let kinds: BTreeSet<String> = AlertKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let (zh, en) = (kind_words("zh"), kind_words("en"));
    for (language, words) in [("zh", &zh), ("en", &en)] {
        assert_eq!(words.keys().cloned().collect::<BTreeSet<_>>(), kinds, "{language}");
    }
    let page = read("docs/alerts.md");
    let part = |heading: &str| page.split_once(heading).expect(heading).1.split("\n## ").next().unwrap_or_default();
    let (alarms, notices) = (part("\n## Alarms\n"), part("\n## Notices\n"));
    for kind in AlertKind::ALL {
        let row = format!("| `{}` | {} |", kind.name(), zh[kind.name()]);
        let (its, other) = if kind.wakes_owner() { (alarms, notices) } else { (notices, alarms) };
        assert_eq!((its.matches(&row).count(), other.matches(&row).count()), (1, 0), "docs/alerts.md: {row}");
    }
}
