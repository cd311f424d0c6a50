//! Topics: an event for every function that subscribes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::guests::{guest_with, printing};
use support::http::{Request, Response};
use support::identity::statement;
use support::{Site, TestHost, until};

fn subscribing(topics: &[&str]) -> String {
    let entries = topics
        .iter()
        .map(|topic| format!("[[subscribe]]\ntopic = \"{topic}\"\n"));
    entries.collect()
}

fn publish(host: &TestHost, topic: &str, body: impl Into<Vec<u8>>) -> Response {
    host.control_send(&Request::post(&format!("/mayfly/topics/{topic}"), body))
}

/// The request ids of what was published, by function and qualifier.
#[track_caller]
fn published(answer: &Response) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let answer = answer.json();
    let events = answer["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let text = |member: &str| event[member].as_str().map(str::to_owned);
            let function = text("function").unwrap();
            let target = match text("qualifier") {
                Some(qualifier) => format!("{function}:{qualifier}"),
                None => function,
            };
            (target, text("request_id").unwrap())
        })
        .collect()
}

fn names(published: &BTreeMap<String, String>) -> Vec<&str> {
    published.keys().map(String::as_str).collect()
}

#[test]
fn every_subscriber_gets_an_event_of_its_own_with_its_own_attempts() {
    let host = Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "1")
        .start();
    host.deploy_with(
        "mail",
        &subscribing(&["orders.*", "orders.created"]),
        &printing("1"),
    );
    let failing = guest_with("exit", &[("CODE", "3")]);
    host.deploy_with("bill", &subscribing(&["orders.**"]), &failing);
    host.deploy_with("other", &subscribing(&["invoices.*"]), &printing("1"));
    host.deploy("none", &printing("1"));

    let answer = publish(&host, "orders.created", r#"{"id": 7.0}"#);
    let ids = published(&answer);
    assert_eq!(names(&ids), ["bill", "mail"]);
    assert_ne!(ids["bill"], ids["mail"]);
    host.wait_ended("dead", 1);
    host.wait_ended("succeeded", 1);
    assert_eq!(host.wait_attempts(&ids["bill"], 3).len(), 3);
    assert_eq!(host.wait_attempts(&ids["mail"], 1).len(), 1);
    assert_eq!(host.record(&ids["mail"])["trigger"], "topic");
    let event = host.control_json(&format!("/mayfly/events/{}", ids["bill"]));
    for (member, expected) in [
        ("state", json!("dead")),
        ("trigger", json!("topic")),
        ("source", json!("orders.created")),
        ("payload", json!({"id": 7.0})),
    ] {
        assert_eq!(event[member], expected, "{member} of {event}");
    }
    assert_eq!(
        names(&published(&publish(&host, "orders.created.eu", ""))),
        ["bill"]
    );
    let nobody = publish(&host, "nobody.cares", "{}");
    assert_eq!((nobody.status, nobody.json()), (202, json!({"events": []})));
}

#[test]
fn what_was_published_survives_a_kill() {
    let site = Site::builder().build();
    let host = site.start();
    let sleeping = guest_with("sleep", &[("MS", "60000")]);
    for name in ["a", "b", "c"] {
        let manifest = format!("timeout = 600\n{}", subscribing(&["t"]));
        host.deploy_with(name, &manifest, &sleeping);
    }
    let ids = published(&publish(&host, "t", "{}"));
    assert_eq!(names(&ids), ["a", "b", "c"]);
    host.kill();
    for name in ["a", "b", "c"] {
        site.drop_wat(name, &printing("1"));
    }
    let host = site.start();
    for id in ids.values() {
        until("every event to have succeeded", || {
            let event = host.control_json(&format!("/mayfly/events/{id}"));
            (event["state"] == "succeeded").then_some(())
        });
    }
    // Who subscribes is known again.
    assert_eq!(
        names(&published(&publish(&host, "t", "{}"))),
        ["a", "b", "c"]
    );
}

#[test]
fn who_subscribes_follows_the_functions() {
    let host = TestHost::start();
    host.deploy_with("f", &subscribing(&["a"]), &printing("1"));
    assert_eq!(names(&published(&publish(&host, "a", "{}"))), ["f"]);
    host.manifest("f", "[[subscribe]]\ntopic = \"b\"\nqualifier = \"live\"\n");
    let skipped = until("the new subscription", || {
        let answer = publish(&host, "b", "{}").json();
        (answer != json!({"events": []})).then_some(answer)
    });
    assert_eq!(
        skipped,
        json!({"events": [], "skipped": 1}),
        "no such alias"
    );
    assert!(host.metric("mayfly_topic_copies_total", &["skipped"]) > 0);
    assert_eq!(names(&published(&publish(&host, "a", "{}"))), [""; 0]);
    let listed = host.control_json("/mayfly/topics");
    let expected = json!([{"topic": "b", "subscribers": [{"function": "f", "qualifier": "live"}]}]);
    assert_eq!(listed["topics"], expected);
    let table = host.cli(&["topics", "list"]).ok();
    assert_eq!(table, "TOPIC  FUNCTION\nb      f:live\n");
    host.delete("f.wasm");
    host.wait_gone("f");
    assert_eq!(publish(&host, "b", "{}").json(), json!({"events": []}));
    let of_alias = "[[subscribe]]\ntopic = \"b\"\nqualifier = \"live\"\n";
    host.deploy_with("g", of_alias, &printing("1"));
    let _published = host.cli(&["publish", "g"]).ok();
    let _alias = host.cli(&["alias", "g", "live", "1"]).ok();
    assert_eq!(names(&published(&publish(&host, "b", "{}"))), ["g:live"]);
}

#[test]
fn a_wrong_subscription_is_refused_with_its_place_and_an_example() {
    let host = TestHost::start();
    for (manifest, part) in [
        (
            "[[subscribe]]\ntopic = \"orders.cr*\"\n",
            "f.toml:2:9: `subscribe[1].topic` can't be subscribed to: ",
        ),
        (
            "[[subscribe]]\ntopic = \"orders.**.x\"\n",
            "`**` for all that follow, only at the end",
        ),
        ("[[subscribe]]\n", "needs a `topic`, such as \"orders.*\""),
        (
            "[[subscribe]]\ntopic = \"a\"\nqualifier = \"0\"\n",
            "f.toml:3:13: ",
        ),
    ] {
        host.manifest("f", manifest);
        host.drop_wat("f", &printing("1"));
        let refusal = until("the refusal", || {
            host.refusal("f.wasm")
                .filter(|reason| reason.contains(part))
        });
        assert!(refusal.contains(part), "{refusal}");
    }
    assert_eq!(names(&published(&publish(&host, "a", "{}"))), [""; 0]);
}

#[test]
fn what_can_not_be_published_reaches_nobody() {
    let host = TestHost::start();
    host.deploy_with("free", &subscribing(&["both"]), &printing("1"));
    for (topic, body, status, part) in [
        ("both", "{".to_owned(), 400, "the body is not JSON: "),
        (
            "both",
            "\u{feff}{}".to_owned(),
            400,
            "the body is not JSON: ",
        ),
        ("a..b", "{}".to_owned(), 400, "empty segment at character 3"),
        ("orders.*", "{}".to_owned(), 400, "`*` at character 8"),
        ("a%20b", "{}".to_owned(), 400, "' '"),
        (
            "both",
            format!("\"{}\"", "x".repeat(1 << 20)),
            413,
            "1048576",
        ),
    ] {
        let answer = publish(&host, topic, body);
        assert_eq!(answer.status, status, "{topic}: {}", answer.text());
        assert!(answer.text().contains(part), "{topic}: {}", answer.text());
    }
    let listed = host.control_json("/mayfly/events?function=free");
    assert_eq!(listed["events"], json!([]));
}

#[test]
fn a_subscriber_that_is_full_keeps_no_other_from_its_event() {
    let host = Site::builder()
        .env("MAYFLY_QUEUE_EVENTS_MAX", "1")
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "3600000")
        .start();
    let failing = guest_with("exit", &[("CODE", "3")]);
    host.deploy_with("full", &subscribing(&["both", "full"]), &failing);
    host.deploy_with("free", &subscribing(&["both"]), &printing("1"));
    let first = published(&publish(&host, "full", "{}"));
    assert_eq!(names(&first), ["full"]);

    // The one that is full gets a dead letter, the other one its event.
    let answer = publish(&host, "both", r#"{"n": 2}"#);
    let second = published(&answer);
    assert_eq!(names(&second), ["free", "full"]);
    let states: Vec<_> = answer.json()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["state"].clone())
        .collect();
    assert_eq!(states, ["queued", "dead"]);
    let dead = host.control_json(&format!("/mayfly/events/{}", second["full"]));
    for (member, expected) in [
        ("state", json!("dead")),
        ("condition", json!("QueueFull")),
        ("attempts", json!(0)),
        ("payload", json!({"n": 2})),
    ] {
        assert_eq!(dead[member], expected, "{member} of {dead}");
    }
    assert_eq!(dead["error"]["code"], 429);
    host.wait_ended("succeeded", 1);

    // With its dead letters full too it gets nothing, and the answer says so.
    let answer = publish(&host, "both", "{}");
    assert_eq!(names(&published(&answer)), ["free"]);
    assert_eq!(answer.json()["refused"], 1);
    host.wait_ended("succeeded", 2);
    let copies = |outcome| host.metric("mayfly_topic_copies_total", &[outcome]);
    assert_eq!(
        (copies("queued"), copies("dead"), copies("refused")),
        (3, 1, 1)
    );

    // Who gets nothing at all is told so, and not who is full.
    let answer = publish(&host, "full", "{}");
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(!answer.text().contains("`full` is"), "{}", answer.text());
    let listed = host.control_json("/mayfly/events?function=full");
    assert_eq!(listed["events"].as_array().unwrap().len(), 2);

    // It can be run later.
    let _purged = host.cli(&["dlq", "purge", &second["full"]]).ok();
    let answer = publish(&host, "both", "{}");
    assert_eq!(answer.json()["events"][1]["state"], "dead");
}

#[test]
fn who_may_only_publish_does_not_hear_who_subscribes() {
    let host = TestHost::start();
    host.deploy_with("f", &subscribing(&["t"]), &printing("1"));
    let alice = host.user("alice");
    let send = || {
        let answer = host.send_as(&alice, &Request::post("/mayfly/topics/t", "{}"));
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    };
    let publish = statement("Allow", "mayfly:PublishTopic", "*");
    host.put_policy("alice", &json!([publish]));
    let event = &send()["events"][0];
    assert_eq!(event.get("function"), None, "{event}");
    assert_eq!(event["state"], "queued");
    let id = event["request_id"].as_str().unwrap();
    assert_eq!(host.wait_attempts(id, 1).len(), 1);
    let list = statement("Allow", "mayfly:ListTopics", "*");
    host.put_policy("alice", &json!([publish, list]));
    assert_eq!(send()["events"][0]["function"], "f");
    // Looking whether it may is not an attempt to list.
    let audit = host
        .cli(&["audit", "--json", "--action", "mayfly:ListTopics"])
        .ok();
    assert!(!audit.contains("denied"), "{audit}");
}

#[test]
fn the_command_line_publishes_for_who_may() {
    let host = TestHost::start();
    host.deploy_with("f", &subscribing(&["orders.*"]), &printing("1"));
    let text = host
        .cli(&[
            "topics",
            "publish",
            "orders.created",
            "-d",
            r#"{"id": 7}"#,
            "--json",
        ])
        .ok();
    let events: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(events[0]["function"], "f");
    let id = events[0]["request_id"].as_str().unwrap();
    assert_eq!(host.record(id)["status"], "success");
    let file = host.root().join("event.json");
    std::fs::write(&file, "[1]").unwrap();
    let path = file.to_str().unwrap();
    let table = host
        .cli(&["topics", "publish", "orders.created", "--file", path])
        .ok();
    assert!(table.starts_with("FUNCTION  REQUEST ID "), "{table}");
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with("f ") && row.ends_with(" queued"), "{table}");
    let nobody = host.cli(&["topics", "publish", "nobody", "-d", "{}"]);
    assert_eq!(
        (nobody.code, nobody.stdout.as_str()),
        (Some(0), ""),
        "{nobody:?}"
    );
    assert!(
        nobody.stderr.contains("nobody subscribes to nobody"),
        "{nobody:?}"
    );
    assert_eq!(
        host.cli(&["topics", "publish", "a..b", "-d", "{}"]).code,
        Some(2)
    );
    assert_eq!(
        host.cli(&["topics", "publish", "a", "-d", "{"]).code,
        Some(2)
    );

    let alice = host.user("alice");
    let send = |topic: &str| {
        let request = Request::post(&format!("/mayfly/topics/{topic}"), "{}");
        host.send_as(&alice, &request).status
    };
    let orders = "arn:aws:mayfly:::topic/orders.*";
    host.put_policy(
        "alice",
        &json!([statement("Allow", "mayfly:PublishTopic", orders)]),
    );
    assert_eq!((send("orders.created"), send("invoices.paid")), (202, 403));
    // Like an invocation it is in the ledger, not in the audit log.
    let audit = host
        .cli(&["audit", "--json", "--action", "mayfly:PublishTopic"])
        .ok();
    assert_eq!(audit.lines().count(), 1, "{audit}");
    assert!(audit.contains("\"denied\""), "{audit}");
}
