//! Events that wait: accepted, run, tried again, given up; and what becomes of them when the server stops.

use std::fs;
use std::thread;

use serde_json::json;
use support::guests::{guest_with, printing};
use support::http::{Request, send};
use support::lambda::FUNCTIONS;
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
    // It was taken in, claimed and closed, one after the other.
    let commits = host.metric("mayfly_queue_commits_total", &[]);
    assert!(commits >= 3, "{commits}");
    assert!(host.metric("mayfly_queue_operations_total", &[]) >= commits);
    assert!(host.metric("mayfly_queue_batch_max", &[]) >= 1);

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

#[test]
fn a_function_that_fails_twice_and_then_succeeds_has_three_records_of_one_event() {
    let data = tempfile::tempdir().unwrap();
    let patient = Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "3600000")
        .data(data.path())
        .build();
    let host = patient.start();
    host.deploy("f", &failing());
    let id = host.accepted("f", "{}");
    let twice = attempts(&[(1, "error"), (2, "error")]);
    assert_eq!(host.wait_attempts(&id, 2), twice);
    host.stop();

    // No event waits longer than the settings say, those of an earlier start included.
    let impatient = impatient().data(data.path()).build();
    for (from, to) in [
        (patient.credentials(), impatient.credentials()),
        (patient.key_file(), impatient.key_file()),
    ] {
        fs::copy(from, to).unwrap();
    }
    impatient.drop_wat("f", &printing("1"));
    let host = impatient.start();
    assert_eq!(
        host.wait_attempts(&id, 3),
        attempts(&[(1, "error"), (2, "error"), (3, "success")])
    );
    host.wait_ended("succeeded", 1);
}

#[test]
fn an_event_that_has_to_wait_for_its_function_uses_up_no_attempt() {
    let host = impatient().start();
    host.deploy_with("f", "timeout = 60\nconcurrency = 1\n", &sleeping("2000"));
    let http = host.http();
    let busy = thread::spawn(move || send(http, &Request::get("/f")).unwrap());
    until("the function to be busy", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });
    let id = host.accepted("f", "{}");
    assert_eq!(busy.join().unwrap().status, 200);
    assert_eq!(host.wait_attempts(&id, 1), attempts(&[(1, "success")]));
    host.wait_ended("succeeded", 1);
}

#[test]
fn what_can_never_run_is_dead_at_once() {
    let host = impatient().start();
    host.create("zero", &printing("1"));
    let target = "/2017-10-31/functions/zero/concurrency";
    let none = json!({ "ReservedConcurrentExecutions": 0 });
    let _set = host.lambda_ok("PUT", target, &none, 200);
    let zero = host.accepted("zero", "{}");
    host.wait_ended("dead", 1);
    assert_eq!(host.attempts(&zero), Vec::<serde_json::Value>::new());

    host.create("once", &failing());
    let target = "/2019-09-25/functions/once/event-invoke-config";
    let once = json!({ "MaximumRetryAttempts": 0 });
    let _set = host.lambda_ok("PUT", target, &once, 200);
    let id = host.accepted("once", "{}");
    host.wait_ended("dead", 2);
    assert_eq!(host.wait_attempts(&id, 1), attempts(&[(1, "error")]));
}

#[test]
fn events_of_a_function_that_goes_are_dead() {
    let host = impatient().start();
    host.create("busy", &sleeping("2000"));
    let target = "/2017-10-31/functions/busy/concurrency";
    let one = json!({ "ReservedConcurrentExecutions": 1 });
    let _set = host.lambda_ok("PUT", target, &one, 200);
    let first = host.accepted("busy", "{}");
    until("the first event to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });
    let second = host.accepted("busy", "{}");
    let target = format!("{FUNCTIONS}/busy");
    let _set = host.lambda_ok("DELETE", &target, &json!(null), 204);
    host.wait_ended("dead", 1);
    host.wait_ended("succeeded", 1);
    assert_eq!(host.wait_attempts(&first, 1), attempts(&[(1, "success")]));
    assert_eq!(host.attempts(&second).len(), 0);
}

#[test]
fn what_is_not_accepted_is_not_there() {
    let host = Site::builder().env("MAYFLY_QUEUE_EVENTS_MAX", "1").start();
    host.create("f", &sleeping("1000"));
    let refused = |name: &str, event: String, status: u16, code: &str| {
        let response = host.invoke_async(name, event);
        let found = (response.status, response.header("x-amzn-errortype"));
        assert_eq!(found, (status, Some(code)), "{}", response.text());
        response
    };
    refused("absent", "{}".to_owned(), 404, "ResourceNotFoundException");
    refused("f:9", "{}".to_owned(), 404, "ResourceNotFoundException");
    refused("f", "{a".to_owned(), 400, "InvalidRequestContentException");
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let response = refused("f", large, 413, "RequestEntityTooLargeException");
    let said =
        "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)";
    assert!(response.text().contains(said), "{}", response.text());
    assert_eq!(host.metric("mayfly_events_accepted_total", &[]), 0);

    let largest = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let id = host.accepted("f", largest);
    let full = refused("f", "{}".to_owned(), 429, "TooManyRequestsException");
    assert!(
        full.text().contains("the queue of `f` is full"),
        "{}",
        full.text()
    );
    assert_eq!(full.header("retry-after"), Some("1"));
    assert_eq!(
        host.metric("mayfly_queue_running", &["target=\"f\""])
            + host.metric("mayfly_queue_queued", &["target=\"f\""]),
        1
    );
    host.wait_ended("succeeded", 1);
    assert_eq!(host.wait_attempts(&id, 1), attempts(&[(1, "success")]));
    let _again = host.accepted("f", "{}");
    host.wait_ended("succeeded", 2);
}

#[test]
fn a_stop_waits_for_what_runs_and_leaves_the_rest_for_the_next_start() {
    let site = impatient().build();
    let host = site.start();
    host.deploy_with("f", "timeout = 60\nconcurrency = 1\n", &sleeping("2000"));
    let first = host.accepted("f", "{}");
    until("the first event to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });
    let second = host.accepted("f", "{}");
    host.terminate();
    let refused = until("a refusal", || {
        let response = host.invoke_async("f", "{}");
        (response.status == 503).then_some(response)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    let said = &refused.json()["Message"];
    assert!(
        said.as_str()
            .unwrap()
            .ends_with(": the server is stopping."),
        "{said}"
    );
    host.wait_end();

    let host = site.start();
    let line = host.process().stdout.wait_for("event waits in");
    assert_eq!(line, "1 event waits in 1 queue");
    assert_eq!(host.wait_attempts(&second, 1), attempts(&[(1, "success")]));
    assert_eq!(host.wait_attempts(&first, 1), attempts(&[(1, "success")]));
}

#[test]
fn an_attempt_that_a_stop_cuts_is_free_and_its_event_runs_at_the_next_start() {
    for twice in [false, true] {
        let timeout_ms = if twice { "60000" } else { "100" };
        let site = impatient()
            .env("MAYFLY_DRAIN_TIMEOUT_MS", timeout_ms)
            .build();
        let host = site.start();
        host.deploy_with("f", "timeout = 900\n", &sleeping("600000"));
        let id = host.accepted("f", "{}");
        until("the event to run", || {
            (host.metric("mayfly_running", &[]) == 1).then_some(())
        });
        host.terminate();
        if twice {
            let _draining = host.process().stdout.wait_for("draining");
            host.terminate();
        }
        host.wait_end();

        site.drop_wat("f", &printing("1"));
        let host = site.start();
        assert_eq!(
            host.wait_attempts(&id, 2),
            attempts(&[(1, "host_error"), (2, "success")])
        );
        assert_eq!(host.attempts(&id)[0]["billed_ms"], 0);
        host.wait_ended("succeeded", 1);
    }
}
