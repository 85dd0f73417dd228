//! What `rideguard decode` answers, line by line. The packets are made up from the standards.
//!
//! After a change that is meant: `RIDEGUARD_UPDATE_GOLDEN=1 cargo test --test golden`, and read the difference.

use std::path::Path;

#[test]
fn decoding_answers_as_it_always_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let questions = std::fs::read(folder.join("decode.in.jsonl")).expect("readable");
    let mut answers = Vec::new();
    rideguard::cli::decode::run(questions.as_slice(), &mut answers).expect("answered");
    let (answers, file) = (String::from_utf8(answers).expect("text"), folder.join("decode.out.jsonl"));
    if std::env::var_os("RIDEGUARD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &answers).expect("writable");
    }
    let golden = std::fs::read_to_string(&file).expect("readable");
    assert_eq!(answers.lines().count(), golden.lines().count());
    for (answer, golden) in answers.lines().zip(golden.lines()) {
        assert_eq!(answer, golden);
    }
}
