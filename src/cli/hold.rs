//! `rideguard hold`: legal holds. What a case needs is kept.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, say, time};
use crate::domain::Timestamp;
use crate::store::registry;
use crate::store::retention::holds;
use crate::store::retention::holds::{By, NewHold};
use clap::{Parser, Subcommand};
use serde_json::json;

/// Flags of `hold`.
#[derive(Parser)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// Who it is.
#[derive(Parser)]
struct Who {
    #[command(flatten)]
    settings: SettingsArgs,
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
    List(SettingsArgs),
}

/// Places, releases or lists holds.
///
/// # Errors
/// The database is away, or who may not.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let (What::Place { who: Who { settings, .. }, .. }
        | What::Release { who: Who { settings, .. }, .. }
        | What::List(settings)) = &args.what;
        let (_, client) = connect(settings).await?;
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
                registry::note_command(&client, "hold list", &json!({})).await?;
                for hold in holds::list(&client).await? {
                    say(hold)?;
                }
            }
        }
        Ok(())
    })
}
