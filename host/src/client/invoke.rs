//! Invoke, as `mayfly invoke` asks for it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::{Client, ClientError, FUNCTIONS, encode, query};

/// The longest a function may run, and time to spare.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(960);

/// What Invoke is asked for.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The function in any spelling: a name, a name with a qualifier, an ARN.
    pub(crate) function: &'a str,
    /// A version or an alias.
    pub(crate) qualifier: Option<&'a str>,
    /// Whether the end of the log is to come along.
    pub(crate) with_log: bool,
    /// What is to become of the event.
    pub(crate) kind: Kind,
}

/// What is to become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The function runs on it, and its answer is waited for.
    Answered,
    /// It is accepted, and the function runs on it later.
    Queued,
    /// It is only asked whether the function could run.
    DryRun,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "RequestResponse",
            Self::Queued => "Event",
            Self::DryRun => "DryRun",
        }
    }
}

/// What Invoke answered with.
#[derive(Debug)]
pub(crate) struct Invoked {
    /// The function's answer, or its error object.
    pub(crate) payload: Bytes,
    /// `X-Amz-Function-Error`, when the function failed.
    pub(crate) function_error: Option<String>,
    /// The event's id.
    pub(crate) request_id: Option<String>,
    /// `X-Amz-Log-Result` as it came, in base64, when it was asked for.
    pub(crate) log_base64: Option<String>,
}

impl Client {
    /// Invokes a function: runs it and waits for its answer, or what else [`Kind`] says.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when it did not run. A function that ran and failed is not an error here.
    pub(crate) fn invoke(&self, asked: &Asked<'_>, event: Bytes) -> Result<Invoked, ClientError> {
        let qualifier = query(&[("Qualifier", asked.qualifier.map(str::to_owned))]);
        let function = encode(asked.function);
        let path = format!("{FUNCTIONS}/{function}/invocations{qualifier}");
        let log = if asked.with_log { "Tail" } else { "None" };
        let headers = [
            ("x-amz-log-type", log),
            ("x-amz-invocation-type", asked.kind.as_str()),
        ];
        let request = self.request(Method::POST, &path, event, &headers)?;
        let answer = self.runtime.block_on(self.send(request, INVOKE_TIMEOUT))?;
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Ok(Invoked {
            function_error: header("x-amz-function-error"),
            request_id: header("x-amzn-requestid"),
            log_base64: header("x-amz-log-result"),
            payload: answer.body,
        })
    }
}
