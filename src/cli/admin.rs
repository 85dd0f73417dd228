//! `rideguard admin`: enters people, vehicles, trackers and grants into a database.

use crate::api::{self, check_password, hash_password};
use crate::cli::{block_on, demo, say};
use crate::config::{Config, Notify};
use crate::domain::topic::up_topic;
use crate::domain::{Profile, TrackerIdent, Transport};
use crate::protocol::PROTOCOLS;
use crate::protocol::connected;
use crate::store::accounts;
use crate::store::broker_users::{self, BrokerUser};
use crate::store::registry;
use crate::store::registry::NewAccount;
use crate::store::{self, Role, plates, units};
use crate::supervisor::broker::ACL;
use crate::supervisor::data_dir::write_private;
use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio_postgres::Transaction;

/// Flags of `admin`.
#[derive(Parser)]
pub struct Args {
    /// Settings file.
    #[arg(long, global = true, default_value = "./data/rideguard.toml", env = "RIDEGUARD_CONFIG")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    One(Thing),
    /// Lists the vehicles whose plate was shared or empty before plates had one form, as JSON lines.
    Plates,
    /// Prints a new address of the first start, while there is no administrator. The one before is dead.
    SetupLink,
    /// Writes the password file and the access list for a Mosquitto of one's own: every tracker with a credential.
    BrokerFiles {
        /// Folder for `passwords` and `acl`.
        #[arg(long)]
        out: PathBuf,
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

/// Who looks after what is entered. Without it: the organisation of the operators, where they are all of one.
#[derive(clap::Args)]
struct Within {
    /// Organisation that looks after it.
    #[arg(long)]
    organisation: Option<String>,
    /// Unit of that organisation; without it, its first.
    #[arg(long, requires = "organisation")]
    unit: Option<String>,
}

impl Within {
    /// Puts a thing into the unit, if one was named.
    async fn take(&self, client: &Transaction<'_>, what: units::Thing, number: i64) -> anyhow::Result<()> {
        let Some(organisation) = &self.organisation else { return Ok(()) };
        units::put_into(client, what, number, organisation, self.unit.as_deref()).await
    }
}

/// What is entered one at a time.
#[derive(Subcommand)]
enum Thing {
    /// Makes an account, or gives it a new password (read from standard input). What is not given stays as it is.
    Account {
        /// What is typed to log in: 1 to 64 of A-Z a-z 0-9 . _ @ -
        #[arg(value_parser = login)]
        login: String,
        /// What the person may do.
        #[arg(long, value_parser = ["owner", "family", "installer", "operator", "police", "approver", "auditor", "admin"])]
        role: String,
        /// How the person is called.
        #[arg(long)]
        name: String,
        /// Where alerts go: an https address, or http where notify.allow_http_webhooks is set.
        #[arg(long, requires = "webhook_secret", value_parser = webhook_url)]
        webhook_url: Option<String>,
        /// Key of the webhook's signature.
        #[arg(long, requires = "webhook_url")]
        webhook_secret: Option<String>,
        /// From now on no alert is sent to a webhook.
        #[arg(long, conflicts_with = "webhook_url")]
        no_webhook: bool,
        /// For scripts and tests: logs in by its password alone, whatever its role. Holds until the command is given without it.
        #[arg(long)]
        without_second_factor: bool,
        #[command(flatten)]
        within: Within,
    },
    /// Takes the second factor of somebody who has lost it; the next log-in asks to enrol another. Sessions end.
    ForgetSecondFactor {
        /// The login.
        login: String,
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
        /// How it connects: mqtt, or socket: its language on a TCP or UDP port of the door. Without it: as before, or mqtt.
        #[arg(long, value_parser = transport)]
        transport: Option<Transport>,
        #[command(flatten)]
        within: Within,
    },
    /// Registers a vehicle with its owner, and the tracker that it carries.
    Vehicle {
        /// Its plate, in any spelling.
        plate: String,
        /// What it is.
        #[arg(long, value_parser = ["ebike", "motorcycle"])]
        kind: String,
        /// Login of its owner.
        #[arg(long)]
        owner: String,
        /// Identifier of its tracker.
        #[arg(long)]
        tracker: Option<String>,
        /// Takes the tracker out that it carried until now; what is armed stays armed.
        #[arg(long, requires = "tracker")]
        replace: bool,
        #[command(flatten)]
        within: Within,
    },
    /// Gives a vehicle another plate.
    Plate {
        /// Number of the vehicle, as `admin plates` and `admin vehicle` print it.
        vehicle: i64,
        /// The plate, in any spelling.
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        plate: Option<String>,
        /// The vehicle has none.
        #[arg(long)]
        none: bool,
    },
    /// Gives a vehicle to another owner; zones, schedule, guarding and phones of the earlier one end.
    Transfer {
        /// Number of the vehicle, as `admin vehicle` printed it.
        vehicle: i64,
        /// Login of its new owner.
        #[arg(long)]
        to: String,
    },
    /// Lets an account in no more: its sessions end, and its webhook gets nothing.
    Disable {
        /// Its login.
        login: String,
    },
    /// Lets a disabled account in again; its owner logs in again.
    Enable {
        /// Its login.
        login: String,
    },
    /// Ends a grant now.
    Revoke {
        /// Its number, as `admin grant` printed it.
        grant: i64,
    },
    /// Gives an officer access for a case.
    Grant {
        /// Login of the officer, who is police.
        officer: String,
        /// Login of the approver, who is somebody else, police or admin.
        #[arg(long)]
        approver: String,
        /// Case number.
        #[arg(long)]
        case_number: String,
        /// What it is for.
        #[arg(long)]
        purpose: String,
        /// How long, days, at most 366.
        #[arg(long, default_value_t = 30.0, value_parser = days)]
        days: f64,
        /// Days after a look until the vehicle's owner may know of it, at most 3650; 0 where the law lets the owner know at once.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i32).range(0..=3650))]
        tell_owner_after: i32,
    },
}

/// Longest grant, days: a case that goes on is approved again.
const GRANT_DAYS_MAX: f64 = 366.0;

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "mqtt" => Ok(Transport::Mqtt),
        "socket" => Ok(Transport::Socket),
        _ => Err("it must be mqtt or socket".into()),
    }
}

fn login(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_fine) {
        return Ok(text.to_owned());
    }
    Err("a login has 1 to 64 of A-Z a-z 0-9 . _ @ -".into())
}

fn webhook_url(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.to_owned()),
        Ok(url) => Err(format!("its scheme is {}; it must be http or https", url.scheme())),
        Err(error) => Err(error.to_string()),
    }
}

fn days(text: &str) -> Result<f64, String> {
    let days: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if days > 0.0 && days <= GRANT_DAYS_MAX {
        return Ok(days);
    }
    Err(format!("it must be above 0 and at most {GRANT_DAYS_MAX}"))
}

/// Enters one thing.
///
/// # Errors
/// What is wrong with it.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    block_on(async {
        let mut client = store::connect(&store::settings(&config.database, Role::Admin)?, "admin").await?;
        match args.command {
            Command::Demo { vehicles, logins } => {
                demo::enter(&client, &demo::logins(&logins)?, vehicles, None).await?;
                say(format_args!("the demonstration's logins are in {}", logins.display()))?;
            }
            Command::BrokerFiles { out } => {
                let (users, _) = broker_users::changed_since(&client, None).await?;
                let trackers = write_broker_files(&out, &users)?;
                registry::note_command(&client, "admin broker-files", &json!({ "trackers": trackers })).await?;
                say(format_args!("{trackers} trackers are in {}", out.join("passwords").display()))?;
            }
            Command::Plates => {
                registry::note_command(&client, "admin plates", &json!({})).await?;
                for line in plates::unclear(&client).await? {
                    say(line)?;
                }
            }
            Command::SetupLink => {
                let code = api::new_code();
                accounts::put_setup_code(&client, &api::digest_of_code(&code)).await?;
                registry::note_command(&client, "admin setup-link", &json!({})).await?;
                say(accounts::setup_address(&config.http, &code))?;
            }
            Command::One(thing) => {
                let transaction = client.transaction().await?;
                let entered = enter(&transaction, thing, &config.notify).await?;
                transaction.commit().await?;
                say(entered)?;
            }
        }
        Ok(())
    })
}

/// Writes what a Mosquitto of one's own reads; our own users are its administrator's. How many trackers are in it.
fn write_broker_files(out: &Path, users: &[BrokerUser]) -> anyhow::Result<usize> {
    let mut lines: Vec<String> =
        users.iter().filter_map(|(_, ident, hash)| Some(format!("{ident}:{}\n", hash.as_ref()?))).collect();
    lines.sort_unstable();
    for (name, text) in [("passwords", lines.concat().as_str()), ("acl", ACL)] {
        let fresh = out.join(name).with_extension("new");
        write_private(&fresh, text)?;
        std::fs::rename(fresh, out.join(name))?;
    }
    Ok(lines.len())
}

/// Enters one thing and says what was entered.
async fn enter(client: &Transaction<'_>, thing: Thing, notify: &Notify) -> anyhow::Result<String> {
    let (command, entered) = match thing {
        Thing::Account {
            login,
            role,
            name,
            webhook_url,
            webhook_secret,
            no_webhook: drops_webhook,
            without_second_factor,
            within,
        } => {
            if webhook_url.as_ref().is_some_and(|url| url.to_ascii_lowercase().starts_with("http:")) {
                ensure!(
                    notify.allow_http_webhooks,
                    "the webhook is plain http, in which anybody on the way reads plate and position; give an https \
                     address, or set notify.allow_http_webhooks"
                );
            }
            let hash = hash_password(&read_password(&[&login, &name])?)?;
            let webhook = webhook_url.as_deref().zip(webhook_secret.as_deref());
            let (login, name, role, password_hash) = (&*login, &*name, &*role, &*hash);
            let new = NewAccount {
                login,
                name,
                role,
                password_hash,
                unit: None,
                webhook,
                drops_webhook,
                without_second_factor,
            };
            let account = registry::put_account(client, &new).await?;
            if let Some(organisation) = &within.organisation {
                let kind = if role == "police" { "police" } else { "operator" };
                units::make(client, organisation, kind, within.unit.as_deref().unwrap_or(organisation)).await?;
            }
            within.take(client, units::Thing::Account, account).await?;
            registry::end_sessions(client, account).await?;
            ("admin account", format!("account {account} {login}"))
        }
        Thing::Tracker { ident, protocol, model, transport, within } => {
            let ident = TrackerIdent::parse(&ident)?;
            if !PROTOCOLS.iter().any(|p| p.name == protocol) {
                let names: Vec<_> = PROTOCOLS.iter().map(|p| p.name).collect();
                bail!("no protocol is called {protocol:?}; there are {}", names.join(", "));
            }
            let transport = match transport {
                Some(transport) => transport,
                None => registry::transport(client, ident.as_str()).await?.unwrap_or_default(),
            };
            ensure!(
                transport == Transport::Mqtt || connected::spoken(&protocol).is_some(),
                "{protocol} is not spoken on a socket of its own; there are {}",
                connected::names()
            );
            let profile = Profile { model, transport, ..Profile::of(&protocol) };
            let id = registry::put_tracker(client, ident.as_str(), &profile).await?;
            within.take(client, units::Thing::Tracker, id).await?;
            let comes = match transport {
                Transport::Mqtt => format!("publishes to {}", up_topic(ident.as_str())),
                Transport::Socket => format!("comes to the door's listener of {protocol}"),
            };
            ("admin tracker", format!("tracker {id} {ident} {comes}"))
        }
        Thing::Vehicle { plate, kind, owner, tracker, replace, within } => {
            let owner = registry::account(client, &owner, &["owner"]).await?;
            let (vehicle, plate) = registry::put_vehicle(client, &plate, &kind, "", owner).await?;
            if let Some(ident) = tracker {
                registry::install(client, registry::tracker(client, &ident).await?, vehicle, replace).await?;
            }
            within.take(client, units::Thing::Vehicle, vehicle).await?;
            ("admin vehicle", format!("vehicle {vehicle} {plate}"))
        }
        Thing::Plate { vehicle, plate, none: _ } => {
            ("admin plate", format!("vehicle {vehicle} {}", plates::set(client, vehicle, plate.as_deref()).await?))
        }
        Thing::Grant { officer, approver, case_number, purpose, days, tell_owner_after } => {
            let officer = registry::account(client, &officer, &["police"]).await?;
            let approver = registry::account(client, &approver, &["police", "admin"]).await?;
            let grant =
                registry::put_grant(client, officer, approver, &case_number, &purpose, (days, tell_owner_after))
                    .await?;
            ("admin grant", format!("grant {grant}"))
        }
        Thing::Transfer { vehicle, to } => {
            registry::transfer(client, vehicle, registry::account(client, &to, &["owner"]).await?).await?;
            ("admin transfer", format!("vehicle {vehicle} belongs to {to}"))
        }
        Thing::Revoke { grant } => {
            registry::revoke_grant(client, grant).await?;
            ("admin revoke", format!("grant {grant} has ended"))
        }
        Thing::ForgetSecondFactor { login } => {
            let account = accounts::forget_second_factor(client, &login).await?;
            registry::end_sessions(client, account).await?;
            ("admin forget-second-factor", format!("account {account} {login}"))
        }
        Thing::Disable { login } => {
            ("admin disable", format!("account {} {login}", registry::set_disabled(client, &login, true).await?))
        }
        Thing::Enable { login } => {
            ("admin enable", format!("account {} {login}", registry::set_disabled(client, &login, false).await?))
        }
    };
    registry::note_command(client, command, &json!({ "entered": entered })).await?;
    Ok(entered)
}

fn read_password(about: &[&str]) -> anyhow::Result<String> {
    let mut said = String::new();
    std::io::stdin().read_line(&mut said).context("cannot read the password from standard input")?;
    let said = said.trim_end_matches(['\r', '\n']);
    check_password(said, about)?;
    Ok(said.to_owned())
}
