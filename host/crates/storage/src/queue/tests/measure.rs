//! Figures, for people: `MAYFLY_MEASURE=1 cargo test -p storage queue::tests::measure --
//! --nocapture --test-threads=1`. Nothing is asserted about time.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn is_wanted() -> bool {
    let is_wanted = std::env::var_os("MAYFLY_MEASURE").is_some();
    if !is_wanted {
        println!("skipped: MAYFLY_MEASURE is not set");
    }
    is_wanted
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// A million events in 20 queues: a tenth of them wait for a retry, and as many have ended.
fn fill(path: &Path) {
    let mut core = core_over(
        Engine::Sqlite(Sqlite::open(path).unwrap()),
        Quota::default(),
    );
    for first in (0..1_000_000).step_by(1_000) {
        let batch: Vec<_> = (first..first + 1_000)
            .map(|number| {
                let mut event = new_event(number, &format!("function-{}", number % 20));
                event.payload = Bytes::from(vec![b'x'; 200]);
                event.delay = Duration::from_secs(if number % 10 == 0 { 120 } else { 0 });
                Operation::Accept(vec![event])
            })
            .collect();
        let outcome = core.commit(&batch, at(NOW_US), &mut || Ok(()));
        assert!(outcome.results.iter().all(Result::is_ok));
        core.checkpoint(false);
    }
    for first in (0..100_000).step_by(1_000) {
        let batch: Vec<_> = (first..first + 1_000)
            .map(|number| accept([2_000_000 + number], "ended"))
            .collect();
        core.commit(&batch, at(NOW_US), &mut || Ok(()));
        let taken = claimed(one(&mut core, claim("ended", 1_000), NOW_US));
        let batch: Vec<_> = taken
            .iter()
            .map(|taken| finish(number(taken.event.id), 1, SUCCESS))
            .collect();
        core.commit(&batch, at(NOW_US), &mut || Ok(()));
        core.checkpoint(false);
    }
}

#[test]
fn a_million_events() {
    if !is_wanted() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let path = data_dir.path().join(sqlite::FILE);
    let clock = Clock::system();
    let timed = |what: &str, doing: &mut dyn FnMut()| {
        let start = clock.now();
        doing();
        println!("{what}: {:.1?}", clock.now() - start);
    };
    timed("filling", &mut || fill(&path));
    println!("bytes for each event: {}", bytes(&path) / 1_100_000);
    let mut queue = None;
    timed("opening", &mut || queue = Some(open(&data_dir)));
    let queue = queue.unwrap();
    assert_eq!(queue.depths().len(), 20);
    let function = Some("function-7".to_owned());
    for (what, query) in [
        (
            "the newest 100",
            EventQuery {
                limit: 100,
                ..EventQuery::default()
            },
        ),
        (
            "100 of one queue",
            EventQuery {
                queue: function.clone(),
                limit: 100,
                ..EventQuery::default()
            },
        ),
        (
            "none dead among all",
            EventQuery {
                state: Some(EventState::Dead),
                limit: 100,
                ..EventQuery::default()
            },
        ),
        (
            "none dead in one queue",
            EventQuery {
                queue: function,
                state: Some(EventState::Dead),
                before: None,
                limit: 100,
            },
        ),
    ] {
        timed(what, &mut || drop(queue.events(&query).unwrap()));
    }
    timed("the oldest of each queue", &mut || {
        drop(queue.oldest().unwrap());
    });
    timed("a claim of 100", &mut || {
        assert_eq!(claimed(queue.perform(claim("function-7", 100))).len(), 100);
    });
    timed("closing", &mut || queue.close());
    drop(queue);
    let copy = data_dir.path().join("copy.db");
    timed("copying for a backup", &mut || {
        crate::database::copy(&path, &copy).unwrap();
    });
}

/// What clients of one server do at once: each hands in an event and waits until it is durable; and
/// what was handed in is claimed and finished.
#[test]
fn accepted_claimed_and_finished() {
    if !is_wanted() {
        return;
    }
    for clients in [1_u64, 8, 64, 512] {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let path = data_dir.path().join(sqlite::FILE);
        let log = sqlite::log(&path);
        // Ids of one server come in order.
        let next = AtomicU64::new(0);
        let queue = open(&data_dir);
        let clock = Clock::system();
        let each = match clients {
            1 => 500,
            _ => 20_000 / clients,
        };
        let count = clients * each;
        let rate = |what: &str, done: &mut dyn FnMut()| {
            let before = queue.statistics();
            let start = clock.now();
            done();
            let elapsed = clock.now() - start;
            let after = queue.statistics();
            let commits = after.commits - before.commits;
            let in_commit = (after.operations - before.operations) * 10 / commits;
            println!(
                "{clients} clients, {what}: {} events/s, {}.{} operations in a commit, {:.2?} for one, log of {} KiB",
                u128::from(count) * 1_000_000 / elapsed.as_micros(),
                in_commit / 10,
                in_commit % 10,
                elapsed / u32::try_from(commits).unwrap(),
                bytes(&log) >> 10,
            );
        };
        rate("accept", &mut || {
            std::thread::scope(|scope| {
                for _ in 0..clients {
                    scope.spawn(|| {
                        for _ in 0..each {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            queue.perform(accept([number], "f")).unwrap();
                        }
                    });
                }
            });
        });
        let closed = AtomicU64::new(0);
        rate("claim and finish", &mut || {
            while closed.load(Ordering::Relaxed) < count {
                let at_most = u32::try_from(clients).unwrap();
                let taken = claimed(queue.perform(claim("f", at_most)));
                let (sender, receiver) = std::sync::mpsc::channel();
                for taken in &taken {
                    let sender = sender.clone();
                    let finish = finish(number(taken.event.id), 1, SUCCESS);
                    queue.submit(
                        finish,
                        Box::new(move |done| sender.send(done.is_ok()).unwrap()),
                    );
                }
                for _ in &taken {
                    assert!(receiver.recv().unwrap());
                    closed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        println!("largest batch: {}", queue.statistics().largest_batch);
        queue.close();
        drop(queue);
        println!("bytes of an event that succeeded: {}", bytes(&path) / count);
    }
}
