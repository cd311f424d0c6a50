//! Reads a request's body, bounded in bytes, in time, and in what all bodies hold together.
//!
//! The server has no timer of its own for bodies: a client that sends a byte now and then would hold
//! a connection for ever, and ten thousand clients that stop half way would hold ten thousand
//! bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::limits::PAYLOAD_BYTES_MAX;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::config::HttpConfig;

/// Bytes of bodies that may be in memory at once, over all requests.
const ROOM_BYTES: u64 = 512 << 20;

/// A body is in memory about twice: as it came, and inside the event.
const COPIES: u64 = 2;

/// Bytes of an unread body that are thrown away so that its client reads the answer.
const DISCARD_BYTES_MAX: usize = 256 << 10;

/// Time for that.
const DISCARD_TIME_MAX: Duration = Duration::from_millis(500);

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

impl BodyLimits {
    /// Those that are configured, and the length that an event may have.
    pub(crate) fn of(http: &HttpConfig) -> Self {
        Self {
            bytes_max: PAYLOAD_BYTES_MAX,
            idle: http.body_idle_timeout,
            total: http.body_timeout,
        }
    }
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
    /// Other bodies hold all the memory there is for them.
    #[error("Service Unavailable")]
    NoRoom,
}

impl BodyError {
    /// The status to answer with.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Memory for bodies, shared by all requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room(Arc<AtomicU64>);

/// Part of the room; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    bytes: u64,
}

impl Room {
    /// No part of it yet.
    fn none(&self) -> Taken {
        Taken {
            room: self.clone(),
            bytes: 0,
        }
    }
}

impl Taken {
    /// Takes room for `bytes` more bytes of body.
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let more = COPIES * bytes as u64;
        let before = self.room.0.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before + more > ROOM_BYTES {
            Err(BodyError::NoRoom)
        } else {
            Ok(())
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Reads all of `body`; the room it takes must be held as long as the body or its event.
///
/// A body that is said to be too long is refused before a byte of it is read, so a client that
/// waits for `100 Continue` never sends it.
pub(crate) async fn read_body(
    body: &mut Incoming,
    limits: BodyLimits,
    room: &Room,
) -> Result<(Bytes, Taken), BodyError> {
    let mut taken = room.none();
    if body.is_end_stream() {
        return Ok((Bytes::new(), taken));
    }
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let all = async {
        let mut whole = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(data) = next_piece(body, limits.idle).await? {
            if whole.len() + joined.len() + data.len() > limits.bytes_max {
                return Err(BodyError::TooLarge);
            }
            taken.grow(data.len())?;
            if whole.is_empty() && joined.is_empty() {
                whole = data;
                continue;
            }
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&data);
        }
        Ok(if joined.is_empty() {
            whole
        } else {
            joined.freeze()
        })
    };
    let whole = timeout(limits.total, all)
        .await
        .unwrap_or(Err(BodyError::TooSlow))?;
    Ok((whole, taken))
}

/// The next piece of data; trailers are nobody's, they must not turn into headers.
async fn next_piece(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, BodyError> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match timeout(idle, body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Throws away what is left of a body that was refused, within bounds; whether it ended.
///
/// A client that is still sending reads no answer; and what is left must not be read as the next
/// request.
pub(crate) async fn discard(body: &mut Incoming) -> bool {
    let all = async {
        let mut bytes = 0;
        while let Ok(Some(data)) = next_piece(body, DISCARD_TIME_MAX).await {
            bytes += data.len();
            if bytes > DISCARD_BYTES_MAX {
                break;
            }
        }
    };
    drop(timeout(DISCARD_TIME_MAX, all).await);
    body.is_end_stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_dropped_is_there_again() {
        let room = Room::default();
        let mut large = room.none();
        large.grow(200 << 20).unwrap();
        let mut next = room.none();
        assert_eq!(next.grow(100 << 20), Err(BodyError::NoRoom));
        drop(large);
        drop(next);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        room.none().grow(256 << 20).unwrap();
    }
}
