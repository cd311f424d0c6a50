//! Ballast: a file that is given up on a full disk, so that what makes space again can write.

use std::path::{Path, PathBuf};

use super::blocks;
use crate::disk::DiskFile;
use crate::{StorageError, files, space};

const FILE: &str = "ballast";
/// Enough for the catalogue's log and a new anchor.
const BYTES: u64 = 4 << 20;

/// Makes the ballast if it is not there. Only helps: where it can't be made, nothing is lost yet.
pub(super) fn keep(directory: &Path) {
    let path = path(directory);
    let opened = match DiskFile::create_new(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return,
        opened => opened,
    };
    if let Err(error) = opened.and_then(|file| blocks::allocate(&file, 0, BYTES)) {
        tracing::debug!(path = %path.display(), %error, "no ballast was made: {error}");
        drop(files::remove(&path));
    }
}

/// Gives the ballast up if `error` may be for want of space. Whether it is worth another try.
pub(super) fn give_up_for(error: &StorageError, directory: &Path) -> bool {
    let is_short = match error {
        StorageError::Full { .. } => true,
        // SQLite has more than one error for it.
        StorageError::Database { .. } => !space::is_enough_for_ledger(directory),
        _ => false,
    };
    if !is_short || std::fs::remove_file(path(directory)).is_err() {
        return false;
    }
    let directory = directory.display();
    tracing::warn!(%directory, %error, "gave up the ledger's ballast: {error}");
    true
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}
