//! From the bytes a guest answered with to what its caller gets.
//!
//! Each kind of caller has its own rule of what an answer must look like; an answer that breaks it
//! is the function's failure, so this is decided before the report is written. Knows nothing of how
//! the answer travels.

use bytes::Bytes;
use domain::{FunctionError, Outcome, Trigger};
use serde::de::IgnoredAny;

use crate::trigger::http::response::HttpAnswer;

/// What a caller gets.
#[derive(Debug)]
pub(crate) enum Answer {
    /// JSON, for a caller of Invoke.
    Payload(Bytes),
    /// A response, for a caller by HTTP.
    Http(HttpAnswer),
}

/// Reads an outcome as `trigger`'s caller would.
///
/// # Errors
///
/// The guest's own failure, or [`FunctionError::InvalidResponse`] when its answer breaks the rule.
pub(crate) fn read(trigger: Trigger, outcome: Outcome) -> Result<Answer, FunctionError> {
    let payload = match outcome {
        Outcome::Payload(payload) => payload,
        Outcome::Failed(error) => return Err(error),
    };
    match trigger {
        Trigger::Http => HttpAnswer::from_payload(payload).map(Answer::Http),
        Trigger::Invoke
        | Trigger::Event
        | Trigger::Schedule
        | Trigger::Topic
        | Trigger::CloudEvent
        | Trigger::Destination => json_payload(payload).map(Answer::Payload),
    }
}

/// An empty answer is `null`; anything else must be JSON.
fn json_payload(payload: Bytes) -> Result<Bytes, FunctionError> {
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"null"));
    }
    if is_json(&payload) {
        return Ok(payload);
    }
    Err(FunctionError::InvalidResponse {
        message: "the answer is not JSON; over HTTP it would be sent as text/plain".to_owned(),
    })
}

/// Whether `bytes` are one JSON value, in UTF-8.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    parse_json(bytes).is_ok()
}

/// Checks that `bytes` are one JSON value, in UTF-8.
///
/// # Errors
///
/// What is wrong, and where.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<(), String> {
    // A reader of bytes would pass over strings without looking at their encoding.
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Where a text stops being JSON, in words.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    if error.is_eof() {
        "it ends too early".to_owned()
    } else {
        let (line, column) = (error.line(), error.column());
        format!("it goes wrong at line {line}, column {column}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_invoke(stdout: &'static [u8], expected: Result<&'static [u8], &str>) {
        let outcome = Outcome::Payload(Bytes::from_static(stdout));
        let answer = match read(Trigger::Invoke, outcome) {
            Ok(Answer::Payload(payload)) => Ok(payload),
            Ok(Answer::Http(_)) => panic!("an Invoke caller got a response"),
            Err(error) => Err(error.error_type().to_owned()),
        };
        assert_eq!(
            answer,
            expected.map(Bytes::from_static).map_err(str::to_owned)
        );
    }

    #[test]
    fn a_caller_of_invoke_gets_json_or_an_error() {
        check_invoke(b"", Ok(b"null"));
        check_invoke(b" [1, 2]\n", Ok(b" [1, 2]\n"));
        check_invoke(b"hello", Err("Runtime.InvalidResponse"));
        check_invoke(b"\xff", Err("Runtime.InvalidResponse"));
        check_invoke(b"\"\xff\"", Err("Runtime.InvalidResponse"));
    }

    #[test]
    fn deep_nesting_is_refused_and_overflows_nothing() {
        assert!(!is_json("[".repeat(100_000).as_bytes()));
    }
}
