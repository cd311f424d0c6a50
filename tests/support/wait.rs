//! Waiting: always for a condition, never for a while.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read the clock and pause between two looks"
)]

use std::time::{Duration, Instant};

/// How long a condition may take to come true. Generous: a slow machine is no reason to fail.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `probe` has something, and gives it.
///
/// # Panics
///
/// When [`PATIENCE`] is over; the message says `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, probe) {
        Some(found) => found,
        None => panic!("waited {} s in vain: {what}", PATIENCE.as_secs()),
    }
}

/// Looks until `probe` has something, or `patience` is over.
pub fn within<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if started.elapsed() >= patience {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Lets time pass where passing time is what is tested: a slow writer, a rate of requests.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Measures a stretch of time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it was started.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
