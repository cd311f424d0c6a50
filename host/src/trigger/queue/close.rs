//! Closing attempts: how often that is tried, and what is left to the next start.
//!
//! Knows nothing of what came of an attempt.

use std::time::Duration;

use domain::RequestId;
use storage::{Done, Finish, Operation, QueueError};
use tokio::sync::watch;

use super::accept::perform;
use super::attempt::cut_short;
use crate::app::App;

/// Between two tries to close an attempt that the queue can't take now.
pub(super) const CLOSE_AGAIN: Duration = Duration::from_millis(200);
/// Tries to close an attempt that the queue has trouble with. Together longer than another process holds
/// the database for a change.
const CLOSE_TRIES_MAX: u32 = 25;

/// Closes an attempt. While there is no space it is tried again; what can't be closed at all is found
/// by the next start.
pub(super) async fn close(app: &App, mut finish: Finish, cut: &mut watch::Receiver<bool>) {
    let mut tries = 0;
    loop {
        let was_cut = *cut.borrow();
        let Err(error) = close_once(app, &finish).await else {
            return;
        };
        app.faults.note(&app.clock, &error);
        tries += 1;
        if was_cut || !may_close(app, &mut finish, &error, tries) {
            leave_open(&finish, &error);
            return;
        }
        drop(tokio::time::timeout(CLOSE_AGAIN, cut_short(cut)).await);
    }
}

/// A destination did not hear of an event's end, and will not.
#[derive(Debug, thiserror::Error)]
#[error(
    "the record of the end of event {event} was not made: the queue of its destination holds twice what may wait \
     there; redrive or purge its dead letters"
)]
struct RecordLeftOut {
    event: RequestId,
}

/// Tells the log of an attempt that stays open until the next start.
pub(super) fn leave_open(finish: &Finish, error: &QueueError) {
    tracing::error!(
        "attempt {} at event {} could not be closed, which is left to the next start: {error}",
        finish.attempt,
        finish.id
    );
}

/// Whether it is of use to try again to close an attempt, the `tries`-th try having failed of `error`.
pub(super) fn may_close(app: &App, finish: &mut Finish, error: &QueueError, tries: u32) -> bool {
    match error {
        QueueError::Busy | QueueError::Full { .. } => true,
        QueueError::Duplicate { .. } => {
            // It is about what comes of it: that has no id yet that anybody knows.
            for follow_up in &mut finish.follow_ups {
                follow_up.event.id = app.request_id();
            }
            tries < CLOSE_TRIES_MAX
        }
        // Another process may hold the database, or there is something wrong with this event.
        QueueError::Storage(_) => tries < CLOSE_TRIES_MAX,
        QueueError::Quota { .. }
        | QueueError::DeadLetters { .. }
        | QueueError::NotRunning { .. }
        | QueueError::Failed { .. }
        | QueueError::Closed => false,
    }
}

/// Closes an attempt, and counts it once that is durable. The queue is asked at once; the future only
/// waits.
///
/// # Errors
///
/// What the queue refuses it for; the attempt is still under way then.
pub(super) fn close_once<'a>(
    app: &'a App,
    finish: &Finish,
) -> impl Future<Output = Result<(), QueueError>> + use<'a> {
    let closing = perform(app, Operation::Finish(finish.clone()));
    let (event, ending, asked) = (finish.id, finish.ending, finish.follow_ups.len());
    async move {
        let done = closing
            .await
            .inspect_err(|_| app.metrics.events.close_failed())?;
        // The event itself is one of them.
        let taken = match done {
            Done::Changed(changed) => usize::try_from(changed)
                .unwrap_or(usize::MAX)
                .saturating_sub(1),
            Done::Claimed(_) | Done::Published(_) => 0,
        };
        app.metrics.events.closed(&ending, taken);
        let left_out = asked.saturating_sub(taken);
        if left_out > 0 {
            app.metrics.events.records_left_out(left_out);
            let error = RecordLeftOut { event };
            app.records_left_out.note(&app.clock, &error);
        }
        Ok(())
    }
}
