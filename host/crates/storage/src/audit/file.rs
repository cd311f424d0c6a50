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
    number: u64,
    file: Arc<File>,
    bytes: u64,
    /// Written to since they were synced.
    unsynced: Vec<Arc<File>>,
    is_given_up: bool,
}

impl Files {
    pub(super) fn open(directory: &Path, settings: AuditSettings) -> Result<Self, StorageError> {
        let number = list(directory)?.pop().map_or(1, |(number, _)| number);
        let (file, bytes) = open(directory, number)?;
        let mut files = Self {
            directory: directory.to_owned(),
            settings,
            number,
            file,
            bytes,
            unsynced: Vec::new(),
            is_given_up: false,
        };
        files.end_torn_line()?;
        files.remove_old()?;
        Ok(files)
    }

    /// Appends whole lines, or nothing.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), StorageError> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_given_up || self.bytes >= self.settings.file_bytes {
            let (file, bytes) = open(&self.directory, self.number + 1)?;
            (self.file, self.bytes) = (file, bytes);
            self.number += 1;
            self.is_given_up = false;
            self.remove_old()?;
        }
        let path = path(&self.directory, self.number);
        // Also removes what another failure left.
        let written = self
            .file
            .set_len(self.bytes)
            .and_then(|()| self.file.write_all_at(lines.as_bytes(), self.bytes));
        if written.is_err() {
            // If this fails as well, the next append does it.
            drop(self.file.set_len(self.bytes));
        }
        written.map_err(StorageError::io("writing", &path))?;
        self.bytes += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if !self
            .unsynced
            .iter()
            .any(|file| Arc::ptr_eq(file, &self.file))
        {
            self.unsynced.push(Arc::clone(&self.file));
        }
        Ok(())
    }

    /// The files that were written to and not asked for yet.
    pub(super) fn unsynced(&mut self) -> Vec<Arc<File>> {
        std::mem::take(&mut self.unsynced)
    }

    /// Goes on in another file.
    pub(super) fn begin_another(&mut self) {
        self.is_given_up = true;
    }

    /// Gives a line that a crash cut short its end, so that the next one is whole.
    fn end_torn_line(&mut self) -> Result<(), StorageError> {
        let Some(last_at) = self.bytes.checked_sub(1) else {
            return Ok(());
        };
        let path = path(&self.directory, self.number);
        let mut last = [0];
        self.file
            .read_exact_at(&mut last, last_at)
            .map_err(StorageError::io("reading", &path))?;
        if last == *b"\n" {
            Ok(())
        } else {
            self.append("\n")
        }
    }

    /// Removes the files that were last written to before everything that is kept.
    fn remove_old(&self) -> Result<(), StorageError> {
        let Ok(now) = self.file.metadata().and_then(|file| file.modified()) else {
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
            if number != self.number && is_old(&path) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }
}

fn open(directory: &Path, number: u64) -> Result<(Arc<File>, u64), StorageError> {
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
    Ok((Arc::new(file), metadata.len()))
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
