//! What the queue's writer does with a batch of operations, without its thread and its clock: steps of
//! the machine, one commit, and what a failure means.
//!
//! A simulation drives the same code. Knows nothing of who asked, and hears of the ledger only that
//! it is to be on disk.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::machine::{self, Depth, Depths, Moment, NextDue, Tally};
use super::operation::{Done, Operation};
use super::{QueueError, QueueHealth, QueueStatistics, Quota};
use crate::StorageError;

#[derive(Debug)]
pub(crate) struct Core {
    engine: Engine,
    quota: Quota,
    depths: Depths,
    /// Little space is left, says who looks at it.
    short: Option<String>,
    /// No space was left when something was to be written.
    full: Option<String>,
    failed: Option<String>,
    statistics: QueueStatistics,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// One for each operation, in their order.
    pub(crate) results: Vec<Result<Done, QueueError>>,
    /// The queues in which events changed.
    pub(crate) changed: Vec<Changed>,
}

/// How a queue stands after a batch.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) queue: String,
    pub(crate) depth: Depth,
    /// If anything waits.
    pub(crate) next: Option<NextDue>,
}

impl Core {
    /// Takes an engine over. Says of every queue with events how it stands.
    pub(crate) fn open(
        mut engine: Engine,
        quota: Quota,
        wait_max: Duration,
        now_us: i64,
    ) -> Result<(Self, Vec<Changed>), StorageError> {
        let wait_us = i64::try_from(wait_max.as_micros()).unwrap_or(i64::MAX);
        let latest_us = now_us.saturating_add(wait_us);
        let depths = engine.depths()?;
        let mut changed = Vec::with_capacity(depths.len());
        for (queue, depth) in &depths {
            engine.clamp_due(queue, latest_us)?;
            changed.push(Changed {
                queue: queue.clone(),
                depth: *depth,
                next: engine.next_due(queue)?,
            });
        }
        let core = Self {
            engine,
            quota,
            depths,
            short: None,
            full: None,
            failed: None,
            statistics: QueueStatistics::default(),
        };
        Ok((core, changed))
    }

    pub(crate) fn health(&self) -> QueueHealth {
        if let Some(reason) = self.failed.clone() {
            QueueHealth::Failed { reason }
        } else if let Some(reason) = self.full.as_ref().or(self.short.as_ref()).cloned() {
            QueueHealth::Full { reason }
        } else {
            QueueHealth::Writable
        }
    }

    pub(crate) fn statistics(&self) -> QueueStatistics {
        self.statistics
    }

    /// Notes that little space is left, or `None` when there is enough: nothing is taken in meanwhile,
    /// and what was is worked off.
    pub(crate) fn note_space(&mut self, short: Option<String>) {
        let was_open = self.is_open();
        self.short = short;
        self.tell_of_space(was_open);
    }

    /// Whether there is space for what is taken in.
    fn is_open(&self) -> bool {
        self.full.is_none() && self.short.is_none()
    }

    /// Tells the log when events are not taken in any more, or again: once, whatever it is that is short.
    fn tell_of_space(&self, was_open: bool) {
        match (was_open, self.full.as_ref().or(self.short.as_ref())) {
            (true, Some(reason)) => tracing::error!("no more events are taken in: {reason}"),
            (false, None) => tracing::info!("there is space for events again"),
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// Does operations, in their order, in one transaction. Those that are refused change nothing;
    /// the others are durable when this returns, or none of them is.
    ///
    /// `flush_ledger` is called before an attempt is closed that the ledger has a record of.
    pub(crate) fn commit(
        &mut self,
        operations: &[Operation],
        moment: Moment,
        flush_ledger: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Outcome {
        if let Some(reason) = &self.failed {
            let reason = reason.clone();
            return refuse_all(operations, &QueueError::Failed { reason });
        }
        let mut tried = self.transact(operations, moment, flush_ledger);
        let was_full = self.full.is_some();
        let mut error = self.note_failure(&tried);
        let takes_in = operations.iter().any(Operation::takes_in);
        if matches!(error, Some(QueueError::Full { .. })) && !was_full && takes_in {
            // What only works off what is there may still fit.
            tried = self.transact(operations, moment, flush_ledger);
            error = self.note_failure(&tried);
        }
        match (tried, error) {
            (Ok(outcome), _) => outcome,
            (Err(_), Some(error)) => refuse_all(operations, &error),
            (Err(error), None) => refuse_all(operations, &QueueError::Storage(error)),
        }
    }

    fn transact(
        &mut self,
        operations: &[Operation],
        moment: Moment,
        flush_ledger: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<Outcome, Arc<StorageError>> {
        self.engine.begin()?;
        let mut tally = Tally::new(&self.depths);
        let mut results = Vec::with_capacity(operations.len());
        let (mut has_effects, mut has_attempt) = (false, false);
        let mut forgotten = self.statistics.forgotten;
        for operation in operations {
            if let Some(reason) = self.full.as_ref().or(self.short.as_ref())
                && operation.takes_in()
            {
                let reason = reason.clone();
                results.push(Err(QueueError::Full { reason }));
                continue;
            }
            match machine::step(&self.engine, &tally, self.quota, operation, moment) {
                Ok((effects, done)) => {
                    self.engine.apply(&effects)?;
                    tally.count(&effects);
                    if matches!(operation, Operation::Forget { .. }) {
                        forgotten.count(&effects);
                    }
                    has_effects |= !effects.is_empty();
                    has_attempt |= matches!(operation, Operation::Finish(finish) if finish.ran());
                    results.push(Ok(done));
                }
                Err(QueueError::Storage(error)) if !is_about_a_row(&error) => return Err(error),
                Err(refused) => results.push(Err(refused)),
            }
        }
        if !has_effects {
            self.engine.roll_back();
            let changed = Vec::new();
            return Ok(Outcome { results, changed });
        }
        let mut changed = Vec::with_capacity(tally.touched.len());
        for (queue, depth) in tally.touched {
            changed.push(Changed {
                next: self.engine.next_due(&queue)?,
                depth,
                queue,
            });
        }
        if has_attempt {
            flush_ledger()?;
        }
        self.engine.commit(moment.now_us)?;
        for Changed { queue, depth, .. } in &changed {
            if depth.is_empty() {
                self.depths.remove(queue);
            } else {
                self.depths.insert(queue.clone(), *depth);
            }
        }
        self.statistics.count(operations.len());
        self.statistics.forgotten = forgotten;
        self.note_space_again();
        Ok(Outcome { results, changed })
    }

    /// Writes something if there was no space for it before, to see whether there is.
    pub(crate) fn try_again(&mut self, now_us: i64) {
        if self.full.is_none() || self.failed.is_some() {
            return;
        }
        let tried = (|| {
            self.engine.begin()?;
            self.engine.commit(now_us)?;
            self.engine.checkpoint(true)
        })();
        match tried {
            Ok(()) => self.note_space_again(),
            Err(error) => drop(self.note_failure::<()>(&Err(Arc::new(error)))),
        }
    }

    /// Stores the time, also when nothing happened for long: an absence is counted from it.
    pub(crate) fn keep_time(&mut self, now_us: i64) {
        if self.failed.is_none() {
            let kept = (|| {
                self.engine.begin()?;
                self.engine.commit(now_us)
            })();
            drop(self.note_failure(&kept.map_err(Arc::new)));
        }
    }

    /// Gives some of the space back that nothing is in; `true` when there is more.
    pub(crate) fn give_back(&mut self) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let given = self.engine.give_back().map_err(Arc::new);
        drop(self.note_failure(&given));
        given.unwrap_or(false)
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.depths.is_empty()
    }

    /// Puts what was committed where it belongs, if it is worth it or `at_once`.
    pub(crate) fn checkpoint(&mut self, at_once: bool) {
        if self.failed.is_none() {
            let done = self.engine.checkpoint(at_once).map_err(Arc::new);
            drop(self.note_failure(&done));
        }
    }

    fn note_space_again(&mut self) {
        let was_open = self.is_open();
        self.full = None;
        self.tell_of_space(was_open);
    }

    /// Takes back what was not committed. A full disk may have space again, and that another process
    /// holds the database says nothing of the disk; after anything else, what is on the disk is only
    /// known when it is read again.
    fn note_failure<T>(&mut self, tried: &Result<T, Arc<StorageError>>) -> Option<QueueError> {
        let Err(error) = tried else {
            return None;
        };
        self.engine.roll_back();
        let reason = error.to_string();
        if is_passing(error) {
            tracing::warn!(%error, "the queue is held by somebody else: {error}");
            return Some(QueueError::Storage(Arc::clone(error)));
        }
        if let StorageError::Full { .. } = **error {
            let was_open = self.is_open();
            self.full = Some(reason.clone());
            self.tell_of_space(was_open);
            return Some(QueueError::Full { reason });
        }
        let source = std::error::Error::source(&**error);
        let reason = source.map_or_else(|| reason.clone(), |source| format!("{reason}: {source}"));
        tracing::error!(%error, "the queue stopped taking changes: {reason}");
        self.engine.leave_as_it_is();
        self.failed = Some(reason.clone());
        Some(QueueError::Failed { reason })
    }

    /// The engine, when the process is over.
    #[cfg(test)]
    pub(crate) fn into_engine(self) -> Engine {
        self.engine
    }

    /// The engine.
    #[cfg(test)]
    pub(crate) fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What is counted while events come and go.
    #[cfg(test)]
    pub(crate) fn depths(&self) -> &Depths {
        &self.depths
    }
}

fn refuse_all(operations: &[Operation], error: &QueueError) -> Outcome {
    Outcome {
        results: operations.iter().map(|_| Err(error.clone())).collect(),
        changed: Vec::new(),
    }
}

/// Whether one row does not hold what it should: others may.
fn is_about_a_row(error: &StorageError) -> bool {
    matches!(error, StorageError::Database { source, .. } if source.sqlite_error().is_none())
}

/// Whether another process held the database, so that nothing was begun.
fn is_passing(error: &StorageError) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    let StorageError::Database { source, .. } = error else {
        return false;
    };
    matches!(
        source.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked)
    )
}
