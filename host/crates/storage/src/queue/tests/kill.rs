//! A process that is killed while it accepts and closes events loses nothing that it answered.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// Tells the child which directory to use, and that it is one.
const CHILD_DIR: &str = "MAYFLY_KILLED_QUEUE";
const CHILD_TEST: &str = "queue::tests::kill::accepts_and_closes_until_killed";
const ROUNDS: u64 = 5;
/// Acknowledgements after which a child is killed.
const ACKS: usize = 100;

fn say(what: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{what} {number}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

/// Not a test by itself: the process that is killed.
#[test]
fn accepts_and_closes_until_killed() {
    let Ok(path) = std::env::var(CHILD_DIR) else {
        return;
    };
    let queue = open(&DataDir::open(Path::new(&path)).unwrap());
    for event in queue.interrupted().unwrap() {
        let ending = Ending::Return { ran: true };
        queue
            .perform(finish(number(event.id), event.attempts, ending))
            .unwrap();
    }
    let base = u64::from(std::process::id()) << 32;
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let queue = &queue;
            scope.spawn(move || {
                for number in base + (thread << 24).. {
                    queue.perform(accept([number], "f")).unwrap();
                    say("accepted", number);
                }
            });
        }
        let queue = &queue;
        scope.spawn(move || {
            loop {
                for Claimed { event, .. } in claimed(queue.perform(claim("f", 2))) {
                    let number = number(event.id);
                    queue
                        .perform(finish(number, event.attempts, SUCCESS))
                        .unwrap();
                    say("closed", number);
                }
            }
        });
    });
}

/// Lets a child run for some acknowledgements, kills it, and adds what it acknowledged.
fn killed_child(path: &Path, accepted: &mut BTreeSet<u64>, closed: &mut BTreeSet<u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD_TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acks = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last line may be cut.
        let Some((what, Ok(number))) = line
            .split_once(' ')
            .map(|(what, number)| (what, number.parse()))
        else {
            continue;
        };
        match what {
            "accepted" => accepted.insert(number),
            "closed" => closed.insert(number),
            _ => continue,
        };
        acks += 1;
        if acks == ACKS {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acks >= ACKS, "the child ended by itself after {acks}");
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() {
    let root = tempfile::tempdir().unwrap();
    let (mut accepted, mut closed) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        killed_child(root.path(), &mut accepted, &mut closed);
        let queue = open(&DataDir::open(root.path()).unwrap());
        let mut depth = Depth::default();
        for number in &accepted {
            let (event, payload) = queue.event(id(*number)).unwrap().expect("it was accepted");
            assert_eq!(payload.is_none(), event.state == EventState::Succeeded);
            assert!(
                event.state == EventState::Succeeded || !closed.contains(number),
                "round {round}: {event:?} was closed"
            );
        }
        for event in all_events(&queue) {
            match event.state {
                EventState::Queued => depth.queued += 1,
                EventState::Running => depth.running += 1,
                _ => continue,
            }
            depth.bytes += event.bytes;
        }
        let counted = queue.depths().get("f").copied().unwrap_or_default();
        assert_eq!(counted, depth);
        assert!(depth.running <= 2, "{depth:?}");
    }
    assert!(!closed.is_empty());
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
