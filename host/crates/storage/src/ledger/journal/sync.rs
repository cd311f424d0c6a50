//! The sync thread's part of the journal.
//!
//! Names segments that came into use, syncs what was appended and notes how far that is, and keeps the
//! next pages ready. It is the only one that holds mappings outside the lock: a
//! segment that it marks as synced is not mapped any more, and may be cut.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Journal;
use super::spare::{READY_BYTES, SPARES};
#[cfg(test)]
use super::state::reason_of;
use super::state::{State, Status};
#[cfg(test)]
use crate::disk::simulated::{self, Mistake};
use crate::disk::{self, DiskFile};
use crate::ledger::memory::{Flusher, Writer};
use crate::ledger::segment::{self, HEADER_BYTES, Place};
use crate::{StorageError, files};

/// How often a wait looks whether the ledger failed or closed meanwhile.
const WAIT: Duration = Duration::from_millis(20);

/// What the sync thread works on outside the lock.
struct Batch {
    unnamed: Vec<(PathBuf, u64, Flusher)>,
    retired: Vec<(Writer, Arc<DiskFile>, u64, Place)>,
    active: Option<(Flusher, Arc<DiskFile>)>,
    first_sequence: u64,
    place: Place,
}

impl Journal {
    /// Makes what was appended before this call durable. For the sync thread alone.
    pub(in crate::ledger) fn sync(&self) -> Result<(), StorageError> {
        let batch = self.batch();
        let synced = self.sync_batch(&batch);
        #[cfg(test)]
        let synced = match synced {
            Err(_) if simulated::makes(Mistake::RetrySync) => self.sync_batch(&batch),
            synced => synced,
        };
        // Unmapped before anybody may cut the files.
        let Batch {
            unnamed,
            retired,
            active,
            place,
            ..
        } = batch;
        drop((unnamed, active));
        let retired = retired
            .into_iter()
            .map(|(_writer, _file, first, _end)| first)
            .collect::<Vec<_>>();
        if let Err(error) = synced {
            self.fail(&error);
            return Err(error);
        }
        let mut state = self.state.lock();
        for segment in &mut state.retired {
            segment.is_synced |= retired.contains(&segment.first_sequence);
        }
        state.synced = place.sequence;
        self.progress.notify_all();
        Ok(())
    }

    fn batch(&self) -> Batch {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut unnamed = Vec::new();
        let mut retired = Vec::new();
        for segment in &mut state.retired {
            let Some(writer) = segment.writer.take() else {
                continue;
            };
            if let Some(path) = segment.unnamed.take() {
                unnamed.push((path, segment.first_sequence, writer.flusher()));
            }
            let file = Arc::clone(&segment.file);
            retired.push((writer, file, segment.first_sequence, segment.end));
        }
        let active = &mut state.active;
        let is_new = active.unnamed.is_some();
        if let Some(path) = active.unnamed.take() {
            unnamed.push((path, active.first_sequence, active.writer.flusher()));
        }
        let is_dirty = is_new || state.synced != state.place.sequence;
        Batch {
            unnamed,
            retired,
            active: is_dirty.then(|| (active.writer.flusher(), Arc::clone(&active.file))),
            first_sequence: active.first_sequence,
            place: state.place,
        }
    }

    /// In this order, so that a named segment has a header on disk, and a synced mark is never ahead
    /// of what came before it.
    fn sync_batch(&self, batch: &Batch) -> Result<(), StorageError> {
        if self.fail_next_sync.swap(false, Ordering::Relaxed) {
            let failed = io::Error::other("made to fail by a test");
            return Err(StorageError::io("syncing", &self.directory)(failed));
        }
        let path = |first_sequence| segment::path(&self.directory, first_sequence);
        for (from, first_sequence, flusher) in &batch.unnamed {
            let to = path(*first_sequence);
            flusher
                .flush(HEADER_BYTES)
                .and_then(|()| disk::rename(from, &to))
                .map_err(StorageError::io("naming", &to))?;
        }
        #[cfg(test)]
        let is_forgotten = simulated::makes(Mistake::SkipDirectorySync);
        #[cfg(not(test))]
        let is_forgotten = false;
        if !batch.unnamed.is_empty() && !is_forgotten {
            files::sync_dir(&self.directory)?;
        }
        for (writer, file, first_sequence, end) in &batch.retired {
            writer
                .flusher()
                .flush(end.offset)
                .and_then(|()| segment::write_synced(file, *first_sequence, end.offset))
                .map_err(StorageError::io("syncing", &path(*first_sequence)))?;
        }
        if let Some((flusher, file)) = &batch.active {
            flusher
                .flush(batch.place.offset)
                .and_then(|()| {
                    segment::write_synced(file, batch.first_sequence, batch.place.offset)
                })
                .map_err(StorageError::io("syncing", &path(batch.first_sequence)))?;
            // A sync makes pages read-only again; the first store to each would pay for that.
            flusher.make_ready(batch.place.offset, READY_BYTES);
        }
        Ok(())
    }

    /// Waits until there is something to do, at most `at_most`; `false` when the journal takes no records
    /// any more. A sync that is wanted after this returned is another one: what it is wanted for may come
    /// too late for the one that follows.
    pub(in crate::ledger) fn wait_for_work(&self, at_most: Duration) -> bool {
        let mut state = self.state.lock();
        let has_work = |state: &State| {
            state.is_sync_wanted || (state.spares.len() < SPARES && state.obstacle.is_none())
        };
        if matches!(state.status, Status::Open) && !has_work(&state) {
            self.work.wait_for(&mut state, at_most);
        }
        state.is_sync_wanted = false;
        matches!(state.status, Status::Open)
    }

    /// Whether the sync thread is to sync at once.
    #[cfg(test)]
    pub(in crate::ledger) fn is_sync_wanted(&self) -> bool {
        self.state.lock().is_sync_wanted
    }

    /// Has the sync thread sync now instead of at the end of its wait.
    pub(in crate::ledger) fn want_sync(&self) {
        self.state.lock().is_sync_wanted = true;
        self.work.notify_one();
    }

    /// The first sequence number that may not be on disk.
    pub(in crate::ledger) fn synced(&self) -> u64 {
        self.state.lock().synced
    }

    /// Waits until everything appended before this call is on disk.
    pub(in crate::ledger) fn flush(&self) -> Result<(), StorageError> {
        #[cfg(test)]
        if simulated::current().is_some() {
            return self.flush_alone();
        }
        let mut state = self.state.lock();
        let target = state.place.sequence;
        loop {
            match &state.status {
                Status::Failed(reason) => {
                    return Err(StorageError::Failed {
                        reason: reason.clone(),
                    });
                }
                _ if state.synced >= target => return Ok(()),
                Status::Closed => return Err(StorageError::Closed),
                Status::Open => {}
            }
            state.is_sync_wanted = true;
            self.work.notify_one();
            self.progress.wait_for(&mut state, WAIT);
        }
    }

    /// [`Journal::flush`] without a sync thread.
    #[cfg(test)]
    fn flush_alone(&self) -> Result<(), StorageError> {
        let state = self.state.lock();
        let is_synced = state.synced == state.place.sequence;
        let status = state.status.clone();
        drop(state);
        match status {
            Status::Failed(reason) => Err(StorageError::Failed { reason }),
            _ if is_synced => Ok(()),
            Status::Closed => Err(StorageError::Closed),
            Status::Open => self.sync().map_err(|error| StorageError::Failed {
                reason: reason_of(&error),
            }),
        }
    }
}
