//! What must hold when a process has come up, and of what it answers.
//!
//! Knows the reference and what is to be looked at; decides nothing about what happens next.

use domain::event::EventState;

use super::choices::{payload_of, takes_in};
use super::model::Model;
use super::world::{QUOTA, World};
use crate::ledger::simulated::check_chain;
use crate::queue::memory::Memory;
use crate::queue::{Claimed, Operation};
use crate::{Ledger, StorageError};
use domain::Report;

pub(super) fn check_ledger(
    world: &mut World,
    ledger: &Ledger,
    was_cut: bool,
) -> Result<(), String> {
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
pub(super) fn may_fail(world: &World, error: &StorageError) -> Result<(), String> {
    let is_excused = world.disk.is_dead() || world.disk.troubles() > 0;
    match is_excused && is_trouble(error) {
        true => Ok(()),
        false => Err(format!("it was refused: {error}")),
    }
}

/// Finds out whether the batch that was not answered was done: all of it or nothing.
pub(super) fn settle_unanswered(world: &mut World, memory: &Memory) -> Result<(), String> {
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

pub(super) fn check_claim(
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
        let whole = payload_of(event.id);
        // A record for a queue that was full.
        let is_brief = event.bytes == 1;
        if *payload != whole.slice(..if is_brief { 1 } else { whole.len() }) {
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

/// Whether `error` may come of a call that was made to fail, or of death.
fn is_trouble(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Io { .. }
            | StorageError::Full { .. }
            | StorageError::Failed { .. }
            | StorageError::Closed
    )
}

/// What the ledger holds is what was appended.
fn differs(found: &[Report], model: &Model) -> Option<String> {
    let wanted = model.records.iter();
    let first = found
        .iter()
        .zip(wanted)
        .position(|(found, wanted)| found != &**wanted);
    first.map(|index| {
        let (found, wanted) = (&found[index], &model.records[index]);
        let number = model.dropped + 1 + u64::try_from(index).unwrap();
        format!("record {number} is {found:?}, not {wanted:?}")
    })
}
