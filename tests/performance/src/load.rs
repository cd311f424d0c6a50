//! The load generator: one thread, raw TCP, epoll.
//!
//! It sends the same request on each of its connections, checks every answer, and measures. Two ways:
//! [`Load::closed`] sends the next request as soon as an answer is there, which shows throughput;
//! [`Load::paced`] sends at a fixed rate whatever the server does, which shows latency. It is light,
//! so that it keeps up with a server that does nothing but answer; it says how busy it was.
//!
//! Knows nothing of what it talks to.

pub(crate) mod answer;

mod arrivals;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, Timespec};

use self::answer::Expected;
use self::arrivals::{Alarm, Arrivals};

/// How long an answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer, head and body.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// Latencies up to a minute, to three significant digits (in ns).
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Marks the event of the alarm; connections are numbered from 0.
const ALARM: u64 = u64::MAX;

/// A request and its only right answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Every byte of the request, head and body.
    pub(crate) request: Vec<u8>,
    /// What is to come back.
    pub(crate) expected: Expected,
}

impl Exchange {
    /// A POST of JSON; `answer` is the body of the only right answer, which has status 200.
    pub(crate) fn post(path: &str, json: &str, answer: &str) -> Self {
        let length = json.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{json}"
        );
        Self {
            request: request.into_bytes(),
            expected: Expected {
                status: 200,
                body: Some(answer.as_bytes().to_vec()),
            },
        }
    }
}

/// What one phase of load measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Requests that were sent and answered rightly. There are no others: a wrong answer is an
    /// error.
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// In ns, for each request: from when it was sent ([`Load::closed`]) or was due
    /// ([`Load::paced`]).
    pub(crate) latency_ns: Histogram<u64>,
    /// CPU time of the load generator.
    pub(crate) busy: Duration,
}

impl Measured {
    /// Requests per second.
    pub(crate) fn throughput(&self) -> f64 {
        count(self.requests) / self.elapsed.as_secs_f64()
    }

    /// The part of the time that the load generator was busy, 0 to 1.
    pub(crate) fn busy_part(&self) -> f64 {
        self.busy.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The latency that `quantile` (0 to 1) of the requests stayed within.
    pub(crate) fn latency(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency_ns.value_at_quantile(quantile))
    }
}

/// A count as a number that can be divided; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

/// Open connections to one server.
pub(crate) struct Load {
    exchange: Exchange,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Load {
    /// Opens `connections` connections, which are kept for all phases.
    ///
    /// # Errors
    ///
    /// When the server does not take them.
    pub(crate) fn connect(
        address: SocketAddr,
        connections: usize,
        exchange: Exchange,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut opened = Vec::with_capacity(connections);
        for number in 0..connections {
            let connection = Connection::open(address)?;
            let data = EventData::new_u64(u64::try_from(number)?);
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &connection.stream, data, flags)?;
            opened.push(connection);
        }
        Ok(Self {
            exchange,
            connections: opened,
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Sends on every connection as soon as the answer before is there, for `duration`.
    ///
    /// # Errors
    ///
    /// A wrong answer, a connection that the server closed, a server that does not answer.
    pub(crate) fn closed(&mut self, duration: Duration) -> anyhow::Result<Measured> {
        let mut meter = Meter::start()?;
        let end = meter.start + duration;
        for connection in &mut self.connections {
            connection.send(&self.exchange.request, Instant::now())?;
        }
        let mut outstanding = self.connections.len();
        while outstanding > 0 {
            self.wait(None)?;
            for event in &self.events {
                let connection = connection(&mut self.connections, event.data.u64())?;
                if !connection.receive(&self.exchange.expected)? {
                    continue;
                }
                let now = Instant::now();
                meter.answered(connection.since, now)?;
                if now < end {
                    connection.send(&self.exchange.request, now)?;
                } else {
                    outstanding -= 1;
                }
            }
        }
        Ok(meter.stop())
    }

    /// Sends `rate` requests a second for `duration`, at moments that do not depend on the answers.
    ///
    /// Gaps are random (exponential, always the same sequence). A request that is due while every
    /// connection waits is sent late, and the wait counts: nothing is omitted.
    ///
    /// # Errors
    ///
    /// As those of [`Load::closed`].
    pub(crate) fn paced(&mut self, duration: Duration, rate: f64) -> anyhow::Result<Measured> {
        let alarm = Alarm::new()?;
        let data = EventData::new_u64(ALARM);
        epoll::add(&self.epoll, &alarm, data, EventFlags::IN)?;
        let measured = self.paced_by(&alarm, duration, rate);
        epoll::delete(&self.epoll, &alarm)?;
        measured
    }

    fn paced_by(
        &mut self,
        alarm: &Alarm,
        duration: Duration,
        rate: f64,
    ) -> anyhow::Result<Measured> {
        let mut meter = Meter::start()?;
        let mut arrivals = Arrivals::new(meter.start, duration, rate);
        let mut due: VecDeque<Instant> = VecDeque::new();
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        loop {
            let now = Instant::now();
            while let Some(arrival) = arrivals.next_if_due(now) {
                due.push_back(arrival);
            }
            while !due.is_empty()
                && let Some(number) = idle.pop_front()
                && let Some(arrival) = due.pop_front()
            {
                self.connections[number].send(&self.exchange.request, arrival)?;
            }
            let all_idle = idle.len() == self.connections.len();
            match arrivals.next() {
                Some(next) => alarm.set(next.saturating_duration_since(Instant::now()))?,
                None if all_idle => return Ok(meter.stop()),
                None => {}
            }
            self.wait(all_idle.then_some(alarm))?;
            for event in &self.events {
                let number = event.data.u64();
                if number == ALARM {
                    alarm.clear()?;
                    continue;
                }
                let connection = connection(&mut self.connections, number)?;
                if connection.receive(&self.exchange.expected)? {
                    meter.answered(connection.since, Instant::now())?;
                    idle.push_back(usize::try_from(number)?);
                }
            }
        }
    }

    /// Waits for events; `alarm` is what will end the wait if no answer is outstanding.
    fn wait(&mut self, alarm: Option<&Alarm>) -> anyhow::Result<()> {
        let patience = Timespec::try_from(PATIENCE)?;
        self.events.clear();
        loop {
            let buffer = rustix::buffer::spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, buffer, Some(&patience)) {
                Ok(0) if alarm.is_none() => bail!("no answer in {} s", PATIENCE.as_secs()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("waiting for answers failed"),
            }
        }
    }
}

fn connection(connections: &mut [Connection], number: u64) -> anyhow::Result<&mut Connection> {
    connections
        .get_mut(usize::try_from(number)?)
        .context("an event of no connection")
}

/// One connection, with at most one request under way.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// When the request under way was sent, or was due.
    since: Instant,
    buffer: Box<[u8]>,
    filled: usize,
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("connecting to {address} failed"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            since: Instant::now(),
            buffer: vec![0; ANSWER_BYTES_MAX].into_boxed_slice(),
            filled: 0,
        })
    }

    fn send(&mut self, request: &[u8], since: Instant) -> anyhow::Result<()> {
        self.since = since;
        let sent = (&self.stream).write(request).context("sending failed")?;
        if sent != request.len() {
            bail!("the server reads too slowly: {sent} bytes of a request were taken");
        }
        Ok(())
    }

    /// Reads what is there; true when the answer is complete.
    fn receive(&mut self, expected: &Expected) -> anyhow::Result<bool> {
        loop {
            let free = &mut self.buffer[self.filled..];
            if free.is_empty() {
                bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            }
            let room = free.len();
            match (&self.stream).read(free) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(length) => {
                    self.filled += length;
                    match answer::read(&self.buffer[..self.filled], expected)? {
                        answer::Read::Right(length) if length == self.filled => {
                            self.filled = 0;
                            return Ok(true);
                        }
                        answer::Read::Right(_) => bail!("more than one answer to a request"),
                        // A read that filled less than it might has emptied the socket; the next
                        // bytes make an event of their own.
                        answer::Read::Partial if length < room => return Ok(false),
                        answer::Read::Partial => {}
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading an answer failed"),
            }
        }
    }
}

/// Measures one phase.
struct Meter {
    start: Instant,
    last: Instant,
    busy_before: Duration,
    latency_ns: Histogram<u64>,
}

impl Meter {
    fn start() -> anyhow::Result<Self> {
        let start = Instant::now();
        Ok(Self {
            start,
            last: start,
            busy_before: thread_cpu(),
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)?,
        })
    }

    fn answered(&mut self, since: Instant, now: Instant) -> anyhow::Result<()> {
        let latency = now.saturating_duration_since(since).as_nanos();
        self.latency_ns
            .record(u64::try_from(latency)?.clamp(1, LATENCY_NS_MAX))?;
        self.last = now;
        Ok(())
    }

    fn stop(self) -> Measured {
        Measured {
            requests: self.latency_ns.len(),
            elapsed: self.last.saturating_duration_since(self.start),
            busy: thread_cpu().saturating_sub(self.busy_before),
            latency_ns: self.latency_ns,
        }
    }
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The alarm is watched like a connection.
impl AsFd for Alarm {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor()
    }
}

#[cfg(test)]
mod tests;
