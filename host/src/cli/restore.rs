//! `mayfly restore`: a data directory from a backup. Needs no server.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::output::answer;
use super::places::Places;

/// Makes a data directory from a backup.
///
/// The directory must be empty or not be there. Everything is checked before it is put in its place.
///
/// A server that is started on it runs the events that waited and the schedules, so stop the original
/// first. It makes a new root key at its first start, in a credentials file of its own: --credentials
/// says where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly restore site.tar --data /srv/mayfly/data
  mayfly serve --data /srv/mayfly/data --credentials /srv/mayfly/credentials")]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Restores the backup.
pub(super) fn run(command: &Restore, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let path = command.file.display();
    let file = File::open(&command.file).with_context(|| format!("reading {path} failed"))?;
    let manifest = storage::restore(&mut BufReader::new(file), &config.data_dir)
        .with_context(|| format!("restoring {path} failed"))?;
    answer(format!(
        "{}: {} files, {} records in the ledger\n",
        config.data_dir.display(),
        manifest.files.len(),
        manifest.records
    ))?;
    Ok(ExitCode::SUCCESS)
}
