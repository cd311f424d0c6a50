//! Many events: in pages, in steps, and for who may see some of them.

use std::collections::HashSet;

use serde_json::{Value, json};
use support::guests::printing;
use support::http::Request;
use support::identity::statement;
use support::lambda::arn;
use support::{TestHost, until};

use super::{NOBODY, parsed, post};

#[track_caller]
fn changed(host: &TestHost, verb: &str, body: &Value) -> u64 {
    let answer = post(host, verb, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["changed"].as_u64().unwrap()
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
    let listed = parsed(&host.cli(&["dlq", "list", "-n", "2000", "--json"]).ok());
    assert_eq!(listed.as_array().unwrap().len(), 1_237);
    let listed = parsed(&host.cli(&["events", "list", "-n", "1100", "--json"]).ok());
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
