//! Coming on board: a city's owners, vehicles and trackers by one import, and the search over them.
//!
//! The real program with its PostgreSQL and Mosquitto, beside 1,000 fixes/s of trackers that are there already. The file goes
//! in by the API as the page sends it: it is made, read, checked and started, and its worker imports. Then questions are asked
//! over all of it, and it is written out. `RIDEGUARD_BENCH_ENROL` (`100000`) changes the rows, `_RATE` the fixes a second.

#[path = "support/cpu.rs"]
mod cpu;

use anyhow::{Context, ensure};
use rideguard::api::hash_password;
use rideguard::config::Config;
use rideguard::store::{self, Role};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Trackers that send beside the import.
const TRACKERS: usize = 600;
/// Rows of the small import, with whose memory that of the large one is compared.
const FEW: usize = 10_000;
/// The load alone, before anything is imported, seconds.
const ALONE_S: u64 = 8;
/// Given up after so long.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Surnames and given names: the commonest characters, so that each stands in many names.
const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗";
const GIVEN: &str = "伟明芳娜秀英敏静丽强磊军洋勇艳杰娟涛超霞平刚桂华建国志红玉兰";

/// A process that is stopped with the bench.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), nix::sys::signal::Signal::SIGINT);
        let _ = self.0.wait();
    }
}

/// The program at work, and somebody who may import.
struct Place {
    folder: PathBuf,
    http: String,
    token: String,
    /// One for all requests, as a page has: each new one reads every certificate authority.
    client: reqwest::Client,
    program: Started,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let rows = number("RIDEGUARD_BENCH_ENROL", 100_000);
    let place = Place::make().await?;
    let _load = place.load(number("RIDEGUARD_BENCH_RATE", 1000))?;
    let before = place.spent_s()?;
    tokio::time::sleep(Duration::from_secs(ALONE_S)).await;
    let alone: Vec<f64> = before.iter().zip(place.spent_s()?).map(|(b, a)| (a - b) / ALONE_S as f64).collect();
    for (rows, from) in [(FEW, 0), (rows, FEW)] {
        let name = if rows % 1000 == 0 { format!("{}k", rows / 1000) } else { rows.to_string() };
        place.forget_peak()?;
        let (before, began) = (place.spent_s()?, Instant::now());
        place.import(&table(from, rows)).await?;
        let took_s = began.elapsed().as_secs_f64();
        let spent = place.spent_s()?;
        let of_import = |who: usize| spent[who] - before[who] - alone[who] * took_s;
        println!("enrol.import_{name}: {took_s:.1} s");
        println!("enrol.import_{name}_backend_cpu: {:.1} s", of_import(1));
        println!("enrol.import_{name}_api_cpu: {:.1} s", of_import(0));
        println!("enrol.import_{name}_api_peak: {:.0} MiB", place.peak_mib()?);
    }
    place.search(FEW + rows).await?;
    place.forget_peak()?;
    let began = Instant::now();
    let lines = place.export().await?;
    println!("enrol.export_{}k: {:.1} s", lines / 1000, began.elapsed().as_secs_f64());
    println!("enrol.export_{}k_api_peak: {:.0} MiB", lines / 1000, place.peak_mib()?);
    let folder = place.folder.clone();
    drop(place);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A file of so many lines, with every fact but the id number.
fn table(from: usize, rows: usize) -> Vec<u8> {
    let mut text = String::from("姓名,手机号,车牌号,车型,品牌,颜色,车架号,终端号,协议,ICCID,批次\n");
    for n in from..from + rows {
        let (letter, number) = (char::from(b'A' + (n / 10_000 % 26) as u8), n % 10_000);
        let _ = writeln!(
            text,
            "{},139{n:08},湘J·{letter}{number:04},电动自行车,雅迪,红,FRAME{n:08},E{n:07},jt808,8986{n:016},B{}",
            name_of(n),
            n / 1000
        );
    }
    text.into_bytes()
}

/// The name of owner number so many; numbers beside each other have nothing in common.
fn name_of(n: usize) -> String {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let one = |of: &str, at: usize| of.chars().nth(at % of.chars().count()).unwrap_or('王');
    let mut name = String::from(one(SURNAMES, mixed));
    name.push(one(GIVEN, mixed / 31));
    if !mixed.is_multiple_of(5) {
        name.push(one(GIVEN, mixed / 1009));
    }
    name
}

impl Place {
    async fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("rideguard-bench-{:08x}", rand::random::<u32>()));
        std::fs::create_dir(&folder)?;
        let http = format!("127.0.0.1:{}", rideguard::supervisor::free_port()?);
        let metrics = format!("127.0.0.1:{}", rideguard::supervisor::free_port()?);
        let log = std::fs::File::create(folder.join("log"))?;
        let program = Command::new(env!("CARGO_BIN_EXE_rideguard"))
            .args(["up", "--demo", "--demo-without-simulator", "--broker", "--http", &http, "--metrics", &metrics])
            .args(["--demo-vehicles", &TRACKERS.to_string(), "--data"])
            .arg(folder.join("data"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut place =
            Self { folder, http, token: String::new(), client: reqwest::Client::new(), program: Started(program) };
        while !reqwest::get(format!("http://{}/ready", place.http)).await.is_ok_and(|a| a.status().is_success()) {
            ensure!(place.program.0.try_wait()?.is_none(), "the program ended");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let config = place.config()?;
        let client = store::connect(&store::settings(&config.database, Role::Admin)?, "bench").await?;
        let sql = "INSERT INTO account (login, name, role, password_hash, without_second_factor) VALUES ('bench', 'Bench', 'admin', $1, true)";
        client.execute(sql, &[&hash_password("long enough")?]).await?;
        let session = place.ask("POST", "/session", json!({ "login": "bench", "password": "long enough" })).await?;
        place.token = session["token"].as_str().context("a token")?.to_owned();
        Ok(place)
    }

    fn config(&self) -> anyhow::Result<Config> {
        Config::read(&self.folder.join("data/rideguard.toml"))
    }

    /// Trackers that send as long as the bench takes.
    fn load(&self, rate_per_s: usize) -> anyhow::Result<Started> {
        let program = Path::new(env!("CARGO_BIN_EXE_rideguard")).with_file_name("simulator");
        let broker = self.config()?.broker;
        let load = Command::new(program)
            .args(["load", "--broker", &format!("localhost:{}", broker.port), "--ca"])
            .arg(&broker.ca_file)
            .arg("--credentials")
            .arg(self.folder.join("data/trackers"))
            .args([format!("--rate={rate_per_s}"), format!("--connections={TRACKERS}")])
            .args([format!("--duration-s={}", PATIENCE.as_secs())])
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Started(load))
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> anyhow::Result<reqwest::Response> {
        let answer = self
            .client
            .request(method.parse()?, format!("http://{}/api/v1{path}", self.http))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await?;
        ensure!(answer.status().is_success(), "{method} {path}: {} {}", answer.status(), answer.text().await?);
        Ok(answer)
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.send(method, path, body.to_string().into_bytes()).await?.text().await?)?)
    }

    /// Sends a file and waits until all of it is in the registry.
    async fn import(&self, file: &[u8]) -> anyhow::Result<()> {
        let began = Instant::now();
        let made = json!({ "file_name": "city.csv", "reason": "bench" });
        let import = self.ask("POST", "/registry/imports", made).await?;
        let path = format!("/registry/imports/{}", import["id"].as_str().context("an id")?);
        let answer = self.send("PUT", &format!("{path}/file"), file.to_vec()).await?;
        let checked: Value = serde_json::from_str(&answer.text().await?)?;
        ensure!(checked["bad"] == 0, "{checked}");
        eprintln!("{} rows are checked after {:.1} s", checked["rows"], began.elapsed().as_secs_f64());
        self.ask("POST", &format!("{path}/start"), json!({})).await?;
        loop {
            let state = self.ask("GET", &path, json!({})).await?;
            if state["state"] == "done" {
                ensure!(state["refused"] == 0 && state["trackers_made"] == checked["rows"], "{state}");
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it takes too long: {state}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Questions of all kinds, some of two characters, some that find thousands and some that find nothing.
    async fn search(&self, rows: usize) -> anyhow::Result<()> {
        let (mut took_ms, mut slowest) = (Vec::new(), (0.0, String::new()));
        for n in (0..200).map(|n| n * 7919 % rows) {
            let name = name_of(n);
            // A given name of one character stands at no beginning: then the whole name.
            let given: String = name.chars().skip(usize::from(name.chars().count() > 2)).collect();
            let surname: String = name.chars().take(1).collect();
            for (kind, text) in [
                ("people", given.clone()),
                ("people", name.clone()),
                ("people", surname),
                ("people", format!("139{n:08}")),
                ("people", format!("{:04}", n % 10_000)),
                ("vehicles", format!("湘J{}{:04}", char::from(b'A' + (n / 10_000 % 26) as u8), n % 10_000)),
                ("vehicles", given),
                ("vehicles", format!("{n:05}")),
                ("vehicles", format!("e{:03}", n / 10_000)),
                ("trackers", format!("E{n:07}")),
                ("trackers", format!("b{}", n / 10_000)),
                ("trackers", format!("8986{n:016}")),
                ("trackers", "nothing".to_owned()),
            ] {
                let began = Instant::now();
                let mut path = format!("/registry/{kind}?q=");
                for byte in text.bytes() {
                    let _ = write!(path, "%{byte:02x}");
                }
                let found = self.ask("GET", &path, json!({})).await?;
                let ms = began.elapsed().as_secs_f64() * 1000.0;
                ensure!((text == "nothing") == (found["rows"] == json!([])), "{kind} {text}: {found}");
                took_ms.push(ms);
                if ms > slowest.0 {
                    slowest = (ms, format!("{kind} {text}"));
                }
            }
        }
        took_ms.sort_by(f64::total_cmp);
        let share = |p: f64| took_ms[((took_ms.len() - 1) as f64 * p).round() as usize];
        println!("registry.search_p50: {:.1} ms", share(0.5));
        println!("registry.search_p95: {:.1} ms", share(0.95));
        println!("registry.search_max: {:.1} ms", share(1.0));
        eprintln!("the slowest of {}: {}", took_ms.len(), slowest.1);
        Ok(())
    }

    /// Lines of the export, which is read and thrown away.
    async fn export(&self) -> anyhow::Result<usize> {
        let mut answer = self.send("GET", "/registry/export?reason=bench", Vec::new()).await?;
        let mut lines = 0;
        while let Some(part) = answer.chunk().await? {
            lines += part.iter().filter(|b| **b == b'\n').count();
        }
        Ok(lines)
    }

    /// Processor time of the program, and of PostgreSQL with all its backends.
    fn spent_s(&self) -> anyhow::Result<[f64; 2]> {
        let file = self.folder.join("data/services/postgres/data/postmaster.pid");
        let postmaster = std::fs::read_to_string(file)?.lines().next().context("a process")?.trim().parse()?;
        Ok([cpu::cpu_s(self.program.0.id()), cpu::with_children_s(postmaster)])
    }

    /// The peak of the program's memory begins again (proc(5), clear_refs).
    fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.program.0.id()), "5")?)
    }

    fn peak_mib(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.program.0.id()))?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("a peak")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
    }
}
