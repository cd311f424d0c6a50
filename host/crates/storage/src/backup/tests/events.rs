//! A backup while events are accepted, run and closed: what the copies of queue and ledger say of each
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use domain::{FunctionName, Report, RequestId, Status, Trigger};

use super::*;
use crate::{
    Claimed, Done, Ending, EntryQuery, Event, EventQuery, Finish, NewEvent, Operation,
    QueueSettings, Quota, Selection,
};

fn open_queue(data_dir: &DataDir, ledger: &Ledger) -> Queue {
    let settings = QueueSettings {
        quota: Quota::default(),
        wait_max: Duration::from_secs(300),
        keep_given_up: Duration::from_secs(86_400),
        keep: Duration::from_secs(86_400),
        clock: Clock::system(),
        on_change: Box::new(|| {}),
    };
    Queue::open(data_dir, settings, ledger.clone()).unwrap()
}

fn accept(queue: &Queue, number: u64) {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let event = NewEvent {
        id: RequestId::new(1_795_305_600_000 + number, random),
        target: Target::Function {
            name: FunctionName::parse("f").unwrap(),
            qualifier: None,
        },
        trigger: Trigger::Event,
        source: None,
        depth: 0,
        payload: Bytes::from_static(b"{}"),
        delay: Duration::ZERO,
    };
    queue.perform(Operation::Accept(vec![event])).unwrap();
}

/// Runs what is due as a dispatcher does: claimed, recorded, closed. Some fail once.
fn work(site: &Site, queue: &Queue) {
    let claim = Operation::Claim {
        queue: "f".to_owned(),
        at_most: 10,
    };
    let Done::Claimed(claimed) = queue.perform(claim).unwrap() else {
        panic!("a claim answers with what it claimed");
    };
    for Claimed { event, .. } in claimed {
        site.ledger
            .append(&Report {
                request_id: event.id,
                attempt: event.attempts,
                trigger: Trigger::Event,
                status: Status::Success,
                error_type: None,
                ..report(0)
            })
            .unwrap();
        let fails = event.attempts == 1 && event.id.as_bytes()[15].is_multiple_of(3);
        let finish = Finish {
            id: event.id,
            attempt: event.attempts,
            ending: match fails {
                true => Ending::Retry(Duration::ZERO),
                false => Ending::End {
                    condition: Condition::Success,
                    ran: true,
                },
            },
            failure: None,
            follow_ups: Vec::new(),
        };
        queue.submit(
            Operation::Finish(finish),
            Box::new(|done| drop(done.unwrap())),
        );
    }
}

fn all_events(queue: &Queue) -> Vec<Event> {
    let mut query = EventQuery {
        limit: 1_000,
        ..EventQuery::default()
    };
    let mut events = Vec::new();
    loop {
        let page = queue.events(&query).unwrap();
        events.extend(page.events);
        match page.next {
            Some(next) => query.before = Some(next),
            None => return events,
        }
    }
}

#[test]
fn a_backup_while_events_run_has_a_record_for_what_is_closed_and_none_of_what_was_not_begun() {
    let mut site = site();
    let queue = open_queue(&site.data_dir, &site.ledger);
    site.queue = Some(queue.clone());
    let stop = AtomicBool::new(false);
    let accepted = AtomicU64::new(0);
    let (bytes, accepted_before) = std::thread::scope(|scope| {
        for thread in 0..3 {
            let (site, queue, stop, accepted) = (&site, &queue, &stop, &accepted);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match thread {
                        0 => work(site, queue),
                        _ => accept(queue, accepted.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
        while accepted.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        // Two may be on their way.
        let before = accepted.load(Ordering::Relaxed) - 2;
        let (bytes, _) = backup(&site);
        stop.store(true, Ordering::Relaxed);
        (bytes, before)
    });

    let restored = site.root.path().join("elsewhere");
    restore(&mut bytes.as_slice(), &restored).unwrap();
    let data_dir = DataDir::open(&restored).unwrap();
    let ledger = ledger(&data_dir);
    let restored = open_queue(&data_dir, &ledger);
    let events = all_events(&restored);
    assert!(events.len() as u64 >= accepted_before, "{}", events.len());
    let mut attempts: BTreeMap<RequestId, BTreeSet<u32>> = BTreeMap::new();
    let records = ledger
        .entries(&EntryQuery {
            limit: 1_000_000,
            ..EntryQuery::default()
        })
        .unwrap();
    for record in records {
        let is_new = attempts
            .entry(record.request_id)
            .or_default()
            .insert(record.attempt);
        assert!(is_new, "{record:?} is there twice");
    }
    let mut states = BTreeMap::new();
    for event in &events {
        *states.entry(event.state).or_insert(0) += 1;
        let mut recorded = attempts.remove(&event.id).unwrap_or_default();
        if event.state == EventState::Running {
            // The one under way may have its record already: recovery asks for it.
            recorded.remove(&event.attempts);
            assert_eq!(recorded, (1..event.attempts).collect(), "{event:?}");
        } else {
            assert_eq!(recorded, (1..=event.attempts).collect(), "{event:?}");
        }
    }
    assert!(attempts.is_empty(), "records of nothing: {attempts:?}");
    assert!(states.contains_key(&EventState::Succeeded), "{states:?}");
    let running = restored.interrupted().unwrap().len();
    assert_eq!(
        states.get(&EventState::Running).copied().unwrap_or(0),
        running
    );
}

#[test]
fn the_queue_goes_on_while_it_is_copied_and_the_copy_is_of_one_moment() {
    let mut site = site();
    let queue = open_queue(&site.data_dir, &site.ledger);
    site.queue = Some(queue.clone());
    (0..20).for_each(|number| accept(&queue, number));
    work(&site, &queue);
    // The newest payload goes, and its number is not used again.
    let newest = queue.events(&EventQuery {
        limit: 1,
        ..EventQuery::default()
    });
    let newest = newest.unwrap().events[0].id;
    queue
        .perform(Operation::Purge(Selection::Id(newest)))
        .unwrap();
    let path = site.root.path().join("work");
    fs::create_dir(&path).unwrap();
    let work_dir = Work(path.clone());
    let pinned = pin_queue(&site.data_dir, Some(&queue), &site.ledger, &work_dir);
    let (copying, snapshot) = pinned.unwrap();
    // The writer takes what comes, and is not held by what was pinned.
    (20..40).for_each(|number| accept(&queue, number));
    while !queue.due().0.is_empty() {
        work(&site, &queue);
    }
    copying.unwrap().finish().unwrap();
    assert_eq!(snapshot.next_sequence, 11);

    let copied = DataDir::open(&path).unwrap();
    let copy = open_queue(&copied, &site.ledger);
    let events = all_events(&copy);
    assert_eq!(events.len(), 19);
    assert!(events.iter().all(|event| event.attempts <= 1), "{events:?}");
    let payloads = events
        .iter()
        .filter(|event| event.state != EventState::Succeeded);
    for event in payloads {
        let (_, payload) = copy.event(event.id).unwrap().unwrap();
        assert_eq!(payload.unwrap(), "{}");
    }
    // It goes on as the original does.
    accept(&copy, 100);
    copy.close();
    let connection = Connection::open(path.join(queue::FILE)).unwrap();
    let number = "SELECT max(number) FROM payloads";
    let number: u64 = connection.query_row(number, [], |row| row.get(0)).unwrap();
    assert_eq!(number, 21);
    let ask = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(ask("PRAGMA integrity_check"), "ok");
    assert_eq!(ask("SELECT auto_vacuum || '' FROM pragma_auto_vacuum"), "2");
}

#[test]
fn a_backup_without_a_queue_is_restored_without_events() {
    let site = site();
    let (bytes, manifest) = backup(&site);
    assert!(manifest.files.iter().all(|file| file.name != queue::FILE));
    let restored = site.root.path().join("elsewhere");
    restore(&mut bytes.as_slice(), &restored).unwrap();
    let data_dir = DataDir::open(&restored).unwrap();
    let queue = open_queue(&data_dir, &ledger(&data_dir));
    assert!(all_events(&queue).is_empty());
}
