//! CloudEvents over HTTP as events for functions.

use serde_json::{Value, json};
use support::TestHost;
use support::guests::{guest, printing};
use support::http::{Request, Response};
use support::identity::statement;
use support::lambda::arn;

/// Writes its event into its log.
fn telling() -> String {
    let answers = "(call $write (i32.const 1)";
    let echo = guest("echo");
    assert!(echo.contains(answers));
    echo.replace(answers, "(call $write (i32.const 2)")
}

fn binary(function: &str, more: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Request {
    let base = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a-1"),
        ("ce-source", "/orders"),
        ("ce-type", "order.created"),
    ];
    let request = Request::post(&format!("/mayfly/events/{function}"), body);
    let all = base.iter().chain(more);
    all.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

fn structured(function: &str, kind: &str, body: &Value) -> Request {
    Request::post(&format!("/mayfly/events/{function}"), body.to_string())
        .header("content-type", kind)
}

/// What the function said that it got.
fn got(host: &TestHost, function: &str, id: &str) -> Value {
    let log = host.log_of(function, id);
    let line = log.iter().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap()).unwrap()
}

fn events(host: &TestHost) -> usize {
    let listed = host.control_json("/mayfly/events");
    listed["events"].as_array().unwrap().len()
}

#[test]
fn one_event_comes_in_its_headers_or_as_json_and_the_function_gets_the_same() {
    let host = TestHost::start();
    host.deploy("f", &telling());
    let whole = json!({
        "specversion": "1.0", "id": "a-1", "source": "/orders", "type": "order.created",
        "datacontenttype": "application/json", "subject": "größe 7", "data": {"n": [1, 2]},
    });
    let headers = [
        ("content-type", "application/json"),
        ("ce-subject", "gr%C3%B6%C3%9Fe%207"),
    ];
    let kind = "application/cloudevents+json; charset=utf-8";
    for request in [
        binary("f", &headers, r#"{"n": [1, 2]}"#),
        structured("f", kind, &whole),
        structured("f:$LATEST", kind, &whole),
    ] {
        let taken = host.control_send(&request);
        assert_eq!(taken.status, 202, "{}", taken.text());
        let id = taken.request_id();
        assert_eq!(taken.json(), json!({"request_id": id}));
        assert_eq!(got(&host, "f", &id), whole);
        assert_eq!(host.record(&id)["trigger"], "cloud_event");
        let event = host.control_json(&format!("/mayfly/events/{id}"));
        assert_eq!(
            (&event["trigger"], &event["source"]),
            (&json!("cloud_event"), &json!("/orders"))
        );
    }
    let bytes = host.control_send(&binary(
        "f",
        &[("content-type", "image/png")],
        b"\x89PNG\xff",
    ));
    let got = got(&host, "f", &bytes.request_id());
    assert_eq!(got["data_base64"], "iVBOR/8=", "{got}");
}

#[test]
fn a_batch_is_taken_in_whole_or_not_at_all() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let one = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t"});
    let kind = "application/cloudevents-batch+json";
    let wrong = host.control_send(&structured("f", kind, &json!([one("1"), {"id": "2"}])));
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(
        wrong.text().contains("event 2 of the batch: "),
        "{}",
        wrong.text()
    );
    let many = Value::Array(vec![one("1"); 1_001]);
    let many = host.control_send(&structured("f", kind, &many));
    assert_eq!(many.status, 413, "{}", many.text());
    assert_eq!(events(&host), 0);

    let taken = host.control_send(&structured("f", kind, &json!([one("1"), one("2")])));
    assert_eq!(taken.status, 202, "{}", taken.text());
    let taken = taken.json();
    for event in taken["events"].as_array().unwrap() {
        let id = event["request_id"].as_str().unwrap();
        assert_eq!(host.record(id)["status"], "success");
    }
    assert_eq!(events(&host), 2);
    let empty = host.control_send(&structured("f", kind, &json!([])));
    assert_eq!((empty.status, empty.json()), (202, json!({"events": []})));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row for each rule")]
fn what_is_no_cloud_event_for_a_function_is_told_and_not_taken() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let kind = "application/cloudevents+json";
    let base = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
    let with = |name: &str, value: Value| {
        let mut event = base.clone();
        event[name] = value;
        structured("f", kind, &event)
    };
    let plain = Request::post("/mayfly/events/f", "{}");
    let json_kind = ("content-type", "application/json");
    for (request, status, part) in [
        (plain.clone(), 415, "send a CloudEvent"),
        (
            plain.clone().header("content-type", "application/json"),
            415,
            "`application/json` is no CloudEvent",
        ),
        (plain.header("ce-id", "1"), 400, "ce-specversion is missing"),
        (
            structured("f", "application/cloudevents+xml", &base),
            415,
            "only JSON",
        ),
        (
            structured("f", kind, &json!([1])),
            400,
            "expected an object",
        ),
        (
            structured("f", kind, &json!({})),
            400,
            "`specversion` is missing",
        ),
        (
            with("specversion", json!("0.3")),
            400,
            "`specversion` is `0.3`",
        ),
        (
            with("time", json!("yesterday")),
            400,
            "`time` is `yesterday`",
        ),
        (
            with("Upper", json!("x")),
            400,
            "`Upper` is no name of an attribute",
        ),
        (with("data_base64", json!("?")), 400, "Base64"),
        (
            binary("f", &[("ce-subject", "%ff")], ""),
            400,
            "header ce-subject: ",
        ),
        (binary("f", &[json_kind], "{"), 400, "not JSON"),
        (binary("nobody", &[], ""), 404, "Function not found: arn:"),
        (
            binary("f:nothing", &[], ""),
            404,
            "Function not found: arn:",
        ),
        (binary("f:7", &[], ""), 404, "Function not found: arn:"),
        (binary("a.b", &[], ""), 400, "'.'"),
        (binary("f", &[], vec![b'x'; (1 << 20) + 1]), 413, "1048576"),
        (
            binary("f", &[("content-type", "image/png")], vec![0; 1 << 20]),
            413,
            "1048576",
        ),
    ] {
        let answer = host.control_send(&request);
        let text = answer.text();
        assert_eq!(answer.status, status, "{part}: {text}");
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(events(&host), 0);
    let put = host.control_send(&Request::new("PUT", "/mayfly/events/f"));
    assert_eq!(put.status, 405, "{}", put.text());
}

#[test]
fn who_may_invoke_may_send_events_and_is_told_so_before() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let sender = host.user("sender");
    let validation = |function: &str| {
        let target = format!("/mayfly/events/{function}");
        Request::new("OPTIONS", &target).header("webhook-request-origin", "events.example.com")
    };
    let denied = |answer: &Response| assert_eq!(answer.status, 403, "{}", answer.text());
    denied(&host.send_as(&sender, &binary("f", &[], "")));
    denied(&host.send_as(&sender, &validation("f")));
    denied(&host.control_send(&validation("f").unsigned()));
    host.put_policy(
        "sender",
        &json!([statement("Allow", "lambda:InvokeFunction", &arn("f"))]),
    );
    let allowed = host.send_as(&sender, &validation("f"));
    assert_eq!(allowed.status, 204, "{}", allowed.text());
    assert_eq!(allowed.header("webhook-allowed-origin"), Some("*"));
    assert_eq!(allowed.header("webhook-allowed-rate"), Some("*"));
    assert_eq!(allowed.header("allow"), Some("OPTIONS, POST"));
    assert_eq!(host.send_as(&sender, &binary("f", &[], "")).status, 202);
    denied(&host.send_as(&sender, &binary("g", &[], "")));
    assert_eq!(host.control_send(&validation("g")).status, 404);
}

#[test]
fn one_is_sent_from_the_command_line_and_a_qualifier_may_stand_in_the_query() {
    let host = TestHost::start();
    host.deploy("f", &telling());
    assert_eq!(host.cli(&["publish", "f"]).code, Some(0));
    let whole = json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created",
        "data": {"order": 7},
    });
    let file = host.root().join("event.json");
    std::fs::write(&file, whole.to_string()).unwrap();
    let path = file.to_str().unwrap();
    let id = host.cli(&["events", "send", "f", "--file", path]).ok();
    assert_eq!(got(&host, "f", id.trim()), whole);
    let id = host
        .cli(&["events", "send", "f:1", "-d", &whole.to_string()])
        .ok();
    assert_eq!(host.record(id.trim())["version"], "1");
    let both = json!([whole, whole]).to_string();
    let ids = host.cli(&["events", "send", "f", "-d", &both]).ok();
    assert_eq!(ids.lines().count(), 2, "{ids}");
    let none = host.cli(&["events", "send", "f", "-d", "{}"]);
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("specversion"), "{none:?}");

    let kind = "application/cloudevents+json";
    let sent = |target: &str| host.control_send(&structured(target, kind, &whole));
    let taken = sent("f?qualifier=1");
    assert_eq!(taken.status, 202, "{}", taken.text());
    assert_eq!(host.record(&taken.request_id())["version"], "1");
    for (target, status, part) in [
        ("f?qualifier=2", 404, "Function not found"),
        ("f:1?qualifier=2", 400, "another one than the path has"),
        ("f?qualifier=a%20b", 400, "`qualifier`"),
        ("f?version=1", 400, "`version` is not one of: qualifier"),
    ] {
        let refused = sent(target);
        assert_eq!(refused.status, status, "{target}: {}", refused.text());
        assert!(
            refused.text().contains(part),
            "{target}: {}",
            refused.text()
        );
    }
    assert_eq!(events(&host), 5);
}
