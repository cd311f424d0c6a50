//! Taking events in: durable before anybody hears of it.

use domain::limits::QUEUED_EVENT_BYTES_MAX;
use storage::{Done, NewEvent, Operation, Published, QueueError};
use tokio::sync::oneshot;

use crate::app::App;

/// Why events were not taken in. None of them was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    /// An event is larger than may wait.
    #[error(
        "an event of {bytes} bytes is too large to wait; at most {QUEUED_EVENT_BYTES_MAX} are allowed"
    )]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// The queue said no.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Takes events in, all or none. They are on disk when this returns.
///
/// # Errors
///
/// [`AcceptError`]; nothing was enqueued then.
pub(crate) async fn accept(app: &App, events: Vec<NewEvent>) -> Result<(), AcceptError> {
    check_lengths(&events)?;
    let count = events.len();
    let taken = perform(app, Operation::Accept(events)).await;
    taken.inspect_err(|error| note(app, error))?;
    app.metrics.events.accepted(count);
    Ok(())
}

/// Takes an event in for each of many, as far as each has room: what became of each, in their order. It is
/// on disk when this returns.
///
/// # Errors
///
/// [`AcceptError`]; nothing was enqueued then.
pub(crate) async fn publish(
    app: &App,
    events: Vec<NewEvent>,
) -> Result<Vec<Published>, AcceptError> {
    check_lengths(&events)?;
    let done = perform(app, Operation::Publish(events)).await;
    match done.inspect_err(|error| note(app, error))? {
        Done::Published(published) => {
            app.metrics.events.published(&published);
            Ok(published)
        }
        // It answers with nothing else.
        Done::Changed(_) | Done::Claimed(_) => Ok(Vec::new()),
    }
}

fn check_lengths(events: &[NewEvent]) -> Result<(), AcceptError> {
    let mut lengths = events.iter().map(|event| event.payload.len());
    match lengths.find(|bytes| *bytes > QUEUED_EVENT_BYTES_MAX) {
        Some(bytes) => Err(AcceptError::TooLarge { bytes }),
        None => Ok(()),
    }
}

/// Tells the log of what is ours: a full queue is not.
fn note(app: &App, error: &QueueError) {
    if !matches!(
        error,
        QueueError::Quota { .. } | QueueError::DeadLetters { .. }
    ) {
        app.faults.note(&app.clock, error);
    }
}

/// Has the queue do something, without holding a thread. It is asked at once; the future only waits.
///
/// # Errors
///
/// What the queue refuses it for.
pub(crate) fn perform(
    app: &App,
    operation: Operation,
) -> impl Future<Output = Result<Done, QueueError>> + use<> {
    let (sender, receiver) = oneshot::channel();
    // A caller that left does not hear of it.
    let reply = move |result| drop(sender.send(result));
    app.queue.submit(operation, Box::new(reply));
    async { receiver.await.unwrap_or(Err(QueueError::Closed)) }
}
