//! Reading a ledger that this process does not own, beside a server or without one.
//!
//! Reads what is there and repairs nothing. A record that is being written meanwhile may or may not
//! be seen; one that is seen is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Report;

use super::anchor::Anchor;
use super::catalogue::Catalogue;
use super::head::{self, LedgerHead};
use super::query::{self, EntryQuery, Source, SummaryQuery, SummaryRow};
use super::segment::{self, Header};
use super::sums::{Period, Sums};
use super::verify::{self, Verification};
use crate::disk::DiskFile;
use crate::{DataDir, StorageError};

/// How often a question is asked again when retention drops what is being read.
const ATTEMPTS: u32 = 10;

/// A ledger that is only read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LedgerReader {
    directory: PathBuf,
    data_dir: PathBuf,
}

impl LedgerReader {
    pub(super) fn open(data_dir: &DataDir, directory: &str) -> Self {
        Self {
            directory: data_dir.path().join(directory),
            data_dir: data_dir.path().to_owned(),
        }
    }

    /// The entries that `query` wants, newest first.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when a record on the way is damaged, [`StorageError::Io`] when a
    /// segment can't be read.
    pub fn entries(&self, query: &EntryQuery) -> Result<Vec<Report>, StorageError> {
        let sources = self.segments()?.into_iter().map(|(_, source)| source);
        query::entries(query, &sources.collect::<Vec<_>>())
    }

    /// Sums by function and time, up to the last record that can be seen.
    ///
    /// # Errors
    ///
    /// Those of [`LedgerReader::entries`], and [`StorageError::Database`] when the roll-ups can't be
    /// read.
    pub fn summary(&self, query: &SummaryQuery) -> Result<Vec<SummaryRow>, StorageError> {
        for _ in 0..ATTEMPTS {
            if let Some(sums) = self.sums(query)? {
                return Ok(query.rows(sums));
            }
        }
        let path = self.directory.clone();
        let source =
            std::io::Error::other("segments are missing, or dropped faster than they are read");
        Err(StorageError::Io {
            doing: "reading",
            path,
            source,
        })
    }

    /// `None` when the server dropped a segment meanwhile.
    fn sums(&self, query: &SummaryQuery) -> Result<Option<Sums>, StorageError> {
        let (mut sums, mut position) = match Catalogue::open_for_reading(&self.data_dir)? {
            Some(mut catalogue) => catalogue.rollups(&query.wanted())?,
            None => (Sums::default(), 1),
        };
        if !self.directory.is_dir() {
            return Ok(Some(sums));
        }
        let anchor = Anchor::read(&self.directory)?;
        if anchor.next_sequence > position {
            // It has everything that the roll-ups have.
            position = anchor.next_sequence;
            sums = match query.by {
                // Nothing is left of the minutes of dropped segments.
                Period::Minute => Sums::default(),
                Period::Hour | Period::Day | Period::Month => anchor.sums,
            };
        }
        let mut segments = self.segments()?;
        segments.retain(|(first_sequence, _)| *first_sequence >= position);
        if segments
            .first()
            .is_some_and(|(first, _)| *first != position)
        {
            return Ok(None);
        }
        for (_, source) in segments {
            if !query::add_up_source(&source, &mut sums)? {
                return Ok(None);
            }
        }
        Ok(Some(sums))
    }

    /// The head of the ledger, to be kept elsewhere; `None` when there is no record to take it at.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when what it reads of the newest segments is damaged,
    /// [`StorageError::Io`] when it can't be read.
    pub fn head(&self) -> Result<Option<LedgerHead>, StorageError> {
        if !self.directory.is_dir() {
            return Ok(None);
        }
        head::read(self)
    }

    /// Checks everything that can be checked: each record and its place, the hashes of segments, that
    /// no attempt has two records, the sums; and, if given, that the past is the one that `known` was
    /// made of. Repairs nothing, and works beside a running server.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when something can't be read. Damage is no error: it is what the answer is
    /// about.
    pub fn verify(&self, known: Option<&LedgerHead>) -> Result<Verification, StorageError> {
        verify::verify(self, known)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The segments by first sequence number, those that have no name yet included.
    pub(super) fn segments(&self) -> Result<Vec<(u64, Source)>, StorageError> {
        if !self.directory.is_dir() {
            return Ok(Vec::new());
        }
        // The named ones last: one that gets its name meanwhile is seen twice and not missed.
        let unnamed = segment::spares(&self.directory)?
            .into_iter()
            .filter_map(unnamed);
        let unnamed = unnamed.collect::<Vec<_>>();
        let named = segment::list(&self.directory)?.into_iter();
        let mut segments = named
            .map(|(first_sequence, path)| (first_sequence, Source::Path(path)))
            .chain(unnamed)
            .collect::<Vec<_>>();
        segments.sort_by_key(|(first_sequence, _)| *first_sequence);
        segments.dedup_by_key(|(first_sequence, _)| *first_sequence);
        Ok(segments)
    }
}

/// A segment without a name, if it is in use. It is kept open, since the name comes any moment.
fn unnamed(path: PathBuf) -> Option<(u64, Source)> {
    let file = DiskFile::open_for_reading(&path).ok()?;
    let bytes = segment::read(&file, 0, segment::HEADER_BYTES).ok()?;
    let first_sequence = Header::parse(&path, &bytes).ok()?.first_sequence;
    let end = usize::try_from(file.size().ok()?).ok()?;
    Some((
        first_sequence,
        Source::Open {
            path,
            file: Arc::new(file),
            end,
        },
    ))
}
