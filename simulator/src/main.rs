//! A city of e-bikes and motorcycles with ground truth. Shares no code with RideGuard, so that a
//! mistake of one cannot hide in the other. A checklist; see the modules.

mod city;
mod encode;
mod fleet;
mod load;
mod messages;
mod mqtt;
mod owners;
mod socket;
mod stress;
mod tracks;
mod truth;
mod vehicle;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Plays trackers of a city against a broker or a door.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a fleet in real time (or faster), with staged thefts, and writes the truth.
    Fleet(fleet::Args),
    /// Sends at a fixed rate, whatever the answers, and hides thefts in it.
    Load(load::Args),
    /// Presses a broker from thousands of connections, at given rates.
    #[command(alias = "flood")]
    Stress(stress::Args),
    /// A city's days with thefts and outages, into a file for the guard's replay or to a broker.
    City(city::command::Args),
    /// Writes days of a city's tracks into a file, for benches.
    Tracks(tracks::Args),
    /// Prints messages of trackers as JSON lines, with the truth.
    #[command(alias = "say")]
    Messages(messages::Args),
}

fn main() -> ExitCode {
    let result =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from).and_then(
            |runtime| {
                runtime.block_on(async {
                    match Cli::parse().command {
                        Command::Fleet(args) => fleet::run(args).await,
                        Command::Load(args) => load::run(args).await,
                        Command::Stress(args) => stress::run(&args),
                        Command::City(args) => city::command::run(args).await,
                        Command::Tracks(args) => tracks::run(&args),
                        Command::Messages(args) => messages::run(&args),
                    }
                })
            },
        );
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
