//! Functions that fail, take too long, are called too often, or whose clients leave.

use std::thread;

use serde_json::json;
use support::guests::{guest, guest_with, printing, speaking};
use support::http::{Connection, send};
use support::wait::Stopwatch;
use support::{Request, Site, TestHost, report, until};

#[test]
fn a_timeout_is_504_and_billed_for_the_timeout() {
    let host = TestHost::start();
    host.deploy_with("f", "timeout = 0.3\n", &guest("loop"));
    let watch = Stopwatch::start();
    let response = host.get("/f");
    report(
        "answer to a timeout of 300 ms, ms",
        watch.elapsed().as_millis(),
    );
    assert_eq!(response.status, 504);
    let id = response.request_id();
    assert_eq!(
        response.json(),
        json!({"message": "Endpoint request timed out", "requestId": id})
    );
    let record = host.record(&id);
    assert_eq!(
        (&record["status"], &record["error_type"]),
        (&json!("timeout"), &json!("Sandbox.Timedout"))
    );
    let log = host.log_of("f", &id);
    let billed = record["billed_ms"].as_u64().unwrap();
    assert!((300..2_000).contains(&billed), "{record}");
    assert!(
        log.iter()
            .any(|line| line.ends_with(&format!("{id} Task timed out after 0.30 seconds"))),
        "{log:?}"
    );
    assert!(
        log.last().unwrap().ends_with("\tStatus: timeout"),
        "{log:?}"
    );
    assert!(
        log.last().unwrap().contains("\tDuration: 300.00 ms\t"),
        "{log:?}"
    );
}

#[test]
fn a_failure_is_502_with_a_request_id_and_without_internals() {
    let host = TestHost::start();
    host.deploy("f", &guest_with("trap", &[("CODE", "(unreachable)")]));
    let response = host.get("/f");
    assert_eq!(response.status, 502);
    let id = response.request_id();
    assert_eq!(
        response.json(),
        json!({"message": "Internal Server Error", "requestId": id})
    );
    let log = host.log_of("f", &id);
    assert!(
        log.last()
            .unwrap()
            .ends_with("\tStatus: error\tError Type: Runtime.ExitError"),
        "{log:?}"
    );
}

#[test]
fn what_a_command_prints_when_it_fails_is_its_error() {
    let host = TestHost::start();
    host.deploy(
        "said",
        &speaking(
            "{\"errorType\":\"Late\",\"errorMessage\":\"too late\"}",
            "",
            3,
        ),
    );
    host.deploy("silent", &speaking("some text", "", 3));
    let said = host.invoke("said", "{}");
    assert_eq!(said.header("x-amz-function-error"), Some("Unhandled"));
    assert_eq!(
        said.json(),
        json!({"errorType": "Late", "errorMessage": "too late"})
    );
    let silent = host.invoke("silent", "{}");
    let id = silent.request_id();
    assert_eq!(
        silent.json(),
        json!({"errorType": "Runtime.ExitError",
               "errorMessage": format!("RequestId: {id} Error: Runtime exited with error: exit status 3")})
    );
}

#[test]
fn a_function_beyond_its_concurrency_is_throttled_and_recorded_nowhere() {
    let host = TestHost::start();
    host.deploy_with(
        "f",
        "concurrency = 1\ntimeout = 20\n",
        &guest_with("sleep", &[("MS", "3000")]),
    );
    host.deploy("other", &printing("1"));
    let address = host.http();
    let running = thread::spawn(move || send(address, &Request::get("/f")).unwrap());
    until("the first one to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });

    let throttled = host.get("/f");
    assert_eq!(throttled.status, 429);
    assert_eq!(throttled.header("retry-after"), Some("1"));
    assert_eq!(
        throttled.json()["requestId"],
        throttled.request_id().as_str()
    );
    let invoked = host.invoke("f", "{}");
    assert_eq!(invoked.status, 429);
    assert_eq!(
        invoked.header("x-amzn-errortype"),
        Some("TooManyRequestsException")
    );
    assert_eq!(
        invoked.json()["Reason"],
        "ReservedFunctionConcurrentInvocationLimitExceeded"
    );
    assert_eq!(host.get("/other").status, 200);
    assert_eq!(running.join().unwrap().status, 200);
    assert_eq!(
        host.metric("mayfly_throttled_total", &["function=\"f\""]),
        2
    );
    assert_eq!(host.ledger().entries.len(), 2, "one of f, one of other");

    host.manifest("f", "concurrency = 0\n");
    host.wait_function("f", |f| f["concurrency"] == 0);
    assert_eq!(host.get("/f").status, 429);
}

#[test]
fn the_process_has_a_limit_of_its_own() {
    let host = Site::builder()
        .env("MAYFLY_SANDBOX_CONCURRENCY_MAX", "2")
        .start();
    host.deploy_with(
        "f",
        "timeout = 20\n",
        &guest_with("sleep", &[("MS", "3000")]),
    );
    let address = host.http();
    let running: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || send(address, &Request::get("/f")).unwrap()))
        .collect();
    until("two to run", || {
        (host.metric("mayfly_running", &[]) == 2).then_some(())
    });
    assert_eq!(host.get("/f").status, 429);
    assert_eq!(
        host.invoke("f", "{}").json()["Reason"],
        "ConcurrentInvocationLimitExceeded"
    );
    for running in running {
        assert_eq!(running.join().unwrap().status, 200);
    }
    assert_eq!(
        host.metric("mayfly_refused_total", &["limit=\"concurrency\""]),
        2
    );
}

#[test]
fn a_crowd_gets_exactly_as_many_places_as_there_are() {
    let host = TestHost::start();
    host.deploy_with(
        "f",
        "concurrency = 5\ntimeout = 20\n",
        &guest_with("sleep", &[("MS", "4000")]),
    );
    let address = host.http();
    let crowd: Vec<_> = (0..40)
        .map(|_| thread::spawn(move || send(address, &Request::get("/f")).unwrap().status))
        .collect();
    let statuses: Vec<u16> = crowd
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        5,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        35,
        "{statuses:?}"
    );
    assert_eq!(host.ledger().entries.len(), 5);
}

#[test]
fn a_client_that_leaves_ends_its_invocation_which_is_recorded() {
    let host = TestHost::start();
    host.deploy_with(
        "waits",
        "concurrency = 1\ntimeout = 60\n",
        &guest_with("sleep", &[("MS", "50000")]),
    );
    host.deploy_with("spins", "concurrency = 1\ntimeout = 60\n", &guest("loop"));
    for name in ["waits", "spins"] {
        let mut connection = Connection::open(host.http()).unwrap();
        connection
            .start(&Request::get(&format!("/{name}")))
            .unwrap();
        until("it to run", || {
            (host.metric("mayfly_running", &[]) == 1).then_some(())
        });
        assert_eq!(host.get(&format!("/{name}")).status, 429);
        drop(connection);
        let record = until(&format!("a record of {name}"), || {
            host.ledger()
                .entries
                .iter()
                .find(|entry| entry["function"] == name)
                .cloned()
        });
        assert_eq!(record["status"], "cancelled", "{record}");
        assert!(
            record["billed_ms"].as_u64().is_some_and(|ms| ms > 0),
            "{record}"
        );
        host.wait_idle();
    }
    host.manifest("waits", "concurrency = 1\ntimeout = 0.05\n");
    host.wait_function("waits", |f| f["timeout_ms"] == 50);
    assert_eq!(host.get("/waits").status, 504, "the place is free again");
}

#[test]
fn clients_that_leave_at_any_moment_leave_one_record_each() {
    let host = TestHost::start();
    host.deploy_with("f", "timeout = 60\n", &guest_with("sleep", &[("MS", "20")]));
    let count = support::count(200, 10_000);
    for number in 0..count {
        let mut connection = Connection::open(host.http()).unwrap();
        connection.start(&Request::get("/f")).unwrap();
        support::wait::pass(std::time::Duration::from_micros(
            u64::try_from(number % 40).unwrap() * 1_000,
        ));
        drop(connection);
    }
    host.wait_idle();
    let ledger = host.ledger();
    assert!(ledger.entries.len() <= count);
    for entry in &ledger.entries {
        assert!(
            ["cancelled", "success"].contains(&entry["status"].as_str().unwrap()),
            "{entry}"
        );
    }
    let counted = host.metric("mayfly_invocations_total", &["function=\"f\""]);
    let started = usize::try_from(counted).unwrap();
    assert_eq!(started, ledger.entries.len());
    report("clients that left, records", format!("{count}, {started}"));
    assert_eq!(host.get("/f").status, 200);
}

#[test]
fn a_budget_for_memory_refuses_the_next_one_and_stops_nobody() {
    let host = Site::builder()
        .env("MAYFLY_SANDBOX_MEMORY_BUDGET_MB", "32")
        .announce("memory budget")
        .start();
    let wat = guest_with("sleep", &[("MS", "3000")]).replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 400)",
    );
    host.deploy_with("large", "timeout = 20\n", &wat);
    let address = host.http();
    let running = thread::spawn(move || send(address, &Request::get("/large")).unwrap());
    until("it to run", || {
        (host.metric("mayfly_sandbox_memory_bytes", &[]) > 20 << 20).then_some(())
    });
    let refused = host.get("/large");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(running.join().unwrap().status, 200);
    host.wait_idle();
    assert_eq!(host.get("/large").status, 200);
}
