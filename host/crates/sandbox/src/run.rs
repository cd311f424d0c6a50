//! A run as a future: where it is polled, for how long, and what that costs.
//!
//! The first slice runs on the thread that polls the future, so that a short guest costs no hop. A
//! guest that used up its slice moves, as the same future, to the background runtime; one that waits
//! in a host call stays. The deadline rings where the future is polled, wherever the guest is, and
//! dropping the future ends the guest, too.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Clock, FunctionError, Outcome, RequestId, Timeout};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::failure::printable;
use crate::guest::LoadError;
use crate::observed::Observed;

/// Longest text kept of a panic, in characters.
const PANIC_CHARS_MAX: usize = 300;

/// How long a guest that is being executed at its deadline is given to notice: two ticks of the epoch,
/// and then some.
const LAST_LOOK_MAX: Duration = Duration::from_millis(4);

/// A guest with more memory than this is given back on a thread of the background when it was ended
/// in the middle. One page takes 0.1 µs.
const DROP_INLINE_BYTES_MAX: u64 = 8 << 20;

/// One event for one guest.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The event's id.
    pub id: RequestId,
    /// The event.
    pub event: Bytes,
    /// The resource name that the guest sees as its own, if it is not that of its spec: an invocation
    /// that names a version or an alias carries it.
    pub arn: Option<String>,
    /// The text of a JSON object that an `sdk` guest finds in its context.
    pub client_context: Option<Arc<str>>,
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

/// One guest's execution, measured.
pub(crate) struct Running {
    /// `None` once it has ended.
    execution: Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    observed: Arc<Observed>,
    clock: Clock,
}

impl Running {
    pub(crate) fn new(
        execution: impl Future<Output = Ended> + Send + 'static,
        observed: Arc<Observed>,
        clock: Clock,
    ) -> Self {
        Self {
            execution: Some(Box::pin(execution)),
            observed,
            clock,
        }
    }
}

impl Future for Running {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let Some(execution) = &mut this.execution else {
            return Poll::Ready(stopped("it was polled after its end"));
        };
        let before = this.clock.now();
        this.observed.enter(before);
        // A panic must not unwind through the caller: this run failed, nothing else did.
        let polled = catch_unwind(AssertUnwindSafe(|| execution.as_mut().poll(context)))
            .unwrap_or_else(|panic| Poll::Ready(Err(stopped_by(&*panic))));
        let after = this.clock.now();
        this.observed
            .add_cpu(after.saturating_duration_since(before));
        if polled.is_ready() {
            this.observed.end(after);
            this.execution = None;
        }
        polled
    }
}

fn stopped(why: &str) -> Ended {
    let message = why.to_owned();
    Err(SandboxError::Stopped { message })
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

/// When a run is stopped, and what its outcome then says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Timeout,
}

/// Polls a run inline, hands it over when it ran long, and ends it at its deadline.
///
/// Wasm that is being executed looks at the deadline itself. The timer here is for guests that wait
/// in a host call, and for those that were handed over: when the machine is busy, their threads get a
/// core too seldom to look.
pub(crate) struct HandOver {
    stage: Stage,
    observed: Arc<Observed>,
    clock: Clock,
    background: Handle,
    bound: Bound,
    /// Made when the run is first not done; most are done at once.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The deadline has passed while the guest was being executed.
    is_overdue: bool,
}

enum Stage {
    Inline(Running),
    Background {
        run: HandedOver,
        task: JoinHandle<Ended>,
    },
    /// While it moves from one to the other, and when there is nothing left to poll.
    Nothing,
}

/// A run that a thread of low priority polls, and that can be ended from elsewhere.
#[derive(Clone)]
struct HandedOver(Arc<Mutex<Option<Running>>>);

impl HandedOver {
    /// Takes the run away from its thread; `None` if it is being executed right now, or has ended and
    /// is about to be joined.
    fn take(&self) -> Option<Running> {
        self.0
            .try_lock()?
            .take_if(|running| running.execution.is_some())
    }
}

impl Future for HandedOver {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let polled = match &mut *self.0.lock() {
            Some(run) => Pin::new(run).poll(context),
            None => return Poll::Ready(stopped("its caller does not wait any more")),
        };
        if polled.is_pending() {
            // The kernel would let this thread go on for milliseconds although threads of higher
            // priority are ready; with nobody there it goes on at once.
            std::thread::yield_now();
        }
        polled
    }
}

impl HandOver {
    pub(crate) fn new(running: Running, bound: Bound, background: Handle) -> Self {
        let (observed, clock) = (Arc::clone(&running.observed), running.clock.clone());
        Self {
            stage: Stage::Inline(running),
            observed,
            clock,
            background,
            bound,
            sleep: None,
            is_overdue: false,
        }
    }

    fn poll_run(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        if let Stage::Inline(running) = &mut self.stage {
            let polled = Pin::new(running).poll(context);
            if polled.is_ready() || !self.observed.ran_long() {
                return polled;
            }
            if let Stage::Inline(running) = std::mem::replace(&mut self.stage, Stage::Nothing) {
                let run = HandedOver(Arc::new(Mutex::new(Some(running))));
                let task = self.background.spawn(run.clone());
                self.stage = Stage::Background { run, task };
            }
        }
        let Stage::Background { task, .. } = &mut self.stage else {
            return Poll::Ready(stopped("it was polled after its end"));
        };
        Pin::new(task)
            .poll(context)
            .map(|joined| joined.unwrap_or_else(|error| stopped(&error.to_string())))
    }

    /// Ends the run if its time is over.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let deadline = self.bound.deadline;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if let Stage::Background { run, .. } = &self.stage {
            if let Some(running) = run.take() {
                self.end_with(Some(running));
            } else if !std::mem::replace(&mut self.is_overdue, true) {
                // It is being executed, so it will look at the deadline itself, and then its slot is
                // free when the caller knows. Where its thread has lost the core, nobody waits for that.
                let last = self.clock.now() + LAST_LOOK_MAX;
                sleep.as_mut().reset(last.into());
                return self.poll_deadline(context);
            }
        }
        self.end();
        Poll::Ready(Ok(Outcome::Failed(FunctionError::TimedOut {
            timeout: self.bound.timeout,
        })))
    }

    /// Drops what is left of the run.
    fn end(&mut self) {
        let running = match std::mem::replace(&mut self.stage, Stage::Nothing) {
            Stage::Inline(running) => Some(running),
            Stage::Background { run, task } => {
                task.abort();
                // If it is being executed it goes after its slice.
                run.take()
            }
            Stage::Nothing => None,
        };
        self.end_with(running);
    }

    /// One that ended by itself keeps its time. Dropping is not part of the time.
    fn end_with(&self, running: Option<Running>) {
        if !self.observed.has_ended() {
            self.observed.end(self.clock.now());
        }
        // Giving back a gigabyte takes a tenth of a second, which other events must not wait for.
        if let Some(running) = running.filter(|running| running.execution.is_some())
            && self.observed.memory_peak_bytes() > DROP_INLINE_BYTES_MAX
        {
            self.background.spawn(async move { drop(running) });
        }
    }
}

impl Future for HandOver {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        match this.poll_run(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => this.poll_deadline(context),
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        self.end();
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
                let bound = Bound {
                    deadline: clock.now() + std::time::Duration::from_secs(60),
                    timeout: Timeout::DEFAULT,
                };
                let execution = panic_after(yields);
                let running = Running::new(execution, Arc::clone(&observed), clock.clone());
                let run = HandOver::new(running, bound, runtime.handle().clone());
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
