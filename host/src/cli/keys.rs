//! `mayfly keys`: the keys that sign requests for control.

use std::process::ExitCode;

use clap::Subcommand;
use storage::DataDir;

use super::output;
use super::places::Places;
use crate::auth::credentials::PROFILE;
use crate::auth::root_key::{Endpoint, KeyPlaces, RootKey};

/// Manages access keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly keys rotate-root                        when nobody has the root key any more
  mayfly keys rotate-root --data /var/lib/mayfly")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Replace the root key; the server must be stopped
    ///
    /// Works on the data directory itself, so it needs no key. The new one is written to the credentials
    /// file; the old one is refused from the next start on.
    RotateRoot,
}

/// Does what was asked.
pub(super) fn run(keys: &Keys, places: &Places) -> anyhow::Result<ExitCode> {
    match keys.command {
        KeysCommand::RotateRoot => rotate_root(places),
    }
}

fn rotate_root(places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    anyhow::ensure!(
        config.data_dir.is_dir(),
        "there is no data directory {}; say where it is with --data",
        config.data_dir.display()
    );
    // Holding it keeps a server from starting half way.
    let data_dir = DataDir::open(&config.data_dir)?;
    let key_places = KeyPlaces {
        data_dir: data_dir.path(),
        key_file: &config.key_file,
        credentials: &config.credentials,
    };
    let key = RootKey::rotate(&key_places, &Endpoint::of(&config, config.control))?;
    output::note(&format!(
        "the root key is {} now; it is the profile [{PROFILE}] in {}",
        key.access_key_id(),
        config.credentials.display()
    ));
    Ok(ExitCode::SUCCESS)
}
