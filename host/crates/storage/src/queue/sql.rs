//! The queue's tables, and every question that is put to them.
//!
//! Each question is answered from an index: none looks at all events (tests/plans.rs holds that).
//! Knows nothing of connections.

/// States are numbers: the place in `EventState::ALL`. So are triggers and conditions.
///
/// * Payloads have a table of their own, so that a change of state does not write them again. Their
///   numbers are never used twice: an event that succeeded keeps the number of its payload, which is gone.
/// * Events are numbered as they are taken in, so that the oldest of a queue is its first.
/// * `due` is what claims, due times and, when the queue is opened, depths are answered from; `kept` is for
///   depths alone.
pub(crate) const SCHEMA: &[&str] = &["
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
        failure TEXT,
        ledger_from INTEGER NOT NULL,
        payload INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX due ON events (queue, due_at_us, number, bytes) WHERE state = 0;
    CREATE INDEX by_state ON events (state, number);
    CREATE INDEX by_queue ON events (queue, state, number);
    CREATE INDEX succeeded ON events (changed_at_us) WHERE state = 2;
    CREATE INDEX kept ON events (queue, bytes, state) WHERE state > 2;
    CREATE INDEX given_up ON events (changed_at_us) WHERE state > 2;
    CREATE INDEX by_schedule ON events (source) WHERE state < 2 AND trigger = 3;
    CREATE TABLE payloads (number INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL) STRICT;
    CREATE TABLE schedules (
        key TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        last_due_us INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE time (only INTEGER PRIMARY KEY CHECK (only = 1), last_us INTEGER NOT NULL) STRICT;
"];

/// An event's columns, in the order in which [`super::row::event`] reads them.
macro_rules! columns {
    () => {
        "id, target, trigger, source, state, attempts, failures, refusals, depth, \
         accepted_at_us, due_at_us, changed_at_us, bytes, condition, failure, ledger_from"
    };
}

pub(super) const LAST_TIME: &str = "SELECT last_us FROM time";
pub(super) const SET_TIME: &str =
    "INSERT INTO time VALUES (1, ?1) ON CONFLICT DO UPDATE SET last_us = max(last_us, ?1)";

pub(super) const DEPTHS_QUEUED: &str =
    "SELECT queue, count(*), sum(bytes) FROM events INDEXED BY due WHERE state = 0 GROUP BY queue";
pub(super) const DEPTHS_RUNNING: &str =
    "SELECT queue, bytes FROM events INDEXED BY by_state WHERE state = 1";
pub(super) const DEPTHS_KEPT: &str =
    "SELECT queue, count(*), sum(bytes) FROM events INDEXED BY kept WHERE state > 2 GROUP BY queue";
pub(super) const NEXT_DUE: &str =
    "SELECT min(due_at_us) FROM events WHERE queue = ?1 AND state = 0";
pub(super) const CLAMP_DUE: &str =
    "UPDATE events SET due_at_us = ?2 WHERE queue = ?1 AND state = 0 AND due_at_us > ?2";

pub(super) const INSERT: &str = concat!(
    "INSERT INTO events (",
    columns!(),
    ", queue, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
);
pub(super) const INSERT_PAYLOAD: &str = "INSERT INTO payloads (payload) VALUES (?1)";
pub(super) const UPDATE: &str =
    "UPDATE events SET state = ?2, attempts = ?3, failures = ?4, refusals = ?5, accepted_at_us = ?6,
        due_at_us = ?7, changed_at_us = ?8, condition = ?9, failure = ?10, ledger_from = ?11 WHERE id = ?1";
pub(super) const MOVE_TO_END: &str =
    "UPDATE events SET number = (SELECT max(number) + 1 FROM events) WHERE id = ?1";
pub(super) const DROP_PAYLOAD: &str =
    "DELETE FROM payloads WHERE number = (SELECT payload FROM events WHERE id = ?1)";
pub(super) const REMOVE: &str = "DELETE FROM events WHERE id = ?1";
pub(super) const PUT_SCHEDULE: &str = "INSERT OR REPLACE INTO schedules VALUES (?1, ?2, ?3)";
pub(super) const REMOVE_SCHEDULE: &str = "DELETE FROM schedules WHERE key = ?1";

pub(super) const EVENT: &str = concat!("SELECT ", columns!(), " FROM events WHERE id = ?1");
pub(super) const PAYLOAD: &str =
    "SELECT payload FROM payloads WHERE number = (SELECT payload FROM events WHERE id = ?1)";
pub(super) const EVENT_AND_PAYLOAD: &str = concat!(
    "SELECT ",
    columns!(),
    ", (SELECT payloads.payload FROM payloads WHERE payloads.number = events.payload)
     FROM events WHERE id = ?1"
);
pub(super) const DUE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE queue = ?1 AND state = 0 AND due_at_us <= ?2 ORDER BY due_at_us, number LIMIT ?3"
);
pub(super) const SUCCEEDED_BEFORE: &str =
    "SELECT id FROM events INDEXED BY succeeded WHERE state = 2 AND changed_at_us < ?1
     ORDER BY changed_at_us LIMIT ?2";
pub(super) const GIVEN_UP_BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events INDEXED BY given_up WHERE state > 2 AND changed_at_us < ?1
     ORDER BY changed_at_us LIMIT ?2"
);
pub(super) const OF_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE state = ?1 ORDER BY number LIMIT ?2"
);
pub(super) const OF_QUEUE_AND_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE queue = ?1 AND state = ?2 ORDER BY number LIMIT ?3"
);
pub(super) const OLDEST: &str =
    "SELECT accepted_at_us FROM events WHERE queue = ?1 AND state = ?2 ORDER BY number LIMIT 1";
pub(super) const SCHEDULE: &str = "SELECT key, document, last_due_us FROM schedules WHERE key = ?1";
/// All schedules: the one question that looks at a whole table, which it answers with.
pub(super) const SCHEDULES: &str = "SELECT key, document, last_due_us FROM schedules ORDER BY key";

/// Of what others send, the source may say anything.
pub(super) const IS_PENDING: &str =
    "SELECT 1 FROM events WHERE state < 2 AND trigger = 3 AND source = ?1";

/// Pages, newest first: events before a number.
pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    ", number FROM events WHERE number < ?1 ORDER BY number DESC LIMIT ?2"
);
pub(super) const PAGE_OF_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    ", number FROM events WHERE state = ?3 AND number < ?1 ORDER BY number DESC LIMIT ?2"
);
pub(super) const PAGE_OF_QUEUE_AND_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    ", number FROM events WHERE queue = ?4 AND state = ?3 AND number < ?1 ORDER BY number DESC LIMIT ?2"
);

/// Everything above that reads or changes events.
#[cfg(test)]
pub(super) const ABOUT_EVENTS: &[&str] = &[
    DEPTHS_QUEUED,
    DEPTHS_RUNNING,
    DEPTHS_KEPT,
    NEXT_DUE,
    CLAMP_DUE,
    UPDATE,
    MOVE_TO_END,
    DROP_PAYLOAD,
    REMOVE,
    EVENT,
    PAYLOAD,
    EVENT_AND_PAYLOAD,
    DUE,
    SUCCEEDED_BEFORE,
    GIVEN_UP_BEFORE,
    IS_PENDING,
    OF_STATE,
    OF_QUEUE_AND_STATE,
    OLDEST,
    PAGE,
    PAGE_OF_STATE,
    PAGE_OF_QUEUE_AND_STATE,
];
