//! What queue and ledger should hold, kept in the simplest way: the judge of the simulation.
//!
//! Hears of every record that was appended and of every change that was answered, and of the one that
//! was under way when the process died. Shares no code with what it judges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::event::{EventState, Target};
use domain::{Report, RequestId};

use crate::queue::{
    Ending, Event, Finish, FollowUp, NewEvent, Operation, Published, Quota, Selection,
};

/// An event, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) queue: String,
    /// A function's; others leave no records.
    pub(super) is_function: bool,
    pub(super) state: EventState,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) refusals: u32,
    pub(super) bytes: u64,
    pub(super) accepted_at_us: i64,
    pub(super) due_at_us: i64,
    pub(super) changed_at_us: i64,
    /// Attempts that have a record: bit n for attempt n.
    pub(super) recorded: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    /// Records that retention dropped.
    pub(super) dropped: u64,
    /// The others, oldest first.
    pub(super) records: VecDeque<Arc<Report>>,
    /// How many records are known to be on disk.
    pub(super) synced: u64,
    /// The record that was being appended when the process died.
    pub(super) maybe: Option<Arc<Report>>,
    /// Of all records there ever were.
    charge: u128,
    pub(super) events: BTreeMap<RequestId, Expected>,
    /// The batch that was not answered when the process died.
    pub(super) unanswered: Vec<Operation>,
    pub(super) now_us: i64,
}

/// What an operation should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Changed(u64),
    Claimed,
    Published(Vec<Published>),
    Duplicate,
    NotRunning,
    Quota,
    DeadLetters,
}

impl Model {
    /// Records that there ever were.
    pub(super) fn total(&self) -> u64 {
        self.dropped + u64::try_from(self.records.len()).unwrap()
    }

    /// Of all of them.
    pub(super) fn charge(&self) -> u128 {
        self.charge
    }

    /// A record was appended. `false` when there is one of this attempt, or none of an attempt that is
    /// under way should be.
    pub(super) fn append(&mut self, report: Arc<Report>) -> bool {
        self.charge += u128::from(report.charge_picousd);
        let event = self.events.get_mut(&report.request_id);
        let is_new = event.is_none_or(|event| {
            let bit = 1 << report.attempt;
            let is_new = event.recorded & bit == 0;
            event.recorded |= bit;
            is_new
        });
        self.records.push_back(report);
        is_new
    }

    /// What the ledger has after a death is `total` records, of which it dropped `dropped`.
    pub(super) fn settle_ledger(&mut self, total: u64, dropped: u64) {
        if let Some(maybe) = self.maybe.take()
            && total > self.total()
        {
            self.append(maybe);
        }
        while self.total() > total {
            let report = self.records.pop_back().unwrap();
            self.charge -= u128::from(report.charge_picousd);
            if let Some(event) = self.events.get_mut(&report.request_id) {
                event.recorded &= !(1 << report.attempt);
            }
        }
        self.drop_to(dropped);
        // Going on begins with a sync.
        self.synced = total;
    }

    pub(super) fn drop_to(&mut self, dropped: u64) {
        while self.dropped < dropped {
            self.records.pop_front();
            self.dropped += 1;
        }
    }

    /// Does an operation. Of a claim, `claimed` says which events were taken.
    pub(super) fn apply(
        &mut self,
        operation: &Operation,
        quota: Quota,
        claimed: &[RequestId],
    ) -> Answer {
        match operation {
            Operation::Accept(events) => {
                if let Some(refused) = self.refuses(events, quota) {
                    return refused;
                }
                if events.iter().any(|new| self.events.contains_key(&new.id)) {
                    return Answer::Duplicate;
                }
                events.iter().for_each(|new| self.insert(new));
                Answer::Changed(u64::try_from(events.len()).unwrap())
            }
            Operation::Publish(events) => self.publish(events, quota),
            Operation::Claim { .. } => {
                for id in claimed {
                    let event = self.events.get_mut(id).unwrap();
                    event.state = EventState::Running;
                    event.attempts += 1;
                    event.failures += 1;
                    event.changed_at_us = self.now_us;
                }
                Answer::Claimed
            }
            Operation::Finish(finish) => self.finish(finish, quota),
            Operation::Redrive(Selection::Id(id)) => match self.events.get_mut(id) {
                Some(event) if matches!(event.state, EventState::Dead | EventState::Expired) => {
                    event.state = EventState::Queued;
                    (event.failures, event.refusals) = (0, 0);
                    event.accepted_at_us = self.now_us;
                    event.due_at_us = self.now_us;
                    event.changed_at_us = self.now_us;
                    Answer::Changed(1)
                }
                _ => Answer::Changed(0),
            },
            Operation::Purge(Selection::Id(id)) => {
                let is_there = self
                    .events
                    .get(id)
                    .is_some_and(|event| event.state != EventState::Running);
                if is_there {
                    self.events.remove(id);
                }
                Answer::Changed(u64::from(is_there))
            }
            Operation::Forget {
                succeeded_before_us,
                given_up_before_us,
            } => {
                let before = self.events.len();
                self.events.retain(|_, event| match event.state {
                    EventState::Queued | EventState::Running => true,
                    EventState::Succeeded => event.changed_at_us >= *succeeded_before_us,
                    EventState::Dead | EventState::Expired => {
                        event.changed_at_us >= *given_up_before_us
                    }
                });
                Answer::Changed(u64::try_from(before - self.events.len()).unwrap())
            }
            operation => panic!("the simulation does not do {operation:?}"),
        }
    }

    fn finish(&mut self, finish: &Finish, quota: Quota) -> Answer {
        let now_us = self.now_us;
        let Some(event) = self
            .events
            .get_mut(&finish.id)
            .filter(|event| event.state == EventState::Running && event.attempts == finish.attempt)
        else {
            return Answer::NotRunning;
        };
        event.changed_at_us = now_us;
        let (state, due_at_us, counts, ran) = match finish.ending {
            Ending::End { condition, ran } => (condition.state(), event.due_at_us, ran, ran),
            Ending::Retry(wait) => {
                event.refusals = 0;
                (EventState::Queued, now_us + micros(wait), true, true)
            }
            Ending::Refuse { after, ran } => {
                event.refusals += 1;
                (EventState::Queued, now_us + micros(after), false, ran)
            }
            Ending::Return { ran } => (EventState::Queued, now_us, false, ran),
        };
        event.state = state;
        event.due_at_us = due_at_us;
        event.failures -= u32::from(!counts);
        event.attempts -= u32::from(!ran);
        let mut changed = 1;
        for FollowUp { event, brief } in &finish.follow_ups {
            let mut event = event.clone();
            let queue = event.target.queue();
            if self.refuses(std::slice::from_ref(&event), quota).is_some() {
                event.payload = brief.clone();
                let (waiting, kept) = (self.waiting(&queue), self.kept(&queue));
                let bytes = waiting.1 + kept.1 + u64::try_from(brief.len()).unwrap();
                if waiting.0 + kept.0 + 1 > 2 * quota.events || bytes > 2 * quota.bytes {
                    continue;
                }
            }
            self.insert(&event);
            changed += 1;
        }
        Answer::Changed(changed)
    }

    fn publish(&mut self, events: &[NewEvent], quota: Quota) -> Answer {
        if events.iter().any(|new| self.events.contains_key(&new.id)) {
            return Answer::Duplicate;
        }
        let mut became = Vec::new();
        for new in events {
            let queue = new.target.queue();
            let bytes = u64::try_from(new.payload.len()).unwrap();
            let (waiting, kept) = (self.waiting(&queue), self.kept(&queue));
            let fits =
                |(count, held): (u64, u64)| count < quota.events && held + bytes <= quota.bytes;
            let is_open = kept.0 < quota.events && kept.1 < quota.bytes;
            let is_below_twice = waiting.0 + kept.0 < 2 * quota.events
                && waiting.1 + kept.1 + bytes <= 2 * quota.bytes;
            became.push(
                match (fits(waiting) && is_open, fits(kept) && is_below_twice) {
                    (true, _) => Published::Queued,
                    (false, true) => Published::Dead,
                    (false, false) => Published::Refused,
                },
            );
            if became.last() != Some(&Published::Refused) {
                self.insert(new);
            }
            if let (Some(Published::Dead), Some(event)) =
                (became.last(), self.events.get_mut(&new.id))
            {
                event.state = EventState::Dead;
            }
        }
        Answer::Published(became)
    }

    fn insert(&mut self, new: &NewEvent) {
        let event = Expected {
            queue: new.target.queue(),
            is_function: matches!(new.target, Target::Function { .. }),
            state: EventState::Queued,
            attempts: 0,
            failures: 0,
            refusals: 0,
            bytes: u64::try_from(new.payload.len()).unwrap(),
            accepted_at_us: self.now_us,
            due_at_us: self.now_us + micros(new.delay),
            changed_at_us: self.now_us,
            recorded: 0,
        };
        self.events.insert(new.id, event);
    }

    /// Why a queue takes no more, if that is so: of the first one by name.
    fn refuses(&self, events: &[NewEvent], quota: Quota) -> Option<Answer> {
        let queues: BTreeSet<_> = events.iter().map(|new| new.target.queue()).collect();
        queues.into_iter().find_map(|queue| {
            let (mut count, mut bytes) = self.waiting(&queue);
            for new in events.iter().filter(|new| new.target.queue() == queue) {
                count += 1;
                bytes += u64::try_from(new.payload.len()).unwrap();
            }
            let kept = self.kept(&queue);
            if count > quota.events || bytes > quota.bytes {
                Some(Answer::Quota)
            } else if kept.0 >= quota.events || kept.1 >= quota.bytes {
                Some(Answer::DeadLetters)
            } else {
                None
            }
        })
    }

    /// Events of a queue that wait or run, and their bytes.
    fn waiting(&self, queue: &str) -> (u64, u64) {
        self.sum(queue, [EventState::Queued, EventState::Running])
    }

    /// Those that died or expired.
    fn kept(&self, queue: &str) -> (u64, u64) {
        self.sum(queue, [EventState::Dead, EventState::Expired])
    }

    fn sum(&self, queue: &str, states: [EventState; 2]) -> (u64, u64) {
        let events = self.events.values();
        events
            .filter(|event| event.queue == queue && states.contains(&event.state))
            .fold((0, 0), |(count, bytes), event| {
                (count + 1, bytes + event.bytes)
            })
    }

    /// The events of a queue that are due, by due time.
    pub(super) fn due(&self, queue: &str) -> Vec<(i64, RequestId)> {
        let mut due = self
            .events
            .iter()
            .filter(|(_, event)| {
                event.queue == queue
                    && event.state == EventState::Queued
                    && event.due_at_us <= self.now_us
            })
            .map(|(id, event)| (event.due_at_us, *id))
            .collect::<Vec<_>>();
        due.sort_unstable();
        due
    }

    /// What is wrong with `events`, which should be ours.
    pub(super) fn compare<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<(), String> {
        let mut count = 0;
        for event in events {
            count += 1;
            let Some(expected) = self.events.get(&event.id) else {
                return Err(format!("an event that is not there: {event:?}"));
            };
            let found = Expected {
                queue: event.target.queue(),
                is_function: expected.is_function,
                state: event.state,
                attempts: event.attempts,
                failures: event.failures,
                refusals: event.refusals,
                bytes: event.bytes,
                accepted_at_us: event.accepted_at_us,
                due_at_us: event.due_at_us,
                changed_at_us: event.changed_at_us,
                recorded: expected.recorded,
            };
            if found != *expected {
                return Err(format!("event {} is {found:?}, not {expected:?}", event.id));
            }
        }
        if count != self.events.len() {
            let should = self.events.len();
            return Err(format!("{count} events of {should} are there"));
        }
        Ok(())
    }

    /// Lets no event wait beyond this time, as a start does.
    pub(super) fn clamp_due(&mut self, latest_us: i64) {
        for event in self.events.values_mut() {
            if event.state == EventState::Queued {
                event.due_at_us = event.due_at_us.min(latest_us);
            }
        }
    }

    /// Whether every closed attempt has its record, and nothing else has one.
    pub(super) fn check_records(&self) -> Result<(), String> {
        for (id, event) in &self.events {
            let last = u64::from(event.state == EventState::Running) << event.attempts;
            let closed = ((2_u64 << event.attempts) - 2) & !last;
            let is_right = match event.is_function {
                true => event.recorded & !last == closed,
                false => event.recorded == 0,
            };
            if !is_right {
                let recorded = event.recorded;
                return Err(format!(
                    "event {id} has the records {recorded:b}: {event:?}"
                ));
            }
        }
        Ok(())
    }
}

fn micros(wait: std::time::Duration) -> i64 {
    i64::try_from(wait.as_micros()).unwrap()
}
