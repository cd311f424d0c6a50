//! Requests and events, sent until somebody says stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{Connection, Request, Signer, Stopwatch, wait};

use crate::journal::{Journal, Kind};

/// Functions that are asked, each as often as it is here. Who kills deploys them under these names.
const FUNCTIONS: [&str; 6] = ["good", "good", "bad", "slow", "good", "late"];

/// Threads for each kind.
const THREADS: u32 = 3;

/// What is being sent.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends `rate` of each kind a second.
    pub(crate) fn start(
        (http, control): (SocketAddr, SocketAddr),
        signer: &Signer,
        rate: u32,
        journal: &Arc<Journal>,
    ) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let mut threads = Vec::new();
        for kind in [Kind::Sync, Kind::Event] {
            for thread in 0..THREADS {
                let sender = Sender {
                    kind,
                    address: if kind == Kind::Event { control } else { http },
                    signer: signer.clone(),
                    pause: Duration::from_secs(1) * THREADS / rate,
                    journal: Arc::clone(journal),
                    stop: Arc::clone(&stop),
                };
                let offset = usize::try_from(thread).unwrap_or(0);
                threads.push(std::thread::spawn(move || sender.send_all(offset)));
            }
        }
        Self { stop, threads }
    }

    /// Waits for the last answer.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

struct Sender {
    kind: Kind,
    address: SocketAddr,
    signer: Signer,
    pause: Duration,
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn send_all(self, offset: usize) {
        let mut connection = None;
        let mut functions = FUNCTIONS.iter().cycle().skip(offset);
        while !self.stop.load(Ordering::Relaxed) {
            let watch = Stopwatch::start();
            if let Some(function) = functions.next() {
                self.send(function, &mut connection);
            }
            if let Some(rest) = self.pause.checked_sub(watch.elapsed()) {
                wait::pass(rest);
            }
        }
    }

    fn send(&self, function: &str, connection: &mut Option<Connection>) {
        let open = connection
            .take()
            .map_or_else(|| Connection::open(self.address), Ok);
        let Ok(open) = open else {
            // Nobody listens: nothing was sent.
            return;
        };
        let number = self.journal.sending(self.kind, function);
        let request = match self.kind {
            Kind::Sync => Request::get(&format!("/{function}")),
            Kind::Event => {
                let path = format!("/2015-03-31/functions/{function}/invocations");
                let event = Request::post(&path, format!("{{\"n\":{number}}}"));
                let event = event.header("x-amz-invocation-type", "Event");
                self.signer.sign(&event, self.address)
            }
        };
        let mut open = open;
        let answer = open.send(&request).ok().map(|response| {
            if response.header("connection") != Some("close") {
                *connection = Some(open);
            }
            let id = response.header("x-amzn-requestid").unwrap_or("").to_owned();
            (response.status, id)
        });
        let sent = (number, self.kind, function);
        self.journal.answered(sent, answer);
    }
}
