//! What a schedule has to do now. Pure: facts in, a decision out.
//!
//! At most one run comes of one look, however the clock jumped: what was missed is left out, or made
//! up for by one run.

use serde::{Deserialize, Serialize};

use super::{Expression, Zone, jitter_us};

/// A run that is later than this, after its window, was missed, in microseconds. More than we ever
/// take for enqueuing an event; less than the shortest rate twice.
pub const LATE_US_MAX: i64 = 60_000_000;

/// A schedule that is further ahead of the clock than this ran when the clock was wrong, in
/// microseconds. Corrections of a clock that is right are smaller.
pub const AHEAD_US_MAX: i64 = 3_600_000_000;

/// What becomes of runs that were missed, because the server did not run or the clock leapt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One run makes up for all of them: the last.
    RunOnce,
}

/// What becomes of a run while the event of one before still waits or runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It runs beside it.
    #[default]
    Allow,
    /// It is left out.
    Skip,
}

/// All that has a say in when a schedule runs. Instants are Unix microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// When it is due.
    pub expression: Expression,
    /// Whose clocks count.
    pub zone: Zone,
    /// Since when it is as it is.
    pub since_us: i64,
    /// Whether a rate without a start begins at once, and not a period after `since_us`.
    pub is_at_once: bool,
    /// It is not due before.
    pub start_us: Option<i64>,
    /// It is not due after.
    pub end_us: Option<i64>,
    /// Runs are spread over this many seconds after they are due.
    pub window_s: u32,
    /// What becomes of missed runs.
    pub missed: Missed,
    /// A missed run that is later than this is left out whatever `missed` says, in seconds.
    pub missed_s_max: Option<u32>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It is never due any more.
    Over,
    /// Nothing until then.
    Wait {
        /// Unix microseconds.
        until_us: i64,
    },
    /// Run it now.
    Run {
        /// For this time.
        due_us: i64,
    },
    /// What was due up to then was missed, and is left out.
    Skip {
        /// The last time.
        due_us: i64,
    },
    /// It ran while the clock was ahead: it goes on from now.
    ClockWentBack,
}

impl Timing {
    /// The next time that it is due, after what was dealt with last.
    #[must_use]
    pub fn next_due_us(&self, last_due_us: Option<i64>) -> Option<i64> {
        self.due_after(self.base_us(last_due_us))
    }

    /// The next time that it is due after an instant.
    #[must_use]
    pub fn due_after(&self, after_us: i64) -> Option<i64> {
        let first = self
            .start_us
            .map_or(i64::MIN, |start| start.saturating_sub(1));
        let next = self
            .expression
            .next_after(after_us.max(first), &self.zone, self.anchor_us())?;
        self.end_us.is_none_or(|end| next <= end).then_some(next)
    }

    /// What to do at `now_us`.
    #[must_use]
    pub fn plan(&self, key: &str, last_due_us: Option<i64>, now_us: i64) -> Plan {
        if self.is_ahead(last_due_us, now_us) {
            return Plan::ClockWentBack;
        }
        let Some(next) = self.next_due_us(last_due_us) else {
            return Plan::Over;
        };
        let until_us = self.runs_at(key, next);
        if now_us < until_us {
            return Plan::Wait { until_us };
        }
        let in_time_us = i64::from(self.window_s) * 1_000_000 + LATE_US_MAX;
        if now_us.saturating_sub(next) <= in_time_us {
            return Plan::Run { due_us: next };
        }
        let until_us = self.end_us.map_or(now_us, |end| end.min(now_us));
        let newest = self
            .expression
            .last_until(until_us, &self.zone, self.anchor_us());
        let due_us = newest.filter(|newest| *newest >= next).unwrap_or(next);
        let late_us = now_us.saturating_sub(due_us);
        let is_too_late = self
            .missed_s_max
            .is_some_and(|max| late_us > i64::from(max) * 1_000_000);
        let runs = match self.missed {
            Missed::Skip => late_us <= in_time_us,
            Missed::RunOnce => !is_too_late,
        };
        if runs {
            Plan::Run { due_us }
        } else {
            Plan::Skip { due_us }
        }
    }

    /// When the run that is due at `due_us` begins: somewhere in its window.
    #[must_use]
    pub fn runs_at(&self, key: &str, due_us: i64) -> i64 {
        due_us.saturating_add(jitter_us(key, due_us, self.window_s))
    }

    /// Whether it is ahead of the clock, which was wrong then.
    #[must_use]
    pub fn is_ahead(&self, last_due_us: Option<i64>, now_us: i64) -> bool {
        self.base_us(last_due_us) > now_us.saturating_add(AHEAD_US_MAX)
    }

    fn anchor_us(&self) -> i64 {
        self.start_us.unwrap_or(self.since_us)
    }

    fn base_us(&self, last_due_us: Option<i64>) -> i64 {
        let first = self.since_us.saturating_sub(i64::from(self.is_at_once));
        last_due_us.map_or(first, |last| last.max(first))
    }
}
