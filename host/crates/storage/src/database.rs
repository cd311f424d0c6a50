//! Opening SQLite files the way all of ours are opened.
//!
//! Knows nothing of tables: whoever opens a file hands in its schema, one step per version.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{StorageError, files};

/// How long a write waits for a reader in another process.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Last comes the one where SQLite itself notes the numbers that were used in the others.
const TABLES: &str =
    "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name = 'sqlite_sequence'";

/// Opens a database to write it, makes it if it is not there, and brings it to the newest schema.
///
/// `steps[n]` leads from schema version `n` to `n + 1`; each runs in a transaction of its own.
pub(crate) fn open(path: &Path, steps: &[&str]) -> Result<Connection, StorageError> {
    // SQLite gives its own files the mode of the main one.
    let is_new = files::private()
        .create(true)
        .truncate(false)
        .open(path)
        .and_then(|file| Ok(file.metadata()?.len() == 0))
        .map_err(StorageError::io("opening", path))?;
    let open = StorageError::database("opening the database", path);
    let (mut connection, version) = (|| {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        if is_new {
            // Before anything is written: what a database was made with is what it keeps. Space is given
            // back by whoever asks for it.
            connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        }
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        tracing::trace!(path = %path.display(), mode, "opened a database");
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        let version = version(&connection)?;
        Ok((connection, version))
    })()
    .map_err(open)?;
    refuse_newer(path, version, steps)?;

    for (step, schema) in (1_u64..).zip(steps) {
        if step <= version {
            continue;
        }
        (|| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(schema)?;
            transaction.execute_batch(&format!("PRAGMA user_version = {step};"))?;
            transaction.commit()
        })()
        .map_err(StorageError::database("updating the schema", path))?;
    }
    Ok(connection)
}

/// Opens a database that another process may be writing; `None` when it is not there yet.
pub(crate) fn open_for_reading(
    path: &Path,
    steps: &[&str],
) -> Result<Option<Connection>, StorageError> {
    if !path.exists() {
        return Ok(None);
    }
    let (connection, version) = (|| {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        let version = version(&connection)?;
        Ok((connection, version))
    })()
    .map_err(StorageError::database("opening the database", path))?;
    refuse_newer(path, version, steps)?;
    // An older schema is brought up to date by whoever owns the directory.
    Ok((usize::try_from(version) == Ok(steps.len())).then_some(connection))
}

/// Copies a database as it is at one moment to `to`, which must not exist.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), StorageError> {
    // The copy gets its mode from this empty file.
    files::private()
        .create_new(true)
        .open(to)
        .map_err(StorageError::io("writing", to))?;
    (|| {
        let connection = Connection::open_with_flags(
            from,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        Ok(())
    })()
    .map_err(StorageError::database("copying the database", from))?;
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(StorageError::io("syncing", to))
}

/// A copy of a database as it is at one moment, while others go on writing it.
#[derive(Debug)]
pub(crate) struct Copying {
    /// Has the database as `main`, and the copy as `copy`.
    connection: Connection,
    tables: Vec<String>,
    from: PathBuf,
    to: PathBuf,
}

impl Copying {
    /// Gets ready to copy `from`, which has the newest schema, to `to`, which must not exist.
    pub(crate) fn prepare(from: &Path, to: &Path, steps: &[&str]) -> Result<Self, StorageError> {
        files::private()
            .create_new(true)
            .open(to)
            .map_err(StorageError::io("writing", to))?;
        drop(open(to, steps)?);
        let open = || {
            let connection = Connection::open_with_flags(
                from,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(BUSY)?;
            connection.execute("ATTACH ?1 AS copy", [to.to_string_lossy()])?;
            // It is synced as a whole, and of no use before.
            connection.query_row("PRAGMA copy.journal_mode = OFF", [], |_| Ok(()))?;
            connection.execute_batch("PRAGMA copy.synchronous = OFF")?;
            Ok(connection)
        };
        Ok(Self {
            connection: open().map_err(StorageError::database("copying the database", from))?,
            tables: Vec::new(),
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }

    /// What is committed now is what is copied.
    pub(crate) fn pin(&mut self) -> Result<(), StorageError> {
        // The transaction keeps what its first question saw.
        let mut pin = || {
            self.connection.execute_batch("BEGIN")?;
            self.tables = self
                .connection
                .prepare(TABLES)?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(())
        };
        pin().map_err(StorageError::database("copying the database", &self.from))
    }

    /// Copies what was pinned.
    pub(crate) fn finish(self) -> Result<(), StorageError> {
        let copy = || {
            for table in &self.tables {
                self.connection.execute_batch(&format!(
                    "DELETE FROM copy.{table}; INSERT INTO copy.{table} SELECT * FROM main.{table}"
                ))?;
            }
            self.connection.execute_batch("COMMIT")
        };
        copy().map_err(StorageError::database("copying the database", &self.from))?;
        drop(self.connection);
        File::open(&self.to)
            .and_then(|file| file.sync_all())
            .map_err(StorageError::io("syncing", &self.to))
    }
}

fn version(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        .map(|version| u64::try_from(version).unwrap_or(u64::MAX))
}

fn refuse_newer(path: &Path, found: u64, steps: &[&str]) -> Result<(), StorageError> {
    let supported = u64::try_from(steps.len()).unwrap_or(u64::MAX);
    if found > supported {
        Err(StorageError::NewerFormat {
            path: path.to_owned(),
            found,
            supported,
        })
    } else {
        Ok(())
    }
}
