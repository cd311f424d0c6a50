//! Looking after the queue: lists, pages, redriving and purging, by API and by command line.

mod many;

use serde_json::{Value, json};
use support::guests::{guest_with, printing};
use support::http::{Request, Response};
use support::site::SiteBuilder;
use support::{Site, TestHost, until};

const NOBODY: &str = "0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f";

fn impatient() -> SiteBuilder {
    Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "1")
}

/// A server whose events wait an hour after their first failure.
fn patient() -> SiteBuilder {
    Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "3600000")
        .env("MAYFLY_QUEUE_REFUSED_MS", "3600000")
        .env("MAYFLY_QUEUE_REFUSED_MAX_MS", "3600000")
}

fn failing() -> String {
    guest_with("exit", &[("CODE", "3")])
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn post(host: &TestHost, verb: &str, body: &Value) -> Response {
    host.control_send(&Request::post(
        &format!("/mayfly/events/{verb}"),
        body.to_string(),
    ))
}

fn event(host: &TestHost, id: &str) -> Value {
    host.control_json(&format!("/mayfly/events/{id}"))
}

#[track_caller]
fn wait_state(host: &TestHost, id: &str, state: &str) -> Value {
    until(&format!("event {id} to be {state}"), || {
        let event = event(host, id);
        (event["state"] == state).then_some(event)
    })
}

#[test]
fn events_are_shown_with_what_they_carry_and_why_they_ended() {
    let host = impatient().start();
    host.deploy("good", &printing("1"));
    host.deploy("bad", &failing());
    let good = host.accepted("good", "{}");
    let bad = host.accepted("bad", r#"{"a": 1.50}"#);
    wait_state(&host, &good, "succeeded");
    let dead = wait_state(&host, &bad, "dead");
    for (member, expected) in [
        ("request_id", json!(bad)),
        ("function", json!("bad")),
        ("target", json!("bad")),
        ("attempts", json!(3)),
        ("trigger", json!("event")),
        ("bytes", json!(11)),
        ("condition", json!("RetriesExhausted")),
        ("payload", json!({"a": 1.50})),
    ] {
        assert_eq!(dead[member], expected, "{member} of {dead}");
    }
    assert_eq!(dead["error"]["code"], 200, "{dead}");
    assert!(dead["error"]["message"].is_string(), "{dead}");
    for absent in ["qualifier", "source", "due_at"] {
        assert_eq!(dead.get(absent), None, "{absent} of {dead}");
    }
    let succeeded = event(&host, &good);
    assert_eq!(succeeded.get("payload"), None, "{succeeded}");

    let listed = parsed(&host.cli(&["events", "list", "--json"]).ok());
    let ids: Vec<_> = listed.as_array().unwrap().iter().collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0]["request_id"], *bad, "newest first");
    assert_eq!(ids[0].get("payload"), None);
    for (arguments, expected) in [
        (
            &["events", "list", "--json", "--state", "succeeded"][..],
            &good,
        ),
        (&["events", "list", "--json", "-f", "bad"], &bad),
        (&["events", "list", "--json", "-n", "1"], &bad),
        (&["dlq", "list", "--json"], &bad),
    ] {
        let listed = parsed(&host.cli(arguments).ok());
        assert_eq!(
            listed.as_array().unwrap().len(),
            1,
            "{arguments:?} {listed}"
        );
        assert_eq!(listed[0]["request_id"], **expected, "{arguments:?}");
    }
    let table = host.cli(&["dlq", "list"]).ok();
    assert!(
        table.starts_with("ACCEPTED ") && table.contains(&bad),
        "{table}"
    );
    let shown = host.cli(&["dlq", "show", &bad]).ok();
    assert!(
        shown.contains("  state        dead (RetriesExhausted)\n"),
        "{shown}"
    );
    assert!(shown.ends_with("{\"a\": 1.50}\n"), "to the letter: {shown}");
    let shown = host.cli(&["events", "show", &good]).ok();
    assert!(shown.contains("2 bytes, not kept any more"), "{shown}");
    let refused = host.cli(&["dlq", "show", &good]).failed();
    assert!(
        refused.contains("is succeeded, so it is no dead letter"),
        "{refused}"
    );
}

#[test]
fn a_dead_letter_is_redriven_as_if_new_and_a_purged_event_is_gone() {
    let host = impatient().start();
    host.deploy("f", &failing());
    let id = host.accepted("f", "{}");
    wait_state(&host, &id, "dead");
    host.deploy("f", &printing("1"));
    let said = host.cli(&["dlq", "redrive", &id]);
    assert_eq!(said.stderr, "queued again: 1 event\n");
    let event = wait_state(&host, &id, "succeeded");
    assert_eq!(event["attempts"], 4, "{event}");
    assert_eq!(host.wait_attempts(&id, 4).len(), 4);

    for (verb, scope) in [("redrive", "events"), ("purge", "dlq")] {
        let refused = host.cli(&[scope, verb, &id]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("is succeeded"), "{refused:?}");
    }
    let removed = host.cli(&["events", "purge", &id]);
    assert_eq!(removed.stderr, "removed: 1 event\n");
    let gone = host.control_send(&Request::get(&format!("/mayfly/events/{id}")));
    assert_eq!(gone.status, 404, "{}", gone.text());
    let again = host.cli(&["events", "purge", &id]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again.stderr.contains(&format!("there is no event {id}")),
        "{again:?}"
    );
    // What it cost stays.
    assert_eq!(host.wait_attempts(&id, 4).len(), 4);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row for each rule")]
fn what_selects_no_events_is_told_why_and_changes_nothing() {
    let host = patient().start();
    host.deploy_with(
        "f",
        "timeout = 60\n",
        &guest_with("sleep", &[("MS", "60000")]),
    );
    host.deploy("bad", &failing());
    let waits = host.accepted("bad", "{}");
    until("an event that waits for its retry", || {
        (event(&host, &waits)["attempts"] == 1 && event(&host, &waits)["state"] == "queued")
            .then_some(())
    });
    let runs = host.accepted("f", "{}");
    wait_state(&host, &runs, "running");
    for (verb, body, status, part) in [
        ("purge", json!({}), 400, "say either the `id`"),
        (
            "purge",
            json!({"id": waits, "all": true}),
            400,
            "say either the `id`",
        ),
        (
            "purge",
            json!({"function": "bad"}),
            400,
            "say either the `id`",
        ),
        ("purge", json!({"id": "x"}), 400, "`x` is no request id"),
        (
            "purge",
            json!({"all": true, "states": []}),
            400,
            "`states` must be",
        ),
        (
            "purge",
            json!({"all": true, "states": ["running"]}),
            400,
            "`states` must be",
        ),
        (
            "redrive",
            json!({"all": true, "states": ["queued"]}),
            400,
            "one or more of dead, exp",
        ),
        (
            "redrive",
            json!({"all": true, "state": "dead"}),
            400,
            "unknown field `state`",
        ),
        ("redrive", json!([]), 400, "an object"),
        ("redrive", json!({"id": NOBODY}), 404, "there is no event"),
        ("purge", json!({"id": NOBODY}), 404, "there is no event"),
        (
            "redrive",
            json!({"id": waits}),
            409,
            "is queued; only events that are dead or expired can",
        ),
        (
            "purge",
            json!({"id": runs}),
            409,
            "is running; only events that are queued or ",
        ),
    ] {
        let answer = post(&host, verb, &body);
        assert_eq!(answer.status, status, "{verb} {body}: {}", answer.text());
        assert!(
            answer.text().contains(part),
            "{verb} {body}: {}",
            answer.text()
        );
    }
    for arguments in [
        &["events", "purge"][..],
        &["events", "purge", "--state", "dead"],
        &["events", "purge", "x"],
        &["events", "list", "--state", "done"],
        &["dlq", "list", "--state", "queued"],
        &["dlq", "purge", "--all", "--state", "running"],
        &["events", "redrive", "--all", "--state", "queued"],
        &["dlq", "redrive", "--all", "--state", "succeeded"],
        &["events", "purge", "--all", "--state", "running"],
        &["events", "list", "-n", "abc"],
        &["events", "list", "-n", "-1"],
        &["billing", "summary", "--since", "-1d"],
        &["invoke", "f", "-d", "{"],
        &["invoke", "a b", "-d", "{}"],
        &["delete", "f"],
        &["schedules", "show", ""],
        &["events", "send", "f", "-d", "not json"],
    ] {
        let refused = host.cli(arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?} {refused:?}");
        for foreign in [
            "invalid digit",
            "invalid length",
            "unexpected argument",
            "expected ident",
        ] {
            assert!(!refused.stderr.contains(foreign), "{refused:?}");
        }
        assert!(!refused.stderr.is_empty());
    }
    let missing = host.control_send(&Request::get(&format!("/mayfly/events/{NOBODY}")));
    assert_eq!(missing.status, 404);
    let none = host.control_send(&Request::get("/mayfly/events/f"));
    assert_eq!(none.status, 400, "{}", none.text());
    assert_eq!(event(&host, &waits)["state"], "queued");
    assert_eq!(event(&host, &runs)["state"], "running");

    // What waits goes only when it is named, and what runs stays.
    let said = host.cli(&["events", "purge", "--all"]);
    assert_eq!(said.stderr, "removed: 0 events\n");
    let answer = post(&host, "purge", &json!({"all": true}));
    assert_eq!(answer.json(), json!({"changed": 0}));
    assert_eq!(event(&host, &waits)["state"], "queued");
    let said = host.cli(&["events", "purge", "--all", "--function", "nope"]);
    assert_eq!(
        said.stderr,
        "removed: 0 events\nthere is no function `nope`\n"
    );
    for arguments in [
        &["events", "list", "-f", "nope"][..],
        &["queues", "-f", "nope"],
        &["billing", "-f", "nope"],
        &["schedules", "list", "-f", "nope"],
    ] {
        let said = host.cli(arguments);
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(0), "there is no function `nope`\n"),
            "{arguments:?}"
        );
    }
    let said = host.cli(&["events", "purge", "--all", "--state", "queued"]);
    assert_eq!(said.stderr, "removed: 1 event\n");
    assert_eq!(event(&host, &runs)["state"], "running");
    host.kill();
}

#[test]
fn queues_show_what_waits_and_one_that_is_full_takes_nothing_more() {
    let host = patient().env("MAYFLY_QUEUE_EVENTS_MAX", "2").start();
    host.deploy("bad", &failing());
    host.deploy("good", &printing("1"));
    assert_eq!(host.control_json("/mayfly/queues"), json!({"queues": []}));
    assert_eq!(host.cli(&["queues"]).ok(), "nothing waits\n");
    let first = host.accepted("bad", "{}");
    let second = host.accepted("bad", r#"{"a":1}"#);
    for id in [&first, &second] {
        until("its first failure", || {
            let event = event(&host, id);
            (event["attempts"] == 1 && event["state"] == "queued").then_some(())
        });
    }
    let queues = parsed(&host.cli(&["queues", "--json"]).ok());
    assert_eq!(queues.as_array().unwrap().len(), 1);
    let queue = &queues[0];
    for (member, expected) in [
        ("queue", json!("bad")),
        ("function", json!("bad")),
        ("queued", json!(2)),
        ("running", json!(0)),
        ("bytes", json!(9)),
        (
            "oldest_accepted_at",
            event(&host, &first)["accepted_at"].clone(),
        ),
    ] {
        assert_eq!(queue[member], expected, "{member} of {queue}");
    }
    assert_eq!(queue["quota"]["events"], 2);
    assert!(queue["age_s"].is_u64(), "{queue}");
    let table = host.cli(&["queues"]).ok();
    assert!(
        table.starts_with("QUEUE ") && table.contains("\nbad "),
        "{table}"
    );
    let none = host.control_json("/mayfly/queues?function=good");
    assert_eq!(none["queues"][0]["queued"], 0, "{none}");

    let event_of = |function: &str| {
        let request = Request::post(&format!("/mayfly/events/{function}"), "{}");
        let headers = [
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-specversion", "1.0"),
        ];
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        host.control_send(&request)
    };
    let full = event_of("bad");
    assert_eq!(full.status, 429, "{}", full.text());
    assert!(
        full.text().contains("the queue of `bad` is full"),
        "{}",
        full.text()
    );
    assert_eq!(
        event_of("good").status,
        202,
        "another function's queue is not"
    );
    let listed = host.control_json("/mayfly/events?function=bad");
    assert_eq!(listed["events"].as_array().unwrap().len(), 2);
}
