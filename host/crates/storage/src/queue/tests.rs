//! What the queue promises, tested from the outside and over each engine.

mod conformance;
mod disk;
mod histories;
mod kill;
mod measure;
mod model;
mod outside;
mod plans;
mod upgrade;

use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use domain::{Clock, FunctionName, RequestId, Trigger};

use super::core::{Core, Outcome};
use super::machine::Moment;
use super::memory::{CommitFailure, Memory};
use super::*;
use crate::ledger::LedgerSettings;

/// 2025-11-22, in Unix microseconds.
const NOW_US: i64 = 1_763_830_000_000_000;
const WAIT_MAX: Duration = Duration::from_secs(300);

fn settings() -> QueueSettings {
    QueueSettings {
        quota: Quota::default(),
        wait_max: WAIT_MAX,
        keep: Duration::from_secs(86_400),
        keep_given_up: Duration::from_secs(86_400),
        clock: Clock::system(),
        on_change: Box::new(|| {}),
    }
}

fn open_with(data_dir: &DataDir, settings: QueueSettings) -> Queue {
    let ledger = Ledger::open(data_dir, LedgerSettings::default()).unwrap();
    Queue::open(data_dir, settings, ledger).unwrap()
}

fn open(data_dir: &DataDir) -> Queue {
    open_with(data_dir, settings())
}

fn id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

fn number(id: RequestId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[8..].try_into().unwrap())
}

fn to(function: &str) -> Target {
    Target::Function {
        name: FunctionName::parse(function).unwrap(),
        qualifier: None,
    }
}

/// Another one for each event, of two bytes.
fn payload(number: u64) -> Bytes {
    format!("{:02}", number % 100).into()
}

fn new_event(number: u64, function: &str) -> NewEvent {
    NewEvent {
        id: id(number),
        target: to(function),
        trigger: Trigger::Event,
        source: None,
        depth: 0,
        payload: payload(number),
        delay: Duration::ZERO,
    }
}

/// An event that comes of another one's end; its short form has one byte.
fn follow_up(number: u64, function: &str) -> FollowUp {
    FollowUp {
        event: new_event(number, function),
        brief: Bytes::from_static(b"0"),
    }
}

fn accept(numbers: impl IntoIterator<Item = u64>, function: &str) -> Operation {
    let numbers = numbers.into_iter();
    Operation::Accept(numbers.map(|number| new_event(number, function)).collect())
}

fn claim(function: &str, at_most: u32) -> Operation {
    Operation::Claim {
        queue: function.to_owned(),
        at_most,
    }
}

fn finish(number: u64, attempt: u32, ending: Ending) -> Operation {
    Operation::Finish(Finish {
        id: id(number),
        attempt,
        ending,
        failure: None,
        follow_ups: Vec::new(),
    })
}

const SUCCESS: Ending = Ending::End {
    condition: Condition::Success,
    ran: true,
};

#[track_caller]
fn claimed(done: Result<Done, QueueError>) -> Vec<Claimed> {
    match done.unwrap() {
        Done::Claimed(claimed) => claimed,
        done => panic!("a claim answers with what it claimed, not {done:?}"),
    }
}

/// A moment at which the next record is the first one.
fn at(now_us: i64) -> Moment {
    Moment {
        now_us,
        ledger_from: 1,
    }
}

/// Does one operation; the ledger has nothing against it.
fn one(core: &mut Core, operation: Operation, now_us: i64) -> Result<Done, QueueError> {
    let Outcome { mut results, .. } = core.commit(&[operation], at(now_us), &mut || Ok(()));
    results.pop().unwrap()
}

fn core_over(engine: Engine, quota: Quota) -> Core {
    Core::open(engine, quota, WAIT_MAX, NOW_US).unwrap().0
}

/// Both engines, empty; the directory holds the one in SQLite.
fn engines() -> (tempfile::TempDir, [Engine; 2]) {
    let root = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&root.path().join(sqlite::FILE)).unwrap();
    let engines = [Engine::Sqlite(sqlite), Engine::Memory(Memory::default())];
    (root, engines)
}

/// Runs a test over each engine.
fn over_each(test: impl Fn(&mut Core)) {
    for engine in engines().1 {
        test(&mut core_over(engine, Quota::default()));
    }
}
