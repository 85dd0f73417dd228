//! Names of commands and flags, and how wrong use is refused, by the real programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn rideguard() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rideguard"))
}

fn simulator() -> PathBuf {
    let simulator = rideguard().with_file_name("simulator");
    assert!(simulator.exists(), "{} is missing: cargo build --workspace first", simulator.display());
    simulator
}

fn run(program: &Path, args: &[&str]) -> Output {
    let folder = std::env::temp_dir();
    Command::new(program).args(args).env_remove("RIDEGUARD_CONFIG").current_dir(folder).output().expect("it runs")
}

/// What a program says of wrong flags, or of a wrong use.
fn refusal(program: &Path, args: &[&str], status: i32) -> String {
    let output = run(program, args);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    said
}

#[test]
fn earlier_names_of_commands_still_work() {
    for (program, new, old) in [
        (rideguard(), "purge", "retain"),
        (rideguard(), "import", "load"),
        (simulator(), "messages", "say"),
        (simulator(), "stress", "flood"),
    ] {
        let help = |name| String::from_utf8(run(&program, &[name, "--help"]).stdout).expect("text");
        assert!(help(new).contains(&format!(" {new} ")), "{}", help(new));
        assert_eq!(help(new), help(old));
    }
}

#[test]
fn earlier_names_of_flags_still_work() {
    // Each is refused, for a reason that comes after its flags were read.
    let said = |program: &Path, args: &[&str]| refusal(program, args, 1);
    for flag in ["--speedup", "--speed"] {
        let text = said(&simulator(), &["city", flag, "0"]);
        assert!(text.contains("--speedup is 0; it must be 1 to 10000"), "{flag}: {text}");
    }
    for flag in ["--acknowledged", "--obligations"] {
        let fleet = ["fleet", "--broker", "localhost:1", "--ca", "/", "--credentials", "/"];
        let text = said(&simulator(), &[&fleet[..], &[flag, "/", "--noise-m", "2000"]].concat());
        assert!(text.contains("--noise-m is 2000"), "{flag}: {text}");
    }
    for flag in ["--mqtt-hostname", "--mqtt-public"] {
        let flags = ["up", "--mqtt-port", "1", flag, "x", "--data", "/dev/null/data", "--http", "127.0.0.1:0"];
        let text = said(&rideguard(), &flags);
        assert!(text.contains("/dev/null/data"), "{flag}: {text}");
    }
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    for flags in [&["--demo-without-simulator"][..], &["--demo-vehicles", "10"]] {
        let said = refusal(&rideguard(), &[&["up"], flags].concat(), 2);
        assert!(said.contains("required arguments were not provided") && said.contains("--demo\n"), "{said}");
    }
    let said = refusal(&rideguard(), &["up", "--mqtt-hostname", "x"], 2);
    assert!(said.contains("--mqtt-port") && said.contains("--door-port"), "{said}");
    let said = refusal(&rideguard(), &["up", "--broker", "--without-broker"], 2);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn port_0_of_the_broker_is_refused_with_the_limit() {
    let said = refusal(&rideguard(), &["up", "--mqtt-port", "0"], 2);
    assert!(said.contains("'0' for '--mqtt-port") && said.contains("1..=65535"), "{said}");
}

#[test]
fn a_command_without_settings_says_how_they_are_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.toml").to_string_lossy().into_owned();
    let commands: [&[&str]; 3] = [
        &["admin", "plates", "--config", &missing],
        &["admin", "--config", &missing, "plates"],
        &["verify", "--config", &missing],
    ];
    for args in commands {
        let said = refusal(&rideguard(), args, 1);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&missing) && said.contains("choose it with --config FILE or RIDEGUARD_CONFIG"), "{said}");
    }
}
