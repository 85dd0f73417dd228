//! The files of a deployment name only what exists or is documented. (The Compose schema itself is
//! checked by `scripts/check-compose`.)

use serde_norway::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn compose() -> Value {
    let mut compose: Value = serde_norway::from_str(&read("docker-compose.yml")).expect("YAML");
    compose.apply_merge().expect("merge keys");
    compose
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn services() -> BTreeMap<String, Value> {
    let compose = compose();
    let services = compose["services"].as_mapping().expect("services");
    services.iter().map(|(k, v)| (k.as_str().expect("a name").to_owned(), v.clone())).collect()
}

/// Variables that a text takes from the environment: `${NAME:-default}`.
fn variables(text: &str) -> BTreeSet<String> {
    let names = text
        .split("${")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>());
    names.collect()
}

#[test]
fn every_service_of_the_plan_is_there() {
    let names: BTreeSet<_> = services().into_keys().collect();
    for service in [
        "postgis",
        "mosquitto",
        "migrate",
        "door",
        "ingest",
        "notify",
        "rollup",
        "seal",
        "api",
        "prometheus",
        "simulator",
    ] {
        assert!(names.contains(service), "{service}");
    }
}

#[test]
fn only_the_demo_profile_simulates() {
    for (name, service) in services() {
        let demo = texts(&service["profiles"]) == ["demo"];
        assert_eq!(demo, name == "simulator" || name.starts_with("demo-"), "{name}");
    }
}

#[test]
fn every_file_that_is_mounted_or_built_from_exists() {
    for (name, service) in services() {
        for volume in texts(&service["volumes"]).iter().filter(|v| v.starts_with("./")) {
            let path = volume.split(":/").next().expect("a path");
            let path = path.replace("${RIDEGUARD_SETTINGS:-rideguard.toml}", "rideguard.toml");
            assert!(root().join(&path).exists(), "{name} mounts {path}");
        }
        if let Some(dockerfile) = service["build"]["dockerfile"].as_str() {
            assert!(root().join(dockerfile).exists(), "{name} is built from {dockerfile}");
        }
        assert!(service["build"].is_mapping() || service["image"].is_string(), "{name} has neither image nor build");
    }
}

#[test]
fn every_image_states_its_version() {
    for (name, service) in services() {
        if let Some(image) = service["image"].as_str() {
            let version = image.split_once(':').map(|(_, v)| v).unwrap_or_default();
            assert!(!version.is_empty() && version != "latest", "{name}: {image}");
        }
    }
}

#[test]
fn every_volume_and_secret_that_is_used_is_declared_and_the_other_way_round() {
    let compose = compose();
    let declared = |key: &str| -> BTreeSet<String> {
        compose[key].as_mapping().into_iter().flatten().map(|(k, _)| k.as_str().expect("a name").to_owned()).collect()
    };
    let used = |of: &dyn Fn(&Value) -> Vec<String>| -> BTreeSet<String> { services().values().flat_map(of).collect() };
    assert_eq!(used(&|s| texts(&s["secrets"])), declared("secrets"));
    let volumes = used(&|s| {
        let named = texts(&s["volumes"]).into_iter().filter(|v| !v.starts_with("./"));
        named.filter_map(|v| v.split(':').next().map(str::to_owned)).collect()
    });
    assert_eq!(volumes, declared("volumes"));
}

#[test]
fn every_secret_is_made_by_the_script_and_kept_out_of_the_repository() {
    let (compose, script) = (compose(), read("deploy/make-secrets"));
    for (name, secret) in compose["secrets"].as_mapping().expect("secrets") {
        let file = secret["file"].as_str().expect("a file");
        let name = name.as_str().expect("a name");
        assert!(file.starts_with("./deploy/secrets/"), "{file}");
        let (stem, end) = name.split_once('-').unwrap_or((name, name));
        assert!(
            script.contains(name) || script.contains(&format!("{stem}-{{")) && script.contains(end),
            "deploy/make-secrets does not make {name}"
        );
    }
    assert!(read(".gitignore").lines().any(|l| l == "/deploy/secrets"));
    assert!(read(".dockerignore").lines().any(|l| l == "deploy/secrets"));
}

#[test]
fn every_variable_is_documented() {
    let documented = read("deploy/.env.example");
    for name in variables(&read("docker-compose.yml")) {
        assert!(documented.lines().any(|l| l.starts_with(&format!("{name}="))), "{name}");
    }
    // And what is documented is used.
    let used = variables(&read("docker-compose.yml"));
    for line in documented.lines().filter(|l| !l.starts_with('#') && l.contains('=')) {
        let name = line.split('=').next().expect("a name");
        assert!(used.contains(name), "{name} is documented but not used");
    }
}

#[test]
fn every_variable_that_our_program_is_given_is_read_by_it() {
    let (settings, help) =
        (services()["ingest"]["environment"].clone(), read("src/cli/args.rs") + &read("src/telemetry.rs"));
    for (name, _) in settings.as_mapping().expect("environment") {
        let name = name.as_str().expect("a name");
        // RUST_LOG is EnvFilter's own.
        assert!(help.contains(&format!("\"{name}\"")) || name == "RUST_LOG" && help.contains("EnvFilter"), "{name}");
    }
}

#[test]
fn the_settings_inside_the_containers_are_valid_and_fit_the_services() {
    let settings = |name: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, read(&format!("deploy/{name}"))).expect("written");
        rideguard::config::Config::read(&path).expect("valid")
    };
    let without = settings("rideguard.toml");
    let config = settings("rideguard.broker.toml");
    let section = |name: &str| {
        let table: toml::Table = toml::from_str(&read(&format!("deploy/{name}"))).expect("TOML");
        table.into_iter().filter(|(key, _)| key != "broker").collect::<toml::Table>()
    };
    assert_eq!(section("rideguard.toml"), section("rideguard.broker.toml"), "they differ in the broker alone");
    assert!(!without.broker.enabled && config.broker.enabled);
    let services = services();
    assert!(services.contains_key(&config.database.host) && services.contains_key(&config.broker.host));
    assert_eq!(texts(&services["mosquitto"]["profiles"]), ["broker"]);
    for worker in &config.link.workers {
        let (host, port) = worker.rsplit_once(':').expect("host:port");
        assert!(services.contains_key(host), "{worker}");
        assert_eq!(config.link.listen.map(|l| l.port().to_string()).as_deref(), Some(port));
        assert!(texts(&services[host]["ports"]).is_empty(), "the link is not published");
    }
    let [listener] = &config.door.listener[..] else { panic!("one listener") };
    let published = texts(&services["door"]["ports"]);
    assert!(published.len() == 1 && published[0].ends_with(&format!(":{}", listener.listen.port())), "{published:?}");
    let spool = config.link.spool_dir.as_ref().expect("a spool");
    let of_ingest = config.ingest.spool_dir.as_ref().expect("a spool");
    for (service, spool) in [("door", spool), ("ingest", of_ingest)] {
        let volume = format!("{service}-spool:/var/lib/rideguard");
        let kept = texts(&services[service]["volumes"]).contains(&volume);
        assert!(spool.starts_with("/var/lib/rideguard") && kept, "what {service} acknowledged outlives its container");
    }
    let published = texts(&services["api"]["ports"]);
    assert!(
        published.iter().all(|p| p.starts_with("127.0.0.1:")),
        "the page is for a TLS proxy on the host: {published:?}"
    );
    assert!(published[0].ends_with(&format!(":{}", config.http.listen.port())));
    for port in [config.broker.port, config.broker.for_services().port] {
        assert!(read("deploy/mosquitto/mosquitto.conf").contains(&format!("\nlistener {port}\n")));
    }
    let published = texts(&services["mosquitto"]["ports"]);
    assert!(published.len() == 1 && published[0].ends_with(&format!(":{}", config.broker.port)), "{published:?}");
    let users = "user rideguard-api\ntopic read rideguard/live/#\n";
    assert!(read("deploy/mosquitto/acl").ends_with(users) && config.broker.for_api().username == "rideguard-api");
    // Each has the files that its role reads, and no other.
    let (d, b) = (&config.database, &config.broker);
    let [superuser, door, ingest, notify, rollup, seal] = [
        &d.superuser_password_file,
        &d.door_password_file,
        &d.ingest_password_file,
        &d.notify_password_file,
        &d.rollup_password_file,
        &d.seal_password_file,
    ]
    .map(|file| file.as_ref().expect("a file"));
    let key = config.journal.key_file.as_ref().expect("a key");
    let (admin, api) = (&d.password_file, &d.api_password_file);
    let given = |service: &str, files: &[&PathBuf]| {
        let names: BTreeSet<String> = files
            .iter()
            .map(|file| file.strip_prefix("/run/secrets").expect("a secret").to_string_lossy().into_owned())
            .collect();
        assert_eq!(texts(&services[service]["secrets"]).into_iter().collect::<BTreeSet<_>>(), names, "{service}");
    };
    let link = config.link.secret_file.as_ref().expect("a secret");
    let [certificate, certificate_key, trackers] =
        [&config.door.certificate_file, &config.door.key_file, &config.door.trackers_file]
            .map(|file| file.as_ref().expect("a file"));
    given("migrate", &[superuser, admin, api, door, ingest, notify, rollup, seal]);
    given("door", &[door, link, certificate, certificate_key, trackers]);
    given("ingest", &[ingest, link, &b.password_file, &b.ca_file, key]);
    given("notify", &[notify]);
    given("rollup", &[rollup, key]);
    let factors = config.accounts.key_file.as_ref().expect("a key");
    given("api", &[api, link, &b.for_api().password_file, &b.ca_file, factors]);
    let audit = config.audit.key_file.as_ref().expect("a key");
    given("seal", &[seal, audit]);
    given("commands", &[admin, key]);
    given("postgis", &[superuser]);
    let environment = &services["postgis"]["environment"];
    assert_eq!(environment["POSTGRES_USER"].as_str(), Some(config.database.superuser.as_str()));
    assert_eq!(environment["POSTGRES_PASSWORD_FILE"].as_str(), superuser.to_str());
    let volume = "audit-heads:/var/lib/rideguard";
    assert!(config.audit.heads_file.expect("a file").starts_with("/var/lib/rideguard"));
    assert!(
        texts(&services["seal"]["volumes"]).iter().any(|v| v == volume)
            && read("deploy/Dockerfile").contains("/var/lib/rideguard")
    );
}

#[test]
fn the_example_settings_are_the_defaults() {
    let example: toml::Table = toml::from_str(&read("rideguard.example.toml")).expect("TOML");
    let defaults = rideguard::config::Ingest::default();
    assert_eq!(example["ingest"]["batch_packets_max"].as_integer(), Some(defaults.batch_packets_max as i64));
    assert_eq!(example["ingest"]["max_fix_age_days"].as_integer(), Some(defaults.max_fix_age_days.into()));
    assert_eq!(example["ingest"]["batch_wait_ms"].as_integer(), Some(defaults.batch_wait_ms as i64));
    let journal = rideguard::config::Journal::default();
    assert_eq!(example["journal"]["seal_after_days"].as_integer(), Some(journal.seal_after_days.into()));
    let notify = rideguard::config::Notify::default();
    assert_eq!(example["notify"]["attempts_max"].as_integer(), Some(notify.attempts_max.into()));
}

#[test]
fn the_broker_of_the_containers_has_the_limits_of_our_own() {
    use rideguard::supervisor::broker::{PACKET_BYTES_MAX, QUEUED_BYTES_MAX, QUEUED_MESSAGES_MAX};
    let (shipped, own) = (read("deploy/mosquitto/mosquitto.conf"), read("src/supervisor/broker_files.rs"));
    for limit in [
        format!("max_packet_size {PACKET_BYTES_MAX}"),
        format!("max_queued_messages {QUEUED_MESSAGES_MAX}"),
        format!("max_queued_bytes {QUEUED_BYTES_MAX}"),
    ] {
        assert!(shipped.lines().any(|l| l == limit), "{limit}");
    }
    for line in ["allow_anonymous false", "autosave_interval 60", "retain_available true", "tls_version tlsv1.2"] {
        assert!(shipped.lines().any(|l| l == line) && own.contains(line), "{line}");
    }
    // The user is the client id where trackers connect, and there only; every listener speaks TLS.
    let listeners: Vec<&str> = shipped.split("\nlistener ").skip(1).collect();
    let is_so = |setting: &str| listeners.iter().map(|l| l.contains(setting)).collect::<Vec<_>>();
    assert_eq!(is_so("\nuse_username_as_clientid true"), [true, false]);
    assert_eq!(is_so("\nmax_connections "), [true, false]);
    assert_eq!(is_so("\ncertfile "), [true, true]);
}

#[test]
fn rules_and_scrapes_name_only_what_we_export() {
    let exported = rideguard::telemetry::Metrics::new().expect("metrics");
    exported.notifications.with_label_values(&["done"]).inc();
    let source = read("src/telemetry.rs");
    let rules = read("deploy/prometheus/rules.yml");
    for name in rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| w.starts_with("rideguard_"))
    {
        assert!(source.contains(&format!("\"{}\"", name.trim_end_matches("_bucket"))), "{name}");
    }
    let prometheus: Value = serde_norway::from_str(&read("deploy/prometheus/prometheus.yml")).expect("YAML");
    let targets = texts(&prometheus["scrape_configs"][0]["static_configs"][0]["targets"]);
    for target in targets {
        let (host, port) = target.split_once(':').expect("host:port");
        assert!(services().contains_key(host) && port == "9188", "{target}");
    }
    for file in texts(&prometheus["rule_files"]) {
        assert!(Path::new(&root()).join("deploy/prometheus").join(&file).exists(), "{file}");
    }
}

/// Status and the lines of `scripts/install run` with nothing in the path but this.
fn install(path: &Path, home: &Path) -> (Option<i32>, String) {
    let mut command = std::process::Command::new("/bin/bash");
    command.arg(root().join("scripts/install")).arg("run").env("PATH", path).env("HOME", home);
    let output = command.output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn installing_without_rust_says_in_one_sentence_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bin, home) = (folder.path().join(".cargo/bin"), folder.path());
    let needed = read("Cargo.toml")
        .split("rust-version = \"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("a version")
        .to_owned();
    let nowhere = folder.path().join("empty");
    for path in [&bin, &nowhere] {
        fs::create_dir_all(path).expect("made");
    }
    let check = |path: &Path, words: &[&str]| {
        let (status, said) = install(path, home);
        assert_eq!((status, said.lines().count()), (Some(1), 1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    check(&nowhere, &["cargo is missing", &needed, "https://rustup.rs"]);
    let cargo = bin.join("cargo");
    fs::write(&cargo, "#!/bin/bash\necho 'cargo 1.63.0 (fd9c4297c 2022-07-01)'\n").expect("written");
    fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    check(&nowhere, &["not in the path", ".cargo/env"]);
    check(&bin, &["too old (cargo 1.63.0", &needed, "rustup default stable"]);
}
