//! Schedules of manifests follow their functions: stored when a version is swapped in, changed and
//! removed with it, paused while its file is gone.
//!
//! The registry says what should be; this makes it so, and may do it again at any time.

use std::collections::BTreeSet;

use storage::Origin;

use super::definition::Definition;
use super::{ChangeError, Schedule, Schedules};
use crate::registry::Registry;

impl Schedules {
    /// Makes the schedules of manifests those of the functions that there are.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; what was not done is done by the next time.
    pub(super) async fn follow(&self, registry: &Registry) -> Result<(), ChangeError> {
        let (mut wanted, mut paused) = (BTreeSet::new(), BTreeSet::new());
        for function in registry.functions() {
            let is_there = match function.origin {
                Origin::Drop | Origin::Api => true,
                Origin::Absent => false,
            };
            if !is_there && !function.schedules().is_empty() {
                paused.insert(function.name.clone());
            }
            for schedule in function.schedules() {
                let now_us = self.clock.unix_us();
                let definition = Definition::of_manifest(&function.name, schedule, now_us);
                let key = definition.key();
                wanted.insert(key.clone());
                if is_there {
                    self.put(key, |_| Ok::<_, ChangeError>(definition)).await?;
                }
            }
        }
        self.state.lock().paused = paused;
        for schedule in self.all() {
            self.tell_of_past(&schedule);
            if schedule.definition.api.is_none() && !wanted.contains(&schedule.key) {
                self.remove(&schedule.key).await?;
            }
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Warns once of a schedule of a manifest that was never due and never will be.
    fn tell_of_past(&self, schedule: &Schedule) {
        let is_past = schedule.definition.api.is_none()
            && schedule.is_over()
            && schedule.last_due_us.is_none();
        let mut state = self.state.lock();
        if !is_past {
            state.told_of_past.remove(&schedule.key);
        } else if state.told_of_past.insert(schedule.key.clone()) {
            let (key, expression) = (&schedule.key, &schedule.definition.expression);
            tracing::warn!(
                "schedule {key} is never due: all times of {expression} are past, or after its end"
            );
        }
    }
}
