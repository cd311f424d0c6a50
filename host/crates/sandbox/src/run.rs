//! A run as a future: where it is polled, for how long, and what that costs.
//!
//! The first slice runs on the thread that polls the future, so that a short guest costs no hop. A
//! guest that used up its slice moves, as the same future, to the background runtime; one that waits
//! in a host call stays. Dropping the future ends the guest wherever it is.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use domain::{Clock, FunctionError, Outcome, RequestId, Timeout};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::failure::printable;
use crate::guest::LoadError;
use crate::observed::Observed;

/// Longest text kept of a panic, in characters.
const PANIC_CHARS_MAX: usize = 300;

/// One event for one guest.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The event's id.
    pub id: RequestId,
    /// The event.
    pub event: Bytes,
    /// When the guest is stopped. If this run has to load the guest's code first, the time for that
    /// is added.
    pub deadline: Instant,
    /// The same instant as the guest sees it, in Unix milliseconds.
    pub deadline_unix_ms: u64,
    /// Where usage and log are collected.
    pub observed: Arc<Observed>,
}

/// Why a run has no outcome. Always the host's failure.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The guest's code could not be loaded.
    #[error("loading the guest's code failed")]
    Load(#[from] LoadError),
    /// More sandboxes than the pool has slots: admission let too many in.
    #[error("the pool of sandboxes is full: {message}")]
    PoolFull {
        /// What the engine said.
        message: String,
    },
    /// The engine could not make an instance.
    #[error("making an instance failed: {message}")]
    Instantiate {
        /// What the engine said.
        message: String,
    },
    /// The guest's code is not what its kind promises; linking checks this.
    #[error("the guest's code lacks an export that was there when it was linked")]
    NotLoaded,
    /// Swap was switched on under [`crate::Profile::Scan`]: no sandbox can be reset safely any more.
    #[error("swap was switched on while the server runs; it must be started again")]
    SwapActive,
    /// The run was stopped from outside, or panicked.
    #[error("the run was stopped: {message}")]
    Stopped {
        /// Why.
        message: String,
    },
}

/// What a run ends with.
pub(crate) type Ended = Result<Outcome, SandboxError>;

/// One guest's execution, measured and bounded in time.
pub(crate) struct Running {
    /// `None` once it was dropped at the deadline.
    execution: Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    observed: Arc<Observed>,
    clock: Clock,
    deadline: Instant,
    timeout: Timeout,
    /// Made when the guest first waits; most never do.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Running {
    pub(crate) fn new(
        execution: impl Future<Output = Ended> + Send + 'static,
        observed: Arc<Observed>,
        clock: Clock,
        limit: (Instant, Timeout),
    ) -> Self {
        let (deadline, timeout) = limit;
        let execution = Some(Box::pin(execution) as Pin<Box<_>>);
        Self {
            execution,
            observed,
            clock,
            deadline,
            timeout,
            sleep: None,
        }
    }

    /// Waits for the deadline; wasm has a check of its own, this is for waits inside host calls.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline.into())));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        // The instance goes first, so that its slot is free when the caller knows.
        self.execution = None;
        self.observed.end(self.clock.now());
        Poll::Ready(Ok(Outcome::Failed(FunctionError::TimedOut {
            timeout: self.timeout,
        })))
    }
}

impl Future for Running {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let Some(execution) = &mut this.execution else {
            let message = "it was polled after its end".to_owned();
            return Poll::Ready(Err(SandboxError::Stopped { message }));
        };
        let before = this.clock.now();
        this.observed.enter(before);
        // A panic must not unwind through the caller: this run failed, nothing else did.
        let polled = catch_unwind(AssertUnwindSafe(|| execution.as_mut().poll(context)))
            .unwrap_or_else(|panic| Poll::Ready(Err(stopped_by(&*panic))));
        let after = this.clock.now();
        this.observed
            .add_cpu(after.saturating_duration_since(before));
        match polled {
            Poll::Ready(ended) => {
                this.observed.end(after);
                this.execution = None;
                Poll::Ready(ended)
            }
            Poll::Pending => this.poll_deadline(context),
        }
    }
}

/// What a panic said, short and printable.
fn stopped_by(panic: &(dyn Any + Send)) -> SandboxError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    SandboxError::Stopped {
        message: format!("it panicked: {}", printable(text, PANIC_CHARS_MAX)),
    }
}

/// Polls a run inline, and hands it over when it ran long.
pub(crate) struct HandOver {
    stage: Stage,
    observed: Arc<Observed>,
    clock: Clock,
    background: Handle,
}

enum Stage {
    Inline(Running),
    Background(JoinHandle<Ended>),
    /// Only while it moves from one to the other.
    Moving,
}

impl HandOver {
    pub(crate) fn new(running: Running, background: Handle) -> Self {
        let (observed, clock) = (Arc::clone(&running.observed), running.clock.clone());
        Self {
            stage: Stage::Inline(running),
            observed,
            clock,
            background,
        }
    }
}

impl Future for HandOver {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        if let Stage::Inline(running) = &mut this.stage {
            match Pin::new(running).poll(context) {
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending if !this.observed.ran_long() => return Poll::Pending,
                Poll::Pending => {}
            }
            if let Stage::Inline(mut running) = std::mem::replace(&mut this.stage, Stage::Moving) {
                // A timer belongs to the threads it was made on, and they may end before the guest.
                running.sleep = None;
                this.stage = Stage::Background(this.background.spawn(running));
            }
        }
        let Stage::Background(task) = &mut this.stage else {
            return Poll::Ready(Err(SandboxError::Stopped {
                message: "it moved twice".to_owned(),
            }));
        };
        Pin::new(task).poll(context).map(|joined| {
            joined.unwrap_or_else(|error| {
                Err(SandboxError::Stopped {
                    message: error.to_string(),
                })
            })
        })
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if let Stage::Background(task) = &self.stage {
            task.abort();
        }
        // A run that was dropped in the middle ends here; one that ended keeps its time.
        self.observed.end(self.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn panic_after(yields: u32) -> Ended {
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        panic!("boom {yields}\n");
    }

    #[test]
    fn a_panic_ends_its_own_run_and_nothing_else() {
        let runtime = crate::tests::support::multi_thread(1);
        let clock = Clock::system();
        for yields in [0, 3] {
            for long in [false, true] {
                let observed = Observed::new();
                if long {
                    observed.set_ran_long();
                }
                let limit = (
                    clock.now() + std::time::Duration::from_secs(60),
                    Timeout::DEFAULT,
                );
                let running = Running::new(
                    panic_after(yields),
                    Arc::clone(&observed),
                    clock.clone(),
                    limit,
                );
                let run = HandOver::new(running, runtime.handle().clone());
                let error = runtime.block_on(run).unwrap_err();
                assert!(
                    matches!(&error, SandboxError::Stopped { message }
                        if *message == format!("it panicked: boom {yields}\\n")),
                    "{error:?}"
                );
                let duration = observed.usage(&clock).duration;
                assert_eq!(observed.usage(&clock).duration, duration, "it ended");
            }
        }
    }
}
