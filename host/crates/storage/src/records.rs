//! What is known about functions, in `registry.db`.
//!
//! Knows nothing of what a configuration means: it is the host's JSON, kept as it came.

use std::path::PathBuf;
use std::sync::Arc;

use domain::{FunctionName, VersionId};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, Transaction, params};

use crate::{ArtifactId, DataDir, StorageError, database};

const FILE: &str = "registry.db";

/// From an empty file to schema version 1, and so on.
const SCHEMA: &[&str] = &[
    "CREATE TABLE functions (
    name TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    artifact BLOB NOT NULL CHECK (length(artifact) = 32),
    origin TEXT NOT NULL,
    configuration TEXT NOT NULL,
    updated_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;",
    // What the files looked like from outside that it was published from.
    "ALTER TABLE functions ADD COLUMN source TEXT;",
];

/// How a function came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// As a file in the drop folder.
    Drop,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }
}

/// A function as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRecord {
    /// Its name.
    pub name: FunctionName,
    /// Which version this is.
    pub version: VersionId,
    /// Its bytes.
    pub artifact: ArtifactId,
    /// How it came here.
    pub origin: Origin,
    /// JSON that belongs to the host.
    pub configuration: String,
    /// When it was last changed, in Unix microseconds.
    pub updated_at_us: i64,
    /// What its files looked like when they were read, if they need not be read again while they look
    /// like this. Belongs to the host.
    pub source: Option<String>,
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

    /// All functions, by name.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read, [`StorageError::Corrupt`] when a row is
    /// not one that we wrote.
    pub fn functions(&self) -> Result<Vec<FunctionRecord>, StorageError> {
        let Some(connection) = &self.0.connection else {
            return Ok(Vec::new());
        };
        let rows = (|| {
            let connection = connection.lock();
            let mut statement = connection.prepare_cached(
                "SELECT name, version, artifact, origin, configuration, updated_at_us, source
                 FROM functions ORDER BY name",
            )?;
            statement
                .query_map([], record)?
                .collect::<Result<Vec<_>, _>>()
        })()
        .map_err(self.failed("reading functions"))?;
        rows.into_iter()
            .map(|row| row.map_err(|reason| StorageError::corrupt(&self.0.path, 0, reason)))
            .collect()
    }

    /// Stores functions over those of the same names: all of them or none. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] or [`StorageError::Database`] when they can't be written.
    pub fn put_functions(&self, records: &[&FunctionRecord]) -> Result<(), StorageError> {
        self.in_one("storing functions", |transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT OR REPLACE INTO functions
                 (name, version, artifact, origin, configuration, updated_at_us, source)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for record in records {
                statement.execute(params![
                    record.name.as_str(),
                    record.version.to_string(),
                    record.artifact.as_bytes(),
                    record.origin.as_str(),
                    record.configuration,
                    record.updated_at_us,
                    record.source,
                ])?;
            }
            Ok(())
        })
    }

    /// Notes what the files of functions look like, and changes nothing else.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] or [`StorageError::Database`] when it can't be written.
    pub fn note_sources(&self, sources: &[(&FunctionName, &str)]) -> Result<(), StorageError> {
        self.in_one("storing functions", |transaction| {
            let mut statement =
                transaction.prepare_cached("UPDATE functions SET source = ?2 WHERE name = ?1")?;
            for (name, source) in sources {
                statement.execute(params![name.as_str(), source])?;
            }
            Ok(())
        })
    }

    fn in_one(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StorageError> {
        let mut connection = self.writable()?.lock();
        (|| {
            let transaction = connection.transaction()?;
            write(&transaction)?;
            transaction.commit()
        })()
        .map_err(self.failed(doing))
    }

    /// Forgets a function, and says whether there was one. Durable when this returns.
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

/// The record of a row, or what is wrong with it.
fn record(row: &Row<'_>) -> rusqlite::Result<Result<FunctionRecord, String>> {
    let name: String = row.get(0)?;
    let version: String = row.get(1)?;
    let artifact: [u8; 32] = row.get(2)?;
    let origin: String = row.get(3)?;
    let (configuration, updated_at_us) = (row.get(4)?, row.get(5)?);
    let source = row.get(6)?;
    Ok((|| {
        Ok(FunctionRecord {
            name: FunctionName::parse(&name).map_err(|error| error.to_string())?,
            version: VersionId::try_from(version)?,
            artifact: ArtifactId::from_bytes(artifact),
            origin: Origin::parse(&origin)
                .ok_or_else(|| format!("function `{name}` has the unknown origin `{origin}`"))?,
            configuration,
            updated_at_us,
            source,
        })
    })())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, configuration: &str) -> FunctionRecord {
        FunctionRecord {
            name: FunctionName::parse(name).unwrap(),
            version: VersionId::Latest,
            artifact: ArtifactId::of(configuration.as_bytes()),
            origin: Origin::Drop,
            configuration: configuration.to_owned(),
            updated_at_us: 1_763_830_000_000_000,
            source: None,
        }
    }

    #[test]
    fn functions_are_stored_replaced_removed_and_there_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let records = Records::open(&data_dir).unwrap();
        let (lower, upper) = (function("hello", "{}"), function("Hello", "{\"a\":1}"));
        records.put_functions(&[&lower, &upper]).unwrap();
        let newer = FunctionRecord {
            version: VersionId::Number(7),
            ..lower
        };
        records.put_functions(&[&newer]).unwrap();
        records.note_sources(&[(&newer.name, "seen")]).unwrap();
        let newer = FunctionRecord {
            source: Some("seen".to_owned()),
            ..newer
        };
        drop(records);

        let records = Records::open(&data_dir).unwrap();
        assert_eq!(records.functions().unwrap(), [upper.clone(), newer]);
        assert!(records.delete_function(&upper.name).unwrap());
        assert!(!records.delete_function(&upper.name).unwrap());
        assert_eq!(records.functions().unwrap().len(), 1);
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        drop(Records::open(&data_dir).unwrap());
        let path = data_dir.path().join(FILE);
        Connection::open(&path)
            .unwrap()
            .execute_batch("PRAGMA user_version = 9")
            .unwrap();
        let message = Records::open(&data_dir).unwrap_err().to_string();
        assert!(
            message.ends_with("has format 9, and this version of Mayfly knows formats up to 2")
        );
    }

    #[test]
    fn a_reader_sees_what_the_owner_wrote_and_can_not_write() {
        let root = tempfile::tempdir().unwrap();
        let reader = DataDir::open_for_reading(root.path()).unwrap();
        assert_eq!(Records::open(&reader).unwrap().functions().unwrap(), []);
        let owner = Records::open(&DataDir::open(root.path()).unwrap()).unwrap();
        owner.put_functions(&[&function("hello", "{}")]).unwrap();
        let records = Records::open(&reader).unwrap();
        assert_eq!(records.functions().unwrap().len(), 1);
        let error = records.put_functions(&[&function("x", "{}")]).unwrap_err();
        assert!(matches!(error, StorageError::ReadOnly { .. }), "{error}");
    }
}
