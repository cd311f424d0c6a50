//! The queue's state machine: an operation and the rows it is about in, effects out.
//!
//! Knows nothing of files, threads and clocks: the moment is an argument, rows come from whatever holds
//! them, and effects are applied by it, those of one operation together. An operation that is refused
//! has no effects.

mod publish;
mod tally;

use std::collections::HashSet;

use bytes::Bytes;
use domain::RequestId;
use domain::event::{Condition, EventState};

use super::operation::{
    Claimed, Done, Ending, Finish, FollowUp, NewEvent, Operation, ScheduleRecord, Selection,
};
use super::{Event, Failure, QueueError, Quota};
use crate::StorageError;

pub use tally::Depth;
pub(super) use tally::{Depths, Tally};

/// Events that one transaction may redrive, purge or forget.
pub(super) const SELECTED_MAX: u32 = 1_000;

/// What the machine reads.
pub(super) trait Rows {
    fn event(&self, id: RequestId) -> Result<Option<Event>, StorageError>;
    /// What the target gets; none only if it was lost.
    fn payload(&self, id: RequestId) -> Result<Option<Bytes>, StorageError>;
    /// Queued events that are due at `now_us`, by due time, then as they were taken in.
    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, StorageError>;
    /// Events in one state, oldest first.
    fn selected(
        &self,
        queue: Option<&str>,
        state: EventState,
        limit: u32,
    ) -> Result<Vec<Event>, StorageError>;
    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, StorageError>;
    /// Dead and expired events that ended before a time, the first of them first.
    fn given_up_before(&self, before_us: i64, limit: u32) -> Result<Vec<Event>, StorageError>;
    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, StorageError>;
}

/// What an operation changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Insert(Box<Event>, Bytes),
    /// The row of an event that was in state `from`; its payload stays.
    Update {
        from: EventState,
        event: Box<Event>,
    },
    /// [`Effect::Update`], and the event comes after all others, as if it had been taken in now.
    Requeue {
        from: EventState,
        event: Box<Event>,
    },
    /// The payload of an event that succeeded is not needed any more.
    DropPayload(RequestId),
    Remove(Box<Event>),
    /// What is kept of an event that succeeded.
    Forget(RequestId),
    PutSchedule(ScheduleRecord),
    RemoveSchedule(String),
}

/// What is due next in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextDue {
    /// When, in queue time.
    pub(crate) due_us: i64,
    /// When it was accepted, in queue time.
    pub(crate) accepted_at_us: i64,
}

/// When a batch of operations is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// In queue time.
    pub(crate) now_us: i64,
    /// Records of attempts that start now get this sequence number in the ledger or a later one.
    pub(crate) ledger_from: u64,
}

/// What an operation does to `rows` at this moment.
pub(super) fn step(
    rows: &impl Rows,
    tally: &Tally<'_>,
    quota: Quota,
    operation: &Operation,
    moment: Moment,
) -> Result<(Vec<Effect>, Done), QueueError> {
    let now_us = moment.now_us;
    match operation {
        Operation::Accept(events) => {
            check_quota(tally, quota, events)?;
            accept(rows, events, now_us).map(changed)
        }
        Operation::Publish(events) => publish::publish(rows, tally, quota, events, now_us),
        Operation::Claim { queue, at_most } => claim(rows, queue, *at_most, moment),
        Operation::Finish(finish) => close(rows, tally, quota, finish, now_us).map(changed),
        Operation::Redrive(selection) => {
            let ended = |state| matches!(state, EventState::Dead | EventState::Expired);
            let events = select(rows, selection, ended)?.into_iter();
            Ok(changed(
                events.map(|event| redrive(event, now_us)).collect(),
            ))
        }
        Operation::Purge(selection) => {
            let stands_still = |state| state != EventState::Running;
            let events = select(rows, selection, stands_still)?.into_iter();
            let gone = events.map(|event| Effect::Remove(Box::new(event)));
            Ok(changed(gone.collect()))
        }
        Operation::Forget {
            succeeded_before_us,
            given_up_before_us,
        } => {
            let ids = rows.succeeded_before(*succeeded_before_us, SELECTED_MAX)?;
            let mut effects: Vec<_> = ids.into_iter().map(Effect::Forget).collect();
            let found = u32::try_from(effects.len()).unwrap_or(u32::MAX);
            let left = SELECTED_MAX.saturating_sub(found);
            let given_up = rows.given_up_before(*given_up_before_us, left)?.into_iter();
            effects.extend(given_up.map(|event| Effect::Remove(Box::new(event))));
            Ok(changed(effects))
        }
        Operation::PutSchedule(record) => Ok(changed(vec![Effect::PutSchedule(record.clone())])),
        Operation::RemoveSchedule { key } => Ok(changed(vec![Effect::RemoveSchedule(key.clone())])),
        Operation::Fire {
            key,
            due_us,
            events,
        } => {
            let Some(mut record) = rows.schedule(key)? else {
                return Ok(changed(Vec::new()));
            };
            if record.last_due_us.is_some_and(|last| last >= *due_us) {
                return Ok(changed(Vec::new()));
            }
            record.last_due_us = Some(*due_us);
            check_quota(tally, quota, events)?;
            let mut effects = accept(rows, events, now_us)?;
            effects.push(Effect::PutSchedule(record));
            Ok(changed(effects))
        }
    }
}

fn changed(effects: Vec<Effect>) -> (Vec<Effect>, Done) {
    let count = effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::DropPayload(_)))
        .count();
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    (effects, Done::Changed(count))
}

fn check_quota(tally: &Tally<'_>, quota: Quota, events: &[NewEvent]) -> Result<(), QueueError> {
    let mut depths = Depths::new();
    for event in events {
        let queue = event.target.queue();
        let before = depths.get(&queue).copied();
        let depth = before.unwrap_or_else(|| tally.depth(&queue));
        depths.insert(queue, depth.with(bytes_of(&event.payload)));
    }
    for (queue, depth) in depths {
        if depth.is_over(quota) {
            return Err(QueueError::Quota { queue, quota });
        }
        if depth.is_kept_full(quota) {
            return Err(QueueError::DeadLetters { queue, quota });
        }
    }
    Ok(())
}

fn bytes_of(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap_or(u64::MAX)
}

fn accept(rows: &impl Rows, events: &[NewEvent], now_us: i64) -> Result<Vec<Effect>, QueueError> {
    check_new(rows, events.iter().map(|new| new.id))?;
    Ok(events.iter().map(|new| insert(new, now_us)).collect())
}

/// No two events have one id.
fn check_new(
    rows: &impl Rows,
    new: impl ExactSizeIterator<Item = RequestId>,
) -> Result<(), QueueError> {
    let mut ids = HashSet::with_capacity(new.len());
    for id in new {
        if !ids.insert(id) || rows.event(id)?.is_some() {
            return Err(QueueError::Duplicate { id });
        }
    }
    Ok(())
}

fn insert(new: &NewEvent, now_us: i64) -> Effect {
    Effect::Insert(Box::new(row(new, now_us)), new.payload.clone())
}

/// A new event that waits.
fn row(new: &NewEvent, now_us: i64) -> Event {
    Event {
        id: new.id,
        target: new.target.clone(),
        trigger: new.trigger,
        source: new.source.clone(),
        state: EventState::Queued,
        attempts: 0,
        failures: 0,
        refusals: 0,
        depth: new.depth,
        accepted_at_us: now_us,
        due_at_us: after(now_us, new.delay),
        changed_at_us: now_us,
        bytes: bytes_of(&new.payload),
        condition: None,
        failure: None,
        ledger_from: 0,
    }
}

fn claim(
    rows: &impl Rows,
    queue: &str,
    at_most: u32,
    moment: Moment,
) -> Result<(Vec<Effect>, Done), QueueError> {
    let due = rows.due(queue, moment.now_us, at_most.min(SELECTED_MAX))?;
    let mut effects = Vec::with_capacity(due.len());
    let mut claimed = Vec::with_capacity(due.len());
    for mut event in due {
        event.changed_at_us = moment.now_us;
        match rows.payload(event.id)? {
            Some(payload) => {
                event.state = EventState::Running;
                event.attempts += 1;
                event.failures += 1;
                event.ledger_from = moment.ledger_from;
                let event_now = event.clone();
                claimed.push(Claimed { event, payload });
                effects.push(Effect::Update {
                    from: EventState::Queued,
                    event: Box::new(event_now),
                });
            }
            None => effects.push(lost(event)),
        }
    }
    Ok((effects, Done::Claimed(claimed)))
}

/// An event whose payload is not there any more, which should never be: it keeps no other from running.
fn lost(mut event: Event) -> Effect {
    let message = "the event's payload is not in the database any more";
    event.failure = Some(Failure::new(500, None, message.to_owned()));
    event.condition = Some(Condition::PayloadLost);
    event.state = EventState::Dead;
    Effect::Update {
        from: EventState::Queued,
        event: Box::new(event),
    }
}

fn close(
    rows: &impl Rows,
    tally: &Tally<'_>,
    quota: Quota,
    finish: &Finish,
    now_us: i64,
) -> Result<Vec<Effect>, QueueError> {
    let Some(mut event) = rows
        .event(finish.id)?
        .filter(|event| event.state == EventState::Running && event.attempts == finish.attempt)
    else {
        return Err(QueueError::NotRunning {
            id: finish.id,
            attempt: finish.attempt,
        });
    };
    event.changed_at_us = now_us;
    event.failure.clone_from(&finish.failure);
    let mut effects = Vec::with_capacity(2 + finish.follow_ups.len());
    match finish.ending {
        Ending::End { condition, ran } => {
            event.state = condition.state();
            event.condition = Some(condition);
            uncount(&mut event, ran, !ran);
            if event.state == EventState::Succeeded {
                effects.push(Effect::DropPayload(event.id));
            }
        }
        Ending::Retry(wait) => {
            event.state = EventState::Queued;
            event.refusals = 0;
            event.due_at_us = after(now_us, wait);
        }
        Ending::Refuse { after: wait, ran } => {
            event.state = EventState::Queued;
            event.refusals = event.refusals.saturating_add(1);
            event.due_at_us = after(now_us, wait);
            uncount(&mut event, ran, true);
        }
        Ending::Return { ran } => {
            event.state = EventState::Queued;
            event.due_at_us = now_us;
            uncount(&mut event, ran, true);
        }
    }
    effects.push(Effect::Update {
        from: EventState::Running,
        event: Box::new(event),
    });
    if !finish.follow_ups.is_empty() {
        // The attempt is closed already when they come.
        let mut tally = Tally {
            before: tally.before,
            touched: tally.touched.clone(),
        };
        tally.count(&effects);
        effects.extend(follow(rows, tally, quota, finish, now_us)?);
    }
    Ok(effects)
}

/// Takes in what comes of an end, as far as there is room for it: a queue that is full gets the short
/// form, and nothing once it holds twice what may wait.
fn follow(
    rows: &impl Rows,
    mut tally: Tally<'_>,
    quota: Quota,
    finish: &Finish,
    now_us: i64,
) -> Result<Vec<Effect>, QueueError> {
    check_new(rows, finish.follow_ups.iter().map(|new| new.event.id))?;
    let mut effects = Vec::with_capacity(finish.follow_ups.len());
    for FollowUp { event, brief } in &finish.follow_ups {
        let mut event = event.clone();
        let queue = event.target.queue();
        let depth = tally.depth(&queue);
        let mut after = depth.with(bytes_of(&event.payload));
        if after.is_over(quota) || depth.is_kept_full(quota) {
            after = depth.with(bytes_of(brief));
            if after.is_beyond_twice(quota) {
                continue;
            }
            event.payload = brief.clone();
        }
        tally.touched.insert(queue, after);
        effects.push(insert(&event, now_us));
    }
    Ok(effects)
}

/// Takes back what the claim counted: the attempt's number if it did not run, the failure if it does
/// not count.
fn uncount(event: &mut Event, ran: bool, is_forgiven: bool) {
    if !ran {
        event.attempts = event.attempts.saturating_sub(1);
    }
    if is_forgiven {
        event.failures = event.failures.saturating_sub(1);
    }
}

/// The attempts go on being numbered: each number is one record in the ledger.
fn redrive(mut event: Event, now_us: i64) -> Effect {
    let from = event.state;
    event.state = EventState::Queued;
    event.failures = 0;
    event.refusals = 0;
    event.accepted_at_us = now_us;
    event.due_at_us = now_us;
    event.changed_at_us = now_us;
    event.condition = None;
    Effect::Requeue {
        from,
        event: Box::new(event),
    }
}

/// The selected events that are in a state that is `allowed`.
fn select(
    rows: &impl Rows,
    selection: &Selection,
    allowed: impl Fn(EventState) -> bool,
) -> Result<Vec<Event>, QueueError> {
    match selection {
        Selection::Id(id) => {
            let found = rows.event(*id)?.filter(|event| allowed(event.state));
            Ok(found.into_iter().collect())
        }
        Selection::Of {
            queue,
            states,
            limit,
        } => {
            let mut events = Vec::new();
            for state in EventState::ALL {
                if allowed(state) && states.contains(&state) {
                    let found = u32::try_from(events.len()).unwrap_or(u32::MAX);
                    let left = (*limit).min(SELECTED_MAX).saturating_sub(found);
                    events.extend(rows.selected(queue.as_deref(), state, left)?);
                }
            }
            Ok(events)
        }
    }
}

fn after(now_us: i64, wait: std::time::Duration) -> i64 {
    now_us.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}
