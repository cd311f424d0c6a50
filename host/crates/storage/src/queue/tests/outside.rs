//! The queue as its users see it: a thread, files and replies.

use super::*;

fn due(queue: &Queue) -> Vec<String> {
    let (due, _) = queue.due("", usize::MAX);
    due.into_iter().map(|due| due.queue).collect()
}

#[test]
fn an_event_is_accepted_claimed_and_finished_once() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    assert_eq!(queue.perform(accept([1], "f")).unwrap(), Done::Changed(1));
    assert!(matches!(
        queue.perform(accept([1], "f")),
        Err(QueueError::Duplicate { .. })
    ));
    assert_eq!(due(&queue), ["f"]);
    let claimed = claimed(queue.perform(claim("f", 9)));
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event.attempts, 1);
    assert_eq!(
        queue.perform(claim("f", 9)).unwrap(),
        Done::Claimed(Vec::new())
    );
    queue.perform(finish(1, 1, SUCCESS)).unwrap();
    assert!(matches!(
        queue.perform(finish(1, 1, SUCCESS)),
        Err(QueueError::NotRunning { .. })
    ));
    let (event, payload) = queue.event(id(1)).unwrap().unwrap();
    assert_eq!((event.state, payload), (EventState::Succeeded, None));
    assert_eq!(queue.depths(), BTreeMap::new());
    let statistics = queue.statistics();
    assert_eq!((statistics.commits, statistics.operations), (3, 3));
}

#[test]
fn what_was_accepted_is_there_after_a_restart_and_what_ran_is_told() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept(1..=3, "f")).unwrap();
    assert_eq!(claimed(queue.perform(claim("f", 1)))[0].event.id, id(1));
    let before = queue.now_us();
    queue.close();
    assert!(matches!(
        queue.perform(accept([4], "f")),
        Err(QueueError::Closed)
    ));
    drop(queue);

    let queue = open(&data_dir);
    assert!(queue.now_us() >= before);
    let depth = Depth {
        queued: 2,
        running: 1,
        bytes: 6,
        ..Depth::default()
    };
    assert_eq!(queue.depths(), BTreeMap::from([("f".to_owned(), depth)]));
    let interrupted = queue.interrupted().unwrap();
    assert_eq!(interrupted.len(), 1);
    assert_eq!((interrupted[0].id, interrupted[0].attempts), (id(1), 1));
    assert_eq!(queue.oldest().unwrap()["f"], interrupted[0].accepted_at_us);
}

#[test]
fn a_row_that_cant_be_read_keeps_no_other_attempt_from_being_told() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept(1..=4, "f")).unwrap();
    queue.perform(claim("f", 3)).unwrap();
    let other = rusqlite::Connection::open(root.path().join(sqlite::FILE)).unwrap();
    other
        .execute_batch(
            "UPDATE events SET target = '{' WHERE number = 1;
             UPDATE events SET id = x'00' WHERE number = 2;",
        )
        .unwrap();
    let interrupted = queue.interrupted().unwrap();
    let ids: Vec<_> = interrupted.iter().map(|event| event.id).collect();
    assert_eq!(ids, [id(3)]);
}

#[test]
fn events_are_counted_by_state_and_queue() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept(1..=5, "f")).unwrap();
    queue.perform(accept(6..=7, "g")).unwrap();
    queue.perform(claim("f", 2)).unwrap();
    let count = |of, states: &[EventState]| queue.count(of, states).unwrap();
    assert_eq!(count(None, &[EventState::Queued]), 5);
    assert_eq!(count(Some("f"), &[EventState::Queued]), 3);
    let both = [EventState::Queued, EventState::Running];
    assert_eq!(count(Some("f"), &both), 5);
    assert_eq!(count(Some("g"), &[EventState::Dead]), 0);
}

#[test]
fn a_backlog_in_one_queue_keeps_no_other_from_being_due() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept(0..500, "a")).unwrap();
    let mut later = new_event(900, "c");
    later.delay = Duration::from_secs(3_600);
    let last = Operation::Accept(vec![new_event(800, "b"), later]);
    queue.perform(last).unwrap();
    assert_eq!(due(&queue), ["a", "b"]);
    let (_, wait) = queue.due("", 0);
    assert!(wait.unwrap() <= Duration::from_secs(3_600));
    assert_eq!(claimed(queue.perform(claim("b", 9))).len(), 1);
    assert_eq!(due(&queue), ["a"]);
    assert_eq!(claimed(queue.perform(claim("a", 1_000))).len(), 500);
    assert_eq!(due(&queue), [""; 0]);
}

#[test]
fn many_at_once_share_transactions_and_each_hears_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let queue = &queue;
            scope.spawn(move || {
                for number in 0..50 {
                    let mine = accept([thread * 1_000 + number], "f");
                    assert_eq!(queue.perform(mine).unwrap(), Done::Changed(1));
                }
            });
        }
    });
    let statistics = queue.statistics();
    assert_eq!(statistics.operations, 400);
    assert_eq!(queue.depths()["f"].queued, 400);
    // Whoever waits for a commit finds the others' operations in the next one.
    assert!(statistics.commits < 400, "{statistics:?}");
    assert!(statistics.largest_batch > 1, "{statistics:?}");
}

#[test]
fn pages_hold_every_event_once_newest_first_and_only_what_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept((0..30).step_by(2), "f")).unwrap();
    queue.perform(accept((1..30).step_by(2), "g")).unwrap();
    for claimed in claimed(queue.perform(claim("f", 7))) {
        let ending = Ending::End {
            condition: match claimed.event.id == id(4) {
                true => Condition::RetriesExhausted,
                false => Condition::Success,
            },
            ran: false,
        };
        queue
            .perform(finish(number(claimed.event.id), 1, ending))
            .unwrap();
    }
    for (function, state, expected) in [
        (None, None, 30),
        (Some("f"), None, 15),
        (Some("g"), None, 15),
        (None, Some(EventState::Succeeded), 6),
        (Some("f"), Some(EventState::Succeeded), 6),
        (Some("g"), Some(EventState::Succeeded), 0),
        (Some("f"), Some(EventState::Dead), 1),
        (None, Some(EventState::Queued), 23),
    ] {
        let mut query = EventQuery {
            queue: function.map(str::to_owned),
            state,
            before: None,
            limit: 4,
        };
        let mut found = Vec::new();
        loop {
            let page = queue.events(&query).unwrap();
            assert!(page.events.len() <= 4);
            found.extend(page.events);
            match page.next {
                Some(next) => query.before = Some(next),
                None => break,
            }
        }
        assert_eq!(found.len(), expected, "{function:?} {state:?}");
        for event in &found {
            assert!(state.is_none_or(|state| state == event.state));
            assert!(function.is_none_or(|function| event.target == to(function)));
        }
        let mut ids: Vec<_> = found.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), expected, "an event was listed twice");
    }
    // Redriven is taken in anew: it is the newest one.
    queue
        .perform(Operation::Redrive(Selection::Id(id(4))))
        .unwrap();
    let page = queue.events(&EventQuery {
        limit: 1,
        ..EventQuery::default()
    });
    assert_eq!(page.unwrap().events[0].id, id(4));
    let (_, payload) = queue.event(id(4)).unwrap().unwrap();
    assert_eq!(payload.unwrap(), super::payload(4));
}

#[test]
fn what_succeeded_is_forgotten_after_a_time_without_being_asked_and_nothing_else_is() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open_with(
        &data_dir,
        QueueSettings {
            keep: Duration::ZERO,
            ..settings()
        },
    );
    queue.perform(accept(0..2_500, "f")).unwrap();
    let mut number = 0;
    loop {
        let claimed = claimed(queue.perform(claim("f", 1_000)));
        if claimed.is_empty() {
            break;
        }
        for Claimed { event, .. } in claimed {
            let condition = match number {
                0 => Condition::RetriesExhausted,
                1 => Condition::EventAgeExceeded,
                _ => Condition::Success,
            };
            let ending = Ending::End {
                condition,
                ran: false,
            };
            let finish = Finish {
                id: event.id,
                attempt: event.attempts,
                ending,
                failure: None,
                follow_ups: Vec::new(),
            };
            queue.submit(
                Operation::Finish(finish),
                Box::new(|done| drop(done.unwrap())),
            );
            number += 1;
        }
    }
    let all = || {
        queue
            .events(&EventQuery {
                limit: 1_000,
                ..EventQuery::default()
            })
            .unwrap()
            .events
    };
    // The disk has it a little before the statistics do.
    wait_until(|| all().len() == 2 && queue.statistics().forgotten.succeeded == 2_498);
    let mut states: Vec<_> = all().iter().map(|event| event.state).collect();
    states.sort_unstable();
    assert_eq!(states, [EventState::Dead, EventState::Expired]);
    let Forgotten {
        succeeded,
        dead,
        expired,
    } = queue.statistics().forgotten;
    assert_eq!((succeeded, dead, expired), (2_498, 0, 0));
    let kept = queue.depths()["f"];
    assert_eq!((kept.kept_events, kept.kept_bytes), (2, 4));
}

#[test]
fn what_died_or_expired_is_forgotten_after_its_own_time_with_its_payload() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let clock = Clock::manual(NOW_US);
    let keep_given_up = Duration::from_secs(60);
    let settings = QueueSettings {
        clock: clock.clone(),
        keep_given_up,
        ..settings()
    };
    let queue = open_with(&data_dir, settings);
    queue.perform(accept(1..=3, "f")).unwrap();
    claimed(queue.perform(claim("f", 3)));
    for (number, condition) in [
        (1, Condition::RetriesExhausted),
        (2, Condition::EventAgeExceeded),
        (3, Condition::Success),
    ] {
        let ran = true;
        let ending = Ending::End { condition, ran };
        queue.perform(finish(number, 1, ending)).unwrap();
    }
    // Before its time nothing goes.
    clock.advance(keep_given_up);
    queue.perform(accept([4], "g")).unwrap();
    assert_eq!(queue.depths()["f"].kept_events, 2);
    clock.advance(Duration::from_secs(2));
    wait_until(|| !queue.depths().contains_key("f"));
    for number in 1..=3 {
        let is_there = queue.event(id(number)).unwrap().is_some();
        assert_eq!(is_there, number == 3, "{number}");
    }
    let forgotten = queue.statistics().forgotten;
    assert_eq!((forgotten.dead, forgotten.expired), (1, 1));
    drop(queue);
    let database = rusqlite::Connection::open(root.path().join("queue.db")).unwrap();
    let payloads = database.query_row("SELECT count(*) FROM payloads", [], |row| row.get(0));
    assert_eq!(payloads, Ok(1));
}

#[test]
fn only_events_of_the_schedule_itself_are_pending_of_it() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    let from = |number, trigger| NewEvent {
        trigger,
        source: Some("drop/f/nightly".to_owned()),
        ..new_event(number, "f")
    };
    let pending = || queue.pending(vec!["drop/f/nightly".to_owned(), "drop/f/x".to_owned()]);
    for (number, trigger) in (1..).zip(Trigger::ALL) {
        if trigger != Trigger::Schedule {
            let forged = Operation::Accept(vec![from(number, trigger)]);
            queue.perform(forged).unwrap();
        }
    }
    assert_eq!(pending().unwrap(), BTreeSet::new());
    let own = Operation::Accept(vec![from(9, Trigger::Schedule)]);
    queue.perform(own).unwrap();
    assert_eq!(
        pending().unwrap(),
        BTreeSet::from(["drop/f/nightly".to_owned()])
    );
}

#[test]
fn too_much_that_waits_for_the_writer_is_refused_and_what_closes_an_attempt_never() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept([1], "f")).unwrap();
    assert_eq!(claimed(queue.perform(claim("f", 1))).len(), 1);
    let (sender, receiver) = std::sync::mpsc::channel();
    let submit = |operation, what: &'static str| {
        let sender = sender.clone();
        queue.submit(
            operation,
            Box::new(move |done| drop(sender.send((what, done)))),
        );
    };
    let large = |number| {
        let mut event = new_event(number, "f");
        event.payload = Bytes::from(vec![b' '; PENDING_BYTES_MAX / 2 + 1]);
        Operation::Accept(vec![event])
    };
    let paused = queue.pause();
    // The writer may have taken the first one already, and waits with it.
    submit(large(2), "first");
    submit(large(3), "second");
    submit(large(4), "third");
    submit(finish(1, 1, SUCCESS), "finish");
    let (what, refused) = receiver.recv().unwrap();
    assert!(matches!(refused, Err(QueueError::Busy)), "{what}");
    drop(paused);
    queue.close();
    drop(queue);
    drop(sender);
    let rest: Vec<_> = receiver.iter().collect();
    assert!(
        rest.iter()
            .any(|(what, done)| *what == "finish" && done.is_ok())
    );
    assert!(
        rest.iter()
            .any(|(what, done)| *what == "first" && done.is_ok())
    );
    assert_eq!(rest.len(), 3);
}

fn large(number: u64, bytes: usize) -> Operation {
    let mut event = new_event(number, "f");
    event.payload = Bytes::from(vec![b' '; bytes]);
    Operation::Accept(vec![event])
}

fn file_bytes(data_dir: &DataDir) -> u64 {
    std::fs::metadata(data_dir.path().join(sqlite::FILE))
        .unwrap()
        .len()
}

#[test]
fn an_answer_does_not_wait_until_the_log_is_taken_in() {
    const BYTES: usize = 20 << 20;
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    let (sender, receiver) = std::sync::mpsc::channel();
    let seen = data_dir.clone();
    queue.submit(
        large(1, BYTES),
        Box::new(move |done| sender.send((done.is_ok(), file_bytes(&seen))).unwrap()),
    );
    let (is_ok, bytes) = receiver.recv().unwrap();
    assert!(is_ok && bytes < 1 << 20, "{bytes} bytes at the answer");
    wait_until(|| file_bytes(&data_dir) > BYTES as u64);
}

#[test]
fn space_that_is_free_is_given_back_without_being_asked() {
    const MB: u64 = 1 << 20;
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let queue = open(&data_dir);
    for number in 0..40 {
        queue.perform(large(number, 1 << 20)).unwrap();
    }
    queue.perform(accept([100], "g")).unwrap();
    let kept = queue.event(id(100)).unwrap();
    assert!(kept.is_some());
    wait_until(|| file_bytes(&data_dir) > 40 * MB);
    let selection = Selection::Of {
        queue: Some("f".to_owned()),
        states: EventState::ALL.to_vec(),
        limit: 1_000,
    };
    let purged = queue.perform(Operation::Purge(selection)).unwrap();
    assert_eq!(purged, Done::Changed(40));
    // Some is kept for what comes next.
    wait_until(|| file_bytes(&data_dir) < 5 * MB);
    assert_eq!(queue.health(), QueueHealth::Writable);
    assert_eq!(queue.event(id(100)).unwrap(), kept);
    queue.close();
    let path = data_dir.path().join(sqlite::FILE);
    let connection = rusqlite::Connection::open(path).unwrap();
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let found = connection.query_row("PRAGMA integrity_check", [], check);
    assert_eq!(found.unwrap(), "ok");
}

/// The time that a copy of the database as it is now would go on from.
fn stored_us(data_dir: &DataDir) -> Option<i64> {
    let path = data_dir.path().join(sqlite::FILE);
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .query_row(sql::LAST_TIME, [], |row| row.get(0))
        .ok()
}

#[test]
fn the_time_is_stored_though_nothing_happens_and_goes_over_to_the_wall_clock() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let open_at = |clock: &Clock| {
        let clock = clock.clone();
        open_with(
            &data_dir,
            QueueSettings {
                clock,
                ..settings()
            },
        )
    };
    let clock = Clock::manual(NOW_US);
    let queue = open_at(&clock);
    assert_eq!(stored_us(&data_dir), None);
    let day = Duration::from_secs(86_400);
    clock.advance(day);
    // The writer looks every second of its own.
    wait_until(|| stored_us(&data_dir) == Some(clock.unix_us()));
    clock.advance(day / 48);
    queue.close();
    assert_eq!(stored_us(&data_dir), Some(clock.unix_us()), "at the end");
    drop(queue);

    // Too long to be believed at once.
    let last_us = clock.unix_us();
    clock.set_unix_us(last_us + 400 * 86_400_000_000);
    let queue = open_at(&clock);
    assert_eq!(queue.now_us(), last_us);
    queue.perform(accept([1], "f")).unwrap();
    clock.advance(day);
    wait_until(|| stored_us(&data_dir) == Some(queue.now_us()));
    assert_eq!(queue.now_us(), last_us + 86_400_000_000, "an event waits");
    queue
        .perform(Operation::Purge(Selection::Id(id(1))))
        .unwrap();
    wait_until(|| queue.now_us() == clock.unix_us());
    wait_until(|| stored_us(&data_dir) == Some(clock.unix_us()));
}

/// Looks again and again; fails after a minute.
#[track_caller]
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let clock = Clock::system();
    let start = clock.now();
    let (never, nothing) = (parking_lot::Condvar::new(), parking_lot::Mutex::new(()));
    while !is_so() {
        let waited = clock.now() - start;
        assert!(waited < Duration::from_secs(60), "it did not come about");
        never.wait_for(&mut nothing.lock(), Duration::from_millis(5));
    }
}
