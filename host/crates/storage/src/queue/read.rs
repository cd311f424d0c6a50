//! Questions to the queue, beside its writer: each on a connection of its own, for reading only.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use domain::RequestId;
use domain::event::EventState;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Event;
use super::operation::ScheduleRecord;
use super::sqlite::{self, COLUMNS, SCHEMA, place};
use crate::{StorageError, database};

/// Events of a page, at most.
pub(super) const PAGE_MAX: u32 = 1_000;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Of one queue.
    pub queue: Option<String>,
    /// In one state.
    pub state: Option<EventState>,
    /// Only events taken in before the one that has this number: `next` of the page before.
    pub before: Option<i64>,
    /// How many, 1 to 1,000.
    pub limit: u32,
}

/// Some events, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins, if there may be one.
    pub next: Option<i64>,
}

fn ask<T: Default>(
    path: &Path,
    question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StorageError> {
    match database::open_for_reading(path, SCHEMA)? {
        None => Ok(T::default()),
        Some(connection) => {
            question(&connection).map_err(StorageError::database("reading events", path))
        }
    }
}

pub(super) fn in_state(path: &Path, state: EventState) -> Result<Vec<Event>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(&format!("SELECT {COLUMNS} FROM events WHERE state = ?1"))?
            .query_map([place(&EventState::ALL, &state)], sqlite::event)?
            .collect()
    })
}

pub(super) fn events(path: &Path, query: &EventQuery) -> Result<EventPage, StorageError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    ask(path, |connection| {
        let mut statement = connection.prepare(&format!(
            "SELECT {COLUMNS}, number FROM events
             WHERE (?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR state = ?2) AND number < ?3
             ORDER BY number DESC LIMIT ?4"
        ))?;
        let state = query.state.map(|state| place(&EventState::ALL, &state));
        let before = query.before.unwrap_or(i64::MAX);
        let rows = statement.query_map(params![query.queue, state, before, limit], |row| {
            Ok((sqlite::event(row)?, row.get::<_, i64>(15)?))
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let is_full = u32::try_from(rows.len()) == Ok(limit);
        let next = rows.last().filter(|_| is_full).map(|(_, number)| *number);
        Ok(EventPage {
            events: rows.into_iter().map(|(event, _)| event).collect(),
            next,
        })
    })
}

pub(super) fn event(
    path: &Path,
    id: RequestId,
) -> Result<Option<(Event, Option<Bytes>)>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(&format!(
                "SELECT {COLUMNS}, (SELECT payload FROM payloads WHERE payloads.number = events.number)
                 FROM events WHERE id = ?1"
            ))?
            .query_row([id.as_bytes()], |row| {
                let payload: Option<Vec<u8>> = row.get(15)?;
                Ok((sqlite::event(row)?, payload.map(Bytes::from)))
            })
            .optional()
    })
}

pub(super) fn oldest(path: &Path) -> Result<BTreeMap<String, i64>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare("SELECT queue, min(accepted_at_us) FROM events WHERE state IN (0, 1) GROUP BY queue")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })
}

pub(super) fn schedules(path: &Path) -> Result<Vec<ScheduleRecord>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare("SELECT key, document, last_due_us FROM schedules ORDER BY key")?
            .query_map([], sqlite::schedule)?
            .collect()
    })
}

pub(super) fn is_pending(path: &Path, source: &str) -> Result<bool, StorageError> {
    ask(path, |connection| {
        connection
            .prepare("SELECT 1 FROM events WHERE state < 2 AND source = ?1")?
            .exists([source])
    })
}

pub(super) fn selected(
    connection: &Connection,
    queue: Option<&str>,
    states: &[EventState],
    limit: u32,
) -> rusqlite::Result<Vec<Event>> {
    let states: Vec<String> = states
        .iter()
        .map(|state| place(&EventState::ALL, state).to_string())
        .collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE (?1 IS NULL OR queue = ?1) AND state IN ({})
         ORDER BY number LIMIT ?2",
        states.join(", ")
    );
    connection
        .prepare(&sql)?
        .query_map(params![queue, limit], sqlite::event)?
        .collect()
}
