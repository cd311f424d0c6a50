//! The queue's state machine: an operation and the rows it is about in, effects out.
//!
//! Knows nothing of files, threads and clocks: the time is an argument, rows come from whatever holds
//! them, and effects are applied by it, those of one operation together. An operation that is refused
//! has no effects.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::RequestId;
use domain::event::EventState;

use super::operation::{
    Claimed, Done, Ending, Finish, NewEvent, Operation, ScheduleRecord, Selection,
};
use super::{Event, QueueError, Quota};

/// Events that one transaction may redrive, purge or forget.
pub(super) const SELECTED_MAX: u32 = 1_000;

/// What the machine reads.
pub(super) trait Rows {
    /// Why a read failed.
    type Error: Into<QueueError>;
    fn event(&self, id: RequestId) -> Result<Option<Event>, Self::Error>;
    fn payload(&self, id: RequestId) -> Result<Bytes, Self::Error>;
    /// Queued events that are due at `now_us`, by due time.
    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, Self::Error>;
    fn selected(
        &self,
        queue: Option<&str>,
        states: &[EventState],
        limit: u32,
    ) -> Result<Vec<Event>, Self::Error>;
    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, Self::Error>;
    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, Self::Error>;
}

/// What an operation changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Insert(Box<Event>, Bytes),
    /// The event's row, by id; its payload stays.
    Update(Box<Event>),
    /// The payload of an event that succeeded is not needed any more.
    DropPayload(RequestId),
    Remove(RequestId),
    PutSchedule(ScheduleRecord),
    RemoveSchedule(String),
}

/// How much waits in one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events that wait.
    pub queued: u64,
    /// Events with an attempt under way.
    pub running: u64,
    /// The payloads of both.
    pub bytes: u64,
}

/// How much waits, by queue. What is empty is not there.
pub(super) type Depths = BTreeMap<String, Depth>;

/// What an operation does to `rows` at `now_us`.
pub(super) fn step<R: Rows>(
    rows: &R,
    depths: &Depths,
    quota: Quota,
    operation: &Operation,
    now_us: i64,
) -> Result<(Vec<Effect>, Done), QueueError> {
    match operation {
        Operation::Accept(events) => {
            check_quota(depths, quota, events)?;
            accept(rows, events, now_us).map(changed)
        }
        Operation::Claim { queue, at_most } => claim(rows, queue, *at_most, now_us),
        Operation::Finish(finish) => close(rows, finish, now_us).map(changed),
        Operation::Redrive(selection) => {
            let mut effects = Vec::new();
            for mut event in select(rows, selection)? {
                if event.state.is_final() && event.state != EventState::Succeeded {
                    redrive(&mut event, now_us);
                    effects.push(Effect::Update(Box::new(event)));
                }
            }
            Ok(changed(effects))
        }
        Operation::Purge(selection) => {
            let events = select(rows, selection)?.into_iter();
            let gone = events.filter(|event| event.state != EventState::Running);
            Ok(changed(
                gone.map(|event| Effect::Remove(event.id)).collect(),
            ))
        }
        Operation::Forget { before_us } => {
            let ids = rows.succeeded_before(*before_us, SELECTED_MAX);
            let ids = ids.map_err(Into::into)?.into_iter();
            Ok(changed(ids.map(Effect::Remove).collect()))
        }
        Operation::PutSchedule(record) => Ok(changed(vec![Effect::PutSchedule(record.clone())])),
        Operation::RemoveSchedule { key } => Ok(changed(vec![Effect::RemoveSchedule(key.clone())])),
        Operation::Fire {
            key,
            due_us,
            events,
        } => {
            let found = rows.schedule(key).map_err(Into::into)?;
            let Some(mut record) = found else {
                return Ok(changed(Vec::new()));
            };
            if record.last_due_us.is_some_and(|last| last >= *due_us) {
                return Ok(changed(Vec::new()));
            }
            record.last_due_us = Some(*due_us);
            check_quota(depths, quota, events)?;
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

fn check_quota(depths: &Depths, quota: Quota, events: &[NewEvent]) -> Result<(), QueueError> {
    let mut more: BTreeMap<String, Depth> = BTreeMap::new();
    for event in events {
        let depth = more.entry(event.target.queue()).or_default();
        depth.queued += 1;
        depth.bytes += bytes_of(&event.payload);
    }
    for (queue, more) in more {
        let depth = depths.get(&queue).copied().unwrap_or_default();
        let is_over = depth.queued + depth.running + more.queued > quota.events
            || depth.bytes + more.bytes > quota.bytes;
        if is_over {
            return Err(QueueError::Quota { queue, quota });
        }
    }
    Ok(())
}

fn bytes_of(payload: &Bytes) -> u64 {
    u64::try_from(payload.len()).unwrap_or(u64::MAX)
}

fn accept<R: Rows>(rows: &R, events: &[NewEvent], now_us: i64) -> Result<Vec<Effect>, QueueError> {
    let mut effects = Vec::with_capacity(events.len());
    for new in events {
        let is_repeated = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Insert(event, _) if event.id == new.id));
        if is_repeated || rows.event(new.id).map_err(Into::into)?.is_some() {
            return Err(QueueError::Duplicate { id: new.id });
        }
        effects.push(insert(new, now_us));
    }
    Ok(effects)
}

fn insert(new: &NewEvent, now_us: i64) -> Effect {
    let event = Event {
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
    };
    Effect::Insert(Box::new(event), new.payload.clone())
}

fn claim<R: Rows>(
    rows: &R,
    queue: &str,
    at_most: u32,
    now_us: i64,
) -> Result<(Vec<Effect>, Done), QueueError> {
    let due = rows.due(queue, now_us, at_most).map_err(Into::into)?;
    let mut effects = Vec::with_capacity(due.len());
    let mut claimed = Vec::with_capacity(due.len());
    for mut event in due {
        event.state = EventState::Running;
        event.attempts += 1;
        event.failures += 1;
        event.changed_at_us = now_us;
        let payload = rows.payload(event.id).map_err(Into::into)?;
        effects.push(Effect::Update(Box::new(event.clone())));
        claimed.push(Claimed { event, payload });
    }
    Ok((effects, Done::Claimed(claimed)))
}

fn close<R: Rows>(rows: &R, finish: &Finish, now_us: i64) -> Result<Vec<Effect>, QueueError> {
    let found = rows.event(finish.id).map_err(Into::into)?;
    let Some(mut event) = found
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
    effects.push(Effect::Update(Box::new(event)));
    effects.extend(finish.follow_ups.iter().map(|new| insert(new, now_us)));
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
fn redrive(event: &mut Event, now_us: i64) {
    event.state = EventState::Queued;
    event.failures = 0;
    event.refusals = 0;
    event.accepted_at_us = now_us;
    event.due_at_us = now_us;
    event.changed_at_us = now_us;
    event.condition = None;
}

fn select<R: Rows>(rows: &R, selection: &Selection) -> Result<Vec<Event>, QueueError> {
    match selection {
        Selection::Id(id) => {
            let found = rows.event(*id).map_err(Into::into)?;
            Ok(found.into_iter().collect())
        }
        Selection::Of {
            queue,
            states,
            limit,
        } => rows
            .selected(queue.as_deref(), states, (*limit).min(SELECTED_MAX))
            .map_err(Into::into),
    }
}

fn after(now_us: i64, wait: std::time::Duration) -> i64 {
    now_us.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}
