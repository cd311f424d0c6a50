//! Accepts connections, plain or TLS, and serves HTTP/1 on them until the process drains.
//!
//! Every phase of a connection has a bound: the handshake in time, headers in bytes and time (the wait for the next request
//! of a kept-alive connection counts), the wait for a reader, the number of connections. Knows
//! nothing of what is asked.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::io::{Connection, Writes};
use super::stream::Stream;
use super::tls::Tls;

/// Most headers of a request; more are answered with 431.
const HEADERS_MAX: usize = 100;

/// Most bytes that are read ahead of a request, which bounds the head of one; more are answered with
/// 431.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long to wait after `accept` failed, for example because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Makes a thread ready to answer, whatever its clock says later. To be called once on each.
///
/// hyper keeps the date of answers for each thread; it can't make the first one while the clock is before
/// 1970, and does not need another one then.
pub(crate) fn prepare_thread() {
    let service = service_fn(|_: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let nobody = TokioIo::new(tokio::io::empty());
    let mut connection = pin!(http1::Builder::new().serve_connection(nobody, service));
    let mut context = Context::from_waker(Waker::noop());
    // No request comes, so it is over at once.
    let _over = connection.as_mut().poll(&mut context);
}

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// From the start of a connection to the end of its TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// From the start of a wait for a request to the end of its headers.
    pub(crate) header_timeout: Duration,
    /// Between two writes that a peer takes.
    pub(crate) write_idle: Duration,
    /// At once.
    pub(crate) connections_max: u32,
    /// At once, from one address.
    pub(crate) per_ip_max: Option<u32>,
}

/// Tells listeners and connections to finish, and knows when they have.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    draining: watch::Receiver<bool>,
    /// Dropped by each task when it ends.
    _alive: tokio::sync::mpsc::Sender<Infallible>,
}

/// The other end of a [`Drain`].
#[derive(Debug)]
pub(crate) struct DrainControl {
    start: watch::Sender<bool>,
    ended: tokio::sync::mpsc::Receiver<Infallible>,
}

/// A drain that has not started.
pub(crate) fn drain() -> (DrainControl, Drain) {
    let (start, draining) = watch::channel(false);
    let (alive, ended) = tokio::sync::mpsc::channel(1);
    (
        DrainControl { start, ended },
        Drain {
            draining,
            _alive: alive,
        },
    )
}

impl DrainControl {
    /// Starts the drain and waits until everything that holds the [`Drain`] has ended.
    pub(crate) async fn finish(mut self) {
        self.start.send_replace(true);
        while self.ended.recv().await.is_some() {}
    }
}

impl Drain {
    /// Completes when the drain starts.
    async fn started(&mut self) {
        // An error means that the control is gone, which is as good as a drain.
        drop(self.draining.wait_for(|draining| *draining).await);
    }
}

/// Who a request came from and where it arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) local_port: u16,
    /// Whether it came through TLS.
    pub(crate) is_secure: bool,
}

/// Answers requests.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// What its answers are made of.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static;

    /// Answers one. Dropped when the client leaves.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Serves until the drain starts; connections end by themselves then. With `tls`, all of them are TLS.
pub(crate) async fn serve(
    (listener, tls): (TcpListener, Option<Arc<Tls>>),
    limits: ConnectionLimits,
    mut drain: Drain,
    service: impl Service,
) {
    let counts = Arc::new(Counts::default());
    let writes = Writes::default();
    let stop = drain.clone();
    let mut stopping = pin!(drain.started());
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Some(slot) = counts.take(remote.ip(), &limits) else {
            // Closed at once: nothing is owed to a peer that may open thousands.
            continue;
        };
        // Without it the last segment of an answer waits for an acknowledgement. A failure means that
        // the peer is gone already.
        drop(stream.set_nodelay(true));
        let peer = Peer {
            remote,
            local_port: stream.local_addr().map_or(0, |address| address.port()),
            is_secure: tls.is_some(),
        };
        let parts = (stop.clone(), slot, writes.clone());
        let service = service.clone();
        match &tls {
            None => {
                let stream = Stream::Plain(stream);
                tokio::spawn(connection(stream, peer, limits, parts, service));
            }
            Some(tls) => {
                let tls = Arc::clone(tls);
                tokio::spawn(secure_connection(
                    (stream, tls),
                    peer,
                    limits,
                    parts,
                    service,
                ));
            }
        }
    }
}

async fn pause_after(error: &io::Error) {
    let one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !one_connection {
        tracing::warn!(%error, "accepting connections pauses");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Shakes hands, then serves. A peer that says nothing, or nothing of use, is cut.
async fn secure_connection(
    (stream, tls): (TcpStream, Arc<Tls>),
    peer: Peer,
    limits: ConnectionLimits,
    mut parts: (Drain, Slot, Writes),
    service: impl Service,
) {
    let handshake = tokio::time::timeout(limits.handshake_timeout, tls.acceptor().accept(stream));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = parts.0.started() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let stream = Stream::Tls(Box::new(stream));
            connection(stream, peer, limits, parts, service).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn connection(
    stream: Stream,
    peer: Peer,
    limits: ConnectionLimits,
    (mut drain, _slot, writes): (Drain, Slot, Writes),
    service: impl Service,
) {
    let io = TokioIo::new(Connection::new(stream, limits.write_idle, writes));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false)
        .serve_connection(
            io,
            service_fn(|request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
            }),
        );
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = drain.started() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How many connections there are.
#[derive(Debug, Default)]
struct Counts {
    all: std::sync::atomic::AtomicU32,
    by_ip: DashMap<IpAddr, u32>,
}

/// A counted connection.
struct Slot {
    counts: Arc<Counts>,
    ip: Option<IpAddr>,
}

impl Counts {
    fn take(self: &Arc<Self>, ip: IpAddr, limits: &ConnectionLimits) -> Option<Slot> {
        use std::sync::atomic::Ordering::Relaxed;

        if self.all.fetch_add(1, Relaxed) >= limits.connections_max {
            self.all.fetch_sub(1, Relaxed);
            return None;
        }
        let mut slot = Slot {
            counts: Arc::clone(self),
            ip: None,
        };
        if let Some(per_ip_max) = limits.per_ip_max {
            let mut count = self.by_ip.entry(ip).or_insert(0);
            if *count >= per_ip_max {
                return None;
            }
            *count += 1;
            slot.ip = Some(ip);
        }
        Some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counts
            .all
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(ip) = self.ip {
            if let Some(mut count) = self.counts.by_ip.get_mut(&ip) {
                *count -= 1;
            }
            self.counts.by_ip.remove_if(&ip, |_, count| *count == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_for_each_address() {
        let limits = ConnectionLimits {
            handshake_timeout: Duration::ZERO,
            header_timeout: Duration::ZERO,
            write_idle: Duration::ZERO,
            connections_max: 2,
            per_ip_max: Some(1),
        };
        let counts = Arc::new(Counts::default());
        let (a, b, c) = (
            [10, 0, 0, 1].into(),
            [10, 0, 0, 2].into(),
            [10, 0, 0, 3].into(),
        );
        let first = counts.take(a, &limits).unwrap();
        assert!(counts.take(a, &limits).is_none());
        let _second = counts.take(b, &limits).unwrap();
        assert!(counts.take(c, &limits).is_none());
        drop(first);
        let _third = counts.take(c, &limits).unwrap();
        assert_eq!(counts.by_ip.len(), 2);
    }
}
