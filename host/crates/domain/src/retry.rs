//! What becomes of an event after an attempt at it. Pure: facts in, a decision out.
//!
//! Failures of the function count against its retries. Refusals (throttles, failures of ours, a
//! destination that does not answer) do not: the event waits longer and longer until it is too old.
//! Knows nothing of where events are kept.

use std::time::Duration;

use crate::event::Condition;

/// Most retries that a function may have. The rule of Lambda's `MaximumRetryAttempts`.
pub const RETRIES_MAX: u32 = 2;

/// Shortest age at which an event may be given up, in seconds. The rule of Lambda's
/// `MaximumEventAgeInSeconds`.
pub const EVENT_AGE_S_MIN: u32 = 60;
/// Longest age at which an event is given up, in seconds; also the default.
pub const EVENT_AGE_S_MAX: u32 = 21_600;

/// What a function's configuration says of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one, 0 to [`RETRIES_MAX`].
    pub retries: u32,
    /// An event older than this is not tried again.
    pub age_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: RETRIES_MAX,
            age_max: Duration::from_secs(u64::from(EVENT_AGE_S_MAX)),
        }
    }
}

/// How long to wait, the same for all functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    /// Before the second attempt, and before the third.
    pub retries: [Duration; 2],
    /// After the first refusal; doubles with each further one.
    pub refused: Duration,
    /// No wait after a refusal is longer.
    pub refused_max: Duration,
}

impl Default for Delays {
    /// # Source
    ///
    /// Lambda's: 60 s and 120 s, and 1 s to 300 s.
    fn default() -> Self {
        Self {
            retries: [Duration::from_secs(60), Duration::from_secs(120)],
            refused: Duration::from_secs(1),
            refused_max: Duration::from_secs(300),
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempted {
    /// It succeeded.
    Succeeded,
    /// The function failed, or the host died under it.
    Failed,
    /// It could not be made, or we failed: it does not count.
    Refused,
    /// It is of no use to try again, for this reason.
    Hopeless(Condition),
}

/// How far an event is, this attempt included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Attempts that count against the retries.
    pub failures: u32,
    /// Refusals since the last attempt that counted.
    pub refusals: u32,
    /// Since it was accepted.
    pub age: Duration,
}

/// What becomes of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It ends.
    End(Condition),
    /// It is tried again after this time.
    Again(Duration),
}

/// What becomes of an event after an attempt.
#[must_use]
pub fn decide(
    attempted: Attempted,
    progress: Progress,
    policy: &RetryPolicy,
    delays: &Delays,
) -> Decision {
    let wait = match attempted {
        Attempted::Succeeded => return Decision::End(Condition::Success),
        Attempted::Hopeless(condition) => return Decision::End(condition),
        Attempted::Failed => {
            if progress.failures > policy.retries {
                return Decision::End(Condition::RetriesExhausted);
            }
            let nth = usize::try_from(progress.failures.saturating_sub(1)).unwrap_or(usize::MAX);
            delays.retries[nth.min(delays.retries.len() - 1)]
        }
        Attempted::Refused => refused_wait(progress.refusals, delays),
    };
    if progress.age.saturating_add(wait) > policy.age_max {
        Decision::End(Condition::EventAgeExceeded)
    } else {
        Decision::Again(wait)
    }
}

/// The wait after the `refusals`-th refusal in a row.
#[must_use]
pub fn refused_wait(refusals: u32, delays: &Delays) -> Duration {
    let doublings = refusals.saturating_sub(1).min(31);
    delays
        .refused
        .saturating_mul(1 << doublings)
        .min(delays.refused_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn progress(failures: u32, refusals: u32, age_s: u64) -> Progress {
        Progress {
            failures,
            refusals,
            age: Duration::from_secs(age_s),
        }
    }

    #[track_caller]
    fn check(attempted: Attempted, progress: Progress, expected: Decision) {
        let decision = decide(
            attempted,
            progress,
            &RetryPolicy::default(),
            &Delays::default(),
        );
        assert_eq!(decision, expected, "{attempted:?} {progress:?}");
    }

    #[test]
    fn a_function_that_fails_is_tried_after_one_minute_and_after_two() {
        let again = |seconds| Decision::Again(Duration::from_secs(seconds));
        check(Attempted::Failed, progress(1, 0, 0), again(60));
        check(Attempted::Failed, progress(2, 0, 60), again(120));
        check(
            Attempted::Failed,
            progress(3, 0, 180),
            Decision::End(Condition::RetriesExhausted),
        );
    }

    #[test]
    fn refusals_wait_longer_and_longer_and_never_use_up_retries() {
        for (refusals, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1_000, 300)] {
            check(
                Attempted::Refused,
                progress(2, refusals, 60),
                Decision::Again(Duration::from_secs(seconds)),
            );
        }
    }

    #[test]
    fn an_event_that_would_be_too_old_by_then_is_given_up_at_once() {
        let end = Decision::End(Condition::EventAgeExceeded);
        check(Attempted::Failed, progress(1, 0, 21_541), end);
        check(
            Attempted::Failed,
            progress(1, 0, 21_540),
            Decision::Again(Duration::from_secs(60)),
        );
        check(Attempted::Refused, progress(0, 20, 21_301), end);
    }

    #[test]
    fn what_succeeds_or_is_hopeless_ends_whatever_its_age() {
        check(
            Attempted::Succeeded,
            progress(3, 0, 99_999),
            Decision::End(Condition::Success),
        );
        let hopeless = Condition::ZeroReservedConcurrency;
        check(
            Attempted::Hopeless(hopeless),
            progress(1, 0, 0),
            Decision::End(hopeless),
        );
    }
}
