//! What can be asked of the queue, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use domain::{RequestId, Trigger};

use super::Failure;

/// An event on its way into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id, over all attempts. An id that is there already is refused.
    pub id: RequestId,
    /// Who gets it.
    pub target: Target,
    /// What produced it.
    pub trigger: Trigger,
    /// The schedule, topic or event that it comes from, for people.
    pub source: Option<String>,
    /// How many events gave rise to it, one after the other.
    pub depth: u32,
    /// What the target gets.
    pub payload: Bytes,
    /// How long it waits at first.
    pub delay: Duration,
}

/// One change of the queue, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Takes events in: all of them, or none.
    Accept(Vec<NewEvent>),
    /// Takes events in, each as far as its queue has room, see [`Published`].
    Publish(Vec<NewEvent>),
    /// Starts attempts at events that are due, oldest first. Each is counted before it runs.
    Claim {
        /// Of which queue, see [`Target::queue`].
        queue: String,
        /// How many at most.
        at_most: u32,
    },
    /// Closes an attempt.
    Finish(Finish),
    /// Queues events that ended again, as if new: no attempts, their age from now.
    Redrive(Selection),
    /// Removes events for good, whatever their state but running.
    Purge(Selection),
    /// Removes what is kept of events that ended long ago. Times are queue time, in Unix microseconds.
    Forget {
        /// Those that succeeded before.
        succeeded_before_us: i64,
        /// Those that died or expired before.
        given_up_before_us: i64,
    },
    /// Stores a schedule.
    PutSchedule(ScheduleRecord),
    /// Removes a schedule; fine if it is not there.
    RemoveSchedule {
        /// Its key.
        key: String,
    },
    /// A schedule is due: takes its events in and notes that it was, unless that was noted before.
    Fire {
        /// The schedule's key.
        key: String,
        /// When it was due, in Unix microseconds of the wall clock.
        due_us: i64,
        /// None when a run that was missed or overlaps is skipped.
        events: Vec<NewEvent>,
    },
}

impl Operation {
    /// Whether it takes in more than it gives back, so that it needs space.
    pub(super) fn takes_in(&self) -> bool {
        match self {
            Self::Accept(_) | Self::Publish(_) | Self::Redrive(_) => true,
            Self::Fire { events, .. } => !events.is_empty(),
            Self::Claim { .. }
            | Self::Finish(_)
            | Self::Purge(_)
            | Self::Forget { .. }
            | Self::PutSchedule(_)
            | Self::RemoveSchedule { .. } => false,
        }
    }

    /// The payloads in it, in bytes.
    pub(super) fn payload_bytes(&self) -> usize {
        let events = match self {
            Self::Accept(events) | Self::Publish(events) | Self::Fire { events, .. } => events,
            Self::Finish(finish) => {
                let events = finish.follow_ups.iter();
                return events.map(|follow_up| follow_up.event.payload.len()).sum();
            }
            Self::Claim { .. }
            | Self::Redrive(_)
            | Self::Purge(_)
            | Self::Forget { .. }
            | Self::PutSchedule(_)
            | Self::RemoveSchedule { .. } => return 0,
        };
        events.iter().map(|event| event.payload.len()).sum()
    }
}

/// How an attempt is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Which event.
    pub id: RequestId,
    /// Which attempt. If it is not the one under way, nothing changes.
    pub attempt: u32,
    /// What becomes of the event.
    pub ending: Ending,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
    /// Events that come of it, such as the record for a destination: taken in in the same transaction.
    /// They never keep an attempt from being closed: see [`FollowUp`].
    pub follow_ups: Vec<FollowUp>,
}

/// An event that comes of another one's end.
///
/// Where the quota of its queue is used up, its short form is
/// taken in; where the queue holds twice its quota, with what died and expired there, it is left out.
/// [`Done::Changed`] counts the event that ended and those that were taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// The event.
    pub event: NewEvent,
    /// What the target gets when its queue is full.
    pub brief: Bytes,
}

impl Finish {
    /// Whether the attempt has a record in the ledger, which has to be on disk first.
    pub(super) fn ran(&self) -> bool {
        match self.ending {
            Ending::Retry(_) => true,
            Ending::End { ran, .. } | Ending::Refuse { ran, .. } | Ending::Return { ran } => ran,
        }
    }
}

/// What becomes of an event whose attempt is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ends; `ran` says whether there was an attempt at all.
    End {
        /// Why.
        condition: Condition,
        /// Whether the attempt is in the ledger.
        ran: bool,
    },
    /// It failed, and is tried again after this time.
    Retry(Duration),
    /// It does not count, and is tried again after this time.
    Refuse {
        /// How long to wait.
        after: Duration,
        /// Whether the attempt is in the ledger, so that its number is used up.
        ran: bool,
    },
    /// It was cut short by a shutdown: it does not count, and is due at once.
    Return {
        /// Whether the attempt is in the ledger.
        ran: bool,
    },
}

/// Which events to redrive or purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One.
    Id(RequestId),
    /// Those of one queue, or of all, in one of these states; at most `limit` at a time.
    Of {
        /// See [`Target::queue`].
        queue: Option<String>,
        /// In which states.
        states: Vec<EventState>,
        /// How many at most in one transaction.
        limit: u32,
    },
}

/// A schedule, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// Unique.
    pub key: String,
    /// The host's JSON.
    pub document: String,
    /// The last time that was dealt with, in Unix microseconds of the wall clock.
    pub last_due_us: Option<i64>,
}

/// An event whose attempt was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The event; its `attempts` is the number of this attempt.
    pub event: super::Event,
    /// What the target gets.
    pub payload: Bytes,
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is durable; how many events or schedules it changed.
    Changed(u64),
    /// Attempts that were started.
    Claimed(Vec<Claimed>),
    /// What became of each event that was published, in their order.
    Published(Vec<Published>),
}

/// What became of an event that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It waits.
    Queued,
    /// Its queue is full, so it is a dead letter at once.
    Dead,
    /// There is no room for it among the dead letters either: it is not there.
    Refused,
}
