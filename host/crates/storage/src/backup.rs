//! Backups: everything that a site needs to go on elsewhere, in one file that `tar` can list.
//!
//! In it are the databases (copied as of one moment each), the secret of the webhooks, the artifacts, the
//! ledger up to a record, and the audit log; last a manifest with the SHA-256 of each file. Not in it are
//! compiled code, the ledger's catalogue and its roll-ups, which are made again from the rest; the logs of
//! functions; the files that records of events were delivered to; and the key that secrets are sealed
//! with, which lies outside the data directory and has to be kept elsewhere.
//!
//! The databases are copied before the ledger, so what ran is never of a function that is not there. The
//! queue is kept from changing only while a moment is marked in it and in the ledger, and is copied as of
//! then while it goes on: what it closed has a record, and a record of an event is of an attempt that it
//! began.
//!
//! Knows nothing of what is in the databases.

mod restore;
mod tar;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::database::Copying;
use crate::disk::DiskFile;
use crate::ledger::snapshot::{Snapshot, SnapshotFile};
use crate::{DataDir, Ledger, Queue, StorageError, database, files, queue, space};

pub use restore::{RestoreError, restore};

/// The last file of a backup.
const MANIFEST: &str = "MANIFEST.json";
/// The newest format of a manifest.
const FORMAT: u32 = 1;
/// Where a backup puts things together, in the data directory.
pub(crate) const WORK: &str = "backup.tmp";
/// Where a backup is unpacked, in a data directory that was there. While this is there, it is not whole.
pub(crate) const UNFINISHED: &str = "restore.tmp";
/// The catalogue of the ledger.
const CATALOGUE: &str = "ledger.db";
const ARTIFACTS: &str = "artifacts";
const AUDIT: &str = "audit";
/// Signs what is posted to destinations, in the data directory: whoever gets it checks with it, so it must
/// outlive the disk.
pub const WEBHOOK_SECRET: &str = "webhook-secret";
/// Bytes that are read and written at once.
const PIECE_BYTES: usize = 256 << 10;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// Of this manifest.
    pub format: u32,
    /// When it was made, in Unix milliseconds.
    pub made_at_ms: u64,
    /// The version of Mayfly that made it.
    pub mayfly: String,
    /// The records of the ledger that were ever made, up to this backup.
    pub records: u64,
    /// Every other file, in the order in which they come.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Below the data directory.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A backup that is being made. One at a time: see [`Backup::begin`].
#[derive(Debug)]
pub struct Backup {
    data_dir: DataDir,
    work: Work,
    ledger: Snapshot,
    manifest: BackupManifest,
}

/// The directory where a backup puts things together; goes with this.
#[derive(Debug)]
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        // What is left over of a backup is removed at the next start.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Backup {
    /// Copies the databases, and takes hold of the artifacts and the ledger. The caller sees to it that
    /// only one backup of a data directory is made at a time, and hands in the queue if it is open.
    ///
    /// # Errors
    ///
    /// [`StorageError::ReadOnly`] when the directory is not ours, [`StorageError::Database`] when a
    /// database can't be copied, [`StorageError::Full`] when its copy would take space that is kept for
    /// the ledger.
    pub fn begin(
        data_dir: &DataDir,
        queue: Option<&Queue>,
        ledger: &Ledger,
        (mayfly, made_at_ms): (&str, u64),
    ) -> Result<Self, StorageError> {
        data_dir.require_writable()?;
        let path = data_dir.path().join(WORK);
        files::remove_dir(&path)?;
        files::create_dir(&path.join(ARTIFACTS))?;
        let work = Work(path);
        // What the copied records name is there until it is held.
        let _paused = data_dir.pause_sweeps();
        for (name, path) in files::list(data_dir.path())? {
            if name.ends_with(".db") && name != CATALOGUE && name != queue::FILE {
                require_space(data_dir, &path)?;
                database::copy(&path, &work.0.join(&name))?;
            }
        }
        hold_artifacts(data_dir, &work)?;
        let (copying, ledger) = pin_queue(data_dir, queue, ledger, &work)?;
        if let Some(copying) = copying {
            copying.finish()?;
        }
        Ok(Self {
            data_dir: data_dir.clone(),
            work,
            manifest: BackupManifest {
                format: FORMAT,
                made_at_ms,
                mayfly: mayfly.to_owned(),
                records: ledger.next_sequence.saturating_sub(1),
                files: Vec::new(),
            },
            ledger,
        })
    }

    /// Writes the backup.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when something can't be read, or `out` does not take it.
    pub fn write(mut self, out: &mut impl Write) -> Result<BackupManifest, StorageError> {
        for (name, path) in files::list(&self.work.0)? {
            if path.is_file() {
                self.add_path(&name, &path, out)?;
            }
        }
        let secret = self.data_dir.path().join(WEBHOOK_SECRET);
        self.add_path(WEBHOOK_SECRET, &secret, out)?;
        for (name, path) in files::list(&self.work.0.join(ARTIFACTS))? {
            self.add_path(&format!("{ARTIFACTS}/{name}"), &path, out)?;
        }
        for SnapshotFile { name, file, bytes } in std::mem::take(&mut self.ledger.files) {
            self.add(&name, &file, bytes, out)?;
        }
        let audit = self.data_dir.path().join(AUDIT);
        if audit.is_dir() {
            for (name, path) in files::list(&audit)? {
                self.add_path(&format!("{AUDIT}/{name}"), &path, out)?;
            }
        }
        let json = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|error| StorageError::io("writing", &self.work.0)(error.into()))?;
        let writing = StorageError::io("writing", Path::new(MANIFEST));
        (|| {
            tar::begin(out, MANIFEST, json.len() as u64)?;
            out.write_all(&json)?;
            tar::pad(out, json.len() as u64)?;
            tar::end(out)?;
            out.flush()
        })()
        .map_err(writing)?;
        Ok(self.manifest)
    }

    /// Adds a file as long as it is now.
    fn add_path(
        &mut self,
        name: &str,
        path: &Path,
        out: &mut impl Write,
    ) -> Result<(), StorageError> {
        let file = match DiskFile::open_for_reading(path) {
            // Dropped by retention meanwhile, or never made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(StorageError::io("opening", path))?,
        };
        let bytes = file.size().map_err(StorageError::io("reading", path))?;
        self.add(name, &file, bytes, out)
    }

    fn add(
        &mut self,
        name: &str,
        file: &DiskFile,
        bytes: u64,
        out: &mut impl Write,
    ) -> Result<(), StorageError> {
        let path = self.data_dir.path().join(name);
        let mut hash = Sha256::new();
        let mut copy = || {
            tar::begin(out, name, bytes)?;
            let mut piece = vec![0; PIECE_BYTES];
            let mut at = 0;
            while at < bytes {
                let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
                let piece_bytes = left.min(PIECE_BYTES);
                let piece = &mut piece[..piece_bytes];
                file.read_exact_at(piece, at)?;
                hash.update(&piece);
                out.write_all(piece)?;
                at += piece_bytes as u64;
            }
            tar::pad(out, bytes)
        };
        copy().map_err(StorageError::io("copying", &path))?;
        self.manifest.files.push(BackupFile {
            name: name.to_owned(),
            bytes,
            sha256: files::hex(&hash.finalize()),
        });
        Ok(())
    }
}

/// Marks a moment in the queue, which can be copied then, and in the ledger. A queue that nobody has open
/// does not change, and is copied at once: it may be of an older version.
fn pin_queue(
    data_dir: &DataDir,
    queue: Option<&Queue>,
    ledger: &Ledger,
    work: &Work,
) -> Result<(Option<Copying>, Snapshot), StorageError> {
    let path = data_dir.path().join(queue::FILE);
    let copy = work.0.join(queue::FILE);
    if path.exists() {
        require_space(data_dir, &path)?;
    }
    let Some(queue) = queue else {
        if path.exists() {
            database::copy(&path, &copy)?;
        }
        return Ok((None, ledger.snapshot()?));
    };
    let mut copying = Copying::prepare(&path, &copy, queue::SCHEMA)?;
    let _paused = queue.pause();
    copying.pin()?;
    Ok((Some(copying), ledger.snapshot()?))
}

/// Gives every artifact a second name, so that it stays while it is copied.
fn hold_artifacts(data_dir: &DataDir, work: &Work) -> Result<(), StorageError> {
    let directory = data_dir.path().join(ARTIFACTS);
    if !directory.is_dir() {
        return Ok(());
    }
    for (name, path) in files::list(&directory)? {
        if name.ends_with(files::TEMPORARY_SUFFIX) {
            continue;
        }
        match fs::hard_link(&path, work.0.join(ARTIFACTS).join(name)) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                ) =>
            {
                return Err(StorageError::io("linking", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether there is space for a copy of a database besides what is kept for the ledger.
fn require_space(data_dir: &DataDir, database: &Path) -> Result<(), StorageError> {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let needed = bytes(database).saturating_add(bytes(Path::new(&log)));
    let path = data_dir.path();
    match space::is_enough_for_others_with(path, needed) {
        true => Ok(()),
        false => Err(StorageError::Full {
            path: path.to_owned(),
        }),
    }
}
