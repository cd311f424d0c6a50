//! The queue's one writer: a thread that batches what waits for it, has it committed, and answers; and,
//! in between, looks at space and forgets what need not be kept.
//!
//! Knows nothing of what operations do.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::core::Core;
use super::engine::Engine;
use super::machine::{Depth, Moment, SELECTED_MAX};
use super::operation::{Done, Operation};
use super::time::{QueueTime, Watch};
use super::view::View;
use super::{
    Due, PENDING_BYTES_MAX, PENDING_OPERATIONS_MAX, QueueError, QueueHealth, QueueSettings,
    QueueStatistics, Reply,
};
use crate::ledger::Ledger;
use crate::{StorageError, space};

/// Operations of one transaction, at most.
const BATCH_MAX: usize = 1_024;
/// No more is added to a transaction once its payloads have so many bytes.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How often, at least, space is looked at and history is forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// How often, at most, space is looked at before events are taken in.
const SPACE_EVERY: Duration = Duration::from_millis(100);
/// How often, at least, the time is stored.
const TIME_EVERY: Duration = Duration::from_secs(3_600);

struct Submission {
    operation: Operation,
    reply: Reply,
}

/// What waits for the writer.
#[derive(Default)]
struct Pending {
    submissions: VecDeque<Submission>,
    payload_bytes: usize,
    is_closed: bool,
}

/// What the writer and the handles share.
pub(super) struct Shared {
    pending: Mutex<Pending>,
    arrived: Condvar,
    view: Mutex<View>,
    /// Held while something is written.
    writing: Mutex<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn submit(&self, operation: Operation, reply: Reply) {
        let bytes = operation.payload_bytes();
        let mut pending = self.pending.lock();
        // What starts and closes attempts is bounded by who runs them, and is never turned away: it makes
        // room.
        let makes_room = matches!(operation, Operation::Claim { .. } | Operation::Finish(_));
        let is_over = pending.submissions.len() >= PENDING_OPERATIONS_MAX
            || pending.payload_bytes.saturating_add(bytes) > PENDING_BYTES_MAX;
        let refused = if pending.is_closed {
            Some(QueueError::Closed)
        } else if is_over && !makes_room {
            Some(QueueError::Busy)
        } else {
            None
        };
        if let Some(error) = refused {
            drop(pending);
            return reply(Err(error));
        }
        pending.payload_bytes += bytes;
        pending
            .submissions
            .push_back(Submission { operation, reply });
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        self.pending.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Keeps the writer from writing.
    pub(super) fn pause(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    pub(super) fn depths(&self) -> BTreeMap<String, Depth> {
        self.view.lock().depths()
    }

    pub(super) fn health(&self) -> QueueHealth {
        self.view.lock().health.clone()
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self.view.lock().health, QueueHealth::Failed { .. })
    }

    pub(super) fn statistics(&self) -> QueueStatistics {
        self.view.lock().statistics
    }

    /// [`View::due`], with the time until then.
    pub(super) fn due(
        &self,
        now_us: i64,
        after: &str,
        at_most: usize,
    ) -> (Vec<Due>, Option<Duration>) {
        let (due, next_us) = self.view.lock().due(now_us, after, at_most);
        let wait_us = next_us.map(|due_us| due_us.saturating_sub(now_us));
        let wait = wait_us.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
        (due, wait)
    }

    /// The next batch, empty when nothing came for `at_most`; `None` when that was all.
    fn next_batch(&self, at_most: Duration) -> Option<Vec<Submission>> {
        let mut pending = self.pending.lock();
        if pending.submissions.is_empty() && !pending.is_closed {
            self.arrived.wait_for(&mut pending, at_most);
        }
        if pending.submissions.is_empty() {
            return (!pending.is_closed).then(Vec::new);
        }
        let mut batch = Vec::with_capacity(pending.submissions.len().min(BATCH_MAX));
        let mut bytes = 0;
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(submission) = pending.submissions.pop_front() else {
                break;
            };
            bytes += submission.operation.payload_bytes();
            batch.push(submission);
        }
        pending.payload_bytes = pending.payload_bytes.saturating_sub(bytes);
        Some(batch)
    }
}

/// Refuses what is left when the writer ends, however it does.
struct LastWord(Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        let left = {
            let mut pending = self.0.pending.lock();
            pending.is_closed = true;
            std::mem::take(&mut pending.submissions)
        };
        for submission in left {
            (submission.reply)(Err(QueueError::Closed));
        }
    }
}

pub(super) fn start(
    engine: Engine,
    settings: QueueSettings,
    ledger: Ledger,
    time: QueueTime,
    path: &Path,
) -> Result<(Arc<Shared>, JoinHandle<()>), StorageError> {
    let (core, queues) = Core::open(engine, settings.quota, settings.wait_max, time.now_us())?;
    let shared = Arc::new(Shared {
        pending: Mutex::default(),
        arrived: Condvar::new(),
        view: Mutex::new(View::new(queues)),
        writing: Mutex::new(()),
    });
    let watch = time.watch();
    let mut writer = Writer {
        core,
        ledger,
        time,
        directory: path.parent().unwrap_or(path).to_owned(),
        space_at: None,
        upkeep_at: settings.clock.now(),
        time_at: settings.clock.now(),
        watch,
        settings,
        shared: Arc::clone(&shared),
    };
    // Whoever starts it hears at once that space is short.
    writer.look_at_space();
    shared.view.lock().health = writer.core.health();
    let thread = std::thread::Builder::new()
        .name("queue-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(StorageError::io("starting the writer of", path))?;
    Ok((shared, thread))
}

struct Writer {
    core: Core,
    settings: QueueSettings,
    ledger: Ledger,
    time: QueueTime,
    shared: Arc<Shared>,
    /// Where the database is.
    directory: PathBuf,
    /// When space was looked at last.
    space_at: Option<Instant>,
    upkeep_at: Instant,
    /// When the time was stored last without anything else.
    time_at: Instant,
    /// Of the wall clock.
    watch: Watch,
}

impl Writer {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _last_word = LastWord(Arc::clone(&shared));
        // What is left to forget is forgotten in steps, between batches.
        let mut has_more = false;
        loop {
            let patience = if has_more {
                Duration::ZERO
            } else {
                UPKEEP_EVERY
            };
            let Some(batch) = shared.next_batch(patience) else {
                return self.keep_time();
            };
            let is_idle = batch.is_empty();
            if !is_idle {
                self.commit(batch);
            }
            let is_time = self.elapsed_since(self.upkeep_at) >= UPKEEP_EVERY;
            if is_idle || is_time || has_more {
                has_more = self.keep_up(is_idle, has_more);
            }
        }
    }

    fn elapsed_since(&self, then: Instant) -> Duration {
        self.settings.clock.now().saturating_duration_since(then)
    }

    fn commit(&mut self, batch: Vec<Submission>) {
        let (operations, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|submission| (submission.operation, submission.reply))
            .unzip();
        let looked = self.space_at.map(|then| self.elapsed_since(then));
        let is_stale = looked.is_none_or(|elapsed| elapsed >= SPACE_EVERY);
        if is_stale && operations.iter().any(Operation::takes_in) {
            self.look_at_space();
        }
        let results = self.write(&operations);
        for (reply, result) in replies.into_iter().zip(results) {
            reply(result);
        }
        (self.settings.on_change)();
        self.take_in_log(false);
    }

    /// Takes the log into the database, if it is worth it or `at_once`. Nobody waits for that.
    fn take_in_log(&mut self, at_once: bool) {
        let _writing = self.shared.writing.lock();
        self.core.checkpoint(at_once);
        self.shared.view.lock().health = self.core.health();
    }

    fn keep_time(&mut self) {
        let _writing = self.shared.writing.lock();
        self.core.keep_time(self.time.now_us());
        self.time_at = self.settings.clock.now();
    }

    /// Commits, and shows what came of it.
    fn write(&mut self, operations: &[Operation]) -> Vec<Result<Done, QueueError>> {
        let _writing = self.shared.writing.lock();
        let ledger = &self.ledger;
        let moment = Moment {
            now_us: self.time.now_us(),
            ledger_from: ledger.synced_sequence(),
        };
        let outcome = self.core.commit(operations, moment, &mut || ledger.flush());
        let mut view = self.shared.view.lock();
        view.statistics = self.core.statistics();
        view.health = self.core.health();
        view.show(outcome.changed);
        outcome.results
    }

    fn look_at_space(&mut self) {
        self.space_at = Some(self.settings.clock.now());
        self.core
            .note_space(space::shortage_for_others(&self.directory));
    }

    /// Looks whether there is space again, forgets a part of the history, and gives a part of the space
    /// back that is free; `true` when there is more to do at once, as there was before.
    fn keep_up(&mut self, is_idle: bool, had_more: bool) -> bool {
        self.upkeep_at = self.settings.clock.now();
        self.look_at_space();
        let adopted = self.time.follow(&mut self.watch, self.core.is_empty());
        if adopted || self.elapsed_since(self.time_at) >= TIME_EVERY {
            self.keep_time();
        }
        let has_free = {
            let _writing = self.shared.writing.lock();
            self.core.try_again(self.time.now_us());
            self.core.give_back()
        };
        let now_us = self.time.now_us();
        let before = |keep: Duration| {
            let keep_us = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            now_us.saturating_sub(keep_us)
        };
        let forgotten = self.write(&[Operation::Forget {
            succeeded_before_us: before(self.settings.keep),
            given_up_before_us: before(self.settings.keep_given_up),
        }]);
        let step = Done::Changed(u64::from(SELECTED_MAX));
        let has_history = matches!(forgotten.as_slice(), [Ok(done)] if *done == step);
        self.take_in_log(is_idle && !had_more);
        // Who waits to be written does not wait for that.
        has_history || (has_free && is_idle)
    }
}
