//! The simulation: the ledger's journal and the queue's writer, as they are, on a disk that tears and
//! forgets, in a process that dies at any step.
//!
//! Everything comes from a seed, so that what was found once is found again. What must hold is judged
//! by [`model`], after every death:
//!
//! * no event that was accepted is gone, and it is in the state that was answered last;
//! * every attempt that was closed has one record, no attempt has two, and nothing else has one;
//! * records have no gap, are what was appended, and follow each other by their hashes;
//! * a kill loses no record, a power cut only such as nobody was told are safe;
//! * a start never needs a hand.
//!
//! No threads: the rounds of the threads are operations like others. Knows nothing of HTTP and guests.

mod checks;
mod choices;
mod damage;
mod model;
mod process;
pub(crate) mod random;
mod world;

use self::world::{Summary, run};
use crate::disk::simulated::Mistake;

/// Crash points of a usual run.
const POINTS: u64 = 50_000;
/// Crash points within which a mistake must be found.
const POINTS_OF_MISTAKES: u64 = 20_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

#[test]
fn nothing_that_was_promised_is_lost_wherever_it_dies() {
    let seed = setting("MAYFLY_SIM_SEED").unwrap_or(1);
    let points = setting("MAYFLY_SIM_POINTS").unwrap_or(POINTS);
    let clock = domain::Clock::system();
    let began = clock.now();
    let summary = run_in_threads(seed, points);
    let seconds = (clock.now() - began).as_secs_f64();
    let rate = f64::from(u32::try_from(summary.points).unwrap_or(u32::MAX)) / seconds;
    eprintln!("seed {seed}: {summary:?}, {rate:.0} points a second");
    assert!(summary.points >= points);
    assert!(summary.power_cuts > points / 2 && summary.in_recovery > 0 && summary.troubles > 0);
    assert!(summary.records > points / 100 && summary.events > points / 100);
}

/// Runs machines in as many threads as help here, each with every nth seed.
fn run_in_threads(seed: u64, points: u64) -> Summary {
    const THREADS: u64 = 2;
    let threads = (0..THREADS).map(|thread| {
        std::thread::spawn(move || run(seed + thread, THREADS, points.div_ceil(THREADS), None))
    });
    let summaries = threads.collect::<Vec<_>>().into_iter().map(|thread| {
        let summary = thread.join().unwrap();
        summary.unwrap_or_else(|wrong| panic!("{wrong}"))
    });
    summaries.fold(Summary::default(), Summary::and)
}

#[test]
fn the_same_seed_has_the_same_trace() {
    let trace = |seed| -> Summary { run(seed, 1, 1_000, None).unwrap() };
    let (first, second) = (trace(7), trace(7));
    assert_eq!(first, second);
    assert_ne!(first.trace, trace(8).trace);
}

#[test]
fn every_mistake_is_found() {
    for mistake in [
        Mistake::RetrySync,
        Mistake::SkipDirectorySync,
        Mistake::TrustPageCache,
        Mistake::AnswerEarly,
        Mistake::CloseEarly,
        Mistake::CountOnUnsynced,
    ] {
        let found = run(1, 1, POINTS_OF_MISTAKES, Some(mistake));
        assert!(found.is_err(), "{mistake:?} was not found: {found:?}");
    }
}
