//! Counters of events that wait: what was taken in, and what became of it.
//!
//! They count what this process did; what waits now is asked of the queue.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use domain::event::EventState;
use storage::{Depth, Ending, Forgotten, Published};

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
    closes_failed: AtomicU64,
    records_left_out: AtomicU64,
    /// Copies of what was published.
    copies: Copies,
}

/// What became of the copies of events that were published to topics.
#[derive(Debug, Default)]
struct Copies {
    queued: AtomicU64,
    dead: AtomicU64,
    refused: AtomicU64,
    skipped: AtomicU64,
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

    /// Counts the copies of what was published that were taken in.
    pub(crate) fn published(&self, copies: &[Published]) {
        for copy in copies {
            match copy {
                Published::Queued => add(&self.copies.queued, 1),
                Published::Dead => {
                    add(&self.copies.dead, 1);
                    add(&self.dead, 1);
                }
                Published::Refused => continue,
            }
            self.accepted(1);
        }
    }

    /// Counts subscribers that got nothing of what was published.
    pub(crate) fn left_out(&self, refused: usize, skipped: usize) {
        add(&self.copies.refused, refused as u64);
        add(&self.copies.skipped, skipped as u64);
    }

    /// Counts a destination that did not take a record.
    pub(crate) fn delivery_failed(&self) {
        add(&self.deliveries_failed, 1);
    }

    /// Counts a try to close an attempt that failed.
    pub(crate) fn close_failed(&self) {
        add(&self.closes_failed, 1);
    }

    /// Counts records that their destination's queue had no room for.
    pub(crate) fn records_left_out(&self, count: usize) {
        add(&self.records_left_out, count as u64);
    }

    pub(super) fn render(&self, text: &mut Text) {
        for (name, help, counter) in [
            (
                "mayfly_events_accepted_total",
                "Events that were taken in.",
                &self.accepted,
            ),
            (
                "mayfly_deliveries_failed_total",
                "Attempts to hand over a record that a destination did not take.",
                &self.deliveries_failed,
            ),
            (
                "mayfly_events_close_failed_total",
                "Tries to close an attempt that failed; its event runs for the queue until one succeeds.",
                &self.closes_failed,
            ),
            (
                "mayfly_records_left_out_total",
                "Records of events that were not made: the queue of the destination holds twice what may wait there.",
                &self.records_left_out,
            ),
        ] {
            text.family(name, "counter", help);
            text.sample(name, "", get(counter));
        }
        let ended = [
            (EventState::Succeeded.as_str(), &self.succeeded),
            (EventState::Dead.as_str(), &self.dead),
            (EventState::Expired.as_str(), &self.expired),
        ];
        let help = "Events that came to their end.";
        labelled(text, ("mayfly_events_ended_total", help), "state", &ended);
        let again = [
            ("retry", &self.retried),
            ("refused", &self.refused),
            ("returned", &self.returned),
        ];
        let help = "Attempts after which an event waits again: it is retried, it was refused, it was returned by a shutdown.";
        labelled(
            text,
            ("mayfly_events_queued_again_total", help),
            "why",
            &again,
        );
        let copies = [
            ("queued", &self.copies.queued),
            ("dead", &self.copies.dead),
            ("refused", &self.copies.refused),
            ("skipped", &self.copies.skipped),
        ];
        let help = "Events for subscribers of topics: queued, dead at once as the queue was full, refused as the dead letters were too, skipped for an alias or version that is not there.";
        labelled(
            text,
            ("mayfly_topic_copies_total", help),
            "outcome",
            &copies,
        );
    }
}

/// A family of counters that differ by one label.
fn labelled(
    text: &mut Text,
    (name, help): (&str, &str),
    label: &str,
    counters: &[(&str, &AtomicU64)],
) {
    text.family(name, "counter", help);
    for (value, counter) in counters {
        text.sample(name, &format!("{label}=\"{value}\""), get(counter));
    }
}

/// Events that were removed because they had ended long ago.
pub(crate) fn forgotten(forgotten: Forgotten) -> String {
    const NAME: &str = "mayfly_events_forgotten_total";
    let Forgotten {
        succeeded,
        dead,
        expired,
    } = forgotten;
    let mut text = Text::default();
    text.family(
        NAME,
        "counter",
        "Events that were removed because they had ended long ago.",
    );
    for (state, count) in [
        (EventState::Succeeded, succeeded),
        (EventState::Dead, dead),
        (EventState::Expired, expired),
    ] {
        text.sample(NAME, &format!("state=\"{state}\""), count);
    }
    text.0
}

/// One number of what waits.
type Value = fn(&Waiting) -> u64;

/// What waits for one target.
#[derive(Default)]
struct Waiting {
    depth: Depth,
    /// Of the oldest.
    age_s: u64,
}

/// What waits, for each target; `oldest` says when its oldest event was accepted, in queue time, as
/// `now_us` is. Of the address of a destination only its origin is shown: the rest may be a secret.
pub(crate) fn waiting(
    depths: &BTreeMap<String, Depth>,
    oldest: &BTreeMap<String, i64>,
    now_us: i64,
) -> String {
    let mut targets: BTreeMap<&str, Waiting> = BTreeMap::new();
    for (queue, depth) in depths {
        let waiting = targets.entry(origin(queue)).or_default();
        waiting.depth.queued += depth.queued;
        waiting.depth.running += depth.running;
        waiting.depth.bytes += depth.bytes;
        waiting.depth.kept_events += depth.kept_events;
        waiting.depth.kept_bytes += depth.kept_bytes;
        let accepted_us = oldest.get(queue).copied().unwrap_or(now_us);
        let age_us = u64::try_from(now_us.saturating_sub(accepted_us)).unwrap_or(0);
        waiting.age_s = waiting.age_s.max(age_us / 1_000_000);
    }
    let families: [(&str, &str, Value); 6] = [
        ("mayfly_queue_queued", "Events that wait, by target.", |w| {
            w.depth.queued
        }),
        (
            "mayfly_queue_running",
            "Events with an attempt under way, by target.",
            |w| w.depth.running,
        ),
        ("mayfly_queue_bytes", "Their payloads, by target.", |w| {
            w.depth.bytes
        }),
        (
            "mayfly_queue_oldest_age_seconds",
            "Age of the oldest of them, by target.",
            |w| w.age_s,
        ),
        (
            "mayfly_queue_kept",
            "Dead and expired events that are kept, by target.",
            |w| w.depth.kept_events,
        ),
        (
            "mayfly_queue_kept_bytes",
            "Their payloads, by target.",
            |w| w.depth.kept_bytes,
        ),
    ];
    let mut text = Text::default();
    for (name, help, value) in families {
        text.family(name, "gauge", help);
        for (target, waiting) in &targets {
            text.sample(name, &format!("target=\"{target}\""), value(waiting));
        }
    }
    text.0
}

/// A queue's name up to where an address has its path.
fn origin(queue: &str) -> &str {
    let Some(authority_at) = queue.find("://").map(|at| at + 3) else {
        return queue;
    };
    let path_at = queue[authority_at..].find(['/', '?', '#', '"', '\\']);
    path_at.map_or(queue, |at| &queue[..authority_at + at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_shown_by_target_and_addresses_without_their_paths() {
        let depth = |queued, running| Depth {
            queued,
            running,
            bytes: 10,
            kept_events: 3,
            kept_bytes: 7,
        };
        let depths = BTreeMap::from([
            ("f".to_owned(), depth(2, 1)),
            ("https://hooks.example.com/secret".to_owned(), depth(1, 0)),
            ("https://hooks.example.com/other".to_owned(), depth(3, 0)),
        ]);
        let oldest = BTreeMap::from([("f".to_owned(), 1_000_000)]);
        let text = waiting(&depths, &oldest, 61_000_000);
        for line in [
            "mayfly_queue_queued{target=\"f\"} 2",
            "mayfly_queue_running{target=\"f\"} 1",
            "mayfly_queue_oldest_age_seconds{target=\"f\"} 60",
            "mayfly_queue_queued{target=\"https://hooks.example.com\"} 4",
            "mayfly_queue_bytes{target=\"https://hooks.example.com\"} 20",
            "mayfly_queue_kept{target=\"f\"} 3",
            "mayfly_queue_kept_bytes{target=\"https://hooks.example.com\"} 14",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
}
