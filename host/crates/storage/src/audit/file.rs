//! The files of the audit log: numbered, appended to, and removed when they are old.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::AuditSettings;
use crate::{StorageError, files};

const EXTENSION: &str = ".jsonl";

/// What is appended to.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    settings: AuditSettings,
    current: Open,
    /// Earlier files that are not synced.
    earlier: Vec<Open>,
    /// For tests: nothing can be written, or synced.
    pub(super) fail_writes: bool,
    pub(super) fail_syncs: bool,
}

/// A file that is open.
#[derive(Debug)]
struct Open {
    number: u64,
    file: Arc<File>,
    bytes: u64,
    /// So many of them were there when it was synced last, or when it was opened.
    synced_bytes: u64,
}

/// What is to be synced.
#[derive(Debug)]
pub(super) struct Unsynced {
    path: PathBuf,
    number: u64,
    file: Arc<File>,
    bytes: u64,
    is_to_fail: bool,
}

impl Unsynced {
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let synced = match self.is_to_fail {
            true => Err(io::Error::other("as a test wants it")),
            false => self.file.sync_data(),
        };
        synced.map_err(StorageError::io("syncing", &self.path))
    }
}

impl Files {
    pub(super) fn open(directory: &Path, settings: AuditSettings) -> Result<Self, StorageError> {
        let number = list(directory)?.pop().map_or(1, |(number, _)| number);
        let mut files = Self {
            directory: directory.to_owned(),
            settings,
            current: Open::at(directory, number)?,
            earlier: Vec::new(),
            fail_writes: false,
            fail_syncs: false,
        };
        files.end_torn_line()?;
        files.remove_old()?;
        Ok(files)
    }

    /// Appends whole lines, or nothing.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), StorageError> {
        if self.current.bytes >= self.settings.file_bytes {
            let next = Open::at(&self.directory, self.current.number + 1)?;
            let full = std::mem::replace(&mut self.current, next);
            if full.synced_bytes < full.bytes {
                self.earlier.push(full);
            }
            self.remove_old()?;
        }
        self.write(lines)
    }

    fn write(&mut self, lines: &str) -> Result<(), StorageError> {
        let path = path(&self.directory, self.current.number);
        if self.fail_writes {
            return Err(StorageError::Full { path });
        }
        let Open { file, bytes, .. } = &mut self.current;
        let written = file.write_all_at(lines.as_bytes(), *bytes);
        if written.is_err() {
            // What stays is cut when the log goes on elsewhere, or ended at the next start.
            drop(file.set_len(*bytes));
        }
        written.map_err(StorageError::io("writing", &path))?;
        *bytes += lines.len() as u64;
        Ok(())
    }

    /// What was written since it was synced.
    pub(super) fn unsynced(&self) -> Vec<Unsynced> {
        let open = self.earlier.iter().chain([&self.current]);
        open.filter(|open| open.synced_bytes < open.bytes)
            .map(|open| self.unsynced_of(open))
            .collect()
    }

    fn unsynced_of(&self, open: &Open) -> Unsynced {
        Unsynced {
            path: path(&self.directory, open.number),
            number: open.number,
            file: Arc::clone(&open.file),
            bytes: open.bytes,
            is_to_fail: self.fail_syncs,
        }
    }

    /// Notes that these are synced.
    pub(super) fn note_synced(&mut self, synced: &[Unsynced]) {
        for open in self.earlier.iter_mut().chain([&mut self.current]) {
            if let Some(synced) = synced.iter().find(|synced| synced.number == open.number) {
                open.synced_bytes = synced.bytes;
            }
        }
        self.earlier.retain(|open| open.synced_bytes < open.bytes);
    }

    /// Goes on in a new file that begins with `lines`, synced; what other files have beyond their last
    /// sync is cut off. Nothing is changed on an error.
    pub(super) fn begin_again(&mut self, lines: &str) -> Result<(), StorageError> {
        let mut next = Open::at(&self.directory, self.current.number + 1)?;
        let path = path(&self.directory, next.number);
        // An earlier try may have left something.
        next.bytes = 0;
        let file = Arc::clone(&next.file);
        let failed = std::mem::replace(&mut self.current, next);
        let begun = file
            .set_len(0)
            .map_err(StorageError::io("writing", &path))
            .and_then(|()| self.write(lines))
            .and_then(|()| self.unsynced_of(&self.current).sync());
        if let Err(error) = begun {
            self.current = failed;
            // If it can't be removed, the next try empties it.
            drop(files::remove(&path));
            return Err(error);
        }
        self.current.synced_bytes = self.current.bytes;
        self.earlier.push(failed);
        for failed in self.earlier.drain(..) {
            // If it can't be cut, its lines are there twice.
            drop(failed.file.set_len(failed.synced_bytes));
        }
        Ok(())
    }

    /// Gives a line that a crash cut short its end, so that the next one is whole.
    fn end_torn_line(&mut self) -> Result<(), StorageError> {
        let Some(last_at) = self.current.bytes.checked_sub(1) else {
            return Ok(());
        };
        let path = path(&self.directory, self.current.number);
        let mut last = [0];
        self.current
            .file
            .read_exact_at(&mut last, last_at)
            .map_err(StorageError::io("reading", &path))?;
        if last == *b"\n" {
            Ok(())
        } else {
            self.write("\n")
        }
    }

    /// Removes the files that were last written to before everything that is kept.
    fn remove_old(&self) -> Result<(), StorageError> {
        let Ok(now) = self
            .current
            .file
            .metadata()
            .and_then(|file| file.modified())
        else {
            return Ok(());
        };
        let Some(oldest) = now.checked_sub(self.settings.keep) else {
            return Ok(());
        };
        let is_old = |path: &Path| {
            let modified: io::Result<SystemTime> =
                fs::metadata(path).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| modified < oldest)
        };
        for (number, path) in list(&self.directory)? {
            if number != self.current.number && is_old(&path) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn at(directory: &Path, number: u64) -> Result<Self, StorageError> {
        let path = path(directory, number);
        let file = files::private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StorageError::io("opening", &path))?;
        files::sync_dir(directory)?;
        let metadata = file
            .metadata()
            .map_err(StorageError::io("opening", &path))?;
        Ok(Self {
            number,
            file: Arc::new(file),
            bytes: metadata.len(),
            synced_bytes: metadata.len(),
        })
    }
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}{EXTENSION}"))
}

/// The files of the log, oldest first.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = files::list(directory)?
        .into_iter()
        .filter_map(|(name, path)| Some((name.strip_suffix(EXTENSION)?.parse().ok()?, path)))
        .collect::<Vec<(u64, PathBuf)>>();
    found.sort();
    Ok(found)
}
