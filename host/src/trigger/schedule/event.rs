//! What a function gets from a schedule: the document of EventBridge, or what the schedule says.
//!
//! Pure: knows nothing of queues.

use domain::RequestId;
use domain::names::ACCOUNT_ID;
use serde_json::{Value, json};

use super::definition::Definition;
use crate::time_text::rfc3339_s;

/// The event for the run that is due at `due_us`, however late it is.
pub(super) fn payload(definition: &Definition, id: RequestId, due_us: i64, region: &str) -> String {
    let time = rfc3339_s(due_us);
    let arn = definition.arn(region);
    if let Some(input) = &definition.input {
        return match &definition.api {
            Some(_) => with_attributes(input, &arn, &time, &id.to_string()),
            None => input.clone(),
        };
    }
    let (source, detail) = match &definition.api {
        Some(_) => ("aws.scheduler", Value::from("{}")),
        None => ("aws.events", json!({})),
    };
    // In the order in which AWS writes the members.
    format!(
        r#"{{"version":"0","id":"{id}","detail-type":"Scheduled Event","source":"{source}","account":"{ACCOUNT_ID}","time":"{time}","region":{},"resources":[{}],"detail":{detail}}}"#,
        Value::from(region),
        Value::from(arn),
    )
}

/// An input with Scheduler's context attributes replaced by what they stand for.
fn with_attributes(input: &str, arn: &str, time: &str, id: &str) -> String {
    input
        .replace("<aws.scheduler.schedule-arn>", arn)
        .replace("<aws.scheduler.scheduled-time>", time)
        .replace("<aws.scheduler.execution-id>", id)
        .replace("<aws.scheduler.attempt-number>", "1")
}

/// Why an input of the API is no JSON once its attributes are replaced, if it is none.
pub(crate) fn input_problem(input: &str) -> Option<String> {
    let sample = with_attributes(input, "arn", "2026-11-22T16:53:00Z", "id");
    serde_json::from_str::<serde::de::IgnoredAny>(&sample)
        .err()
        .map(|error| error.to_string())
}
