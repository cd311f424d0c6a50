//! `mayfly backup`: one file with everything that a site needs to go on elsewhere.
//!
//! Asks the running server, which goes on meanwhile; without one it makes the backup itself.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use domain::Clock;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use storage::{Backup as StorageBackup, DataDir, Ledger, LedgerSettings};

use super::output::{answer, note};
use super::places::Places;
use crate::client::ClientError;

/// How many names are tried for the file while it is written.
const NAMES_MAX: u32 = 1_000;

/// Makes a backup of functions, versions, identities, events that wait, schedules, the ledger and the audit log.
///
/// A server on a restored copy runs the events that waited, and the schedules, again: beside the original
/// they run twice. Not in it: compiled code (made again), the logs of functions, and the key file that secrets are sealed with. Keep that file elsewhere; without it the stored access keys can't be used.
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
    anyhow::ensure!(
        fs::symlink_metadata(to).is_err(),
        "{} is there already",
        to.display()
    );
    let mut part = Part::beside(to)?;
    match Places::client(&config)?.download("/mayfly/backup", &mut part.file) {
        Err(ClientError::NoServer { .. }) => {
            note(&format!(
                "no server answers; reading `{}`",
                config.data_dir.display()
            ));
            of_directory(&config.data_dir, &mut part.file)?;
        }
        downloaded => drop(downloaded?),
    }
    let bytes = part.put(to)?;
    answer(format!("{}: {bytes} bytes\n", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A backup that is being written, in the folder where it is to be. Removed when it is dropped.
struct Part {
    file: File,
    path: PathBuf,
    is_moved: bool,
}

impl Part {
    /// A new file that nobody else may read.
    fn beside(to: &Path) -> anyhow::Result<Self> {
        let mut number = 0_u32;
        loop {
            let path = with_suffix(to, &format!(".part-{number}"));
            let mut options = fs::OpenOptions::new();
            match options.write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        is_moved: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => {
                    number += 1;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("writing {} failed", to.display()));
                }
            }
        }
    }

    /// Gives it its name, durably, unless something has that name; how many bytes it is.
    fn put(mut self, to: &Path) -> anyhow::Result<u64> {
        let bytes = self.name(to).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow::anyhow!("{} is there already", to.display()),
            _ => anyhow::Error::new(error).context(format!("writing {} failed", to.display())),
        })?;
        Ok(bytes)
    }

    fn name(&mut self, to: &Path) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => self.is_moved = true,
            // Some file systems can't but by a second name; the first goes when this is dropped.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(&self.path, to)?,
            Err(error) => return Err(error.into()),
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_moved {
            drop(fs::remove_file(&self.path));
        }
    }
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
    StorageBackup::begin(&data_dir, None, &ledger, made_by)?.write(file)?;
    file.flush()?;
    ledger.close()?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
