//! What the queue promises, tested from the outside.

use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use domain::{Clock, FunctionName, RequestId, Trigger};

use super::*;
use crate::ledger::LedgerSettings;

pub(super) fn open(data_dir: &DataDir) -> Queue {
    let ledger = Ledger::open(data_dir, LedgerSettings::default()).unwrap();
    let settings = QueueSettings {
        quota: Quota::default(),
        wait_max: Duration::from_secs(300),
        clock: Clock::system(),
        on_change: Box::new(|| {}),
    };
    Queue::open(data_dir, settings, ledger).unwrap()
}

fn new_event(number: u8, function: &str) -> NewEvent {
    NewEvent {
        id: RequestId::from_bytes([number; 16]),
        target: Target::Function {
            name: FunctionName::parse(function).unwrap(),
            qualifier: None,
        },
        trigger: Trigger::Event,
        source: None,
        depth: 0,
        payload: Bytes::from_static(b"{}"),
        delay: Duration::ZERO,
    }
}

#[test]
fn an_event_is_accepted_claimed_and_finished_once() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    let event = new_event(1, "f");
    let accept = Operation::Accept(vec![event.clone()]);
    assert_eq!(queue.perform(accept.clone()).unwrap(), Done::Changed(1));
    assert!(matches!(
        queue.perform(accept),
        Err(QueueError::Duplicate { .. })
    ));
    assert_eq!(queue.due().0, ["f"]);
    let claim = Operation::Claim {
        queue: "f".to_owned(),
        at_most: 9,
    };
    let Done::Claimed(claimed) = queue.perform(claim.clone()).unwrap() else {
        panic!("a claim answers with what it claimed");
    };
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event.attempts, 1);
    assert_eq!(queue.perform(claim).unwrap(), Done::Claimed(Vec::new()));
    let finish = Operation::Finish(Finish {
        id: event.id,
        attempt: 1,
        ending: Ending::End {
            condition: Condition::Success,
            ran: true,
        },
        failure: None,
        follow_ups: Vec::new(),
    });
    queue.perform(finish.clone()).unwrap();
    assert!(matches!(
        queue.perform(finish),
        Err(QueueError::NotRunning { .. })
    ));
    let (event, payload) = queue.event(event.id).unwrap().unwrap();
    assert_eq!((event.state, payload), (EventState::Succeeded, None));
    assert_eq!(queue.depths(), BTreeMap::new());
}
