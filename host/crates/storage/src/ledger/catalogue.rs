//! The catalogue of sealed segments and the roll-ups, in `ledger.db`.
//!
//! Both are made from the journal and can be made again: without the file, opening the ledger reads
//! all segments and the anchor. The roll-ups hold exactly what is in the segments before
//! [`Catalogue::position`], since a segment enters the catalogue, its sums the roll-ups and the
//! position moves in one transaction. There is no row for an invocation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use domain::FunctionName;
use rusqlite::{Connection, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::anchor::Anchor;
use super::rollups::{self, MinutesHave, Wanted, in_range, signed, unsigned};
use super::segment::{Frames, HEADER_BYTES, Hash, Header, Place, Stop};
use super::sums::{Minute, Period, Sums};
use crate::{StorageError, database};

const FILE: &str = "ledger.db";

/// Sums of 128 bits are kept as 16 bytes, most significant first. The second step makes everything
/// again: with the position at the beginning, the next start reads the anchor and all segments.
const SCHEMA: &[&str] = &[
    "
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
",
    "
DROP TABLE rollups;
DELETE FROM segments;
UPDATE position SET next_sequence = 1;

-- `period`: 0 minutes, 1 hours, 2 days. `start`: its first minute since 1970-01-01, UTC.
-- `version` and `trigger` are empty where they are not known.
CREATE TABLE rollups (
    period INTEGER NOT NULL,
    start INTEGER NOT NULL,
    function TEXT NOT NULL,
    version TEXT NOT NULL,
    trigger TEXT NOT NULL,
    success INTEGER NOT NULL,
    error INTEGER NOT NULL,
    timeout INTEGER NOT NULL,
    out_of_memory INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    host_error INTEGER NOT NULL,
    host_crash INTEGER NOT NULL,
    billed_ms INTEGER NOT NULL,
    mb_ms BLOB NOT NULL,
    charge_picousd BLOB NOT NULL,
    PRIMARY KEY (period, function, start, version, trigger)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_start ON rollups (period, start);

-- Rows of minutes hold exactly the records from this sequence number on, as far as they started in
-- this minute or later.
CREATE TABLE minutes (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    first_sequence INTEGER NOT NULL,
    first_minute INTEGER NOT NULL
) STRICT;
INSERT INTO minutes VALUES (1, 1, -9223372036854775808);
",
];

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
    /// From this record on.
    pub(super) from_sequence: u64,
}

/// Everything that the catalogue says, at one moment.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) position: u64,
    pub(super) segments: Vec<Catalogued>,
    pub(super) minutes_have: MinutesHave,
    pub(super) minutes: Sums,
    pub(super) hours: Sums,
    pub(super) days: Sums,
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
        position(&self.connection)
            .map_err(StorageError::database("reading the position", &self.path))
    }

    /// Enters a sealed segment, and its sums into the roll-ups. Entering it again changes nothing.
    pub(super) fn insert(&mut self, info: &SegmentInfo) -> Result<(), StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            if advance(&transaction, info.first_sequence, info.next_sequence)? {
                insert_segment(&transaction, info)?;
                rollups::add(&transaction, &info.sums)?;
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
                rollups::replace(&transaction, &anchor.sums, next_sequence)?;
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
        segments(&self.connection, filter)
            .map_err(StorageError::database("reading the catalogue", &self.path))
    }

    /// The roll-ups of `wanted`, and the position up to which they reach.
    pub(super) fn rollups(&mut self, wanted: &Wanted<'_>) -> Result<(Sums, u64), StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            let sums = rollups::read(&transaction, wanted)?;
            Ok((sums, position(&transaction)?))
        })()
        .map_err(StorageError::database("reading the roll-ups", &self.path))
    }

    /// Everything, to be checked.
    pub(super) fn contents(&mut self) -> Result<Contents, StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            let all = |by| {
                let (function, minutes) = (None, Minute::MIN..=Minute::MAX);
                let wanted = Wanted {
                    function,
                    by,
                    minutes,
                };
                rollups::read(&transaction, &wanted)
            };
            Ok(Contents {
                position: position(&transaction)?,
                segments: segments(&transaction, Filter::default())?,
                minutes_have: rollups::minutes_have(&transaction)?,
                minutes: all(Period::Minute)?,
                hours: all(Period::Hour)?,
                days: all(Period::Day)?,
            })
        })()
        .map_err(StorageError::database("reading the catalogue", &self.path))
    }

    /// Removes the roll-ups of minutes before `first_minute`, where an hour begins.
    pub(super) fn forget_minutes(&mut self, first_minute: Minute) -> Result<(), StorageError> {
        (|| {
            let transaction = self.connection.transaction()?;
            rollups::forget_minutes(&transaction, first_minute)?;
            transaction.commit()
        })()
        .map_err(StorageError::database(
            "removing sums of minutes",
            &self.path,
        ))
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
        let tables = "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name NOT IN ('position', 'minutes')";
        let mut statement = self.connection.prepare_cached(tables).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        for name in names.collect::<rusqlite::Result<Vec<String>>>().unwrap() {
            let delete = format!("DELETE FROM {name}");
            let mut statement = self.connection.prepare_cached(&delete).unwrap();
            statement.execute([]).unwrap();
        }
        for reset in [
            "UPDATE position SET next_sequence = 1",
            "UPDATE minutes SET first_sequence = 1, first_minute = -9223372036854775808",
        ] {
            let mut statement = self.connection.prepare_cached(reset).unwrap();
            statement.execute([]).unwrap();
        }
    }
}

fn position(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT next_sequence FROM position";
    connection.query_row(sql, [], |row| unsigned(row, 0))
}

fn segments(connection: &Connection, filter: Filter<'_>) -> rusqlite::Result<Vec<Catalogued>> {
    let mut statement = connection.prepare_cached(
        "SELECT first_sequence, next_sequence, last_us, bytes, crc, sha256
         FROM segments AS s
         WHERE last_us >= ?1 AND first_us < ?2 AND (?3 IS NULL OR EXISTS (
             SELECT 1 FROM segment_functions AS f
             WHERE f.first_sequence = s.first_sequence AND f.function = ?3))
             AND next_sequence > ?4
         ORDER BY first_sequence",
    )?;
    let since_us = filter.since_us.unwrap_or(i64::MIN);
    let until_us = filter.until_us.unwrap_or(i64::MAX);
    let function = filter.function.map(FunctionName::as_str);
    let from_sequence = signed(filter.from_sequence);
    let rows = statement.query_map(
        params![since_us, until_us, function, from_sequence],
        |row| {
            Ok(Catalogued {
                first_sequence: unsigned(row, 0)?,
                next_sequence: unsigned(row, 1)?,
                last_us: row.get(2)?,
                bytes: row.get(3).and_then(|bytes: i64| in_range(3, bytes))?,
                crc: row.get(4)?,
                hash: row.get(5)?,
            })
        },
    )?;
    rows.collect()
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
        .map(|key| &key.function)
        .collect::<BTreeSet<_>>();
    let mut statement =
        transaction.prepare_cached("INSERT INTO segment_functions VALUES (?1, ?2)")?;
    for function in functions {
        statement.execute(params![signed(info.first_sequence), function.as_str()])?;
    }
    Ok(())
}
