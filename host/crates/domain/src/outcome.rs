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

/// Longest `errorType` that is kept of what a guest gave, in characters.
pub const ERROR_TYPE_CHARS_MAX: usize = 256;

/// The `errorType` of a failure that has none of its own.
const DEFAULT_ERROR_TYPE: &str = "Runtime.ExitError";

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
    /// The handler returned an error; the payload is the guest's own JSON object. Made by
    /// [`FunctionError::returned`].
    #[error("function returned `{error_type}`: {message}")]
    Returned {
        /// The guest's `errorType` on one short line, or `Runtime.ExitError` where it gave none.
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
    /// An error that a guest returned: its `errorType`, if it gave one, its `errorMessage`, and the
    /// whole object.
    ///
    /// The type becomes a field of report lines and of records, so what could end a field or a line
    /// is replaced, and it is cut. The object goes to the caller as it is.
    #[must_use]
    pub fn returned(error_type: Option<&str>, message: String, payload: Bytes) -> Self {
        Self::Returned {
            error_type: error_type
                .and_then(clean_type)
                .unwrap_or_else(|| DEFAULT_ERROR_TYPE.to_owned()),
            message,
            payload,
        }
    }

    /// The error's type as Lambda's clients know it.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::Returned { error_type, .. } => error_type,
            Self::Exited { .. } | Self::Trapped { .. } => DEFAULT_ERROR_TYPE,
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

/// The first characters of a guest's `errorType` on one line; `None` if nothing can be seen of them.
fn clean_type(error_type: &str) -> Option<String> {
    // Unicode's own ends of lines and paragraphs are no control characters.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let cleaned = error_type
        .trim()
        .chars()
        .take(ERROR_TYPE_CHARS_MAX)
        .map(|c| if breaks(c) { ' ' } else { c })
        .collect::<String>();
    let cleaned = cleaned.trim();
    (!cleaned.is_empty()).then(|| cleaned.to_owned())
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
        let error = FunctionError::returned(Some("X\n"), "no".to_owned(), payload.clone());
        assert_eq!(error.payload(id()), payload);
        assert_eq!(error.error_type(), "X");
    }

    #[track_caller]
    fn check_type(given: Option<&str>, expected: &str) {
        let error = FunctionError::returned(given, String::new(), Bytes::new());
        assert_eq!(error.error_type(), expected, "{given:?}");
    }

    #[test]
    fn an_error_type_is_one_short_line() {
        check_type(Some("Nope"), "Nope");
        check_type(Some(" Not Found "), "Not Found");
        check_type(
            Some("X\tBilled Duration: 0 ms\nREPORT\u{1b}[31m\u{2028}Y\0"),
            "X Billed Duration: 0 ms REPORT [31m Y",
        );
        let long = "ä".repeat(3 << 20);
        check_type(Some(&long), &"ä".repeat(ERROR_TYPE_CHARS_MAX));
        check_type(Some(&format!("{}X", " ".repeat(3 << 20))), "X");
    }

    #[test]
    fn an_error_type_that_says_nothing_is_the_default() {
        for given in [
            None,
            Some(""),
            Some(" \t\n"),
            Some("\0\0"),
            Some(&*format!("\u{7f}{}X", "\0".repeat(300))),
        ] {
            check_type(given, "Runtime.ExitError");
        }
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
