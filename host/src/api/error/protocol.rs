//! How each protocol of AWS spells an error.
//!
//! An error carries the code that Lambda uses. CloudWatch Logs answers callers' mistakes with 400 and
//! the code in the body; IAM and STS have codes of their own for the same things, in XML.

use bytes::Bytes;
use domain::RequestId;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::ApiError;
use crate::api::xml::escaped;
use crate::http::error::{HttpResponse, json_response};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A way to write requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Protocol {
    /// Paths and JSON: Lambda, and our own routes.
    RestJson,
    /// `X-Amz-Target` and JSON 1.1: CloudWatch Logs.
    Json11,
    /// `Action=` and XML: IAM and STS.
    QueryXml,
}

impl Protocol {
    /// What whoever sent this request reads, as far as its head tells.
    pub(in crate::api) fn of(parts: &Parts) -> Self {
        let is_form = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
            value
                .as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let query = parts.uri.query().unwrap_or_default();
        let has_action = query.split('&').any(|pair| pair.starts_with("Action="));
        match (parts.uri.path(), &parts.method) {
            ("/", &Method::POST) if parts.headers.contains_key("x-amz-target") => Self::Json11,
            ("/", &Method::POST) if is_form => Self::QueryXml,
            ("/", &Method::GET) if has_action => Self::QueryXml,
            _ => Self::RestJson,
        }
    }

    pub(super) fn error(self, error: &ApiError, id: RequestId) -> HttpResponse {
        match self {
            Self::RestJson => rest_json(error),
            Self::Json11 => json_11(error),
            Self::QueryXml => query_xml(error, id),
        }
    }
}

fn rest_json(error: &ApiError) -> HttpResponse {
    let is_server = error.status.is_server_error();
    let has_type = !matches!(
        error.code,
        "ValidationException" | "AccessDeniedException" | "RequestEntityTooLargeException"
    );
    let mut body = json!({});
    if has_type {
        body["Type"] = json!(if is_server { "Service" } else { "User" });
    }
    // Clients take either spelling of the member; Lambda uses the capital one for these.
    let is_capital = matches!(
        error.code,
        "ResourceNotFoundException" | "ServiceException" | "AccessDeniedException"
    );
    if let Some(members) = body.as_object_mut() {
        let name = if is_capital { "Message" } else { "message" };
        members.insert(name.to_owned(), json!(error.message));
        if let Some(reason) = error.reason {
            members.insert("Reason".to_owned(), json!(reason));
        }
    }
    let mut response = json_response(error.status, body.to_string());
    let code = HeaderValue::from_static(error.code);
    response.headers_mut().insert(ERROR_TYPE, code);
    response
}

fn json_11(error: &ApiError) -> HttpResponse {
    // Throttling keeps its status: it says "not now", whoever reads it.
    let status = match error.status {
        status if status.is_server_error() => status,
        StatusCode::TOO_MANY_REQUESTS => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    };
    let code = match error.code {
        "InvalidRequestContentException" => "SerializationException",
        code => code,
    };
    let body = json!({ "__type": code, "message": error.message });
    let mut response = json_response(status, body.to_string());
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ERROR_TYPE, HeaderValue::from_static(code));
    response
}

fn query_xml(error: &ApiError, id: RequestId) -> HttpResponse {
    let (status, code) = query_code(error.status, error.code);
    let is_server = status.is_server_error();
    let body = format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>{}</Type><Code>{code}</Code><Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
        if is_server { "Receiver" } else { "Sender" },
        escaped(&error.message),
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Status and code of IAM and STS for a code of Lambda.
fn query_code(status: StatusCode, code: &'static str) -> (StatusCode, &'static str) {
    match code {
        "MissingAuthenticationTokenException" => (status, "MissingAuthenticationToken"),
        "IncompleteSignatureException" => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
        "UnrecognizedClientException" => (status, "InvalidClientTokenId"),
        "InvalidSignatureException" => (status, "SignatureDoesNotMatch"),
        "ThrottlingException" => (status, "Throttling"),
        "ServiceException" => (status, "ServiceFailure"),
        code => (status, code.strip_suffix("Exception").unwrap_or(code)),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::auth::sigv4::AuthError;

    fn id() -> RequestId {
        RequestId::new(0, [0; 10])
    }

    fn text(response: HttpResponse) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let body = runtime.unwrap().block_on(response.into_body().collect());
        String::from_utf8(body.unwrap().to_bytes().into()).unwrap()
    }

    #[test]
    fn the_type_is_in_the_header_and_the_spelling_is_that_of_lambda() {
        let response =
            ApiError::not_found("Function not found: x").response(Protocol::RestJson, id());
        assert_eq!(response.headers()[ERROR_TYPE], "ResourceNotFoundException");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let throttled = ApiError::throttled("ConcurrentInvocationLimitExceeded");
        let throttled = throttled.response(Protocol::RestJson, id());
        assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
        let denied = ApiError::denied("no").response(Protocol::RestJson, id());
        assert_eq!(text(denied), r#"{"Message":"no"}"#);
    }

    #[test]
    fn each_protocol_has_its_own_status_and_code_for_the_same_failure() {
        let wrong = || AuthError::Invalid("x".to_owned());
        for (error, rest, json, xml) in [
            (
                AuthError::Missing,
                (403, "MissingAuthenticationTokenException"),
                (400, "MissingAuthenticationTokenException"),
                (403, "MissingAuthenticationToken"),
            ),
            (
                AuthError::Malformed("x".to_owned()),
                (403, "IncompleteSignatureException"),
                (400, "IncompleteSignatureException"),
                (400, "IncompleteSignature"),
            ),
            (
                AuthError::UnknownKey,
                (403, "UnrecognizedClientException"),
                (400, "UnrecognizedClientException"),
                (403, "InvalidClientTokenId"),
            ),
            (
                AuthError::Mismatch,
                (403, "InvalidSignatureException"),
                (400, "InvalidSignatureException"),
                (403, "SignatureDoesNotMatch"),
            ),
            (
                wrong(),
                (403, "InvalidSignatureException"),
                (400, "InvalidSignatureException"),
                (403, "SignatureDoesNotMatch"),
            ),
            (
                AuthError::Throttled,
                (429, "ThrottlingException"),
                (429, "ThrottlingException"),
                (429, "Throttling"),
            ),
        ] {
            let answer = |protocol| ApiError::from(error.clone()).response(protocol, id());
            let said = answer(Protocol::RestJson);
            assert_eq!(said.status(), rest.0);
            assert_eq!(said.headers()[ERROR_TYPE], rest.1);
            let said = answer(Protocol::Json11);
            assert_eq!(said.status(), json.0);
            let body: serde_json::Value = serde_json::from_str(&text(said)).unwrap();
            assert_eq!(body["__type"], json.1);
            let said = answer(Protocol::QueryXml);
            assert_eq!(said.status(), xml.0);
            let body = text(said);
            assert!(body.contains(&format!("<Code>{}</Code>", xml.1)), "{body}");
        }
        let denied = ApiError::denied("a < b & \u{1}c").response(Protocol::QueryXml, id());
        let body = text(denied);
        assert!(
            body.contains("<Code>AccessDenied</Code><Message>a &lt; b &amp; c</Message>"),
            "{body}"
        );
    }

    #[test]
    fn the_head_tells_which_protocol_is_read() {
        let of = |request: http::request::Builder| {
            Protocol::of(&request.body(()).unwrap().into_parts().0)
        };
        let post = || Request::post("/");
        assert_eq!(
            of(post().header("x-amz-target", "Logs_20140328.X")),
            Protocol::Json11
        );
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(of(post().header("content-type", form)), Protocol::QueryXml);
        assert_eq!(of(post()), Protocol::RestJson);
        assert_eq!(
            of(Request::post("/2015-03-31/functions").header("content-type", form)),
            Protocol::RestJson
        );
    }
}
