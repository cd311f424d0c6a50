//! The directory that holds everything, and the lock that makes it ours.
//!
//! Knows which directory belongs to which part of the crate, not what is in them.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::{StorageError, backup, files};

const LOCK_FILE: &str = "lock";

/// The data directory. Cheap to clone; the lock goes with the last clone and with whatever was
/// opened in it.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Held by us for as long as this is open; `None` when opened for reading.
    lock: Option<File>,
    /// Held while artifacts are swept.
    sweeping: Mutex<()>,
}

impl DataDir {
    /// Opens the directory for this process alone, and makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`StorageError::Locked`] when another process owns it, [`StorageError::HalfRestored`] when
    /// restoring a backup into it was cut short, [`StorageError::Io`] when it can't be made or written to.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        files::create_dir(path)?;
        let path = fs::canonicalize(path).map_err(StorageError::io("opening", path))?;
        if path.join(backup::UNFINISHED).exists() {
            return Err(StorageError::HalfRestored { path });
        }
        let lock_path = path.join(LOCK_FILE);
        let mut lock = files::private()
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(StorageError::io("opening", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&lock_path).ok();
                let pid = pid.and_then(|text| text.trim().parse().ok());
                return Err(StorageError::Locked { path, pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StorageError::io("locking", &lock_path)(source));
            }
        }
        // The lock is what counts; the number only helps whoever is refused.
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(StorageError::io("writing", &lock_path))?;
        // Of a backup that a crash cut short.
        files::remove_dir(&path.join(backup::WORK))?;
        Ok(Self(Arc::new(Inner {
            path,
            lock: Some(lock),
            sweeping: Mutex::new(()),
        })))
    }

    /// Opens the directory to read it, whether a server owns it or not.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] when it is not there.
    pub fn open_for_reading(path: &Path) -> Result<Self, StorageError> {
        match fs::canonicalize(path) {
            Ok(path) if path.is_dir() => Ok(Self(Arc::new(Inner {
                path,
                lock: None,
                sweeping: Mutex::new(()),
            }))),
            Ok(path) => Err(StorageError::Missing { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StorageError::Missing {
                    path: path.to_owned(),
                })
            }
            Err(source) => Err(StorageError::io("opening", path)(source)),
        }
    }

    /// Where it is, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The directory for compiled code. It may not exist; its owner makes it.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.0.path.join("cache")
    }

    /// Whether this handle may write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.lock.is_some()
    }

    /// The directory `name` in it; made when we may write.
    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf, StorageError> {
        let path = self.0.path.join(name);
        if self.is_writable() {
            files::create_dir(&path)?;
        }
        Ok(path)
    }

    /// Waits until no artifacts are swept, and keeps them from being swept.
    pub(crate) fn pause_sweeps(&self) -> MutexGuard<'_, ()> {
        self.0.sweeping.lock()
    }

    /// The right to sweep artifacts, unless somebody keeps us from it.
    pub(crate) fn try_sweep(&self) -> Option<MutexGuard<'_, ()>> {
        self.0.sweeping.try_lock()
    }

    pub(crate) fn require_writable(&self) -> Result<(), StorageError> {
        if self.is_writable() {
            Ok(())
        } else {
            Err(StorageError::ReadOnly {
                path: self.0.path.clone(),
            })
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // Closing is not enough while a child process, just forked, has the file open as well. If
            // it fails, the lock goes when that child does.
            drop(lock.unlock());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_owner_is_refused_by_name_and_the_first_is_unharmed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        let expected = format!(
            "data directory `{}` is in use by process {}",
            first.path().display(),
            std::process::id()
        );
        assert_eq!(message, expected);
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_new_directory_is_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/data");
        let data_dir = DataDir::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(data_dir.path()), 0o700);
        assert_eq!(mode(&data_dir.path().join(LOCK_FILE)), 0o600);
    }

    #[test]
    fn reading_needs_no_lock_but_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let owner = DataDir::open(root.path()).unwrap();
        let reader = DataDir::open_for_reading(root.path()).unwrap();
        assert_eq!(reader.path(), owner.path());
        assert!(!reader.is_writable());
        let missing = DataDir::open_for_reading(&root.path().join("none")).unwrap_err();
        assert!(matches!(missing, StorageError::Missing { .. }), "{missing}");
    }
}
