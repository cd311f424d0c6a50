//! What holds over every engine, one promise each.

use super::*;
use crate::queue::machine::Rows as _;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_US: i64 = 60_000_000;

fn event(core: &mut Core, number: u64) -> Event {
    core.engine().event(id(number)).unwrap().unwrap()
}

fn depth(core: &Core, queue: &str) -> (u64, u64, u64) {
    let depth = core.depths().get(queue).copied().unwrap_or_default();
    (depth.queued, depth.running, depth.bytes)
}

#[test]
fn events_are_claimed_by_due_time_and_only_when_they_are_due() {
    over_each(|core| {
        let mut late = new_event(1, "f");
        late.delay = MINUTE;
        one(core, Operation::Accept(vec![late]), NOW_US).unwrap();
        one(core, accept([3, 2], "f"), NOW_US).unwrap();
        let ids = |claimed: Vec<Claimed>| {
            let numbers = claimed.iter().map(|claimed| number(claimed.event.id));
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(ids(claimed(one(core, claim("g", 9), NOW_US))), [0; 0]);
        assert_eq!(ids(claimed(one(core, claim("f", 1), NOW_US))), [3]);
        assert_eq!(ids(claimed(one(core, claim("f", 9), NOW_US))), [2]);
        let later = NOW_US + MINUTE_US;
        assert_eq!(ids(claimed(one(core, claim("f", 9), later - 1))), [0; 0]);
        let last = claimed(one(core, claim("f", 9), later));
        assert_eq!(
            (&last[0].payload[..], last[0].event.attempts),
            (&payload(1)[..], 1)
        );
        assert_eq!(depth(core, "f"), (0, 3, 6));
    });
}

#[test]
fn a_claim_notes_from_where_on_the_ledger_has_its_record() {
    over_each(|core| {
        one(core, accept([1], "f"), NOW_US).unwrap();
        assert_eq!(event(core, 1).ledger_from, 0);
        for ledger_from in [7, 40] {
            let moment = Moment {
                now_us: NOW_US,
                ledger_from,
            };
            let mut outcome = core.commit(&[claim("f", 1)], moment, &mut || Ok(()));
            let taken = claimed(outcome.results.pop().unwrap());
            assert_eq!(taken[0].event.ledger_from, ledger_from);
            assert_eq!(event(core, 1), taken[0].event);
            let refuse = Ending::Refuse {
                after: Duration::ZERO,
                ran: false,
            };
            one(core, finish(1, 1, refuse), NOW_US).unwrap();
        }
    });
}

#[test]
fn what_counts_as_an_attempt_and_what_as_a_failure() {
    let wait = MINUTE;
    let dead = Condition::RetriesExhausted;
    for (ending, state, attempts, failures, refusals) in [
        (SUCCESS, EventState::Succeeded, 1, 1, 0),
        (
            Ending::End {
                condition: dead,
                ran: true,
            },
            EventState::Dead,
            1,
            1,
            0,
        ),
        (
            Ending::End {
                condition: dead,
                ran: false,
            },
            EventState::Dead,
            0,
            0,
            0,
        ),
        (Ending::Retry(wait), EventState::Queued, 1, 1, 0),
        (
            Ending::Refuse {
                after: wait,
                ran: true,
            },
            EventState::Queued,
            1,
            0,
            1,
        ),
        (
            Ending::Refuse {
                after: wait,
                ran: false,
            },
            EventState::Queued,
            0,
            0,
            1,
        ),
        (Ending::Return { ran: true }, EventState::Queued, 1, 0, 0),
        (Ending::Return { ran: false }, EventState::Queued, 0, 0, 0),
    ] {
        over_each(|core| {
            one(core, accept([1], "f"), NOW_US).unwrap();
            claimed(one(core, claim("f", 1), NOW_US));
            one(core, finish(1, 1, ending), NOW_US + 5).unwrap();
            let event = event(core, 1);
            let found = (event.state, event.attempts, event.failures, event.refusals);
            assert_eq!(found, (state, attempts, failures, refusals), "{ending:?}");
            assert_eq!(event.changed_at_us, NOW_US + 5);
            let due_us = match ending {
                Ending::Return { .. } => NOW_US + 5,
                Ending::Retry(_) | Ending::Refuse { .. } => NOW_US + 5 + MINUTE_US,
                Ending::End { .. } => NOW_US,
            };
            assert_eq!(event.due_at_us, due_us, "{ending:?}");
        });
    }
}

#[test]
fn the_ledger_is_on_disk_before_an_attempt_that_ran_is_closed_and_only_then_asked_for() {
    for (ending, is_asked) in [
        (SUCCESS, true),
        (Ending::Retry(MINUTE), true),
        (Ending::Return { ran: false }, false),
    ] {
        over_each(|core| {
            one(core, accept([1], "f"), NOW_US).unwrap();
            claimed(one(core, claim("f", 1), NOW_US));
            let mut asked = 0;
            let finish = [finish(1, 1, ending)];
            core.commit(&finish, at(NOW_US), &mut || {
                asked += 1;
                Ok(())
            });
            assert_eq!(asked > 0, is_asked, "{ending:?}");
        });
    }
}

#[test]
fn a_ledger_that_does_not_reach_the_disk_stops_the_queue_and_the_attempt_stays_open() {
    over_each(|core| {
        one(core, accept([1], "f"), NOW_US).unwrap();
        claimed(one(core, claim("f", 1), NOW_US));
        let failed = || {
            let reason = "a sync failed".to_owned();
            Err(StorageError::Failed { reason })
        };
        let batch = [accept([2], "f"), finish(1, 1, SUCCESS)];
        let outcome = core.commit(&batch, at(NOW_US), &mut { failed });
        for result in outcome.results {
            assert!(
                matches!(result, Err(QueueError::Failed { .. })),
                "{result:?}"
            );
        }
        assert!(matches!(core.health(), QueueHealth::Failed { .. }));
        assert!(matches!(
            one(core, accept([3], "f"), NOW_US),
            Err(QueueError::Failed { .. })
        ));
        assert_eq!(event(core, 1).state, EventState::Running);
        assert_eq!(depth(core, "f"), (0, 1, 2));
    });
}

#[test]
fn follow_ups_come_with_the_end_as_far_as_there_is_room_and_never_twice() {
    for engine in engines().1 {
        let quota = Quota {
            events: 1,
            bytes: 100,
        };
        let core = &mut core_over(engine, quota);
        one(core, accept([1], "f"), NOW_US).unwrap();
        claimed(one(core, claim("f", 1), NOW_US));
        let ending = |follow_ups| {
            Operation::Finish(Finish {
                id: id(1),
                attempt: 1,
                ending: SUCCESS,
                failure: None,
                follow_ups,
            })
        };
        let repeated = ending(vec![follow_up(7, "g"), follow_up(1, "g")]);
        assert!(matches!(
            one(core, repeated, NOW_US),
            Err(QueueError::Duplicate { id }) if id == super::id(1)
        ));
        assert_eq!(event(core, 1).state, EventState::Running);
        // The first as it is, the second in short, and the third not at all.
        let three = ending([7, 8, 9].map(|number| follow_up(number, "g")).to_vec());
        assert!(matches!(one(core, three, NOW_US), Ok(Done::Changed(3))));
        assert_eq!(depth(core, "g"), (2, 0, 3));
        assert_eq!(depth(core, "f"), (0, 0, 0));
        assert_eq!(core.engine().payload(id(7)).unwrap(), Some(payload(7)));
        assert_eq!(core.engine().payload(id(8)).unwrap().unwrap(), "0");
        assert_eq!(core.engine().event(id(9)).unwrap(), None);
    }
}

#[test]
fn what_died_fills_a_queue_until_it_is_redriven_or_purged_and_no_other_one() {
    for engine in engines().1 {
        let quota = Quota {
            events: 2,
            bytes: 100,
        };
        let core = &mut core_over(engine, quota);
        for number in [1, 2] {
            one(core, accept([number], "f"), NOW_US).unwrap();
            claimed(one(core, claim("f", 1), NOW_US));
            let condition = Condition::RetriesExhausted;
            let ran = true;
            let dead = finish(number, 1, Ending::End { condition, ran });
            one(core, dead, NOW_US).unwrap();
        }
        let refused = one(core, accept([3], "f"), NOW_US).unwrap_err();
        assert!(matches!(&refused, QueueError::DeadLetters { queue, .. } if queue == "f"));
        assert!(
            refused.to_string().contains("Redrive them, purge them"),
            "{refused}"
        );
        one(core, accept([3], "g"), NOW_US).unwrap();
        // What ends elsewhere finds no room either, and is taken in short while there is some.
        claimed(one(core, claim("g", 1), NOW_US));
        let ending = Finish {
            id: id(3),
            attempt: 1,
            ending: SUCCESS,
            failure: None,
            follow_ups: [7, 8, 9].map(|number| follow_up(number, "f")).to_vec(),
        };
        let done = one(core, Operation::Finish(ending), NOW_US);
        assert!(matches!(done, Ok(Done::Changed(3))), "{done:?}");
        assert_eq!(depth(core, "f"), (2, 0, 2));

        let purge = |number| Operation::Purge(Selection::Id(id(number)));
        for number in [7, 8, 1] {
            one(core, purge(number), NOW_US).unwrap();
        }
        one(core, accept([4], "f"), NOW_US).unwrap();
        one(core, Operation::Redrive(Selection::Id(id(2))), NOW_US).unwrap();
        assert_eq!(depth(core, "f"), (2, 0, 4));
        assert_eq!(core.depths()["f"].kept_events, 0);
    }
}

#[test]
fn quotas_count_what_waits_and_what_runs_within_a_batch_too() {
    for engine in engines().1 {
        let quota = Quota {
            events: 3,
            bytes: 7,
        };
        let core = &mut core_over(engine, quota);
        one(core, accept([1], "f"), NOW_US).unwrap();
        claimed(one(core, claim("f", 1), NOW_US));
        let batch = [
            accept([2, 3, 4], "f"),
            accept([2, 3], "f"),
            accept([5], "f"),
            accept([6], "g"),
        ];
        let results = core.commit(&batch, at(NOW_US), &mut || Ok(())).results;
        let is_over = |result: &Result<Done, QueueError>| matches!(result, Err(QueueError::Quota { queue, .. }) if queue == "f");
        assert!(is_over(&results[0]) && is_over(&results[2]), "{results:?}");
        assert!(results[1].is_ok() && results[3].is_ok(), "{results:?}");
        let mut large = new_event(9, "g");
        large.payload = Bytes::from_static(b"123456");
        let large = one(core, Operation::Accept(vec![large]), NOW_US);
        assert!(matches!(large, Err(QueueError::Quota { queue, .. }) if queue == "g"));
    }
}

#[test]
fn redriven_events_begin_anew_and_go_on_being_numbered() {
    over_each(|core| {
        one(core, accept(1..=4, "f"), NOW_US).unwrap();
        claimed(one(core, claim("f", 3), NOW_US));
        for (number, condition) in [
            (1, Condition::Success),
            (2, Condition::RetriesExhausted),
            (3, Condition::EventAgeExceeded),
        ] {
            let ending = Ending::End {
                condition,
                ran: true,
            };
            one(core, finish(number, 1, ending), NOW_US).unwrap();
        }
        let all = |limit| Selection::Of {
            queue: Some("f".to_owned()),
            states: EventState::ALL.to_vec(),
            limit,
        };
        let redriven = one(core, Operation::Redrive(all(9)), NOW_US + 9);
        assert_eq!(redriven.unwrap(), Done::Changed(2));
        assert_eq!(depth(core, "f"), (3, 0, 6));
        let again = claimed(one(core, claim("f", 9), NOW_US + 9));
        let attempts: Vec<_> = again
            .iter()
            .map(|claimed| (number(claimed.event.id), claimed.event.attempts))
            .collect();
        assert_eq!(attempts, [(4, 1), (2, 2), (3, 2)]);
        assert_eq!(event(core, 2).failures, 1);
        assert_eq!(event(core, 2).accepted_at_us, NOW_US + 9);
        // What runs is not purged.
        let purged = one(core, Operation::Purge(all(9)), NOW_US + 9);
        assert_eq!(purged.unwrap(), Done::Changed(1));
        assert_eq!(depth(core, "f"), (0, 3, 6));
    });
}

#[test]
fn a_schedule_fires_once_for_each_time_and_not_when_it_is_gone() {
    over_each(|core| {
        let fire = |due_us, number| Operation::Fire {
            key: "s".to_owned(),
            due_us,
            events: vec![new_event(number, "f")],
        };
        let nothing = Done::Changed(0);
        assert_eq!(one(core, fire(1, 1), NOW_US).unwrap(), nothing);
        let record = ScheduleRecord {
            key: "s".to_owned(),
            document: "{}".to_owned(),
            last_due_us: None,
        };
        one(core, Operation::PutSchedule(record), NOW_US).unwrap();
        assert_eq!(one(core, fire(5, 2), NOW_US).unwrap(), Done::Changed(2));
        assert_eq!(one(core, fire(5, 3), NOW_US).unwrap(), nothing);
        assert_eq!(one(core, fire(4, 4), NOW_US).unwrap(), nothing);
        let skipped = Operation::Fire {
            key: "s".to_owned(),
            due_us: 6,
            events: Vec::new(),
        };
        assert_eq!(one(core, skipped, NOW_US).unwrap(), Done::Changed(1));
        assert_eq!(one(core, fire(6, 5), NOW_US).unwrap(), nothing);
        let remove = Operation::RemoveSchedule {
            key: "s".to_owned(),
        };
        one(core, remove, NOW_US).unwrap();
        assert_eq!(one(core, fire(7, 6), NOW_US).unwrap(), nothing);
        assert_eq!(depth(core, "f"), (1, 0, 2));
    });
}

#[test]
fn without_space_nothing_is_taken_in_and_what_is_there_is_worked_off() {
    over_each(|core| {
        one(core, accept(1..=2, "f"), NOW_US).unwrap();
        core.note_space(Some("little space is left".to_owned()));
        assert!(matches!(core.health(), QueueHealth::Full { .. }));
        let batch = [accept([3], "f"), claim("f", 1), finish(1, 1, SUCCESS)];
        let results = core.commit(&batch, at(NOW_US), &mut || Ok(())).results;
        assert!(
            matches!(&results[0], Err(QueueError::Full { reason }) if reason.contains("little"))
        );
        assert!(results[1].is_ok() && results[2].is_ok(), "{results:?}");
        core.note_space(None);
        assert_eq!(core.health(), QueueHealth::Writable);
        one(core, accept([3], "f"), NOW_US).unwrap();
    });
}

#[test]
fn an_event_whose_time_is_too_far_off_is_due_earlier_when_the_queue_is_opened() {
    let (root, engines) = engines();
    for engine in engines {
        let is_sqlite = matches!(engine, Engine::Sqlite(_));
        let mut core = core_over(engine, Quota::default());
        for (number, delay_s) in [(1, 299), (2, 1_000_000)] {
            let mut event = new_event(number, "f");
            event.delay = Duration::from_secs(delay_s);
            one(&mut core, Operation::Accept(vec![event]), NOW_US).unwrap();
        }
        let mut engine = core.into_engine();
        if is_sqlite {
            drop(engine);
            engine = Engine::Sqlite(Sqlite::open(&root.path().join(sqlite::FILE)).unwrap());
        }
        let mut core = core_over(engine, Quota::default());
        assert_eq!(event(&mut core, 1).due_at_us, NOW_US + 299_000_000);
        assert_eq!(event(&mut core, 2).due_at_us, NOW_US + 300_000_000);
    }
}

fn memory(core: &mut Core) -> &mut Memory {
    match core.engine() {
        Engine::Memory(memory) => memory,
        Engine::Sqlite(_) => panic!("a test of the engine in memory"),
    }
}

#[test]
fn a_full_disk_takes_nothing_in_closes_what_it_can_and_recovers() {
    let mut core = core_over(Engine::Memory(Memory::default()), Quota::default());
    one(&mut core, accept([1], "f"), NOW_US).unwrap();
    claimed(one(&mut core, claim("f", 1), NOW_US));
    memory(&mut core).fail_commit(1, CommitFailure::Full);
    let batch = [accept([2], "f"), finish(1, 1, SUCCESS)];
    let results = core.commit(&batch, at(NOW_US), &mut || Ok(())).results;
    assert!(
        matches!(results[0], Err(QueueError::Full { .. })),
        "{results:?}"
    );
    assert!(results[1].is_ok(), "{results:?}");
    assert_eq!(core.health(), QueueHealth::Writable);

    memory(&mut core).fail_commit(1, CommitFailure::Full);
    memory(&mut core).fail_commit(2, CommitFailure::Full);
    memory(&mut core).fail_commit(3, CommitFailure::Full);
    let refused = one(&mut core, accept([3], "f"), NOW_US);
    assert!(
        matches!(refused, Err(QueueError::Full { .. })),
        "{refused:?}"
    );
    assert!(matches!(core.health(), QueueHealth::Full { .. }));
    assert_eq!(core.depths().len(), 0);
    core.try_again(NOW_US);
    assert!(matches!(core.health(), QueueHealth::Full { .. }));
    core.try_again(NOW_US);
    core.try_again(NOW_US);
    assert_eq!(core.health(), QueueHealth::Writable);
    one(&mut core, accept([3], "f"), NOW_US).unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_done_until_a_restart_whether_it_was_kept_or_lost() {
    for how in [CommitFailure::Lost, CommitFailure::Kept] {
        let mut core = core_over(Engine::Memory(Memory::default()), Quota::default());
        one(&mut core, accept([1], "f"), NOW_US).unwrap();
        memory(&mut core).fail_commit(1, how);
        let refused = one(&mut core, accept([2], "f"), NOW_US);
        assert!(
            matches!(refused, Err(QueueError::Failed { .. })),
            "{refused:?}"
        );
        core.note_space(None);
        core.try_again(NOW_US);
        core.checkpoint(true);
        for operation in [accept([3], "f"), claim("f", 1)] {
            let refused = one(&mut core, operation, NOW_US);
            assert!(
                matches!(refused, Err(QueueError::Failed { .. })),
                "{refused:?}"
            );
        }
        let mut engine = core.into_engine();
        if let Engine::Memory(memory) = &mut engine {
            memory.crash();
        }
        let mut core = core_over(engine, Quota::default());
        let kept: Vec<_> = memory(&mut core)
            .events()
            .map(|(event, payload)| (number(event.id), payload.is_some()))
            .collect();
        match how {
            CommitFailure::Kept => assert_eq!(kept, [(1, true), (2, true)]),
            CommitFailure::Lost | CommitFailure::Full => assert_eq!(kept, [(1, true)]),
        }
        assert_eq!(core.health(), QueueHealth::Writable);
        one(&mut core, accept([3], "f"), NOW_US).unwrap();
    }
}

#[test]
fn a_batch_in_which_nothing_changes_is_not_committed() {
    over_each(|core| {
        one(core, accept([1], "f"), NOW_US).unwrap();
        let batch = [accept([1], "f"), claim("g", 5), finish(1, 1, SUCCESS)];
        core.commit(&batch, at(NOW_US), &mut || Ok(()));
        assert_eq!(core.statistics().commits, 1);
    });
}

#[test]
fn what_becomes_of_one_event_leaves_the_payloads_of_others_alone() {
    over_each(|core| {
        let kept = |core: &mut Core, event: u64| core.engine().payload(id(event)).unwrap();
        // The first one ends before the second one comes, and is removed when that one waits.
        one(core, accept([1], "f"), NOW_US).unwrap();
        claimed(one(core, claim("f", 1), NOW_US));
        one(core, finish(1, 1, SUCCESS), NOW_US).unwrap();
        one(core, accept([2], "g"), NOW_US).unwrap();
        assert_eq!(kept(core, 1), None);
        let purge = Operation::Purge(Selection::Id(id(1)));
        one(core, purge, NOW_US).unwrap();
        assert_eq!(kept(core, 2), Some(payload(2)));
        one(core, accept([3], "f"), NOW_US).unwrap();
        let ran = claimed(one(core, claim("g", 1), NOW_US));
        assert_eq!(ran[0].payload, payload(2));
    });
}

#[test]
fn what_is_published_reaches_everybody_whose_queue_has_room() {
    use Published::{Dead, Queued, Refused};
    let quota = Quota {
        events: 2,
        bytes: 1_000,
    };
    for engine in engines().1 {
        let mut core = core_over(engine, quota);
        let core = &mut core;
        let publish = |core: &mut Core, numbers: [u64; 3]| {
            let [first, second, third] = numbers;
            let events = vec![
                new_event(first, "full"),
                new_event(second, "full"),
                new_event(third, "free"),
            ];
            match one(core, Operation::Publish(events), NOW_US) {
                Ok(Done::Published(published)) => published,
                other => panic!("{other:?}"),
            }
        };
        one(core, accept([1], "full"), NOW_US).unwrap();
        assert_eq!(publish(core, [2, 3, 4]), [Queued, Dead, Queued]);
        let dead = core.engine().event(id(3)).unwrap().unwrap();
        assert_eq!(
            (dead.state, dead.condition, dead.attempts),
            (EventState::Dead, Some(Condition::QueueFull), 0)
        );
        let failure = dead.failure.unwrap();
        assert_eq!(failure.code, 429);
        assert!(failure.message.contains("is full"), "{failure:?}");
        assert_eq!(core.engine().payload(id(3)).unwrap(), Some(payload(3)));
        assert_eq!(publish(core, [5, 6, 7]), [Dead, Refused, Queued]);
        assert_eq!(core.engine().event(id(6)).unwrap(), None);
        // An id that is there already is nobody's fault but ours: nothing is taken in.
        let twice = vec![new_event(8, "other"), new_event(4, "free")];
        let refused = one(core, Operation::Publish(twice), NOW_US);
        assert!(matches!(refused, Err(QueueError::Duplicate { .. })));
        assert_eq!(core.engine().event(id(8)).unwrap(), None);
        // What became a dead letter is run when it is redriven.
        one(core, Operation::Redrive(Selection::Id(id(3))), NOW_US).unwrap();
        let claimed = claimed(one(core, claim("full", 10), NOW_US));
        let numbers: Vec<_> = claimed
            .iter()
            .map(|claimed| number(claimed.event.id))
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
