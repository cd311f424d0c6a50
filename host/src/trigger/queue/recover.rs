//! Attempts that nobody closed: the last process died under them, or they panicked.
//!
//! The ledger decides. An attempt that has its record there is closed as the record says; one without a
//! record was cut short by the crash, gets the record that says so, and counts. Doing it twice, or dying
//! half way, changes nothing: records are found by (request id, attempt).
//!
//! Knows nothing of the dispatcher, but that it claims nothing before this is done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use domain::event::Target;
use domain::report::Started;
use domain::retry::Attempted;
use domain::{FunctionName, MemoryMb, Qualifier, Report, RequestId, Status, VersionId};
use storage::{Event, Failure, Finish, QueueError, StorageError};

use super::attempt::{Made, finish};
use super::close::{CLOSE_AGAIN, close_once, leave_open, may_close};
use crate::app::App;

/// Why attempts were not closed. They are still under way for the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    /// Queue or ledger can't be read, or the ledger takes no record.
    #[error("closing the attempts that were cut short failed")]
    Storage(#[from] StorageError),
    /// The queue did not take it.
    #[error("closing the attempts that were cut short failed")]
    Queue(#[from] QueueError),
    /// It panicked.
    #[error("looking for attempts that were cut short panicked")]
    Panicked,
}

/// What is known of an attempt that nobody closed.
struct Interrupted {
    event: Event,
    payload: Bytes,
    /// Its record, if it has one.
    report: Option<Report>,
}

/// Closes the attempts that the last process left; how many there were.
///
/// # Errors
///
/// [`RecoverError`]; it may be tried again.
pub(super) async fn recover(app: &Arc<App>) -> Result<usize, RecoverError> {
    let reading = Arc::clone(app);
    let read = move || reading.queue.interrupted();
    let events = blocking(read).await?;
    let count = events.len();
    reconcile(app, events).await?;
    Ok(count)
}

/// Closes attempts at these events, which are under way for the queue and nowhere else.
///
/// # Errors
///
/// [`RecoverError`]; it may be tried again.
pub(super) async fn reconcile(app: &Arc<App>, events: Vec<Event>) -> Result<(), RecoverError> {
    if events.is_empty() {
        return Ok(());
    }
    let reading = Arc::clone(app);
    let found = blocking(move || look_up(&reading, events)).await?;
    let mut closing = Vec::with_capacity(found.len());
    for Interrupted {
        event,
        payload,
        report,
    } in found
    {
        let made = made(app, &event, report)?;
        closing.push(finish(app, &event, &payload, made));
    }
    // All are asked for before the first is waited for, so that they share a transaction.
    let asked: Vec<_> = closing
        .into_iter()
        .map(|finish| (close_once(app, &finish), finish))
        .collect();
    for (closed, finish) in asked {
        settle(app, finish, closed.await).await?;
    }
    Ok(())
}

/// Sees to it that an attempt is closed, after one try. What is wrong with one event alone keeps no
/// other waiting: it is left to the next start.
async fn settle(
    app: &App,
    mut finish: Finish,
    mut closed: Result<(), QueueError>,
) -> Result<(), RecoverError> {
    let mut tries = 0;
    while let Err(error) = closed {
        tries += 1;
        match error {
            // An earlier try did it.
            QueueError::NotRunning { .. } => return Ok(()),
            QueueError::Busy
            | QueueError::Full { .. }
            | QueueError::Failed { .. }
            | QueueError::Closed => return Err(error.into()),
            QueueError::Duplicate { .. }
            | QueueError::Quota { .. }
            | QueueError::DeadLetters { .. }
            | QueueError::Storage(_) => {}
        }
        if !may_close(app, &mut finish, &error, tries) {
            leave_open(&finish, &error);
            return Ok(());
        }
        tokio::time::sleep(CLOSE_AGAIN).await;
        closed = close_once(app, &finish).await;
    }
    Ok(())
}

/// Closes the attempt at an event whose task panicked, however often that has to be tried. What is not
/// done when the server drains is left to the next start.
pub(super) async fn close_left(app: Arc<App>, event: Event) {
    while let Err(error) = reconcile(&app, vec![event.clone()]).await {
        app.metrics.events.close_failed();
        app.faults.note(&app.clock, &error);
        if app.is_draining() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(CLOSE_AGAIN) => {}
            () = app.drain_started() => {}
        }
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, RecoverError> {
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(|_| RecoverError::Panicked)??)
}

/// The payloads and the records of events.
fn look_up(app: &App, events: Vec<Event>) -> Result<Vec<Interrupted>, StorageError> {
    let of_functions = events
        .iter()
        .filter(|event| event.target.function().is_some());
    let wanted: HashSet<(RequestId, u32)> = of_functions
        .map(|event| (event.id, event.attempts))
        .collect();
    let from_sequence = events.iter().map(|event| event.ledger_from).min();
    let mut reports: HashMap<_, _> = app.ledger.find(&wanted, from_sequence.unwrap_or(0))?;
    events
        .into_iter()
        .map(|event| {
            let payload = app.queue.event(event.id)?.and_then(|(_, payload)| payload);
            Ok(Interrupted {
                report: reports.remove(&(event.id, event.attempts)),
                payload: payload.unwrap_or_default(),
                event,
            })
        })
        .collect()
}

/// What came of an attempt that nobody closed.
fn made(app: &App, event: &Event, report: Option<Report>) -> Result<Made, StorageError> {
    let Target::Function { name, qualifier } = &event.target else {
        // Whether it got there nobody knows. It runs nothing of anybody's, so it does not count.
        return Ok(Made {
            attempted: Attempted::Refused,
            ran: true,
            failure: event.failure.clone(),
            answer: None,
        });
    };
    let report = match report {
        Some(report) => report,
        None => record_crash(app, event, (name, qualifier.as_ref()))?,
    };
    let (attempted, failure) = match report.status {
        Status::Success => (Attempted::Succeeded, None),
        Status::Error | Status::Timeout | Status::OutOfMemory => {
            let message = "the function failed; what it said of it was lost when the server ended";
            let failure = Failure::new(200, report.error_type, message.to_owned());
            (Attempted::Failed, Some(failure))
        }
        Status::HostCrash => {
            let message = "the server ended while the function ran";
            let failure = Failure::new(500, Some("HostCrash".to_owned()), message.to_owned());
            (Attempted::Failed, Some(failure))
        }
        Status::HostError | Status::Cancelled => (Attempted::Refused, event.failure.clone()),
    };
    Ok(Made {
        attempted,
        ran: true,
        failure,
        answer: None,
    })
}

/// Appends the record of an attempt that the host died under.
fn record_crash(
    app: &App,
    event: &Event,
    (name, qualifier): (&FunctionName, Option<&Qualifier>),
) -> Result<Report, StorageError> {
    let version = app.registry.resolve(name, qualifier, 0).ok();
    let (id, memory) = version
        .as_ref()
        .map_or((VersionId::Latest, MemoryMb::DEFAULT), |version| {
            (version.id, version.configuration.limits.memory)
        });
    let report = Report::host_crash(Started {
        request_id: event.id,
        attempt: event.attempts,
        function: name.clone(),
        version: id,
        trigger: event.trigger,
        started_at_us: event.changed_at_us,
        memory,
    });
    app.ledger.append(&report)?;
    if let Some(version) = version {
        version.metrics.observe(&report);
    }
    Ok(report)
}
