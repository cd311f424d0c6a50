//! One process of the simulation: a ledger and a queue over what the last one left, and what a server
//! does with them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::event::{Condition, EventState, Target};
use domain::report::Started;
use domain::{MemoryMb, Report, Status, VersionId};

use super::checks::{check_claim, check_ledger, may_fail, settle_unanswered};
use super::choices::{
    ADDRESS, FUNCTIONS, HOUR_US, any, close, finish, id, jump, new_event, ran, report, takes_in,
};
use super::model::Answer;
use super::world::{Life, QUOTA, WAIT_MAX, World};
use crate::ledger::simulated::SimCatalogue;
use crate::queue::memory::{CommitFailure, Memory};
use crate::queue::simulated::SimQueue;
use crate::queue::{Done, Ending, Event, Finish, Operation, QueueError, QueueHealth, Selection};
use crate::{Ledger, StorageError};

/// An event that was tried more often is removed, for the reference counts in 64 bits.
const ATTEMPTS_MAX: u32 = 40;

pub(super) struct Process {
    ledger: Ledger,
    queue: SimQueue,
    /// Attempts that were claimed and have not run.
    claimed: Vec<Event>,
    /// Attempts that ran, and how.
    ran: Vec<(Event, Status)>,
    /// What the queue had no space for.
    stuck: Vec<Finish>,
    /// Queue time and the machine's steady time when it began.
    began: (i64, Instant),
}

impl Process {
    /// Starts on what is left, as the server does, and checks what was promised of it.
    pub(super) fn start(
        world: &mut World,
        memory: Memory,
        catalogue: SimCatalogue,
        was_cut: bool,
    ) -> Result<Life, String> {
        let opened = Ledger::open_simulated(&world.data_dir, world.settings(), catalogue);
        let ledger = match opened {
            Ok(ledger) => ledger,
            Err(error) => {
                may_fail(world, &error)?;
                return Ok(refused(memory, SimCatalogue::new()));
            }
        };
        if world.disk.is_dead() {
            return Ok(refused(memory, ledger.into_catalogue()));
        }
        world.disk.hold(true);
        check_ledger(world, &ledger, was_cut)?;
        world.disk.hold(false);
        settle_unanswered(world, &memory)?;

        let queue = SimQueue::open(memory, QUOTA, WAIT_MAX, &world.clock);
        let before_us = world.model.now_us;
        world.model.now_us = queue.now_us();
        let wait_us = i64::try_from(WAIT_MAX.as_micros()).unwrap();
        world.model.clamp_due(world.model.now_us + wait_us);
        let mut process = Self {
            began: (queue.now_us(), world.clock.now()),
            ledger,
            queue,
            claimed: Vec::new(),
            ran: Vec::new(),
            stuck: Vec::new(),
        };
        let now_us = world.model.now_us;
        // Without events there may be no time to go on from.
        if !world.model.events.is_empty() && now_us > before_us + 31 * 24 * HOUR_US {
            return Err(format!("queue time went from {before_us} to {now_us}"));
        }
        world
            .model
            .compare(process.queue.memory().events().map(|(event, _)| event))?;
        world.model.check_records()?;

        let is_up = process.reconcile(world)? && !world.disk.is_dead();
        if !is_up {
            return Ok(Life::Refused(Box::new(process.end())));
        }
        let mut events = process.queue.memory().events();
        if let Some((event, _)) = events.find(|(event, _)| event.state == EventState::Running) {
            return Err(format!("an attempt was not closed: {event:?}"));
        }
        drop(events);
        world.model.check_records()?;
        let digest = u64::from(world.disk.digest());
        world.note(digest);
        world.note(world.model.total());
        Ok(Life::Began(Box::new(process)))
    }

    /// What is left when it dies.
    pub(super) fn end(self) -> (Memory, SimCatalogue) {
        (self.queue.crash(), self.ledger.into_catalogue())
    }

    /// Closes the attempts that the last process left: as their record says, or as cut short.
    /// `false` when this process can't go on.
    fn reconcile(&mut self, world: &mut World) -> Result<bool, String> {
        let events = self.queue.memory().events();
        let interrupted = events
            .map(|(event, _)| event.clone())
            .filter(|event| event.state == EventState::Running)
            .collect::<Vec<_>>();
        let of_functions = interrupted
            .iter()
            .filter(|event| event.target.function().is_some());
        let wanted = of_functions
            .map(|event| (event.id, event.attempts))
            .collect::<HashSet<_>>();
        // Whatever the clock said when they were written: it jumps.
        let from_sequence = interrupted.iter().map(|event| event.ledger_from).min();
        let mut found = match self.ledger.find(&wanted, from_sequence.unwrap_or(0)) {
            Ok(found) => found,
            Err(error) => {
                may_fail(world, &error)?;
                return Ok(false);
            }
        };
        let mut operations = Vec::new();
        for event in interrupted {
            let status = match &event.target {
                Target::Function { name, .. } => match found.remove(&(event.id, event.attempts)) {
                    Some(report) => report.status,
                    None => {
                        let crash = Report::host_crash(Started {
                            request_id: event.id,
                            attempt: event.attempts,
                            function: name.clone(),
                            version: VersionId::Latest,
                            trigger: event.trigger,
                            started_at_us: event.changed_at_us,
                            memory: MemoryMb::DEFAULT,
                        });
                        if !self.record(world, crash)? {
                            return Ok(false);
                        }
                        Status::HostCrash
                    }
                },
                Target::Http { .. } | Target::File { .. } => Status::HostError,
            };
            operations.push(Operation::Finish(close(world, &event, status)));
        }
        if operations.is_empty() {
            return Ok(true);
        }
        let went_on = self.perform(world, operations)?;
        // What there was no space for is still to be closed.
        Ok(went_on && self.stuck.is_empty())
    }

    /// Appends a record. `false` when this process can't go on; a full ledger is no reason.
    fn record(&mut self, world: &mut World, report: Report) -> Result<bool, String> {
        let report = Arc::new(report);
        world.model.maybe = Some(Arc::clone(&report));
        let appended = self.ledger.append(&report);
        if world.disk.is_dead() {
            return Ok(false);
        }
        world.model.maybe = None;
        match appended {
            Ok(()) if world.model.append(report) => Ok(true),
            Ok(()) => Err("an attempt has a second record".to_owned()),
            Err(error) => {
                may_fail(world, &error)?;
                if !matches!(error, StorageError::Full { .. }) {
                    world.disk.die();
                }
                Ok(false)
            }
        }
    }

    /// Does a batch and checks the answers. `false` when this process can't go on.
    fn perform(&mut self, world: &mut World, operations: Vec<Operation>) -> Result<bool, String> {
        world.model.now_us = self.queue.now_us();
        let elapsed = world.clock.now().saturating_duration_since(self.began.1);
        if world.model.now_us - self.began.0 != i64::try_from(elapsed.as_micros()).unwrap() {
            return Err("queue time is not steady".to_owned());
        }
        let is_full = self.queue.health() != QueueHealth::Writable;
        let may_be_done = |operation: &&Operation| !is_full || !takes_in(operation);
        world.model.unanswered = operations.iter().filter(may_be_done).cloned().collect();
        let results = self.queue.commit(&operations, &self.ledger);
        let is_failed = results
            .iter()
            .any(|result| matches!(result, Err(QueueError::Failed { .. })));
        if is_failed {
            world.disk.die();
        }
        if world.disk.is_dead() {
            return Ok(false);
        }
        world.model.unanswered.clear();
        for (operation, result) in operations.into_iter().zip(results) {
            self.check(world, operation, &result)?;
        }
        Ok(true)
    }

    fn check(
        &mut self,
        world: &mut World,
        operation: Operation,
        result: &Result<Done, QueueError>,
    ) -> Result<(), String> {
        if let Err(QueueError::Full { .. }) = result {
            if let Operation::Finish(finish) = operation {
                self.stuck.push(finish);
            }
            return Ok(());
        }
        let mut ids = Vec::new();
        if let (Operation::Claim { queue, at_most }, Ok(Done::Claimed(claimed))) =
            (&operation, result)
        {
            check_claim(world, queue, *at_most, claimed)?;
            ids = claimed.iter().map(|claimed| claimed.event.id).collect();
            self.claimed
                .extend(claimed.iter().map(|claimed| claimed.event.clone()));
        }
        let wanted = world.model.apply(&operation, QUOTA, &ids);
        let is_right = match result {
            Ok(Done::Changed(count)) => wanted == Answer::Changed(*count),
            Ok(Done::Claimed(_)) => wanted == Answer::Claimed,
            Ok(Done::Published(became)) => wanted == Answer::Published(became.clone()),
            Err(QueueError::Duplicate { .. }) => wanted == Answer::Duplicate,
            Err(QueueError::NotRunning { .. }) => wanted == Answer::NotRunning,
            Err(QueueError::Quota { .. }) => wanted == Answer::Quota,
            Err(QueueError::DeadLetters { .. }) => wanted == Answer::DeadLetters,
            Err(_) => false,
        };
        if !is_right {
            return Err(format!("{operation:?} gave {result:?}, not {wanted:?}"));
        }
        if let (Operation::Finish(finish), Ok(_)) = (&operation, result)
            && ran(finish)
        {
            // It relies on all records up to now.
            world.model.synced = world.model.total();
        }
        Ok(())
    }

    /// Does something, and a little time passes.
    pub(super) fn operate(&mut self, world: &mut World) -> Result<(), String> {
        let micros = world.random.below(700_000);
        world
            .clock
            .advance(Duration::from_micros(u64::try_from(micros).unwrap()));
        let what = world.random.below(100);
        world.note(u64::try_from(what).unwrap());
        match what {
            0..24 => self.invoke(world),
            24..32 => self.sync(world),
            32..40 => {
                self.ledger.upkeep_round();
                Ok(())
            }
            40..58 => self.run(world),
            58..92 => {
                let count = 1 + world.random.below(3);
                let operations = (0..count).filter_map(|_| self.choose(world)).collect();
                self.perform(world, operations).map(drop)
            }
            92..95 => {
                jump(world);
                Ok(())
            }
            95..97 => {
                let how = match world.random.below(4) {
                    0 => CommitFailure::Lost,
                    1 => CommitFailure::Kept,
                    _ => CommitFailure::Full,
                };
                self.queue.memory().fail_commit(1, how);
                Ok(())
            }
            _ => {
                self.queue.try_again();
                if let QueueHealth::Failed { .. } = self.queue.health() {
                    world.disk.die();
                }
                Ok(())
            }
        }
    }

    /// A synchronous invocation ends.
    fn invoke(&mut self, world: &mut World) -> Result<(), String> {
        world.ids += 1;
        let id = id(world.ids);
        let report = report(world, id, 1, FUNCTIONS[0]);
        self.record(world, report).map(drop)
    }

    fn sync(&mut self, world: &mut World) -> Result<(), String> {
        let synced = self.ledger.sync_round();
        if world.disk.is_dead() {
            return Ok(());
        }
        match synced {
            Ok(()) => world.model.synced = world.model.total(),
            Err(error) => {
                may_fail(world, &error)?;
                world.disk.die();
            }
        }
        Ok(())
    }

    /// Runs an attempt that was claimed; not every claimed attempt can.
    fn run(&mut self, world: &mut World) -> Result<(), String> {
        if self.claimed.is_empty() {
            return self.invoke(world);
        }
        let index = world.random.below(self.claimed.len());
        let event = self.claimed.swap_remove(index);
        let Target::Function { name, .. } = &event.target else {
            let status = match world.random.one_in(2) {
                true => Status::Success,
                false => Status::HostError,
            };
            self.ran.push((event, status));
            return Ok(());
        };
        let report = report(world, event.id, event.attempts, name.as_str());
        let status = report.status;
        if self.record(world, report)? {
            self.ran.push((event, status));
        } else if !world.disk.is_dead() {
            let refuse = Ending::Refuse {
                after: Duration::from_secs(1),
                ran: false,
            };
            let finish = Operation::Finish(finish(&event, refuse));
            self.perform(world, vec![finish])?;
        }
        Ok(())
    }

    /// An operation of the queue, if there is something to do it with.
    fn choose(&mut self, world: &mut World) -> Option<Operation> {
        let what = world.random.below(100);
        match what {
            0..30 => {
                let count = 1 + world.random.below(3);
                let events = (0..count).map(|_| new_event(world)).collect();
                Some(match what {
                    0..20 => Operation::Accept(events),
                    _ => Operation::Publish(events),
                })
            }
            30..52 => {
                let queue = match world.random.below(5) {
                    0 => ADDRESS,
                    other => FUNCTIONS[other % 2],
                };
                Some(Operation::Claim {
                    queue: queue.to_owned(),
                    at_most: u32::try_from(world.random.below(4)).unwrap(),
                })
            }
            52..78 => match self.stuck.pop() {
                Some(finish) => Some(Operation::Finish(finish)),
                None => {
                    let (event, status) = self.ran.pop()?;
                    Some(Operation::Finish(close(world, &event, status)))
                }
            },
            78..84 => {
                // Not begun, and given back or given up.
                let event = self.claimed.pop()?;
                let ending = match world.random.below(3) {
                    0 => Ending::Return { ran: false },
                    1 => Ending::Refuse {
                        after: Duration::from_secs(2),
                        ran: false,
                    },
                    _ => Ending::End {
                        condition: Condition::FunctionNotFound,
                        ran: false,
                    },
                };
                Some(Operation::Finish(finish(&event, ending)))
            }
            84..88 => {
                // Closed already, or never begun.
                let (id, event) = any(world)?;
                Some(Operation::Finish(Finish {
                    id,
                    attempt: event.attempts + 7,
                    ending: Ending::Return { ran: true },
                    failure: None,
                    follow_ups: Vec::new(),
                }))
            }
            88..94 => {
                let (id, event) = any(world)?;
                let selection = Selection::Id(id);
                Some(match event.attempts > ATTEMPTS_MAX {
                    true => Operation::Purge(selection),
                    false => Operation::Redrive(selection),
                })
            }
            94..97 => Some(Operation::Purge(Selection::Id(any(world)?.0))),
            _ => Some(Operation::Forget {
                succeeded_before_us: world.model.now_us - 5_000_000,
                given_up_before_us: world.model.now_us - 20_000_000,
            }),
        }
    }
}

fn refused(memory: Memory, catalogue: SimCatalogue) -> Life {
    Life::Refused(Box::new((memory, catalogue)))
}
