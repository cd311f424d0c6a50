//! The catalogue of sealed segments and the roll-ups, in `ledger.db`.
//!
//! Both are made from the journal and can be made again: without the file, opening the ledger reads
//! all segments and the anchor. The roll-ups hold exactly what is in the segments before
//! [`Catalogue::position`], since a segment enters the catalogue, its sums the roll-ups and the
//! position moves in one transaction. There is no row for an invocation.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use domain::FunctionName;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::anchor::Anchor;
use super::segment::{Frames, HEADER_BYTES, Hash, Header, Place, Stop};
use super::sums::{Day, Sums, Totals};
use crate::{StorageError, database};

const FILE: &str = "ledger.db";

/// Sums of 128 bits are kept as 16 bytes, most significant first.
const SCHEMA: &[&str] = &["
CREATE TABLE position (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_sequence INTEGER NOT NULL
) STRICT;
INSERT INTO position VALUES (1, 1);

CREATE TABLE segments (
    first_sequence INTEGER PRIMARY KEY,
    next_sequence INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    sha256 BLOB NOT NULL
) STRICT;

CREATE TABLE segment_functions (
    first_sequence INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE,
    function TEXT NOT NULL,
    PRIMARY KEY (first_sequence, function)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollups (
    function TEXT NOT NULL,
    day INTEGER NOT NULL,
    invocations INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    billed_ms INTEGER NOT NULL,
    mb_ms BLOB NOT NULL,
    charge_picousd BLOB NOT NULL,
    PRIMARY KEY (function, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_day ON rollups (day);
"];

const ROLLUPS_OF_DAYS: &str = "
SELECT function, day, invocations, errors, billed_ms, mb_ms, charge_picousd
FROM rollups WHERE day BETWEEN ?1 AND ?2";
const ROLLUPS_OF_FUNCTION: &str = "
SELECT function, day, invocations, errors, billed_ms, mb_ms, charge_picousd
FROM rollups WHERE function = ?3 AND day BETWEEN ?1 AND ?2";

/// What a sealed segment holds, read from itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    /// Earliest and latest start of an invocation, in Unix microseconds.
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    pub(super) bytes: usize,
    /// Of the last frame.
    pub(super) crc: u32,
    pub(super) hash: Hash,
    pub(super) sums: Sums,
}

impl SegmentInfo {
    /// Reads a complete segment.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when `bytes` are anything but a header and frames.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, StorageError> {
        let header = Header::parse(path, bytes)?;
        let mut sums = Sums::default();
        let (mut first_us, mut last_us) = (i64::MAX, i64::MIN);
        let mut frames = Frames::new(bytes, Place::first(&header));
        let mut at = HEADER_BYTES;
        for frame in frames.by_ref() {
            let report = frame
                .report()
                .map_err(|reason| StorageError::corrupt(path, at, reason))?;
            sums.add(&report);
            first_us = first_us.min(report.started_at_us);
            last_us = last_us.max(report.started_at_us);
            at = frame.end;
        }
        let Place {
            offset,
            sequence,
            crc,
        } = frames.place;
        if offset != bytes.len() {
            let reason = match frames.stop {
                Some(Stop::Bad(reason)) => format!("a record can't be read: {reason}"),
                _ => "records are missing".to_owned(),
            };
            return Err(StorageError::corrupt(path, offset, reason));
        }
        Ok(Self {
            first_sequence: header.first_sequence,
            next_sequence: sequence,
            first_us,
            last_us,
            bytes: bytes.len(),
            crc,
            hash: Sha256::digest(bytes).into(),
            sums,
        })
    }
}

/// A row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Catalogued {
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    pub(super) last_us: i64,
    pub(super) bytes: usize,
    pub(super) crc: u32,
    pub(super) hash: Hash,
}

/// Which segments may hold what is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter<'a> {
    pub(super) function: Option<&'a FunctionName>,
    pub(super) since_us: Option<i64>,
    pub(super) until_us: Option<i64>,
}

/// Which roll-ups are asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) function: Option<&'a FunctionName>,
    pub(super) days: RangeInclusive<Day>,
}

#[derive(Debug)]
pub(super) struct Catalogue {
    path: PathBuf,
    connection: Connection,
}

impl Catalogue {
    pub(super) fn open(data_dir: &Path) -> Result<Self, StorageError> {
        let path = data_dir.join(FILE);
        let connection = database::open(&path, SCHEMA)?;
        Ok(Self { path, connection })
    }

    /// `None` when there is none that can be used; the journal has it all.
    pub(super) fn open_for_reading(data_dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = data_dir.join(FILE);
        let connection = database::open_for_reading(&path, SCHEMA)?;
        Ok(connection.map(|connection| Self { path, connection }))
    }

    /// The first sequence number that is not in the roll-ups.
    pub(super) fn position(&self) -> Result<u64, StorageError> {
        self.connection
            .query_row("SELECT next_sequence FROM position", [], |row| {
                unsigned(row, 0)
            })
            .map_err(StorageError::database("reading the position", &self.path))
    }

    /// Enters a sealed segment, and its sums into the roll-ups. Entering it again changes nothing.
    pub(super) fn insert(&mut self, info: &SegmentInfo) -> Result<(), StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            if advance(&transaction, info.first_sequence, info.next_sequence)? {
                insert_segment(&transaction, info)?;
                add_sums(&transaction, &info.sums)?;
            }
            transaction.commit()
        })()
        .map_err(StorageError::database("entering a segment", &self.path))
    }

    /// Takes over the sums of all dropped segments, if the roll-ups do not reach that far, and
    /// forgets the segments.
    pub(super) fn enter_anchor(&mut self, anchor: &Anchor) -> Result<(), StorageError> {
        let next_sequence = signed(anchor.next_sequence);
        (|| {
            let transaction = self.connection.transaction()?;
            let is_behind = transaction.execute(
                "UPDATE position SET next_sequence = ?1 WHERE next_sequence < ?1",
                [next_sequence],
            )?;
            if is_behind == 1 {
                // What is in them is in the anchor, which holds everything from the first record on.
                transaction.execute("DELETE FROM rollups", [])?;
                add_sums(&transaction, &anchor.sums)?;
            }
            transaction.execute(
                "DELETE FROM segments WHERE first_sequence < ?1",
                [next_sequence],
            )?;
            transaction.commit()
        })()
        .map_err(StorageError::database("entering sums", &self.path))
    }

    /// The segments that may hold what `filter` asks for, oldest first.
    pub(super) fn segments(&self, filter: Filter<'_>) -> Result<Vec<Catalogued>, StorageError> {
        (|| {
            let mut statement = self.connection.prepare_cached(
                "SELECT first_sequence, next_sequence, last_us, bytes, crc, sha256
                 FROM segments AS s
                 WHERE last_us >= ?1 AND first_us < ?2 AND (?3 IS NULL OR EXISTS (
                     SELECT 1 FROM segment_functions AS f
                     WHERE f.first_sequence = s.first_sequence AND f.function = ?3))
                 ORDER BY first_sequence",
            )?;
            let since_us = filter.since_us.unwrap_or(i64::MIN);
            let until_us = filter.until_us.unwrap_or(i64::MAX);
            let function = filter.function.map(FunctionName::as_str);
            let rows = statement.query_map(params![since_us, until_us, function], |row| {
                Ok(Catalogued {
                    first_sequence: unsigned(row, 0)?,
                    next_sequence: unsigned(row, 1)?,
                    last_us: row.get(2)?,
                    bytes: row.get(3).and_then(|bytes: i64| in_range(3, bytes))?,
                    crc: row.get(4)?,
                    hash: row.get(5)?,
                })
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        })()
        .map_err(StorageError::database("reading the catalogue", &self.path))
    }

    /// The roll-ups of `wanted`, and the position up to which they reach.
    pub(super) fn rollups(&mut self, wanted: &Wanted<'_>) -> Result<(Sums, u64), StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            let position =
                transaction.query_row("SELECT next_sequence FROM position", [], |row| {
                    unsigned(row, 0)
                })?;
            let mut sums = Sums::default();
            let (first, last) = (*wanted.days.start(), *wanted.days.end());
            match wanted.function {
                None => {
                    let mut statement = transaction.prepare_cached(ROLLUPS_OF_DAYS)?;
                    read_rollups(statement.query(params![first, last])?, &mut sums)?;
                }
                Some(function) => {
                    let mut statement = transaction.prepare_cached(ROLLUPS_OF_FUNCTION)?;
                    let rows = statement.query(params![first, last, function.as_str()])?;
                    read_rollups(rows, &mut sums)?;
                }
            }
            Ok((sums, position))
        })()
        .map_err(StorageError::database("reading the roll-ups", &self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
impl Catalogue {
    /// One that is not on a disk.
    pub(super) fn in_memory() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        for step in SCHEMA {
            connection.execute_batch(step).unwrap();
        }
        let path = PathBuf::from(FILE);
        Self { path, connection }
    }

    /// Forgets everything, as if the file was removed.
    pub(super) fn clear(&self) {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'position'";
        let mut statement = self.connection.prepare_cached(tables).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        for name in names.collect::<rusqlite::Result<Vec<String>>>().unwrap() {
            let delete = format!("DELETE FROM {name}");
            let mut statement = self.connection.prepare_cached(&delete).unwrap();
            statement.execute([]).unwrap();
        }
        let reset = "UPDATE position SET next_sequence = 1";
        let mut statement = self.connection.prepare_cached(reset).unwrap();
        statement.execute([]).unwrap();
    }
}

fn read_rollups(mut rows: Rows<'_>, sums: &mut Sums) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let function = FunctionName::parse(&name).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
        })?;
        sums.add_totals(function, row.get(1)?, totals(row, 2)?);
    }
    Ok(())
}

/// Moves the position over a segment; `false` when it is behind already.
fn advance(transaction: &Transaction<'_>, first: u64, next: u64) -> rusqlite::Result<bool> {
    let rows = transaction.execute(
        "UPDATE position SET next_sequence = ?2 WHERE next_sequence = ?1",
        [signed(first), signed(next)],
    )?;
    Ok(rows == 1)
}

fn insert_segment(transaction: &Transaction<'_>, info: &SegmentInfo) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO segments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            signed(info.first_sequence),
            signed(info.next_sequence),
            info.first_us,
            info.last_us,
            i64::try_from(info.bytes).unwrap_or(i64::MAX),
            info.crc,
            info.hash,
        ])?;
    let functions = info
        .sums
        .0
        .keys()
        .map(|(function, _)| function)
        .collect::<BTreeSet<_>>();
    let mut statement =
        transaction.prepare_cached("INSERT INTO segment_functions VALUES (?1, ?2)")?;
    for function in functions {
        statement.execute(params![signed(info.first_sequence), function.as_str()])?;
    }
    Ok(())
}

fn add_sums(transaction: &Transaction<'_>, sums: &Sums) -> rusqlite::Result<()> {
    let mut select = transaction.prepare_cached(
        "SELECT invocations, errors, billed_ms, mb_ms, charge_picousd
         FROM rollups WHERE function = ?1 AND day = ?2",
    )?;
    let mut replace = transaction
        .prepare_cached("INSERT OR REPLACE INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for ((function, day), added) in &sums.0 {
        let mut sum = select
            .query_row(params![function.as_str(), day], |row| totals(row, 0))
            .optional()?
            .unwrap_or_default();
        sum += *added;
        replace.execute(params![
            function.as_str(),
            day,
            signed(sum.invocations),
            signed(sum.errors),
            signed(sum.billed_ms),
            sum.mb_ms.to_be_bytes(),
            sum.charge_picousd.to_be_bytes(),
        ])?;
    }
    Ok(())
}

/// The totals in the columns from `first` on.
fn totals(row: &Row<'_>, first: usize) -> rusqlite::Result<Totals> {
    Ok(Totals {
        invocations: unsigned(row, first)?,
        errors: unsigned(row, first + 1)?,
        billed_ms: unsigned(row, first + 2)?,
        mb_ms: u128::from_be_bytes(row.get(first + 3)?),
        charge_picousd: u128::from_be_bytes(row.get(first + 4)?),
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column)
        .and_then(|value: i64| in_range(column, value))
}

fn in_range<T: TryFrom<i64>>(column: usize, value: i64) -> rusqlite::Result<T> {
    T::try_from(value).map_err(|_error| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// SQLite's integers are signed; ours stay far below their end.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
