//! Random histories against the model, over each engine, and with crashes.

use proptest::prelude::*;

use super::model::{Answer, Asked, Model, QUEUES, QUOTA, SECOND_US};
use super::*;

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        (prop::sample::select(&Condition::ALL[..]), any::<bool>())
            .prop_map(|(condition, ran)| Ending::End { condition, ran }),
        (0_u64..9).prop_map(|wait_s| Ending::Retry(Duration::from_secs(wait_s))),
        (0_u64..9, any::<bool>()).prop_map(|(wait_s, ran)| Ending::Refuse {
            after: Duration::from_secs(wait_s),
            ran,
        }),
        any::<bool>().prop_map(|ran| Ending::Return { ran }),
    ]
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let number = 0_u64..16;
    let queue = prop::sample::select(&QUEUES[..]);
    let some = (
        prop::option::of(queue.clone()),
        prop::sample::subsequence(EventState::ALL.to_vec(), 1..=5),
        0_u32..5,
    );
    let new = (number.clone(), queue.clone(), 0_u8..3);
    let follow_ups = prop::collection::vec(number.clone(), 0..3);
    prop_oneof![
        4 => prop::collection::vec(new.clone(), 0..4).prop_map(Asked::Accept),
        3 => prop::collection::vec(new, 0..4).prop_map(Asked::Publish),
        4 => (queue, 0_u32..4).prop_map(|(queue, at_most)| Asked::Claim(queue, at_most)),
        8 => (number.clone(), 1_u32..3, any_ending(), follow_ups)
            .prop_map(|(number, attempt, ending, more)| Asked::Finish(number, attempt, ending, more)),
        1 => some.clone().prop_map(|(queue, states, limit)| Asked::Redrive(queue, states, limit)),
        2 => number.clone().prop_map(Asked::RedriveOne),
        1 => some.prop_map(|(queue, states, limit)| Asked::Purge(queue, states, limit)),
        1 => number.prop_map(Asked::PurgeOne),
        1 => (0_u8..5, 0_u8..9).prop_map(|(one, other)| Asked::Forget(one, other)),
    ]
}

/// Batches, each some seconds after the one before; whether its commit fails for want of space.
fn any_history() -> impl Strategy<Value = Vec<(u8, Vec<Asked>, bool)>> {
    let batch = prop::collection::vec(any_asked(), 1..5);
    prop::collection::vec((0_u8..3, batch, prop::bool::weighted(0.1)), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_engine_does_what_the_model_does(history in any_history()) {
        for engine in engines().1 {
            let mut core = core_over(engine, QUOTA);
            let mut model = Model::new();
            for (later_s, batch, _) in &history {
                model.now_us += i64::from(*later_s) * SECOND_US;
                let operations: Vec<_> =
                    batch.iter().map(|asked| asked.operation(model.now_us)).collect();
                let outcome = core.commit(&operations, at(model.now_us), &mut || Ok(()));
                for (asked, result) in batch.iter().zip(outcome.results) {
                    prop_assert_eq!(Answer::of(result), model.ask(asked), "{:?}", asked);
                }
                model.compare(&mut core);
            }
        }
    }

    #[test]
    fn a_crash_keeps_what_was_answered_and_nothing_that_was_refused(history in any_history()) {
        let mut core = core_over(Engine::Memory(Memory::default()), QUOTA);
        let mut model = Model::new();
        for (later_s, batch, is_lost) in &history {
            model.now_us += i64::from(*later_s) * SECOND_US;
            let operations: Vec<_> =
                batch.iter().map(|asked| asked.operation(model.now_us)).collect();
            if let (Engine::Memory(memory), true) = (core.engine(), *is_lost) {
                memory.fail_commit(1, CommitFailure::Lost);
            }
            let results = core.commit(&operations, at(model.now_us), &mut || Ok(())).results;
            if core.health() == QueueHealth::Writable {
                for (asked, result) in batch.iter().zip(results) {
                    prop_assert_eq!(Answer::of(result), model.ask(asked), "{:?}", asked);
                }
            } else {
                prop_assert!(*is_lost && results.iter().all(Result::is_err));
                let mut engine = core.into_engine();
                if let Engine::Memory(memory) = &mut engine {
                    memory.crash();
                }
                core = core_over(engine, QUOTA);
            }
            model.compare(&mut core);
            if let (Engine::Memory(memory), true) = (core.engine(), *is_lost) {
                // What was to fail did, or nothing was to be committed.
                memory.crash();
            }
        }
    }
}
