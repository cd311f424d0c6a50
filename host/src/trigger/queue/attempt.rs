//! One attempt at an event that was claimed: made, decided about, and closed.
//!
//! A function runs through the spine; whatever else takes events is a delivery. What becomes of the
//! event is decided by [`domain::retry::decide`] alone; here is only what it decides about.
//!
//! Invariant: an attempt is in the ledger before it is closed, and `ran` says whether it is. Knows
//! nothing of when events are claimed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, DEPTH_MAX, Target};
use domain::retry::{Attempted, Decision, Progress, decide};
use domain::{FunctionName, Invocation, Qualifier, RequestId};
use storage::{Claimed, Done, Ending, Event, Failure, Finish, Operation, QueueError};
use tokio::sync::watch;

use super::accept::perform;
use super::deliver;
use super::policy::EventPolicy;
use super::record::{Answered, Closed, follow_ups};
use crate::answer::Answer;
use crate::app::App;
use crate::concurrency::Refused;
use crate::invoke::{Completed, InvokeError, begin};

/// Between two tries to close an attempt that the queue can't take now.
const CLOSE_AGAIN: Duration = Duration::from_millis(200);

/// A destination did not hear of an event's end, and will not.
#[derive(Debug, thiserror::Error)]
#[error(
    "the record of the end of event {event} was not made: the queue of its destination holds twice what may wait \
     there; redrive or purge its dead letters"
)]
struct RecordLeftOut {
    event: RequestId,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) attempted: Attempted,
    /// Whether the attempt counts as made; one of a function is in the ledger then.
    pub(super) ran: bool,
    pub(super) failure: Option<Failure>,
    pub(super) answer: Option<Answered>,
}

impl Made {
    /// Nothing was made of it.
    fn not(attempted: Attempted, failure: Option<Failure>) -> Self {
        Self {
            attempted,
            ran: false,
            failure,
            answer: None,
        }
    }
}

/// An attempt that was claimed and has not begun. Counts itself out when it has.
#[derive(Debug)]
pub(super) struct Starting(Arc<AtomicU32>);

impl Starting {
    pub(super) fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How an attempt came to its end.
#[derive(Debug)]
enum End {
    /// By itself.
    Made(Made),
    /// It was cut short by a shutdown, or had not begun.
    Returned {
        /// Whether it is in the ledger.
        ran: bool,
    },
}

/// Makes the attempt and closes it. `cut` becomes true when it has to end at once.
pub(super) async fn run(
    app: Arc<App>,
    claimed: Claimed,
    starting: Starting,
    mut cut: watch::Receiver<bool>,
) {
    let Claimed { event, payload } = &claimed;
    let finish = match make(&app, &claimed, starting, &mut cut).await {
        End::Made(made) => finish(&app, event, payload, made),
        End::Returned { ran } => Finish {
            id: event.id,
            attempt: event.attempts,
            ending: Ending::Return { ran },
            failure: event.failure.clone(),
            follow_ups: Vec::new(),
        },
    };
    close(&app, finish, &mut cut).await;
}

async fn make(
    app: &App,
    claimed: &Claimed,
    starting: Starting,
    cut: &mut watch::Receiver<bool>,
) -> End {
    if app.is_draining() {
        return End::Returned { ran: false };
    }
    if let Some(made) = hopeless(app, &claimed.event) {
        return End::Made(made);
    }
    match &claimed.event.target {
        Target::Function { name, qualifier } => {
            let target = (name, qualifier.as_ref());
            run_function(app, target, claimed, starting, cut).await
        }
        Target::Http { .. } | Target::File { .. } => {
            drop(starting);
            tokio::select! {
                biased;
                delivered = deliver::deliver(app, claimed) => End::Made(delivery(app, delivered)),
                () = cut_short(cut) => End::Returned { ran: true },
            }
        }
    }
}

/// What is given up without running it: it is too old, or too far down a chain of events.
fn hopeless(app: &App, event: &Event) -> Option<Made> {
    if event.depth > DEPTH_MAX {
        let message = format!("events gave rise to events more than {DEPTH_MAX} times");
        let failure = Failure::new(400, Some("RecursionDetected".to_owned()), message);
        let hopeless = Attempted::Hopeless(Condition::RecursionDetected);
        return Some(Made::not(hopeless, Some(failure)));
    }
    if age(app, event) > policy(app, event).retry.age_max {
        let hopeless = Attempted::Hopeless(Condition::EventAgeExceeded);
        return Some(Made::not(hopeless, event.failure.clone()));
    }
    None
}

async fn run_function(
    app: &App,
    (function, qualifier): (&FunctionName, Option<&Qualifier>),
    Claimed { event, payload }: &Claimed,
    starting: Starting,
    cut: &mut watch::Receiver<bool>,
) -> End {
    let began = begin(
        app,
        Invocation {
            id: event.id,
            attempt: event.attempts,
            function: function.clone(),
            qualifier: qualifier.cloned(),
            trigger: event.trigger,
            event: payload.clone(),
            client_context: None,
            keep_log: false,
        },
    );
    drop(starting);
    let mut admitted = match began {
        Ok(admitted) => admitted,
        Err(error) => return End::Made(refused(app, &error)),
    };
    let done = tokio::select! {
        biased;
        done = admitted.run() => Some(done),
        () = cut_short(cut) => None,
    };
    match done {
        Some(Ok(completed)) => End::Made(answered(event, completed)),
        Some(Err(error)) => End::Made(refused(app, &error)),
        None => {
            let recorded = admitted.cut();
            if let Err(error) = &recorded {
                app.faults.note(&app.clock, error);
            }
            End::Returned {
                ran: recorded.is_ok(),
            }
        }
    }
}

async fn cut_short(cut: &mut watch::Receiver<bool>) {
    // Without a sender nobody is left to wait for us.
    drop(cut.wait_for(|cut| *cut).await);
}

fn answered(event: &Event, completed: Completed) -> Made {
    let version = completed.report.version;
    let (attempted, failure, function_error, payload) = match completed.answer {
        Ok(Answer::Payload(payload)) => (Attempted::Succeeded, None, false, payload),
        Ok(Answer::Http(answer)) => (Attempted::Succeeded, None, false, answer.body),
        Err(error) => {
            let error_type = Some(error.error_type().to_owned());
            let failure = Failure::new(200, error_type, error.message(event.id));
            let payload = error.payload(event.id);
            (Attempted::Failed, Some(failure), true, payload)
        }
    };
    Made {
        attempted,
        ran: true,
        failure,
        answer: Some(Answered {
            version,
            function_error,
            payload,
        }),
    }
}

/// An attempt without an outcome. What is ours is told to the log, and not to whoever looks at the event.
fn refused(app: &App, error: &InvokeError) -> Made {
    const OURS: &str = "this server could not run the function";
    let not_found = (404, "ResourceNotFoundException");
    let throttled = (429, "TooManyRequestsException");
    let (attempted, (code, error_type), message) = match error {
        InvokeError::UnknownFunction { .. } | InvokeError::UnknownQualifier { .. } => (
            Attempted::Hopeless(Condition::FunctionNotFound),
            not_found,
            error.to_string(),
        ),
        InvokeError::Refused(Refused::Function { limit: 0, .. }) => (
            Attempted::Hopeless(Condition::ZeroReservedConcurrency),
            throttled,
            error.to_string(),
        ),
        InvokeError::Refused(_) => (Attempted::Refused, throttled, error.to_string()),
        InvokeError::LedgerClosed { .. }
        | InvokeError::Sandbox { .. }
        | InvokeError::Record { .. } => {
            app.faults.note(&app.clock, error);
            let ours = (500, "ServiceException");
            (Attempted::Refused, ours, OURS.to_owned())
        }
    };
    Made {
        attempted,
        ran: matches!(error, InvokeError::Sandbox { .. }),
        failure: Some(Failure::new(code, Some(error_type.to_owned()), message)),
        answer: None,
    }
}

fn delivery(app: &App, (attempted, failure): (Attempted, Option<Failure>)) -> Made {
    if attempted != Attempted::Succeeded {
        app.metrics.events.delivery_failed();
    }
    Made {
        attempted,
        ran: true,
        failure,
        answer: None,
    }
}

/// The policy of an event: that of its function, or the default one for a delivery.
fn policy(app: &App, event: &Event) -> EventPolicy {
    match &event.target {
        Target::Function { name, qualifier } => EventPolicy::of(app, name, qualifier.as_ref()),
        Target::Http { .. } | Target::File { .. } => EventPolicy::default(),
    }
}

/// Since it was accepted, in the queue's time.
fn age(app: &App, event: &Event) -> Duration {
    let age_us = app.queue.now_us().saturating_sub(event.accepted_at_us);
    Duration::from_micros(u64::try_from(age_us).unwrap_or(0))
}

/// What becomes of the event, with all that comes of it.
pub(super) fn finish(app: &App, event: &Event, payload: &Bytes, made: Made) -> Finish {
    let Made {
        attempted,
        ran,
        failure,
        answer,
    } = made;
    let progress = Progress {
        failures: event.failures,
        refusals: event.refusals.saturating_add(1),
        age: age(app, event),
    };
    let retry = policy(app, event).retry;
    let decision = decide(attempted, progress, &retry, &app.config.queue.delays);
    let mut events = Vec::new();
    let ending = match decision {
        Decision::Again(after) if attempted == Attempted::Refused => Ending::Refuse { after, ran },
        Decision::Again(after) => Ending::Retry(after),
        Decision::End(condition) => {
            let condition = in_words_of(&event.target, condition);
            let attempts = event.attempts.saturating_sub(u32::from(!ran));
            events = follow_ups(
                app,
                &Closed {
                    event,
                    payload,
                    condition,
                    attempts,
                    answer,
                },
            );
            Ending::End { condition, ran }
        }
    };
    Finish {
        id: event.id,
        attempt: event.attempts,
        ending,
        failure,
        follow_ups: events,
    }
}

/// A delivery that became too old has failed, and waits for somebody to look at it.
fn in_words_of(target: &Target, condition: Condition) -> Condition {
    match (target, condition) {
        (Target::Http { .. } | Target::File { .. }, Condition::EventAgeExceeded) => {
            Condition::DeliveryFailed
        }
        (_, condition) => condition,
    }
}

/// Closes an attempt. While there is no space it is tried again; what can't be closed at all is found
/// by the next start.
async fn close(app: &App, finish: Finish, cut: &mut watch::Receiver<bool>) {
    loop {
        let was_cut = *cut.borrow();
        let Err(error) = close_once(app, &finish).await else {
            return;
        };
        app.faults.note(&app.clock, &error);
        let may_pass = matches!(
            error,
            QueueError::Busy | QueueError::Full { .. } | QueueError::Storage(_)
        );
        if was_cut || !may_pass {
            return;
        }
        drop(tokio::time::timeout(CLOSE_AGAIN, cut_short(cut)).await);
    }
}

/// Closes an attempt, and counts it once that is durable.
///
/// # Errors
///
/// What the queue refuses it for; the attempt is still under way then.
pub(super) async fn close_once(app: &App, finish: &Finish) -> Result<(), QueueError> {
    let done = perform(app, Operation::Finish(finish.clone())).await?;
    // The event itself is one of them.
    let taken = match done {
        Done::Changed(changed) => usize::try_from(changed)
            .unwrap_or(usize::MAX)
            .saturating_sub(1),
        Done::Claimed(_) => 0,
    };
    app.metrics.events.closed(&finish.ending, taken);
    let left_out = finish.follow_ups.len().saturating_sub(taken);
    if left_out > 0 {
        app.metrics.events.records_left_out(left_out);
        let error = RecordLeftOut { event: finish.id };
        app.records_left_out.note(&app.clock, &error);
    }
    Ok(())
}
