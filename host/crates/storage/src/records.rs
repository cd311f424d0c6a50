//! What is known about functions, their versions and aliases, in `registry.db`.
//!
//! One change of a function is one transaction, however many rows it touches. Deleting a function
//! deletes its versions and aliases.
//!
//! Knows nothing of what a configuration, settings or an alias mean: they are the host's JSON, kept as
//! they came.

mod rows;
mod schema;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use domain::{AliasName, ArtifactId, FunctionName};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, Transaction, params};

use crate::{DataDir, StorageError, database};
use schema::SCHEMA;

pub use rows::{AliasRecord, FunctionRecord, NumberedRecord, Origin, VersionRecord};

const FILE: &str = "registry.db";

/// One row that changes.
#[derive(Debug, Clone)]
pub enum Write {
    /// A function is there, with this `$LATEST` and these settings.
    Function(FunctionRecord),
    /// What the files of a function look like, if they need not be read again while they look like
    /// this. The text belongs to the host.
    Source(FunctionName, Option<String>),
    /// A numbered version is there.
    Version(NumberedRecord),
    /// A numbered version is gone.
    NoVersion(FunctionName, u64),
    /// An alias is there.
    Alias(AliasRecord),
    /// An alias is gone.
    NoAlias(FunctionName, AliasName),
}

/// Everything that is stored, each list sorted by the name of the function and then by number or name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Functions, and what their files looked like.
    pub functions: Vec<(FunctionRecord, Option<String>)>,
    /// Numbered versions.
    pub versions: Vec<NumberedRecord>,
    /// Aliases.
    pub aliases: Vec<AliasRecord>,
}

/// The stored functions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Records(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    data_dir: DataDir,
    path: PathBuf,
    /// `None` when opened for reading where nothing was ever written.
    connection: Option<Mutex<Connection>>,
}

impl Records {
    /// Opens the records of a data directory.
    ///
    /// # Errors
    ///
    /// [`StorageError::NewerFormat`] when a newer Mayfly wrote them, [`StorageError::Database`] when
    /// they can't be read.
    pub fn open(data_dir: &DataDir) -> Result<Self, StorageError> {
        let path = data_dir.path().join(FILE);
        let connection = if data_dir.is_writable() {
            Some(database::open(&path, SCHEMA)?)
        } else {
            database::open_for_reading(&path, SCHEMA)?
        };
        let connection = connection.map(Mutex::new);
        Ok(Self(Arc::new(Inner {
            data_dir: data_dir.clone(),
            path,
            connection,
        })))
    }

    /// Everything, with one query for each table.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be read, [`StorageError::Corrupt`] when a row is
    /// not one that we wrote.
    pub fn read(&self) -> Result<Stored, StorageError> {
        let Some(connection) = &self.0.connection else {
            return Ok(Stored::default());
        };
        let mut connection = connection.lock();
        let (functions, versions, aliases) = (|| {
            // One state of all tables, also beside a writer in another process.
            let transaction = connection.transaction()?;
            let functions = all(
                &transaction,
                "SELECT name, origin, created_at_us, next_version, settings, source,
                        artifact, code_sha256, code_bytes, configuration, revision, updated_at_us
                 FROM functions ORDER BY name",
                rows::function,
            )?;
            let versions = all(
                &transaction,
                "SELECT function, number, published_from,
                        artifact, code_sha256, code_bytes, configuration, revision, updated_at_us
                 FROM versions ORDER BY function, number",
                rows::numbered,
            )?;
            let aliases = all(
                &transaction,
                "SELECT function, name, alias FROM aliases ORDER BY function, name",
                rows::alias,
            )?;
            Ok((functions, versions, aliases))
        })()
        .map_err(self.failed("reading functions"))?;
        let corrupt = |reason| StorageError::corrupt(&self.0.path, 0, reason);
        Ok(Stored {
            functions: functions.map_err(corrupt)?,
            versions: versions.map_err(corrupt)?,
            aliases: aliases.map_err(corrupt)?,
        })
    }

    /// The artifacts of all functions and versions, also of those whose JSON the host can't read.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn artifacts(&self) -> Result<HashSet<ArtifactId>, StorageError> {
        let Some(connection) = &self.0.connection else {
            return Ok(HashSet::new());
        };
        let connection = connection.lock();
        let read = || -> rusqlite::Result<HashSet<ArtifactId>> {
            connection
                .prepare("SELECT artifact FROM functions UNION SELECT artifact FROM versions")?
                .query_map([], |row| row.get(0).map(ArtifactId::from_bytes))?
                .collect()
        };
        read().map_err(self.failed("reading artifacts"))
    }

    /// Changes rows: all of them or none. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] or [`StorageError::Database`] when they can't be written.
    pub fn write(&self, writes: &[Write]) -> Result<(), StorageError> {
        let mut connection = self.writable()?.lock();
        (|| {
            let transaction = connection.transaction()?;
            writes
                .iter()
                .try_for_each(|write| execute(&transaction, write))?;
            transaction.commit()
        })()
        .map_err(self.failed("storing functions"))
    }

    /// Forgets a function with its versions and aliases, and says whether there was one. Durable when
    /// this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be removed.
    pub fn delete_function(&self, name: &FunctionName) -> Result<bool, StorageError> {
        self.writable()?
            .lock()
            .execute("DELETE FROM functions WHERE name = ?1", [name.as_str()])
            .map(|rows| rows > 0)
            .map_err(self.failed("removing a function"))
    }

    fn writable(&self) -> Result<&Mutex<Connection>, StorageError> {
        self.0.data_dir.require_writable()?;
        let read_only = || StorageError::ReadOnly {
            path: self.0.data_dir.path().to_owned(),
        };
        self.0.connection.as_ref().ok_or_else(read_only)
    }

    fn failed<'a>(
        &'a self,
        doing: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> StorageError + use<'a> {
        StorageError::database(doing, &self.0.path)
    }
}

fn all<T>(
    transaction: &Transaction<'_>,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<Result<T, String>>,
) -> rusqlite::Result<Result<Vec<T>, String>> {
    transaction.prepare(query)?.query_map([], read)?.collect()
}

fn execute(transaction: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    // Rows are not replaced: deleting the old one would take its versions along.
    let changed = match write {
        Write::Function(record) => put_function(transaction, record),
        Write::Source(name, source) => transaction
            .prepare_cached("UPDATE functions SET source = ?2 WHERE name = ?1")?
            .execute(params![name.as_str(), source]),
        Write::Version(record) => put_version(transaction, record),
        Write::NoVersion(function, number) => transaction
            .prepare_cached("DELETE FROM versions WHERE function = ?1 AND number = ?2")?
            .execute(params![function.as_str(), stored(*number)]),
        Write::Alias(record) => transaction
            .prepare_cached(
                "INSERT INTO aliases (function, name, alias) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET alias = excluded.alias",
            )?
            .execute(params![
                record.function.as_str(),
                record.name.as_str(),
                record.alias
            ]),
        Write::NoAlias(function, name) => transaction
            .prepare_cached("DELETE FROM aliases WHERE function = ?1 AND name = ?2")?
            .execute([function.as_str(), name.as_str()]),
    };
    changed.map(|_rows| ())
}

fn put_function(transaction: &Transaction<'_>, record: &FunctionRecord) -> rusqlite::Result<usize> {
    let latest = &record.latest;
    transaction
        .prepare_cached(
            "INSERT INTO functions (name, origin, created_at_us, next_version, settings,
                 artifact, code_sha256, code_bytes, configuration, revision, updated_at_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT DO UPDATE SET origin = excluded.origin,
                 created_at_us = excluded.created_at_us, next_version = excluded.next_version,
                 settings = excluded.settings, artifact = excluded.artifact,
                 code_sha256 = excluded.code_sha256, code_bytes = excluded.code_bytes,
                 configuration = excluded.configuration, revision = excluded.revision,
                 updated_at_us = excluded.updated_at_us",
        )?
        .execute(params![
            record.name.as_str(),
            record.origin.as_str(),
            record.created_at_us,
            stored(record.next_version),
            record.settings,
            latest.artifact.as_bytes(),
            latest.code_sha256,
            stored(latest.code_bytes),
            latest.configuration,
            latest.revision,
            latest.updated_at_us,
        ])
}

fn put_version(transaction: &Transaction<'_>, record: &NumberedRecord) -> rusqlite::Result<usize> {
    let version = &record.version;
    transaction
        .prepare_cached(
            "INSERT INTO versions (function, number, published_from,
                 artifact, code_sha256, code_bytes, configuration, revision, updated_at_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            record.function.as_str(),
            stored(record.number),
            record.published_from,
            version.artifact.as_bytes(),
            version.code_sha256,
            stored(version.code_bytes),
            version.configuration,
            version.revision,
            version.updated_at_us,
        ])
}

/// Numbers of versions and bytes are far below this.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
