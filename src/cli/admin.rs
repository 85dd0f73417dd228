//! `rideguard admin`: enters people and things into a database.

use super::{block_on, demo};
use crate::api::hash_password;
use crate::config::Config;
use crate::domain::{Profile, Shard, TrackerIdent};
use crate::protocol::PROTOCOLS;
use crate::store::people::{self, NewAccount};
use crate::store::{self, Role};
use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Flags of `admin`.
#[derive(Parser)]
pub struct Args {
    /// Settings file.
    #[arg(long, default_value = "./data/rideguard.toml", env = "RIDEGUARD_CONFIG")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an account, or gives it a new password (read from standard input).
    Account {
        /// What is typed to log in.
        login: String,
        /// owner, police, operator or admin.
        #[arg(long)]
        role: String,
        /// How the person is called.
        #[arg(long)]
        name: String,
        /// Where alerts go.
        #[arg(long, requires = "webhook_secret")]
        webhook_url: Option<String>,
        /// Key of the webhook's signature.
        #[arg(long)]
        webhook_secret: Option<String>,
    },
    /// Registers a tracker and prints its topic.
    Tracker {
        /// Its identifier on the wire.
        ident: String,
        /// Its language.
        #[arg(long)]
        protocol: String,
        /// Its model, where the language has dialects.
        #[arg(long)]
        model: Option<String>,
    },
    /// Registers a vehicle with its owner, and the tracker that it carries.
    Vehicle {
        /// Its plate.
        plate: String,
        /// ebike or motorcycle.
        #[arg(long)]
        kind: String,
        /// Login of its owner.
        #[arg(long)]
        owner: String,
        /// Identifier of its tracker.
        #[arg(long)]
        tracker: Option<String>,
    },
    /// Gives an officer access for a case.
    Grant {
        /// Login of the officer.
        officer: String,
        /// Login of the approver, who is somebody else.
        #[arg(long)]
        approver: String,
        /// Case number.
        #[arg(long)]
        case_number: String,
        /// What it is for.
        #[arg(long)]
        purpose: String,
        /// How long, days.
        #[arg(long, default_value_t = 30.0)]
        days: f64,
    },
    /// Enters the people, vehicles and trackers of the demonstration.
    Demo {
        /// How many vehicles.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(3..=5000))]
        vehicles: u16,
        /// File of the logins; made if it is missing.
        #[arg(long)]
        logins: PathBuf,
    },
}

/// Shortest password, characters.
const PASSWORD_CHARACTERS_MIN: usize = 8;

/// Enters one thing.
///
/// # Errors
/// What is wrong with it.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    block_on(async {
        let client = store::connect(&store::settings(&config.database, Role::Owner)?, "admin").await?;
        match args.command {
            Command::Account { login, role, name, webhook_url, webhook_secret } => {
                let mut password = String::new();
                std::io::stdin().read_line(&mut password).context("cannot read the password from standard input")?;
                let password = password.trim_end_matches(['\r', '\n']);
                if password.chars().count() < PASSWORD_CHARACTERS_MIN {
                    bail!("the password is too short; it needs {PASSWORD_CHARACTERS_MIN} characters at least");
                }
                let webhook = webhook_url.as_deref().zip(webhook_secret.as_deref());
                let hash = hash_password(password)?;
                let id = people::put_account(
                    &client,
                    &NewAccount { login: &login, name: &name, role: &role, password_hash: &hash, unit: None, webhook },
                )
                .await?;
                println!("account {id} {login}");
            }
            Command::Tracker { ident, protocol, model } => {
                let ident = TrackerIdent::parse(&ident)?;
                if !PROTOCOLS.iter().any(|p| p.name == protocol) {
                    let names: Vec<_> = PROTOCOLS.iter().map(|p| p.name).collect();
                    bail!("no protocol is called {protocol:?}; there are {}", names.join(", "));
                }
                let id =
                    people::put_tracker(&client, ident.as_str(), &Profile { model, ..Profile::of(&protocol) }).await?;
                println!("tracker {id} {ident} publishes to v1/{}/{ident}/up", Shard::of(ident.as_str()).0);
            }
            Command::Vehicle { plate, kind, owner, tracker } => {
                let owner = people::account(&client, &owner).await?;
                let vehicle = people::put_vehicle(&client, &plate, &kind, "", owner).await?;
                if let Some(ident) = tracker {
                    people::install(&client, people::tracker(&client, &ident).await?, vehicle).await?;
                }
                println!("vehicle {vehicle} {plate}");
            }
            Command::Demo { vehicles, logins } => {
                demo::enter(&client, &demo::logins(&logins)?, vehicles, None).await?;
                println!("the demonstration's logins are in {}", logins.display());
            }
            Command::Grant { officer, approver, case_number, purpose, days } => {
                let (officer, approver) =
                    (people::account(&client, &officer).await?, people::account(&client, &approver).await?);
                println!(
                    "grant {}",
                    people::put_grant(&client, officer, approver, &case_number, &purpose, days).await?
                );
            }
        }
        Ok(())
    })
}
