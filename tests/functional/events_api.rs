//! Looking after the queue: lists, pages, redriving and purging, by API and by command line.

use std::collections::HashSet;

use serde_json::{Value, json};
use support::guests::{guest_with, printing};
use support::http::{Request, Response};
use support::identity::statement;
use support::lambda::arn;
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

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn post(host: &TestHost, verb: &str, body: &Value) -> Response {
    host.control_send(&Request::post(
        &format!("/mayfly/events/{verb}"),
        body.to_string(),
    ))
}

#[track_caller]
fn changed(host: &TestHost, verb: &str, body: &Value) -> u64 {
    let answer = post(host, verb, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["changed"].as_u64().unwrap()
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

/// The request ids of events that are dead at once: nothing of their function may run.
fn dead_at_once(host: &TestHost, function: &str, count: usize) -> HashSet<String> {
    let one = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
    let batch = Value::Array(vec![one; count]).to_string();
    let request = Request::post(&format!("/mayfly/events/{function}"), batch)
        .header("content-type", "application/cloudevents-batch+json");
    let taken = host.control_send(&request);
    assert_eq!(taken.status, 202, "{}", taken.text());
    let events = taken.json();
    let ids = events["events"].as_array().unwrap().iter();
    let ids: HashSet<_> = ids
        .map(|event| event["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), count);
    until("all to be dead", || {
        let queues = host.control_json(&format!("/mayfly/queues?function={function}"));
        let queue = &queues["queues"][0];
        (queue["queued"] == 0 && queue["running"] == 0).then_some(())
    });
    ids
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

    let listed = json(&host.cli(&["events", "list", "--json"]).ok());
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
        let listed = json(&host.cli(arguments).ok());
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
fn many_events_come_in_pages_and_are_changed_in_steps() {
    let host = TestHost::start();
    host.deploy_with("f", "concurrency = 0\n", &printing("1"));
    host.deploy_with("g", "concurrency = 0\n", &printing("1"));
    let mut ids = dead_at_once(&host, "f", 1_000);
    ids.extend(dead_at_once(&host, "f", 234));
    let others = dead_at_once(&host, "g", 3);

    let mut seen = HashSet::new();
    let mut target = "/mayfly/events?function=f&state=dead&limit=500".to_owned();
    let mut pages = 0;
    loop {
        let page = host.control_json(&target);
        for event in page["events"].as_array().unwrap() {
            assert!(seen.insert(event["request_id"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        let Some(next) = page["next"].as_str() else {
            break;
        };
        target = format!("/mayfly/events?function=f&state=dead&limit=500&next={next}");
    }
    assert_eq!((pages, seen == ids), (3, true));
    let listed = json(&host.cli(&["dlq", "list", "-n", "2000", "--json"]).ok());
    assert_eq!(listed.as_array().unwrap().len(), 1_237);
    let listed = json(&host.cli(&["events", "list", "-n", "1100", "--json"]).ok());
    assert_eq!(listed.as_array().unwrap().len(), 1_100);

    let all_of_f = json!({"function": "f", "states": ["dead", "expired"], "all": true});
    assert_eq!(changed(&host, "purge", &all_of_f), 1_234);
    assert_eq!(changed(&host, "purge", &all_of_f), 0);
    let left = host.control_json("/mayfly/events?limit=1000");
    let left: HashSet<_> = left["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, others);
    host.deploy_with("g", "", &printing("2"));
    host.wait_function("g", |function| function["concurrency"].is_null());
    let said = host.cli(&["events", "redrive", "--all"]);
    assert_eq!(said.stderr, "queued again: 3 events\n");
    host.wait_ended("succeeded", 3);
}

#[test]
fn a_forged_or_foreign_place_in_a_list_is_refused() {
    let host = TestHost::start();
    host.deploy_with("f", "concurrency = 0\n", &printing("1"));
    let _ids = dead_at_once(&host, "f", 3);
    let page = host.control_json("/mayfly/events?limit=1");
    let next = page["next"].as_str().unwrap();
    let forged = format!("{}A", &next[..next.len() - 1]);
    let forged = if forged == next {
        format!("{}B", &next[..next.len() - 1])
    } else {
        forged
    };
    for (query, part) in [
        (format!("limit=1&next={forged}"), "`next` is not one"),
        (
            format!("limit=1&function=f&next={next}"),
            "`next` is not one",
        ),
        (
            format!("limit=1&state=dead&next={next}"),
            "`next` is not one",
        ),
        ("next=".to_owned(), "`next` is not one"),
        ("next=7".to_owned(), "`next` is not one"),
        ("limit=0".to_owned(), "`limit` is `0`"),
        ("limit=1001".to_owned(), "`limit` is `1001`"),
        ("state=done".to_owned(), "`done` is no state of events"),
        ("function=a.b".to_owned(), "`function`: "),
        ("functions=f".to_owned(), "`functions` is not one of: "),
    ] {
        let answer = host.control_send(&Request::get(&format!("/mayfly/events?{query}")));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.text().contains(part), "{query}: {}", answer.text());
    }
    let whole = host.control_send(&Request::get(&format!(
        "/mayfly/events?limit=1&next={next}"
    )));
    assert_eq!(whole.status, 200);
    // A restart makes it stale.
    let site = host.site().clone();
    let target = format!("/mayfly/events?limit=1&next={next}");
    host.stop();
    let host = site.start();
    let stale = host.control_send(&Request::get(&target));
    assert_eq!(stale.status, 400, "{}", stale.text());
}

#[test]
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
            json!({"all": true}),
            400,
            "`states` must be one or more of queued, succ",
        ),
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
            "is queued; only events that are dead, expired",
        ),
        (
            "purge",
            json!({"id": runs}),
            409,
            "is running; only events that are queued, ",
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
    ] {
        let refused = host.cli(arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?} {refused:?}");
        assert!(!refused.stderr.is_empty());
    }
    let missing = host.control_send(&Request::get(&format!("/mayfly/events/{NOBODY}")));
    assert_eq!(missing.status, 404);
    let none = host.control_send(&Request::get("/mayfly/events/f"));
    assert_eq!(none.status, 400, "{}", none.text());
    assert_eq!(event(&host, &waits)["state"], "queued");
    assert_eq!(event(&host, &runs)["state"], "running");

    // All that waits goes, and what runs stays.
    let said = host.cli(&["events", "purge", "--all"]);
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
    let queues = json(&host.cli(&["queues", "--json"]).ok());
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

#[test]
fn who_may_see_one_function_sees_its_events_and_no_others() {
    let host = TestHost::start();
    for name in ["a", "b"] {
        host.deploy_with(name, "concurrency = 0\n", &printing("1"));
    }
    let of_a = dead_at_once(&host, "a", 1).into_iter().next().unwrap();
    let of_b = dead_at_once(&host, "b", 1).into_iter().next().unwrap();
    let carol = host.user("carol");
    let actions = json!([
        "mayfly:ListEvents",
        "mayfly:GetEvent",
        "mayfly:PurgeEvents",
        "mayfly:ListQueues"
    ]);
    host.put_policy(
        "carol",
        &json!([{"Effect": "Allow", "Action": actions, "Resource": arn("a")}]),
    );
    let get = |target: &str| host.send_as(&carol, &Request::get(target));
    for (target, status) in [
        ("/mayfly/events?function=a".to_owned(), 200),
        ("/mayfly/events?function=b".to_owned(), 403),
        ("/mayfly/events".to_owned(), 403),
        (format!("/mayfly/events/{of_a}"), 200),
        (format!("/mayfly/events/{of_b}"), 403),
        (format!("/mayfly/events/{NOBODY}"), 403),
        ("/mayfly/queues?function=a".to_owned(), 200),
        ("/mayfly/queues".to_owned(), 403),
    ] {
        let answer = get(&target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    // Whether there is an event, and whose it is, is not hers to know.
    let said = |id: &str| {
        get(&format!("/mayfly/events/{id}"))
            .text()
            .replace(id, "ID")
    };
    assert_eq!(said(&of_b), said(NOBODY));

    let purge = |body: &Value| {
        host.send_as(
            &carol,
            &Request::post("/mayfly/events/purge", body.to_string()),
        )
        .status
    };
    assert_eq!(purge(&json!({"id": of_b})), 403);
    assert_eq!(purge(&json!({"all": true, "states": ["dead"]})), 403);
    assert_eq!(
        purge(&json!({"all": true, "states": ["dead"], "function": "b"})),
        403
    );
    let redrive = host.send_as(
        &carol,
        &Request::post("/mayfly/events/redrive", json!({"id": of_a}).to_string()),
    );
    assert_eq!(redrive.status, 403, "{}", redrive.text());
    assert_eq!(purge(&json!({"id": of_a})), 200);
    let all = statement("Allow", "mayfly:ListEvents", "*");
    host.put_policy("carol", &json!([all]));
    let listed = get("/mayfly/events").json();
    assert_eq!(listed["events"][0]["request_id"], *of_b);
    assert_eq!(listed["events"].as_array().unwrap().len(), 1);
}
