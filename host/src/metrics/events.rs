//! Counters of events that wait: what was taken in, and what became of it.
//!
//! They count what this process did; what waits now is asked of the queue.

use std::sync::atomic::AtomicU64;

use domain::event::EventState;
use storage::Ending;

use super::{Text, add, get};

/// Counters of events.
#[derive(Debug, Default)]
pub(crate) struct EventMetrics {
    accepted: AtomicU64,
    succeeded: AtomicU64,
    dead: AtomicU64,
    expired: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    returned: AtomicU64,
    deliveries_failed: AtomicU64,
}

impl EventMetrics {
    /// Counts events that were taken in.
    pub(crate) fn accepted(&self, count: usize) {
        add(&self.accepted, count as u64);
    }

    /// Counts an attempt that was closed, once that is durable.
    pub(crate) fn closed(&self, ending: &Ending, follow_ups: usize) {
        let counter = match ending {
            Ending::End { condition, .. } => match condition.state() {
                EventState::Succeeded => &self.succeeded,
                EventState::Expired => &self.expired,
                EventState::Dead | EventState::Queued | EventState::Running => &self.dead,
            },
            Ending::Retry(_) => &self.retried,
            Ending::Refuse { .. } => &self.refused,
            Ending::Return { .. } => &self.returned,
        };
        add(counter, 1);
        self.accepted(follow_ups);
    }

    /// Counts a destination that did not take a record.
    pub(crate) fn delivery_failed(&self) {
        add(&self.deliveries_failed, 1);
    }

    pub(super) fn render(&self, text: &mut Text) {
        text.family(
            "mayfly_events_accepted_total",
            "counter",
            "Events that were taken in.",
        );
        text.sample("mayfly_events_accepted_total", "", get(&self.accepted));
        text.family(
            "mayfly_events_ended_total",
            "counter",
            "Events that came to their end.",
        );
        for (state, counter) in [
            (EventState::Succeeded, &self.succeeded),
            (EventState::Dead, &self.dead),
            (EventState::Expired, &self.expired),
        ] {
            let labels = format!("state=\"{state}\"");
            text.sample("mayfly_events_ended_total", &labels, get(counter));
        }
        text.family(
            "mayfly_events_queued_again_total",
            "counter",
            "Attempts after which an event waits again: it is retried, it was refused, it was returned by a shutdown.",
        );
        for (why, counter) in [
            ("retry", &self.retried),
            ("refused", &self.refused),
            ("returned", &self.returned),
        ] {
            let labels = format!("why=\"{why}\"");
            text.sample("mayfly_events_queued_again_total", &labels, get(counter));
        }
        text.family(
            "mayfly_deliveries_failed_total",
            "counter",
            "Attempts to hand over a record that a destination did not take.",
        );
        text.sample(
            "mayfly_deliveries_failed_total",
            "",
            get(&self.deliveries_failed),
        );
    }
}
