//! `mayfly backup`: one file with everything that a site needs to go on elsewhere.
//!
//! Asks the running server, which goes on meanwhile; without one it makes the backup itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use domain::Clock;
use storage::{Backup as StorageBackup, DataDir, Ledger, LedgerSettings};

use super::output::{answer, note};
use super::places::Places;
use crate::client::ClientError;

/// Makes a backup of functions, versions, identities, the ledger and the audit log.
///
/// Not in it: compiled code (made again), the logs of functions, and the key file that secrets are sealed with. Keep that file elsewhere; without it the stored access keys can't be used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly backup site.tar
  mayfly backup site.tar --data .mayfly
  tar tf site.tar
  mayfly restore site.tar --data /srv/mayfly/data")]
pub(super) struct Backup {
    /// Where to write it; an existing file is not replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Makes the backup.
pub(super) fn run(command: &Backup, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let to = &command.file;
    anyhow::ensure!(!to.exists(), "{} is there already", to.display());
    let part = with_suffix(to, ".part");
    let made = || -> anyhow::Result<u64> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .with_context(|| format!("writing {} failed", part.display()))?;
        match Places::client(&config)?.download("/mayfly/backup", &mut file) {
            Err(ClientError::NoServer { .. }) => {
                note(&format!(
                    "no server answers; reading `{}`",
                    config.data_dir.display()
                ));
                of_directory(&config.data_dir, &mut file)?;
            }
            downloaded => drop(downloaded?),
        }
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    let bytes = match made() {
        Ok(bytes) => bytes,
        Err(error) => {
            // What there is of it is no backup.
            drop(fs::remove_file(&part));
            return Err(error);
        }
    };
    fs::rename(&part, to).with_context(|| format!("writing {} failed", to.display()))?;
    answer(format!("{}: {bytes} bytes\n", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a backup of a directory that no server uses.
fn of_directory(data_dir: &Path, file: &mut File) -> anyhow::Result<()> {
    // Opening would make one.
    DataDir::open_for_reading(data_dir)?;
    let data_dir = DataDir::open(data_dir)?;
    let clock = Clock::system();
    let made_by = (env!("CARGO_PKG_VERSION"), clock.unix_ms());
    let settings = LedgerSettings {
        clock,
        ..LedgerSettings::default()
    };
    let ledger = Ledger::open(&data_dir, settings)?;
    StorageBackup::begin(&data_dir, made_by)?.write(&ledger, file)?;
    file.flush()?;
    ledger.close()?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
