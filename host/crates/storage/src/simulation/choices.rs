//! What the simulation makes up: events, records, ends of attempts, and clocks that jump.
//!
//! Knows nothing of ledger and queue.

use std::time::Duration;

use bytes::Bytes;
use domain::event::Target;
use domain::retry::{Attempted, Decision, Delays, Progress, RetryPolicy, decide};
use domain::{FunctionName, MemoryMb, Report, RequestId, Status, Trigger, VersionId};

use super::model::Expected;
use super::world::World;
use crate::queue::{Ending, Event, Finish, FollowUp, NewEvent, Operation};

pub(super) const FUNCTIONS: [&str; 2] = ["f-0", "f-1"];
pub(super) const ADDRESS: &str = "https://hooks.example.com/";
pub(super) const HOUR_US: i64 = 3_600_000_000;
const YEAR_US: i64 = 8_766 * HOUR_US;

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

pub(super) fn any(world: &mut World) -> Option<(RequestId, Expected)> {
    let count = world.model.events.len();
    if count == 0 {
        return None;
    }
    let index = world.random.below(count);
    let mut events = world.model.events.iter();
    events.nth(index).map(|(id, event)| (*id, event.clone()))
}

/// How an attempt is closed that ended so.
pub(super) fn close(world: &mut World, event: &Event, status: Status) -> Finish {
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
        let brief = record.payload.slice(..1);
        finish.follow_ups.push(FollowUp {
            event: record,
            brief,
        });
    }
    finish
}

pub(super) fn finish(event: &Event, ending: Ending) -> Finish {
    Finish {
        id: event.id,
        attempt: event.attempts,
        ending,
        failure: None,
        follow_ups: Vec::new(),
    }
}

pub(super) fn ran(finish: &Finish) -> bool {
    match finish.ending {
        Ending::Retry(_) => true,
        Ending::End { ran, .. } | Ending::Refuse { ran, .. } | Ending::Return { ran } => ran,
    }
}

pub(super) fn takes_in(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Accept(_) | Operation::Publish(_) | Operation::Redrive(_)
    )
}

pub(super) fn id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

pub(super) fn payload_of(id: RequestId) -> Bytes {
    let last = id.as_bytes()[15];
    vec![last; 8 + usize::from(last % 60)].into()
}

pub(super) fn new_event(world: &mut World) -> NewEvent {
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

pub(super) fn report(world: &mut World, id: RequestId, attempt: u32, function: &str) -> Report {
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
