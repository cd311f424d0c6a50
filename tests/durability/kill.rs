//! SIGKILL under load: what was answered is recorded, and what was published is served.

use std::collections::HashSet;
use std::time::Duration;

use support::guests::{guest_with, printing, speaking};
use support::load::{Load, Shot};
use support::wait::{Stopwatch, pass};
use support::{Request, Site, count, report};

/// Clients at once.
const THREADS: usize = 6;

/// The request ids of all complete answers: the client's own journal.
fn answered(shots: &[Shot]) -> HashSet<String> {
    let complete = shots.iter().filter_map(|shot| shot.answer.as_ref().ok());
    complete
        .filter(|response| matches!(response.status, 200 | 502 | 504))
        .map(support::Response::request_id)
        .collect()
}

#[test]
fn a_killed_server_loses_no_record_of_an_answered_request() {
    let site = Site::new();
    let mut journal: HashSet<String> = HashSet::new();
    let mut last = Vec::new();
    let rounds = count(5, 1_000);
    let mut slowest_start = Duration::ZERO;
    for round in 0..rounds {
        let watch = Stopwatch::start();
        let host = site.start();
        slowest_start = slowest_start.max(watch.elapsed());
        if round == 0 {
            host.deploy("good", &printing("1"));
            host.deploy("bad", &speaking("{\"errorMessage\":\"no\"}", "a line\n", 1));
            let wat = guest_with("sleep", &[("MS", "60000")]);
            host.deploy_with("late", "timeout = 0.02\n", &wat);
        }
        // No more than this were sent, so no older record is among them.
        let recorded = host.newest_records(last.len() + THREADS);
        let answered = answered(&last);
        let lost: Vec<_> = answered.difference(&recorded).collect();
        assert!(
            lost.is_empty(),
            "round {round}: answered and not recorded: {lost:?}"
        );
        journal.extend(answered);

        let requests = ["/good", "/good", "/good", "/bad", "/late"].map(Request::get);
        let load = Load::start(host.http(), &requests, THREADS, None);
        // The moment of the kill differs from round to round.
        load.wait_answers(100 + round * 37 % 300);
        host.kill();
        last = load.stop();
    }
    journal.extend(answered(&last));
    let host = site.start();
    let recorded = host.ledger().request_ids();
    let lost = journal.difference(&recorded).count();
    assert_eq!(lost, 0, "answered and not recorded");
    report(
        "kills, answered requests, records, answered and not recorded",
        format!("{rounds}, {}, {}, {lost}", journal.len(), recorded.len()),
    );
    report("slowest start after a kill, ms", slowest_start.as_millis());
    assert_eq!(host.get("/good").status, 200);
    assert_eq!(host.function("late").unwrap()["timeout_ms"], 20);
}

#[test]
fn a_server_that_is_killed_while_it_publishes_serves_the_old_version_or_the_new_one() {
    let site = Site::new();
    let mut host = site.start();
    host.deploy("f", &printing("0"));
    let (mut old, mut new) = (0, 0);
    for round in 1..=count(12, 200) {
        let before = host.get("/f").text();
        let wat = printing(round.to_string());
        if round % 2 == 0 {
            host.rename_wat("f", &wat);
        } else {
            host.drop_wat("f", &wat);
        }
        // From at once to after the swap.
        pass(Duration::from_millis(
            u64::try_from(round * 3 % 37).unwrap(),
        ));
        let seen = host.get("/f").text();
        host.kill();
        // What lies in the folder now is of no use: only what was published can answer.
        site.drop_file("f.wasm", b"no module");

        host = site.start();
        let answer = host.get("/f");
        assert_eq!(answer.status, 200, "round {round}");
        let text = answer.text();
        if text == round.to_string() {
            new += 1;
        } else {
            assert_eq!(text, before, "round {round}");
            assert_eq!(
                seen, before,
                "round {round}: a version that had answered is gone"
            );
            old += 1;
        }
    }
    report(
        "kills while publishing, old version after it, new version after it",
        format!("{}, {old}, {new}", old + new),
    );
}

#[test]
fn a_function_that_is_removed_while_nobody_serves_stays_removed() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    host.delete("f.wasm");
    host.wait_gone("f");
    host.kill();
    let host = site.start();
    assert_eq!(host.get("/f").status, 404);
}
