//! What the journal's lock guards, and what others are told of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::spare::Spare;
use crate::StorageError;
use crate::disk::DiskFile;
use crate::ledger::memory::Writer;
use crate::ledger::segment::Place;

#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) active: Active,
    /// Where the next frame goes.
    pub(super) place: Place,
    /// The first sequence number that may not be on disk.
    pub(super) synced: u64,
    /// To go on with when the active one is filled.
    pub(super) spares: VecDeque<Spare>,
    /// Why the last try to make a spare failed, if it did.
    pub(super) obstacle: Option<Obstacle>,
    /// Segments that are filled and not in the catalogue yet, oldest first.
    pub(super) retired: VecDeque<Retired>,
    /// A caller waits for a sync.
    pub(super) is_sync_wanted: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Status {
    Open,
    Failed(String),
    Closed,
}

/// Why no spare can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// For want of space.
    Full,
    /// For another reason, which is no matter while there is a spare.
    Other(String),
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) writer: Writer,
    pub(super) file: Arc<DiskFile>,
    pub(super) first_sequence: u64,
    /// Where the file is until it has its name.
    pub(super) unnamed: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Retired {
    pub(super) file: Arc<DiskFile>,
    pub(super) first_sequence: u64,
    pub(super) end: Place,
    pub(super) unnamed: Option<PathBuf>,
    /// Until it is synced.
    pub(super) writer: Option<Writer>,
    pub(super) is_synced: bool,
}

/// A segment that is not in the catalogue yet, as far as it is filled.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct View {
    pub(in crate::ledger) file: Arc<DiskFile>,
    pub(in crate::ledger) first_sequence: u64,
    pub(in crate::ledger) end: Place,
}

/// Whether the journal takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Condition {
    Open,
    Full,
    /// It has no segment to go on in, and tries again to make one.
    Stuck(String),
    Failed(String),
    Closed,
}

impl State {
    pub(super) fn condition(&self) -> Condition {
        match (&self.status, &self.obstacle) {
            (Status::Failed(reason), _) => Condition::Failed(reason.clone()),
            (Status::Closed, _) => Condition::Closed,
            (Status::Open, Some(Obstacle::Full)) => Condition::Full,
            (Status::Open, Some(Obstacle::Other(reason))) if self.spares.is_empty() => {
                Condition::Stuck(reason.clone())
            }
            (Status::Open, _) => Condition::Open,
        }
    }

    /// The error of an append now, if it must fail.
    pub(super) fn require_open(&self) -> Result<(), StorageError> {
        match &self.status {
            Status::Open => Ok(()),
            Status::Failed(reason) => Err(StorageError::Failed {
                reason: reason.clone(),
            }),
            Status::Closed => Err(StorageError::Closed),
        }
    }

    pub(super) fn has_room(&self, frame_bytes: usize) -> bool {
        self.place.offset + frame_bytes <= self.active.writer.len()
    }

    /// Fails for good, because of `error`; the reason, if it did not fail before.
    pub(super) fn fail(&mut self, error: &StorageError) -> Option<String> {
        if let Status::Failed(_) = self.status {
            return None;
        }
        let reason = reason_of(error);
        self.status = Status::Failed(reason.clone());
        Some(reason)
    }
}

impl Retired {
    pub(super) fn view(&self) -> View {
        View {
            file: Arc::clone(&self.file),
            first_sequence: self.first_sequence,
            end: self.end,
        }
    }
}

pub(super) fn reason_of(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
