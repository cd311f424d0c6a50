//! The bytes of functions, named by what they are.
//!
//! An artifact is written once and never changed, so storing the same bytes twice is storing them
//! once. Knows nothing of wasm, and not which function uses what: [`Artifacts::sweep`] is told.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use domain::ArtifactId;

use crate::{DataDir, StorageError, files};

const DIRECTORY: &str = "artifacts";
const EXTENSION: &str = ".wasm";

/// The stored artifacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Artifacts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    data_dir: DataDir,
    directory: PathBuf,
}

impl Artifacts {
    /// Opens the artifacts of a data directory.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the directory can't be made.
    pub fn open(data_dir: &DataDir) -> Result<Self, StorageError> {
        let directory = data_dir.subdirectory(DIRECTORY)?;
        if data_dir.is_writable() {
            files::remove_temporaries(&directory)?;
        }
        Ok(Self(Arc::new(Inner {
            data_dir: data_dir.clone(),
            directory,
        })))
    }

    /// Stores `bytes`; they are durable after [`Artifacts::sync`]. Storing them again changes nothing.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] or [`StorageError::Io`] when they can't be written.
    pub fn put(&self, bytes: &[u8]) -> Result<ArtifactId, StorageError> {
        self.0.data_dir.require_writable()?;
        let id = ArtifactId::of(bytes);
        // A damaged copy is replaced: what we were given has the right hash.
        if self.read(id).is_err() {
            files::write_unnamed(&self.path(id), bytes)?;
        }
        Ok(id)
    }

    /// Makes durable what was put before this was called.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the directory can't be synced.
    pub fn sync(&self) -> Result<(), StorageError> {
        files::sync_dir(&self.0.directory)
    }

    /// Whether an artifact of `bytes` bytes is there; it is not read.
    #[must_use]
    pub fn has(&self, id: ArtifactId, bytes: u64) -> bool {
        fs::symlink_metadata(self.path(id)).is_ok_and(|file| file.is_file() && file.len() == bytes)
    }

    /// Where an artifact is, or would be.
    #[must_use]
    pub fn path(&self, id: ArtifactId) -> PathBuf {
        self.0.directory.join(format!("{id}{EXTENSION}"))
    }

    /// The bytes of an artifact, checked against their hash.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when it is not there, [`StorageError::Corrupt`] when the bytes are not
    /// those that were stored.
    pub fn read(&self, id: ArtifactId) -> Result<Vec<u8>, StorageError> {
        let path = self.path(id);
        let bytes = fs::read(&path).map_err(StorageError::io("reading", &path))?;
        if ArtifactId::of(&bytes) == id {
            Ok(bytes)
        } else {
            Err(StorageError::corrupt(
                &path,
                0,
                "its content does not have the hash of its name",
            ))
        }
    }

    /// Removes every artifact that is not in `keep` and says how many that were: none while a backup
    /// takes hold of them.
    ///
    /// Must not run beside a [`Artifacts::put`] whose id is not in `keep` yet.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the directory can't be read or a file can't be removed.
    pub fn sweep(&self, keep: &HashSet<ArtifactId>) -> Result<usize, StorageError> {
        self.0.data_dir.require_writable()?;
        let Some(_sweeping) = self.0.data_dir.try_sweep() else {
            return Ok(0);
        };
        let mut removed = 0;
        for (name, path) in files::list(&self.0.directory)? {
            let id = name
                .strip_suffix(EXTENSION)
                .and_then(|hash| hash.parse().ok());
            if id.is_some_and(|id| !keep.contains(&id)) {
                files::remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts() -> (tempfile::TempDir, Artifacts) {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let artifacts = Artifacts::open(&data_dir).unwrap();
        (root, artifacts)
    }

    #[test]
    fn bytes_come_back_by_their_hash_and_are_stored_once() {
        let (_root, artifacts) = artifacts();
        let id = artifacts.put(b"\0asm").unwrap();
        assert_eq!(artifacts.put(b"\0asm").unwrap(), id);
        assert_eq!(
            id.to_string(),
            "cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f"
        );
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(artifacts.read(id).unwrap(), b"\0asm");
        assert_eq!(files::list(&artifacts.0.directory).unwrap().len(), 1);
    }

    #[test]
    fn a_changed_artifact_is_damage_until_it_is_stored_again() {
        let (_root, artifacts) = artifacts();
        let id = artifacts.put(b"good").unwrap();
        fs::write(artifacts.path(id), b"evil").unwrap();
        let error = artifacts.read(id).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        artifacts.put(b"good").unwrap();
        assert_eq!(artifacts.read(id).unwrap(), b"good");
    }

    #[test]
    fn a_sweep_keeps_what_is_named_and_nothing_else() {
        let (root, artifacts) = artifacts();
        let kept = artifacts.put(b"kept").unwrap();
        artifacts.put(b"gone").unwrap();
        let backup = artifacts.0.data_dir.pause_sweeps();
        assert_eq!(artifacts.sweep(&HashSet::from([kept])).unwrap(), 0);
        drop(backup);
        fs::write(root.path().join("artifacts/half.3.tmp"), b"x").unwrap();
        assert_eq!(artifacts.sweep(&HashSet::from([kept])).unwrap(), 1);
        assert_eq!(artifacts.read(kept).unwrap(), b"kept");
        Artifacts::open(&artifacts.0.data_dir).unwrap();
        assert_eq!(files::list(&artifacts.0.directory).unwrap().len(), 1);
    }
}
