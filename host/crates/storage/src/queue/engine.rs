//! What holds the queue's rows: a closed choice.
//!
//! An engine reads for the machine, applies its effects, and makes a batch of them durable at once.

use bytes::Bytes;
use domain::RequestId;
use domain::event::EventState;

use super::Event;
use super::machine::{Depths, Effect, Rows};
#[cfg(test)]
use super::memory::Memory;
use super::operation::ScheduleRecord;
use super::sqlite::Sqlite;
use crate::StorageError;

#[derive(Debug)]
pub(crate) enum Engine {
    Sqlite(Sqlite),
    #[cfg(test)]
    Memory(Memory),
}

/// The same of whichever engine it is.
macro_rules! each {
    ($self:ident, $engine:ident => $what:expr) => {
        match $self {
            Self::Sqlite($engine) => $what,
            #[cfg(test)]
            Self::Memory($engine) => $what,
        }
    };
}

impl Engine {
    /// The last time that was stored.
    pub(super) fn last_time_us(&self) -> Result<Option<i64>, StorageError> {
        each!(self, engine => engine.last_time_us())
    }

    pub(super) fn begin(&mut self) -> Result<(), StorageError> {
        each!(self, engine => engine.begin())
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<(), StorageError> {
        each!(self, engine => engine.apply(effects))
    }

    /// Makes everything since [`Engine::begin`] durable, with the time.
    pub(super) fn commit(&mut self, now_us: i64) -> Result<(), StorageError> {
        each!(self, engine => engine.commit(now_us))
    }

    /// Forgets everything since [`Engine::begin`].
    pub(super) fn roll_back(&mut self) {
        each!(self, engine => engine.roll_back());
    }

    /// Puts what was committed where it belongs, if it is worth it or `at_once`.
    pub(super) fn checkpoint(&mut self, at_once: bool) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.checkpoint(at_once),
            #[cfg(test)]
            Self::Memory(_) => Ok(()),
        }
    }

    /// Gives some of the space back that nothing is in; `true` when there is more.
    pub(super) fn give_back(&mut self) -> Result<bool, StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.give_back(),
            #[cfg(test)]
            Self::Memory(_) => Ok(false),
        }
    }

    /// Has nothing more written.
    pub(super) fn leave_as_it_is(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.leave_as_it_is(),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// Lets no event of a queue wait beyond this time.
    pub(super) fn clamp_due(&mut self, queue: &str, latest_us: i64) -> Result<(), StorageError> {
        each!(self, engine => engine.clamp_due(queue, latest_us))
    }

    /// Counts all events that wait or run.
    pub(super) fn depths(&self) -> Result<Depths, StorageError> {
        each!(self, engine => engine.depths())
    }

    /// When the next event of a queue is due.
    pub(super) fn next_due_us(&self, queue: &str) -> Result<Option<i64>, StorageError> {
        each!(self, engine => engine.next_due_us(queue))
    }
}

impl Rows for Engine {
    fn event(&self, id: RequestId) -> Result<Option<Event>, StorageError> {
        each!(self, engine => engine.event(id))
    }

    fn payload(&self, id: RequestId) -> Result<Option<Bytes>, StorageError> {
        each!(self, engine => engine.payload(id))
    }

    fn due(&self, queue: &str, now_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        each!(self, engine => engine.due(queue, now_us, limit))
    }

    fn selected(
        &self,
        queue: Option<&str>,
        state: EventState,
        limit: u32,
    ) -> Result<Vec<Event>, StorageError> {
        each!(self, engine => engine.selected(queue, state, limit))
    }

    fn succeeded_before(&self, before_us: i64, limit: u32) -> Result<Vec<RequestId>, StorageError> {
        each!(self, engine => engine.succeeded_before(before_us, limit))
    }

    fn given_up_before(&self, before_us: i64, limit: u32) -> Result<Vec<Event>, StorageError> {
        each!(self, engine => engine.given_up_before(before_us, limit))
    }

    fn schedule(&self, key: &str) -> Result<Option<ScheduleRecord>, StorageError> {
        each!(self, engine => engine.schedule(key))
    }
}
