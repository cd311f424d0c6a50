//! Reads a request's body, bounded in bytes and in time.
//!
//! The server has no timer of its own for bodies: a client that sends a byte now and then would hold
//! a connection for ever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

/// Bounds on a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes.
    pub(crate) bytes_max: usize,
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// For all of it.
    pub(crate) total: Duration,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// Longer than allowed, or said to be.
    #[error("Request Entity Too Large")]
    TooLarge,
    /// Slower than allowed.
    #[error("Request Timeout")]
    TooSlow,
    /// Cut off or badly framed.
    #[error("Bad Request")]
    Broken,
}

impl BodyError {
    /// The status to answer with.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads all of `body`. A body that is said to be too long is refused before a byte of it is read,
/// so a client that waits for `100 Continue` never sends it.
pub(crate) async fn read_body(mut body: Incoming, limits: BodyLimits) -> Result<Bytes, BodyError> {
    let said = body.size_hint().lower();
    if said > limits.bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let all = async {
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        loop {
            let frame = match timeout(limits.idle, body.frame()).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are nobody's: they must not turn into headers.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len();
            if so_far + data.len() > limits.bytes_max {
                return Err(BodyError::TooLarge);
            }
            match &first {
                None => first = Some(data),
                Some(head) => {
                    if rest.is_empty() {
                        rest.extend_from_slice(head);
                        first = Some(Bytes::new());
                    }
                    rest.extend_from_slice(&data);
                }
            }
            if body.is_end_stream() {
                break;
            }
        }
        Ok(if rest.is_empty() {
            first.unwrap_or_default()
        } else {
            rest.freeze()
        })
    };
    timeout(limits.total, all)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}
