//! Two servers on one data directory: there is never more than one.

use std::thread;

use support::guests::printing;
use support::load::Load;
use support::{Request, Site};

#[test]
fn a_second_server_never_starts_while_the_first_one_serves() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    let load = Load::start(host.http(), &[Request::get("/f")], 2, Some(100));
    for _ in 0..3 {
        let refused = site.try_start().unwrap_err();
        assert!(refused.contains("is in use by process"), "{refused}");
    }
    load.wait_answers(20);
    let shots = load.stop();
    assert!(shots.iter().all(|shot| shot.status() == 200));
    let records = host.ledger().entries.len();
    assert_eq!(records, shots.len());
    host.kill();
    // The lock goes with the process, not with its file.
    let host = site.start();
    assert_eq!(host.ledger().entries.len(), records);
}

#[test]
fn of_servers_that_start_at_the_same_moment_one_serves() {
    let site = Site::new();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let site = site.clone();
            thread::spawn(move || site.try_start())
        })
        .collect();
    let started: Vec<_> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    let serving = started.iter().filter(|start| start.is_ok()).count();
    assert_eq!(serving, 1, "{started:?}");
}
