//! The flag of every command that needs settings.

use clap::Parser;
use std::path::PathBuf;

/// Flags of a command that needs settings and nothing else.
#[derive(Parser)]
pub struct SettingsArgs {
    /// Settings file; see rideguard.example.toml. `rideguard up` writes one into its data folder.
    #[arg(long, default_value = "./data/rideguard.toml", env = "RIDEGUARD_CONFIG")]
    pub config: PathBuf,
}
