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
mod machine;
#[cfg(test)]
pub(crate) mod memory;
mod operation;
mod read;
mod row;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod time;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::event::{Condition, EventState, Target};
use domain::{Clock, RequestId, Trigger};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::{DataDir, StorageError};

use self::engine::Engine;
use self::sqlite::Sqlite;
use self::time::QueueTime;
use self::writer::Shared;

pub use machine::Depth;
pub use operation::{
    Claimed, Done, Ending, Finish, NewEvent, Operation, ScheduleRecord, Selection,
};
pub use read::{EventPage, EventQuery};

/// What is kept of a failure's message, in bytes.
///
/// # Source
///
/// Lambda's dead letters carry the first kilobyte.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 1_024;

/// Operations that may wait for the writer; more are refused, but for those that close attempts.
pub const PENDING_OPERATIONS_MAX: usize = 16_384;
/// The payloads in them, in bytes.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// An event, without its payload. Times are queue time, in Unix microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, over all attempts.
    pub id: RequestId,
    /// Who gets it.
    pub target: Target,
    /// What produced it.
    pub trigger: Trigger,
    /// The schedule, topic or event that it comes from.
    pub source: Option<String>,
    /// Where it is in its life.
    pub state: EventState,
    /// Attempts that were started and are in the ledger, or will be; the number of the last one.
    pub attempts: u32,
    /// Those that count against the retries.
    pub failures: u32,
    /// Refusals since the last attempt that counted.
    pub refusals: u32,
    /// How many events gave rise to it.
    pub depth: u32,
    /// When it was accepted, or redriven.
    pub accepted_at_us: i64,
    /// When its next attempt may start.
    pub due_at_us: i64,
    /// When its state changed last.
    pub changed_at_us: i64,
    /// Of its payload.
    pub bytes: u64,
    /// Why it ended, if it did.
    pub condition: Option<Condition>,
    /// What failed last, if anything did.
    pub failure: Option<Failure>,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The status that an Invoke would have had: 200 for the function's own failure.
    pub code: u16,
    /// Such as `Runtime.ExitError`.
    pub error_type: Option<String>,
    /// At most [`FAILURE_MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

impl Failure {
    /// A failure; a long message is cut at a character.
    #[must_use]
    pub fn new(code: u16, error_type: Option<String>, mut message: String) -> Self {
        message.truncate(message.floor_char_boundary(FAILURE_MESSAGE_BYTES_MAX));
        Self {
            code,
            error_type,
            message,
        }
    }
}

/// How much may wait in one queue.
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
    /// How long what is known of events that succeeded is kept. Others stay until they are purged.
    pub keep: Duration,
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
            .finish_non_exhaustive()
    }
}

/// Why the queue did not do what was asked. Nothing was changed then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// More would wait in one queue than may.
    #[error(
        "the queue of `{queue}` is full: at most {} events of together {} bytes may wait there",
        quota.events, quota.bytes
    )]
    Quota {
        /// Which queue.
        queue: String,
        /// What may wait there.
        quota: Quota,
    },
    /// An event has this id already.
    #[error("there is an event {id} already")]
    Duplicate {
        /// The id.
        id: RequestId,
    },
    /// The attempt is not the one under way.
    #[error("attempt {attempt} at event {id} is not under way")]
    NotRunning {
        /// The event.
        id: RequestId,
        /// The attempt.
        attempt: u32,
    },
    /// Too many wait for the writer.
    #[error(
        "more than {PENDING_OPERATIONS_MAX} changes, or {PENDING_BYTES_MAX} bytes of events, wait for the \
         queue's writer"
    )]
    Busy,
    /// Space is short. Goes away by itself when there is space again.
    #[error("{reason}")]
    Full {
        /// What is short, and where.
        reason: String,
    },
    /// The queue takes no changes until a restart.
    #[error("the queue stopped taking changes: {reason}")]
    Failed {
        /// What failed.
        reason: String,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// This change could not be made; others may.
    #[error("{0}")]
    Storage(Arc<StorageError>),
}

impl From<StorageError> for QueueError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full { .. } => Self::Full {
                reason: error.to_string(),
            },
            error => Self::Storage(Arc::new(error)),
        }
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
}

impl QueueStatistics {
    fn count(&mut self, operations: usize) {
        let operations = u64::try_from(operations).unwrap_or(u64::MAX);
        self.commits += 1;
        self.operations = self.operations.saturating_add(operations);
        self.largest_batch = self.largest_batch.max(operations);
    }
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
    /// Attempts that the last process left are still [`EventState::Running`]: see
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

    /// Queues with an event that is due, the one that was claimed from longest ago first, and how long
    /// until one is due in another.
    #[must_use]
    pub fn due(&self) -> (Vec<String>, Option<Duration>) {
        self.0.shared.due(self.now_us())
    }

    /// How much waits, by queue; what is empty is not there.
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
    /// claim.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn interrupted(&self) -> Result<Vec<Event>, StorageError> {
        read::running(&self.0.path)
    }

    /// Events that `query` wants, newest first.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when they can't be read.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, StorageError> {
        read::events(&self.0.path, query)
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

    /// Whether an event that comes from `source` waits or runs.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when that can't be read.
    pub fn is_pending(&self, source: &str) -> Result<bool, StorageError> {
        read::is_pending(&self.0.path, source)
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
