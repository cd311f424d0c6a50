//! One process of the simulation: a ledger and a queue over what the last one left, and what a server
//! does with them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use domain::report::Started;
use domain::retry::{Attempted, Decision, Delays, Progress, RetryPolicy, decide};
use domain::{FunctionName, MemoryMb, Report, RequestId, Status, Trigger, VersionId};

use super::model::Answer;
use super::world::{Life, QUOTA, WAIT_MAX, World, differs, is_trouble};
use crate::ledger::simulated::{SimCatalogue, check_chain};
use crate::queue::memory::{CommitFailure, Memory};
use crate::queue::simulated::SimQueue;
use crate::queue::{
    Claimed, Done, Ending, Event, Finish, NewEvent, Operation, QueueError, QueueHealth, Selection,
};
use crate::{Ledger, StorageError};

const FUNCTIONS: [&str; 2] = ["f-0", "f-1"];
const ADDRESS: &str = "https://hooks.example.com/";
const HOUR_US: i64 = 3_600_000_000;
const YEAR_US: i64 = 8_766 * HOUR_US;
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
                return Ok(Life::Refused(Box::new((memory, SimCatalogue::new()))));
            }
        };
        if world.disk.is_dead() {
            return Ok(Life::Refused(Box::new((memory, ledger.into_catalogue()))));
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
            Err(QueueError::Duplicate { .. }) => wanted == Answer::Duplicate,
            Err(QueueError::NotRunning { .. }) => wanted == Answer::NotRunning,
            Err(QueueError::Quota { .. }) => wanted == Answer::Quota,
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
                Some(Operation::Accept(events))
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
                before_us: world.model.now_us - 5_000_000,
            }),
        }
    }
}

fn check_ledger(world: &mut World, ledger: &Ledger, was_cut: bool) -> Result<(), String> {
    let unreadable = |error: StorageError| format!("it can't be read: {error}");
    let (found, total) = (ledger.all().map_err(unreadable)?, ledger.records_total());
    let is_thorough = world.random.one_in(3);
    let model = &mut world.model;
    let dropped = total - u64::try_from(found.len()).unwrap();
    let lowest = if was_cut { model.synced } else { model.total() };
    let highest = model.total() + u64::from(model.maybe.is_some());
    if !(lowest..=highest).contains(&total) {
        return Err(format!(
            "there are {total} records of {lowest} to {highest} (cut: {was_cut})"
        ));
    }
    if dropped < model.dropped {
        return Err("dropped records are back".to_owned());
    }
    model.settle_ledger(total, dropped);
    if let Some(wrong) = differs(&found, model) {
        return Err(wrong);
    }
    if !is_thorough {
        return Ok(());
    }
    let (sums, wanted) = (ledger.total().map_err(unreadable)?, (total, model.charge()));
    if sums != wanted {
        return Err(format!("the sums are {sums:?}, not {wanted:?}"));
    }
    check_chain()
}

/// An error is right only when a call was made to fail, or the process is dead.
fn may_fail(world: &World, error: &StorageError) -> Result<(), String> {
    let is_excused = world.disk.is_dead() || world.disk.troubles() > 0;
    match is_excused && is_trouble(error) {
        true => Ok(()),
        false => Err(format!("it was refused: {error}")),
    }
}

/// Finds out whether the batch that was not answered was done: all of it or nothing.
fn settle_unanswered(world: &mut World, memory: &Memory) -> Result<(), String> {
    let unanswered = std::mem::take(&mut world.model.unanswered);
    let events = || memory.events().map(|(event, _)| event);
    let as_it_was = world.model.compare(events());
    if as_it_was.is_ok() || unanswered.is_empty() {
        return as_it_was;
    }
    let works_off = unanswered.iter().filter(|operation| !takes_in(operation));
    let works_off = works_off.cloned().collect::<Vec<_>>();
    let mut wrong = String::new();
    for operations in [&unanswered, &works_off] {
        let mut model = world.model.clone();
        for operation in operations {
            let mut ids = Vec::new();
            if let Operation::Claim { queue, at_most } = operation {
                let is_running =
                    |id| events().any(|event| event.id == id && event.state == EventState::Running);
                ids = model.due(queue).into_iter().map(|(_, id)| id).collect();
                ids.retain(|id| is_running(*id));
                ids.truncate(usize::try_from(*at_most).unwrap());
            }
            model.apply(operation, QUOTA, &ids);
        }
        match model.compare(events()) {
            Ok(()) => {
                world.model = model;
                return Ok(());
            }
            Err(error) => wrong = error,
        }
    }
    Err(format!("a batch was done in part: {wrong}: {unanswered:?}"))
}

fn check_claim(
    world: &World,
    queue: &str,
    at_most: u32,
    claimed: &[Claimed],
) -> Result<(), String> {
    let due = world.model.due(queue);
    let count = due.len().min(usize::try_from(at_most).unwrap());
    let mut times = Vec::new();
    for Claimed { event, payload } in claimed {
        let Some((due_us, _)) = due.iter().find(|(_, id)| *id == event.id) else {
            return Err(format!("an event was claimed that is not due: {event:?}"));
        };
        if *payload != payload_of(event.id) {
            return Err(format!("event {} has another payload", event.id));
        }
        times.push(*due_us);
    }
    times.sort_unstable();
    let wanted = due.iter().map(|(due_us, _)| *due_us).take(count);
    if times.iter().copied().eq(wanted) {
        Ok(())
    } else {
        Err(format!("of {due:?} {claimed:?} were claimed"))
    }
}

/// Somebody sets the clock, or the machine is suspended.
pub(super) fn jump(world: &mut World) {
    let now_us = world.clock.unix_us();
    let unix_us = match world.random.below(7) {
        0 => now_us - 10 * YEAR_US,
        1 => now_us.saturating_add(100 * YEAR_US),
        2 => -YEAR_US,
        3 => now_us - HOUR_US,
        4 => now_us + HOUR_US,
        5 => world.model.now_us,
        _ => return world.clock.advance(Duration::from_secs(3_600)),
    };
    world.clock.set_unix_us(unix_us);
}

fn any(world: &mut World) -> Option<(RequestId, super::model::Expected)> {
    let count = world.model.events.len();
    if count == 0 {
        return None;
    }
    let index = world.random.below(count);
    let mut events = world.model.events.iter();
    events.nth(index).map(|(id, event)| (*id, event.clone()))
}

/// How an attempt is closed that ended so.
fn close(world: &mut World, event: &Event, status: Status) -> Finish {
    let attempted = match status {
        Status::Success => Attempted::Succeeded,
        Status::Error | Status::Timeout | Status::OutOfMemory | Status::HostCrash => {
            Attempted::Failed
        }
        Status::HostError | Status::Cancelled => Attempted::Refused,
    };
    let age_us = world.model.now_us - event.accepted_at_us;
    let progress = Progress {
        failures: event.failures,
        refusals: event.refusals.saturating_add(1),
        age: Duration::from_micros(u64::try_from(age_us).unwrap_or(0)),
    };
    let policy = RetryPolicy {
        retries: u32::from(event.id.as_bytes()[15]) % 3,
        age_max: Duration::from_secs(60),
    };
    let delays = Delays {
        retries: [Duration::from_secs(1), Duration::from_secs(2)],
        refused: Duration::from_secs(1),
        refused_max: Duration::from_secs(8),
    };
    let ending = match decide(attempted, progress, &policy, &delays) {
        Decision::Again(after) if attempted == Attempted::Refused => {
            Ending::Refuse { after, ran: true }
        }
        Decision::Again(after) => Ending::Retry(after),
        Decision::End(condition) => Ending::End {
            condition,
            ran: true,
        },
    };
    let mut finish = finish(event, ending);
    if matches!(ending, Ending::End { .. }) && event.depth == 0 && world.random.one_in(3) {
        let mut record = new_event(world);
        record.depth = 1;
        record.target = Target::Http {
            url: ADDRESS.to_owned(),
        };
        finish.follow_ups.push(record);
    }
    finish
}

fn finish(event: &Event, ending: Ending) -> Finish {
    Finish {
        id: event.id,
        attempt: event.attempts,
        ending,
        failure: None,
        follow_ups: Vec::new(),
    }
}

fn ran(finish: &Finish) -> bool {
    match finish.ending {
        Ending::Retry(_) => true,
        Ending::End { ran, .. } | Ending::Refuse { ran, .. } | Ending::Return { ran } => ran,
    }
}

fn takes_in(operation: &Operation) -> bool {
    matches!(operation, Operation::Accept(_) | Operation::Redrive(_))
}

fn id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

fn payload_of(id: RequestId) -> Bytes {
    let last = id.as_bytes()[15];
    vec![last; 8 + usize::from(last % 60)].into()
}

fn new_event(world: &mut World) -> NewEvent {
    world.ids += 1;
    let id = id(world.ids);
    let target = match world.random.below(8) {
        0 => Target::Http {
            url: ADDRESS.to_owned(),
        },
        other => Target::Function {
            name: FunctionName::parse(FUNCTIONS[other % 2]).unwrap(),
            qualifier: None,
        },
    };
    let delay_s = match world.random.below(10) {
        0 => 3,
        1 => 1_000,
        _ => 0,
    };
    NewEvent {
        id,
        target,
        trigger: Trigger::Event,
        source: None,
        depth: 0,
        payload: payload_of(id),
        delay: Duration::from_secs(delay_s),
    }
}

fn report(world: &mut World, id: RequestId, attempt: u32, function: &str) -> Report {
    let status = Status::ALL[world.random.below(Status::ALL.len())];
    let length = world.random.below(480);
    Report {
        request_id: id,
        attempt,
        function: FunctionName::parse(function).unwrap(),
        version: VersionId::Latest,
        trigger: Trigger::Event,
        // Few different hours, so that the sums of the ledger stay short.
        started_at_us: world.clock.unix_us().div_euclid(HOUR_US) * HOUR_US,
        error_type: (status != Status::Success).then(|| "E".repeat(length)),
        status,
        init_ns: None,
        duration_ns: world.ids,
        cpu_ns: world.ids,
        billed_ms: world.ids % 3_000,
        memory: MemoryMb::DEFAULT,
        memory_used_mb: 1,
        charge_picousd: world.ids * 7_919,
    }
}
