//! `rideguard purge`, `hold`, `erase`: how long what is kept.

use crate::cli::backstage::{connect, time};
use crate::cli::up::RoleArgs;
use crate::cli::{block_on, say};
use crate::domain::Timestamp;
use crate::store::archive::keys::KeyStore;
use crate::store::retention;
use crate::store::retention::erasure;
use crate::store::retention::erasure::Asked;
use crate::store::retention::holds;
use crate::store::retention::holds::{By, NewHold};
use anyhow::bail;
use clap::{Parser, Subcommand};

/// Flags of `purge`.
#[derive(Parser)]
pub struct PurgeArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Only counts what would go.
    #[arg(long)]
    dry_run: bool,
}

/// Flags of `hold`.
#[derive(Parser)]
pub struct HoldArgs {
    #[command(subcommand)]
    what: What,
}

/// Who it is.
#[derive(Parser)]
struct Who {
    #[command(flatten)]
    role: RoleArgs,
    /// Login of the officer or administrator.
    #[arg(long)]
    by: String,
    /// The officer's grant; the hold is of its case.
    #[arg(long)]
    grant: Option<i64>,
}

#[derive(Subcommand)]
enum What {
    /// Keeps a vehicle's positions and packets of a time until the hold ends or is released.
    Place {
        #[command(flatten)]
        who: Who,
        /// Number of the case, where no grant says it.
        #[arg(long)]
        case_number: Option<String>,
        /// Plate of the vehicle.
        #[arg(long)]
        plate: String,
        /// Begin of the time, RFC 3339.
        #[arg(long, value_parser = time)]
        from: Timestamp,
        /// End of the time, RFC 3339.
        #[arg(long, value_parser = time)]
        to: Timestamp,
        /// When the hold ends by itself, RFC 3339, within 5 years.
        #[arg(long, value_parser = time)]
        ends: Timestamp,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Releases a hold.
    Release {
        #[command(flatten)]
        who: Who,
        /// Number of the hold.
        hold: i64,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Prints every hold as a JSON line, the newest first.
    List(RoleArgs),
}

/// Flags of `erase`.
#[derive(Parser)]
pub struct EraseArgs {
    #[command(flatten)]
    role: RoleArgs,
    /// Login of the person, an owner.
    login: String,
    /// Login of the administrator who carries it out.
    #[arg(long)]
    by: String,
    /// Number of the person's request.
    #[arg(long)]
    request: String,
    /// Only counts what would go.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the nightly job now; prints its report as JSON.
///
/// # Errors
/// The database is away, a row is damaged, or a run is at work.
pub fn purge(args: PurgeArgs) -> anyhow::Result<()> {
    let report = block_on(async {
        let (config, mut client) = connect(&args.role).await?;
        retention::run(&mut client, &config.retention, &config.journal, args.dry_run).await
    })?;
    match report {
        Some(report) => Ok(say(serde_json::to_string_pretty(&report)?)?),
        None => bail!("another run of the retention job is at work; try again when it is over"),
    }
}

/// Places, releases or lists holds.
///
/// # Errors
/// The database is away, or who may not.
pub fn hold(args: HoldArgs) -> anyhow::Result<()> {
    block_on(async {
        let (What::Place { who: Who { role, .. }, .. }
        | What::Release { who: Who { role, .. }, .. }
        | What::List(role)) = &args.what;
        let (_, client) = connect(role).await?;
        let by = |who: &Who| By { login: who.by.clone(), grant: who.grant };
        match args.what {
            What::Place { who, case_number, plate, from, to, ends, reason } => {
                let hold = NewHold {
                    case_number: case_number.as_deref(),
                    plate: &plate,
                    window: (from, to),
                    ends_at: ends,
                    reason: &reason,
                };
                let id = holds::place(&client, &by(&who), &hold).await?;
                say(format_args!("hold {id}"))?;
            }
            What::Release { who, hold, reason } => {
                holds::release(&client, &by(&who), hold, &reason).await?;
                say(format_args!("hold {hold} is released"))?;
            }
            What::List(_) => {
                for hold in holds::list(&client).await? {
                    say(hold)?;
                }
            }
        }
        Ok(())
    })
}

/// Erases a person; prints the proof as JSON.
///
/// # Errors
/// The database is away, or there is no such owner or administrator.
pub fn erase(args: EraseArgs) -> anyhow::Result<()> {
    let report = block_on(async {
        let (config, mut client) = connect(&args.role).await?;
        let asked = Asked { login: &args.login, by: &args.by, request: &args.request, dry_run: args.dry_run };
        erasure::erase(&mut client, &KeyStore::of(&config.journal), &asked).await
    })?;
    Ok(say(serde_json::to_string_pretty(&report)?)?)
}
