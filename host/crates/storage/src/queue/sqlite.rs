//! The queue in SQLite: the schema, and rows from and to it.
//!
//! Payloads have a table of their own, so that a change of state does not write them again. `due` is
//! the index that claims and depths are answered from; what has ended is not in it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::event::{Condition, EventState};
use domain::{RequestId, Trigger};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::machine::{Depth, Depths, Effect, Rows};
use super::operation::ScheduleRecord;
use super::{Event, QueueError};
use crate::{StorageError, database};

pub(super) const FILE: &str = "queue.db";

pub(super) const SCHEMA: &[&str] = &["
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        target TEXT NOT NULL,
        trigger INTEGER NOT NULL,
        source TEXT,
        state INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        refusals INTEGER NOT NULL,
        depth INTEGER NOT NULL,
        accepted_at_us INTEGER NOT NULL,
        due_at_us INTEGER NOT NULL,
        changed_at_us INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        condition INTEGER,
        failure TEXT
    ) STRICT;
    CREATE INDEX due ON events (queue, due_at_us, bytes) WHERE state = 0;
    CREATE INDEX running ON events (queue, bytes) WHERE state = 1;
    CREATE INDEX ended ON events (state, changed_at_us) WHERE state > 1;
    CREATE INDEX by_queue ON events (queue, number);
    CREATE INDEX by_source ON events (source) WHERE state < 2 AND source IS NOT NULL;
    CREATE TABLE payloads (number INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;
    CREATE TABLE schedules (key TEXT PRIMARY KEY, document TEXT NOT NULL, last_due_us INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE time (only INTEGER PRIMARY KEY CHECK (only = 1), last_us INTEGER NOT NULL) STRICT;
"];

pub(super) const COLUMNS: &str =
    "id, target, trigger, source, state, attempts, failures, refusals, depth,
    accepted_at_us, due_at_us, changed_at_us, bytes, condition, failure";

#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let connection = database::open(path, SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    fn error(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> StorageError + '_ {
        StorageError::database(doing, &self.path)
    }

    pub(super) fn last_time_us(&self) -> Result<Option<i64>, StorageError> {
        self.connection
            .query_row("SELECT last_us FROM time", [], |row| row.get(0))
            .optional()
            .map_err(self.error("reading the time"))
    }

    pub(super) fn begin(&mut self) -> Result<(), StorageError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(self.error("beginning a transaction"))
    }

    pub(super) fn commit(&mut self, now_us: i64) -> Result<(), StorageError> {
        let result = self
            .connection
            .prepare_cached(
                "INSERT INTO time VALUES (1, ?1) ON CONFLICT DO UPDATE SET last_us = max(last_us, ?1)",
            )
            .and_then(|mut statement| statement.execute([now_us]))
            .and_then(|_| self.connection.execute_batch("COMMIT"));
        result.map_err(self.error("committing"))
    }

    pub(super) fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            // What failed has been said; SQLite may have rolled back by itself.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }

    pub(super) fn clamp_due(&mut self, latest_us: i64) -> Result<(), StorageError> {
        self.connection
            .execute(
                "UPDATE events SET due_at_us = ?1 WHERE state = 0 AND due_at_us > ?1",
                [latest_us],
            )
            .map(drop)
            .map_err(self.error("clamping due times"))
    }

    pub(super) fn depths(&self) -> Result<Depths, StorageError> {
        let read = || {
            let mut depths = Depths::new();
            for (sql, is_running) in [
                (
                    "SELECT queue, count(*), sum(bytes) FROM events WHERE state = 0 GROUP BY queue",
                    false,
                ),
                (
                    "SELECT queue, count(*), sum(bytes) FROM events WHERE state = 1 GROUP BY queue",
                    true,
                ),
            ] {
                let mut statement = self.connection.prepare(sql)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let depth: &mut Depth = depths.entry(row.get(0)?).or_default();
                    if is_running {
                        depth.running = row.get(1)?;
                    } else {
                        depth.queued = row.get(1)?;
                    }
                    depth.bytes += row.get::<_, u64>(2)?;
                }
            }
            Ok(depths)
        };
        read().map_err(self.error("counting events"))
    }

    pub(super) fn next_due_us(&self, queue: &str) -> Result<Option<i64>, StorageError> {
        self.connection
            .prepare_cached("SELECT min(due_at_us) FROM events WHERE queue = ?1 AND state = 0")
            .and_then(|mut statement| statement.query_row([queue], |row| row.get(0)))
            .map_err(self.error("reading due times"))
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<(), StorageError> {
        for effect in effects {
            self.apply_one(effect)
                .map_err(self.error("storing an event"))?;
        }
        Ok(())
    }

    fn apply_one(&self, effect: &Effect) -> rusqlite::Result<()> {
        let connection = &self.connection;
        match effect {
            Effect::Insert(event, payload) => {
                connection
                    .prepare_cached(
                        "INSERT INTO events (id, queue, target, trigger, source, state, attempts, failures, refusals,
                            depth, accepted_at_us, due_at_us, changed_at_us, bytes, condition, failure)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
                    )?
                    .execute(params![
                        event.id.as_bytes(),
                        event.target.queue(),
                        json(&event.target)?,
                        place(&Trigger::ALL, &event.trigger),
                        event.source,
                        place(&EventState::ALL, &event.state),
                        event.attempts,
                        event.failures,
                        event.refusals,
                        event.depth,
                        event.accepted_at_us,
                        event.due_at_us,
                        event.changed_at_us,
                        event.bytes,
                        event.condition.map(|condition| place(&Condition::ALL, &condition)),
                        event.failure.as_ref().map(json).transpose()?,
                    ])?;
                connection
                    .prepare_cached("INSERT INTO payloads VALUES (?1, ?2)")?
                    .execute(params![connection.last_insert_rowid(), &payload[..]])?;
            }
            Effect::Update(event) => {
                connection
                    .prepare_cached(
                        "UPDATE events SET state = ?2, attempts = ?3, failures = ?4, refusals = ?5, accepted_at_us = ?6,
                            due_at_us = ?7, changed_at_us = ?8, condition = ?9, failure = ?10
                         WHERE id = ?1",
                    )?
                    .execute(params![
                        event.id.as_bytes(),
                        place(&EventState::ALL, &event.state),
                        event.attempts,
                        event.failures,
                        event.refusals,
                        event.accepted_at_us,
                        event.due_at_us,
                        event.changed_at_us,
                        event.condition.map(|condition| place(&Condition::ALL, &condition)),
                        event.failure.as_ref().map(json).transpose()?,
                    ])?;
            }
            Effect::DropPayload(id) => {
                connection
                    .prepare_cached(
                        "DELETE FROM payloads WHERE number = (SELECT number FROM events WHERE id = ?1)",
                    )?
                    .execute([id.as_bytes()])?;
            }
            Effect::Remove(id) => {
                self.apply_one(&Effect::DropPayload(*id))?;
                connection
                    .prepare_cached("DELETE FROM events WHERE id = ?1")?
                    .execute([id.as_bytes()])?;
            }
            Effect::PutSchedule(record) => {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO schedules VALUES (?1, ?2, ?3)")?
                    .execute(params![record.key, record.document, record.last_due_us])?;
            }
            Effect::RemoveSchedule(key) => {
                connection
                    .prepare_cached("DELETE FROM schedules WHERE key = ?1")?
                    .execute([key])?;
            }
        }
        Ok(())
    }
}

impl Rows for Sqlite {
    type Error = QueueError;

    fn event(&self, id: RequestId) -> Result<Option<Event>, QueueError> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([id.as_bytes()], event).optional())
            .map_err(|error| self.error("reading an event")(error).into())
    }

    fn payload(&self, id: RequestId) -> Result<Bytes, QueueError> {
        self.connection
            .prepare_cached(
                "SELECT payload FROM payloads WHERE number = (SELECT number FROM events WHERE id = ?1)",
            )
            .and_then(|mut statement| {
                statement.query_row([id.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
            })
            .map(Bytes::from)
            .map_err(|error| self.error("reading a payload")(error).into())
    }

    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, QueueError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE queue = ?1 AND state = 0 AND due_at_us <= ?2
             ORDER BY due_at_us LIMIT ?3"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement
                    .query_map(params![queue, now_us, limit], event)?
                    .collect()
            })
            .map_err(|error| self.error("reading due events")(error).into())
    }

    fn selected(
        &self,
        queue: Option<&str>,
        states: &[EventState],
        limit: u32,
    ) -> Result<Vec<Event>, QueueError> {
        super::read::selected(&self.connection, queue, states, limit)
            .map_err(|error| self.error("selecting events")(error).into())
    }

    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, QueueError> {
        let state = place(&EventState::ALL, &EventState::Succeeded);
        self.connection
            .prepare_cached("SELECT id FROM events WHERE state = ?1 AND state > 1 AND changed_at_us < ?2 LIMIT ?3")
            .and_then(|mut statement| {
                statement
                    .query_map(params![state, before_us, limit], |row| {
                        row.get(0).map(RequestId::from_bytes)
                    })?
                    .collect()
            })
            .map_err(|error| self.error("reading ended events")(error).into())
    }

    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, QueueError> {
        self.connection
            .prepare_cached("SELECT key, document, last_due_us FROM schedules WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key], schedule).optional())
            .map_err(|error| self.error("reading a schedule")(error).into())
    }
}

/// A value's number in the database: its place among all of its kind, which never changes.
pub(super) fn place<T: PartialEq>(all: &[T], value: &T) -> i64 {
    let found = all.iter().position(|each| each == value);
    found
        .and_then(|place| i64::try_from(place).ok())
        .unwrap_or(-1)
}

fn at<T: Copy>(all: &[T], column: usize, place: i64) -> rusqlite::Result<T> {
    usize::try_from(place)
        .ok()
        .and_then(|place| all.get(place).copied())
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, place))
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

/// A row of [`COLUMNS`].
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let condition: Option<i64> = row.get(13)?;
    let failure: Option<String> = row.get(14)?;
    Ok(Event {
        id: RequestId::from_bytes(row.get(0)?),
        target: from_json(1, row.get_ref(1)?.as_str()?)?,
        trigger: at(&Trigger::ALL, 2, row.get(2)?)?,
        source: row.get(3)?,
        state: at(&EventState::ALL, 4, row.get(4)?)?,
        attempts: row.get(5)?,
        failures: row.get(6)?,
        refusals: row.get(7)?,
        depth: row.get(8)?,
        accepted_at_us: row.get(9)?,
        due_at_us: row.get(10)?,
        changed_at_us: row.get(11)?,
        bytes: row.get(12)?,
        condition: condition
            .map(|condition| at(&Condition::ALL, 13, condition))
            .transpose()?,
        failure: failure.map(|failure| from_json(14, &failure)).transpose()?,
    })
}

/// A row of the table of schedules.
pub(super) fn schedule(row: &Row<'_>) -> rusqlite::Result<ScheduleRecord> {
    Ok(ScheduleRecord {
        key: row.get(0)?,
        document: row.get(1)?,
        last_due_us: row.get(2)?,
    })
}
