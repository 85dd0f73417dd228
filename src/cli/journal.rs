//! `rideguard journal`: the packets of the journal as JSON lines.

use crate::cli::args::SettingsArgs;
use crate::cli::database::connect;
use crate::cli::{block_on, time};
use crate::domain::topic::{self, Address};
use crate::domain::{Entry, Outcome, Timestamp};
use crate::store;
use crate::store::archive::keys::KeyStore;
use crate::store::journal::Asked;
use crate::store::registry;
use clap::Parser;
use serde_json::json;
use std::io::{BufWriter, Write};

/// Flags of `journal`.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Packets received at or after this time, RFC 3339; from the beginning if not given.
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// Packets received before this time, RFC 3339; to the end if not given.
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// Only packets on topics of this tracker.
    #[arg(long)]
    tracker: Option<String>,
}

/// Prints packets as JSON lines: `received_at`, `topic`, `principal`, `payload`, `outcome`.
///
/// # Errors
/// The database is away, or a row is damaged.
pub fn run(args: Args) -> anyhow::Result<()> {
    let from = args.from.unwrap_or(Timestamp::from_secs(0));
    let to = args.to.unwrap_or(Timestamp::from_secs(253_402_300_799));
    block_on(async {
        let (config, mut client) = connect(&args.settings).await?;
        // Packets hold places: whoever looks at them is looked at.
        let question = json!({ "from": args.from.map(|t| t.to_string()), "to": args.to.map(|t| t.to_string()), "tracker": args.tracker });
        registry::note_command(&client, "journal", &question).await?;
        let (mut not_kept, mut withheld) = (0, 0);
        let mut out = BufWriter::new(std::io::stdout().lock());
        let asked = Asked { from, to, tracker: args.tracker.clone() };
        store::journal::scan(&mut client, &KeyStore::of(&config.journal), &asked, |row| {
            for (i, entry) in row.entries.iter().enumerate() {
                let is_of = |tracker: &str| entry.topic().is_some_and(|said| topic::names(said, tracker));
                if entry.at() < from || entry.at() >= to || !args.tracker.as_deref().is_none_or(is_of) {
                    continue;
                }
                match entry {
                    Entry::Flood(flood) => not_kept += flood.packets,
                    Entry::Withheld(unwanted) => withheld += unwanted.packets,
                    _ => {}
                }
                let Entry::Packet(packet) = entry else { continue };
                let address = Address::parse(&packet.topic).ok();
                let outcome = row.outcomes.get(i).map_or("pending", |o: &Outcome| o.name());
                let line = json!({ "received_at": packet.received_at.to_string(), "topic": packet.topic, "principal": address.map(|a| a.principal()),
                    "payload": hex::encode(&packet.payload), "outcome": outcome, "digest": format!("{:016x}", packet.digest().0) });
                writeln!(out, "{line}")?;
            }
            Ok(())
        })
        .await?;
        out.flush()?;
        if not_kept > 0 {
            eprintln!(
                "{not_kept} packets beyond their trackers' quotas are counted and not kept (quarantine, reason flood)"
            );
        }
        if withheld > 0 {
            eprintln!("{withheld} packets were acknowledged and not kept: positioning was off by choice");
        }
        Ok(())
    })
}
