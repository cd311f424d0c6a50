//! The queue's time: steady, whatever the machine's clock does.
//!
//! It begins at the wall clock and goes on by the monotonic one, so that a clock that jumps neither
//! makes events too old nor due. Over a restart it goes on from the last time that was stored, unless
//! the wall clock says a later one that can be believed.

use std::time::{Duration, Instant};

use domain::Clock;

/// A longer absence is taken for a wrong clock.
pub(super) const ABSENCE_MAX: Duration = Duration::from_secs(30 * 86_400);

#[derive(Debug, Clone)]
pub(super) struct QueueTime {
    clock: Clock,
    started: Instant,
    started_us: i64,
}

impl QueueTime {
    /// Goes on after the last process, whose last time this was.
    pub(super) fn resume(clock: Clock, last_us: Option<i64>) -> Self {
        let wall_us = clock.unix_us();
        let started_us = match last_us {
            None => wall_us.max(0),
            Some(last_us) => {
                let absence_max = i64::try_from(ABSENCE_MAX.as_micros()).unwrap_or(i64::MAX);
                if (last_us..=last_us.saturating_add(absence_max)).contains(&wall_us) {
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
        }
    }

    pub(super) fn now_us(&self) -> i64 {
        let elapsed = self.clock.now().saturating_duration_since(self.started);
        let elapsed_us = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        self.started_us.saturating_add(elapsed_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn it_goes_on_from_the_wall_clock_only_if_that_can_be_believed() {
        let last = 1_000 * DAY_US;
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
}
