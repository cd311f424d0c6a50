//! What becomes of the runs of schedules, counted.
//!
//! Knows nothing of which schedule it was.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a run that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is an event.
    Enqueued,
    /// It was left out: the one before was not over.
    Overlap,
    /// It was left out: it was due too long ago.
    Missed,
    /// It was left out: the function's queue was full.
    Full,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Enqueued, Self::Overlap, Self::Missed, Self::Full];

    fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Overlap => "overlap",
            Self::Missed => "missed",
            Self::Full => "full",
        }
    }
}

/// How often each was.
#[derive(Debug, Default)]
pub(super) struct Outcomes([AtomicU64; Outcome::ALL.len()]);

impl Outcomes {
    /// Counts what is durable.
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For Prometheus.
    pub(super) fn render(&self) -> String {
        const NAME: &str = "mayfly_schedule_runs_total";
        let mut text = format!(
            "# HELP {NAME} Runs of schedules that were due: enqueued, or left out and why.\n# TYPE {NAME} counter\n"
        );
        for (outcome, counter) in Outcome::ALL.iter().zip(&self.0) {
            let (outcome, count) = (outcome.as_str(), counter.load(Ordering::Relaxed));
            let _written = writeln!(text, "{NAME}{{outcome=\"{outcome}\"}} {count}");
        }
        text
    }
}
