//! Error answers: JSON with a message and the request's id, never with internals.

use bytes::Bytes;
use domain::RequestId;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

/// Carries the request's id, as on Lambda.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// A response, whole in memory.
pub(crate) type HttpResponse = Response<Full<Bytes>>;

/// Seconds after which a client that was refused may try again.
pub(crate) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A response of a function's route that no function gave. The header with the id is added to every
/// response, by [`with_request_id`].
pub(crate) fn error_response(status: StatusCode, message: &str, id: RequestId) -> HttpResponse {
    let body = json!({ "message": message, "requestId": id }).to_string();
    let mut response = json_response(status, body);
    if may_be_tried_again(status) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}

/// Whether a status means "not now".
pub(crate) fn may_be_tried_again(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    )
}

/// 405, naming the methods that would do.
pub(crate) fn wrong_method(allowed: &[&str], id: RequestId) -> HttpResponse {
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", id);
    if let Ok(allow) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// `body`, which is JSON.
pub(crate) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds the request's id to a response.
pub(crate) fn with_request_id<B>(response: &mut Response<B>, id: RequestId) {
    let mut text = [0; RequestId::TEXT_BYTES];
    if let Ok(value) = HeaderValue::from_str(id.encode(&mut text)) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}
