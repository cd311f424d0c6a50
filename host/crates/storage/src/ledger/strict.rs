//! Strict mode: an attempt is on disk before the guest runs, and its record before it is answered.
//!
//! `ledger/started` holds a slot of 512 bytes for each attempt that runs: written when it starts and
//! emptied once its record is on disk. Slots are written and synced by the same thread that syncs
//! the journal, all that wait at once. What is in a slot when the ledger is opened, and has no record,
//! is what the host died under: it gets a record then.
//!
//! Slots are no records: they have no number, and neither sums nor queries know them. Knows nothing of
//! guests and answers.

pub(super) mod slot;

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, Waker};

use domain::{Report, Started};
use parking_lot::Mutex;

use self::slot::{SLOT_BYTES, Slot};
use super::journal::Journal;
use super::{Ledger, Shared};
use crate::disk::{self, DiskFile};
use crate::{StorageError, files};

const FILE: &str = "started";

/// What strict mode keeps beside the journal.
pub(super) struct Strict {
    path: PathBuf,
    file: DiskFile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Slots that nothing needs.
    free: Vec<u64>,
    /// Slots whose attempt is closed; free once the record before this sequence number is on disk.
    closed: Vec<(u64, u64)>,
    /// Slots that were ever used.
    slots: u64,
    /// Counts what is written to slots.
    written: u64,
    /// How much of it is on disk.
    synced: u64,
    /// The first record that may not be on disk.
    records_synced: u64,
    /// Why nothing is made durable any more.
    stopped: Option<String>,
    waiting: Vec<Waker>,
}

/// The slot of an attempt that runs. One that is dropped without being closed stays taken until the
/// next start, which makes a record for it.
pub struct OpenStart {
    ledger: Ledger,
    slot: u64,
}

impl fmt::Debug for OpenStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStart")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strict")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Strict {
    /// Makes the file of slots anew; whatever was in it has been read.
    pub(super) fn create(directory: &Path) -> Result<Self, StorageError> {
        let path = directory.join(FILE);
        files::remove(&path)?;
        let file = DiskFile::create_new(&path).map_err(StorageError::io("making", &path))?;
        files::sync_dir(directory)?;
        let state = Mutex::default();
        Ok(Self { path, file, state })
    }

    /// Takes a slot for `start`, and says what must be synced until it is on disk.
    fn write(&self, start: &Slot) -> Result<(u64, u64), StorageError> {
        let bytes = start.encode().map_err(|error| StorageError::Failed {
            reason: error.to_string(),
        })?;
        let mut state = self.state.lock();
        if let Some(reason) = &state.stopped {
            let reason = reason.clone();
            return Err(StorageError::Failed { reason });
        }
        let slot = state.take();
        // Into the kernel's memory. Within the lock, so that a sync that begins later has it.
        if let Err(error) = self.file.write_all_at(&bytes, offset(slot)) {
            state.free.push(slot);
            return Err(StorageError::io("writing", &self.path)(error));
        }
        state.written += 1;
        Ok((slot, state.written))
    }

    /// Makes the slots durable that were written before. For the sync thread alone.
    fn sync(&self) -> Result<(), StorageError> {
        let (written, synced) = {
            let state = self.state.lock();
            (state.written, state.synced)
        };
        if written > synced {
            self.file
                .sync_all()
                .map_err(StorageError::io("syncing", &self.path))?;
            self.state.lock().synced = written;
        }
        Ok(())
    }

    /// Everything before record `records_synced` is on disk now: empties the slots that are free by
    /// that, and tells who waits.
    fn note(&self, records_synced: u64) {
        let (freed, waiting) = {
            let mut state = self.state.lock();
            state.records_synced = records_synced;
            let is_free = |(after, _): &mut (u64, u64)| *after <= records_synced;
            let freed = state.closed.extract_if(.., is_free).map(|(_, slot)| slot);
            let freed = freed.collect::<Vec<_>>();
            (freed, std::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        for slot in freed {
            // On disk with the next start, or when the kernel likes: as long as the record is there,
            // the slot may be there too. One that can't be emptied is not used again.
            if self
                .file
                .write_all_at(&[0; SLOT_BYTES], offset(slot))
                .is_ok()
            {
                self.state.lock().free.push(slot);
            }
        }
    }

    /// Nothing is made durable any more: tells who waits.
    pub(super) fn stop(&self, reason: &str) {
        let waiting = {
            let mut state = self.state.lock();
            state.stopped.get_or_insert_with(|| reason.to_owned());
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when `is_done`, or when that will never be.
    fn poll(
        &self,
        context: &Context<'_>,
        is_done: impl Fn(&State) -> bool,
    ) -> Poll<Result<(), StorageError>> {
        let mut state = self.state.lock();
        if is_done(&state) {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = &state.stopped {
            let reason = reason.clone();
            return Poll::Ready(Err(StorageError::Failed { reason }));
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }
}

/// Where a slot is in the file.
fn offset(slot: u64) -> u64 {
    slot.saturating_mul(u64::try_from(SLOT_BYTES).unwrap_or(u64::MAX))
}

/// Syncs starts and records, and tells who waits for that.
pub(super) fn sync(shared: &Shared) -> Result<(), StorageError> {
    let Some(strict) = shared.strict.get() else {
        return shared.journal.sync();
    };
    let synced = strict
        .sync()
        .inspect_err(|error| shared.journal.fail(error))
        .and_then(|()| shared.journal.sync());
    match &synced {
        Ok(()) => strict.note(shared.journal.synced()),
        Err(error) => strict.stop(&error.to_string()),
    }
    synced
}

/// Tells who waits for a sync that the journal will make none, if it failed: whoever made it fail, only
/// the sync thread is sure to see it. A journal that was closed is synced once more by who closed it.
pub(super) fn stop_if_failed(shared: &Shared) {
    if let (Some(strict), Err(error)) = (shared.strict.get(), shared.status()) {
        strict.stop(&error.to_string());
    }
}

impl Ledger {
    /// Whether starts and records are to be on disk before the next step is taken:
    /// [`LedgerSettings::is_strict`].
    ///
    /// [`LedgerSettings::is_strict`]: super::LedgerSettings::is_strict
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.shared().strict.get().is_some()
    }

    /// Notes that an attempt starts; on disk when this returns. Without strict mode there is nothing
    /// to note.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when it can't be written, [`StorageError::Failed`] when it can't be synced
    /// or the ledger is closed. The attempt must not run then.
    pub async fn start(&self, started: &Started) -> Result<Option<OpenStart>, StorageError> {
        let shared = self.shared();
        let Some(strict) = shared.strict.get() else {
            return Ok(None);
        };
        let (slot, written) = strict.write(&Slot {
            started: started.clone(),
            ledger_from: shared.journal.synced(),
        })?;
        // Until its end the slot belongs to nobody who could give it back.
        let mut start = Abandoned {
            strict,
            journal: &shared.journal,
            slot: Some(slot),
        };
        shared.journal.want_sync();
        poll_fn(|context| strict.poll(context, |state| state.synced >= written)).await?;
        start.slot = None;
        Ok(Some(OpenStart {
            ledger: self.clone(),
            slot,
        }))
    }

    /// Waits until every record appended before this call is on disk. Without strict mode it does not
    /// wait.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] when it will not be.
    pub async fn durable(&self) -> Result<(), StorageError> {
        let shared = self.shared();
        let Some(strict) = shared.strict.get() else {
            return Ok(());
        };
        let target = shared.journal.next_sequence();
        shared.journal.want_sync();
        poll_fn(|context| strict.poll(context, |state| state.records_synced >= target)).await
    }
}

impl OpenStart {
    /// The attempt has its record: the slot is free once that is on disk.
    pub fn close(self) {
        let shared = self.ledger.shared();
        if let Some(strict) = shared.strict.get() {
            give_back(strict, &shared.journal, self.slot);
        }
    }
}

/// A slot that is given back when it is dropped: whoever waited left, and the attempt never ran.
struct Abandoned<'a> {
    strict: &'a Strict,
    journal: &'a Journal,
    /// `None` once the attempt has it.
    slot: Option<u64>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            give_back(self.strict, self.journal, slot);
        }
    }
}

fn give_back(strict: &Strict, journal: &Journal, slot: u64) {
    let after = journal.next_sequence();
    strict.state.lock().closed.push((after, slot));
}

/// Makes the records of what ran when the last process died, and forgets the starts.
///
/// Cut short, it is done again at the next start: an attempt that has a record gets no other.
pub(super) fn recover(ledger: &Ledger, directory: &Path) -> Result<(), StorageError> {
    let path = directory.join(FILE);
    let bytes = match disk::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::io("reading", &path)(error)),
    };
    // A slot that can't be read was never synced, so nothing ran.
    let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(Slot::decode);
    let slots = slots.collect::<Vec<_>>();
    let ledger_from = slots.iter().map(|slot| slot.ledger_from).min();
    if let Some(ledger_from) = ledger_from {
        let keys = slots
            .iter()
            .map(|Slot { started, .. }| (started.request_id, started.attempt))
            .collect::<HashSet<_>>();
        let mut known = ledger
            .find(&keys, ledger_from)?
            .into_keys()
            .collect::<HashSet<_>>();
        for Slot { started, .. } in slots {
            if known.insert((started.request_id, started.attempt)) {
                let (id, attempt) = (started.request_id, started.attempt);
                tracing::warn!(%id, attempt, function = %started.function, "the server died under it");
                ledger.append(&Report::host_crash(started))?;
            }
        }
        ledger.flush()?;
    }
    files::remove(&path)?;
    files::sync_dir(directory)
}
