//! Segments that are made before they are needed.
//!
//! Making one waits for the disk, so nobody does it with the journal's lock: the sync thread makes
//! them ahead, and whoever finds none left makes one, with a lock that only makers take.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Journal;
use super::state::{Obstacle, Status, reason_of};
use crate::StorageError;
use crate::disk::{self, DiskFile};
use crate::ledger::memory::Writer;
use crate::ledger::{blocks, segment};

/// Spares that are kept: one may be taken while the next is made or the disk is syncing.
pub(in crate::ledger) const SPARES: usize = 2;
/// How much of a segment is made ready to be stored to ahead of the next frame, in bytes: about
/// 4,000 records.
pub(super) const READY_BYTES: usize = 512 << 10;

#[derive(Debug)]
pub(super) struct Spare {
    pub(super) writer: Writer,
    pub(super) file: DiskFile,
    pub(super) path: PathBuf,
}

impl Spare {
    pub(super) fn make(directory: &Path, number: u64, bytes: u64) -> Result<Self, StorageError> {
        let path = segment::spare_path(directory, number);
        let made = DiskFile::create_new(&path).and_then(|file| {
            blocks::allocate(&file, 0, bytes)?;
            let writer = Writer::new(&file, usize::try_from(bytes).unwrap_or(usize::MAX))?;
            writer.flusher().make_ready(0, READY_BYTES);
            Ok((writer, file))
        });
        match made {
            Ok((writer, file)) => Ok(Self { writer, file, path }),
            Err(error) => {
                drop(disk::remove(&path));
                Err(StorageError::io("preparing", &path)(error))
            }
        }
    }

    pub(super) fn discard(self) {
        // One that stays is removed at the next start.
        drop(disk::remove(&self.path));
    }
}

impl Journal {
    /// Makes a spare segment if there are fewer than `wanted`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] when there is no space for one, and whatever else was in the way.
    pub(in crate::ledger) fn prepare(&self, wanted: usize) -> Result<(), StorageError> {
        let _one_at_a_time = self.making.lock();
        if self.state.lock().spares.len() >= wanted {
            return Ok(());
        }
        let made = self.make_spare();
        let obstacle = match &made {
            Ok(_) => None,
            Err(StorageError::Full { .. }) => Some(Obstacle::Full),
            Err(error) => Some(Obstacle::Other(reason_of(error))),
        };

        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.obstacle, obstacle.clone());
        let mut unused = None;
        let made = made.map(|spare| match state.status {
            Status::Open => state.spares.push_back(spare),
            Status::Failed(_) | Status::Closed => unused = Some(spare),
        });
        self.note(&state);
        drop(state);

        if let Some(spare) = unused {
            spare.discard();
        }
        let directory = self.directory.display();
        match &made {
            Err(error) if before != obstacle => {
                tracing::error!(%directory, %error, "the ledger can't grow: {error}");
            }
            Ok(()) if before.is_some() => tracing::info!(%directory, "the ledger can grow again"),
            _ => {}
        }
        made
    }

    /// Whether the last try to make a spare failed.
    pub(in crate::ledger) fn is_hindered(&self) -> bool {
        self.state.lock().obstacle.is_some()
    }

    /// How many spares there are.
    #[cfg(test)]
    pub(in crate::ledger) fn spares(&self) -> usize {
        self.state.lock().spares.len()
    }

    fn make_spare(&self) -> Result<Spare, StorageError> {
        let number = self.spares_made.fetch_add(1, Ordering::Relaxed);
        if self.fail_spares.load(Ordering::Relaxed) {
            let path = segment::spare_path(&self.directory, number);
            let failed = io::Error::other("made to fail by a test");
            return Err(StorageError::io("preparing", &path)(failed));
        }
        Spare::make(&self.directory, number, self.segment_bytes)
    }
}
