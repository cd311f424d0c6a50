//! The control listener: who may ask, and what it tells.

use serde_json::json;
use support::guests::printing;
use support::{Request, TestHost, until};

#[test]
fn nobody_is_answered_who_did_not_sign_and_a_name_or_a_web_page_makes_no_difference() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let refused = |request: Request| {
        let response = host.control_send(&request.unsigned());
        assert_eq!(response.status, 403, "{}", response.text());
        let code = response.header("x-amzn-errortype");
        assert_eq!(code, Some("MissingAuthenticationTokenException"));
        assert_eq!(
            response.text(),
            r#"{"Type":"User","message":"Missing Authentication Token"}"#
        );
        assert_eq!(response.header("access-control-allow-origin"), None);
        assert!(response.header("date").is_some() && response.header("x-amzn-requestid").is_some());
    };
    let invoke = || support::host::invocation("f", "{}");
    for request in [
        invoke(),
        invoke().header("host", "evil.example"),
        invoke().header("origin", "http://evil.example"),
        Request::get("/mayfly/functions"),
        Request::get("/mayfly/billing"),
        Request::get("/nothing"),
        Request::new("OPTIONS", "/2015-03-31/functions/f/invocations")
            .header("origin", "http://evil.example")
            .header("access-control-request-method", "POST"),
    ] {
        refused(request);
    }
    assert!(host.ledger().entries.is_empty(), "nothing ran");
    // Whoever signed may come by any name.
    let named = host.control_send(&invoke().header("host", "control.example"));
    assert_eq!(named.status, 200, "{}", named.text());
}

#[test]
fn metrics_name_functions_to_those_alone_who_signed() {
    let host = TestHost::start();
    host.deploy("secretive", &printing("1"));
    assert_eq!(host.get("/secretive").status, 200);
    let open = host.control_send(&Request::get("/metrics").unsigned());
    assert_eq!(open.status, 200);
    let text = open.text();
    assert!(text.contains("mayfly_functions 1"), "{text}");
    assert!(
        !text.contains("secretive") && !text.contains("function="),
        "{text}"
    );
    assert_eq!(
        host.metric("mayfly_invocations_total", &["function=\"secretive\""]),
        1
    );
    let health = host.control_send(&Request::get("/health").unsigned());
    assert_eq!(health.status, 200);
    assert!(!health.text().contains("secretive"));
    let mut wrong = host.root_signer();
    wrong.secret.push('x');
    let refused = host.control_send(&wrong.sign(&Request::get("/metrics"), host.control()));
    assert_eq!(refused.status, 403);
}

#[test]
fn health_says_what_there_is() {
    let host = TestHost::start();
    let health = until("a look for interrupted attempts", || {
        let health = host.control_json("/health");
        (health["dispatch"] == "ok").then_some(health)
    });
    assert_eq!(
        health,
        json!({"status": "ok", "ledger": "ok", "queue": "ok", "dispatch": "ok", "audit": "ok", "functions": 0, "running": 0})
    );
    host.deploy("f", &printing("1"));
    assert_eq!(host.control_json("/health")["functions"], 1);
}

#[test]
fn metrics_count_what_happened() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    host.deploy("bad", &printing("{\"statusCode\":1}"));
    for _ in 0..3 {
        assert_eq!(host.get("/f").status, 200);
    }
    assert_eq!(host.get("/bad").status, 502);
    assert_eq!(host.get("/nothing").status, 404);
    let total = "mayfly_invocations_total";
    assert_eq!(
        host.metric(total, &["function=\"f\"", "status=\"success\""]),
        3
    );
    assert_eq!(
        host.metric(total, &["function=\"bad\"", "status=\"error\""]),
        1
    );
    assert_eq!(
        host.metric("mayfly_duration_microseconds_count", &["function=\"f\""]),
        3
    );
    assert_eq!(
        host.metric("mayfly_cold_starts_total", &["function=\"f\""]),
        0
    );
    assert_eq!(
        host.metric("mayfly_http_responses_total", &["class=\"2xx\""]),
        3
    );
    assert_eq!(
        host.metric("mayfly_http_responses_total", &["class=\"4xx\""]),
        1
    );
    assert_eq!(
        host.metric("mayfly_http_responses_total", &["class=\"5xx\""]),
        1
    );
    assert_eq!(host.metric("mayfly_ledger_records", &[]), 4);
    assert_eq!(host.metric("mayfly_ledger_writable", &[]), 1);
    assert_eq!(host.metric("mayfly_functions", &[]), 2);
    let charged: u64 = host
        .ledger()
        .entries
        .iter()
        .map(|entry| entry["charge_picousd"].as_u64().unwrap())
        .sum();
    assert_eq!(host.metric("mayfly_charge_picousd_total", &[]), charged);

    // Every sample belongs to a family that says what it is.
    let text = host.control_send(&Request::get("/metrics"));
    assert!(
        text.header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = text.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                name.strip_suffix(end)
                    .filter(|f| text.contains(&format!("# TYPE {f} histogram")))
            })
            .unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
        assert!(text.contains(&format!("# HELP {family} ")), "{line}");
    }
}

#[test]
fn the_trigger_listener_has_nothing_of_the_control_api_and_the_other_way_round() {
    let host = TestHost::start();
    host.deploy("health", &printing("\"mine\""));
    host.deploy("metrics", &printing("\"mine\""));
    assert_eq!(host.get("/health").text(), "mine");
    assert_eq!(host.get("/metrics").text(), "mine");
    assert_eq!(host.control_json("/health")["status"], "ok");
    let invoke = Request::post("/2015-03-31/functions/health/invocations", "{}");
    assert_eq!(host.send(&invoke).status, 404);
    assert_eq!(host.get("/mayfly/billing").status, 404);
    host.deploy("other", &printing("1"));
    assert_eq!(host.control_send(&Request::get("/other")).status, 404);
}

#[test]
fn a_slip_of_the_pen_in_a_query_is_not_silence() {
    let host = TestHost::start();
    for (target, part) in [
        ("/mayfly/billing?limt=1", "`limt` is not one of"),
        ("/mayfly/billing?limit=x", "`limit` is `x`"),
        ("/mayfly/billing?since=yesterday", "`since` is `yesterday`"),
        ("/mayfly/billing?function=a%20b", "function name"),
        ("/mayfly/billing/summary?limit=1", "`limit` is not one of"),
        ("/mayfly/logs/f?tail=-1", "`tail` is `-1`"),
    ] {
        let response = host.control_send(&Request::get(target));
        assert_eq!(response.status, 400, "{target}");
        assert!(
            response.text().contains(part),
            "{target}: {}",
            response.text()
        );
    }
    assert_eq!(
        host.control_send(&Request::get("/mayfly/logs/nobody"))
            .status,
        404
    );
}
