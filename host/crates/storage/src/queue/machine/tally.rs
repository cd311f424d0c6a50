//! How much is in each queue, and how effects change that.
//!
//! Knows nothing of operations.

use std::collections::BTreeMap;

use domain::event::EventState;

use super::Effect;
use crate::queue::Quota;

/// How much is in one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events that wait.
    pub queued: u64,
    /// Events with an attempt under way.
    pub running: u64,
    /// The payloads of both.
    pub bytes: u64,
    /// Events that died or expired and are kept.
    pub kept_events: u64,
    /// Their payloads.
    pub kept_bytes: u64,
}

impl Depth {
    /// Whether nothing waits, runs or is kept.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.queued == 0 && self.running == 0 && self.kept_events == 0
    }

    /// With one more event that waits.
    pub(super) fn with(self, bytes: u64) -> Self {
        Self {
            queued: self.queued + 1,
            bytes: self.bytes + bytes,
            ..self
        }
    }

    /// Whether more waits and runs than may.
    pub(super) fn is_over(self, quota: Quota) -> bool {
        self.queued + self.running > quota.events || self.bytes > quota.bytes
    }

    /// Whether no more may be kept.
    pub(super) fn is_kept_full(self, quota: Quota) -> bool {
        self.kept_events >= quota.events || self.kept_bytes >= quota.bytes
    }

    /// Whether it holds more than twice what may wait: nothing at all is added then.
    pub(super) fn is_beyond_twice(self, quota: Quota) -> bool {
        self.queued + self.running + self.kept_events > quota.events.saturating_mul(2)
            || self.bytes + self.kept_bytes > quota.bytes.saturating_mul(2)
    }
}

/// How much there is, by queue. What is empty is not there.
pub(in crate::queue) type Depths = BTreeMap<String, Depth>;

/// The depths, as the operations of one transaction change them.
#[derive(Debug)]
pub(in crate::queue) struct Tally<'a> {
    pub(super) before: &'a Depths,
    /// Of the queues in which an event changed.
    pub(in crate::queue) touched: Depths,
}

impl<'a> Tally<'a> {
    pub(in crate::queue) fn new(before: &'a Depths) -> Self {
        Self {
            before,
            touched: Depths::new(),
        }
    }

    pub(super) fn depth(&self, queue: &str) -> Depth {
        let depth = self.touched.get(queue).or_else(|| self.before.get(queue));
        depth.copied().unwrap_or_default()
    }

    /// Counts what effects do.
    pub(in crate::queue) fn count(&mut self, effects: &[Effect]) {
        for effect in effects {
            let (event, from, to) = match effect {
                Effect::Insert(event, _) => (event, None, Some(event.state)),
                Effect::Update { from, event } | Effect::Requeue { from, event } => {
                    (event, Some(*from), Some(event.state))
                }
                Effect::Remove(event) => (event, Some(event.state), None),
                Effect::DropPayload(_)
                | Effect::Forget(_)
                | Effect::PutSchedule(_)
                | Effect::RemoveSchedule(_) => continue,
            };
            let queue = event.target.queue();
            let mut depth = self.depth(&queue);
            for (state, is_in) in [(from, false), (to, true)] {
                let (counter, bytes) = match state {
                    Some(EventState::Queued) => (&mut depth.queued, &mut depth.bytes),
                    Some(EventState::Running) => (&mut depth.running, &mut depth.bytes),
                    Some(EventState::Dead | EventState::Expired) => {
                        (&mut depth.kept_events, &mut depth.kept_bytes)
                    }
                    Some(EventState::Succeeded) | None => continue,
                };
                if is_in {
                    *counter += 1;
                    *bytes += event.bytes;
                } else {
                    *counter = counter.saturating_sub(1);
                    *bytes = bytes.saturating_sub(event.bytes);
                }
            }
            self.touched.insert(queue, depth);
        }
    }
}
