//! A queue in memory, without its thread: the code of its writer, driven batch by batch.
//!
//! Knows nothing of what is asked and of when anything dies.

use std::time::Duration;

use domain::Clock;

use super::core::Core;
use super::engine::Engine;
use super::machine::Moment;
use super::memory::Memory;
use super::time::QueueTime;
use super::{Done, Operation, QueueError, QueueHealth, Quota};
use crate::Ledger;
use crate::disk::simulated::{self, Mistake};

#[derive(Debug)]
pub(crate) struct SimQueue {
    core: Core,
    time: QueueTime,
}

impl SimQueue {
    /// Opens a queue as [`super::Queue::open`] does.
    pub(crate) fn open(memory: Memory, quota: Quota, wait_max: Duration, clock: &Clock) -> Self {
        let engine = Engine::Memory(memory);
        let last_us = engine.last_time_us().unwrap();
        let time = QueueTime::resume(clock.clone(), last_us);
        let (core, _) = Core::open(engine, quota, wait_max, time.now_us()).unwrap();
        Self { core, time }
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.time.now_us()
    }

    /// Commits a batch as the writer's thread does.
    pub(crate) fn commit(
        &mut self,
        operations: &[Operation],
        ledger: &Ledger,
    ) -> Vec<Result<Done, QueueError>> {
        let mut flush = || match simulated::makes(Mistake::CloseEarly) {
            true => Ok(()),
            false => ledger.flush(),
        };
        let moment = Moment {
            now_us: self.time.now_us(),
            ledger_from: match simulated::makes(Mistake::CountOnUnsynced) {
                true => ledger.records_total() + 1,
                false => ledger.synced_sequence(),
            },
        };
        self.core.commit(operations, moment, &mut flush).results
    }

    /// Looks whether there is space again.
    pub(crate) fn try_again(&mut self) {
        let now_us = self.time.now_us();
        self.core.try_again(now_us);
    }

    pub(crate) fn health(&self) -> QueueHealth {
        self.core.health()
    }

    pub(crate) fn memory(&mut self) -> &mut Memory {
        match self.core.engine() {
            Engine::Memory(memory) => memory,
            Engine::Sqlite(_) => panic!("the simulation has no database"),
        }
    }

    /// What is left when the process dies.
    pub(crate) fn crash(self) -> Memory {
        match self.core.into_engine() {
            Engine::Memory(mut memory) => {
                memory.crash();
                memory
            }
            Engine::Sqlite(_) => panic!("the simulation has no database"),
        }
    }
}
