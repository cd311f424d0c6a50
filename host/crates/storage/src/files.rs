//! Files that outlive a power cut: private modes, and writes that are whole or absent.
//!
//! Knows nothing of what is in them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::StorageError;
use crate::disk::{self, DiskFile};

/// What a file is called while it is being written.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Makes a directory that only we can enter; an existing one is left as it is.
pub(crate) fn create_dir(path: &Path) -> Result<(), StorageError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(StorageError::io("creating directory", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes a directory that only we can enter and that was not there.
pub(crate) fn create_new_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// How a private file is opened for reading and writing.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StorageError> {
    disk::sync_dir(path).map_err(StorageError::io("syncing directory", path))
}

/// Writes a whole file: afterwards it is there with all of `bytes`, or it was not touched.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    write_unnamed(path, bytes)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// [`write_whole`], but that the name is durable only after a [`sync_dir`].
pub(crate) fn write_unnamed(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);

    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{number}{TEMPORARY_SUFFIX}"));
    let temporary = PathBuf::from(temporary);

    let written = make_empty(&temporary)
        .and_then(|file| {
            file.write_all_at(bytes, 0)?;
            file.sync_all()
        })
        .and_then(|()| disk::rename(&temporary, path))
        .map_err(StorageError::io("writing", path));
    if written.is_err() {
        // What is left over is also removed at the next start.
        drop(disk::remove(&temporary));
    }
    written
}

/// Makes a file; one that another process left under this name goes first.
fn make_empty(path: &Path) -> io::Result<DiskFile> {
    match DiskFile::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk::remove(path)?;
            DiskFile::create_new(path)
        }
        made => made,
    }
}

/// Removes what an interrupted [`write_whole`] left in `directory`.
pub(crate) fn remove_temporaries(directory: &Path) -> Result<(), StorageError> {
    for (name, path) in list(directory)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), StorageError> {
    match disk::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; it may be gone already.
pub(crate) fn remove_dir(path: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// The entries of a directory with a name in UTF-8, sorted by name.
pub(crate) fn list(directory: &Path) -> Result<Vec<(String, PathBuf)>, StorageError> {
    let mut entries = disk::list(directory).map_err(StorageError::io("listing", directory))?;
    entries.sort();
    Ok(entries)
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Reads 32 bytes from lower-case hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}
