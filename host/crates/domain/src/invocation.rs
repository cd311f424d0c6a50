//! One attempt to run a function on an event.
//!
//! Knows nothing of HTTP or queues: a trigger makes one of these, and the trigger's name is all that
//! is left of it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::names::{FunctionName, RequestId};
use crate::qualifier::Qualifier;

/// What produced the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A request to one of the function's routes.
    Http,
    /// The Invoke operation of the control API, with an answer.
    Invoke,
    /// The Invoke operation of the control API, asynchronous.
    Event,
    /// A schedule.
    Schedule,
    /// A topic that the function subscribes to.
    Topic,
    /// A CloudEvent.
    CloudEvent,
    /// The record of another event's end.
    Destination,
}

impl Trigger {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Http,
        Self::Invoke,
        Self::Event,
        Self::Schedule,
        Self::Topic,
        Self::CloudEvent,
        Self::Destination,
    ];

    /// The word used in the ledger, in lists and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Invoke => "invoke",
            Self::Event => "event",
            Self::Schedule => "schedule",
            Self::Topic => "topic",
            Self::CloudEvent => "cloud_event",
            Self::Destination => "destination",
        }
    }

    /// Whether its events wait in the queue: nobody waits for an answer.
    #[must_use]
    pub fn is_queued(self) -> bool {
        match self {
            Self::Http | Self::Invoke => false,
            Self::Event | Self::Schedule | Self::Topic | Self::CloudEvent | Self::Destination => {
                true
            }
        }
    }
}

/// One attempt to run a function on an event.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The event's id; in logs, in the ledger and in the answer.
    pub id: RequestId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Which function is to run.
    pub function: FunctionName,
    /// Which version or alias was asked for, if one was; the function sees itself named so.
    pub qualifier: Option<Qualifier>,
    /// What produced the event.
    pub trigger: Trigger,
    /// The payload given to the function; JSON for every trigger.
    pub event: Bytes,
    /// What an Invoke says of the client it comes from: the text of a JSON object.
    pub client_context: Option<Arc<str>>,
    /// Whether the caller wants the log back.
    pub keep_log: bool,
}
