//! The journal: where records are appended, and what makes them durable.
//!
//! One lock guards the place of the next frame. Under it an append checks that there is room, stores
//! the frame and stores its length and checksum last; encoding happened before. The sync thread does
//! the rest ([`sync`], [`spare`]), so that an append makes no system call. Nobody makes one with the
//! lock.
//!
//! After a failed sync nothing is accepted any more: what the disk has is only known after a restart.
//!
//! Knows nothing of the catalogue.

mod spare;
mod state;
mod sync;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::{Clock, Report};
use parking_lot::{Condvar, Mutex, MutexGuard};

use self::spare::Spare;
use self::state::{Active, Obstacle, Retired, State, Status};
use super::blocks;
use super::frame::Encoded;
use super::memory::Writer;
use super::segment::{self, BootId, HEADER_BYTES, Header, Place};
use crate::StorageError;
use crate::disk::DiskFile;

pub(super) use self::spare::SPARES;
pub(super) use self::state::{Condition, View};

#[derive(Debug)]
pub(super) struct Journal {
    pub(super) directory: PathBuf,
    segment_bytes: u64,
    clock: Clock,
    boot: BootId,
    state: Mutex<State>,
    /// Held by whoever makes a segment; taken before `state`.
    pub(super) making: Mutex<()>,
    /// Something for the sync thread to do.
    work: Condvar,
    /// The sync thread got further.
    progress: Condvar,
    spares_made: AtomicU64,
    /// Whether new records may come: what the state says, without its lock.
    takes_records: AtomicBool,
    /// For tests: the next sync fails.
    pub(super) fail_next_sync: AtomicBool,
    /// For tests: no spare can be made, though there is space.
    pub(super) fail_spares: AtomicBool,
}

/// What recovery found: the segment to go on with, if any, and where.
#[derive(Debug)]
pub(super) struct Resume {
    pub(super) active: Option<(DiskFile, u64)>,
    pub(super) place: Place,
    pub(super) previous_hash: Option<segment::Hash>,
}

impl Journal {
    pub(super) fn open(
        directory: PathBuf,
        segment_bytes: u64,
        clock: Clock,
        resume: Resume,
    ) -> Result<Self, StorageError> {
        let boot = BootId::current();
        let Resume {
            active,
            mut place,
            previous_hash,
        } = resume;
        let active = match active {
            Some((file, first_sequence)) => {
                let path = segment::path(&directory, first_sequence);
                let writer = resume_writer(&file, place, segment_bytes, boot)
                    .map_err(StorageError::io("preparing", &path))?;
                Active {
                    writer,
                    file: Arc::new(file),
                    first_sequence,
                    unnamed: None,
                }
            }
            None => {
                place.offset = HEADER_BYTES;
                let header = header(place, clock.unix_us(), previous_hash, boot);
                begin(Spare::make(&directory, 0, segment_bytes)?, &header)
            }
        };
        let journal = Self {
            directory,
            segment_bytes,
            clock,
            boot,
            state: Mutex::new(State {
                status: Status::Open,
                active,
                place,
                synced: place.sequence,
                spares: VecDeque::with_capacity(SPARES),
                obstacle: None,
                retired: VecDeque::new(),
                is_sync_wanted: false,
            }),
            making: Mutex::new(()),
            work: Condvar::new(),
            progress: Condvar::new(),
            spares_made: AtomicU64::new(1),
            takes_records: AtomicBool::new(true),
            fail_next_sync: AtomicBool::new(false),
            fail_spares: AtomicBool::new(false),
        };
        journal.sync()?;
        let directory = journal.directory.display();
        tracing::debug!(%directory, sequence = place.sequence, "opened the ledger");
        Ok(journal)
    }

    /// Appends a report. It has left the process when this returns.
    pub(super) fn append(&self, report: &Report) -> Result<(), StorageError> {
        let mut encoded = Encoded::new(report).map_err(|error| StorageError::Failed {
            reason: error.to_string(),
        })?;
        let mut state = self.state.lock();
        loop {
            state.require_open()?;
            if state.has_room(encoded.frame_bytes()) {
                break;
            }
            if let Some(spare) = state.spares.pop_front() {
                self.rotate(&mut state, spare);
            } else if state.obstacle == Some(Obstacle::Full) {
                return Err(StorageError::Full {
                    path: self.directory.clone(),
                });
            } else {
                // The sync thread did not come to it yet.
                MutexGuard::unlocked(&mut state, || self.prepare(1))?;
            }
        }
        let Place {
            offset,
            sequence,
            crc,
        } = state.place;
        let placed = encoded.place(sequence, crc);
        state
            .active
            .writer
            .store(offset + size_of::<u64>(), encoded.after_word());
        state.active.writer.publish(offset, placed.word);
        state.place = Place {
            offset: offset + encoded.frame_bytes(),
            sequence: sequence + 1,
            crc: placed.crc,
        };
        Ok(())
    }

    /// Goes on in a spare segment.
    fn rotate(&self, state: &mut State, spare: Spare) {
        let place = Place {
            offset: HEADER_BYTES,
            ..state.place
        };
        let header = header(place, self.clock.unix_us(), None, self.boot);
        let full = std::mem::replace(&mut state.active, begin(spare, &header));
        state.retired.push_back(Retired {
            file: full.file,
            first_sequence: full.first_sequence,
            end: state.place,
            unnamed: full.unnamed,
            writer: Some(full.writer),
            is_synced: false,
        });
        state.place = place;
        self.note(state);
        self.work.notify_one();
    }

    /// Refuses records from now on.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if matches!(state.status, Status::Open) {
            state.status = Status::Closed;
        }
        self.note(&state);
        let spares = std::mem::take(&mut state.spares);
        drop(state);
        self.work.notify_all();
        self.progress.notify_all();
        spares.into_iter().for_each(Spare::discard);
    }

    /// Refuses records from now on, because of `error`.
    pub(super) fn fail(&self, error: &StorageError) {
        let mut state = self.state.lock();
        let reason = state.fail(error);
        self.note(&state);
        drop(state);
        self.work.notify_all();
        self.progress.notify_all();
        if let Some(reason) = reason {
            tracing::error!(reason, "the ledger stopped accepting records: {reason}");
        }
    }

    /// Whether new records may come, without the lock that appending takes.
    pub(super) fn takes_records(&self) -> bool {
        self.takes_records.load(Ordering::Relaxed)
    }

    /// To be called after each change of the state that matters to [`Journal::takes_records`].
    fn note(&self, state: &State) {
        let takes_records = state.condition() == Condition::Open;
        self.takes_records.store(takes_records, Ordering::Relaxed);
    }

    pub(super) fn condition(&self) -> Condition {
        self.state.lock().condition()
    }

    /// The sequence number of the next record.
    pub(super) fn next_sequence(&self) -> u64 {
        self.state.lock().place.sequence
    }

    /// The segments that are not in the catalogue, oldest first; the last one is in use.
    pub(super) fn views(&self) -> Vec<View> {
        let state = self.state.lock();
        let retired = state.retired.iter().map(Retired::view);
        let active = View {
            file: Arc::clone(&state.active.file),
            first_sequence: state.active.first_sequence,
            end: state.place,
        };
        retired.chain([active]).collect()
    }

    /// The oldest segment if it can be sealed, and the one after it.
    pub(super) fn sealable(&self) -> Option<(View, View)> {
        let views = {
            let state = self.state.lock();
            let first = state.retired.front()?;
            (first.is_synced && matches!(state.status, Status::Open | Status::Closed))
                .then_some(())?;
            drop(state);
            self.views()
        };
        match views.as_slice() {
            [first, second, ..] => Some((first.clone(), second.clone())),
            _ => None,
        }
    }

    /// The oldest segment is in the catalogue now.
    pub(super) fn catalogued(&self, first_sequence: u64) {
        let mut state = self.state.lock();
        let index = state
            .retired
            .iter()
            .position(|segment| segment.first_sequence == first_sequence);
        let catalogued = index.and_then(|index| state.retired.remove(index));
        drop(state);
        // Closes the file.
        drop(catalogued);
    }
}

/// Maps the segment that was in use.
fn resume_writer(
    file: &DiskFile,
    place: Place,
    segment_bytes: u64,
    boot: BootId,
) -> io::Result<Writer> {
    let length = file.size()?.max(segment_bytes);
    // Also for a file that was copied without its zeros: every block must exist. Those of records do,
    // since no record has a block of zeros in it.
    let end = u64::try_from(place.offset).unwrap_or(u64::MAX);
    blocks::allocate(file, end, length)?;
    segment::write_boot(file, boot)?;
    file.sync_all()?;
    Writer::new(file, usize::try_from(length).unwrap_or(usize::MAX))
}

/// Takes a spare into use.
fn begin(spare: Spare, header: &Header) -> Active {
    let Spare {
        mut writer,
        file,
        path,
    } = spare;
    writer.store(0, &header.encode());
    Active {
        writer,
        file: Arc::new(file),
        first_sequence: header.first_sequence,
        unnamed: Some(path),
    }
}

fn header(
    place: Place,
    made_at_us: i64,
    previous_hash: Option<segment::Hash>,
    boot: BootId,
) -> Header {
    Header {
        first_sequence: place.sequence,
        made_at_us,
        previous_crc: place.crc,
        previous_hash,
        is_hash_torn: false,
        synced: HEADER_BYTES,
        sealed: None,
        boot,
    }
}
