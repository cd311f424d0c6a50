//! `mayfly destinations`: what whoever gets records needs to believe them.
//!
//! Reads the data directory itself; no server is asked.

use std::process::ExitCode;

use clap::Subcommand;

use super::output::answer;
use super::places::Places;
use crate::trigger::queue::deliver::signing::WebhookSecret;
use crate::trigger::queue::destination::Origin;

/// Shows the key that records for an address are signed with.
///
/// Each origin (scheme, host and port) has a key of its own, made from the secret in the data directory.
/// Give it to whoever answers there, and to nobody else.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly destinations key https://hooks.example.com
  mayfly --data /var/lib/mayfly destinations key https://hooks.example.com:8443")]
pub(super) struct Destinations {
    #[command(subcommand)]
    command: DestinationsCommand,
}

#[derive(Debug, Subcommand)]
enum DestinationsCommand {
    /// Print the key of one origin: 64 digits, which are the key as they are
    Key {
        /// An address there, such as `https://hooks.example.com`; its path does not matter
        #[arg(value_name = "ORIGIN", value_parser = origin)]
        origin: Origin,
    },
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|error| error.to_string())
}

/// Prints the key.
pub(super) fn run(destinations: &Destinations, places: &Places) -> anyhow::Result<ExitCode> {
    match &destinations.command {
        DestinationsCommand::Key { origin } => {
            let secret = WebhookSecret::existing(&places.config()?.data_dir)?;
            let key = secret.key(origin).map_err(anyhow::Error::msg)?;
            answer(format!("{}\n", key.expose()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
