//! The ledger: one record of each attempt to run a function, kept in a journal.
//!
//! A record has left the process when [`Ledger::append`] returns, and is on disk a moment later
//! ([`LedgerSettings::sync_every`]); [`Ledger::flush`] waits for that. Records are never changed.
//! Sums are exact at any time: roll-ups of sealed segments, plus what was appended since.
//!
//! Invariants:
//! * a killed process loses no appended record, a power cut at most those of the last `sync_every`;
//! * records are numbered without a gap, and each is chained to the one before;
//! * after a failed sync nothing is accepted until a restart.
//!
//! Absent on purpose: prices, invoices, and what a record is for.

mod anchor;
mod ballast;
mod blocks;
mod catalogue;
mod frame;
mod head;
mod journal;
mod mapping;
mod memory;
mod query;
mod reader;
mod recovery;
mod rollups;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod snapshot;
mod strict;
mod sums;
#[cfg(test)]
pub(crate) mod tests;
mod upkeep;
mod verify;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::{Clock, Report, RequestId};
use parking_lot::Mutex;

use self::catalogue::Filter;
use self::journal::Condition;
use self::query::Source;
use self::shared::Shared;
use self::strict::Strict;
use self::upkeep::Unsealed;
use crate::{DataDir, StorageError};

pub use head::{LedgerHead, LedgerHeadError};
pub use query::{EntryQuery, SummaryQuery, SummaryRow};
pub use reader::LedgerReader;
pub use strict::OpenStart;
pub use sums::{Period, StatusCounts};
pub use verify::{LedgerProblem, Verification};

const DIRECTORY: &str = "ledger";

/// How the ledger is kept.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// Size of a segment, in bytes. Default 16 MiB; kept within 4 KiB and 1 GiB.
    pub segment_bytes: u64,
    /// Sealed segments whose last invocation started longer ago are dropped. Default: never.
    pub retention_age: Option<Duration>,
    /// The oldest sealed segments are dropped while they are more bytes than this together. Default:
    /// no limit.
    pub retention_bytes: Option<u64>,
    /// How long sums by the minute are kept, up to an hour longer; those by the hour, day and month
    /// are kept for good. Default 15 days.
    pub minutes_kept: Duration,
    /// Whether attempts can be on disk before they run, and records before they are answered
    /// ([`Ledger::start`], [`Ledger::durable`]). Default no.
    pub is_strict: bool,
    /// How long a record may wait until it is synced to disk. Default 10 ms.
    pub sync_every: Duration,
    /// Tells the time for retention and for stamps.
    pub clock: Clock,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            retention_age: None,
            retention_bytes: None,
            minutes_kept: Duration::from_hours(15 * 24),
            is_strict: false,
            sync_every: Duration::from_millis(10),
            clock: Clock::system(),
        }
    }
}

/// Whether the ledger takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerHealth {
    /// It does.
    Writable,
    /// Space is short. What runs can still be recorded; nothing new should start. Goes away by itself
    /// when there is space again.
    Full {
        /// What is short, and where.
        reason: String,
    },
    /// It does not, until a restart; or, where the reason says so, until the next try succeeds.
    Failed {
        /// What failed.
        reason: String,
    },
}

impl LedgerHealth {
    /// Whether new invocations may start.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        *self == Self::Writable
    }
}

/// The ledger, owned by this process. Cheap to clone; closed with the last clone.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens the ledger of a data directory, and brings in order what the last process left.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when records are damaged or missing that should be there,
    /// [`StorageError::NewerFormat`] when a newer Mayfly wrote it, [`StorageError::Full`] when there
    /// is no space for a segment, [`StorageError::ReadOnly`] when the directory is not ours.
    pub fn open(data_dir: &DataDir, settings: LedgerSettings) -> Result<Self, StorageError> {
        data_dir.require_writable()?;
        let directory = data_dir.subdirectory(DIRECTORY)?;
        blocks::keep_in_place(&directory);
        let (catalogue, resume) = match recovery::open(data_dir.path(), &directory) {
            Err(error) if ballast::give_up_for(&error, &directory) => {
                recovery::open(data_dir.path(), &directory)?
            }
            opened => opened?,
        };
        let shared = Arc::new(Shared::new(
            data_dir, directory, settings, catalogue, resume,
        )?);
        // Without one, the first rotation makes it, or says why it can't.
        drop(shared.journal.prepare(1));
        let threads = upkeep::spawn(&shared)
            .map_err(StorageError::io("starting the threads of", data_dir.path()))?;
        let ledger = Self(Arc::new(Owner {
            shared,
            threads: Mutex::new(threads.into()),
        }));
        let shared = ledger.shared();
        strict::recover(&ledger, &shared.journal.directory)?;
        if shared.settings.is_strict {
            let strict = Strict::create(&shared.journal.directory)?;
            shared.strict.get_or_init(|| strict);
            // It may have failed before there was anybody to tell.
            strict::stop_if_failed(shared);
        }
        Ok(ledger)
    }

    /// Opens a ledger to ask it, whether a server owns it or not.
    ///
    /// # Errors
    ///
    /// None today: what can't be read shows when it is asked for.
    pub fn open_for_reading(data_dir: &DataDir) -> Result<LedgerReader, StorageError> {
        Ok(LedgerReader::open(data_dir, DIRECTORY))
    }

    /// Appends a report.
    ///
    /// The record has left the process when this returns: killing the process does not lose it. An
    /// error type of more than 512 bytes is cut.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] when a new segment is needed and there is no space for it,
    /// [`StorageError::Failed`] when a sync failed earlier, [`StorageError::Closed`] after
    /// [`Ledger::close`]. The report is not recorded then.
    pub fn append(&self, report: &Report) -> Result<(), StorageError> {
        self.shared().journal.append(report)
    }

    /// The entries that `query` wants, newest first.
    ///
    /// # Errors
    ///
    /// [`StorageError::Corrupt`] when a record on the way is damaged, [`StorageError::Io`] or
    /// [`StorageError::Database`] when it can't be read.
    pub fn entries(&self, query: &EntryQuery) -> Result<Vec<Report>, StorageError> {
        query::entries(query, &self.sources(query.filter())?)
    }

    /// The records of `wanted` attempts, as far as there are any, from sequence number
    /// `from_sequence` on.
    ///
    /// For recovery: whoever accepted an event learns which attempts at it were closed. Reads whole
    /// segments, newest first, only those that hold a record from there on, and only until all are
    /// found.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::entries`].
    pub fn find(
        &self,
        wanted: &HashSet<(RequestId, u32)>,
        from_sequence: u64,
    ) -> Result<HashMap<(RequestId, u32), Report>, StorageError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let filter = Filter {
            from_sequence,
            ..Filter::default()
        };
        query::find(wanted, &self.sources(filter)?)
    }

    /// The segments that may hold what `filter` asks for, oldest first.
    fn sources(&self, filter: Filter<'_>) -> Result<Vec<Source>, StorageError> {
        let shared = self.shared();
        let directory = &shared.journal.directory;
        // A segment moves from the journal to the catalogue under this lock: none is missed.
        let (sealed, open) = {
            let catalogue = shared.catalogue.lock();
            (catalogue.segments(filter)?, shared.journal.views())
        };
        let sealed = sealed
            .iter()
            .map(|row| Source::Path(segment::path(directory, row.first_sequence)));
        let open = open
            .into_iter()
            .filter(|view| view.end.sequence > filter.from_sequence);
        let open = open.map(|view| Source::Open {
            path: segment::path(directory, view.first_sequence),
            file: view.file,
            end: view.end.offset,
        });
        Ok(sealed.chain(open).collect())
    }

    /// Sums by function and time, of every record appended before this call.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::entries`].
    pub fn summary(&self, query: &SummaryQuery) -> Result<Vec<SummaryRow>, StorageError> {
        let shared = self.shared();
        let ((mut sums, _position), views) = {
            let mut catalogue = shared.catalogue.lock();
            (catalogue.rollups(&query.wanted())?, shared.journal.views())
        };
        shared.add_open(&views, &mut sums)?;
        Ok(query.rows(sums))
    }

    /// The head of the ledger, to be kept elsewhere: [`LedgerReader::head`].
    ///
    /// # Errors
    ///
    /// Those of [`LedgerReader::head`].
    pub fn head(&self) -> Result<Option<LedgerHead>, StorageError> {
        LedgerReader::open(self.shared().data_dir(), DIRECTORY).head()
    }

    /// Whether new invocations may start: [`Ledger::health`] without its reason. Takes no lock.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let shared = self.shared();
        shared.journal.takes_records() && !shared.is_short_of_space.load(Ordering::Relaxed)
    }

    /// Whether records are taken.
    #[must_use]
    pub fn health(&self) -> LedgerHealth {
        let shared = self.shared();
        let directory = shared.journal.directory.display();
        match shared.journal.condition() {
            Condition::Failed(reason) => LedgerHealth::Failed { reason },
            Condition::Stuck(reason) => LedgerHealth::Failed {
                reason: format!("no new segment can be made, and it is tried again: {reason}"),
            },
            Condition::Closed => LedgerHealth::Failed {
                reason: "the ledger is closed".to_owned(),
            },
            Condition::Full => LedgerHealth::Full {
                reason: format!("no space is left in `{directory}`"),
            },
            Condition::Open if shared.is_short_of_space.load(Ordering::Relaxed) => {
                LedgerHealth::Full {
                    reason: format!("little space is left in `{directory}`"),
                }
            }
            Condition::Open => LedgerHealth::Writable,
        }
    }

    /// Why no records are taken until a restart, if that is so: a sync failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self.shared().journal.condition() {
            Condition::Failed(reason) => Some(reason),
            Condition::Open | Condition::Full | Condition::Stuck(_) | Condition::Closed => None,
        }
    }

    /// Records that were ever appended, those that retention dropped included.
    #[must_use]
    pub fn records_total(&self) -> u64 {
        self.shared().journal.next_sequence() - 1
    }

    /// The first sequence number whose record may not be on disk yet. What is appended from now on gets
    /// this one or a later one, also after a crash that cuts off what was not synced.
    #[must_use]
    pub(crate) fn synced_sequence(&self) -> u64 {
        self.shared().journal.synced()
    }

    /// Waits until every record appended before this call is on disk.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] when it will not be.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.shared().journal.flush()
    }

    /// Refuses further records and waits until all others are on disk. Doing it twice is fine.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] when a sync failed, now or earlier.
    pub fn close(&self) -> Result<(), StorageError> {
        self.0.close()
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl Owner {
    fn close(&self) -> Result<(), StorageError> {
        let closed = self.close_all();
        if let Some(strict) = self.shared.strict.get() {
            strict.stop("the ledger is closed");
        }
        closed
    }

    fn close_all(&self) -> Result<(), StorageError> {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            return self.shared.status();
        }
        self.shared.journal.close();
        *self.shared.closing.lock() = true;
        self.shared.closed.notify_all();
        for thread in threads.drain(..) {
            // A thread that panicked has left its trace; the sync below says what counts.
            drop(thread.join());
        }
        self.shared.status()?;
        strict::sync(&self.shared)?;
        match upkeep::seal_filled(&self.shared) {
            // The next start enters what is missing in the catalogue.
            Ok(()) | Err(Unsealed::Catalogue(_)) => Ok(()),
            Err(Unsealed::Segment(error)) => Err(error),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the ledger failed: {error}");
        }
    }
}
