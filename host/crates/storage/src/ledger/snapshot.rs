//! A ledger as it is at one moment, while it goes on: for a backup.
//!
//! Taken are the anchor and the segments after it; frames that are stored are never changed, so a
//! segment in use is cut where its last frame ended. The catalogue is not: it is made again from these.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::anchor::Anchor;
use super::catalogue::Filter;
use super::segment::{self, Header};
use super::{DIRECTORY, Ledger, Shared};
use crate::StorageError;
use crate::disk::DiskFile;

/// How often it is tried again when retention drops segments meanwhile.
const ATTEMPTS: u32 = 10;

/// A file of a ledger, open, so that it may be removed meanwhile.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    /// In the data directory.
    pub(crate) name: String,
    pub(crate) file: Arc<DiskFile>,
    /// How much of it belongs to the snapshot.
    pub(crate) bytes: u64,
}

/// The files of a ledger, and the number of the record that comes after the last one in them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) files: Vec<SnapshotFile>,
    pub(crate) next_sequence: u64,
}

impl Ledger {
    /// Everything that was appended before this call, and perhaps more.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let shared = self.shared();
        for _ in 0..ATTEMPTS {
            if let Some(snapshot) = take(shared)? {
                return Ok(snapshot);
            }
        }
        let busy = io::Error::other("segments are dropped faster than they are opened");
        Err(StorageError::io("copying", &shared.journal.directory)(busy))
    }
}

/// `None` when a segment was dropped meanwhile.
fn take(shared: &Shared) -> Result<Option<Snapshot>, StorageError> {
    let directory = &shared.journal.directory;
    let (sealed, views) = {
        let catalogue = shared.catalogue.lock();
        let sealed = catalogue.segments(Filter::default())?;
        (sealed, shared.journal.views())
    };
    let mut files = Vec::new();
    let anchor_path = Anchor::path(directory);
    let anchor = match open(&anchor_path)? {
        None => Anchor::default(),
        Some(file) => {
            let bytes = length(&anchor_path, &file)?;
            files.push(snapshot_file(&anchor_path, Arc::new(file), bytes));
            // Replaced as a whole, never changed; read it where it was opened.
            let file = files.last().map(|taken| Arc::clone(&taken.file));
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let json = file
                .map(|file| segment::read(&file, 0, bytes))
                .transpose()
                .map_err(StorageError::io("reading", &anchor_path))?;
            Anchor::parse(&anchor_path, &json.unwrap_or_default())?
        }
    };
    let Some(last) = views.last() else {
        return Ok(None);
    };
    if views
        .first()
        .is_some_and(|first| first.first_sequence < anchor.next_sequence)
    {
        return Ok(None);
    }
    let next_sequence = last.end.sequence;
    for row in sealed {
        if row.first_sequence < anchor.next_sequence {
            continue;
        }
        let path = segment::path(directory, row.first_sequence);
        let Some(file) = open(&path)? else {
            return Ok(None);
        };
        let bytes = u64::try_from(row.bytes).unwrap_or(u64::MAX);
        files.push(snapshot_file(&path, Arc::new(file), bytes));
    }
    for view in views {
        let path = segment::path(directory, view.first_sequence);
        let header = segment::read(&view.file, 0, segment::HEADER_BYTES)
            .map_err(StorageError::io("reading", &path))?;
        Header::parse(&path, &header)?;
        let bytes = u64::try_from(view.end.offset).unwrap_or(u64::MAX);
        files.push(snapshot_file(&path, view.file, bytes));
    }
    Ok(Some(Snapshot {
        files,
        next_sequence,
    }))
}

fn open(path: &Path) -> Result<Option<DiskFile>, StorageError> {
    match DiskFile::open_for_reading(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(StorageError::io("opening", path)),
    }
}

fn length(path: &Path, file: &DiskFile) -> Result<u64, StorageError> {
    file.size().map_err(StorageError::io("reading", path))
}

fn snapshot_file(path: &Path, file: Arc<DiskFile>, bytes: u64) -> SnapshotFile {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SnapshotFile {
        name: format!("{DIRECTORY}/{name}"),
        file,
        bytes,
    }
}
