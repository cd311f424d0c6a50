//! Questions to the queue, beside its writer: each on a connection of its own, for reading only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use domain::RequestId;
use domain::event::EventState;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::operation::ScheduleRecord;
use super::{Event, row, sql};
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
    match database::open_for_reading(path, sql::SCHEMA)? {
        None => Ok(T::default()),
        Some(connection) => {
            question(&connection).map_err(StorageError::database("reading events", path))
        }
    }
}

pub(super) fn running(path: &Path) -> Result<Vec<Event>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(sql::OF_STATE)?
            .query_map(params![row::state(EventState::Running), -1], row::event)?
            .collect()
    })
}

type Numbered = (i64, Event);

pub(super) fn events(path: &Path, query: &EventQuery) -> Result<EventPage, StorageError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let before = query.before.unwrap_or(i64::MAX);
    let numbered = |row: &Row<'_>| Ok((row.get(row::EVENT_COLUMNS)?, row::event(row)?));
    let mut found: Vec<Numbered> = ask(path, |connection| {
        let state = query.state.map(row::state);
        let Some(queue) = &query.queue else {
            let rows = match state {
                None => connection
                    .prepare(sql::PAGE)?
                    .query_map(params![before, limit], numbered)?
                    .collect(),
                Some(state) => connection
                    .prepare(sql::PAGE_OF_STATE)?
                    .query_map(params![before, limit, state], numbered)?
                    .collect(),
            };
            return rows;
        };
        let mut statement = connection.prepare(sql::PAGE_OF_QUEUE_AND_STATE)?;
        let mut found = Vec::new();
        // As much of each state as the page could hold: it is not known how they alternate.
        for each in EventState::ALL.map(row::state) {
            if state.is_none_or(|state| state == each) {
                let rows = statement.query_map(params![before, limit, each, queue], numbered)?;
                found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
            }
        }
        Ok(found)
    })?;
    found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let is_full = u32::try_from(found.len()) == Ok(limit);
    let next = found.last().filter(|_| is_full).map(|(number, _)| *number);
    Ok(EventPage {
        events: found.into_iter().map(|(_, event)| event).collect(),
        next,
    })
}

pub(super) fn event_alone(path: &Path, id: RequestId) -> Result<Option<Event>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(sql::EVENT)?
            .query_row([id.as_bytes()], row::event)
            .optional()
    })
}

pub(super) fn event(
    path: &Path,
    id: RequestId,
) -> Result<Option<(Event, Option<Bytes>)>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(sql::EVENT_AND_PAYLOAD)?
            .query_row([id.as_bytes()], |row| {
                let payload: Option<Vec<u8>> = row.get(row::EVENT_COLUMNS)?;
                Ok((row::event(row)?, payload.map(Bytes::from)))
            })
            .optional()
    })
}

/// Of the queues in `queues`.
pub(super) fn oldest(
    path: &Path,
    queues: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, i64>, StorageError> {
    ask(path, |connection| {
        let mut statement = connection.prepare(sql::OLDEST)?;
        let mut oldest = BTreeMap::new();
        for queue in queues {
            let mut accepted_at_us: Option<i64> = None;
            for state in [EventState::Queued, EventState::Running] {
                let first = statement
                    .query_row(params![queue, row::state(state)], |row| row.get(0))
                    .optional()?;
                accepted_at_us = match (accepted_at_us, first) {
                    (Some(one), Some(other)) => Some(i64::min(one, other)),
                    (one, other) => one.or(other),
                };
            }
            if let Some(accepted_at_us) = accepted_at_us {
                oldest.insert(queue, accepted_at_us);
            }
        }
        Ok(oldest)
    })
}

pub(super) fn schedules(path: &Path) -> Result<Vec<ScheduleRecord>, StorageError> {
    ask(path, |connection| {
        connection
            .prepare(sql::SCHEDULES)?
            .query_map([], row::schedule)?
            .collect()
    })
}

pub(super) fn pending(
    path: &Path,
    schedules: Vec<String>,
) -> Result<BTreeSet<String>, StorageError> {
    ask(path, |connection| {
        let mut statement = connection.prepare(sql::IS_PENDING)?;
        let mut pending = BTreeSet::new();
        for key in schedules {
            if statement.exists([&key])? {
                pending.insert(key);
            }
        }
        Ok(pending)
    })
}
