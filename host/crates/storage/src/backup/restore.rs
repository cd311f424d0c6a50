//! Making a data directory from a backup.
//!
//! Everything is unpacked beside the directory, checked against the manifest, synced, and moved to its
//! place at the end. A directory that is there is filled and not replaced, since it may be a mount point,
//! or in a folder that is not ours: the backup is unpacked in it then, and moved up. While it is, the
//! directory opens as one that is not whole.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{BackupFile, BackupManifest, FORMAT, MANIFEST, PIECE_BYTES, UNFINISHED, Work, tar};
use crate::{StorageError, files};

/// Most bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a directory on a disk of its own may hold.
const LOST_AND_FOUND: &str = "lost+found";

/// How many names are tried for a directory beside the data directory.
const NAMES_MAX: u32 = 1_000;

/// Why a backup was not restored. Nothing is left of it then, but for directories above.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data directory holds something.
    #[error("`{}` is not empty; a backup is restored into a new directory", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// The file does not even begin as one.
    #[error("it is no backup that `mayfly backup` made")]
    NoBackup,
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
    let place = Place::of(data_dir)?;
    let manifest = unpack(input, &place.work.0)?;
    sync_all(&place.work.0)?;
    place.fill()?;
    Ok(manifest)
}

/// Where a backup is unpacked, and where it goes.
struct Place {
    work: Work,
    data_dir: PathBuf,
    is_there: bool,
}

impl Place {
    /// Makes the directory to unpack in: what can't be restored here is refused now.
    fn of(data_dir: &Path) -> Result<Self, RestoreError> {
        match fs::canonicalize(data_dir) {
            Ok(data_dir) => Self::within(data_dir),
            // A link that leads nowhere is not ours to follow.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && fs::symlink_metadata(data_dir).is_err() =>
            {
                Self::beside(data_dir)
            }
            Err(error) => Err(StorageError::io("opening", data_dir)(error).into()),
        }
    }

    fn within(data_dir: PathBuf) -> Result<Self, RestoreError> {
        let listing = |error| StorageError::io("listing", &data_dir)(error);
        for entry in fs::read_dir(&data_dir).map_err(listing)? {
            if entry.map_err(listing)?.file_name() != LOST_AND_FOUND {
                return Err(RestoreError::NotEmpty { path: data_dir });
            }
        }
        let work = data_dir.join(UNFINISHED);
        files::create_new_dir(&work).map_err(StorageError::io("creating directory", &work))?;
        Ok(Self {
            work: Work(work),
            data_dir,
            is_there: true,
        })
    }

    fn beside(data_dir: &Path) -> Result<Self, RestoreError> {
        let Some(name) = data_dir.file_name() else {
            let path = data_dir.to_owned();
            return Err(StorageError::Missing { path }.into());
        };
        let parent = match data_dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        files::create_dir(parent)?;
        for number in 0..NAMES_MAX {
            let mut work = name.to_owned();
            work.push(format!(".restore-{number}"));
            let work = parent.join(work);
            match files::create_new_dir(&work) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(StorageError::io("creating directory", &work)(error).into());
                }
                Ok(()) => {
                    return Ok(Self {
                        work: Work(work),
                        data_dir: parent.join(name),
                        is_there: false,
                    });
                }
            }
        }
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(StorageError::io("making a directory beside", data_dir)(error).into())
    }

    /// Puts what was unpacked where it belongs, durably.
    fn fill(self) -> Result<(), StorageError> {
        if self.is_there {
            self.move_up()?;
            let work = &self.work.0;
            fs::remove_dir(work).map_err(StorageError::io("removing", work))?;
            return files::sync_dir(&self.data_dir);
        }
        fs::rename(&self.work.0, &self.data_dir)
            .map_err(StorageError::io("moving the backup to", &self.data_dir))?;
        self.data_dir.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Moves everything to the data directory, or nothing.
    fn move_up(&self) -> Result<(), StorageError> {
        let mut entries = files::list(&self.work.0)?;
        // What the databases speak of is there when they are.
        entries.sort_by_key(|(name, _)| name.ends_with(".db"));
        for (moved, (name, path)) in entries.iter().enumerate() {
            if let Err(error) = fs::rename(path, self.data_dir.join(name)) {
                for (name, path) in &entries[..moved] {
                    // If this fails, the directory still opens as one that is not whole.
                    drop(fs::rename(self.data_dir.join(name), path));
                }
                return Err(StorageError::io("moving the backup to", &self.data_dir)(
                    error,
                ));
            }
        }
        files::sync_dir(&self.data_dir)
    }
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
    let next = |input: &mut _, is_first| match tar::next(input) {
        Err(_) | Ok(None) if is_first => Err(RestoreError::NoBackup),
        next => next.map_err(|error| cut_or(&error)),
    };
    while let Some(entry) = next(input, found.is_empty())? {
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
