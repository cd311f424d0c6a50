//! The queue in SQLite, for its writer: one connection that reads, writes and commits.
//!
//! SQLite's own checkpoints are off, since it keeps their failures to itself: the write-ahead log goes
//! into the database when [`Sqlite::checkpoint`] is called, and a failure there is one of the queue.
//! Knows the tables ([`sql`]), not what operations mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, EventState};
use domain::{RequestId, Trigger};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::machine::{Depths, Effect, Rows};
use super::operation::ScheduleRecord;
use super::row::{self, json, place};
use super::{Event, sql};
use crate::{StorageError, database};

pub(super) const FILE: &str = "queue.db";

/// Bytes of the write-ahead log, about, after which it is taken into the database.
const LOG_BYTES: u64 = 16 << 20;
/// Beyond this, readers are waited for, so that it can begin anew.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// How long; a backup may take longer, and is not waited for.
const READERS: Duration = Duration::from_millis(100);
/// What a transaction writes to the log at least: the pages that nearly every one changes.
const TRANSACTION_BYTES: u64 = 8 * 4_096;
/// What an effect writes besides its payload. Measured: 480 bytes in transactions of 1,000 operations.
const EFFECT_BYTES: u64 = 512;

#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// Written to the log since it was taken into the database, about.
    log_bytes: u64,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let connection = database::open(path, sql::SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .pragma_update(None, "wal_autocheckpoint", 0)
            .map_err(StorageError::database("opening the database", path))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            log_bytes: 0,
        })
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn error(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> StorageError + '_ {
        StorageError::database(doing, &self.path)
    }

    fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params).map(drop)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map(params, read)?.collect()
    }

    pub(super) fn last_time_us(&self) -> Result<Option<i64>, StorageError> {
        self.connection
            .query_row(sql::LAST_TIME, [], |row| row.get(0))
            .optional()
            .map_err(self.error("reading the time"))
    }

    pub(super) fn begin(&mut self) -> Result<(), StorageError> {
        self.execute("BEGIN IMMEDIATE", [])
            .map_err(self.error("beginning a transaction"))
    }

    pub(super) fn commit(&mut self, now_us: i64) -> Result<(), StorageError> {
        self.execute(sql::SET_TIME, [now_us])
            .and_then(|()| self.execute("COMMIT", []))
            .map_err(self.error("committing"))?;
        self.log_bytes += TRANSACTION_BYTES;
        Ok(())
    }

    pub(super) fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            // What failed has been said; SQLite may have rolled back by itself.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }

    /// Takes the write-ahead log into the database, if it is worth it or `at_once`.
    pub(super) fn checkpoint(&mut self, at_once: bool) -> Result<(), StorageError> {
        if self.log_bytes == 0 || (self.log_bytes < LOG_BYTES && !at_once) {
            return Ok(());
        }
        // Begins to count anew even if it fails: the next try comes after as much again.
        self.log_bytes = 0;
        let frames = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1));
        let frames: i64 = frames.map_err(self.error("taking in the log"))?;
        let bytes = u64::try_from(frames).unwrap_or(0).saturating_mul(4_096);
        if bytes > LOG_BYTES_MAX {
            self.begin_log_anew()
                .map_err(self.error("taking in the log"))?;
        }
        Ok(())
    }

    fn begin_log_anew(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(READERS)?;
        // Whether readers kept it from that: the next try comes after another `LOG_BYTES`.
        let begun = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(database::BUSY)?;
        begun
    }

    /// Has nothing more written, also when it is closed: what a failed sync left is not to be trusted.
    pub(super) fn leave_as_it_is(&self) {
        let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        // If this failed, closing would try to take in the log, and keep it if that fails.
        drop(self.connection.set_db_config(option, true));
    }

    pub(super) fn clamp_due(&mut self, queue: &str, latest_us: i64) -> Result<(), StorageError> {
        self.execute(sql::CLAMP_DUE, params![queue, latest_us])
            .map_err(self.error("clamping due times"))
    }

    pub(super) fn depths(&self) -> Result<Depths, StorageError> {
        let read = || {
            let mut depths = Depths::new();
            for (queue, queued, bytes) in self.all(sql::DEPTHS_QUEUED, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            })? {
                let depth = depths.entry(queue).or_default();
                (depth.queued, depth.bytes) = (queued, bytes);
            }
            for (queue, bytes) in self.all(sql::DEPTHS_RUNNING, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
            })? {
                let depth = depths.entry(queue).or_default();
                depth.running += 1;
                depth.bytes += bytes;
            }
            Ok(depths)
        };
        read().map_err(self.error("counting events"))
    }

    pub(super) fn next_due_us(&self, queue: &str) -> Result<Option<i64>, StorageError> {
        self.connection
            .prepare_cached(sql::NEXT_DUE)
            .and_then(|mut statement| statement.query_row([queue], |row| row.get(0)))
            .map_err(self.error("reading due times"))
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<(), StorageError> {
        for effect in effects {
            self.apply_one(effect)
                .map_err(self.error("storing an event"))?;
            self.log_bytes += EFFECT_BYTES;
            if let Effect::Insert(event, _) = effect {
                self.log_bytes += event.bytes;
            }
        }
        Ok(())
    }

    fn apply_one(&self, effect: &Effect) -> rusqlite::Result<()> {
        match effect {
            Effect::Insert(event, payload) => {
                self.execute(sql::INSERT_PAYLOAD, [&payload[..]])?;
                self.insert(event, self.connection.last_insert_rowid())
            }
            Effect::Update { event, .. } => self.update(event),
            Effect::Requeue { event, .. } => {
                self.update(event)?;
                self.execute(sql::MOVE_TO_END, [event.id.as_bytes()])
            }
            Effect::DropPayload(id) => self.execute(sql::DROP_PAYLOAD, [id.as_bytes()]),
            Effect::Remove(event) => {
                self.execute(sql::DROP_PAYLOAD, [event.id.as_bytes()])?;
                self.execute(sql::REMOVE, [event.id.as_bytes()])
            }
            Effect::Forget(id) => self.execute(sql::REMOVE, [id.as_bytes()]),
            Effect::PutSchedule(record) => self.execute(
                sql::PUT_SCHEDULE,
                params![record.key, record.document, record.last_due_us],
            ),
            Effect::RemoveSchedule(key) => self.execute(sql::REMOVE_SCHEDULE, [key]),
        }
    }

    fn insert(&self, event: &Event, payload: i64) -> rusqlite::Result<()> {
        self.execute(
            sql::INSERT,
            params![
                event.id.as_bytes(),
                json(&event.target)?,
                place(&Trigger::ALL, &event.trigger),
                event.source,
                row::state(event.state),
                event.attempts,
                event.failures,
                event.refusals,
                event.depth,
                event.accepted_at_us,
                event.due_at_us,
                event.changed_at_us,
                event.bytes,
                condition(event),
                event.failure.as_ref().map(json).transpose()?,
                event.target.queue(),
                payload,
            ],
        )
    }

    fn update(&self, event: &Event) -> rusqlite::Result<()> {
        self.execute(
            sql::UPDATE,
            params![
                event.id.as_bytes(),
                row::state(event.state),
                event.attempts,
                event.failures,
                event.refusals,
                event.accepted_at_us,
                event.due_at_us,
                event.changed_at_us,
                condition(event),
                event.failure.as_ref().map(json).transpose()?,
            ],
        )
    }
}

fn condition(event: &Event) -> Option<i64> {
    event
        .condition
        .map(|condition| place(&Condition::ALL, &condition))
}

impl Rows for Sqlite {
    fn event(&self, id: RequestId) -> Result<Option<Event>, StorageError> {
        self.connection
            .prepare_cached(sql::EVENT)
            .and_then(|mut statement| statement.query_row([id.as_bytes()], row::event).optional())
            .map_err(self.error("reading an event"))
    }

    fn payload(&self, id: RequestId) -> Result<Bytes, StorageError> {
        self.connection
            .prepare_cached(sql::PAYLOAD)
            .and_then(|mut statement| {
                statement.query_row([id.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
            })
            .map(Bytes::from)
            .map_err(self.error("reading a payload"))
    }

    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        self.all(sql::DUE, params![queue, now_us, limit], row::event)
            .map_err(self.error("reading due events"))
    }

    fn selected(
        &self,
        queue: Option<&str>,
        state: EventState,
        limit: u32,
    ) -> Result<Vec<Event>, StorageError> {
        let state = row::state(state);
        let selected = match queue {
            None => self.all(sql::OF_STATE, params![state, limit], row::event),
            Some(queue) => {
                let params = params![queue, state, limit];
                self.all(sql::OF_QUEUE_AND_STATE, params, row::event)
            }
        };
        selected.map_err(self.error("selecting events"))
    }

    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, StorageError> {
        self.all(sql::SUCCEEDED_BEFORE, params![before_us, limit], |row| {
            row.get(0).map(RequestId::from_bytes)
        })
        .map_err(self.error("reading ended events"))
    }

    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, StorageError> {
        self.connection
            .prepare_cached(sql::SCHEDULE)
            .and_then(|mut statement| statement.query_row([key], row::schedule).optional())
            .map_err(self.error("reading a schedule"))
    }
}
