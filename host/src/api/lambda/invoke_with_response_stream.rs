//! `POST /2021-11-15/functions/{name}/response-streaming-invocations`: Invoke, answered as a stream of
//! frames.
//!
//! Every kind of function answers at once when it has ended, so there is one frame with the payload and
//! one that says that this was all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, json};

use super::super::error::ApiError;
use super::super::event_stream::{CONTENT_TYPE as EVENT_STREAM, event};
use super::call::{Call, no_content};
use super::invoke::{Invoked, Mode, log_tail, payload, run, trace_id, version_header};
use crate::http::error::{HttpResponse, json_response};

const REMAPPED_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-amzn-remapped-content-type");

pub(super) async fn invoke_with_response_stream(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let completed = match run(call, Mode::Stream).await? {
        Invoked::Completed(completed) => completed,
        Invoked::Checked | Invoked::Accepted => return Ok(no_content()),
    };
    let version = version_header(&completed);
    let log = log_tail(&completed.log);
    let (answer, failed) = payload(completed, call.request.id);
    let mut complete = Map::new();
    if failed {
        complete.insert("ErrorCode".to_owned(), json!("Unhandled"));
        complete.insert("ErrorDetails".to_owned(), json!(error_details(&answer)));
    }
    if !log.is_empty() {
        complete.insert("LogResult".to_owned(), json!(STANDARD.encode(log)));
    }
    let complete = serde_json::Value::Object(complete).to_string();
    let mut body = Vec::with_capacity(answer.len() + complete.len() + 256);
    body.extend_from_slice(&event("PayloadChunk", "application/octet-stream", &answer));
    body.extend_from_slice(&event(
        "InvokeComplete",
        "application/json",
        complete.as_bytes(),
    ));

    let mut response = json_response(StatusCode::OK, body);
    let headers = response.headers_mut();
    let stream = HeaderValue::from_static(EVENT_STREAM);
    headers.insert(CONTENT_TYPE, stream);
    let json = HeaderValue::from_static("application/json");
    headers.insert(REMAPPED_CONTENT_TYPE, json);
    headers.extend(version);
    headers.extend(trace_id(call.request));
    Ok(response)
}

/// What the error object of a function says, as text.
fn error_details(payload: &Bytes) -> String {
    String::from_utf8_lossy(payload).into_owned()
}
