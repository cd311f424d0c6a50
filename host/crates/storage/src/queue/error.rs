//! Why the queue did not do what was asked.

use std::sync::Arc;

use domain::RequestId;

use super::{PENDING_BYTES_MAX, PENDING_OPERATIONS_MAX, Quota};
use crate::StorageError;

/// Why the queue did not do what was asked. Nothing was changed then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// More would wait in one queue than may.
    #[error(
        "the queue of `{queue}` is full: it holds at most {} and {} bytes",
        counted(quota.events), quota.bytes
    )]
    Quota {
        /// Which queue.
        queue: String,
        /// What may wait there.
        quota: Quota,
    },
    /// So many events died or expired in one queue that it takes no more.
    #[error(
        "the queue of `{queue}` takes no more events: those that failed there fill it; at most {} of together {} \
         bytes are kept. Redrive them, purge them, or wait until they are forgotten",
        quota.events, quota.bytes
    )]
    DeadLetters {
        /// Which queue.
        queue: String,
        /// What may be kept there.
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

fn counted(events: u64) -> String {
    match events {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    }
}
