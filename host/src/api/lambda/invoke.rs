//! `POST /2015-03-31/functions/{name}/invocations`: the Invoke operation.
//!
//! Checked in the order of Lambda: whether there is such a function, then its event, then whether it may
//! run now. An event that is to run later is accepted instead, whether its function may run now or not.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::event::Target;
use domain::limits::QUEUED_EVENT_BYTES_MAX;
use domain::{FunctionRef, Invocation, RequestId, Trigger};
use http::{HeaderName, HeaderValue, StatusCode};
use storage::{LedgerHealth, LogEvent, NewEvent};

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::call::{Call, function_not_found, internal, no_content};
use super::checks::Checks;
use super::client_context::client_context;
use crate::answer::{self, Answer};
use crate::app::App;
use crate::concurrency::Refused;
use crate::http::error::{HttpResponse, json_response};
use crate::invoke::{Completed, InvokeError, invoke};
use crate::trigger::queue::accept::accept;

/// Bytes of the log that a caller gets back with `X-Amz-Log-Type: Tail`.
const LOG_TAIL_BYTES: usize = 4_096;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const LOG_TYPE: &str = "x-amz-log-type";
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");

/// How the answer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Whole.
    Buffered,
    /// As a stream; nothing can be invoked asynchronously so.
    Stream,
}

impl Mode {
    /// The invocation types that it has.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Buffered => &["Event", "RequestResponse", "DryRun"],
            Self::Stream => &["RequestResponse", "DryRun"],
        }
    }
}

/// What became of what was asked for.
#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
pub(super) enum Invoked {
    /// It ran.
    Completed(Completed),
    /// It would have run.
    Checked,
    /// It waits, and runs later.
    Accepted,
}

pub(super) async fn invoke_function(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let mut response = match run(call, Mode::Buffered).await? {
        Invoked::Completed(completed) => response(completed, call.request.id),
        Invoked::Checked => return Ok(no_content()),
        Invoked::Accepted => accepted(),
    };
    response.headers_mut().extend(trace_id(call.request));
    Ok(response)
}

/// 202, and nothing more: the id is in a header, as in every answer.
pub(super) fn accepted() -> HttpResponse {
    let mut response = HttpResponse::default();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Does what is asked for.
pub(super) async fn run(call: &Call<'_>, mode: Mode) -> Result<Invoked, ApiError> {
    let (request, app) = (call.request, call.request.app);
    if app.is_draining() {
        return Err(ApiError::stopping());
    }
    let invocation_type = request
        .header(INVOCATION_TYPE)?
        .unwrap_or("RequestResponse");
    let log_type = request.header(LOG_TYPE)?.unwrap_or("None");
    let mut checks = Checks::default();
    checks.one_of("invocationType", Some(invocation_type), mode.types());
    checks.one_of("logType", Some(log_type), &["None", "Tail"]);
    checks.done()?;
    let (_, version) = call.version()?;
    let event = checked_event(request.body.clone())?;
    let client_context = client_context(request)?;
    match invocation_type {
        "DryRun" => {
            let checked = app.budgets.check(&version.spending);
            checked.map_err(|spent| ApiError::budget_spent(&spent))?;
            return Ok(Invoked::Checked);
        }
        "Event" => {
            enqueue(call, event).await?;
            return Ok(Invoked::Accepted);
        }
        _ => {}
    }
    let FunctionRef {
        name, qualifier, ..
    } = call.target()?.clone();
    let invocation = Invocation {
        id: request.id,
        attempt: 1,
        function: name,
        qualifier,
        trigger: Trigger::Invoke,
        event,
        client_context,
        keep_log: log_type == "Tail",
    };
    on_workers(call, invocation).await.map(Invoked::Completed)
}

/// Takes the event in, under the id of the request: it is durable when this returns.
///
/// # Errors
///
/// 413, 429 and 503; nothing was enqueued then.
pub(super) async fn enqueue(call: &Call<'_>, event: Bytes) -> Result<(), ApiError> {
    let (request, app) = (call.request, call.request.app);
    let bytes = event.len();
    if bytes > QUEUED_EVENT_BYTES_MAX {
        return Err(ApiError::too_large(format!(
            "{bytes} byte payload is too large for the Event invocation type (limit {QUEUED_EVENT_BYTES_MAX} bytes)"
        )));
    }
    let FunctionRef {
        name, qualifier, ..
    } = call.target()?.clone();
    let event = NewEvent {
        id: request.id,
        target: Target::Function { name, qualifier },
        trigger: Trigger::Event,
        source: None,
        depth: 0,
        payload: event,
        delay: Duration::ZERO,
    };
    Ok(accept(app, vec![event]).await?)
}

/// Runs the invocation where guests run. A caller that leaves does not stop it, as on Lambda.
async fn on_workers(call: &Call<'_>, invocation: Invocation) -> Result<Completed, ApiError> {
    let app = call.request.app;
    let running = {
        let app = Arc::clone(app);
        async move { invoke(&app, invocation).await }
    };
    match app.workers.spawn(running).await {
        Ok(completed) => completed.map_err(|error| api_error(call, &error)),
        Err(error) => {
            tracing::error!(%error, "an invocation panicked");
            Err(internal())
        }
    }
}

/// An event is JSON; no event is an empty object.
pub(super) fn checked_event(event: Bytes) -> Result<Bytes, ApiError> {
    if event.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    let parsed = answer::parse_json(&event);
    match parsed {
        Ok(()) => Ok(event),
        Err(error) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            format!(
                "Could not parse request body into json: Could not parse payload into json: {error}"
            ),
        )),
    }
}

fn api_error(call: &Call<'_>, error: &InvokeError) -> ApiError {
    let app: &App = call.request.app;
    match error {
        // It was there a moment ago.
        InvokeError::UnknownFunction { .. } | InvokeError::UnknownQualifier { .. } => {
            function_not_found(&call.target_arn().unwrap_or_default())
        }
        InvokeError::Refused(Refused::Function { .. }) => {
            ApiError::throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        }
        InvokeError::Refused(Refused::Budget(spent)) => ApiError::budget_spent(spent),
        InvokeError::Refused(Refused::Process { .. }) => {
            ApiError::throttled("ConcurrentInvocationLimitExceeded")
        }
        InvokeError::Refused(Refused::Memory { .. }) => {
            app.faults.note(&app.clock, error);
            ApiError::unavailable("the memory for sandboxes is used up")
        }
        InvokeError::LedgerClosed { .. } => {
            app.faults.note(&app.clock, error);
            ApiError::unavailable(match app.ledger.health() {
                LedgerHealth::Full { .. } => "little space is left for records",
                LedgerHealth::Failed { .. } | LedgerHealth::Writable => {
                    "the ledger takes no records, and the server's log says why"
                }
            })
        }
        InvokeError::Sandbox { .. } | InvokeError::Record { .. } => {
            app.faults.note(&app.clock, error);
            ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn response(completed: Completed, id: RequestId) -> HttpResponse {
    let version = version_header(&completed);
    let log = log_tail(&completed.log);
    let (payload, failed) = payload(completed, id);
    let mut response = json_response(StatusCode::OK, payload);
    let headers = response.headers_mut();
    if failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    headers.extend(version);
    if !log.is_empty()
        && let Ok(tail) = HeaderValue::try_from(STANDARD.encode(log))
    {
        headers.insert(LOG_RESULT, tail);
    }
    response
}

/// The id that the caller follows its request by: its own, or one made of ours. Nothing is traced.
pub(super) fn trace_id(request: &ApiRequest<'_>) -> Option<(HeaderName, HeaderValue)> {
    let value = match request.parts.headers.get(&TRACE_ID) {
        Some(sent) => sent.clone(),
        None => {
            let id = request.id.to_string().replace('-', "");
            let seconds = request.app.clock.unix_ms() / 1_000;
            let text = format!("Root=1-{seconds:08x}-{};Sampled=0", id.get(8..)?);
            HeaderValue::try_from(text).ok()?
        }
    };
    Some((TRACE_ID, value))
}

/// What the function answered with, and whether that says how it failed.
pub(super) fn payload(completed: Completed, id: RequestId) -> (Bytes, bool) {
    match completed.answer {
        Ok(Answer::Payload(payload)) => (payload, false),
        Ok(Answer::Http(answer)) => (answer.body, false),
        Err(error) => (error.payload(id), true),
    }
}

/// Which version ran.
pub(super) fn version_header(completed: &Completed) -> Option<(HeaderName, HeaderValue)> {
    let version = HeaderValue::try_from(completed.report.version.to_string()).ok()?;
    Some((EXECUTED_VERSION, version))
}

/// The last bytes of an invocation's log, from START to REPORT.
pub(super) fn log_tail(log: &[LogEvent]) -> Vec<u8> {
    let mut text = String::new();
    for event in log {
        text.push_str(&event.shown());
        text.push('\n');
    }
    let from = text.len().saturating_sub(LOG_TAIL_BYTES);
    text.into_bytes().split_off(from)
}
