//! What the handles and the threads of a ledger share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::catalogue::Catalogue;
use super::journal::{Condition, Journal, Resume, View};
use super::segment::{self, Place};
use super::strict::Strict;
use super::sums::Sums;
use super::{LedgerSettings, query};
use crate::{DataDir, StorageError};

/// What the handles and the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Keeps the directory locked.
    data_dir: DataDir,
    pub(super) settings: LedgerSettings,
    pub(super) journal: Journal,
    pub(super) catalogue: Mutex<Catalogue>,
    /// In strict mode, once what the last process left is settled.
    pub(super) strict: OnceLock<Strict>,
    /// Sums of the segments that are not in the catalogue, as far as they were asked for.
    tally: Mutex<BTreeMap<u64, (Place, Sums)>>,
    pub(super) is_short_of_space: AtomicBool,
    pub(super) closing: Mutex<bool>,
    pub(super) closed: Condvar,
}

impl Shared {
    pub(super) fn new(
        data_dir: &DataDir,
        directory: PathBuf,
        settings: LedgerSettings,
        catalogue: Catalogue,
        resume: Resume,
    ) -> Result<Self, StorageError> {
        let segment_bytes = settings
            .segment_bytes
            .clamp(segment::SEGMENT_BYTES_MIN, segment::SEGMENT_BYTES_MAX);
        let clock = settings.clock.clone();
        let journal = Journal::open(directory, segment_bytes, clock, resume)?;
        Ok(Self {
            data_dir: data_dir.clone(),
            settings,
            journal,
            catalogue: Mutex::new(catalogue),
            strict: OnceLock::new(),
            tally: Mutex::default(),
            is_short_of_space: AtomicBool::new(false),
            closing: Mutex::new(false),
            closed: Condvar::new(),
        })
    }

    pub(super) fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// The error of a failed ledger.
    pub(super) fn status(&self) -> Result<(), StorageError> {
        match self.journal.condition() {
            Condition::Failed(reason) => Err(StorageError::Failed { reason }),
            Condition::Open | Condition::Full | Condition::Stuck(_) | Condition::Closed => Ok(()),
        }
    }

    /// Adds the sums of segments that are not in the catalogue; what was read once is remembered.
    pub(super) fn add_open(&self, views: &[View], sums: &mut Sums) -> Result<(), StorageError> {
        let mut tally = self.tally.lock();
        let first = views.first().map_or(0, |view| view.first_sequence);
        tally.retain(|first_sequence, _| *first_sequence >= first);
        for view in views {
            let path = segment::path(&self.journal.directory, view.first_sequence);
            let io = || StorageError::io("reading", &path);
            let (place, tallied) = match tally.entry(view.first_sequence) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let bytes = segment::read(&view.file, 0, segment::HEADER_BYTES).map_err(io())?;
                    let place = Place::first(&segment::Header::parse(&path, &bytes)?);
                    entry.insert((place, Sums::default()))
                }
            };
            let bytes = segment::read(&view.file, place.offset, view.end.offset).map_err(io())?;
            (*place, _) = query::add_up(&path, &bytes, *place, tallied)?;
            if place.offset < view.end.offset {
                return Err(StorageError::corrupt(
                    &path,
                    place.offset,
                    "a record can't be read",
                ));
            }
            sums.add_all(tallied);
        }
        Ok(())
    }

    pub(super) fn note_free_space(&self, is_enough: bool) {
        let was_short = self.is_short_of_space.swap(!is_enough, Ordering::Relaxed);
        let directory = self.journal.directory.display();
        match (was_short, is_enough) {
            (false, false) => tracing::error!(%directory, "little space is left for the ledger"),
            (true, true) => tracing::info!(%directory, "there is space for the ledger again"),
            _ => {}
        }
    }

    /// Waits for `at_most`; `false` when the ledger is being closed.
    pub(super) fn wait_for_close(&self, at_most: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.closed.wait_for(&mut closing, at_most);
        }
        !*closing
    }
}
