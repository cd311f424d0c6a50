//! Handing a record to a destination that is no function.
//!
//! Knows nothing of retries: it says what came of one attempt.

use domain::retry::Attempted;
use storage::{Claimed, Failure};

use crate::app::App;

/// Makes one attempt to hand over what was claimed.
pub(crate) async fn deliver(_app: &App, claimed: &Claimed) -> (Attempted, Option<Failure>) {
    let queue = claimed.event.target.queue();
    let message = format!("this server has no way to deliver to `{queue}`");
    (Attempted::Refused, Some(Failure::new(503, None, message)))
}
