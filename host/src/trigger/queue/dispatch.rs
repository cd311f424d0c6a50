//! The dispatcher: claims events that are due, as many as could run now, and has them run.
//!
//! One task, in rounds. A round takes the queues that are due in turn, gives each its share of the free
//! places, and asks for all claims at once, so that they share a transaction. It wakes when the queue
//! changes, when an attempt ends, and when the next event is due; but a claim that failed makes it pause.
//!
//! Invariants:
//! * claims do not outrun permits: what is claimed could be admitted a moment ago, with all that was
//!   claimed before it and has no permit yet;
//! * a round costs what it looks at, which is bounded, however many queues are due;
//! * no queue holds more than half of the places that the others leave, and all deliveries together no more
//!   than a quarter, so what is slow keeps no other waiting for ever;
//! * nothing is claimed before the attempts of the last process are closed, or once a drain has started.
//!
//! Knows nothing of what an attempt does.

mod in_flight;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::FunctionName;
use storage::{Claimed, Done, Due, Event, Operation, QueueError, QueueHealth};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use self::in_flight::InFlight;
use super::accept::perform;
use super::attempt::{self, Promises, Starting};
use super::policy::EventPolicy;
use super::recover;
use crate::app::App;
use crate::concurrency::{Candidate, Promised};
use crate::faults::chain;

/// How often to look whether what kept an event from being claimed has passed.
const BLOCKED_LOOK: Duration = Duration::from_millis(20);
/// How often to look when neither queue nor ledger takes changes, or recovery failed.
const FAILED_LOOK: Duration = Duration::from_millis(500);
/// How often to look in any case: a machine that slept has timers that did too.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Queues that one round looks at: 10,000 that are due and blocked are gone through within a second.
const QUEUES_LOOKED_AT: usize = 256;
/// What is said of dispatching before the attempts of the last process are closed.
pub(crate) const NOT_RECOVERED: &str = "closing the attempts that the last process left";

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
    /// What they are about.
    under_way: HashMap<Id, UnderWay>,
    /// The places that they hold.
    in_flight: InFlight,
    /// Those of them that have no permit yet.
    promises: Arc<Promises>,
    /// Queues of which a claim failed, and from when on they are asked again.
    set_aside: HashMap<String, Instant>,
    /// The queue that had its turn last.
    pub(super) last: String,
}

/// What a task is about.
struct UnderWay {
    event: Event,
    /// Whether it only closes an attempt whose own task panicked.
    is_closing: bool,
}

/// What is to be claimed of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queue: String,
    pub(super) at_most: u32,
    /// What each is expected to hold, in bytes, if it needs a permit.
    memory_bytes: Option<u64>,
}

/// What a round was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// There may be more to claim at once.
    More,
    /// Nothing can be claimed for so long, if nothing happens.
    Wait(Duration),
    /// Claims fail: none is made for so long, whatever happens.
    Pause(Duration),
}

impl Dispatcher {
    pub(super) fn new(app: &Arc<App>, cut: watch::Receiver<bool>) -> Self {
        Self {
            app: Arc::clone(app),
            cut,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            in_flight: InFlight::new(app.config.queue.concurrency_max),
            promises: Arc::default(),
            set_aside: HashMap::new(),
            last: String::new(),
        }
    }

    async fn run(mut self) {
        self.prepare().await;
        while !self.app.is_draining() {
            let app = Arc::clone(&self.app);
            match self.round().await {
                Round::More => {}
                Round::Wait(wait) => tokio::select! {
                    () = app.queue_changed.notified() => {}
                    Some(ended) = self.attempts.join_next_with_id() => self.ended(ended),
                    () = tokio::time::sleep(wait) => {}
                    () = app.drain_started() => {}
                },
                // A claim that is refused tells of a change as well.
                Round::Pause(time) => self.pause(time).await,
            }
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.ended(ended);
            }
        }
        self.all_ended().await;
    }

    /// Completes when every attempt that was started is closed.
    pub(super) async fn all_ended(&mut self) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Closes what the last process left, and waits until functions are there.
    async fn prepare(&self) {
        self.recover().await;
        while !self.app.is_draining() && !self.app.registry.is_ready() {
            self.pause(BLOCKED_LOOK).await;
        }
    }

    /// Closes what the last process left, however often that has to be tried.
    pub(super) async fn recover(&self) {
        while !self.app.is_draining() {
            match recover::recover(&self.app).await {
                Ok(count) => {
                    if count > 0 {
                        tracing::warn!(
                            "{count} attempts at events were cut short when the server ended"
                        );
                    }
                    *self.app.recovering.lock() = None;
                    break;
                }
                Err(error) => {
                    self.app.faults.note(&self.app.clock, &error);
                    *self.app.recovering.lock() = Some(chain(&error));
                }
            }
            self.pause(FAILED_LOOK).await;
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.app.drain_started() => {}
        }
    }

    /// Claims what is due and could run now, and starts it. While space is short, what was taken in
    /// before is worked off.
    pub(super) async fn round(&mut self) -> Round {
        if !is_worked_off(&self.app.queue.health()) || !self.app.ledger.is_writable() {
            return Round::Wait(FAILED_LOOK);
        }
        if self.places_left() == 0 {
            return Round::Wait(LOOK_MAX);
        }
        let (due, next) = self.app.queue.due(&self.last, QUEUES_LOOKED_AT);
        if due.is_empty() {
            return Round::Wait(next.unwrap_or(LOOK_MAX).min(LOOK_MAX));
        }
        let claims: Vec<_> = self
            .shares(&due)
            .into_iter()
            .map(|share| {
                let queue = share.queue.clone();
                let at_most = share.at_most;
                let claim = perform(&self.app, Operation::Claim { queue, at_most });
                (share, claim)
            })
            .collect();
        let (mut claimed, mut has_failed) = (false, false);
        for (share, claim) in claims {
            match claim.await {
                Ok(Done::Claimed(events)) => {
                    claimed |= !events.is_empty();
                    for event in events {
                        self.start(event, share.memory_bytes);
                    }
                }
                Ok(Done::Changed(_) | Done::Published(_)) => {}
                Err(error) => {
                    self.app.faults.note(&self.app.clock, &error);
                    // Where one row is damaged, the other queues are well.
                    has_failed |= !matches!(error, QueueError::Storage(_));
                    let again = self.app.clock.now() + FAILED_LOOK;
                    self.set_aside.insert(share.queue, again);
                }
            }
        }
        if has_failed {
            Round::Pause(FAILED_LOOK)
        } else if claimed {
            Round::More
        } else {
            Round::Wait(BLOCKED_LOOK)
        }
    }

    /// How many more events may be under way.
    fn places_left(&self) -> u32 {
        let places = self.app.config.queue.concurrency_max;
        places.saturating_sub(count(self.attempts.len()))
    }

    /// How many events of which queue to claim: all that are due get a part of the free places.
    pub(super) fn shares(&mut self, due: &[Due]) -> Vec<Share> {
        let now = self.app.clock.now();
        self.set_aside.retain(|_, again| *again > now);
        let mut left = self.places_left();
        let part = (left / count(due.len()).max(1)).max(1);
        let mut promised = self.promises.sum();
        let mut shares: Vec<Share> = Vec::new();
        for Due {
            queue,
            accepted_at_us,
        } in due
        {
            if self.set_aside.contains_key(queue) {
                continue;
            }
            let (free, memory_bytes) = self.free(queue, *accepted_at_us, promised);
            let at_most = free.min(part).min(left);
            if at_most == 0 {
                continue;
            }
            left -= at_most;
            // As if all of them were there, until the round knows.
            self.in_flight.add(queue, at_most);
            if let Some(memory_bytes) = memory_bytes {
                let all_bytes = memory_bytes.saturating_mul(u64::from(at_most));
                promised.count = promised.count.saturating_add(at_most);
                promised.memory_bytes = promised.memory_bytes.saturating_add(all_bytes);
            }
            shares.push(Share {
                queue: queue.clone(),
                at_most,
                memory_bytes,
            });
        }
        // The next round begins after the last one that got something: who got nothing for want of
        // places is first then. Where nobody did, all of them are blocked.
        let last = shares.last().map(|share| &share.queue);
        if let Some(last) = last.or_else(|| due.last().map(|due| &due.queue)) {
            self.last.clone_from(last);
        }
        for share in &shares {
            self.in_flight.remove(&share.queue, share.at_most);
        }
        shares
    }

    /// How many more of a queue's events could run now, whose first one was accepted then, and what each
    /// is expected to hold, if it needs a permit.
    fn free(&self, queue: &str, accepted_at_us: i64, promised: Promised) -> (u32, Option<u64>) {
        let of_queue = self.in_flight.free(queue);
        let in_flight = self.in_flight.of(queue);
        // What is no name of a function is a destination.
        let Ok(name) = FunctionName::parse(queue) else {
            return (of_queue, None);
        };
        let Some(function) = self.app.registry.function(&name) else {
            return (of_queue, None);
        };
        let version = &function.latest;
        if version.running.is_forbidden() {
            return (of_queue, None);
        }
        if self.app.budgets.check(&version.spending).is_err() {
            // None runs. They wait, and are given up one after the other once they are too old.
            let age_max = EventPolicy::of(&self.app, &name, None).retry.age_max;
            let is_too_old = attempt::age(&self.app, accepted_at_us) > age_max;
            return (u32::from(is_too_old && in_flight == 0), None);
        }
        let memory = version.configuration.limits.memory;
        let memory_bytes = version.running.expected_bytes(memory);
        let candidate = Candidate {
            function: &name,
            running: &version.running,
            memory_bytes,
            memory_in_use_bytes: self.app.sandboxes.memory_in_use_bytes(),
        };
        let admissible = self.app.concurrency.free(candidate, promised);
        // Those without a permit yet may all be its own.
        let starting = self.promises.sum().count.min(in_flight);
        let of_function = version.running.free().saturating_sub(starting);
        let free = admissible.min(of_function).min(of_queue);
        (free, Some(memory_bytes))
    }

    fn start(&mut self, claimed: Claimed, memory_bytes: Option<u64>) {
        let event = claimed.event.clone();
        let starting = memory_bytes.map(|bytes| Starting::new(&self.promises, bytes));
        let app = Arc::clone(&self.app);
        let attempt = attempt::run(app, claimed, starting, self.cut.clone());
        let is_closing = false;
        self.spawn(UnderWay { event, is_closing }, attempt);
    }

    /// Has a task go on with an event that is under way.
    fn spawn(&mut self, what: UnderWay, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.attempts.spawn(task);
        self.in_flight.add(&what.event.target.queue(), 1);
        self.under_way.insert(task.id(), what);
    }

    /// Notes that an attempt's task ended. One that panicked has not closed its attempt: another task
    /// does.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), true),
        };
        let Some(UnderWay { event, is_closing }) = self.under_way.remove(&id) else {
            return;
        };
        self.in_flight.remove(&event.target.queue(), 1);
        if !panicked {
            return;
        }
        let (attempt, id) = (event.attempts, event.id);
        if is_closing {
            // What panics twice is left to the next start.
            tracing::error!("closing attempt {attempt} at event {id} panicked; it stays open");
            return;
        }
        tracing::error!("attempt {attempt} at event {id} panicked");
        let closing = recover::close_left(Arc::clone(&self.app), event.clone());
        let is_closing = true;
        self.spawn(UnderWay { event, is_closing }, closing);
    }

    /// Starts an attempt whose task panics at once.
    #[cfg(test)]
    pub(super) fn start_panicking(&mut self, event: Event) {
        let is_closing = false;
        self.spawn(UnderWay { event, is_closing }, async { panic!("told to") });
    }
}

/// Whether what was taken in runs: while space is short, that is all that is done.
pub(super) fn is_worked_off(health: &QueueHealth) -> bool {
    match health {
        QueueHealth::Writable | QueueHealth::Full { .. } => true,
        QueueHealth::Failed { .. } => false,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
