//! What is known of the queue without asking the engine: how much waits in each queue, and which have
//! something due.
//!
//! Invariant: a look costs what it returns, however many queues there are. Knows nothing of events and
//! of threads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::core::Changed;
use super::machine::{Depth, NextDue};
use super::{Due, QueueHealth, QueueStatistics};

#[derive(Debug)]
pub(super) struct View {
    pub(super) health: QueueHealth,
    pub(super) statistics: QueueStatistics,
    queues: BTreeMap<String, Waiting>,
    /// Queues of which something was due at an earlier look.
    due: BTreeSet<String>,
    /// All others in which something waits, by when it is due, in queue time.
    later: BTreeSet<(i64, String)>,
}

/// One queue with events.
#[derive(Debug)]
struct Waiting {
    depth: Depth,
    next: Option<NextDue>,
}

impl View {
    pub(super) fn new(queues: Vec<Changed>) -> Self {
        let mut view = Self {
            health: QueueHealth::Writable,
            statistics: QueueStatistics::default(),
            queues: BTreeMap::new(),
            due: BTreeSet::new(),
            later: BTreeSet::new(),
        };
        view.show(queues);
        view
    }

    pub(super) fn show(&mut self, changed: Vec<Changed>) {
        for Changed { queue, depth, next } in changed {
            let due_us = next.map(|next| next.due_us);
            let before = self.queues.get(&queue).and_then(|waiting| waiting.next);
            let before_us = before.map(|next| next.due_us);
            if before_us != due_us {
                let known = before_us.map(|due_us| (due_us, queue.clone()));
                if known.is_some_and(|known| !self.later.remove(&known)) {
                    self.due.remove(&queue);
                }
                self.later
                    .extend(due_us.map(|due_us| (due_us, queue.clone())));
            }
            if depth.is_empty() {
                self.queues.remove(&queue);
            } else {
                self.queues.insert(queue, Waiting { depth, next });
            }
        }
    }

    pub(super) fn depths(&self) -> BTreeMap<String, Depth> {
        let queues = self.queues.iter();
        queues
            .map(|(queue, waiting)| (queue.clone(), waiting.depth))
            .collect()
    }

    /// At most `at_most` queues of which something is due, by name, those after `after` first; and when
    /// something is due in one in which nothing is. Nothing is due that can't be claimed.
    pub(super) fn due(
        &mut self,
        now_us: i64,
        after: &str,
        at_most: usize,
    ) -> (Vec<Due>, Option<i64>) {
        if matches!(self.health, QueueHealth::Failed { .. }) {
            return (Vec::new(), None);
        }
        while self.later.first().is_some_and(|(at, _)| *at <= now_us) {
            let due = self.later.pop_first().map(|(_, queue)| queue);
            self.due.extend(due);
        }
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let up_to = (Bound::Unbounded, Bound::Included(after));
        let ring = self.due.range::<str, _>(behind);
        let ring = ring.chain(self.due.range::<str, _>(up_to));
        let due = ring.take(at_most).filter_map(|queue| {
            let next = self.queues.get(queue)?.next?;
            Some(Due {
                queue: queue.clone(),
                accepted_at_us: next.accepted_at_us,
            })
        });
        (due.collect(), self.later.first().map(|(at, _)| *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(queue: &str, due_us: Option<i64>) -> Changed {
        Changed {
            queue: queue.to_owned(),
            depth: Depth {
                queued: u64::from(due_us.is_some()),
                ..Depth::default()
            },
            next: due_us.map(|due_us| NextDue {
                due_us,
                accepted_at_us: due_us - 1,
            }),
        }
    }

    #[track_caller]
    fn check(view: &mut View, (now_us, after): (i64, &str), queues: &[&str], next: Option<i64>) {
        let (due, wait) = view.due(now_us, after, 2);
        let due: Vec<_> = due.iter().map(|due| due.queue.as_str()).collect();
        assert_eq!((due, wait), (queues.to_vec(), next));
    }

    #[test]
    fn queues_are_due_in_turn_and_only_so_many_at_once() {
        let queues = [("a", 10), ("b", 10), ("c", 10), ("later", 30)];
        let queues = queues.map(|(queue, due_us)| changed(queue, Some(due_us)));
        let mut view = View::new(queues.into());
        check(&mut view, (9, ""), &[], Some(10));
        check(&mut view, (10, ""), &["a", "b"], Some(30));
        check(&mut view, (10, "b"), &["c", "a"], Some(30));
        check(&mut view, (10, "nowhere"), &["a", "b"], Some(30));
        check(&mut view, (30, "c"), &["later", "a"], None);
    }

    #[test]
    fn a_queue_is_where_its_next_event_is() {
        let mut view = View::new(vec![changed("a", Some(10)), changed("b", Some(10))]);
        check(&mut view, (10, ""), &["a", "b"], None);
        view.show(vec![changed("a", Some(20))]);
        check(&mut view, (10, ""), &["b"], Some(20));
        view.show(vec![changed("a", Some(5)), changed("b", None)]);
        check(&mut view, (10, ""), &["a"], None);
        view.show(vec![changed("a", None)]);
        check(&mut view, (99, ""), &[], None);
        assert!(view.depths().is_empty());
    }
}
