//! The queue in memory, for tests and the simulation: what was committed, and what was not yet.
//!
//! A crash keeps what was committed. A commit can be told to fail, as a disk would. Knows nothing of
//! files, and is not there in a build that ships.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use domain::RequestId;
use domain::event::EventState;

use super::Event;
use super::machine::{Depths, Effect, Rows, Tally};
use super::operation::ScheduleRecord;
use crate::StorageError;
use crate::disk::simulated::{self, Mistake, Step};

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFailure {
    /// There is no space: nothing of it is kept, and the next one may succeed.
    Full,
    /// A failed sync, and nothing of it reached the disk.
    Lost,
    /// A failed sync, although all of it reached the disk.
    Kept,
}

/// Rows by number, in the order in which they were taken in.
#[derive(Debug, Clone, Default)]
struct State {
    events: BTreeMap<u64, (Arc<Event>, Option<Bytes>)>,
    numbers: BTreeMap<RequestId, u64>,
    schedules: BTreeMap<String, ScheduleRecord>,
    last_time_us: Option<i64>,
}

impl State {
    fn put(&mut self, event: &Event, payload: Option<Bytes>) {
        let number = self.events.last_key_value().map_or(1, |(last, _)| last + 1);
        self.numbers.insert(event.id, number);
        self.events
            .insert(number, (Arc::new(event.clone()), payload));
    }

    fn take(&mut self, id: RequestId) -> Option<(Arc<Event>, Option<Bytes>)> {
        let number = self.numbers.remove(&id)?;
        self.events.remove(&number)
    }

    fn row(&mut self, id: RequestId) -> Option<&mut (Arc<Event>, Option<Bytes>)> {
        self.events.get_mut(self.numbers.get(&id)?)
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Insert(event, payload) => self.put(event, Some(payload.clone())),
            Effect::Update { event, .. } => {
                if let Some(row) = self.row(event.id) {
                    row.0 = Arc::new((**event).clone());
                }
            }
            Effect::Requeue { event, .. } => {
                if let Some((_, payload)) = self.take(event.id) {
                    self.put(event, payload);
                }
            }
            Effect::DropPayload(id) => {
                if let Some(row) = self.row(*id) {
                    row.1 = None;
                }
            }
            Effect::Remove(event) => drop(self.take(event.id)),
            Effect::Forget(id) => drop(self.take(*id)),
            Effect::PutSchedule(record) => {
                self.schedules.insert(record.key.clone(), record.clone());
            }
            Effect::RemoveSchedule(key) => drop(self.schedules.remove(key)),
        }
    }
}

/// The queue in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    disk: State,
    /// What was answered for, where that is done before it is on the disk.
    answered: State,
    seen: State,
    failing: BTreeMap<u64, CommitFailure>,
    commits: u64,
}

impl Memory {
    /// Has the `nth` commit from now fail; 1 is the next one.
    pub(crate) fn fail_commit(&mut self, nth: u64, how: CommitFailure) {
        self.failing.insert(self.commits + nth, how);
    }

    /// What is left when the process dies.
    pub(crate) fn crash(&mut self) {
        self.seen = self.disk.clone();
        self.failing.clear();
    }

    /// What the disk has: events as they were taken in, with the payloads that are kept.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&Event, Option<&Bytes>)> {
        let rows = self.disk.events.values();
        rows.map(|(event, payload)| (&**event, payload.as_ref()))
    }

    pub(super) fn last_time_us(&self) -> Result<Option<i64>, StorageError> {
        Ok(self.seen.last_time_us)
    }

    pub(super) fn begin(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<(), StorageError> {
        for effect in effects {
            self.seen.apply(effect);
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, now_us: i64) -> Result<(), StorageError> {
        self.seen.last_time_us = self.seen.last_time_us.max(Some(now_us));
        self.commits += 1;
        let failure = self.failing.remove(&self.commits);
        // The process may die here.
        let failure = match simulated::current() {
            Some(disk) => match disk.commit_step() {
                Step::Alive => failure,
                Step::DiesAfter => Some(CommitFailure::Kept),
                Step::DiesBefore | Step::Dead => Some(CommitFailure::Lost),
            },
            None => failure,
        };
        match failure {
            None if simulated::makes(Mistake::AnswerEarly) => {
                self.disk = std::mem::replace(&mut self.answered, self.seen.clone());
            }
            None | Some(CommitFailure::Kept) => self.disk = self.seen.clone(),
            Some(CommitFailure::Lost | CommitFailure::Full) => {}
        }
        let path = Path::new("memory/queue.db");
        match failure {
            None => Ok(()),
            Some(CommitFailure::Full) => Err(StorageError::Full {
                path: path.to_owned(),
            }),
            Some(CommitFailure::Lost | CommitFailure::Kept) => {
                let error = io::Error::other("a sync that was told to fail");
                Err(StorageError::io("syncing", path)(error))
            }
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.seen = self.disk.clone();
    }

    pub(super) fn clamp_due(&mut self, queue: &str, latest_us: i64) -> Result<(), StorageError> {
        for state in [&mut self.seen, &mut self.disk] {
            for (event, _) in state.events.values_mut() {
                let waits = event.state == EventState::Queued && event.due_at_us > latest_us;
                if waits && event.target.queue() == queue {
                    Arc::make_mut(event).due_at_us = latest_us;
                }
            }
        }
        Ok(())
    }

    pub(super) fn depths(&self) -> Result<Depths, StorageError> {
        let nothing = Depths::new();
        let mut tally = Tally::new(&nothing);
        for (event, _) in self.seen.events.values() {
            tally.count(&[Effect::Insert(Box::new((**event).clone()), Bytes::new())]);
        }
        let mut depths = tally.touched;
        depths.retain(|_, depth| !depth.is_empty());
        Ok(depths)
    }

    pub(super) fn next_due_us(&self, queue: &str) -> Result<Option<i64>, StorageError> {
        let queued = self.of(Some(queue), EventState::Queued);
        Ok(queued.map(|event| event.due_at_us).min())
    }

    fn of(&self, queue: Option<&str>, state: EventState) -> impl Iterator<Item = &Event> {
        let events = self.seen.events.values().map(|(event, _)| &**event);
        events
            .filter(move |event| event.state == state)
            .filter(move |event| queue.is_none_or(|queue| event.target.queue() == queue))
    }
}

fn take(events: Vec<&Event>, limit: u32) -> Vec<Event> {
    let limit = usize::try_from(limit).unwrap();
    events.into_iter().take(limit).cloned().collect()
}

impl Rows for Memory {
    fn event(&self, id: RequestId) -> Result<Option<Event>, StorageError> {
        let number = self.seen.numbers.get(&id);
        Ok(number.map(|number| (*self.seen.events[number].0).clone()))
    }

    fn payload(&self, id: RequestId) -> Result<Option<Bytes>, StorageError> {
        Ok(self.seen.events[&self.seen.numbers[&id]].1.clone())
    }

    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        let mut due: Vec<_> = self
            .of(Some(queue), EventState::Queued)
            .filter(|event| event.due_at_us <= now_us)
            .collect();
        due.sort_by_key(|event| event.due_at_us);
        Ok(take(due, limit))
    }

    fn selected(
        &self,
        queue: Option<&str>,
        state: EventState,
        limit: u32,
    ) -> Result<Vec<Event>, StorageError> {
        Ok(take(self.of(queue, state).collect(), limit))
    }

    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, StorageError> {
        let mut ended: Vec<_> = self
            .of(None, EventState::Succeeded)
            .filter(|event| event.changed_at_us < before_us)
            .collect();
        ended.sort_by_key(|event| event.changed_at_us);
        let ended = take(ended, limit).into_iter();
        Ok(ended.map(|event| event.id).collect())
    }

    fn given_up_before(&self, before_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        let states = [EventState::Dead, EventState::Expired];
        let mut ended: Vec<_> = states
            .into_iter()
            .flat_map(|state| self.of(None, state))
            .filter(|event| event.changed_at_us < before_us)
            .collect();
        ended.sort_by_key(|event| event.changed_at_us);
        Ok(take(ended, limit))
    }

    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, StorageError> {
        Ok(self.seen.schedules.get(key).cloned())
    }
}
