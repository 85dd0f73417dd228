//! The door, spoken to by MQTT libraries that nobody here wrote: Eclipse Paho's for Python and C, and MQTT.js.
//!
//! A program of `tests/system/clients` takes the arguments of [`Library::begin`] and, by lines, payloads with numbers from 0. It
//! prints words: `present 0|1` (connected; whether the session was kept; -1: its library does not tell), `refused CODE`, `granted QOS|CODE`, `heard TOPIC
//! PAYLOAD`, `acknowledged NUMBER` (when its library says so), `ended`.
//!
//! | step | what it does |
//! |---|---|
//! | `refused` | connects with a wrong password |
//! | `foreign` | publishes to another tracker's topic |
//! | `talk` | asks for its own answers and another's; publishes at QoS 0, 1, 2; is silent beyond its keep-alive; publishes again |
//! | `keep` | keeps its session; publishes at QoS 1 and 2 in turn, and connects again when the connection is gone |

use crate::harness::{Up, topic};
use crate::own_door::{end_reason, with_door};
use crate::support::proxy::{Mode, Proxy};
use rideguard::clock::now;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A library under test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Library {
    PahoPython,
    PahoC,
    MqttJs,
}

impl Library {
    /// Its program, built where it must be. What it needs, `make install-test` installs.
    fn program(self, folder: &Path) -> Command {
        let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/system/clients");
        let with = |program: &str, source: &str| {
            let mut command = Command::new(program);
            command.arg(sources.join(source));
            command
        };
        match self {
            Self::PahoPython => with("/usr/bin/python3", "paho_python.py"),
            Self::MqttJs => {
                assert!(sources.join("node_modules/mqtt").exists(), "MQTT.js is missing: make install-test");
                with("node", "mqttjs.mjs")
            }
            Self::PahoC => {
                let program = folder.join("paho_c.c");
                let built = with("cc", "paho_c.c").arg("-o").arg(&program).arg("-lpaho-mqtt3cs").output().unwrap();
                assert!(built.status.success(), "make install-test, perhaps: {built:?}");
                Command::new(program)
            }
        }
    }

    /// Starts a step as tracker `number` by a port: the step, the version, the port, the authority, who it is, its password, its
    /// topic, another's topic, where its answers are, where another's are.
    fn begin(self, up: &Up, step: &str, version: &str, port: u16, number: usize, payloads: &[String]) -> Child {
        let ((ident, password), (other, _)) = (up.tracker(number), up.tracker(4));
        let down = |ident: &str| topic(ident).replace("/up", "/down");
        let mut child = self
            .program(&up.folder)
            .args([step, version, &port.to_string()])
            .arg(up.folder.join("ca.pem"))
            .args([&ident, &password, &topic(&ident), &topic(&other), &down(&ident), &down(&other)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(payloads.join("\n").as_bytes()).unwrap();
        child
    }
}

/// What a program printed, by lines.
fn words(child: Child) -> Vec<String> {
    let told = child.wait_with_output().unwrap();
    assert!(told.status.success(), "{told:?}");
    String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The numbers behind a word.
fn numbers(words: &[String], word: &str) -> Vec<i32> {
    let numbers = words.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    numbers.collect()
}

/// Reports of a tracker with fixes at times of their own; the times in milliseconds.
fn reports(ident: &str, count: usize) -> (Vec<String>, Vec<i64>) {
    let first_ms = now().micros() / 1000 - 600_000;
    let times: Vec<i64> = (0..count as i64).map(|n| first_ms + n * 1000).collect();
    let report = |(n, t): (usize, &i64)| {
        format!(r#"{{"v":1,"id":"{ident}","seq":{n},"fixes":[{{"t":{t},"lat":28.{},"lon":112.35}}]}}"#, 5000 + n)
    };
    (times.iter().enumerate().map(report).collect(), times)
}

/// Waits until the fixes of these times are stored, once each.
async fn are_stored(up: &Up, ident: &str, times: impl Iterator<Item = i64>) {
    let times: Vec<String> = times.map(|t| t.to_string()).collect();
    let question = format!(
        "SELECT count(*) FROM fix_known JOIN tracker USING (tracker_id) WHERE ident = '{ident}'
         AND (extract(epoch FROM fixed_at) * 1000)::bigint IN ({})",
        times.join(",")
    );
    up.wait_for(&question, times.len() as i64).await;
    assert_eq!(up.count(&question).await, times.len() as i64);
}

async fn is_served(library: Library) {
    let must_be_present = |told: &[String], version: &str, due: [i32; 2]| {
        let is_told = library != Library::PahoC || version == "4";
        let due = if is_told { due } else { [-1; 2] };
        assert_eq!(numbers(told, "present"), due, "{version}: {told:?}");
    };
    const VERSIONS: [(&str, usize); 2] = [("4", 0), ("5", 2)]; // MQTT 3.1.1 is number 4 on the wire; trackers that speak JSON
    let mut up = with_door(5).await;
    let port = up.door_port().unwrap();
    for (version, number) in VERSIONS {
        let one = reports(&up.tracker(number).0, 1).0;
        let refused = words(library.begin(&up, "refused", version, port, number, &one));
        let codes = if version == "5" { [134] } else { [4] };
        assert_eq!(numbers(&refused, "refused"), codes, "{refused:?}");
        let foreign = words(library.begin(&up, "foreign", version, port, number, &one));
        assert!(foreign.contains(&"ended".to_owned()), "{foreign:?}");
        assert!(numbers(&foreign, "acknowledged").is_empty(), "{foreign:?}");
    }
    let metrics = up.metrics().await;
    assert!(end_reason(&metrics, "refused") >= 2 && end_reason(&metrics, "foreign") >= 2, "{metrics}");
    assert_eq!(up.count("SELECT count(*) FROM fix_known").await, 0);

    // Both versions at once.
    let talking = VERSIONS.map(|(version, number)| {
        let (payloads, times) = reports(&up.tracker(number).0, 4);
        (version, number, times, library.begin(&up, "talk", version, port, number, &payloads))
    });
    for (version, number, times, child) in talking {
        let ident = up.tracker(number).0;
        let told = tokio::task::spawn_blocking(|| words(child)).await.unwrap();
        assert_eq!(numbers(&told, "present").len(), 1, "one connection, {version}: {told:?}");
        let refused = if version == "5" { 135 } else { 128 };
        assert_eq!(numbers(&told, "granted"), [0, refused], "{version}: {told:?}");
        let mut acknowledged = numbers(&told, "acknowledged");
        acknowledged.sort_unstable();
        assert_eq!(acknowledged, [0, 1, 2, 3], "{version}: {told:?}");
        let answer = format!("heard {} {{\"v\":1,\"ack\":3", topic(&ident).replace("/up", "/down"));
        assert!(told.iter().any(|line| line.starts_with(&answer)), "{version}: {told:?}");
        are_stored(&up, &ident, times.into_iter()).await;
    }

    // The way goes silent and is cut: the session is there, and what was in flight comes again and counts once.
    let proxy = Proxy::start(port).await;
    let keeping = VERSIONS.map(|(version, number)| {
        let (payloads, times) = reports(&up.tracker(number).0, 50);
        (version, number, times, library.begin(&up, "keep", version, proxy.port, number, &payloads))
    });
    for (mode, after_ms) in [(Mode::Silent, 2500), (Mode::Cut, 1500), (Mode::Pass, 500)] {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        proxy.set(mode);
    }
    for (version, number, times, child) in keeping {
        let told = tokio::task::spawn_blocking(|| words(child)).await.unwrap();
        must_be_present(&told, version, [0, 1]);
        assert_eq!(numbers(&told, "acknowledged").len(), 50, "{version}: {told:?}");
        are_stored(&up, &up.tracker(number).0, times.into_iter()).await;
    }

    // RideGuard is killed: what the library calls acknowledged is stored, whatever it does with the rest.
    let keeping = VERSIONS.map(|(version, number)| {
        let (payloads, times) = reports(&up.tracker(number).0, 120);
        (version, number, times, library.begin(&up, "keep", version, port, number, &payloads))
    });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    up.kill();
    up.start_again().await;
    for (version, number, times, child) in keeping {
        let told = tokio::task::spawn_blocking(|| words(child)).await.unwrap();
        let acknowledged = numbers(&told, "acknowledged");
        // The session before is kept; the restart forgets all of them.
        must_be_present(&told, version, [1, 0]);
        assert!(acknowledged.len() >= 60, "{version}: {told:?}");
        println!("{version}: {} of 120 were acknowledged across a kill", acknowledged.len());
        are_stored(&up, &up.tracker(number).0, acknowledged.iter().map(|n| times[*n as usize])).await;
    }
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pahos_python_client_is_served_and_what_it_calls_acknowledged_is_stored() {
    is_served(Library::PahoPython).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pahos_c_client_is_served_and_what_it_calls_acknowledged_is_stored() {
    is_served(Library::PahoC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_js_is_served_and_what_it_calls_acknowledged_is_stored() {
    is_served(Library::MqttJs).await;
}

/// What OwnTracks sends (booklet, "Topics" and "JSON"), its topic set to the tracker's own.
#[tokio::test(flavor = "multi_thread")]
async fn owntracks_speaks_on_its_topics_below_its_own_and_its_will_says_nothing() {
    let up = with_door(3).await;
    let ident = "phone01";
    let told = up.command(&["admin", "tracker", ident, "--protocol", "owntracks"]);
    assert!(told.status.success(), "{told:?}");
    let trackers = up.folder.join("trackers");
    let text = std::fs::read_to_string(&trackers).unwrap();
    std::fs::write(&trackers, format!("{text}{ident} secret owntracks\n")).unwrap();
    let base = topic(ident);
    let at_s = now().micros() / 1_000_000;
    let will = format!(r#"{{"_type":"lwt","tst":{at_s}}}"#);
    let begin = |program: &str, more: &[&str]| {
        let mut command = Command::new(program);
        command.args([
            "-h",
            "localhost",
            "-p",
            &up.door_port().unwrap().to_string(),
            "-k",
            "5",
            "-c",
            "-i",
            "phone01app",
        ]);
        command.arg("--cafile").arg(up.folder.join("ca.pem")).args(["-u", ident, "-P", "secret"]);
        command.args(["--will-topic", &base, "--will-payload", &will, "--will-qos", "1", "--will-retain"]);
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let tell = |below: &str, retain: &[&str], message: &str| {
        let to = format!("{base}{below}");
        let args = [&["-q", "1", "-t", &to, "-m", message], retain].concat();
        begin("mosquitto_pub", &args).wait_with_output().unwrap()
    };
    let place = format!(
        r#"{{"_type":"location","BSSID":"0a:0b","acc":12,"alt":41,"batt":87,"bs":1,"conn":"m","created_at":{at_s},"lat":28.55,"lon":112.35,"m":1,"t":"u","tid":"01","topic":"{base}","tst":{at_s},"vac":2,"vel":0}}"#
    );
    let since = std::time::Instant::now();
    while !tell("", &["-r"], &place).status.success() {
        assert!(since.elapsed() < Duration::from_secs(20), "{}", up.log()); // the file is read within a second
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    up.wait_for("SELECT count(*) FROM fix_known", 1).await;
    let point = r#""desc":"Home","lat":28.55,"lon":112.35,"rad":100"#;
    for (below, retain, message) in [
        (
            "/event",
            &[][..],
            format!(
                r#"{{"_type":"transition","acc":12,"desc":"Home","event":"leave","lat":28.55,"lon":112.35,"t":"l","tid":"01","tst":{at_s},"wtst":{at_s}}}"#
            ),
        ),
        ("/status", &[], r#"{"_type":"status","android":{"hib":0,"bo":0,"ps":0,"wifi":1}}"#.to_owned()),
        ("/waypoint", &[], format!(r#"{{"_type":"waypoint",{point},"tst":{at_s}}}"#)),
        (
            "/waypoints",
            &[],
            format!(
                r#"{{"_type":"waypoints","_creator":"x","waypoints":[{{"_type":"waypoint",{point},"tst":{at_s}}}]}}"#
            ),
        ),
        ("/info", &["-r"], r#"{"_type":"card","name":"Anna"}"#.to_owned()),
    ] {
        let told = tell(below, retain, &message);
        assert!(told.status.success(), "{below}: {told:?}");
    }
    assert_eq!(end_reason(&up.metrics().await, "foreign"), 0);
    // The app is killed: its line is gone, and its will is nobody's message.
    let packets = "SELECT coalesce(sum(received), 0)::bigint FROM lane";
    up.wait_for(packets, 6).await;
    let mut listening = begin("mosquitto_sub", &["-t", &format!("{base}/cmd"), "-t", &base.replace("/up", "/down")]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    listening.kill().unwrap();
    listening.wait().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(up.count(packets).await, 6);
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0);
    // As the app is set up at first it names another topic.
    tell("x/user/device", &[], &place);
    assert!(end_reason(&up.metrics().await, "foreign") >= 1);
}
