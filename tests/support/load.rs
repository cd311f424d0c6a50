//! Many requests at once, while something else happens.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::{Connection, Request, Response};
use crate::wait::{self, Stopwatch, until};

/// One request and what became of it.
#[derive(Debug)]
pub struct Shot {
    /// When it was sent, since the load started.
    pub sent: Duration,
    /// How long its answer took.
    pub took: Duration,
    /// The complete answer, or why there is none.
    pub answer: io::Result<Response>,
}

impl Shot {
    /// The status; 0 when there was no complete answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |response| response.status)
    }
}

/// Requests that are sent over and over from several threads until the load is stopped.
#[derive(Debug)]
pub struct Load {
    started: Stopwatch,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    shots: Arc<Mutex<Vec<Shot>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends the `requests` in turn, from `threads` threads over kept connections, `rate` times a
    /// second altogether, or as fast as it goes.
    #[must_use]
    pub fn start(
        address: SocketAddr,
        requests: &[Request],
        threads: usize,
        rate: Option<u32>,
    ) -> Self {
        let mut load = Self {
            started: Stopwatch::start(),
            stop: Arc::default(),
            answered: Arc::default(),
            shots: Arc::default(),
            threads: Vec::new(),
        };
        let pause =
            rate.map(|rate| Duration::from_secs(1) * u32::try_from(threads).unwrap() / rate);
        let spawn = |_| {
            let (started, stop, answered) = (
                load.started,
                Arc::clone(&load.stop),
                Arc::clone(&load.answered),
            );
            let (shots, requests) = (Arc::clone(&load.shots), requests.to_vec());
            std::thread::spawn(move || {
                let mut connection = None;
                let mut turn = requests.iter().cycle();
                while !stop.load(Ordering::Relaxed) {
                    let sent = started.elapsed();
                    let answer = shoot(address, &mut connection, turn.next().unwrap());
                    if answer.is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        // Nobody listens just now; asking in a tight loop helps nobody.
                        wait::pass(Duration::from_millis(2));
                    }
                    let took = started.elapsed().saturating_sub(sent);
                    shots.lock().unwrap().push(Shot { sent, took, answer });
                    if let Some(rest) = pause.and_then(|pause| pause.checked_sub(took)) {
                        wait::pass(rest);
                    }
                }
            })
        };
        let handles = (0..threads).map(spawn).collect();
        load.threads = handles;
        load
    }

    /// How many complete answers there are so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits for this many more complete answers.
    #[track_caller]
    pub fn wait_answers(&self, more: usize) {
        let target = self.answered() + more;
        until(&format!("{more} more answers"), || {
            (self.answered() >= target).then_some(())
        });
    }

    /// Now, as the times of [`Shot`] are measured.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the load; every request, in the order in which they were answered.
    #[must_use]
    pub fn stop(mut self) -> Vec<Shot> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        std::mem::take(&mut self.shots.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn shoot(
    address: SocketAddr,
    connection: &mut Option<Connection>,
    request: &Request,
) -> io::Result<Response> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(address)?,
    };
    let response = open.send(request)?;
    if response.header("connection") != Some("close") {
        *connection = Some(open);
    }
    Ok(response)
}
