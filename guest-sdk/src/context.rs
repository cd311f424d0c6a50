//! What a handler may know about the invocation it runs in.
//!
//! Read once from the context JSON that precedes the event, and only for a handler that asks for
//! it. Holds no event data and no environment variables.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{BAD_EVENT, Error};

/// How long a context made by [`Context::for_test`] has left: the default timeout of a function.
const TEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The invocation: which function runs, for whom, and until when.
///
/// A handler that takes `&Context` gets one; a test makes its own with [`Context::for_test`].
///
/// ```
/// use mayfly_sdk::{Context, handler};
///
/// #[handler]
/// fn whoami(context: &Context) -> String {
///     format!("{} {}", context.function_name(), context.function_version())
/// }
///
/// let context = Context::for_test().with_function_name("mirror");
/// assert_eq!(whoami(&context), "mirror $LATEST");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Context {
    request_id: String,
    deadline: SystemTime,
    function_name: String,
    function_version: String,
    function_arn: String,
    memory_mb: u32,
    client_context: Option<Value>,
}

/// The context as the host writes it. Keys that are not listed here are for later versions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    request_id: String,
    deadline_ms: u64,
    function_name: String,
    function_version: String,
    function_arn: String,
    memory_mb: u32,
    client_context: Option<Value>,
}

impl Context {
    /// Reads the JSON that the host writes before the event.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json)
            .map_err(|error| Error::new(BAD_EVENT, format!("the context is unreadable: {error}")))
    }

    /// A context for unit tests: function `test`, 128 MB, three seconds from now.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guest has no clock but the sandbox's own"
    )]
    pub fn for_test() -> Self {
        Self {
            request_id: "00000000-0000-7000-8000-000000000000".into(),
            deadline: SystemTime::now() + TEST_TIMEOUT,
            function_name: "test".into(),
            function_version: "$LATEST".into(),
            function_arn: "arn:aws:lambda:local:000000000000:function:test".into(),
            memory_mb: 128,
            client_context: None,
        }
    }

    /// The same context with another request id.
    #[must_use]
    pub fn with_request_id(self, request_id: impl Into<String>) -> Self {
        Self {
            request_id: request_id.into(),
            ..self
        }
    }

    /// The same context with another function name; the ARN stays as it is.
    #[must_use]
    pub fn with_function_name(self, function_name: impl Into<String>) -> Self {
        Self {
            function_name: function_name.into(),
            ..self
        }
    }

    /// The same context with another deadline, for what a handler does when time runs out.
    #[must_use]
    pub fn with_deadline(self, deadline: SystemTime) -> Self {
        Self { deadline, ..self }
    }

    /// The same context with a client context, as a caller may send one along.
    #[must_use]
    pub fn with_client_context(self, client_context: Value) -> Self {
        Self {
            client_context: Some(client_context),
            ..self
        }
    }

    /// The id of this invocation: the same as in logs, the report and response headers.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// When the sandbox is stopped if it still runs, to the millisecond.
    pub fn deadline(&self) -> SystemTime {
        self.deadline
    }

    /// The time left until the deadline, zero once it has passed.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guest has no clock but the sandbox's own"
    )]
    pub fn remaining(&self) -> Duration {
        self.deadline
            .duration_since(SystemTime::now())
            .unwrap_or_default()
    }

    /// The name of the function.
    pub fn function_name(&self) -> &str {
        &self.function_name
    }

    /// The version that runs: a number, or `$LATEST`.
    pub fn function_version(&self) -> &str {
        &self.function_version
    }

    /// The ARN that the function was invoked by.
    pub fn function_arn(&self) -> &str {
        &self.function_arn
    }

    /// The memory limit of the sandbox in MB, where 1 MB is 1,048,576 bytes.
    pub fn memory_mb(&self) -> u32 {
        self.memory_mb
    }

    /// What the caller said of the client that it serves (`X-Amz-Client-Context`): a JSON object of
    /// at most 3,583 bytes in base64. `None` unless an Invoke brought one.
    pub fn client_context(&self) -> Option<&Value> {
        self.client_context.as_ref()
    }
}

impl TryFrom<Wire> for Context {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let since_epoch = Duration::from_millis(wire.deadline_ms);
        let deadline = SystemTime::UNIX_EPOCH
            .checked_add(since_epoch)
            .ok_or("`deadlineMs` lies beyond what a clock can say")?;
        Ok(Self {
            request_id: wire.request_id,
            deadline,
            function_name: wire.function_name,
            function_version: wire.function_version,
            function_arn: wire.function_arn,
            memory_mb: wire.memory_mb,
            client_context: wire.client_context,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"requestId":"r-1","deadlineMs":1763830000000,"functionName":"hello",
        "functionVersion":"7","memoryMb":256,"functionArn":"arn:aws:lambda:local:1:function:hello",
        "later":{"version":["of the host"]}}"#;

    #[test]
    fn each_field_is_read_and_unknown_keys_are_passed_over() {
        let context = Context::from_json(JSON.as_bytes()).unwrap();
        assert_eq!(context.request_id(), "r-1");
        assert_eq!(context.function_name(), "hello");
        assert_eq!(context.function_version(), "7");
        assert_eq!(
            context.function_arn(),
            "arn:aws:lambda:local:1:function:hello"
        );
        assert_eq!(context.memory_mb(), 256);
        assert_eq!(context.client_context(), None);
        let since_epoch = context
            .deadline()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(since_epoch, Duration::from_millis(1_763_830_000_000));
    }

    #[test]
    fn what_a_caller_said_of_its_client_is_there_as_json() {
        let json = JSON.replace(
            "\"later\"",
            "\"clientContext\":{\"custom\":{\"a\":1}},\"later\"",
        );
        let context = Context::from_json(json.as_bytes()).unwrap();
        assert_eq!(context.client_context().unwrap()["custom"]["a"], 1);
    }

    #[test]
    fn a_passed_deadline_leaves_no_time_and_does_not_wrap() {
        let context = Context::for_test().with_deadline(SystemTime::UNIX_EPOCH);
        assert_eq!(context.remaining(), Duration::ZERO);
        assert!(Context::for_test().remaining() <= TEST_TIMEOUT);
    }

    #[test]
    fn a_broken_context_is_an_error_that_says_so() {
        let error = Context::from_json(b"{}").unwrap_err();
        assert_eq!(error.error_type(), BAD_EVENT);
        assert!(
            error
                .message()
                .starts_with("the context is unreadable: missing field")
        );
    }
}
