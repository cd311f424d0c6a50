//! The queue in SQLite, for its writer: one connection that reads, writes and commits.
//!
//! SQLite's own checkpoints are off, since it keeps their failures to itself: the write-ahead log goes
//! into the database when [`Sqlite::checkpoint`] is called, and a failure there is one of the queue.
//! Knows the tables ([`sql`]), not what operations mean.

use std::fs;
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

pub(crate) const FILE: &str = "queue.db";

/// Bytes written to the write-ahead log, or by which it grew, after which it is taken into the database.
const LOG_BYTES: u64 = 16 << 20;
/// A longer log is cut, for which readers are waited for.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// How long.
const READERS: Duration = Duration::from_millis(100);
/// What a transaction writes to the log at least: the pages that nearly every one changes.
const TRANSACTION_BYTES: u64 = 8 * PAGE_BYTES;
/// What an effect writes besides its payload, about: its share of pages, among many that are neighbours.
const EFFECT_BYTES: u64 = 512;
/// A page of the database.
const PAGE_BYTES: u64 = 4_096;
/// Pages that are free and kept for what comes next: 4 MiB.
const FREE_PAGES_KEPT: u64 = 1_024;
/// Pages that are given back at once: 4 MiB.
const GIVEN_BACK: u64 = 1_024;

#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    log: PathBuf,
    /// Written to the log since it was taken into the database, about.
    written_bytes: u64,
    /// How long its file was then.
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
            log: log(path),
            written_bytes: 0,
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
        self.written_bytes += TRANSACTION_BYTES;
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
        let log_bytes = || fs::metadata(&self.log).map_or(0, |file| file.len());
        let bytes = log_bytes();
        let is_due = self.written_bytes >= LOG_BYTES
            || bytes >= self.log_bytes.saturating_add(LOG_BYTES)
            || (at_once && self.written_bytes > 0);
        if !is_due {
            return Ok(());
        }
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .and_then(|()| match bytes > LOG_BYTES_MAX {
                true => self.cut_log(),
                false => Ok(()),
            })
            .map_err(self.error("taking in the log"))?;
        self.log_bytes = log_bytes();
        self.written_bytes = 0;
        Ok(())
    }

    /// Gives some of the space back that nothing is in, in a transaction of its own; `true` when there is
    /// more. The file gets shorter when the log is taken in.
    pub(super) fn give_back(&mut self) -> Result<bool, StorageError> {
        let give_back = || {
            let count = "PRAGMA freelist_count";
            let free: u64 = self.connection.query_row(count, [], |row| row.get(0))?;
            let given = free.saturating_sub(FREE_PAGES_KEPT).min(GIVEN_BACK);
            if given > 0 {
                let sql = format!("PRAGMA incremental_vacuum({given})");
                let mut statement = self.connection.prepare(&sql)?;
                let mut rows = statement.raw_query();
                // A step for each page.
                while rows.next()?.is_some() {}
            }
            Ok(given)
        };
        let given = give_back().map_err(self.error("giving space back"))?;
        self.written_bytes += given * PAGE_BYTES;
        Ok(given == GIVEN_BACK)
    }

    fn cut_log(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(READERS)?;
        // Readers may keep it from that: the next try comes after another `LOG_BYTES`.
        let cut = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(database::BUSY)?;
        cut
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
            for (queue, events, bytes) in self.all(sql::DEPTHS_KEPT, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            })? {
                let depth = depths.entry(queue).or_default();
                (depth.kept_events, depth.kept_bytes) = (events, bytes);
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
            self.written_bytes += EFFECT_BYTES;
            if let Effect::Insert(event, _) = effect {
                self.written_bytes += event.bytes;
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
                event.ledger_from,
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
                event.ledger_from,
            ],
        )
    }
}

/// The write-ahead log of a database.
pub(super) fn log(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
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

    fn payload(&self, id: RequestId) -> Result<Option<Bytes>, StorageError> {
        self.connection
            .prepare_cached(sql::PAYLOAD)
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
                    .optional()
            })
            .map(|payload| payload.map(Bytes::from))
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

    fn given_up_before(&self, before_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        let params = params![before_us, limit];
        self.all(sql::GIVEN_UP_BEFORE, params, row::event)
            .map_err(self.error("reading ended events"))
    }

    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, StorageError> {
        self.connection
            .prepare_cached(sql::SCHEDULE)
            .and_then(|mut statement| statement.query_row([key], row::schedule).optional())
            .map_err(self.error("reading a schedule"))
    }
}
