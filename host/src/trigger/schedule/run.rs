//! Looking at the clock, and enqueuing what is due.

use std::sync::Arc;
use std::time::Duration;

use domain::event::Target;
use domain::schedule::{Overlap, Plan};
use domain::{RequestId, Trigger};
use storage::{NewEvent, Operation, QueueError};

use super::event::payload;
use super::{ChangeError, Schedule, Schedules};
use crate::app::{App, Random};

/// How often the clock is read when nothing is due: a jump is noticed within this time.
const LOOK: Duration = Duration::from_secs(10);

/// How long to wait when the queue did not take an event.
const AGAIN: Duration = Duration::from_secs(1);

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

impl Schedules {
    /// Enqueues what is due now, at most one event of each schedule; how long to wait until the next
    /// look.
    pub(super) async fn look(&self, random: &Random) -> Duration {
        let mut wait = LOOK;
        for schedule in self.all() {
            let now_us = self.clock.unix_us();
            if let Some(at_us) = schedule.runs_at_us.filter(|at_us| *at_us > now_us)
                && !schedule.timing.is_ahead(schedule.last_due_us, now_us)
            {
                wait = wait.min(from_us(at_us - now_us));
                continue;
            }
            if !schedule.definition.is_enabled || self.is_paused(&schedule) {
                continue;
            }
            let _changing = self.changing.lock().await;
            // It may have been changed or removed since.
            let Some(schedule) = self.get(&schedule.key) else {
                continue;
            };
            match self.act(&schedule, random).await {
                // What comes next may be due already: that is for another look.
                Ok(true) => wait = Duration::ZERO,
                Ok(false) => {}
                Err(error) => {
                    let key = &schedule.key;
                    tracing::warn!(key, %error, "a schedule that is due was not enqueued; it is tried again");
                    wait = wait.min(AGAIN);
                }
            }
        }
        wait
    }

    /// Does what is to be done about one schedule; whether anything was. The caller holds the lock.
    async fn act(&self, schedule: &Schedule, random: &Random) -> Result<bool, ChangeError> {
        let now_us = self.clock.unix_us();
        let Schedule {
            key,
            definition,
            timing,
            last_due_us,
            ..
        } = schedule;
        match timing.plan(key, *last_due_us, now_us) {
            Plan::Wait { .. } => Ok(false),
            Plan::Over => {
                let deletes = definition
                    .api
                    .as_ref()
                    .is_some_and(|api| api.deletes_itself);
                if deletes && schedule.is_over() {
                    self.forget(key).await?;
                    tracing::info!(key, "a schedule is over and was deleted");
                }
                Ok(false)
            }
            Plan::Run { due_us } if self.overlaps(schedule).await? => {
                tracing::info!(
                    key,
                    "a run of a schedule is left out: the one before is not over"
                );
                self.fire(schedule, due_us, Vec::new()).await
            }
            Plan::Run { due_us } => {
                let event = self.event(schedule, due_us, random);
                self.fire(schedule, due_us, vec![event]).await
            }
            Plan::Skip { due_us } => {
                tracing::info!(key, "runs of a schedule were missed and are left out");
                self.fire(schedule, due_us, Vec::new()).await
            }
            Plan::ClockWentBack => {
                tracing::warn!(key, "the clock went back; a schedule goes on from now");
                let mut definition = definition.clone();
                definition.since_us = definition.since_us.min(now_us);
                self.store(key.clone(), definition, Some(now_us)).await?;
                Ok(true)
            }
        }
    }

    async fn fire(
        &self,
        schedule: &Schedule,
        due_us: i64,
        events: Vec<NewEvent>,
    ) -> Result<bool, ChangeError> {
        let (key, definition) = (schedule.key.clone(), schedule.definition.clone());
        self.perform(Operation::Fire {
            key: key.clone(),
            due_us,
            events,
        })
        .await?;
        let schedule = Schedule::new(key.clone(), definition, Some(due_us))?;
        self.state.lock().schedules.insert(key, Arc::new(schedule));
        Ok(true)
    }

    /// Whether a run is to be left out because an event of the schedule still waits or runs.
    async fn overlaps(&self, schedule: &Schedule) -> Result<bool, ChangeError> {
        match schedule.definition.overlap {
            Overlap::Allow => return Ok(false),
            Overlap::Skip => {}
        }
        let (queue, key) = (self.queue.clone(), schedule.key.clone());
        let asking = tokio::task::spawn_blocking(move || queue.is_pending(&key));
        match asking.await {
            Ok(asked) => Ok(asked.map_err(QueueError::from)?),
            // The runtime stops.
            Err(_) => Err(QueueError::Closed.into()),
        }
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
