//! `POST /2015-03-31/functions/{name}/invocations`: the Invoke operation of Lambda, synchronous.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::{FunctionRef, FunctionRefError, Invocation, Qualifier, RequestId, Trigger};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use storage::LogEvent;

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use crate::answer::{self, Answer};
use crate::app::App;
use crate::concurrency::Refused;
use crate::http::error::{HttpResponse, json_response};
use crate::invoke::{Completed, InvokeError, invoke};

/// Bytes of the log that a caller gets back with `X-Amz-Log-Type: Tail`.
const LOG_TAIL_BYTES: usize = 4_096;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const LOG_TYPE: &str = "x-amz-log-type";
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");

pub(super) async fn invoke_function(
    request: &ApiRequest<'_>,
    target: FunctionRef,
) -> Result<HttpResponse, ApiError> {
    let (app, id) = (request.app, request.id);
    let FunctionRef {
        name, qualifier, ..
    } = target;
    request.query()?.only(&["Qualifier"])?;
    if app.is_draining() {
        return Err(ApiError::service(StatusCode::SERVICE_UNAVAILABLE));
    }
    let keep_log = match request.header(LOG_TYPE)?.unwrap_or("None") {
        "None" => false,
        "Tail" => true,
        other => {
            let message = format!("{LOG_TYPE} is `{other}`; it must be None or Tail");
            return Err(ApiError::validation(message));
        }
    };
    app.registry
        .resolve(&name, qualifier.as_ref(), 0)
        .map_err(|error| api_error(app, &error))?;
    let event = checked_event(request.body.clone())?;
    match request
        .header(INVOCATION_TYPE)?
        .unwrap_or("RequestResponse")
    {
        "RequestResponse" => {}
        "DryRun" => return Ok(json_response(StatusCode::NO_CONTENT, Bytes::new())),
        "Event" => {
            let message = "asynchronous invocation is not offered yet; use RequestResponse";
            return Err(ApiError::validation(message));
        }
        other => {
            let message =
                format!("{INVOCATION_TYPE} is `{other}`; it must be RequestResponse or DryRun");
            return Err(ApiError::validation(message));
        }
    }
    let invocation = Invocation {
        id,
        attempt: 1,
        function: name,
        qualifier,
        trigger: Trigger::Invoke,
        event,
        keep_log,
    };
    let completed = on_workers(app, invocation).await?;
    Ok(response(completed, id))
}

/// Runs the invocation where guests run. A caller that leaves does not stop it, as on Lambda.
async fn on_workers(app: &Arc<App>, invocation: Invocation) -> Result<Completed, ApiError> {
    let running = {
        let app = Arc::clone(app);
        async move { invoke(&app, invocation).await }
    };
    match app.workers.spawn(running).await {
        Ok(completed) => completed.map_err(|error| api_error(app, &error)),
        Err(error) => {
            tracing::error!(%error, "an invocation panicked");
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// The function that the path names, in any spelling, and the version or alias: of the path or of the
/// query, or of both if they are equal.
pub(super) fn target(request: &ApiRequest<'_>, function: &str) -> Result<FunctionRef, ApiError> {
    let mut target = FunctionRef::parse(function).map_err(|error| match error {
        FunctionRefError::OtherAccount { .. } => ApiError::denied(&error.to_string()),
        _ => ApiError::validation(format!("{error} (in the path)")),
    })?;
    let query = request.query()?;
    let asked = query
        .text("Qualifier")
        .map(Qualifier::parse)
        .transpose()
        .map_err(|error| ApiError::validation(format!("{error} (in the query)")))?;
    if let (Some(in_path), Some(asked)) = (&target.qualifier, &asked)
        && in_path != asked
    {
        return Err(ApiError::validation(
            "The derived qualifier from the function name does not match the specified qualifier.",
        ));
    }
    target.qualifier = target.qualifier.or(asked);
    Ok(target)
}

/// An event is JSON; no event is an empty object.
fn checked_event(event: Bytes) -> Result<Bytes, ApiError> {
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

fn api_error(app: &App, error: &InvokeError) -> ApiError {
    match error {
        InvokeError::UnknownFunction { name } => {
            let region = &app.config.region;
            let account = domain::names::ACCOUNT_ID;
            ApiError::not_found(format!(
                "Function not found: arn:aws:lambda:{region}:{account}:function:{name}"
            ))
        }
        InvokeError::UnknownQualifier { name, qualifier } => {
            let region = &app.config.region;
            let account = domain::names::ACCOUNT_ID;
            ApiError::not_found(format!(
                "Function not found: arn:aws:lambda:{region}:{account}:function:{name}:{qualifier}"
            ))
        }
        InvokeError::Refused(Refused::Function { .. }) => {
            ApiError::throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        }
        InvokeError::Refused(Refused::Process { .. }) => {
            ApiError::throttled("ConcurrentInvocationLimitExceeded")
        }
        InvokeError::Refused(Refused::Memory { .. }) | InvokeError::LedgerClosed { .. } => {
            app.faults.note(&app.clock, error);
            ApiError::service(StatusCode::SERVICE_UNAVAILABLE)
        }
        InvokeError::Sandbox { .. } | InvokeError::Record { .. } => {
            app.faults.note(&app.clock, error);
            ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn response(completed: Completed, id: RequestId) -> HttpResponse {
    let Completed {
        answer,
        report,
        log,
    } = completed;
    let (payload, failed) = match answer {
        Ok(Answer::Payload(payload)) => (payload, false),
        Ok(Answer::Http(answer)) => (answer.body, false),
        Err(error) => (error.payload(id), true),
    };
    let mut response: Response<Full<Bytes>> = json_response(StatusCode::OK, payload);
    let headers = response.headers_mut();
    if failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    if let Ok(version) = HeaderValue::try_from(report.version.to_string()) {
        headers.insert(EXECUTED_VERSION, version);
    }
    if !log.is_empty()
        && let Ok(tail) = HeaderValue::try_from(STANDARD.encode(log_tail(&log)))
    {
        headers.insert(LOG_RESULT, tail);
    }
    response
}

/// The last bytes of an invocation's log, from START to REPORT.
fn log_tail(log: &[LogEvent]) -> Vec<u8> {
    let mut text = String::new();
    for event in log {
        text.push_str(&event.shown());
        text.push('\n');
    }
    let from = text.len().saturating_sub(LOG_TAIL_BYTES);
    text.into_bytes().split_off(from)
}
