//! Errors of the control API, in the form that AWS clients read: the type in a header, type and
//! message in the body.

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::auth::Denied;
use crate::http::body::BodyError;
use crate::http::error::{HttpResponse, RETRY_AFTER_SECONDS, json_response, may_be_tried_again};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error answer.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    reason: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            reason: None,
        }
    }

    pub(super) fn denied(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            message,
        )
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub(super) fn unknown_operation(method: &Method, path: &str) -> Self {
        let message = format!("there is no operation {method} {path}");
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
    }

    /// 405: the path is known, the method is not the one it takes.
    pub(super) fn wrong_method(path: &str, expected: &Method, method: &Method) -> Self {
        let message = format!("{path} takes {expected}, not {method}");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowedException",
            message,
        )
    }

    /// 429 with the reason that clients branch on.
    pub(super) fn throttled(reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                "Rate Exceeded.",
            )
        }
    }

    /// Our own failure. The cause goes to our log, never to a caller.
    pub(super) fn service(status: StatusCode) -> Self {
        Self::new(
            status,
            "ServiceException",
            "An error occurred and the request cannot be processed.",
        )
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The error's name, such as `AccessDeniedException`.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// As services with awsJson 1.1 say it: name and message in the body.
    pub(super) fn response_json11(&self) -> HttpResponse {
        let body = json!({ "__type": self.code, "message": self.message });
        let mut response = json_response(self.status, body.to_string());
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
        headers.insert(http::header::CONTENT_TYPE, content_type);
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.code));
        if may_be_tried_again(self.status) {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }

    pub(super) fn response(&self) -> HttpResponse {
        let is_server = self.status.is_server_error();
        let mut body = json!({
            "Type": if is_server { "Service" } else { "User" },
            "message": self.message,
        });
        // Clients take either spelling; Lambda uses the capital one for these two.
        if let Some(members) = body.as_object_mut() {
            if matches!(self.code, "ResourceNotFoundException" | "ServiceException") {
                members.remove("message");
                members.insert("Message".to_owned(), json!(self.message));
            }
            if let Some(reason) = self.reason {
                members.insert("Reason".to_owned(), json!(reason));
            }
        }
        let mut response = json_response(self.status, body.to_string());
        let headers = response.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.code));
        if may_be_tried_again(self.status) {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::denied(&denied.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge => "RequestEntityTooLargeException",
            BodyError::TooSlow => "RequestTimeoutException",
            BodyError::Broken => "InvalidRequestContentException",
            BodyError::NoRoom => "ServiceException",
        };
        Self::new(error.status(), code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_in_the_header_and_the_spelling_is_that_of_lambda() {
        let response = ApiError::not_found("Function not found: x").response();
        assert_eq!(response.headers()[ERROR_TYPE], "ResourceNotFoundException");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let throttled = ApiError::throttled("ConcurrentInvocationLimitExceeded").response();
        assert_eq!(throttled.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
