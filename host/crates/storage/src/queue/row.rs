//! Rows of the queue's tables, from and to values.
//!
//! Knows nothing of questions and of connections.

use domain::event::{Condition, EventState};
use domain::{RequestId, Trigger};
use rusqlite::Row;

use super::Event;
use super::operation::ScheduleRecord;

/// How many columns [`event`] reads; what a question asks for besides comes after them.
pub(super) const EVENT_COLUMNS: usize = 16;

/// A value's number in the database: its place among all of its kind, which never changes.
pub(super) fn place<T: PartialEq>(all: &[T], value: &T) -> i64 {
    let found = all.iter().position(|each| each == value);
    found
        .and_then(|place| i64::try_from(place).ok())
        .unwrap_or(-1)
}

/// The number of a state.
pub(super) fn state(state: EventState) -> i64 {
    place(&EventState::ALL, &state)
}

fn at<T: Copy>(all: &[T], column: usize, place: i64) -> rusqlite::Result<T> {
    usize::try_from(place)
        .ok()
        .and_then(|place| all.get(place).copied())
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, place))
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

/// An event, whose columns come first.
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
        ledger_from: row.get(15)?,
    })
}

/// A schedule.
pub(super) fn schedule(row: &Row<'_>) -> rusqlite::Result<ScheduleRecord> {
    Ok(ScheduleRecord {
        key: row.get(0)?,
        document: row.get(1)?,
        last_due_us: row.get(2)?,
    })
}
