//! The one place that reads time.
//!
//! A [`Clock`] is a value that is handed down, so a test that needs to own time makes a manual one.
//! Deadlines and durations come from the monotonic side; the wall clock is for stamps only, and may
//! jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Reads time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    start: Instant,
    elapsed_ns: AtomicU64,
    unix_us: AtomicI64,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `unix_us` until [`Clock::advance`].
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can only be had from the machine"
    )]
    pub fn manual(unix_us: i64) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            start: Instant::now(),
            elapsed_ns: AtomicU64::new(0),
            unix_us: AtomicI64::new(unix_us),
        })))
    }

    /// Moves a manual clock forward; a system clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            manual.elapsed_ns.fetch_add(ns, Ordering::Relaxed);
            let us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            manual.unix_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// Sets the wall clock of a manual clock, as somebody who corrects it does; monotonic time goes
    /// on.
    pub fn set_unix_us(&self, unix_us: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.unix_us.store(unix_us, Ordering::Relaxed);
        }
    }

    /// Monotonic time. About 25 ns.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => {
                manual.start + Duration::from_nanos(manual.elapsed_ns.load(Ordering::Relaxed))
            }
        }
    }

    /// Wall-clock time in Unix microseconds; negative before 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn unix_us(&self) -> i64 {
        match &self.0 {
            Source::System => match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
                Err(before) => {
                    i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us)
                }
            },
            Source::Manual(manual) => manual.unix_us.load(Ordering::Relaxed),
        }
    }

    /// Wall-clock time in Unix milliseconds, 0 before 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        u64::try_from(self.unix_us().div_euclid(1_000)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_advanced() {
        let clock = Clock::manual(5_000);
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(Duration::from_millis(3));
        assert_eq!(clock.now() - before, Duration::from_millis(3));
        assert_eq!(clock.unix_us(), 8_000);
        let now = clock.now();
        clock.set_unix_us(-1);
        assert_eq!(
            (clock.now(), clock.unix_us(), clock.unix_ms()),
            (now, -1, 0)
        );
    }
}
