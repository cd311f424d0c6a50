//! The queue's time: steady, whatever the machine's clock does.
//!
//! It begins at the wall clock and goes on by the monotonic one, so that a clock that jumps neither
//! makes events too old nor due. Over a restart it goes on from the last time that was stored (with every
//! change, every hour and at the end), unless the wall clock says a later one that can be believed: at most
//! 30 days later.
//!
//! So it lags behind when the wall clock was wrong at the start, or after a longer absence. It goes over to
//! the wall clock when that is ahead, nothing waits or runs that would get old by it, and the wall clock
//! went on as the monotonic one did for an hour. If it jumped since the process started, it is believed for
//! 30 days and no more. The queue's time never goes back: after a clock that was ahead it stays ahead until
//! the wall clock is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use domain::Clock;

/// A longer absence is taken for a wrong clock.
pub(super) const ABSENCE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// For so long the wall clock has to go on steadily.
const STEADY: Duration = Duration::from_secs(3_600);
/// By so much it may differ from the monotonic one meanwhile.
const APART_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(super) struct QueueTime {
    clock: Clock,
    started: Instant,
    started_us: i64,
    /// By how much it went ahead since then, besides what went by.
    ahead_us: Arc<AtomicI64>,
}

/// Since when the wall clock went on steadily.
#[derive(Debug)]
pub(super) struct Watch {
    since: Instant,
    wall_us: i64,
    has_jumped: bool,
}

impl QueueTime {
    /// Goes on after the last process, whose last time this was.
    pub(super) fn resume(clock: Clock, last_us: Option<i64>) -> Self {
        let wall_us = clock.unix_us();
        let started_us = match last_us {
            None => wall_us.max(0),
            Some(last_us) => {
                let latest_us = last_us.saturating_add(microseconds(ABSENCE_MAX));
                if (last_us..=latest_us).contains(&wall_us) {
                    wall_us
                } else {
                    last_us
                }
            }
        };
        Self {
            started: clock.now(),
            clock,
            started_us,
            ahead_us: Arc::default(),
        }
    }

    pub(super) fn now_us(&self) -> i64 {
        let elapsed = self.clock.now().saturating_duration_since(self.started);
        self.started_us
            .saturating_add(microseconds(elapsed))
            .saturating_add(self.ahead_us.load(Ordering::Relaxed))
    }

    /// Begins to watch the wall clock, when the process starts.
    pub(super) fn watch(&self) -> Watch {
        Watch {
            since: self.clock.now(),
            wall_us: self.clock.unix_us(),
            has_jumped: false,
        }
    }

    /// Goes over to the wall clock if it can be believed and the queue `is_empty`; whether it did. For the
    /// writer alone, from time to time.
    pub(super) fn follow(&self, watch: &mut Watch, is_empty: bool) -> bool {
        let (now, wall_us) = (self.clock.now(), self.clock.unix_us());
        let elapsed = now.saturating_duration_since(watch.since);
        let expected_us = watch.wall_us.saturating_add(microseconds(elapsed));
        if wall_us.abs_diff(expected_us) > microseconds(APART_MAX).unsigned_abs() {
            *watch = Watch {
                since: now,
                wall_us,
                has_jumped: true,
            };
            return false;
        }
        let ahead_us = wall_us.saturating_sub(self.now_us());
        let is_believed = !watch.has_jumped || ahead_us <= microseconds(ABSENCE_MAX);
        let goes_over =
            is_empty && elapsed >= STEADY && is_believed && ahead_us > microseconds(APART_MAX);
        if goes_over {
            self.ahead_us.fetch_add(ahead_us, Ordering::Relaxed);
        }
        goes_over
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    const DAY_US: i64 = 86_400_000_000;
    const LAST: i64 = 1_000 * DAY_US;

    #[test]
    fn it_goes_on_from_the_wall_clock_only_if_that_can_be_believed() {
        let last = LAST;
        for (wall, expected) in [
            (last, last),
            (last + DAY_US, last + DAY_US),
            (last - DAY_US, last),
            (-DAY_US, last),
            (last + 31 * DAY_US, last),
            (i64::MAX, last),
        ] {
            let time = QueueTime::resume(Clock::manual(wall), Some(last));
            assert_eq!(time.now_us(), expected, "{wall}");
        }
        assert_eq!(QueueTime::resume(Clock::manual(-5), None).now_us(), 0);
    }

    #[test]
    fn after_a_long_absence_it_goes_over_to_a_wall_clock_that_is_steady_once_nothing_waits() {
        let clock = Clock::manual(LAST + 400 * DAY_US);
        let time = QueueTime::resume(clock.clone(), Some(LAST));
        let mut watch = time.watch();
        clock.advance(HOUR - Duration::from_secs(1));
        assert!(!time.follow(&mut watch, true), "too early");
        clock.advance(DAY);
        assert!(!time.follow(&mut watch, false), "something waits");
        let before = time.now_us();
        assert!(time.follow(&mut watch, true));
        assert_eq!(time.now_us(), clock.unix_us());
        assert!(time.now_us() - before >= 399 * DAY_US);
        assert!(!time.follow(&mut watch, true), "once is enough");
        clock.advance(HOUR);
        assert_eq!(time.now_us(), clock.unix_us());
    }

    #[test]
    fn a_clock_that_jumps_is_followed_after_an_hour_for_a_month_and_never_back() {
        // Without a battery: in 1970 at first, and set right later.
        for (set, follows) in [
            (5, true),
            (29, true),
            (31, false),
            (30_000, false),
            (-5, false),
        ] {
            let clock = Clock::manual(0);
            let time = QueueTime::resume(clock.clone(), Some(LAST));
            let mut watch = time.watch();
            clock.advance(HOUR);
            assert!(!time.follow(&mut watch, true), "it is behind");
            clock.set_unix_us(LAST + set * DAY_US);
            assert!(!time.follow(&mut watch, true), "it has just jumped");
            let before = time.now_us();
            clock.advance(HOUR);
            assert_eq!(time.follow(&mut watch, true), follows, "{set}");
            let expected = match follows {
                true => clock.unix_us(),
                false => before + DAY_US / 24,
            };
            assert_eq!(time.now_us(), expected, "{set}");
        }
    }

    #[test]
    fn a_clock_that_jumps_to_and_fro_is_not_followed() {
        let clock = Clock::manual(LAST + 400 * DAY_US);
        let time = QueueTime::resume(clock.clone(), Some(LAST));
        let mut watch = time.watch();
        for round in 0..100 {
            clock.advance(HOUR / 2);
            let jump = if round % 2 == 0 { DAY_US } else { -DAY_US };
            clock.set_unix_us(clock.unix_us() + jump);
            assert!(!time.follow(&mut watch, true), "{round}");
        }
        assert_eq!(time.now_us(), LAST + 50 * DAY_US / 24);
    }
}
