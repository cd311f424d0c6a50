//! The queue: events that were accepted, until they succeeded or were given up, in `queue.db`.
//!
//! One thread writes ([`writer`], around [`core`]). Everything asked of it while the last transaction was on its way to disk goes
//! into the next one, which is synced before anybody hears of it. The rules are in [`machine`], a pure
//! state machine; [`engine`] is what holds the rows.
//!
//! Invariants:
//! * what was accepted is on disk, and ends in exactly one of succeeded, dead and expired;
//! * an attempt is counted, on disk, before it runs;
//! * before an attempt is closed, its record in the ledger is on disk;
//! * after a failed sync nothing is accepted until a restart.
//!
//! Time is the queue's own: it goes on steadily while the machine's clock jumps ([`time`]).
//!
//! Absent on purpose: what an event means, who runs it, and async.

pub(crate) mod core;
pub(crate) mod engine;
mod error;
mod event;
mod machine;
#[cfg(test)]
pub(crate) mod memory;
mod operation;
mod read;
mod row;
#[cfg(test)]
pub(crate) mod simulated;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod time;
mod view;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::event::EventState;
use domain::{Clock, RequestId};
use parking_lot::Mutex;

use crate::ledger::Ledger;
use crate::{DataDir, StorageError};

use self::engine::Engine;
use self::sqlite::Sqlite;
use self::time::QueueTime;
use self::writer::Shared;

pub(crate) use sql::SCHEMA;
pub(crate) use sqlite::FILE;

pub use error::QueueError;
pub use event::{Event, FAILURE_MESSAGE_BYTES_MAX, Failure};
pub use machine::Depth;
pub use operation::{
    Claimed, Done, Ending, Finish, FollowUp, NewEvent, Operation, Published, ScheduleRecord,
    Selection,
};
pub use read::{EventPage, EventQuery};

/// Operations that may wait for the writer; more are refused, but for claims and what closes attempts.
pub const PENDING_OPERATIONS_MAX: usize = 16_384;
/// The payloads in them, in bytes.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// How much may wait in one queue; as much again is kept of what died or expired there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Events, with those that run.
    pub events: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            events: 1_000_000,
            bytes: 4 << 30,
        }
    }
}

/// How the queue is kept.
pub struct QueueSettings {
    /// The same for every queue.
    pub quota: Quota,
    /// When the queue is opened, no event waits longer than this for its next attempt: a later time
    /// comes from a wrong clock.
    pub wait_max: Duration,
    /// How long what is known of events that succeeded is kept.
    pub keep: Duration,
    /// How long events that died or expired are kept, with their payloads.
    pub keep_given_up: Duration,
    /// Tells the time.
    pub clock: Clock,
    /// Called, on the writer's thread, after every batch of operations.
    pub on_change: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for QueueSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueSettings")
            .field("quota", &self.quota)
            .field("wait_max", &self.wait_max)
            .field("keep", &self.keep)
            .field("keep_given_up", &self.keep_given_up)
            .finish_non_exhaustive()
    }
}

/// Whether the queue takes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueHealth {
    /// It does.
    Writable,
    /// Space is short; goes away by itself.
    Full {
        /// What is short, and where.
        reason: String,
    },
    /// It does not, until a restart.
    Failed {
        /// What failed.
        reason: String,
    },
}

/// What the writer has done since the queue was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Transactions, each synced once.
    pub commits: u64,
    /// The operations in them.
    pub operations: u64,
    /// The most operations of one transaction.
    pub largest_batch: u64,
    /// What was removed because it had ended long ago.
    pub forgotten: Forgotten,
}

/// Events that were removed because they had ended long ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// They had succeeded.
    pub succeeded: u64,
    /// They had died.
    pub dead: u64,
    /// They had expired.
    pub expired: u64,
}

impl Forgotten {
    /// Adds what a step of forgetting removed.
    fn count(&mut self, effects: &[machine::Effect]) {
        for effect in effects {
            match effect {
                machine::Effect::Remove(event) if event.state == EventState::Expired => {
                    self.expired += 1;
                }
                machine::Effect::Remove(_) => self.dead += 1,
                _ => self.succeeded += 1,
            }
        }
    }
}

impl QueueStatistics {
    fn count(&mut self, operations: usize) {
        let operations = u64::try_from(operations).unwrap_or(u64::MAX);
        self.commits += 1;
        self.operations = self.operations.saturating_add(operations);
        self.largest_batch = self.largest_batch.max(operations);
    }
}

/// A queue with an event that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its name.
    pub queue: String,
    /// When the one that is due first was accepted, in queue time.
    pub accepted_at_us: i64,
}

/// What is called with an operation's result.
pub type Reply = Box<dyn FnOnce(Result<Done, QueueError>) + Send>;

/// The queue, owned by this process. Cheap to clone; closed with the last clone.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    path: PathBuf,
    time: QueueTime,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Opens the queue of a data directory.
    ///
    /// Attempts that the last process left are still running: see
    /// [`Queue::interrupted`].
    ///
    /// # Errors
    ///
    /// [`StorageError::NewerFormat`] when a newer Mayfly wrote it, [`StorageError::Database`] when it
    /// can't be read.
    pub fn open(
        data_dir: &DataDir,
        settings: QueueSettings,
        ledger: Ledger,
    ) -> Result<Self, StorageError> {
        data_dir.require_writable()?;
        let path = data_dir.path().join(sqlite::FILE);
        let engine = Engine::Sqlite(Sqlite::open(&path)?);
        let time = QueueTime::resume(settings.clock.clone(), engine.last_time_us()?);
        let (shared, thread) = writer::start(engine, settings, ledger, time.clone(), &path)?;
        Ok(Self(Arc::new(Owner {
            shared,
            path,
            time,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Hands an operation to the writer; `reply` is called, on the writer's thread, when it is durable
    /// or refused. Never blocks.
    pub fn submit(&self, operation: Operation, reply: Reply) {
        self.0.shared.submit(operation, reply);
    }

    /// [`Queue::submit`], and waits.
    ///
    /// # Errors
    ///
    /// What the operation was refused for.
    pub fn perform(&self, operation: Operation) -> Result<Done, QueueError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit(operation, Box::new(move |result| drop(sender.send(result))));
        receiver.recv().unwrap_or(Err(QueueError::Closed))
    }

    /// The queue's time, in Unix microseconds.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.0.time.now_us()
    }

    /// At most `at_most` queues with an event that is due, by name, those after `after` first; and how
    /// long until one is due in a queue in which none is. Nothing once the queue takes no changes.
    ///
    /// Costs what it returns, however many queues there are.
    #[must_use]
    pub fn due(&self, after: &str, at_most: usize) -> (Vec<Due>, Option<Duration>) {
        self.0.shared.due(self.now_us(), after, at_most)
    }

    /// How much there is, by queue; what is empty is not there.
    #[must_use]
    pub fn depths(&self) -> BTreeMap<String, Depth> {
        self.0.shared.depths()
    }

    /// Whether changes are taken.
    #[must_use]
    pub fn health(&self) -> QueueHealth {
        self.0.shared.health()
    }

    /// Whether no changes are taken until a restart.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.0.shared.is_failed()
    }

    /// What the writer has done.
    #[must_use]
    pub fn statistics(&self) -> QueueStatistics {
        self.0.shared.statistics()
    }

    /// Keeps the writer from writing: what is read meanwhile is of one moment, on disk and here.
    pub(crate) fn pause(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.0.shared.pause()
    }

    /// The events whose attempt the last process did not close. To be asked once, before the first
    /// claim. What can't be read is passed over, and the log says which.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn interrupted(&self) -> Result<Vec<Event>, StorageError> {
        read::running(&self.0.path)
    }

    /// How many events are in one of `states`, of one queue or of all. Counts them one by one.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn count(&self, queue: Option<&str>, states: &[EventState]) -> Result<u64, StorageError> {
        read::count(&self.0.path, queue, states)
    }

    /// Events that `query` wants, newest first.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, StorageError> {
        read::events(&self.0.path, query)
    }

    /// One event, without its payload.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be read.
    pub fn event_alone(&self, id: RequestId) -> Result<Option<Event>, StorageError> {
        read::event_alone(&self.0.path, id)
    }

    /// One event, with its payload while that is kept.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be read.
    pub fn event(
        &self,
        id: RequestId,
    ) -> Result<Option<(Event, Option<bytes::Bytes>)>, StorageError> {
        read::event(&self.0.path, id)
    }

    /// When the oldest event that waits or runs in each queue was accepted.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be read.
    pub fn oldest(&self) -> Result<BTreeMap<String, i64>, StorageError> {
        read::oldest(&self.0.path, self.depths().into_keys())
    }

    /// Those of some schedules, by key, of which an event waits or runs.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when that can't be read.
    pub fn pending(&self, schedules: Vec<String>) -> Result<BTreeSet<String>, StorageError> {
        read::pending(&self.0.path, schedules)
    }

    /// All schedules, by key.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn schedules(&self) -> Result<Vec<ScheduleRecord>, StorageError> {
        read::schedules(&self.0.path)
    }

    /// Refuses further operations and waits for those that were handed in. Doing it twice is fine.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Owner {
    fn close(&self) {
        self.shared.close();
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has left its trace.
            drop(thread.join());
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}
