//! Questions to the ledger: single entries, newest first, and sums by function and time.
//!
//! Knows segments and the catalogue, not who writes them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{FunctionName, Report, Status, Trigger, VersionId};

use super::catalogue::Filter;
use super::frame::{self, AttemptKey, Found};
use super::rollups::Wanted;
use super::segment::{self, Frames, HEADER_BYTES, Header, Place, Stop};
use super::sums::{self, Key, Minute, Period, StatusCounts, Sums};
use crate::StorageError;
use crate::disk::{self, DiskFile};

/// Which entries are wanted, newest first.
#[derive(Debug, Clone)]
pub struct EntryQuery {
    /// Of this function only.
    pub function: Option<FunctionName>,
    /// Started at this instant or later, in Unix microseconds.
    pub since_us: Option<i64>,
    /// Started before this instant, in Unix microseconds.
    pub until_us: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

impl Default for EntryQuery {
    fn default() -> Self {
        Self {
            function: None,
            since_us: None,
            until_us: None,
            limit: 100,
        }
    }
}

/// Which sums are wanted.
#[derive(Debug, Clone, Default)]
pub struct SummaryQuery {
    /// Of this function only.
    pub function: Option<FunctionName>,
    /// From the period on that this instant is in, in Unix microseconds. The whole period counts.
    pub since_us: Option<i64>,
    /// Up to the period before the one of this instant, or, inside a period, up to its end, in Unix
    /// microseconds.
    pub until_us: Option<i64>,
    /// A row for each of these. Minutes are there as long as [`LedgerSettings::minutes_kept`] says,
    /// everything else for good.
    ///
    /// [`LedgerSettings::minutes_kept`]: super::LedgerSettings::minutes_kept
    pub by: Period,
    /// A row of its own for each version.
    pub by_version: bool,
    /// A row of its own for each trigger.
    pub by_trigger: bool,
}

/// What invocations of a function in one period add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// Which function.
    pub function: FunctionName,
    /// When the invocations started, UTC: `2026-11-22T13:05`, `2026-11-22T13`, `2026-11-22` or
    /// `2026-11`.
    pub period: String,
    /// When the period begins, in Unix microseconds.
    pub start_us: i64,
    /// Which version, if that was asked for. Unknown in what is left of segments that were dropped
    /// before sums knew versions and triggers.
    pub version: Option<VersionId>,
    /// What produced the events, likewise.
    pub trigger: Option<Trigger>,
    /// Attempts to run it.
    pub invocations: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// The attempts by how they ended.
    pub statuses: StatusCounts,
    /// Milliseconds billed.
    pub billed_ms: u64,
    /// Configured memory in MB times billed milliseconds; 1,024,000 of them are a GB-second.
    pub mb_ms: u128,
    /// Charges, in 10⁻¹² US dollars.
    pub charge_picousd: u128,
}

impl EntryQuery {
    pub(super) fn filter(&self) -> Filter<'_> {
        Filter {
            function: self.function.as_ref(),
            since_us: self.since_us,
            until_us: self.until_us,
            from_sequence: 0,
        }
    }

    pub(super) fn wants(&self, report: &Report) -> bool {
        self.function
            .as_ref()
            .is_none_or(|function| *function == report.function)
            && self
                .since_us
                .is_none_or(|since| report.started_at_us >= since)
            && self
                .until_us
                .is_none_or(|until| report.started_at_us < until)
    }
}

impl SummaryQuery {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        let since = self.since_us.map(sums::minute_of);
        // The last microsecond that counts decides the last period.
        let until = self
            .until_us
            .map(|us| sums::minute_of(us.saturating_sub(1)));
        Wanted {
            function: self.function.as_ref(),
            by: self.by,
            minutes: since.map_or(Minute::MIN, |minute| self.by.start(minute))
                ..=until.map_or(Minute::MAX, |minute| self.by.end(minute)),
        }
    }

    /// The rows for what is in `sums`, by function, period, version and trigger.
    pub(super) fn rows(&self, sums: Sums) -> Vec<SummaryRow> {
        let wanted = self.wanted();
        let mut grouped = Sums::default();
        for (key, totals) in sums.0 {
            if wanted.has(&key) {
                let key = Key {
                    start: self.by.start(key.start),
                    version: key.version.filter(|_| self.by_version),
                    trigger: key.trigger.filter(|_| self.by_trigger),
                    ..key
                };
                grouped.add_totals(key, totals);
            }
        }
        let rows = grouped.0.into_iter().map(|(key, totals)| SummaryRow {
            function: key.function,
            period: self.by.text(key.start),
            start_us: sums::unix_us(key.start),
            version: key.version,
            trigger: key.trigger,
            invocations: totals.invocations(),
            errors: totals.invocations() - totals.statuses.get(Status::Success),
            statuses: totals.statuses,
            billed_ms: totals.billed_ms,
            mb_ms: totals.mb_ms,
            charge_picousd: totals.charge_picousd,
        });
        rows.collect()
    }
}

/// A segment to look into.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Complete, or written by another process.
    Path(PathBuf),
    /// In use here, filled up to the offset.
    Open {
        path: PathBuf,
        file: Arc<DiskFile>,
        end: usize,
    },
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Path(path) | Self::Open { path, .. } => path,
        }
    }

    /// Its length in bytes, if it is there.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Path(path) => DiskFile::open_for_reading(path).and_then(|file| file.size()),
            Self::Open { file, .. } => file.size(),
        }
        .ok()
    }

    /// Its header; `None` when retention dropped it meanwhile.
    pub(super) fn read_header(&self) -> Result<Option<Header>, StorageError> {
        let file = match self {
            Self::Open { file, .. } => Arc::clone(file),
            Self::Path(path) => match DiskFile::open_for_reading(path) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StorageError::io("opening", path)(error)),
            },
        };
        let bytes = segment::read(&file, 0, HEADER_BYTES)
            .map_err(StorageError::io("reading", self.path()))?;
        Header::parse(self.path(), &bytes).map(Some)
    }

    /// Its bytes; `None` when retention dropped it meanwhile.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let bytes = match self {
            Self::Path(path) => disk::read(path),
            Self::Open { file, end, .. } => segment::read(file, 0, *end),
        };
        match bytes {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("reading", self.path())(error)),
        }
    }
}

/// The newest entries that `query` wants from `sources`, which are ordered oldest first.
pub(super) fn entries(query: &EntryQuery, sources: &[Source]) -> Result<Vec<Report>, StorageError> {
    let mut found = Vec::new();
    for source in sources.iter().rev() {
        if found.len() >= query.limit {
            break;
        }
        if let Some(bytes) = source.read()? {
            newest_of(query, source.path(), &bytes, &mut found)?;
        }
    }
    Ok(found)
}

/// The records of the `wanted` attempts in `sources`, which are ordered oldest first. Stops at the
/// source where the last of them is found.
pub(super) fn find(
    wanted: &HashSet<AttemptKey>,
    sources: &[Source],
) -> Result<HashMap<AttemptKey, Report>, StorageError> {
    let mut found = HashMap::new();
    for source in sources.iter().rev() {
        if found.len() == wanted.len() {
            break;
        }
        let Some(bytes) = source.read()? else {
            continue;
        };
        let path = source.path();
        let mut frames = Frames::new(&bytes, Place::first(&Header::parse(path, &bytes)?));
        let mut at = HEADER_BYTES;
        for frame in frames.by_ref() {
            let corrupt = |reason| StorageError::corrupt(path, at, reason);
            let key = frame.key().map_err(corrupt)?;
            if wanted.contains(&key) {
                found.insert(key, frame.report().map_err(corrupt)?);
            }
            at = frame.end;
        }
        // A record that can't be read may be one that is asked for.
        if let Some(Stop::Bad(reason)) = frames.stop {
            let reason = format!("a record can't be read: {reason}");
            return Err(StorageError::corrupt(path, at, reason));
        }
    }
    Ok(found)
}

/// Adds what `query` wants from one segment, newest first, up to its limit.
fn newest_of(
    query: &EntryQuery,
    path: &Path,
    bytes: &[u8],
    found: &mut Vec<Report>,
) -> Result<(), StorageError> {
    // Lengths lead forward only; then the frames are read from the end until there are enough.
    let mut offsets = Vec::new();
    let mut offset = HEADER_BYTES;
    while frame::u64_at(bytes, offset).is_some_and(|word| word != 0) {
        offsets.push(offset);
        let Some(end) = frame::end_of(bytes, offset) else {
            break;
        };
        offset = end;
    }
    let last = offsets.last().copied();
    for offset in offsets.into_iter().rev() {
        if found.len() >= query.limit {
            break;
        }
        let frame = match frame::at(bytes, offset) {
            Found::Frame(frame) => frame,
            // The other process is just writing it, or was killed while it did.
            Found::Bad(_) if Some(offset) == last && !is_sealed(path, bytes) => continue,
            Found::Bad(reason) => {
                return Err(StorageError::corrupt(
                    path,
                    offset,
                    format!("a record can't be read: {reason}"),
                ));
            }
            Found::End => continue,
        };
        if query
            .function
            .as_ref()
            .is_some_and(|function| !frame.is_of(function))
        {
            continue;
        }
        let report = frame
            .report()
            .map_err(|reason| StorageError::corrupt(path, offset, reason))?;
        if query.wants(&report) {
            found.push(report);
        }
    }
    Ok(())
}

pub(super) fn is_sealed(path: &Path, bytes: &[u8]) -> bool {
    Header::parse(path, bytes).is_ok_and(|header| header.sealed.is_some())
}

/// Adds up the frames of `bytes` (which begin at `from.offset` of the file) and says where they end.
pub(super) fn add_up(
    path: &Path,
    bytes: &[u8],
    from: Place,
    sums: &mut Sums,
) -> Result<(Place, Option<Stop>), StorageError> {
    let base = from.offset;
    let mut frames = Frames::new(bytes, Place { offset: 0, ..from });
    let mut at = base;
    for frame in frames.by_ref() {
        let report = frame
            .report()
            .map_err(|reason| StorageError::corrupt(path, at, reason))?;
        sums.add(&report);
        at = base + frame.end;
    }
    Ok((
        Place {
            offset: base + frames.place.offset,
            ..frames.place
        },
        frames.stop,
    ))
}

/// Adds up a segment that another process may be writing; `false` when it is gone.
pub(super) fn add_up_source(source: &Source, sums: &mut Sums) -> Result<bool, StorageError> {
    let Some(bytes) = source.read()? else {
        return Ok(false);
    };
    let path = source.path();
    let header = Header::parse(path, &bytes)?;
    let from = Place::first(&header);
    let (end, stop) = add_up(
        path,
        bytes.get(from.offset..).unwrap_or_default(),
        from,
        sums,
    )?;
    match stop {
        // What was never finished is not there; what was synced must be.
        Some(Stop::Bad(reason)) if end.offset < header.synced && header.synced < usize::MAX => {
            let reason = format!("a record can't be read: {reason}");
            Err(StorageError::corrupt(path, end.offset, reason))
        }
        _ => Ok(true),
    }
}
