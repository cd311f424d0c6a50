//! Events over the end of the process: poison, pauses, two servers' worth of restarts.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::guests::{guest_with, printing};
use support::wait::pass;
use support::{Request, Site, TestHost, until};

fn accept(host: &TestHost, function: &str) -> String {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let request = Request::post(&path, "{}").header("x-amz-invocation-type", "Event");
    let response = host.control_send(&request);
    assert_eq!(response.status, 202, "{}", response.text());
    response.request_id()
}

fn event(host: &TestHost, id: &str) -> Value {
    host.control_json(&format!("/mayfly/events/{id}"))
}

/// The statuses and billed milliseconds of an event's attempts, in their order.
fn attempts(host: &TestHost, id: &str) -> Vec<(String, u64)> {
    let ledger = host.ledger();
    let mut entries: Vec<_> = ledger
        .entries
        .iter()
        .filter(|entry| entry["request_id"] == *id)
        .collect();
    entries.sort_by_key(|entry| entry["attempt"].as_u64());
    let text = |entry: &Value| entry["status"].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| (text(entry), entry["billed_ms"].as_u64().unwrap()))
        .collect()
}

#[test]
fn an_event_under_which_the_server_dies_each_time_is_given_up_after_its_attempts() {
    let site = Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "1")
        .build();
    let mut host = site.start();
    let sleep = guest_with("sleep", &[("MS", "600000")]);
    host.deploy_with("poison", "timeout = 900\n", &sleep);
    host.deploy("good", &printing("1"));
    let poison = accept(&host, "poison");
    for attempt in 1..=3 {
        until("the attempt", || {
            let event = event(&host, &poison);
            (event["state"] == "running" && event["attempts"] == attempt).then_some(())
        });
        host.kill();
        host = site.start();
    }
    let given_up = until("the end of the event", || {
        let event = event(&host, &poison);
        (event["state"] == "dead").then_some(event)
    });
    assert_eq!(given_up["attempts"], 3, "{given_up}");
    assert_eq!(given_up["condition"], "RetriesExhausted", "{given_up}");
    let crash = ("host_crash".to_owned(), 0);
    assert_eq!(
        attempts(&host, &poison),
        [crash.clone(), crash.clone(), crash]
    );
    // It did not keep others from running.
    let good = accept(&host, "good");
    until("the other event", || {
        let event = event(&host, &good);
        (event["state"] == "succeeded").then_some(())
    });
}

#[test]
fn a_server_that_was_paused_goes_on_where_it_was() {
    let host = TestHost::start();
    host.deploy("good", &printing("1"));
    let sleep = guest_with("sleep", &[("MS", "300")]);
    host.deploy_with("slow", "timeout = 2\n", &sleep);
    let ids: Vec<String> = (0..20)
        .map(|n| accept(&host, if n % 2 == 0 { "slow" } else { "good" }))
        .collect();
    host.process().signal(Signal::STOP);
    pass(Duration::from_secs(3));
    host.process().signal(Signal::CONT);
    for id in &ids {
        let event = until("the end of the event", || {
            let event = event(&host, id);
            matches!(event["state"].as_str(), Some("succeeded" | "dead")).then_some(event)
        });
        // A pause may cost an attempt its time; none runs twice at once.
        let attempts = attempts(&host, id);
        assert_eq!(
            Some(attempts.len()),
            event["attempts"]
                .as_u64()
                .map(|n| usize::try_from(n).unwrap())
        );
    }
}
