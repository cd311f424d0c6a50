//! Making a data directory from a backup.
//!
//! Everything is written beside the directory, checked against the manifest, synced, and moved to its
//! place at the end: the directory is there with all of it, or not at all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{BackupFile, BackupManifest, FORMAT, MANIFEST, PIECE_BYTES, Work, remove_work, tar};
use crate::{StorageError, files};

/// Most bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Why a backup was not restored. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data directory holds something.
    #[error("`{}` is not empty; a backup is restored into a new directory", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// The file is no backup, or was changed or cut since it was made.
    #[error("the backup is damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// The backup was made by a newer Mayfly.
    #[error(
        "the backup has format {found}, and this version of Mayfly knows formats up to {FORMAT}"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
    },
    /// The disk did not take it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Restores a backup into the data directory `data_dir`, which must be empty or not be there.
///
/// # Errors
///
/// [`RestoreError`].
pub fn restore(input: &mut impl Read, data_dir: &Path) -> Result<BackupManifest, RestoreError> {
    let parent = match data_dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some())
        || data_dir.is_file()
    {
        let path = data_dir.to_owned();
        return Err(RestoreError::NotEmpty { path });
    }
    files::create_dir(parent)?;
    let mut name = data_dir.file_name().unwrap_or_default().to_owned();
    name.push(".restore");
    let work = Work(parent.join(name));
    remove_work(&work.0)?;
    files::create_dir(&work.0)?;
    let manifest = unpack(input, &work.0)?;
    sync_all(&work.0)?;
    // Replaces an empty directory.
    fs::rename(&work.0, data_dir).map_err(StorageError::io("moving the backup to", data_dir))?;
    files::sync_dir(parent)?;
    Ok(manifest)
}

fn damaged(reason: impl Into<String>) -> RestoreError {
    RestoreError::Damaged {
        reason: reason.into(),
    }
}

fn cut_or(error: &io::Error) -> RestoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        _ => damaged(error.to_string()),
    }
}

fn unpack(input: &mut impl Read, directory: &Path) -> Result<BackupManifest, RestoreError> {
    let mut found = HashMap::new();
    while let Some(entry) = tar::next(input).map_err(|error| cut_or(&error))? {
        if entry.name == MANIFEST {
            let manifest = manifest(input, entry.bytes)?;
            return check(manifest, found);
        }
        let file = write_file(input, directory, &entry)?;
        if found.insert(entry.name.clone(), file).is_some() {
            return Err(damaged(format!("`{}` is in it twice", entry.name)));
        }
    }
    Err(damaged("its manifest is missing"))
}

fn manifest(input: &mut impl Read, bytes: u64) -> Result<BackupManifest, RestoreError> {
    /// Enough to see whether the rest can be understood.
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    if bytes > MANIFEST_BYTES_MAX {
        return Err(damaged("its manifest is too long"));
    }
    let mut json = vec![0; usize::try_from(bytes).unwrap_or(0)];
    input
        .read_exact(&mut json)
        .map_err(|error| cut_or(&error))?;
    let unreadable = |error: serde_json::Error| damaged(format!("its manifest: {error}"));
    let Format { format } = serde_json::from_slice(&json).map_err(unreadable)?;
    if format > FORMAT {
        return Err(RestoreError::NewerFormat { found: format });
    }
    serde_json::from_slice(&json).map_err(unreadable)
}

/// Checks that what was found is what the manifest names, no more and no less.
fn check(
    manifest: BackupManifest,
    mut found: HashMap<String, BackupFile>,
) -> Result<BackupManifest, RestoreError> {
    for expected in &manifest.files {
        match found.remove(&expected.name) {
            Some(file) if file == *expected => {}
            Some(_) => {
                let reason = format!("`{}` is not what was backed up", expected.name);
                return Err(damaged(reason));
            }
            None => return Err(damaged(format!("`{}` is missing", expected.name))),
        }
    }
    match found.into_keys().next() {
        None => Ok(manifest),
        Some(name) => Err(damaged(format!("`{name}` is not in its manifest"))),
    }
}

fn write_file(
    input: &mut impl Read,
    directory: &Path,
    entry: &tar::Entry,
) -> Result<BackupFile, RestoreError> {
    let name = Path::new(&entry.name);
    // A name of ours is one or two plain parts.
    let parts = name.components().collect::<Vec<_>>();
    let is_plain = parts
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || !(1..=2).contains(&parts.len()) || name.as_os_str() == "lock" {
        return Err(damaged(format!("`{}` is no name of ours", entry.name)));
    }
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        files::create_dir(parent)?;
    }
    let mut file: File = files::private()
        .create_new(true)
        .open(&path)
        .map_err(StorageError::io("writing", &path))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = entry.bytes;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = &mut piece[..wanted];
        input.read_exact(piece).map_err(|error| cut_or(&error))?;
        hash.update(&piece);
        file.write_all(piece)
            .map_err(StorageError::io("writing", &path))?;
        left -= wanted as u64;
    }
    tar::skip_padding(input, entry.bytes).map_err(|error| cut_or(&error))?;
    file.sync_all()
        .map_err(StorageError::io("syncing", &path))?;
    Ok(BackupFile {
        name: entry.name.clone(),
        bytes: entry.bytes,
        sha256: files::hex(&hash.finalize()),
    })
}

/// Makes the names durable.
fn sync_all(directory: &Path) -> Result<(), StorageError> {
    for (_, path) in files::list(directory)? {
        if path.is_dir() {
            files::sync_dir(&path)?;
        }
    }
    files::sync_dir(directory)
}
