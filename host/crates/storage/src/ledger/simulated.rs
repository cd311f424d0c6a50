//! A ledger on a simulated disk: without threads, so that their steps are taken one by one.
//!
//! Knows nothing of what is appended and of when anything dies.

use std::path::Path;
use std::sync::Arc;

use domain::Report;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::catalogue::Catalogue;
use super::journal::SPARES;
use super::segment::{self, Frames, Header, Place};
use super::shared::Shared;
use super::upkeep::{self, Unsealed};
use super::{EntryQuery, Ledger, LedgerSettings, Owner, SummaryQuery, recovery};
use crate::disk::simulated::MOUNT;
use crate::{DataDir, StorageError, disk};

/// A catalogue, which can outlive the process or not.
pub(crate) struct SimCatalogue(Catalogue);

impl SimCatalogue {
    pub(crate) fn new() -> Self {
        Self(Catalogue::in_memory())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Ledger {
    /// [`Ledger::open`] on the disk that is mounted. `data_dir` is any directory.
    pub(crate) fn open_simulated(
        data_dir: &DataDir,
        settings: LedgerSettings,
        SimCatalogue(mut catalogue): SimCatalogue,
    ) -> Result<Self, StorageError> {
        let directory = Path::new(MOUNT);
        let resume = recovery::recover(directory, &mut catalogue)?;
        let shared = Shared::new(data_dir, directory.into(), settings, catalogue, resume)?;
        drop(shared.journal.prepare(1));
        Ok(Self(Arc::new(Owner {
            shared: Arc::new(shared),
            threads: Mutex::default(),
        })))
    }

    /// What survives the process of this ledger besides the disk.
    pub(crate) fn into_catalogue(self) -> SimCatalogue {
        let shared = Arc::clone(&self.0.shared);
        drop(self);
        let shared = Arc::into_inner(shared).expect("nobody else has the ledger");
        SimCatalogue(shared.catalogue.into_inner())
    }

    /// A round of the sync thread.
    pub(crate) fn sync_round(&self) -> Result<(), StorageError> {
        let journal = &self.shared().journal;
        drop(journal.prepare(SPARES));
        journal.sync()
    }

    /// A round of the upkeep thread.
    pub(crate) fn upkeep_round(&self) {
        let shared = self.shared();
        match upkeep::seal_filled(shared) {
            Ok(()) | Err(Unsealed::Catalogue(_)) => {}
            Err(Unsealed::Segment(error)) => return shared.journal.fail(&error),
        }
        // What could not be dropped is dropped later.
        drop(upkeep::drop_old(shared));
    }

    /// All records that were not dropped, oldest first.
    pub(crate) fn all(&self) -> Result<Vec<Report>, StorageError> {
        let mut entries = self.entries(&EntryQuery {
            limit: usize::MAX,
            ..EntryQuery::default()
        })?;
        entries.reverse();
        Ok(entries)
    }

    /// Records that ever were, and their charges.
    pub(crate) fn total(&self) -> Result<(u64, u128), StorageError> {
        let rows = self.summary(&SummaryQuery::default())?;
        let rows = rows.iter();
        Ok(rows.fold((0, 0), |(count, charge), row| {
            (count + row.invocations, charge + row.charge_picousd)
        }))
    }
}

/// Looks at the segments of the mounted disk themselves: each follows the one before, is sealed but
/// for the last two, and has the hash that is noted in the next.
pub(crate) fn check_chain() -> Result<(), String> {
    let segments = segment::list(Path::new(MOUNT)).map_err(|error| error.to_string())?;
    let mut before: Option<(u64, Vec<u8>)> = None;
    for (first_sequence, path) in segments {
        let bytes = disk::read(&path).map_err(|error| error.to_string())?;
        let header = Header::parse(&path, &bytes).map_err(|error| error.to_string())?;
        if header.first_sequence != first_sequence {
            return Err(format!("`{}` begins elsewhere", path.display()));
        }
        let mut frames = Frames::new(&bytes, Place::first(&header));
        frames.by_ref().for_each(drop);
        if let Some((next_sequence, bytes_before)) = &before {
            if *next_sequence != first_sequence {
                return Err(format!("records are missing before `{}`", path.display()));
            }
            let hash = <[u8; 32]>::from(Sha256::digest(bytes_before));
            if header.previous_hash.is_some_and(|noted| noted != hash) {
                return Err(format!("the hash in `{}` is wrong", path.display()));
            }
        }
        before = Some((frames.place.sequence, bytes));
    }
    Ok(())
}

/// The segments of the mounted disk, oldest first, and what is in them.
pub(crate) fn files() -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let segments = segment::list(Path::new(MOUNT)).unwrap().into_iter();
    segments
        .map(|(_, path)| {
            let bytes = disk::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

/// The segments of the mounted disk as people see them, for the report of what is wrong.
pub(crate) fn describe() -> String {
    let mut text = String::new();
    for (name, path) in disk::list(Path::new(MOUNT)).unwrap_or_default() {
        let bytes = disk::read(&path).unwrap_or_default();
        let header = Header::parse(&path, &bytes);
        let frames = header.as_ref().ok().map(|header| {
            let mut frames = Frames::new(&bytes, Place::first(header));
            frames.by_ref().for_each(drop);
            (frames.place, frames.stop)
        });
        text.push_str(&format!(
            "\n{name}: {} bytes, {header:?}, {frames:?}",
            bytes.len()
        ));
    }
    text
}
