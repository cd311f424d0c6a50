//! Reads a request's body, bounded in bytes, in time, and in what all bodies hold together.
//!
//! The server has no timer of its own for bodies: a client that sends a byte now and then would hold
//! a connection for ever, and ten thousand clients that stop half way would hold ten thousand
//! bodies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::limits::PAYLOAD_BYTES_MAX;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::network::Network;
use crate::config::HttpConfig;

/// Bytes of bodies that may be in memory at once, over all requests.
const ROOM_BYTES: u64 = 512 << 20;

/// Part of a room that one network may have, but for bodies that are small.
const SHARE_BYTES: u64 = ROOM_BYTES / 4;

/// Up to here a body is small, in bytes of room. So many connections as a network would need to fill the
/// room with those are a matter of the listener.
const SMALL_BYTES: u64 = 64 << 10;

/// In each stretch of a body's time so many bytes must come, or its end: 1 KiB a second.
const STRETCH_BYTES: usize = 10 << 10;
const STRETCH: Duration = Duration::from_secs(10);

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
    /// For 10 KiB of it.
    pub(crate) stretch: Duration,
    /// For all of it.
    pub(crate) total: Duration,
}

impl BodyLimits {
    /// Those that are configured, and the length that an event may have.
    pub(crate) fn of(http: &HttpConfig) -> Self {
        Self {
            bytes_max: PAYLOAD_BYTES_MAX,
            idle: http.body_idle_timeout,
            stretch: STRETCH,
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
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    /// Taken of [`ROOM_BYTES`].
    bytes: AtomicU64,
    share_max: u64,
    /// Of those whose bodies are not small.
    shares: Mutex<HashMap<Network, u64>>,
}

/// Part of the room; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    source: IpAddr,
    bytes: u64,
    /// What of it counts as the network's share.
    shared: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self::with_share(SHARE_BYTES)
    }
}

impl Room {
    /// A room of which one network may have `share_max` bytes.
    fn with_share(share_max: u64) -> Self {
        Self(Arc::new(Bounds {
            bytes: AtomicU64::new(0),
            share_max,
            shares: Mutex::default(),
        }))
    }

    /// A room for bodies of code: two of the largest fit into a network's share.
    pub(crate) fn for_uploads() -> Self {
        Self::with_share(ROOM_BYTES / 8 * 5)
    }

    /// No part of it yet.
    fn none(&self, source: IpAddr) -> Taken {
        Taken {
            room: self.clone(),
            source,
            bytes: 0,
            shared: 0,
        }
    }
}

impl Taken {
    /// Takes room for `bytes` more bytes of body.
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let more = COPIES * bytes as u64;
        let room = &self.room.0;
        let before = room.bytes.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before + more > ROOM_BYTES {
            return Err(BodyError::NoRoom);
        }
        if self.bytes > SMALL_BYTES {
            let mut shares = room.shares.lock();
            let share = shares.entry(Network::of(self.source)).or_default();
            *share += self.bytes - self.shared;
            self.shared = self.bytes;
            if *share > room.share_max {
                return Err(BodyError::NoRoom);
            }
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let room = &self.room.0;
        if self.bytes > 0 {
            room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        if self.shared > 0 {
            let mut shares = room.shares.lock();
            let network = Network::of(self.source);
            if let Some(share) = shares.get_mut(&network) {
                *share -= self.shared;
                if *share == 0 {
                    shares.remove(&network);
                }
            }
        }
    }
}

/// Reads all of `body` from `source`; the room it takes must be held as long as the body or its event.
///
/// A body that is said to be too long is refused before a byte of it is read, so a client that
/// waits for `100 Continue` never sends it.
pub(crate) async fn read_body<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    limits: BodyLimits,
    room: &Room,
    source: IpAddr,
) -> Result<(Bytes, Taken), BodyError> {
    let mut taken = room.none(source);
    if body.is_end_stream() {
        return Ok((Bytes::new(), taken));
    }
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let all = async {
        let mut read = Read::default();
        loop {
            let stretch = read.stretch(body, limits, &mut taken);
            match timeout(limits.stretch, stretch).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Reached::End)) => return Ok(read.whole()),
                Ok(Ok(Reached::Stretch)) => {}
            }
        }
    };
    let whole = timeout(limits.total, all)
        .await
        .unwrap_or(Err(BodyError::TooSlow))?;
    Ok((whole, taken))
}

/// What was read of a body: in the piece that it came in, or joined when there were several.
#[derive(Default)]
struct Read {
    first: Bytes,
    joined: BytesMut,
}

/// Where reading a stretch came to.
enum Reached {
    Stretch,
    End,
}

impl Read {
    /// Reads [`STRETCH_BYTES`], or up to the end.
    async fn stretch<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut B,
        limits: BodyLimits,
        taken: &mut Taken,
    ) -> Result<Reached, BodyError> {
        let end = self.bytes() + STRETCH_BYTES;
        while self.bytes() < end {
            let Some(data) = next_piece(body, limits.idle).await? else {
                return Ok(Reached::End);
            };
            if self.bytes() + data.len() > limits.bytes_max {
                return Err(BodyError::TooLarge);
            }
            taken.grow(data.len())?;
            if self.bytes() == 0 {
                self.first = data;
                continue;
            }
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
            self.joined.extend_from_slice(&data);
        }
        Ok(Reached::Stretch)
    }

    fn bytes(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn whole(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.freeze()
        }
    }
}

/// The next piece of data; trailers are nobody's, they must not turn into headers.
async fn next_piece<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    idle: Duration,
) -> Result<Option<Bytes>, BodyError> {
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

    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn room_that_is_dropped_is_there_again() {
        let room = Room::with_share(ROOM_BYTES);
        let mut large = room.none(ONE);
        large.grow(200 << 20).unwrap();
        let mut next = room.none(ONE);
        assert_eq!(next.grow(100 << 20), Err(BodyError::NoRoom));
        drop(large);
        drop(next);
        assert_eq!(room.0.bytes.load(Ordering::Relaxed), 0);
        room.none(ONE).grow(256 << 20).unwrap();
    }

    #[test]
    fn one_network_leaves_room_for_others() {
        let room = Room::default();
        let mut bodies = Vec::new();
        loop {
            let mut body = room.none(ONE);
            if body.grow(6 << 20).is_err() {
                break;
            }
            bodies.push(body);
        }
        assert_eq!(bodies.len(), 10, "12 MiB each, of 128");
        let mut small = room.none(ONE);
        small.grow(1 << 10).unwrap();
        let mut other = room.none(OTHER);
        other.grow(6 << 20).unwrap();
        drop((bodies, small, other));
        assert!(room.0.shares.lock().is_empty());
        room.none(ONE).grow(6 << 20).unwrap();
    }

    /// Gives its pieces, and then nothing more, ever.
    struct Stalling(Vec<Bytes>);

    impl Body for Stalling {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_is_given_up_long_before_its_time() {
        let hour = Duration::from_secs(3_600);
        let limits = BodyLimits {
            bytes_max: 1 << 20,
            idle: hour,
            stretch: Duration::ZERO,
            total: hour,
        };
        let room = Room::default();
        let mut stalling = Stalling(vec![Bytes::from(vec![0; STRETCH_BYTES]); 3]);
        let read = read_body(&mut stalling, limits, &room, ONE).await;
        assert_eq!(read.unwrap_err(), BodyError::TooSlow);
        assert!(stalling.0.is_empty(), "what came in time was read");
        let mut whole = http_body_util::Full::new(Bytes::from(vec![7; 3 * STRETCH_BYTES]));
        let (bytes, _taken) = read_body(&mut whole, limits, &room, ONE).await.unwrap();
        assert_eq!(bytes.len(), 3 * STRETCH_BYTES);
    }
}
