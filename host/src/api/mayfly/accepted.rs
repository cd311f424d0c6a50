//! What the queue says no to, as errors of the control API.

use http::StatusCode;
use storage::QueueError;

use super::super::error::ApiError;
use crate::faults::chain;
use crate::trigger::queue::accept::AcceptError;

/// The error of events that were not taken in.
pub(super) fn accept_error(error: &AcceptError) -> ApiError {
    match error {
        AcceptError::TooLarge { .. } => ApiError::too_large(error.to_string()),
        AcceptError::Queue(error) => queue_error(error),
    }
}

/// The error of a change that the queue did not make.
pub(super) fn queue_error(error: &QueueError) -> ApiError {
    match error {
        QueueError::Quota { .. } => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            error.to_string(),
        ),
        QueueError::Busy | QueueError::Full { .. } | QueueError::Closed => {
            ApiError::service(StatusCode::SERVICE_UNAVAILABLE)
        }
        QueueError::Failed { .. } => {
            tracing::error!("the queue took no change: {}", chain(error));
            ApiError::service(StatusCode::SERVICE_UNAVAILABLE)
        }
        QueueError::Duplicate { .. } | QueueError::NotRunning { .. } | QueueError::Storage(_) => {
            tracing::error!("the queue made no change: {}", chain(error));
            ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
