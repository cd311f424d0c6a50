//! What holds the queue's rows: a closed choice.
//!
//! An engine reads for the machine, applies its effects, and makes a batch of them durable at once.

use std::path::Path;

use super::machine::{Depths, Effect};
use super::sqlite::Sqlite;
use crate::StorageError;

#[derive(Debug)]
pub(super) enum Engine {
    Sqlite(Sqlite),
}

impl Engine {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        Sqlite::open(path).map(Self::Sqlite)
    }

    /// The last time that was stored.
    pub(super) fn last_time_us(&self) -> Result<Option<i64>, StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.last_time_us(),
        }
    }

    pub(super) fn begin(&mut self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin(),
        }
    }

    pub(super) fn apply(&mut self, effects: &[Effect]) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.apply(effects),
        }
    }

    /// Makes everything since [`Engine::begin`] durable, with the time.
    pub(super) fn commit(&mut self, now_us: i64) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.commit(now_us),
        }
    }

    /// Forgets everything since [`Engine::begin`].
    pub(super) fn roll_back(&mut self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.roll_back(),
        }
    }

    /// Lets no event wait beyond this time.
    pub(super) fn clamp_due(&mut self, latest_us: i64) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.clamp_due(latest_us),
        }
    }

    pub(super) fn depths(&self) -> Result<Depths, StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.depths(),
        }
    }

    /// When the next event of a queue is due.
    pub(super) fn next_due_us(&self, queue: &str) -> Result<Option<i64>, StorageError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.next_due_us(queue),
        }
    }
}
