//! The record of an event's end, for those who want to hear of it.
//!
//! Knows nothing of how records are delivered: each is an event of its own.

use bytes::Bytes;
use domain::VersionId;
use domain::event::Condition;
use storage::{Event, NewEvent};

use crate::app::App;

/// An event that has come to its end.
#[derive(Debug)]
pub(crate) struct Closed<'a> {
    /// The event, as it was claimed.
    pub(crate) event: &'a Event,
    /// What the function got.
    pub(crate) payload: &'a Bytes,
    /// Why it ended.
    pub(crate) condition: Condition,
    /// Attempts that were made, from 0.
    pub(crate) attempts: u32,
    /// What the last attempt was answered with, if the function answered.
    pub(crate) answer: Option<Answered>,
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Which version ran.
    pub(crate) version: VersionId,
    /// Whether the payload says how it failed.
    pub(crate) function_error: bool,
    /// JSON.
    pub(crate) payload: Bytes,
}

/// The events that come of an event's end: one for each destination that wants to hear of it.
pub(crate) fn follow_ups(_app: &App, _closed: &Closed<'_>) -> Vec<NewEvent> {
    Vec::new()
}
