//! Schedules: what enqueues events by itself, when it is time.
//!
//! One task looks at the wall clock when the next schedule is due, and every ten seconds besides, so that
//! a clock that jumps is noticed. What it decides is in [`domain::schedule`]; what was decided is on disk
//! with the event, in one transaction, so a time counts once whatever crashes.
//!
//! Invariants:
//! * one look makes at most one event of a schedule;
//! * a schedule that is stored again unchanged goes on where it was.
//!
//! Knows nothing of how a function runs: it never calls one.

pub(crate) mod definition;
pub(crate) mod event;
mod manifest;
mod outcome;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::schedule::Timing;
use domain::{Clock, FunctionName};
use parking_lot::Mutex;
use storage::{Done, Operation, Queue, QueueError, ScheduleRecord, StorageError};
use tokio::sync::{Notify, oneshot};

use self::definition::{DEFAULT_GROUP, Definition, Group, Stored};
use self::outcome::Outcomes;

pub(crate) use self::run::run;

/// A schedule and where it is.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) key: String,
    pub(crate) definition: Definition,
    pub(crate) timing: Timing,
    /// The last time that was dealt with, in Unix microseconds.
    pub(crate) last_due_us: Option<i64>,
    /// When the next run begins; `None` when there is none, or it is not enabled.
    runs_at_us: Option<i64>,
}

/// All schedules: on disk in the queue, and here to look at.
#[derive(Debug)]
pub(crate) struct Schedules {
    queue: Queue,
    clock: Clock,
    region: String,
    state: Mutex<State>,
    /// Held over a change, from looking at what there is until it is on disk and here.
    changing: tokio::sync::Mutex<()>,
    changed: Notify,
    /// What became of runs.
    outcomes: Outcomes,
}

#[derive(Debug, Default)]
struct State {
    schedules: BTreeMap<String, Arc<Schedule>>,
    groups: BTreeMap<String, Arc<Group>>,
    /// Schedules of manifests that lie wholly in the past, and were warned of.
    told_of_past: BTreeSet<String>,
    /// Functions whose file is gone for now: their manifest's schedules do nothing.
    paused: BTreeSet<FunctionName>,
    /// Keys of schedules whose last run was left out because the function's queue was full: that was said.
    full: BTreeSet<String>,
}

/// Why a schedule was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// It can't be read back: what was checked is not what is stored.
    #[error("the schedule is none: {0}")]
    Invalid(String),
    /// The queue said no.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Schedule {
    fn new(
        key: String,
        definition: Definition,
        last_due_us: Option<i64>,
    ) -> Result<Self, ChangeError> {
        let timing = definition.timing().map_err(ChangeError::Invalid)?;
        let next = timing
            .next_due_us(last_due_us)
            .filter(|_| definition.is_enabled);
        Ok(Self {
            runs_at_us: next.map(|due_us| timing.runs_at(&key, due_us)),
            key,
            definition,
            timing,
            last_due_us,
        })
    }

    /// Whether it did all that it ever will.
    fn is_over(&self) -> bool {
        self.definition.is_enabled && self.runs_at_us.is_none()
    }

    /// The next times that it is due, at most `count`, from `now_us` on.
    pub(crate) fn next_due_us(&self, now_us: i64, count: usize) -> Vec<i64> {
        if !self.definition.is_enabled {
            return Vec::new();
        }
        let first = self.timing.next_due_us(self.last_due_us);
        // What was missed is not what comes next.
        let first = first.and_then(|first| match first < now_us {
            true => self.timing.due_after(now_us - 1),
            false => Some(first),
        });
        let next = |due_us: &i64| self.timing.due_after(*due_us);
        std::iter::successors(first, next).take(count).collect()
    }
}

impl Schedules {
    /// Reads what is stored. What can't be read any more is left out and logged.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the schedules can't be read.
    pub(crate) fn open(queue: Queue, clock: Clock, region: &str) -> Result<Self, StorageError> {
        let mut state = State::default();
        for record in queue.schedules()? {
            let ScheduleRecord {
                key,
                document,
                last_due_us,
            } = record;
            match serde_json::from_str(&document) {
                Ok(Stored::Group(group)) => {
                    let name = key.trim_start_matches("group/").to_owned();
                    state.groups.insert(name, Arc::new(group));
                }
                Ok(Stored::Schedule(definition)) => {
                    match Schedule::new(key.clone(), *definition, last_due_us) {
                        Ok(schedule) => drop(state.schedules.insert(key, Arc::new(schedule))),
                        Err(error) => tracing::error!(key, %error, "a schedule can't be read"),
                    }
                }
                Err(error) => tracing::error!(key, %error, "a schedule can't be read"),
            }
        }
        Ok(Self {
            queue,
            clock,
            region: region.to_owned(),
            state: Mutex::new(state),
            changing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            outcomes: Outcomes::default(),
        })
    }

    /// What became of runs, for Prometheus.
    pub(crate) fn render(&self) -> String {
        self.outcomes.render()
    }

    /// All of them, by key.
    pub(crate) fn all(&self) -> Vec<Arc<Schedule>> {
        self.state.lock().schedules.values().cloned().collect()
    }

    /// The one with this key.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Schedule>> {
        self.state.lock().schedules.get(key).cloned()
    }

    /// Whether it does nothing because its function's file is gone.
    pub(crate) fn is_paused(&self, schedule: &Schedule) -> bool {
        let definition = &schedule.definition;
        definition.api.is_none() && self.state.lock().paused.contains(&definition.function)
    }

    /// All groups, by name; the default one is always there.
    pub(crate) fn groups(&self) -> BTreeMap<String, Arc<Group>> {
        let mut groups = self.state.lock().groups.clone();
        groups.entry(DEFAULT_GROUP.to_owned()).or_default();
        groups
    }

    /// Stores a schedule; `make` gets the one that is there, and refuses or says what is to be.
    ///
    /// # Errors
    ///
    /// What `make` says, and [`ChangeError`].
    pub(crate) async fn put<E: From<ChangeError>>(
        &self,
        key: String,
        make: impl FnOnce(Option<&Schedule>) -> Result<Definition, E>,
    ) -> Result<(), E> {
        let _changing = self.changing.lock().await;
        let old = self.get(&key);
        let mut definition = make(old.as_deref())?;
        let mut last_due_us = None;
        if let Some(old) = &old {
            if definition.says_the_same(&old.definition) {
                return Ok(());
            }
            definition.follow(&old.definition);
            if definition.since_us == old.definition.since_us {
                last_due_us = old.last_due_us;
            }
        }
        Ok(self.store(key, definition, last_due_us).await?)
    }

    /// Removes a schedule; whether it was there.
    ///
    /// # Errors
    ///
    /// [`QueueError`].
    pub(crate) async fn remove(&self, key: &str) -> Result<bool, QueueError> {
        let _changing = self.changing.lock().await;
        if self.get(key).is_none() {
            return Ok(false);
        }
        self.forget(key).await?;
        Ok(true)
    }

    /// Stores a group; `make` gets the one that is there.
    ///
    /// # Errors
    ///
    /// What `make` says, and [`ChangeError`].
    pub(crate) async fn put_group<E: From<ChangeError>>(
        &self,
        name: &str,
        make: impl FnOnce(Option<&Group>) -> Result<Group, E>,
    ) -> Result<(), E> {
        let _changing = self.changing.lock().await;
        let old = self.groups().remove(name);
        let group = make(old.as_deref())?;
        let stored = Stored::Group(group.clone());
        self.write(format!("group/{name}"), &stored, None).await?;
        self.state
            .lock()
            .groups
            .insert(name.to_owned(), Arc::new(group));
        Ok(())
    }

    /// Removes a group with all its schedules; whether it was there.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; what was removed by then stays removed.
    pub(crate) async fn remove_group(&self, name: &str) -> Result<bool, QueueError> {
        let _changing = self.changing.lock().await;
        if !self.state.lock().groups.contains_key(name) {
            return Ok(false);
        }
        let prefix = definition::api_key(name, "");
        for schedule in self.all() {
            if schedule.key.starts_with(&prefix) {
                self.forget(&schedule.key).await?;
            }
        }
        let key = format!("group/{name}");
        self.perform(Operation::RemoveSchedule { key }).await?;
        self.state.lock().groups.remove(name);
        Ok(true)
    }

    /// Writes a schedule and puts it where it is looked at. The caller holds the lock.
    async fn store(
        &self,
        key: String,
        definition: Definition,
        last_due_us: Option<i64>,
    ) -> Result<(), ChangeError> {
        let schedule = Schedule::new(key.clone(), definition.clone(), last_due_us)?;
        let stored = Stored::Schedule(Box::new(definition));
        self.write(key.clone(), &stored, last_due_us).await?;
        self.state.lock().schedules.insert(key, Arc::new(schedule));
        self.changed.notify_one();
        Ok(())
    }

    /// Removes a schedule here and on disk. The caller holds the lock.
    async fn forget(&self, key: &str) -> Result<(), QueueError> {
        let operation = Operation::RemoveSchedule {
            key: key.to_owned(),
        };
        self.perform(operation).await?;
        let mut state = self.state.lock();
        state.schedules.remove(key);
        state.full.remove(key);
        Ok(())
    }

    async fn write(
        &self,
        key: String,
        stored: &Stored,
        last_due_us: Option<i64>,
    ) -> Result<(), ChangeError> {
        let document = serde_json::to_string(stored)
            .map_err(|error| ChangeError::Invalid(error.to_string()))?;
        let record = ScheduleRecord {
            key,
            document,
            last_due_us,
        };
        self.perform(Operation::PutSchedule(record)).await?;
        Ok(())
    }

    /// Has the queue do something, without holding a thread. It is asked at once; the future only waits.
    fn perform(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<Done, QueueError>> + use<> {
        let (sender, receiver) = oneshot::channel();
        let reply = move |result| drop(sender.send(result));
        self.queue.submit(operation, Box::new(reply));
        async { receiver.await.unwrap_or(Err(QueueError::Closed)) }
    }
}
