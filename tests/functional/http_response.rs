//! What a function may answer, and what its client gets then.

use serde_json::json;
use support::bodies::to_base64;
use support::guests::{printing, sdk_answering, speaking};
use support::{Request, Response, TestHost};

/// Drops one function for each answer and calls it.
fn answers(host: &TestHost, stdout: &[&[u8]]) -> Vec<Response> {
    for (number, text) in stdout.iter().enumerate() {
        host.drop_wat(&format!("a{number}"), &printing(text));
    }
    let call = |number| {
        host.wait_live(&format!("a{number}"));
        host.get(&format!("/a{number}"))
    };
    (0..stdout.len()).map(call).collect()
}

#[test]
fn an_answer_that_is_no_response_object_is_sent_as_it_is() {
    let host = TestHost::start();
    let cases: [(&str, &str, &str); 8] = [
        (
            "{\"hello\":\"world\"}",
            "application/json",
            "{\"hello\":\"world\"}",
        ),
        ("[1, 2]", "application/json", "[1, 2]"),
        (
            "{\"body\":\"x\",\"headers\":{}}",
            "application/json",
            "{\"body\":\"x\",\"headers\":{}}",
        ),
        ("\"hi\"", "application/json", "hi"),
        ("null", "application/json", "null"),
        ("hello\n", "text/plain; charset=utf-8", "hello\n"),
        ("{not json", "text/plain; charset=utf-8", "{not json"),
        ("", "text/plain; charset=utf-8", ""),
    ];
    let texts: Vec<&[u8]> = cases.iter().map(|(text, ..)| text.as_bytes()).collect();
    for (response, (text, content_type, body)) in answers(&host, &texts).iter().zip(cases) {
        assert_eq!(response.status, 200, "{text}");
        assert_eq!(
            response.header("content-type"),
            Some(content_type),
            "{text}"
        );
        assert_eq!(response.text(), body);
        assert_eq!(
            response.header("content-length"),
            Some(body.len().to_string().as_str())
        );
    }
}

#[test]
fn a_response_object_sets_status_headers_cookies_and_bytes() {
    let host = TestHost::start();
    let bytes: Vec<u8> = (0..=255).collect();
    let answer = json!({
        "statusCode": 201,
        "headers": {"X-One": "1", "x-number": 2, "content-type": "image/png", "location": "/there"},
        "cookies": ["a=b; Path=/", "c=d"],
        "body": to_base64(&bytes),
        "isBase64Encoded": true,
    });
    host.deploy("f", &printing(answer.to_string()));
    let response = host.get("/f");
    assert_eq!(response.status, 201);
    assert_eq!(response.header("x-one"), Some("1"));
    assert_eq!(response.header("x-number"), Some("2"));
    assert_eq!(response.header("content-type"), Some("image/png"));
    assert_eq!(response.header("location"), Some("/there"));
    assert_eq!(response.headers_of("set-cookie"), ["a=b; Path=/", "c=d"]);
    assert_eq!(response.body, bytes);
    assert_eq!(host.record(&response.request_id())["status"], "success");
}

#[test]
fn an_error_that_a_function_sends_as_a_response_is_a_success() {
    let host = TestHost::start();
    host.deploy(
        "f",
        &printing(json!({"statusCode": "404", "body": "no"}).to_string()),
    );
    let response = host.get("/f");
    assert_eq!((response.status, response.text().as_str()), (404, "no"));
    assert_eq!(host.record(&response.request_id())["status"], "success");
}

#[test]
fn an_answer_that_breaks_a_rule_is_502_and_an_error_in_the_ledger() {
    let host = TestHost::start();
    let cases: [&[u8]; 12] = [
        b"{\"statusCode\":0}",
        b"{\"statusCode\":1000}",
        b"{\"statusCode\":\"x\"}",
        b"{\"statusCode\":null}",
        b"{\"statusCode\":200,\"headers\":[]}",
        b"{\"statusCode\":200,\"headers\":{\"a\":[1]}}",
        b"{\"statusCode\":200,\"cookies\":\"a=b\"}",
        b"{\"statusCode\":200,\"body\":{}}",
        b"{\"statusCode\":200,\"body\":\"%\",\"isBase64Encoded\":true}",
        b"{\"statusCode\":200,\"statusCode\":201}",
        b"{\"statusCode\":200",
        b"\xff\xfe",
    ];
    for (response, case) in answers(&host, &cases).iter().zip(cases) {
        let case = String::from_utf8_lossy(case);
        assert_eq!(response.status, 502, "{case}: {}", response.text());
        let id = response.request_id();
        assert_eq!(response.json()["requestId"], id.as_str());
        let record = host.record(&id);
        assert_eq!(record["status"], "error", "{case}");
        assert_eq!(record["error_type"], "Runtime.InvalidResponse", "{case}");
        let function = record["function"].as_str().unwrap().to_owned();
        let log = host.log_of(&function, &id);
        assert!(
            log.last()
                .unwrap()
                .ends_with("Status: error\tError Type: Runtime.InvalidResponse")
        );
        assert!(log.len() > 3, "the log says what is wrong: {log:?}");
    }
}

#[test]
fn both_kinds_of_guest_answer_by_the_same_rules() {
    let host = TestHost::start();
    let answer = json!({"statusCode": 202, "headers": {"x-a": "1"}, "body": "b"}).to_string();
    host.deploy("command", &printing(&answer));
    host.deploy("sdk", &sdk_answering(format!("\0{answer}")));
    let (command, sdk) = (host.get("/command"), host.get("/sdk"));
    assert_eq!((command.status, command.header("x-a")), (202, Some("1")));
    assert_eq!((sdk.status, sdk.header("x-a")), (202, Some("1")));
    assert_eq!(command.body, sdk.body);
}

#[test]
fn a_head_request_gets_everything_but_the_body() {
    let host = TestHost::start();
    host.deploy(
        "f",
        &printing(json!({"statusCode": 200, "headers": {"x-a": "1"}, "body": "four"}).to_string()),
    );
    let response = host.send(&Request::new("HEAD", "/f"));
    assert_eq!((response.status, response.header("x-a")), (200, Some("1")));
    assert!(response.body.is_empty());
    let head = host.curl(&["--head", "{}/f"]).ok();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(host.ledger().entries.len(), 2);
}

#[test]
fn an_error_of_a_function_is_502_without_its_words() {
    let host = TestHost::start();
    let error = json!({"errorType": "Sad", "errorMessage": "secret reason"}).to_string();
    host.deploy("command", &speaking(&error, "", 1));
    host.deploy("sdk", &sdk_answering(format!("\u{1}{error}")));
    for name in ["command", "sdk"] {
        let response = host.get(&format!("/{name}"));
        assert_eq!(response.status, 502, "{name}");
        assert!(
            !response.text().contains("secret"),
            "{name}: {}",
            response.text()
        );
        let record = host.record(&response.request_id());
        assert_eq!(
            (&record["status"], &record["error_type"]),
            (&json!("error"), &json!("Sad"))
        );
        assert!(
            record["charge_picousd"]
                .as_u64()
                .is_some_and(|charge| charge > 0),
            "{record}"
        );
    }
}
