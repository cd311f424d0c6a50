//! Events that wait: what they are for, where they are in their life, and why they ended.
//!
//! An event that was accepted ends in exactly one of succeeded, dead and expired. Knows nothing of
//! where events are kept and of who runs them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::FunctionName;
use crate::qualifier::Qualifier;

/// How many times an event may give rise to another one: hops from the first event of a chain.
///
/// # Source
///
/// Lambda stops loops after about 16 hops.
pub const DEPTH_MAX: u32 = 16;

/// Where an event is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// It waits for its first attempt or its next one.
    Queued,
    /// An attempt at it is under way.
    Running,
    /// An attempt succeeded.
    Succeeded,
    /// It was given up; it can be redriven.
    Dead,
    /// It became too old; it can be redriven.
    Expired,
}

impl EventState {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Dead,
        Self::Expired,
    ];

    /// The word used in the API, in lists and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more happens to the event by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Dead | Self::Expired => true,
        }
    }
}

impl fmt::Display for EventState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no state of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of events: there are queued, running, succeeded, dead and expired")]
pub struct EventStateError(String);

impl FromStr for EventState {
    type Err = EventStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| EventStateError(crate::qualifier::shown(text)))
    }
}

/// Who gets an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A function.
    Function {
        /// Its name.
        name: FunctionName,
        /// Which version or alias, if one was asked for.
        qualifier: Option<Qualifier>,
    },
    /// An address that records are posted to.
    Http {
        /// `http://…` or `https://…`.
        url: String,
    },
    /// A file of the server that records are appended to.
    File {
        /// Its name, without a path.
        name: String,
    },
}

impl Target {
    /// The queue that the target's events wait in: a function's name, an address, or `file:NAME`.
    #[must_use]
    pub fn queue(&self) -> String {
        match self {
            Self::Function { name, .. } => name.as_str().to_owned(),
            Self::Http { url } => url.clone(),
            Self::File { name } => format!("file:{name}"),
        }
    }

    /// The function, if it is one.
    #[must_use]
    pub fn function(&self) -> Option<&FunctionName> {
        match self {
            Self::Function { name, .. } => Some(name),
            Self::Http { .. } | Self::File { .. } => None,
        }
    }
}

/// Why an event ended, in the words of Lambda's records where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// An attempt succeeded.
    Success,
    /// The function failed as often as it may.
    RetriesExhausted,
    /// It became too old.
    EventAgeExceeded,
    /// Nothing of the function may run.
    ZeroReservedConcurrency,
    /// There is no such function, version or alias any more.
    FunctionNotFound,
    /// Events gave rise to events more than [`DEPTH_MAX`] times.
    RecursionDetected,
    /// Who was to get the record does not take it.
    DeliveryFailed,
    /// What the function was to get is not there any more.
    PayloadLost,
    /// There was no room in its queue when it was published.
    QueueFull,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::RetriesExhausted,
        Self::EventAgeExceeded,
        Self::ZeroReservedConcurrency,
        Self::FunctionNotFound,
        Self::RecursionDetected,
        Self::DeliveryFailed,
        Self::PayloadLost,
        Self::QueueFull,
    ];

    /// The word used in records, in the API and in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
            Self::FunctionNotFound => "FunctionNotFound",
            Self::RecursionDetected => "RecursionDetected",
            Self::DeliveryFailed => "DeliveryFailed",
            Self::PayloadLost => "PayloadLost",
            Self::QueueFull => "QueueFull",
        }
    }

    /// The state that it leaves the event in.
    #[must_use]
    pub fn state(self) -> EventState {
        match self {
            Self::Success => EventState::Succeeded,
            Self::EventAgeExceeded => EventState::Expired,
            Self::RetriesExhausted
            | Self::ZeroReservedConcurrency
            | Self::FunctionNotFound
            | Self::RecursionDetected
            | Self::DeliveryFailed
            | Self::PayloadLost
            | Self::QueueFull => EventState::Dead,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for state in EventState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        let message = "done\n".parse::<EventState>().unwrap_err().to_string();
        assert!(message.starts_with("`done\\n` is no state"), "{message}");
    }

    #[test]
    fn every_condition_ends_an_event() {
        for condition in Condition::ALL {
            assert!(condition.state().is_final(), "{condition}");
        }
    }
}
