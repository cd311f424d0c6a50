//! A connection that is cut when its peer does not take what is sent to it, and that sends in turn with
//! the others.
//!
//! The server bounds how long it waits for a request, not how long for a reader.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::stream::Stream;

/// Writes that a connection makes at once after one was put off for nothing.
const AT_ONCE: u8 = 16;

/// The writes of a listener's connections that are put off, so that one can tell whether others have a
/// turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Writes(Arc<WriteCounts>);

#[derive(Debug, Default)]
struct WriteCounts {
    /// Put off so far.
    all: AtomicU64,
    /// Put off now.
    waiting: AtomicU32,
}

/// A stream whose writes fail after waiting for the peer for too long.
///
/// A write is put off until every connection that is ready on this thread had its turn. So a busy
/// thread first runs many events and then sends many answers: its peer is woken once for all of them,
/// and neither the kernel's code nor ours falls out of the caches in between. Where there is nobody to
/// wait for, a write is made at once.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    write_idle: Duration,
    /// Running while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    writes: Writes,
    /// A write that was put off and is due, if there is one.
    put_off: Option<PutOff>,
    /// Writes that are not put off.
    at_once: u8,
}

/// A write that is put off.
#[derive(Debug)]
struct PutOff {
    writes: Writes,
    /// How many were put off up to this one.
    number: u64,
    /// Others were waiting then.
    has_others: bool,
}

impl PutOff {
    fn new(writes: &Writes) -> Self {
        let counts = &writes.0;
        Self {
            number: counts.all.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            has_others: counts.waiting.fetch_add(1, Ordering::Relaxed) > 0,
            writes: writes.clone(),
        }
    }

    /// Whether others had a turn meanwhile.
    fn was_of_use(&self) -> bool {
        self.has_others || self.writes.0.all.load(Ordering::Relaxed) != self.number
    }
}

impl Drop for PutOff {
    fn drop(&mut self) {
        self.writes.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(stream: Stream, write_idle: Duration, writes: Writes) -> Self {
        Self {
            stream,
            write_idle,
            waiting: None,
            writes,
            put_off: None,
            at_once: 0,
        }
    }

    /// Puts a write off; false when it is due.
    fn is_put_off(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(put_off) = self.put_off.take() {
            if !put_off.was_of_use() {
                self.at_once = AT_ONCE;
            }
            return false;
        }
        if let Some(left) = self.at_once.checked_sub(1) {
            self.at_once = left;
            return false;
        }
        self.put_off = Some(PutOff::new(&self.writes));
        // The runtime wakes who yields after it has gone through what is ready.
        pin!(tokio::task::yield_now()).poll(context).is_pending()
    }

    fn bounded<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let timer = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(self.write_idle)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_put_off(context) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_put_off(context) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn connection(writes: &Writes) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, peer) = tokio::join!(listener.accept(), peer);
        let idle = Duration::from_secs(60);
        let stream = Stream::Plain(accepted.unwrap().0);
        let connection = Connection::new(stream, idle, writes.clone());
        (connection, peer.unwrap())
    }

    /// Whether a write is made when it is asked for; if not, it is made by the next poll.
    async fn is_at_once(connection: &mut Connection) -> bool {
        let mut polls = 0;
        let written = poll_fn(|context| {
            polls += 1;
            Pin::new(&mut *connection).poll_write(context, b"x")
        });
        assert_eq!(written.await.unwrap(), 1);
        polls == 1
    }

    #[tokio::test]
    async fn a_write_waits_for_others_only_where_there_are_others() {
        let writes = Writes::default();
        let (mut first, _peer) = connection(&writes).await;
        let (mut second, _other_peer) = connection(&writes).await;
        assert_eq!(writes.0.waiting.load(Ordering::Relaxed), 0);
        assert!(!is_at_once(&mut first).await);
        for _ in 0..AT_ONCE {
            assert!(is_at_once(&mut first).await);
        }
        // Both are ready now: each lets the other go first, and it was of use.
        for _ in 0..3 {
            let both = tokio::join!(is_at_once(&mut first), is_at_once(&mut second));
            assert_eq!(both, (false, false));
        }
        assert_eq!(writes.0.waiting.load(Ordering::Relaxed), 0);
    }
}
