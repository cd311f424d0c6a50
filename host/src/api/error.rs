//! Errors of the control API, in the form that AWS clients read. An error has one code, that of Lambda;
//! each protocol spells it in its own way ([`protocol`]).

pub(super) mod protocol;

use domain::RequestId;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use storage::QueueError;

use self::protocol::Protocol;
use super::json::JsonError;
use crate::auth::Refused;
use crate::auth::sigv4::AuthError;
use crate::budgets::BudgetSpent;
use crate::http::body::BodyError;
use crate::http::error::{HttpResponse, RETRY_AFTER_SECONDS, may_be_tried_again};
use crate::trigger::queue::accept::AcceptError;

/// An error answer.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    reason: Option<&'static str>,
    /// Seconds after which to try again, where that is known.
    retry_after_s: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            reason: None,
            retry_after_s: None,
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

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ResourceConflictException", message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            message,
        )
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

    /// 429 because a budget is spent.
    pub(super) fn budget_spent(spent: &BudgetSpent) -> Self {
        Self {
            reason: Some("BudgetExceeded"),
            retry_after_s: Some(spent.retry_after_s),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                spent.to_string(),
            )
        }
    }

    /// 503, and in a few words why: what an operator can do something about, and no internals.
    pub(super) fn unavailable(why: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceException",
            format!("An error occurred and the request cannot be processed: {why}."),
        )
    }

    /// 503 while the server drains.
    pub(super) fn stopping() -> Self {
        Self::unavailable("the server is stopping")
    }

    /// Our own failure. The cause goes to our log, never to a caller.
    pub(super) fn service(status: StatusCode) -> Self {
        Self::new(
            status,
            "ServiceException",
            "An error occurred and the request cannot be processed.",
        )
    }

    /// The error's name, such as `AccessDeniedException`.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn response(&self, protocol: Protocol, id: RequestId) -> HttpResponse {
        let mut response = protocol.error(self, id);
        if may_be_tried_again(self.status) {
            let headers = response.headers_mut();
            let after = self.retry_after_s.map(HeaderValue::from);
            headers.insert(RETRY_AFTER, after.unwrap_or(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = error.code();
        let status = match error {
            AuthError::Throttled => StatusCode::TOO_MANY_REQUESTS,
            AuthError::Missing
            | AuthError::Malformed(_)
            | AuthError::UnknownKey
            | AuthError::Invalid(_)
            | AuthError::Mismatch
            | AuthError::Replayed => StatusCode::FORBIDDEN,
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Denied(_) => Self::denied(&message),
            Refused::Unrecorded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailableException",
                message,
            ),
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        let (code, message) = match error {
            JsonError::Malformed(reason) => (
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {reason}"),
            ),
            JsonError::WrongType(reason) => (
                "SerializationException",
                format!("Could not read the request body: {reason}"),
            ),
        };
        Self::new(StatusCode::BAD_REQUEST, code, message)
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

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        let message = error.to_string();
        match error {
            AcceptError::TooLarge { .. } => Self::too_large(message),
            AcceptError::Queue(QueueError::Quota { .. } | QueueError::DeadLetters { .. }) => {
                Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "TooManyRequestsException",
                    message,
                )
            }
            AcceptError::Queue(error) => {
                // What is short or broken is ours; a caller hears that it may try again.
                tracing::debug!("events were not taken in: {message}");
                Self::unavailable(match error {
                    QueueError::Full { .. } => "little space is left for events",
                    QueueError::Busy => "more events than can be written at once came at once",
                    QueueError::Closed => "the server is stopping",
                    QueueError::Failed { .. } => {
                        "the queue of events failed, and the server's log says why"
                    }
                    QueueError::Quota { .. }
                    | QueueError::DeadLetters { .. }
                    | QueueError::Storage(_)
                    | QueueError::Duplicate { .. }
                    | QueueError::NotRunning { .. } => {
                        "the queue of events could not do it, and the server's log says why"
                    }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_says_why_in_a_few_words_and_tells_no_internals() {
        let secret = || "/srv/secret/queue.db".to_owned();
        for (error, why) in [
            (
                QueueError::Full { reason: secret() },
                "little space is left for events",
            ),
            (
                QueueError::Failed { reason: secret() },
                "the queue of events failed",
            ),
            (QueueError::Closed, "the server is stopping"),
        ] {
            let error = ApiError::from(AcceptError::from(error));
            assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(error.code(), "ServiceException");
            assert!(error.message().contains(why), "{}", error.message());
            assert!(!error.message().contains("secret"), "{}", error.message());
        }
    }
}
