//! Events that wait: accepted, run, tried again, given up; and what becomes of them when the server stops.

use serde_json::json;
use support::guests::{guest_with, printing};
use support::http::Request;
use support::site::SiteBuilder;
use support::{Site, TestHost, until};

/// A server that does not wait long before it tries again.
fn impatient() -> SiteBuilder {
    Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_REFUSED_MS", "1")
        .env("MAYFLY_QUEUE_REFUSED_MAX_MS", "20")
}

fn failing() -> String {
    guest_with("exit", &[("CODE", "3")])
}

fn sleeping(ms: &str) -> String {
    guest_with("sleep", &[("MS", ms)])
}

fn attempts(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    let owned = |(attempt, status): &(u64, &str)| (*attempt, (*status).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn an_event_is_accepted_and_runs_under_the_id_of_its_request() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let id = host.accepted("f", r#"{"a": 1}"#);
    assert_eq!(host.wait_attempts(&id, 1), attempts(&[(1, "success")]));
    let record = host.record(&id);
    assert_eq!(
        (&record["trigger"], &record["function"]),
        (&json!("event"), &json!("f"))
    );
    let log = host.log_of("f", &id);
    assert!(
        log[0].starts_with(&format!("START RequestId: {id} ")),
        "{log:?}"
    );
    host.wait_ended("succeeded", 1);
    assert_eq!(host.metric("mayfly_events_accepted_total", &[]), 1);

    // What Event was called before there was Invoke.
    let old = host.control_send(&Request::post("/2014-11-13/functions/f/invoke-async", "{}"));
    assert_eq!((old.status, old.body.len()), (202, 0), "{}", old.text());
    host.wait_ended("succeeded", 2);
    let printed = host.cli(&["invoke", "f", "--async", "-d", "{}"]).ok();
    let id = printed.trim_end();
    assert_eq!(host.wait_attempts(id, 1), attempts(&[(1, "success")]));
}

#[test]
fn a_function_that_always_fails_is_tried_three_times_and_the_event_is_dead() {
    let host = impatient().start();
    host.deploy("f", &failing());
    let id = host.accepted("f", "{}");
    host.wait_ended("dead", 1);
    assert_eq!(
        host.wait_attempts(&id, 3),
        attempts(&[(1, "error"), (2, "error"), (3, "error")])
    );
    for record in host.attempts(&id) {
        assert!(record["billed_ms"].as_u64().unwrap() > 0, "{record}");
    }
    let retries = host.metric("mayfly_events_queued_again_total", &["why=\"retry\""]);
    assert_eq!(retries, 2);
}

#[test]
fn kill_while_an_event_runs_and_the_attempt_is_free_and_the_next_one_runs() {
    let site = impatient().build();
    let host = site.start();
    host.deploy("f", &sleeping("60000"));
    host.manifest("f", "timeout = 900\n");
    host.wait_function("f", |function| function["timeout_ms"] == 900_000);
    let id = host.accepted("f", "{}");
    until("the attempt to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });
    host.kill();

    site.drop_wat("f", &printing("1"));
    let host = site.start();
    assert_eq!(
        host.wait_attempts(&id, 2),
        attempts(&[(1, "host_crash"), (2, "success")])
    );
    let crashed = &host.attempts(&id)[0];
    assert_eq!(
        (&crashed["billed_ms"], &crashed["charge_picousd"]),
        (&json!(0), &json!(0))
    );
    host.wait_ended("succeeded", 1);
}
