//! An event as the queue knows it, and what failed of it.

use domain::event::{Condition, EventState, Target};
use domain::{RequestId, Trigger};
use serde::{Deserialize, Serialize};

/// What is kept of a failure's message, in bytes.
///
/// # Source
///
/// Lambda's dead letters carry the first kilobyte.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 1_024;

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
    /// Records of the last attempt have this sequence number in the ledger or a later one, whatever the
    /// clocks say and whatever a crash cuts off. 0 before the first attempt.
    pub ledger_from: u64,
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
