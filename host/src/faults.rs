//! Our own failures, told in the log without drowning it.
//!
//! A full disk refuses thousands of invocations a second. The first failure of a second, or of another
//! time, is logged whole, the others are counted.

use std::error::Error;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use domain::Clock;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Which second was logged, and what was left out since.
#[derive(Debug)]
pub(crate) struct Faults {
    period_us: i64,
    /// Periods since 1970.
    logged: AtomicI64,
    left_out: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            period_us: MICROS_PER_SECOND,
            logged: AtomicI64::new(0),
            left_out: AtomicU64::new(0),
        }
    }
}

impl Faults {
    /// Logs one failure a minute.
    pub(crate) fn once_a_minute() -> Self {
        Self {
            period_us: 60 * MICROS_PER_SECOND,
            ..Self::default()
        }
    }

    /// Logs a failure of ours, or counts it when one was logged in this period.
    pub(crate) fn note(&self, clock: &Clock, error: &dyn Error) {
        let period = clock.unix_us().div_euclid(self.period_us);
        if self.logged.swap(period, Ordering::Relaxed) == period {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => tracing::error!("{}", chain(error)),
            left_out => {
                tracing::error!("{} (and {left_out} more since the last one)", chain(error));
            }
        }
    }
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_of_a_second_is_logged_and_the_others_are_counted() {
        let clock = Clock::manual(7_000_000);
        let faults = Faults::default();
        let error = std::io::Error::other("x");
        for _ in 0..3 {
            faults.note(&clock, &error);
        }
        assert_eq!(faults.left_out.load(Ordering::Relaxed), 2);
        clock.advance(std::time::Duration::from_secs(1));
        faults.note(&clock, &error);
        assert_eq!(faults.left_out.load(Ordering::Relaxed), 0);
    }
}
