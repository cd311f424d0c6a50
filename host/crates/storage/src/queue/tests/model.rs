//! A model of the queue: one list of events, counted by looking at all of them, and the rules once more.
//!
//! Knows nothing of the machine.

use super::*;
use crate::queue::machine::Rows as _;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Modelled {
    number: u64,
    queue: &'static str,
    state: EventState,
    attempts: u32,
    failures: u32,
    refusals: u32,
    accepted_us: i64,
    due_us: i64,
    changed_us: i64,
    payload: Bytes,
    has_payload: bool,
}

/// Events as they were taken in.
pub(super) struct Model {
    events: Vec<Modelled>,
    pub(super) now_us: i64,
}

/// What is asked; numbers are small, so that they meet.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Accept(Vec<(u64, &'static str, u8)>),
    Publish(Vec<(u64, &'static str, u8)>),
    Claim(&'static str, u32),
    Finish(u64, u32, Ending, Vec<u64>),
    Redrive(Option<&'static str>, Vec<EventState>, u32),
    RedriveOne(u64),
    Purge(Option<&'static str>, Vec<EventState>, u32),
    PurgeOne(u64),
    Forget(u8, u8),
}

pub(super) const QUOTA: Quota = Quota {
    events: 4,
    bytes: 1_000,
};
pub(super) const QUEUES: [&str; 2] = ["f", "g"];
pub(super) const SECOND_US: i64 = 1_000_000;

fn new(number: u64, queue: &'static str, delay_s: u8) -> NewEvent {
    NewEvent {
        delay: Duration::from_secs(u64::from(delay_s)),
        ..new_event(number, queue)
    }
}

fn selection(queue: Option<&str>, states: &[EventState], limit: u32) -> Selection {
    Selection::Of {
        queue: queue.map(str::to_owned),
        states: states.to_vec(),
        limit,
    }
}

impl Asked {
    /// The operation that asks it.
    pub(super) fn operation(&self, now_us: i64) -> Operation {
        let new_events = |events: &[(u64, &'static str, u8)]| {
            events
                .iter()
                .map(|(number, queue, delay_s)| new(*number, queue, *delay_s))
                .collect()
        };
        match self {
            Self::Accept(events) => Operation::Accept(new_events(events)),
            Self::Publish(events) => Operation::Publish(new_events(events)),
            Self::Claim(queue, at_most) => claim(queue, *at_most),
            Self::Finish(number, attempt, ending, follow_ups) => Operation::Finish(Finish {
                id: id(*number),
                attempt: *attempt,
                ending: *ending,
                failure: None,
                follow_ups: follow_ups
                    .iter()
                    .map(|number| follow_up(*number, "g"))
                    .collect(),
            }),
            Self::Redrive(queue, states, limit) => {
                Operation::Redrive(selection(*queue, states, *limit))
            }
            Self::RedriveOne(number) => Operation::Redrive(Selection::Id(id(*number))),
            Self::Purge(queue, states, limit) => {
                Operation::Purge(selection(*queue, states, *limit))
            }
            Self::PurgeOne(number) => Operation::Purge(Selection::Id(id(*number))),
            Self::Forget(succeeded_ago_s, given_up_ago_s) => Operation::Forget {
                succeeded_before_us: now_us - i64::from(*succeeded_ago_s) * SECOND_US,
                given_up_before_us: now_us - i64::from(*given_up_ago_s) * SECOND_US,
            },
        }
    }
}

/// An operation's result, without what the engines add.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Changed(usize),
    Claimed(Vec<(u64, u32)>),
    Published(Vec<Published>),
    Quota,
    DeadLetters,
    Duplicate,
    NotRunning,
}

impl Answer {
    pub(super) fn of(result: Result<Done, QueueError>) -> Self {
        match result {
            Ok(Done::Changed(count)) => Self::Changed(usize::try_from(count).unwrap()),
            Ok(Done::Claimed(claimed)) => Self::Claimed(
                claimed
                    .iter()
                    .map(|claimed| (number(claimed.event.id), claimed.event.attempts))
                    .collect(),
            ),
            Ok(Done::Published(published)) => Self::Published(published),
            Err(QueueError::Quota { .. }) => Self::Quota,
            Err(QueueError::DeadLetters { .. }) => Self::DeadLetters,
            Err(QueueError::Duplicate { .. }) => Self::Duplicate,
            Err(QueueError::NotRunning { .. }) => Self::NotRunning,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            events: Vec::new(),
            now_us: NOW_US,
        }
    }

    fn waits(&self, queue: &str) -> usize {
        let events = self.events.iter();
        events
            .filter(|event| event.queue == queue && !event.state.is_final())
            .count()
    }

    fn kept(&self, queue: &str) -> usize {
        let given_up = [EventState::Dead, EventState::Expired];
        let events = self.events.iter();
        events
            .filter(|event| event.queue == queue && given_up.contains(&event.state))
            .count()
    }

    fn is_new(&self, numbers: &[u64]) -> bool {
        numbers.iter().enumerate().all(|(place, number)| {
            !numbers[..place].contains(number)
                && self.events.iter().all(|event| event.number != *number)
        })
    }

    fn put(&mut self, number: u64, queue: &'static str, delay_s: u8) {
        self.events.push(Modelled {
            number,
            queue,
            state: EventState::Queued,
            attempts: 0,
            failures: 0,
            refusals: 0,
            accepted_us: self.now_us,
            due_us: self.now_us + i64::from(delay_s) * SECOND_US,
            changed_us: self.now_us,
            payload: payload(number),
            has_payload: true,
        });
    }

    fn selected(
        &self,
        queue: Option<&str>,
        states: &[EventState],
        limit: u32,
        allowed: &[EventState],
    ) -> Vec<u64> {
        let mut found: Vec<_> = self
            .events
            .iter()
            .filter(|event| queue.is_none_or(|queue| queue == event.queue))
            .filter(|event| states.contains(&event.state) && allowed.contains(&event.state))
            .collect();
        found.sort_by_key(|event| event.state);
        let found = found.into_iter().take(usize::try_from(limit).unwrap());
        found.map(|event| event.number).collect()
    }

    fn redrive(&mut self, numbers: &[u64]) -> Answer {
        for number in numbers {
            let place = self.events.iter().position(|event| event.number == *number);
            let mut event = self.events.remove(place.unwrap());
            event.state = EventState::Queued;
            (event.failures, event.refusals) = (0, 0);
            (event.accepted_us, event.due_us, event.changed_us) =
                (self.now_us, self.now_us, self.now_us);
            self.events.push(event);
        }
        Answer::Changed(numbers.len())
    }

    fn remove(&mut self, numbers: &[u64]) -> Answer {
        self.events.retain(|event| !numbers.contains(&event.number));
        Answer::Changed(numbers.len())
    }

    fn of_state(&self, number: u64, allowed: &[EventState]) -> Vec<u64> {
        let mut events = self.events.iter();
        let found = events.find(|event| event.number == number && allowed.contains(&event.state));
        found.map(|event| event.number).into_iter().collect()
    }

    fn accept(&mut self, events: &[(u64, &'static str, u8)]) -> Answer {
        for queue in QUEUES {
            let more = events.iter().filter(|event| event.1 == queue).count();
            let most = usize::try_from(QUOTA.events).unwrap();
            if more > 0 && self.waits(queue) + more > most {
                return Answer::Quota;
            }
            if more > 0 && self.kept(queue) >= most {
                return Answer::DeadLetters;
            }
        }
        let numbers: Vec<_> = events.iter().map(|event| event.0).collect();
        if !self.is_new(&numbers) {
            return Answer::Duplicate;
        }
        for (number, queue, delay_s) in events {
            self.put(*number, queue, *delay_s);
        }
        Answer::Changed(events.len())
    }

    fn publish(&mut self, events: &[(u64, &'static str, u8)]) -> Answer {
        let numbers: Vec<_> = events.iter().map(|event| event.0).collect();
        if !self.is_new(&numbers) {
            return Answer::Duplicate;
        }
        let most = usize::try_from(QUOTA.events).unwrap();
        let mut published = Vec::new();
        for (number, queue, delay_s) in events {
            let (waits, kept) = (self.waits(queue), self.kept(queue));
            let may_die = kept < most && waits + kept < 2 * most;
            published.push(match (waits < most && kept < most, may_die) {
                (true, _) => Published::Queued,
                (false, true) => Published::Dead,
                (false, false) => Published::Refused,
            });
            if published.last() != Some(&Published::Refused) {
                self.put(*number, queue, *delay_s);
            }
            if let (Some(Published::Dead), Some(put)) = (published.last(), self.events.last_mut()) {
                put.state = EventState::Dead;
            }
        }
        Answer::Published(published)
    }

    fn claim(&mut self, queue: &str, at_most: u32) -> Answer {
        let now_us = self.now_us;
        let mut due: Vec<_> = self
            .events
            .iter_mut()
            .filter(|event| event.queue == queue && event.state == EventState::Queued)
            .filter(|event| event.due_us <= now_us)
            .collect();
        due.sort_by_key(|event| event.due_us);
        due.truncate(usize::try_from(at_most).unwrap());
        let claimed = due.into_iter().map(|event| {
            event.state = EventState::Running;
            event.attempts += 1;
            event.failures += 1;
            event.changed_us = now_us;
            (event.number, event.attempts)
        });
        Answer::Claimed(claimed.collect())
    }

    fn finish(&mut self, number: u64, attempt: u32, ending: Ending, more: &[u64]) -> Answer {
        let is_new = self.is_new(more);
        let now_us = self.now_us;
        let Some(event) = self.events.iter_mut().find(|event| {
            let is_it = event.number == number && event.attempts == attempt;
            is_it && event.state == EventState::Running
        }) else {
            return Answer::NotRunning;
        };
        if !is_new {
            return Answer::Duplicate;
        }
        let queued = EventState::Queued;
        let wait = |wait: Duration| now_us + i64::try_from(wait.as_micros()).unwrap();
        let (state, due_us, ran, counts, refusals) = match ending {
            Ending::End { condition, ran } => {
                (condition.state(), event.due_us, ran, ran, event.refusals)
            }
            Ending::Retry(after) => (queued, wait(after), true, true, 0),
            Ending::Refuse { after, ran } => (queued, wait(after), ran, false, event.refusals + 1),
            Ending::Return { ran } => (queued, now_us, ran, false, event.refusals),
        };
        event.state = state;
        event.due_us = due_us;
        event.changed_us = now_us;
        event.refusals = refusals;
        event.attempts -= u32::from(!ran);
        event.failures -= u32::from(!counts);
        event.has_payload = state != EventState::Succeeded;
        let most = usize::try_from(QUOTA.events).unwrap();
        let mut taken = 0;
        for number in more {
            let (waits, kept) = (self.waits("g"), self.kept("g"));
            let has_room = waits < most && kept < most;
            if has_room || waits + kept < 2 * most {
                self.put(*number, "g", 0);
                taken += 1;
            }
            if let (false, Some(put)) = (has_room, self.events.last_mut())
                && put.number == *number
            {
                put.payload = Bytes::from_static(b"0");
            }
        }
        Answer::Changed(1 + taken)
    }

    fn forget(&mut self, succeeded_ago_s: u8, given_up_ago_s: u8) -> Answer {
        let before = |ago_s: u8| self.now_us - i64::from(ago_s) * SECOND_US;
        let is_old = |event: &&Modelled| match event.state {
            EventState::Queued | EventState::Running => false,
            EventState::Succeeded => event.changed_us < before(succeeded_ago_s),
            EventState::Dead | EventState::Expired => event.changed_us < before(given_up_ago_s),
        };
        let old = self.events.iter().filter(is_old);
        let numbers: Vec<_> = old.map(|event| event.number).collect();
        self.remove(&numbers)
    }

    /// What the queue should answer.
    pub(super) fn ask(&mut self, asked: &Asked) -> Answer {
        use EventState::{Dead, Expired, Queued, Succeeded};
        let ended = [Dead, Expired];
        let still = [Queued, Succeeded, Dead, Expired];
        match asked {
            Asked::Accept(events) => self.accept(events),
            Asked::Publish(events) => self.publish(events),
            Asked::Claim(queue, at_most) => self.claim(queue, *at_most),
            Asked::Finish(number, attempt, ending, more) => {
                self.finish(*number, *attempt, *ending, more)
            }
            Asked::Redrive(queue, states, limit) => {
                let numbers = self.selected(*queue, states, *limit, &ended);
                self.redrive(&numbers)
            }
            Asked::RedriveOne(number) => {
                let numbers = self.of_state(*number, &ended);
                self.redrive(&numbers)
            }
            Asked::Purge(queue, states, limit) => {
                let numbers = self.selected(*queue, states, *limit, &still);
                self.remove(&numbers)
            }
            Asked::PurgeOne(number) => {
                let numbers = self.of_state(*number, &still);
                self.remove(&numbers)
            }
            Asked::Forget(succeeded_ago_s, given_up_ago_s) => {
                self.forget(*succeeded_ago_s, *given_up_ago_s)
            }
        }
    }

    /// Asserts that a queue holds what this does, and counts it so.
    pub(super) fn compare(&self, core: &mut Core) {
        let mut depths = BTreeMap::new();
        let there = self.events.iter();
        for event in there.filter(|event| event.state != EventState::Succeeded) {
            let depth: &mut Depth = depths.entry(event.queue.to_owned()).or_default();
            let bytes = u64::try_from(event.payload.len()).unwrap();
            match event.state {
                EventState::Queued => depth.queued += 1,
                EventState::Running => depth.running += 1,
                _ => depth.kept_events += 1,
            }
            match event.state.is_final() {
                false => depth.bytes += bytes,
                true => depth.kept_bytes += bytes,
            }
        }
        for queue in QUEUES {
            let held = self.waits(queue) + self.kept(queue);
            assert!(
                held <= 2 * usize::try_from(QUOTA.events).unwrap(),
                "{queue}"
            );
        }
        assert_eq!(core.depths(), &depths);
        let engine = core.engine();
        assert_eq!(engine.depths().unwrap(), depths);
        for queue in QUEUES {
            let queued = self
                .events
                .iter()
                .filter(|event| event.queue == queue && event.state == EventState::Queued);
            let next = queued.map(|event| event.due_us).min();
            assert_eq!(
                engine.next_due(queue).unwrap().map(|next| next.due_us),
                next
            );
        }
        let mut found = Vec::new();
        for state in EventState::ALL {
            found.extend(engine.selected(None, state, 1_000).unwrap());
        }
        assert_eq!(found.len(), self.events.len());
        for expected in &self.events {
            let event = engine.event(id(expected.number)).unwrap().unwrap();
            assert_eq!(event.target, to(expected.queue));
            let is = (event.state, event.attempts, event.failures, event.refusals);
            let is_expected = (
                expected.state,
                expected.attempts,
                expected.failures,
                expected.refusals,
            );
            assert_eq!(is, is_expected, "{expected:?}");
            let times = (event.accepted_at_us, event.due_at_us, event.changed_at_us);
            let expected_times = (expected.accepted_us, expected.due_us, expected.changed_us);
            assert_eq!(times, expected_times, "{expected:?}");
            assert_eq!(event.condition.is_some(), event.state.is_final());
            let is_kept = expected.has_payload.then(|| expected.payload.clone());
            assert_eq!(engine.payload(event.id).unwrap(), is_kept, "{expected:?}");
        }
    }
}
