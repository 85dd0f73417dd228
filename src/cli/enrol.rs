//! `rideguard import people`: a table of owners, vehicles and trackers into the registry, by the code of the page.

use crate::api::registry::IdKey;
use crate::api::registry::imports::{put_down, read_lines};
use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say};
use crate::config::read_secret;
use crate::domain::enrolment::{Field, mapping_of};
use crate::store::imports::{self, Caller};
use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde_json::Value;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Problems that the command prints.
const PRINTED_MAX: i64 = 100;
/// Until progress is said again.
const SAY_EVERY: Duration = Duration::from_secs(2);
/// Until an import that the server's own worker is at is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Flags of `import people`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// A CSV (UTF-8, GB18030) or XLSX; its first line has the headings.
    file: PathBuf,
    /// Only checks and reports.
    #[arg(long)]
    dry_run: bool,
    /// Leaves bad rows out; without it, one bad row keeps all of them out.
    #[arg(long)]
    only_good: bool,
    /// What a column holds, like 编号=ident; `-` leaves it out. May be given again.
    #[arg(long, value_name = "HEADING=FACT")]
    mapping: Vec<String>,
    /// Why, for the history.
    #[arg(long, default_value = "import on the server")]
    reason: String,
    /// Organisation whose people and things they are; needs --unit.
    #[arg(long, requires = "unit")]
    organisation: Option<String>,
    /// Unit of it.
    #[arg(long, requires = "organisation")]
    unit: Option<String>,
}

/// Imports a file, and says how it goes.
///
/// # Errors
/// The file is no table, rows are bad, or the database is away.
pub fn run(args: &Args) -> anyhow::Result<()> {
    block_on(async {
        let (config, client) = connect(&args.settings).await?;
        let key = IdKey::of(&read_secret(&config.database.api_password_file)?)?;
        let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
        let name = args.file.file_name().unwrap_or_default().to_string_lossy().chars().take(128).collect::<String>();
        let unit = args.organisation.as_deref().zip(args.unit.as_deref());
        let import = imports::make(&client, &name, &args.reason, unit).await?;
        let (send, mut parts) = mpsc::channel(2);
        let wanted = args.mapping.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mapping = |headings: &[String]| mapped(headings, &wanted);
            read_lines(file, Some(&mapping), &|n| key.hash(n), &mut |part| Ok(send.blocking_send(part)?))
        });
        while let Some(part) = parts.recv().await {
            put_down(&client, Caller::Admin, import, part).await?;
        }
        reading.await?.with_context(|| format!("in {}", args.file.display()))?;
        let checked = imports::checked(&client, Caller::Admin, import).await?;
        for (heading, fact) in pairs(&checked["headers"], &checked["mapping"]) {
            say(format!("column {heading}: {}", fact.as_deref().unwrap_or("left out")))?;
        }
        report(&client, import).await?;
        say(format!("{} rows, {} of them bad", checked["rows"], checked["bad"]))?;
        if args.dry_run {
            return Ok(());
        }
        imports::start(&client, import, args.only_good).await?;
        finish(&client, import).await
    })
}

fn pairs(headers: &Value, mapping: &Value) -> Vec<(String, Option<String>)> {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let headers = headers.as_array().into_iter().flatten().map(|h| text(h).unwrap_or_default());
    headers.zip(mapping.as_array().into_iter().flatten().map(text)).collect()
}

/// The facts of columns: those of their headings, but for what was asked for.
fn mapped(headings: &[String], wanted: &[String]) -> anyhow::Result<Vec<Option<Field>>> {
    let mut mapping = mapping_of(headings);
    for one in wanted {
        let (heading, fact) =
            one.split_once('=').with_context(|| format!("--mapping {one}: it must be HEADING=FACT"))?;
        let at = headings.iter().position(|h| h.trim() == heading.trim());
        let at = at.with_context(|| format!("--mapping {one}: no column is headed {heading:?}"))?;
        let field = if fact == "-" { None } else { Some(Field::of_name(fact)) };
        let all = || Field::all().map(Field::name).collect::<Vec<_>>().join(", ");
        let Some(field) = field.map_or(Some(None), |f| f.map(Some)) else {
            bail!("--mapping {one}: no fact is called {fact:?}; there are {}", all());
        };
        if let Some(other) = field.and_then(|f| mapping.iter().position(|m| *m == Some(f))) {
            mapping[other] = None;
        }
        mapping[at] = field;
    }
    ensure!(mapping.iter().any(Option::is_some), "no column holds a fact that we know; name one by --mapping");
    Ok(mapping)
}

async fn report(client: &tokio_postgres::Client, import: i64) -> anyhow::Result<()> {
    let problems = imports::problems(client, import, PRINTED_MAX + 1).await?;
    for p in problems.iter().take(usize::try_from(PRINTED_MAX)?) {
        let word = |name: &str| p[name].as_str().unwrap_or_default().to_owned();
        let allowed =
            Some(word("allowed")).filter(|a| !a.is_empty()).map(|a| format!("; allowed: {a}")).unwrap_or_default();
        say(format!("line {}: {} {:?}: {}{allowed}", p["line"], word("field"), word("value"), word("code")))?;
    }
    if problems.len() as i64 > PRINTED_MAX {
        say("and more")?;
    }
    Ok(())
}

/// Does what is left of an import beside the server's worker, whichever is first.
async fn finish(client: &tokio_postgres::Client, import: i64) -> anyhow::Result<()> {
    let (began, mut said) = (Instant::now(), Instant::now());
    loop {
        let stepped = imports::step(client, import).await?;
        if stepped.is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let state = match stepped {
            Some(state) => state,
            None => imports::state(client, import).await?.context("the import is gone")?,
        };
        match state["state"].as_str() {
            Some("running") if said.elapsed() > SAY_EVERY => {
                said = Instant::now();
                say(format!("{} of {} rows", state["gone_through"], state["rows"]))?;
            }
            Some("running") => {}
            Some("done") => {
                let rows = &state["gone_through"];
                let made = format!(
                    "{} people, {} vehicles and {} trackers are new",
                    state["people_made"], state["vehicles_made"], state["trackers_made"]
                );
                say(format!(
                    "{rows} rows in {:.1} s: {made}; {} rows were left out",
                    began.elapsed().as_secs_f64(),
                    state["refused"]
                ))?;
                return Ok(());
            }
            other => bail!("the import is {}", other.unwrap_or("in no state")),
        }
    }
}
