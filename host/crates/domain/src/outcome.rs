//! What a guest ended with: a payload or a function error.
//!
//! A function's failure is an outcome, not an error of ours: it ran, so it is billed and recorded.
//! Knows nothing of HTTP statuses. Error types and texts are those that Lambda's clients parse.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::limits::{PAYLOAD_BYTES_MAX, Timeout};
use crate::names::RequestId;
use crate::report::Status;

/// Longest error message that is stored or answered, in bytes; a guest can make longer ones.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4_096;

/// What a guest ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The guest answered with these bytes. Of a `command` they may be anything; of an `sdk`
    /// function they are JSON.
    Payload(Bytes),
    /// The guest failed.
    Failed(FunctionError),
}

/// How a guest failed. Always [`crate::Fault::Function`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// The handler returned an error; the payload is the guest's own JSON object.
    #[error("function returned `{error_type}`: {message}")]
    Returned {
        /// The guest's `errorType`, or `Runtime.ExitError` where it gave none.
        error_type: String,
        /// The guest's `errorMessage`.
        message: String,
        /// The guest's JSON object, as it wrote it.
        payload: Bytes,
    },
    /// A `command` ended with this exit code, and no error object.
    #[error("function exited with status {code}")]
    Exited {
        /// 1 to 255; 0 for an `sdk` function that exited instead of answering.
        code: i32,
    },
    /// The guest was stopped at its deadline.
    #[error("function timed out after {} seconds", timeout.seconds_text())]
    TimedOut {
        /// The limit it reached.
        timeout: Timeout,
    },
    /// The guest was refused memory and then failed.
    #[error("function ran out of memory")]
    OutOfMemory,
    /// The guest executed an instruction that traps.
    #[error("function trapped: {code}")]
    Trapped {
        /// The trap's short name, such as `unreachable` or `StackOverflow`.
        code: String,
        /// Names or numbers of the wasm functions on the stack, innermost first.
        frames: Vec<String>,
    },
    /// No instance could be made of the module: a start function trapped, or a data segment did not
    /// fit.
    #[error("function failed to start: {message}")]
    Init {
        /// What failed.
        message: String,
    },
    /// The answer was not what the kind of guest must answer with.
    #[error("function gave an invalid response: {message}")]
    InvalidResponse {
        /// Which rule was broken.
        message: String,
    },
    /// The answer was longer than [`PAYLOAD_BYTES_MAX`].
    #[error("function gave a response of more than {PAYLOAD_BYTES_MAX} bytes")]
    ResponseTooLarge,
}

impl FunctionError {
    /// The error's type as Lambda's clients know it.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::Returned { error_type, .. } => error_type,
            Self::Exited { .. } | Self::Trapped { .. } => "Runtime.ExitError",
            Self::TimedOut { .. } => "Sandbox.Timedout",
            Self::OutOfMemory => "Runtime.OutOfMemory",
            Self::Init { .. } => "Runtime.InitError",
            Self::InvalidResponse { .. } => "Runtime.InvalidResponse",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
        }
    }

    /// The status its report closes with.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::TimedOut { .. } => Status::Timeout,
            Self::OutOfMemory => Status::OutOfMemory,
            Self::Returned { .. }
            | Self::Exited { .. }
            | Self::Trapped { .. }
            | Self::Init { .. }
            | Self::InvalidResponse { .. }
            | Self::ResponseTooLarge => Status::Error,
        }
    }

    /// The text of `errorMessage`.
    #[must_use]
    pub fn message(&self, id: RequestId) -> String {
        let text = match self {
            Self::Returned { message, .. } => message.clone(),
            Self::Exited { code: 0 } => {
                format!("RequestId: {id} Error: Runtime exited without providing a reason")
            }
            Self::Exited { code } => {
                format!("RequestId: {id} Error: Runtime exited with error: exit status {code}")
            }
            Self::TimedOut { timeout } => format!(
                "RequestId: {id} Error: Task timed out after {} seconds",
                timeout.seconds_text()
            ),
            Self::OutOfMemory => {
                format!("RequestId: {id} Error: Runtime exited with error: signal: killed")
            }
            Self::Trapped { code, .. } => {
                format!("RequestId: {id} Error: Runtime exited with error: {code}")
            }
            Self::Init { message } => format!("RequestId: {id} Error: {message}"),
            Self::InvalidResponse { message } => message.clone(),
            Self::ResponseTooLarge => format!(
                "Response payload size exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes)."
            ),
        };
        cut(text)
    }

    /// The JSON object a caller of Invoke gets.
    #[must_use]
    pub fn payload(&self, id: RequestId) -> Bytes {
        if let Self::Returned { payload, .. } = self {
            return payload.clone();
        }
        let mut object = json!({
            "errorType": self.error_type(),
            "errorMessage": self.message(id),
        });
        if let (Self::Trapped { frames, .. }, Value::Object(members)) = (self, &mut object) {
            members.insert("stackTrace".to_owned(), json!(frames));
        }
        Bytes::from(object.to_string())
    }

    /// The lines that the log shows before END, if Lambda has some for this failure.
    ///
    /// `time` is the instant of the failure in RFC 3339 with milliseconds.
    #[must_use]
    pub fn log_lines(&self, id: RequestId, time: &str) -> Vec<String> {
        match self {
            Self::TimedOut { timeout } => {
                let seconds = timeout.seconds_text();
                vec![
                    format!("{time} {id} Task timed out after {seconds} seconds"),
                    String::new(),
                ]
            }
            Self::Returned { .. } => Vec::new(),
            Self::Trapped { frames, .. } => {
                let mut lines = vec![self.message(id)];
                lines.extend(frames.iter().map(|frame| format!("    at {frame}")));
                lines.push(self.error_type().to_owned());
                lines
            }
            Self::Exited { .. }
            | Self::OutOfMemory
            | Self::Init { .. }
            | Self::InvalidResponse { .. }
            | Self::ResponseTooLarge => vec![self.message(id), self.error_type().to_owned()],
        }
    }
}

/// Cuts a text that a guest may have made arbitrarily long, at a character boundary.
fn cut(mut text: String) -> String {
    if text.len() > ERROR_MESSAGE_BYTES_MAX {
        let end = (0..=ERROR_MESSAGE_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RequestId {
        RequestId::new(0, [0; 10])
    }

    #[track_caller]
    fn check_payload(error: &FunctionError, expected: &Value) {
        let payload: Value = serde_json::from_slice(&error.payload(id())).unwrap();
        assert_eq!(&payload, expected);
    }

    #[test]
    fn failures_have_the_payloads_that_clients_of_lambda_parse() {
        let id = id();
        check_payload(
            &FunctionError::TimedOut {
                timeout: Timeout::DEFAULT,
            },
            &json!({"errorType": "Sandbox.Timedout",
                    "errorMessage": format!("RequestId: {id} Error: Task timed out after 3.00 seconds")}),
        );
        check_payload(
            &FunctionError::Exited { code: 127 },
            &json!({"errorType": "Runtime.ExitError",
                    "errorMessage": format!("RequestId: {id} Error: Runtime exited with error: exit status 127")}),
        );
        check_payload(
            &FunctionError::OutOfMemory,
            &json!({"errorType": "Runtime.OutOfMemory",
                    "errorMessage": format!("RequestId: {id} Error: Runtime exited with error: signal: killed")}),
        );
        check_payload(
            &FunctionError::ResponseTooLarge,
            &json!({"errorType": "Function.ResponseSizeTooLarge",
                    "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}),
        );
    }

    #[test]
    fn a_returned_error_is_passed_on_as_the_guest_wrote_it() {
        let payload = Bytes::from_static(br#"{"errorMessage":"no", "extra": 1}"#);
        let error = FunctionError::Returned {
            error_type: "X".to_owned(),
            message: "no".to_owned(),
            payload: payload.clone(),
        };
        assert_eq!(error.payload(id()), payload);
    }

    #[test]
    fn a_message_of_any_length_is_cut_at_a_character() {
        let message = "ä".repeat(5_000);
        let error = FunctionError::InvalidResponse { message };
        let message = error.message(id());
        assert_eq!(message.len(), ERROR_MESSAGE_BYTES_MAX);
        assert!(message.chars().all(|c| c == 'ä'));
    }
}
