//! The Invoke operation, as clients of Lambda call it.

use serde_json::json;
use support::bodies::{from_base64, to_base64};
use support::guests::{guest, guest_with, printing, speaking};
use support::host::invocation;
use support::{Request, TestHost};

fn with_echo() -> TestHost {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    host
}

#[test]
fn the_event_goes_in_and_the_answer_comes_out_unchanged() {
    let host = with_echo();
    for event in ["{}", "{\"a\": [1,  2]}", "\"text\"", "17", "null"] {
        let response = host.invoke("echo", event);
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), event);
        assert_eq!(response.header("x-amz-executed-version"), Some("$LATEST"));
        assert_eq!(response.header("x-amz-function-error"), None);
        let record = host.record(&response.request_id());
        assert_eq!(
            (&record["trigger"], &record["status"]),
            (&json!("invoke"), &json!("success"))
        );
    }
    assert_eq!(
        host.invoke("echo", "").text(),
        "{}",
        "no event is an empty object"
    );
}

#[test]
fn an_empty_answer_is_null_and_one_that_is_not_json_is_an_error() {
    let host = TestHost::start();
    host.deploy("empty", &printing(""));
    host.deploy("text", &printing("plain text"));
    host.deploy("object", &printing("{\"statusCode\":299}"));
    assert_eq!(host.invoke("empty", "{}").text(), "null");
    let text = host.invoke("text", "{}");
    assert_eq!(
        (text.status, text.header("x-amz-function-error")),
        (200, Some("Unhandled"))
    );
    assert_eq!(text.json()["errorType"], "Runtime.InvalidResponse");
    assert_eq!(host.invoke("object", "{}").text(), "{\"statusCode\":299}");
}

#[test]
fn the_tail_of_the_log_comes_along_when_it_is_asked_for() {
    let host = TestHost::start();
    host.deploy("f", &speaking("{}", "hello log\n", 0));
    let response = host.control_send(&invocation("f", "{}").header("x-amz-log-type", "Tail"));
    let id = response.request_id();
    let tail =
        String::from_utf8(from_base64(response.header("x-amz-log-result").unwrap())).unwrap();
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert_eq!(lines[1], "hello log");
    assert_eq!(lines[2], format!("END RequestId: {id}"));
    assert!(
        lines[3].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")),
        "{tail}"
    );
    let without = host.invoke("f", "{}");
    assert_eq!(without.header("x-amz-log-result"), None);

    host.deploy("chatty", &guest("chatty"));
    let long = host.control_send(&invocation("chatty", "{}").header("x-amz-log-type", "Tail"));
    assert_eq!(long.text(), "\"done\"");
    let tail = from_base64(long.header("x-amz-log-result").unwrap());
    assert_eq!(tail.len(), 4_096);
    assert!(String::from_utf8_lossy(&tail).contains("REPORT RequestId: "));
}

#[test]
fn failures_are_200_with_a_header_and_the_error_as_payload() {
    let host = TestHost::start();
    host.deploy_with("late", "timeout = 0.1\n", &guest("loop"));
    host.deploy("trap", &guest_with("trap", &[("CODE", "(unreachable)")]));
    let late = host.invoke("late", "{}");
    let id = late.request_id();
    assert_eq!(
        (late.status, late.header("x-amz-function-error")),
        (200, Some("Unhandled"))
    );
    assert_eq!(
        late.json(),
        json!({"errorType": "Sandbox.Timedout",
               "errorMessage": format!("RequestId: {id} Error: Task timed out after 0.10 seconds")})
    );
    let trap = host.invoke("trap", "{}");
    assert_eq!(
        (trap.status, trap.header("x-amz-function-error")),
        (200, Some("Unhandled"))
    );
    assert_eq!(trap.json()["errorType"], "Runtime.ExitError");
    assert!(trap.json()["stackTrace"].is_array());
}

#[test]
fn a_dry_run_runs_nothing() {
    let host = with_echo();
    let dry = invocation("echo", "{}").header("x-amz-invocation-type", "DryRun");
    assert_eq!(host.control_send(&dry).status, 204);
    assert!(host.ledger().entries.is_empty());
}

#[test]
fn what_can_not_be_invoked_is_an_error_that_clients_know() {
    let host = with_echo();
    let check = |request: &Request, status: u16, kind: &str| {
        let response = host.control_send(request);
        assert_eq!(response.status, status, "{request:?}: {}", response.text());
        assert_eq!(
            response.header("x-amzn-errortype"),
            Some(kind),
            "{request:?}"
        );
        assert!(response.header("x-amzn-requestid").is_some());
        let body = response.json();
        assert!(
            body["message"].is_string() || body["Message"].is_string(),
            "{body}"
        );
    };
    check(
        &invocation("nobody", "{}"),
        404,
        "ResourceNotFoundException",
    );
    check(
        &invocation("echo:7", "{}"),
        404,
        "ResourceNotFoundException",
    );
    check(&invocation("a%20b", "{}"), 400, "ValidationException");
    check(
        &invocation("echo", "{not json"),
        400,
        "InvalidRequestContentException",
    );
    check(
        &invocation("echo", b"\xff".to_vec()),
        400,
        "InvalidRequestContentException",
    );
    check(
        &invocation("echo", "[".repeat(100_000)),
        400,
        "InvalidRequestContentException",
    );
    let typed = |kind: &str| invocation("echo", "{}").header("x-amz-invocation-type", kind);
    check(&typed("Sometimes"), 400, "ValidationException");
    let log = invocation("echo", "{}").header("x-amz-log-type", "All");
    check(&log, 400, "ValidationException");
    check(
        &Request::get("/2015-03-31/functions/echo/invocations"),
        404,
        "UnknownOperationException",
    );
    check(
        &Request::post("/2015-03-31/event-source-mappings", "{}"),
        404,
        "UnknownOperationException",
    );
    check(
        &Request::get("/2015-03-31/nothing"),
        404,
        "UnknownOperationException",
    );
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn latest_may_be_named() {
    let host = with_echo();
    assert_eq!(host.invoke("echo:$LATEST", "1").text(), "1");
    assert_eq!(host.invoke("echo%3A%24LATEST", "1").text(), "1");
    let qualified = Request::post(
        "/2015-03-31/functions/echo/invocations?Qualifier=$LATEST",
        "1",
    );
    assert_eq!(host.control_send(&qualified).text(), "1");
}

#[test]
fn what_a_caller_says_of_its_client_reaches_the_function() {
    let host = TestHost::start();
    host.deploy("f", &guest("sdk-context"));
    let header = "x-amz-client-context";
    let saying = |text: &str| invocation("f", "{}").header(header, &to_base64(text.as_bytes()));
    let context = host
        .control_send(&saying("{\"custom\": {\"a\": 1}}"))
        .json();
    assert_eq!(context["clientContext"], json!({"custom": {"a": 1}}));
    let without = host.invoke("f", "{}").json();
    assert_eq!(without.get("clientContext"), None, "{without}");
    assert!(without["requestId"].is_string(), "{without}");

    let ran = host.ledger().entries.len();
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(3_000));
    for request in [
        invocation("f", "{}").header(header, "not base64"),
        saying("secret, not JSON"),
        saying("[\"secret\"]"),
        saying("{}, \"requestId\": {}"),
        saying(&long),
    ] {
        let refused = host.control_send(&request);
        assert_eq!(refused.status, 400, "{request:?}");
        let kind = refused.header("x-amzn-errortype");
        assert_eq!(kind, Some("InvalidRequestContentException"));
        let text = refused.text();
        assert!(text.contains("Client context must be"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert_eq!(host.ledger().entries.len(), ran, "nothing ran");
}

#[test]
fn the_id_of_a_trace_comes_back() {
    let host = with_echo();
    let trace = "Root=1-67891233-abcdef012345678912345678;Sampled=1";
    let sent = invocation("echo", "{}").header("x-amzn-trace-id", trace);
    let answer = host.control_send(&sent);
    assert_eq!(answer.header("x-amzn-trace-id"), Some(trace));
    let made = host.invoke("echo", "{}");
    let made = made.header("x-amzn-trace-id").unwrap();
    assert!(made.starts_with("Root=1-") && made.len() == 50, "{made}");
}

#[test]
fn the_largest_event_and_answer_pass_and_a_larger_answer_is_an_error() {
    let host = with_echo();
    let largest = format!("\"{}\"", "x".repeat(6_291_454));
    let response = host.invoke("echo", largest.clone());
    assert_eq!(response.status, 200);
    assert_eq!(response.body.len(), largest.len());
    assert_eq!(response.header("x-amz-function-error"), None);

    host.deploy(
        "flood",
        &guest_with("write-flood", &[("FD", "1"), ("BYTES", "65536")]),
    );
    let flood = host.invoke("flood", "{}");
    assert_eq!(flood.json()["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(host.get("/flood").status, 502);
}

#[test]
fn an_event_beyond_the_limit_is_refused_and_not_run() {
    let host = with_echo();
    let file = host.root().join("large.json");
    std::fs::write(&file, format!("\"{}\"", "x".repeat(6_291_455))).unwrap();
    let url = format!(
        "http://{}/2015-03-31/functions/echo/invocations",
        host.control()
    );
    let data = format!("@{}", file.display());
    // A client that announces a large body and waits, as this one and the clients of AWS do.
    let root = host.root_signer();
    let user = format!("{}:{}", root.access_key_id, root.secret);
    let answer = host.curl(&[
        "--aws-sigv4",
        "aws:amz:us-east-1:lambda",
        "--user",
        &user,
        "--header",
        "Expect: 100-continue",
        "--include",
        "--data-binary",
        &data,
        &url,
    ]);
    let answer = answer.ok();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("RequestEntityTooLargeException"),
        "{answer}"
    );
    let said = "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)";
    assert!(answer.contains(said), "{answer}");
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}
