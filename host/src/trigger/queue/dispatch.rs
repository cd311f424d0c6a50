//! The dispatcher: claims events that are due, as many as could run now, and has them run.
//!
//! One task, in rounds. A round takes the queues that are due in turn, gives each its share of the free
//! places, and asks for all claims at once, so that they share a transaction. It wakes when the queue
//! changes, when an attempt ends, and when the next event is due.
//!
//! Invariants:
//! * claims do not outrun permits: what is claimed could be admitted a moment ago;
//! * no queue holds more than half of the places that the others leave, and all deliveries together no more
//!   than a quarter, so what is slow keeps no other waiting for ever;
//! * nothing is claimed before the attempts of the last process are closed, or once a drain has started.
//!
//! Knows nothing of what an attempt does.

mod in_flight;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::FunctionName;
use storage::{Claimed, Done, Event, Operation, QueueError, QueueHealth};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use self::in_flight::InFlight;
use super::accept::perform;
use super::attempt::{self, Starting};
use super::recover;
use crate::app::App;
use crate::concurrency::Candidate;

/// How often to look whether what kept an event from being claimed has passed.
const BLOCKED_LOOK: Duration = Duration::from_millis(20);
/// How often to look when neither queue nor ledger takes changes, or recovery failed.
const FAILED_LOOK: Duration = Duration::from_millis(500);
/// How often to look in any case: a machine that slept has timers that did too.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The dispatcher, from outside.
#[derive(Debug)]
pub(crate) struct Dispatch {
    cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Dispatch {
    /// Starts dispatching on the threads of `runtime`.
    pub(crate) fn start(app: &Arc<App>, runtime: &Handle) -> Self {
        let (cut, is_cut) = watch::channel(false);
        let dispatcher = Dispatcher::new(app, is_cut);
        Self {
            cut,
            task: runtime.spawn(dispatcher.run()),
        }
    }

    /// Completes when a drain has started and every attempt is closed.
    pub(crate) async fn drained(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the dispatcher of events panicked");
        }
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn is_drained(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the attempts that run; their events are given back.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }
}

pub(super) struct Dispatcher {
    app: Arc<App>,
    cut: watch::Receiver<bool>,
    attempts: JoinSet<()>,
    /// Their events.
    under_way: HashMap<Id, Event>,
    /// The places that they hold.
    in_flight: InFlight,
    /// How many of them have no permit yet.
    starting: Arc<AtomicU32>,
    /// The queue that had its turn last.
    last: String,
}

/// What a round was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// There may be more to claim at once.
    More,
    /// Nothing can be claimed for so long, if nothing happens.
    Wait(Duration),
}

impl Dispatcher {
    pub(super) fn new(app: &Arc<App>, cut: watch::Receiver<bool>) -> Self {
        Self {
            app: Arc::clone(app),
            cut,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            in_flight: InFlight::new(app.config.queue.concurrency_max),
            starting: Arc::default(),
            last: String::new(),
        }
    }

    async fn run(mut self) {
        self.prepare().await;
        while !self.app.is_draining() {
            let wait = match self.round().await {
                Round::More => Duration::ZERO,
                Round::Wait(wait) => wait,
            };
            let app = Arc::clone(&self.app);
            if !wait.is_zero() {
                tokio::select! {
                    () = app.queue_changed.notified() => {}
                    Some(ended) = self.attempts.join_next_with_id() => self.ended(ended).await,
                    () = tokio::time::sleep(wait) => {}
                    () = app.drain_started() => {}
                }
            }
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.ended(ended).await;
            }
        }
        self.all_ended().await;
    }

    /// Completes when every attempt that was started is closed.
    pub(super) async fn all_ended(&mut self) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    /// Closes what the last process left, and waits until functions are there.
    async fn prepare(&self) {
        while !self.app.is_draining() {
            match recover::recover(&self.app).await {
                Ok(0) => break,
                Ok(count) => {
                    tracing::warn!(
                        "{count} attempts at events were cut short when the server ended"
                    );
                    break;
                }
                Err(error) => self.app.faults.note(&self.app.clock, &error),
            }
            self.pause(FAILED_LOOK).await;
        }
        while !self.app.is_draining() && !self.app.registry.is_ready() {
            self.pause(BLOCKED_LOOK).await;
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.app.drain_started() => {}
        }
    }

    /// Claims what is due and could run now, and starts it.
    pub(super) async fn round(&mut self) -> Round {
        let writable = self.app.queue.health() == QueueHealth::Writable;
        if !writable || !self.app.ledger.is_writable() {
            return Round::Wait(FAILED_LOOK);
        }
        let (due, next) = self.app.queue.due();
        if due.is_empty() {
            return Round::Wait(next.unwrap_or(LOOK_MAX).min(LOOK_MAX));
        }
        let claims: Vec<_> = self
            .shares(due)
            .into_iter()
            .map(|(queue, at_most)| perform(&self.app, Operation::Claim { queue, at_most }))
            .collect();
        let mut claimed = 0;
        for claim in claims {
            match claim.await {
                Ok(Done::Claimed(events)) => {
                    claimed += events.len();
                    events.into_iter().for_each(|event| self.start(event));
                }
                Ok(Done::Changed(_) | Done::Published(_)) => {}
                Err(error) => self.note(&error),
            }
        }
        if claimed == 0 {
            Round::Wait(BLOCKED_LOOK)
        } else {
            Round::More
        }
    }

    /// How many events of which queue to claim: all that are due get a part of the free places, the
    /// one after the last that had its turn first.
    pub(super) fn shares(&mut self, mut due: Vec<String>) -> Vec<(String, u32)> {
        let next = due.iter().position(|queue| *queue > self.last);
        due.rotate_left(next.unwrap_or(0));
        let places = self.app.config.queue.concurrency_max;
        let mut free = places.saturating_sub(count(self.attempts.len()));
        let share = (free / count(due.len()).max(1)).max(1);
        let mut shares = Vec::new();
        for queue in due {
            let at_most = self.free(&queue).min(share).min(free);
            if at_most == 0 {
                continue;
            }
            free -= at_most;
            // As if all of them were there, until the round knows.
            self.in_flight.add(&queue, at_most);
            self.last.clone_from(&queue);
            shares.push((queue, at_most));
        }
        for (queue, at_most) in &shares {
            self.in_flight.remove(queue, *at_most);
        }
        shares
    }

    /// How many more of a queue's events could run now.
    fn free(&self, queue: &str) -> u32 {
        let of_queue = self.in_flight.free(queue);
        // What is no name of a function is a destination.
        let Ok(name) = FunctionName::parse(queue) else {
            return of_queue;
        };
        let Some(function) = self.app.registry.function(&name) else {
            return of_queue;
        };
        let version = &function.latest;
        if version.running.is_forbidden() {
            return of_queue;
        }
        let memory = version.configuration.limits.memory;
        let candidate = Candidate {
            function: &name,
            running: &version.running,
            memory_bytes: version.running.expected_bytes(memory),
            memory_in_use_bytes: self.app.sandboxes.memory_in_use_bytes(),
        };
        let starting = self.starting.load(Ordering::Acquire);
        let admissible = self.app.concurrency.free(candidate);
        admissible.saturating_sub(starting).min(of_queue)
    }

    fn start(&mut self, claimed: Claimed) {
        let event = claimed.event.clone();
        let starting = Starting::new(&self.starting);
        let app = Arc::clone(&self.app);
        let attempt = attempt::run(app, claimed, starting, self.cut.clone());
        let task = self.attempts.spawn(attempt);
        self.in_flight.add(&event.target.queue(), 1);
        self.under_way.insert(task.id(), event);
    }

    /// Notes that an attempt's task ended. One that panicked has not closed its attempt.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), true),
        };
        let Some(event) = self.under_way.remove(&id) else {
            return;
        };
        self.in_flight.remove(&event.target.queue(), 1);
        if panicked {
            tracing::error!("attempt {} at event {} panicked", event.attempts, event.id);
            if let Err(error) = recover::reconcile(&self.app, vec![event]).await {
                self.app.faults.note(&self.app.clock, &error);
            }
        }
    }

    fn note(&self, error: &QueueError) {
        self.app.faults.note(&self.app.clock, error);
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
