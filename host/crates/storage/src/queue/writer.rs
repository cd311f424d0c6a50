//! The queue's one writer: batches what waits for it, commits, and answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::event::EventState;
use parking_lot::Mutex;

use super::engine::Engine;
use super::machine::{self, Depth, Depths, Effect};
use super::operation::{Done, Operation};
use super::time::QueueTime;
use super::{PENDING_OPERATIONS_MAX, QueueError, QueueHealth, QueueSettings, Reply};
use crate::StorageError;
use crate::ledger::Ledger;

/// Operations of one transaction, at most.
const BATCH_MAX: usize = 1_024;
/// How often the time is looked at when nothing is asked.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Submission {
    pub(super) operation: Operation,
    pub(super) reply: Reply,
}

/// What the writer and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    sender: Mutex<Option<SyncSender<Submission>>>,
    view: Mutex<View>,
}

/// What is known of the queue without asking the engine.
#[derive(Debug)]
struct View {
    depths: Depths,
    next_due_us: BTreeMap<String, i64>,
    health: QueueHealth,
}

impl Shared {
    pub(super) fn submit(&self, submission: Submission) {
        let refused = match &*self.sender.lock() {
            None => Some((submission, QueueError::Closed)),
            Some(sender) => match sender.try_send(submission) {
                Ok(()) => None,
                Err(TrySendError::Full(submission)) => Some((submission, QueueError::Busy)),
                Err(TrySendError::Disconnected(submission)) => {
                    Some((submission, QueueError::Closed))
                }
            },
        };
        if let Some((submission, error)) = refused {
            (submission.reply)(Err(error));
        }
    }

    pub(super) fn close(&self) {
        drop(self.sender.lock().take());
    }

    pub(super) fn depths(&self) -> BTreeMap<String, Depth> {
        self.view.lock().depths.clone()
    }

    pub(super) fn health(&self) -> QueueHealth {
        self.view.lock().health.clone()
    }

    pub(super) fn due(&self, now_us: i64) -> (Vec<String>, Option<Duration>) {
        let view = self.view.lock();
        let is_due = |due_us: &i64| *due_us <= now_us;
        let due = view.next_due_us.iter().filter(|(_, due_us)| is_due(due_us));
        let due = due.map(|(queue, _)| queue.clone()).collect();
        let later = view.next_due_us.values().filter(|due_us| !is_due(due_us));
        let wait = later
            .min()
            .map(|due_us| Duration::from_micros(u64::try_from(due_us - now_us).unwrap_or(0)));
        (due, wait)
    }
}

pub(super) fn start(
    engine: Engine,
    settings: QueueSettings,
    ledger: Ledger,
    time: QueueTime,
    path: &Path,
) -> Result<(Arc<Shared>, JoinHandle<()>), StorageError> {
    let (sender, receiver) = sync_channel(PENDING_OPERATIONS_MAX);
    let shared = Arc::new(Shared {
        sender: Mutex::new(Some(sender)),
        view: Mutex::new(View {
            depths: Depths::new(),
            next_due_us: BTreeMap::new(),
            health: QueueHealth::Writable,
        }),
    });
    let mut writer = Writer {
        engine,
        settings,
        ledger,
        time,
        shared: Arc::clone(&shared),
        depths: Depths::new(),
    };
    writer.prepare()?;
    let thread = std::thread::Builder::new()
        .name("queue-writer".to_owned())
        .spawn(move || writer.run(&receiver))
        .map_err(StorageError::io("starting the writer of", path))?;
    Ok((shared, thread))
}

struct Writer {
    engine: Engine,
    settings: QueueSettings,
    ledger: Ledger,
    time: QueueTime,
    shared: Arc<Shared>,
    depths: Depths,
}

impl Writer {
    fn prepare(&mut self) -> Result<(), StorageError> {
        let wait_us = i64::try_from(self.settings.wait_max.as_micros()).unwrap_or(i64::MAX);
        self.engine
            .clamp_due(self.time.now_us().saturating_add(wait_us))?;
        self.depths = self.engine.depths()?;
        let mut next_due_us = BTreeMap::new();
        for queue in self.depths.keys() {
            if let Some(due_us) = self.engine.next_due_us(queue)? {
                next_due_us.insert(queue.clone(), due_us);
            }
        }
        let mut view = self.shared.view.lock();
        view.depths.clone_from(&self.depths);
        view.next_due_us = next_due_us;
        Ok(())
    }

    fn run(mut self, receiver: &Receiver<Submission>) {
        loop {
            let first = match receiver.recv_timeout(IDLE) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let batch = std::iter::once(first).chain(receiver.try_iter());
            self.commit(batch.take(BATCH_MAX).collect());
        }
    }

    fn commit(&mut self, batch: Vec<Submission>) {
        if let QueueHealth::Failed { reason } = self.shared.health() {
            for submission in batch {
                let reason = reason.clone();
                (submission.reply)(Err(QueueError::Failed { reason }));
            }
            return;
        }
        let mut results = Vec::with_capacity(batch.len());
        let committed = self.transact(&batch, &mut results);
        if let Err(error) = committed {
            self.engine.roll_back();
            self.note_failure(&error);
            let error = QueueError::from(error);
            for submission in batch {
                (submission.reply)(Err(error.clone()));
            }
            return;
        }
        self.show(&batch);
        for (submission, result) in batch.into_iter().zip(results) {
            (submission.reply)(result);
        }
        (self.settings.on_change)();
    }

    fn transact(
        &mut self,
        batch: &[Submission],
        results: &mut Vec<Result<Done, QueueError>>,
    ) -> Result<(), StorageError> {
        let now_us = self.time.now_us();
        let before = self.depths.clone();
        let transacted = (|| {
            self.engine.begin()?;
            let mut has_attempt = false;
            for submission in batch {
                let Engine::Sqlite(rows) = &self.engine;
                let quota = self.settings.quota;
                let operation = &submission.operation;
                match machine::step(rows, &self.depths, quota, operation, now_us) {
                    Ok((effects, done)) => {
                        has_attempt |= matches!(operation, Operation::Finish(_));
                        self.count(&effects, operation);
                        self.engine.apply(&effects)?;
                        results.push(Ok(done));
                    }
                    Err(error) => results.push(Err(error)),
                }
            }
            if has_attempt {
                self.ledger.flush()?;
            }
            self.engine.commit(now_us)
        })();
        if transacted.is_err() {
            self.depths = before;
        }
        transacted
    }

    /// Keeps the depths up to date with what an operation does.
    fn count(&mut self, _effects: &[Effect], _operation: &Operation) {
        if let Ok(depths) = self.engine.depths() {
            self.depths = depths;
        }
    }

    fn show(&mut self, _batch: &[Submission]) {
        if let Ok(depths) = self.engine.depths() {
            self.depths = depths;
        }
        let mut next = BTreeMap::new();
        for queue in self.depths.keys() {
            if let Ok(Some(due_us)) = self.engine.next_due_us(queue) {
                next.insert(queue.clone(), due_us);
            }
        }
        let mut view = self.shared.view.lock();
        view.depths.clone_from(&self.depths);
        view.next_due_us = next;
        view.health = QueueHealth::Writable;
    }

    fn note_failure(&self, error: &StorageError) {
        let reason = error.to_string();
        self.shared.view.lock().health = match error {
            StorageError::Full { .. } => QueueHealth::Full { reason },
            _ => QueueHealth::Failed { reason },
        };
        tracing::error!(%error, state = EventState::Queued.as_str(), "a change of the queue failed: {error}");
    }
}
