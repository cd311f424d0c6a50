//! What functions print, and what we say about them: log files, bounded for each function and over
//! all of them.
//!
//! [`Logs::append`] copies into memory and returns; a thread writes a moment later. Losing log lines
//! is better than holding up an invocation: when memory or the disk is full, events are dropped,
//! counted, and a later line of the log says how many. Writing stops long before the disk has too
//! little space for the ledger.
//!
//! One event is one line, without control characters, and what a function prints can't pass for one
//! of our own lines. Knows nothing of invocations.

mod budget;
mod buffer;
mod cursor;
mod scan;
mod store;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::FunctionName;
use parking_lot::{Condvar, Mutex};

use self::buffer::Buffer;
use self::store::Store;
use crate::{DataDir, StorageError, files, space};

pub use cursor::{CursorError, LogCursor};
pub use scan::{LogRange, LogStream, ScanEnd, ScannedBack, ScannedEvent};
pub use text::{TEXT_BYTES_MAX, escape};

const DIRECTORY: &str = "logs";

/// How logs are kept.
#[derive(Debug, Clone, Copy)]
pub struct LogSettings {
    /// A function's log goes on in a new file when one reaches this size, in bytes. Default 1 MiB.
    pub segment_bytes: u64,
    /// Files kept of each function, the newest ones. Default 8, at least 2.
    pub segments_per_function: u32,
    /// Bytes that the files of all functions may take together; beyond it the oldest files of the
    /// largest logs are removed. Default 1 GiB.
    pub total_bytes: u64,
    /// How long an event may wait in memory. Default 50 ms.
    pub flush_every: Duration,
    /// Bytes that may wait in memory over all functions; one function may take a quarter of it.
    /// Default 16 MiB.
    pub buffer_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 20,
            segments_per_function: 8,
            total_bytes: 1 << 30,
            flush_every: Duration::from_millis(50),
            buffer_bytes: 16 << 20,
        }
    }
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// We do.
    Platform,
    /// The function does.
    Function,
}

/// A line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When it was said, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// Who said it.
    pub source: LogSource,
    /// What was said; when it comes from [`Logs::tail`] it went through [`escape`].
    pub text: String,
}

impl LogEvent {
    /// The text as it is stored and may be shown: one line, without control characters, and what a
    /// function says never begins like a line of ours.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        let shown = escape(&self.text);
        match self.source {
            LogSource::Function if text::looks_like_ours(&shown) => Cow::Owned(format!(" {shown}")),
            LogSource::Function | LogSource::Platform => shown,
        }
    }
}

/// The logs of all functions. Cheap to clone; what waits is written when the last clone goes.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    data_dir: DataDir,
    buffer: Mutex<Buffer>,
    /// Taken before `buffer` by whoever needs both.
    store: Mutex<Store>,
    dropped: AtomicU64,
    is_short_of_space: AtomicBool,
    /// For tests: as if there was little space.
    fail_space: AtomicBool,
    closing: Mutex<bool>,
    closed: Condvar,
}

impl Logs {
    /// Opens the logs of a data directory. One that was opened for reading takes no events.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the directory can't be made.
    pub fn open(data_dir: &DataDir, settings: LogSettings) -> Result<Self, StorageError> {
        let directory = data_dir.subdirectory(DIRECTORY)?;
        let flush_every = settings.flush_every;
        let shared = Arc::new(Shared {
            data_dir: data_dir.clone(),
            buffer: Mutex::new(Buffer::new(settings.buffer_bytes)),
            store: Mutex::new(Store::new(directory, &settings)),
            dropped: AtomicU64::new(0),
            is_short_of_space: AtomicBool::new(false),
            fail_space: AtomicBool::new(false),
            closing: Mutex::new(false),
            closed: Condvar::new(),
        });
        let mut thread = None;
        if data_dir.is_writable() {
            let shared = Arc::clone(&shared);
            let spawned = std::thread::Builder::new()
                .name("log-flush".to_owned())
                .spawn(move || {
                    while shared.wait_for_close(flush_every) {
                        shared.flush();
                    }
                });
            thread = Some(spawned.map_err(StorageError::io(
                "starting the log thread of",
                data_dir.path(),
            ))?);
        }
        Ok(Self(Arc::new(Owner {
            shared,
            thread: Mutex::new(thread),
        })))
    }

    /// Appends events to a stream of a function's log, in order. Copies to memory only, and never
    /// fails.
    pub fn append(
        &self,
        function: &FunctionName,
        stream: &Arc<str>,
        events: impl IntoIterator<Item = LogEvent>,
    ) {
        let shared = self.shared();
        let events = events.into_iter();
        if !shared.data_dir.is_writable() {
            shared.count_dropped(u64::try_from(events.count()).unwrap_or(u64::MAX));
            return;
        }
        // Outside the lock: the iterator may take its time.
        let events = events.collect::<Vec<_>>();
        let dropped = shared.buffer.lock().push(function, stream, events);
        shared.count_dropped(dropped);
    }

    /// The last events of a function's log, at most `last` of them, those at `since_ms` (Unix
    /// milliseconds) or later; and where to go on reading.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the log can't be read. A function without a log has no events.
    pub fn tail(
        &self,
        function: &FunctionName,
        last: usize,
        since_ms: Option<u64>,
    ) -> Result<(Vec<LogEvent>, LogCursor), StorageError> {
        self.shared().flush();
        let directory = self.shared().store.lock().directory_of(function);
        store::tail(&directory, last, since_ms)
    }

    /// The events after `cursor`, oldest first, at most `max` of them; and where to go on. When the
    /// file of the cursor is gone, goes on with the oldest one.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the log can't be read.
    pub fn read_after(
        &self,
        function: &FunctionName,
        cursor: &LogCursor,
        max: usize,
    ) -> Result<(Vec<LogEvent>, LogCursor), StorageError> {
        self.shared().flush();
        let directory = self.shared().store.lock().directory_of(function);
        store::read_after(&directory, *cursor, max)
    }

    /// Visits the events from `from` on, oldest first, as far as `range` goes and until `visit` breaks.
    /// The event at which it breaks counts as not read.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the log can't be read.
    pub fn scan(
        &self,
        function: &FunctionName,
        from: ScanEnd,
        range: LogRange,
        visit: impl FnMut(ScannedEvent) -> ControlFlow<()>,
    ) -> Result<ScanEnd, StorageError> {
        self.shared().flush();
        let directory = self.shared().store.lock().directory_of(function);
        scan::forward(&directory, from, range, visit)
    }

    /// The last events before `before` (or at the end) that `is_wanted`, at most `max`. Whole files are
    /// read; no further one when they were `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the log can't be read.
    pub fn scan_back(
        &self,
        function: &FunctionName,
        before: Option<LogCursor>,
        (range, max): (LogRange, usize),
        is_wanted: impl FnMut(&ScannedEvent) -> bool,
    ) -> Result<ScannedBack, StorageError> {
        self.shared().flush();
        let directory = self.shared().store.lock().directory_of(function);
        scan::back(&directory, before, (range, max), is_wanted)
    }

    /// The streams of a function's log, in the order of their first events. Reads the whole log.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the log can't be read.
    pub fn streams(&self, function: &FunctionName) -> Result<Vec<LogStream>, StorageError> {
        self.shared().flush();
        let directory = self.shared().store.lock().directory_of(function);
        scan::streams(&directory)
    }

    /// The functions that have a log, sorted by name.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when the directory can't be read.
    pub fn functions(&self) -> Result<Vec<FunctionName>, StorageError> {
        let directory = self.shared().store.lock().directory().to_owned();
        if !directory.is_dir() {
            return Ok(Vec::new());
        }
        let names = files::list(&directory)?.into_iter();
        Ok(names
            .filter_map(|(name, _)| FunctionName::parse(&name).ok())
            .collect())
    }

    /// How many bytes the files of a function's log are.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when they can't be listed.
    pub fn stored_bytes(&self, function: &FunctionName) -> Result<u64, StorageError> {
        let directory = self.shared().store.lock().directory_of(function);
        scan::stored_bytes(&directory)
    }

    /// Events that were dropped since the logs were opened.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.shared().dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits in memory. Log files are not synced to disk.
    pub fn flush(&self) {
        self.shared().flush();
    }

    /// Removes a function's log, with what waits in memory.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] when it can't be removed.
    pub fn remove(&self, function: &FunctionName) -> Result<(), StorageError> {
        let shared = self.shared();
        shared.data_dir.require_writable()?;
        let mut store = shared.store.lock();
        shared.buffer.lock().forget(function);
        store.remove(function)
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl Shared {
    fn flush(&self) {
        if !self.data_dir.is_writable() {
            return;
        }
        let mut store = self.store.lock();
        let waiting = self.buffer.lock().take();
        if waiting.is_empty() {
            return;
        }
        let has_space = self.has_space(&store);
        for (function, waiting) in waiting {
            let written = match has_space {
                true => store.append(&function, &waiting),
                false => Err(StorageError::Full {
                    path: store.directory().to_owned(),
                }),
            };
            if let Err(error) = written {
                tracing::debug!(%function, %error, "a log could not be written: {error}");
                let lost = self.buffer.lock().put_back_as_lost(&function, &waiting);
                self.count_dropped(lost);
            }
        }
        if let Err(error) = store.keep_within_budget() {
            tracing::debug!(%error, "logs could not be shortened: {error}");
        }
    }

    /// Whether logs can be written without taking space from the ledger.
    fn has_space(&self, store: &Store) -> bool {
        let has_space = !self.fail_space.load(Ordering::Relaxed)
            && space::is_enough_for_others(store.directory());
        let was_short = self.is_short_of_space.swap(!has_space, Ordering::Relaxed);
        let directory = store.directory().display();
        match (was_short, has_space) {
            (false, false) => {
                tracing::warn!(%directory, "little space is left: no logs are written");
            }
            (true, true) => tracing::info!(%directory, "there is space for logs again"),
            _ => {}
        }
        has_space
    }

    fn count_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    /// Waits for `at_most`; `false` when the logs are being closed.
    fn wait_for_close(&self, at_most: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.closed.wait_for(&mut closing, at_most);
        }
        !*closing
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        *self.shared.closing.lock() = true;
        self.shared.closed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has left its trace; the flush below does what is left.
            drop(thread.join());
        }
        self.shared.flush();
    }
}
