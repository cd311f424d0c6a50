//! Runs one future on one thread that nothing else runs on.
//!
//! Enough for `async` handlers that await what is ready, or what wakes them while they are polled.
//! A sandbox has no other thread and no timer that could wake a future later, so waiting for one
//! would be waiting for ever.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::error::{Error, STUCK};

/// Polls a future until it is ready.
///
/// # Errors
///
/// `Runtime.Stuck` when it is pending without having been woken.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Error> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return Err(stuck());
        }
    }
}

/// Whether the future was woken since it was last polled.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cold]
fn stuck() -> Error {
    let message = "the handler awaits something that nothing in its sandbox can wake: no other \
                   thread and no timer runs there";
    Error::new(STUCK, message)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};

    use super::*;

    #[test]
    fn a_ready_future_is_answered() {
        assert_eq!(block_on(ready(7)), Ok(7));
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again() {
        let mut polls = 0;
        let future = poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        assert_eq!(block_on(future), Ok(()));
        assert_eq!(polls, 3);
    }

    #[test]
    fn a_future_that_nothing_can_wake_is_an_error_and_not_a_spin() {
        assert_eq!(block_on(pending::<()>()).unwrap_err().error_type(), STUCK);
    }
}
