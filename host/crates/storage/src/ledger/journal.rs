//! The journal: where records are appended, and what makes them durable.
//!
//! One lock guards the place of the next frame. Under it an append checks that there is room, stores
//! the frame and stores its length and checksum last; encoding happened before. The sync thread does
//! the rest ([`sync`]), so that an append makes no system call.
//!
//! After a failed sync nothing is accepted any more: what the disk has is only known after a restart.
//!
//! Knows nothing of the catalogue.

mod sync;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::{Clock, Report};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::frame::Encoded;
use super::mapping::Writer;
use super::segment::{self, BootId, HEADER_BYTES, Header, Place};
use crate::{StorageError, files};

#[derive(Debug)]
pub(super) struct Journal {
    pub(super) directory: PathBuf,
    segment_bytes: u64,
    clock: Clock,
    boot: BootId,
    state: Mutex<State>,
    /// Something for the sync thread to do.
    work: Condvar,
    /// The sync thread got further.
    progress: Condvar,
    spares_made: AtomicU64,
    /// For tests: the next sync fails.
    pub(super) fail_next_sync: AtomicBool,
}

#[derive(Debug)]
struct State {
    status: Status,
    active: Active,
    /// Where the next frame goes.
    place: Place,
    /// The first sequence number that may not be on disk.
    synced: u64,
    spare: Option<Spare>,
    /// No spare can be made for want of space.
    is_full: bool,
    /// Segments that are filled and not in the catalogue yet, oldest first.
    retired: VecDeque<Retired>,
    /// A caller waits for a sync.
    is_sync_wanted: bool,
}

#[derive(Debug, Clone)]
enum Status {
    Open,
    Failed(String),
    Closed,
}

#[derive(Debug)]
struct Active {
    writer: Writer,
    file: Arc<File>,
    first_sequence: u64,
    /// Where the file is until it has its name.
    unnamed: Option<PathBuf>,
}

#[derive(Debug)]
struct Spare {
    writer: Writer,
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
struct Retired {
    file: Arc<File>,
    first_sequence: u64,
    end: Place,
    unnamed: Option<PathBuf>,
    /// Until it is synced.
    writer: Option<Writer>,
    is_synced: bool,
}

/// A segment that is not in the catalogue yet, as far as it is filled.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) file: Arc<File>,
    pub(super) first_sequence: u64,
    pub(super) end: Place,
}

/// Whether the journal takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Open,
    Full,
    Failed(String),
    Closed,
}

/// What recovery found: the segment to go on with, if any, and where.
#[derive(Debug)]
pub(super) struct Resume {
    pub(super) active: Option<(File, u64)>,
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
        let path = segment::path(&directory, place.sequence);
        let active = match active {
            Some((file, first_sequence)) => {
                let path = segment::path(&directory, first_sequence);
                let io = StorageError::io("preparing", &path);
                let length = file
                    .metadata()
                    .map(|metadata| metadata.len().max(segment_bytes));
                let writer = length.and_then(|length| {
                    // Also for a file that was copied without its zeros: every block must exist.
                    segment::allocate(&file, 0, length)?;
                    segment::write_boot(&file, boot)?;
                    file.sync_all()?;
                    Writer::new(&file, usize::try_from(length).unwrap_or(usize::MAX))
                });
                Active {
                    writer: writer.map_err(io)?,
                    file: Arc::new(file),
                    first_sequence,
                    unnamed: None,
                }
            }
            None => {
                let Spare { writer, file, path } = Spare::make(&directory, 0, segment_bytes)?;
                let mut active = Active {
                    writer,
                    file: Arc::new(file),
                    first_sequence: place.sequence,
                    unnamed: Some(path),
                };
                place.offset = HEADER_BYTES;
                let header = header(place, clock.unix_us(), previous_hash, boot);
                active.writer.store(0, &header.encode());
                active
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
                spare: None,
                is_full: false,
                retired: VecDeque::new(),
                is_sync_wanted: false,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            spares_made: AtomicU64::new(1),
            fail_next_sync: AtomicBool::new(false),
        };
        journal.sync()?;
        tracing::debug!(path = %path.display(), sequence = place.sequence, "opened the ledger");
        Ok(journal)
    }

    /// Appends a report. It has left the process when this returns.
    pub(super) fn append(&self, report: &Report) -> Result<(), StorageError> {
        let mut encoded = Encoded::new(report).map_err(|error| StorageError::Failed {
            reason: error.to_string(),
        })?;
        let mut state = self.state.lock();
        match &state.status {
            Status::Open => {}
            Status::Failed(reason) => {
                return Err(StorageError::Failed {
                    reason: reason.clone(),
                });
            }
            Status::Closed => return Err(StorageError::Closed),
        }
        if state.place.offset + encoded.frame_bytes() > state.active.writer.len() {
            self.rotate(&mut state)?;
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

    /// Goes on in the spare segment.
    fn rotate(&self, state: &mut State) -> Result<(), StorageError> {
        let spare = match state.spare.take() {
            Some(spare) => spare,
            None if state.is_full => {
                return Err(StorageError::Full {
                    path: self.directory.clone(),
                });
            }
            // The sync thread did not come to it yet.
            None => self
                .make_spare()
                .inspect_err(|_error| state.is_full = true)?,
        };
        let place = Place {
            offset: HEADER_BYTES,
            ..state.place
        };
        let mut active = Active {
            writer: spare.writer,
            file: Arc::new(spare.file),
            first_sequence: place.sequence,
            unnamed: Some(spare.path),
        };
        let header = header(place, self.clock.unix_us(), None, self.boot);
        active.writer.store(0, &header.encode());
        let full = std::mem::replace(&mut state.active, active);
        state.retired.push_back(Retired {
            file: full.file,
            first_sequence: full.first_sequence,
            end: state.place,
            unnamed: full.unnamed,
            writer: Some(full.writer),
            is_synced: false,
        });
        state.place = place;
        self.work.notify_one();
        Ok(())
    }

    fn make_spare(&self) -> Result<Spare, StorageError> {
        let number = self.spares_made.fetch_add(1, Ordering::Relaxed);
        Spare::make(&self.directory, number, self.segment_bytes)
    }

    /// Refuses records from now on.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if matches!(state.status, Status::Open) {
            state.status = Status::Closed;
        }
        if let Some(spare) = state.spare.take() {
            drop(fs::remove_file(&spare.path));
        }
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// Refuses records from now on, because of `error`.
    pub(super) fn fail(&self, error: &StorageError) {
        fail(&mut self.state.lock(), error);
        self.progress.notify_all();
    }

    pub(super) fn condition(&self) -> Condition {
        let state = self.state.lock();
        match &state.status {
            Status::Open if state.is_full => Condition::Full,
            Status::Open => Condition::Open,
            Status::Failed(reason) => Condition::Failed(reason.clone()),
            Status::Closed => Condition::Closed,
        }
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
        state
            .retired
            .retain(|segment| segment.first_sequence != first_sequence);
    }
}

impl Retired {
    fn view(&self) -> View {
        View {
            file: Arc::clone(&self.file),
            first_sequence: self.first_sequence,
            end: self.end,
        }
    }
}

impl Spare {
    fn make(directory: &std::path::Path, number: u64, bytes: u64) -> Result<Self, StorageError> {
        let path = segment::spare_path(directory, number);
        let made = files::private()
            .create_new(true)
            .open(&path)
            .and_then(|file| {
                segment::allocate(&file, 0, bytes)?;
                let writer = Writer::new(&file, usize::try_from(bytes).unwrap_or(usize::MAX))?;
                Ok((writer, file))
            });
        match made {
            Ok((writer, file)) => Ok(Self { writer, file, path }),
            Err(error) => {
                drop(fs::remove_file(&path));
                Err(StorageError::io("preparing", &path)(error))
            }
        }
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
        synced: HEADER_BYTES,
        sealed: None,
        boot,
    }
}

fn fail(state: &mut MutexGuard<'_, State>, error: &StorageError) {
    if let Status::Failed(_) = state.status {
        return;
    }
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    tracing::error!(reason, "the ledger stopped accepting records: {reason}");
    state.status = Status::Failed(reason);
}
