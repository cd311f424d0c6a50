//! Why storage could not do what was asked.
//!
//! Knows nothing of HTTP or of exit codes; whoever calls decides what a variant means there.

use std::io;
use std::path::{Path, PathBuf};

use crate::space;

/// Why storage could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process owns the data directory.
    #[error("data directory `{}` is in use{}", path.display(), by(*pid))]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who wrote the lock file last.
        pid: Option<u32>,
    },

    /// There is no data directory to read.
    #[error("data directory `{}` does not exist", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },

    /// The data directory was opened for reading only.
    #[error("data directory `{}` was opened for reading only", path.display())]
    ReadOnly {
        /// The data directory.
        path: PathBuf,
    },

    /// A backup was being restored into the data directory when the process died.
    #[error(
        "`{}` holds a part of a backup: restoring it was cut short; empty it and restore again",
        path.display()
    )]
    HalfRestored {
        /// The data directory.
        path: PathBuf,
    },

    /// No space is left for more records. Goes away by itself when there is space again.
    #[error("no space is left in `{}`", path.display())]
    Full {
        /// The directory that needs space.
        path: PathBuf,
    },

    /// The file does not hold what was written to it.
    #[error("`{}` is damaged at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },

    /// The file was written by a newer Mayfly.
    #[error(
        "`{}` has format {found}, and this version of Mayfly knows formats up to {supported}",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        supported: u64,
    },

    /// A sync to disk failed earlier; nothing is accepted until a restart has checked what is left.
    #[error("the ledger stopped accepting records: {reason}")]
    Failed {
        /// What failed.
        reason: String,
    },

    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,

    /// The operating system refused.
    #[error("{doing} `{}` failed", path.display())]
    Io {
        /// What was being done, such as `writing`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// The database refused.
    #[error("{doing} in `{}` failed", path.display())]
    Database {
        /// What was being done, such as `storing a function`.
        doing: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
}

/// Whether a failure of the database means that there is no space: also where the shared index of a
/// write-ahead log does not grow, and where a quota is used up, of which SQLite says no more than that a
/// write failed. A sync that fails is another matter, whatever the quota.
fn is_full(error: &rusqlite::ffi::Error, is_over_quota: impl FnOnce() -> bool) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE};
    match error.extended_code {
        SQLITE_IOERR_SHMSIZE => true,
        SQLITE_IOERR_WRITE => is_over_quota(),
        _ => error.code == rusqlite::ErrorCode::DiskFull,
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(
        || " by another process".to_owned(),
        |pid| format!(" by process {pid}"),
    )
}

impl StorageError {
    /// For `map_err`: an error of the operating system while `doing` something to `path`. A full
    /// disk becomes [`StorageError::Full`].
    pub(crate) fn io<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                path: path.parent().unwrap_or(path).to_owned(),
            },
            _ => Self::Io {
                doing,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// For `map_err`: an error of the database at `path` while `doing` something.
    pub(crate) fn database<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(rusqlite::Error) -> Self + use<'a> {
        move |source| {
            let directory = path.parent().unwrap_or(path);
            let is_over_quota = || space::is_over_quota(directory);
            let error = source.sqlite_error();
            if error.is_some_and(|error| is_full(error, is_over_quota)) {
                Self::Full {
                    path: directory.to_owned(),
                }
            } else {
                Self::Database {
                    doing,
                    path: path.to_owned(),
                    source,
                }
            }
        }
    }

    /// Damage at `offset` of `path`.
    pub(crate) fn corrupt(path: &Path, offset: usize, reason: impl Into<String>) -> Self {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        Self::Corrupt {
            path: path.to_owned(),
            offset,
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_quota_that_is_used_up_is_a_full_disk_and_a_failed_sync_never_is() {
        for (code, is_over_quota, expected) in [
            (ffi::SQLITE_FULL, false, true),
            (ffi::SQLITE_IOERR_SHMSIZE, false, true),
            (ffi::SQLITE_IOERR_WRITE, true, true),
            (ffi::SQLITE_IOERR_WRITE, false, false),
            (ffi::SQLITE_IOERR_FSYNC, true, false),
            (ffi::SQLITE_IOERR_READ, true, false),
            (ffi::SQLITE_BUSY, true, false),
        ] {
            let error = ffi::Error::new(code);
            assert_eq!(is_full(&error, || is_over_quota), expected, "{error}");
        }
    }
}
