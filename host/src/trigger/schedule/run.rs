//! Looking at the clock, and enqueuing what is due.

use std::sync::Arc;
use std::time::Duration;

use domain::event::Target;
use domain::schedule::{Overlap, Plan};
use domain::{RequestId, Trigger};
use storage::{Done, NewEvent, Operation, QueueError};

use super::event::payload;
use super::outcome::Outcome;
use super::{ChangeError, Schedule, Schedules};
use crate::app::{App, Random};

/// How often the clock is read when nothing is due: a jump is noticed within this time.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// How long to wait when the queue took nothing: the disk is full, or too much waits to be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Schedules that are dealt with at a time, at most; what changes schedules waits meanwhile.
const TOGETHER_MAX: usize = 1_000;

/// Runs schedules until the process drains.
pub(crate) async fn run(app: Arc<App>) {
    let schedules = &app.schedules;
    let registry = &app.registry;
    // Until then it is not known which functions are there.
    while !registry.is_ready() {
        tokio::select! {
            () = registry.schedules_changed.notified() => {}
            () = app.drain_started() => return,
        }
    }
    let mut follows = true;
    while !app.is_draining() {
        if follows && let Err(error) = schedules.follow(registry).await {
            tracing::warn!(%error, "schedules of manifests were not stored; they will be");
        } else {
            follows = false;
        }
        let wait = schedules.look(&app.random).await;
        let wait = if follows { wait.min(AGAIN) } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = schedules.changed.notified() => {}
            () = registry.schedules_changed.notified() => follows = true,
            () = app.drain_started() => return,
        }
    }
}

/// A run that is due, and what is to become of it.
struct Due {
    schedule: Arc<Schedule>,
    due_us: i64,
    outcome: Outcome,
}

impl Schedules {
    /// Enqueues what is due now, at most one event of each schedule; how long to wait until the next
    /// look.
    pub(super) async fn look(&self, random: &Random) -> Duration {
        let mut wait = LOOK;
        let mut keys = Vec::new();
        for schedule in self.all() {
            let now_us = self.clock.unix_us();
            if let Some(at_us) = schedule.runs_at_us.filter(|at_us| *at_us > now_us)
                && !schedule.timing.is_ahead(schedule.last_due_us, now_us)
            {
                wait = wait.min(from_us(at_us - now_us));
                continue;
            }
            if schedule.definition.is_enabled && !self.is_paused(&schedule) {
                keys.push(schedule.key.clone());
            }
        }
        for keys in keys.chunks(TOGETHER_MAX) {
            let _changing = self.changing.lock().await;
            match self.act(keys, random).await {
                // What comes next may be due already: that is for another look.
                Ok(true) => wait = Duration::ZERO,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "schedules that are due were not enqueued; it is tried again: {error}");
                    wait = wait.min(AGAIN);
                }
            }
        }
        wait
    }

    /// Does what is to be done about some schedules; whether anything was. The caller holds the lock.
    async fn act(&self, keys: &[String], random: &Random) -> Result<bool, ChangeError> {
        let (mut runs, mut others) = (Vec::new(), Vec::new());
        for key in keys {
            // It may have been changed or removed since.
            let Some(schedule) = self.get(key) else {
                continue;
            };
            let now_us = self.clock.unix_us();
            match schedule.timing.plan(key, schedule.last_due_us, now_us) {
                Plan::Wait { .. } => {}
                Plan::Over => others.push((schedule, None)),
                Plan::ClockWentBack => others.push((schedule, Some(now_us))),
                Plan::Run { due_us } => runs.push(Due {
                    schedule,
                    due_us,
                    outcome: Outcome::Enqueued,
                }),
                Plan::Skip { due_us } => {
                    tracing::info!(key, "runs of a schedule were missed and are left out");
                    runs.push(Due {
                        schedule,
                        due_us,
                        outcome: Outcome::Missed,
                    });
                }
            }
        }
        self.leave_out_overlapping(&mut runs).await?;
        let mut has_changed = self.fire(runs, random).await?;
        for (schedule, went_back_to_us) in others {
            has_changed |= match went_back_to_us {
                Some(now_us) => self.go_on_from(&schedule, now_us).await?,
                None => self.end(&schedule).await?,
            };
        }
        Ok(has_changed)
    }

    /// A schedule that is never due any more goes, if it is to.
    async fn end(&self, schedule: &Schedule) -> Result<bool, ChangeError> {
        let api = schedule.definition.api.as_ref();
        if api.is_some_and(|api| api.deletes_itself) && schedule.is_over() {
            let key = &schedule.key;
            self.forget(key).await?;
            tracing::info!(key, "a schedule is over and was deleted");
        }
        Ok(false)
    }

    async fn go_on_from(&self, schedule: &Schedule, now_us: i64) -> Result<bool, ChangeError> {
        let key = schedule.key.clone();
        tracing::warn!(key, "the clock went back; a schedule goes on from now");
        let mut definition = schedule.definition.clone();
        definition.since_us = definition.since_us.min(now_us);
        self.store(key, definition, Some(now_us)).await?;
        Ok(true)
    }

    /// Has the queue take in all of them together, so that they share commits. Where a function's queue
    /// is full the run is left out: it would not be in time when there is room.
    async fn fire(&self, runs: Vec<Due>, random: &Random) -> Result<bool, ChangeError> {
        let has_runs = !runs.is_empty();
        let asked: Vec<_> = runs.into_iter().map(|due| self.ask(due, random)).collect();
        let mut left_out = Vec::new();
        let mut failed = None;
        for (due, answer) in asked {
            match answer.await {
                Ok(_) => self.done(&due)?,
                Err(error @ (QueueError::Quota { .. } | QueueError::DeadLetters { .. })) => {
                    self.say_full(&due.schedule.key, &error);
                    let outcome = Outcome::Full;
                    left_out.push(self.ask(Due { outcome, ..due }, random));
                }
                Err(error) => failed = Some(error),
            }
        }
        for (due, answer) in left_out {
            match answer.await {
                Ok(_) => self.done(&due)?,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(has_runs),
        }
    }

    /// Asks the queue to note a run, with an event if there is to be one.
    fn ask(
        &self,
        due: Due,
        random: &Random,
    ) -> (Due, impl Future<Output = Result<Done, QueueError>> + use<>) {
        let events = match due.outcome {
            Outcome::Enqueued => vec![self.event(&due.schedule, due.due_us, random)],
            Outcome::Overlap | Outcome::Missed | Outcome::Full => Vec::new(),
        };
        let answer = self.perform(Operation::Fire {
            key: due.schedule.key.clone(),
            due_us: due.due_us,
            events,
        });
        (due, answer)
    }

    /// Goes on after a run that is on disk.
    fn done(&self, due: &Due) -> Result<(), ChangeError> {
        let Schedule {
            key, definition, ..
        } = &*due.schedule;
        self.outcomes.count(due.outcome);
        let next = Schedule::new(key.clone(), definition.clone(), Some(due.due_us))?;
        let mut state = self.state.lock();
        if due.outcome == Outcome::Enqueued {
            state.full.remove(key);
        }
        state.schedules.insert(key.clone(), Arc::new(next));
        Ok(())
    }

    /// Logs that a queue is full, once until there was room.
    fn say_full(&self, key: &str, error: &QueueError) {
        if self.state.lock().full.insert(key.to_owned()) {
            tracing::warn!(
                key,
                %error,
                "runs of a schedule are left out until there is room again: {error}"
            );
        }
    }

    /// Leaves out the runs of schedules of which an event still waits or runs, where that is asked for.
    async fn leave_out_overlapping(&self, runs: &mut [Due]) -> Result<(), ChangeError> {
        let may_overlap = |due: &&mut Due| {
            due.outcome == Outcome::Enqueued && due.schedule.definition.overlap == Overlap::Skip
        };
        let mut asked: Vec<_> = runs.iter_mut().filter(may_overlap).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let keys = asked.iter().map(|due| due.schedule.key.clone()).collect();
        let queue = self.queue.clone();
        let asking = tokio::task::spawn_blocking(move || queue.pending(keys));
        let pending = match asking.await {
            Ok(pending) => pending.map_err(QueueError::from)?,
            // The runtime stops.
            Err(_) => return Err(QueueError::Closed.into()),
        };
        for due in &mut asked {
            let key = &due.schedule.key;
            if pending.contains(key) {
                tracing::info!(
                    key,
                    "a run of a schedule is left out: the one before is not over"
                );
                due.outcome = Outcome::Overlap;
            }
        }
        Ok(())
    }

    fn event(&self, schedule: &Schedule, due_us: i64, random: &Random) -> NewEvent {
        let definition = &schedule.definition;
        let id = RequestId::new(self.clock.unix_ms(), random.bytes());
        NewEvent {
            id,
            target: Target::Function {
                name: definition.function.clone(),
                qualifier: definition.qualifier.clone(),
            },
            trigger: Trigger::Schedule,
            source: Some(schedule.key.clone()),
            depth: 0,
            payload: payload(definition, id, due_us, &self.region).into(),
            delay: Duration::ZERO,
        }
    }
}

fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
