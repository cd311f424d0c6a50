//! The record of an event's end, for those who want to hear of it.
//!
//! It has the form of Lambda's destination records, version 1.0. Knows nothing of how records are
//! delivered: each is an event of its own.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, DEPTH_MAX, Target};
use domain::limits::QUEUED_EVENT_BYTES_MAX;
use domain::{FunctionName, Qualifier, Trigger, VersionId};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use storage::{Event, FollowUp, NewEvent};

use super::destination::shown;
use super::policy::EventPolicy;
use crate::answer::is_json;
use crate::app::App;
use crate::time_text::rfc3339_ms;

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

/// What a destination gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<&'a RawValue>,
    /// Members that were left out because the record would have been too large to wait.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    omitted: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: &'a str,
    condition: &'static str,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
}

/// The events that come of an event's end: one for the destination that wants to hear of it.
///
/// A function whose event is deeper than [`DEPTH_MAX`] does not run; that event ends as dead, so a loop is
/// seen where it stopped. Its own record goes to no function any more.
pub(crate) fn follow_ups(app: &App, closed: &Closed<'_>) -> Vec<FollowUp> {
    let event = closed.event;
    let Target::Function { name, qualifier } = &event.target else {
        return Vec::new();
    };
    let policy = EventPolicy::of(app, name, qualifier.as_ref());
    let wanted = match closed.condition {
        Condition::Success => policy.on_success,
        Condition::RetriesExhausted
        | Condition::EventAgeExceeded
        | Condition::ZeroReservedConcurrency
        | Condition::FunctionNotFound
        | Condition::RecursionDetected
        | Condition::DeliveryFailed
        | Condition::PayloadLost
        | Condition::QueueFull => policy.on_failure,
    };
    let Some(target) = wanted else {
        return Vec::new();
    };
    let Some(depth) = depth_of(&target, event.depth) else {
        tracing::warn!(
            "event {} of function `{name}` is the end of a chain of {DEPTH_MAX} events; its record is not sent to `{}`",
            event.id,
            shown(&target)
        );
        return Vec::new();
    };
    let arn = qualified_arn(name, qualifier.as_ref(), &app.config.region);
    let (payload, brief) = record(closed, &arn, rfc3339_ms(app.clock.unix_us()));
    let event = NewEvent {
        id: app.request_id(),
        target,
        trigger: Trigger::Destination,
        source: Some(event.id.to_string()),
        depth,
        payload,
        delay: Duration::ZERO,
    };
    vec![FollowUp { event, brief }]
}

/// How deep the record of an event of this depth is, if it is sent at all. What is no function starts
/// nothing, so it is never too deep.
fn depth_of(target: &Target, depth: u32) -> Option<u32> {
    let next = depth.saturating_add(1);
    match target {
        Target::Http { .. } | Target::File { .. } => Some(next.min(DEPTH_MAX)),
        Target::Function { .. } => (depth <= DEPTH_MAX).then_some(next),
    }
}

/// The name that the function was asked for by, always qualified.
fn qualified_arn(name: &FunctionName, qualifier: Option<&Qualifier>, region: &str) -> String {
    let latest = Qualifier::Version(VersionId::Latest);
    format!("{}:{}", name.arn(region), qualifier.unwrap_or(&latest))
}

/// The record, in at most [`QUEUED_EVENT_BYTES_MAX`]: what is too large is left out, the answer first. And
/// the record without payloads, for a queue that is full.
fn record(closed: &Closed<'_>, function_arn: &str, timestamp: String) -> (Bytes, Bytes) {
    let request = embedded(closed.payload);
    let answer = closed.answer.as_ref();
    let response = answer.and_then(|answer| embedded(&answer.payload));
    let mut record = Record {
        version: "1.0",
        timestamp,
        request_context: RequestContext {
            request_id: closed.event.id.to_string(),
            function_arn,
            condition: closed.condition.as_str(),
            approximate_invoke_count: closed.attempts,
        },
        request_payload: request.as_deref(),
        response_context: answer.map(|answer| ResponseContext {
            status_code: 200,
            executed_version: answer.version.to_string(),
            function_error: answer.function_error.then_some("Unhandled"),
        }),
        response_payload: response.as_deref(),
        omitted: &[],
    };
    let mut written = bytes_of(&record);
    if record.response_payload.take().is_some() {
        record.omitted = &["responsePayload"];
        if written.len() > QUEUED_EVENT_BYTES_MAX {
            written = bytes_of(&record);
        }
    }
    if record.request_payload.take().is_some() {
        record.omitted = match record.omitted {
            [] => &["requestPayload"],
            _ => &["responsePayload", "requestPayload"],
        };
    }
    let brief = Bytes::from(bytes_of(&record));
    if written.len() > QUEUED_EVENT_BYTES_MAX {
        return (brief.clone(), brief);
    }
    (Bytes::from(written), brief)
}

/// A payload as a value: itself if it is JSON, as text otherwise.
fn embedded(payload: &Bytes) -> Option<Box<RawValue>> {
    let text = String::from_utf8_lossy(payload);
    let value = if is_json(payload) {
        RawValue::from_string(text.trim().to_owned())
    } else {
        to_raw_value(&text)
    };
    // What is JSON stays JSON, and any text can be written as JSON.
    value.ok()
}

/// Numbers and texts only: there is nothing that can fail.
fn bytes_of(record: &Record<'_>) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}
