//! Answers that try to write more than a response onto the connection.

use serde_json::json;
use support::guests::{guest_with, printing, sdk_answering};
use support::http::Connection;
use support::{Request, TestHost};

use crate::zoo::{Expected, Zoo};

/// Everything that comes over the connection, as bytes.
fn wire(host: &TestHost, path: &str) -> String {
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    String::from_utf8_lossy(&connection.read_to_end()).into_owned()
}

#[test]
fn headers_that_would_split_the_response_never_reach_the_connection() {
    let host = TestHost::start();
    let bad = [
        json!({"a": "b\r\nSet-Cookie: injected=1"}),
        json!({"a": "b\nSet-Cookie: injected=1"}),
        json!({"a\r\nSet-Cookie: injected": "1"}),
        json!({"a b": "1"}),
        json!({"a:": "1"}),
        json!({"": "1"}),
        json!({"a\u{0}": "1"}),
        json!({"a": "b\u{0}c"}),
        json!({"ä": "1"}),
    ];
    for (number, headers) in bad.iter().enumerate() {
        let name = format!("bad{number}");
        host.drop_wat(
            &name,
            &printing(json!({"statusCode": 200, "headers": headers}).to_string()),
        );
    }
    let cookie = json!({"statusCode": 200, "cookies": ["a=b\r\nSet-Cookie: injected=1"]});
    host.drop_wat("cookie", &printing(cookie.to_string()));
    let names: Vec<String> = (0..bad.len())
        .map(|number| format!("bad{number}"))
        .chain(["cookie".to_owned()])
        .collect();
    for name in &names {
        host.wait_live(name);
        let bytes = wire(&host, &format!("/{name}"));
        assert!(bytes.starts_with("HTTP/1.1 502 "), "{name}: {bytes}");
        assert!(!bytes.contains("injected"), "{name}: {bytes}");
        assert_eq!(bytes.matches("HTTP/1.1").count(), 1, "{name}: {bytes}");
    }
}

#[test]
fn headers_that_frame_a_message_are_ours() {
    let host = TestHost::start();
    let headers = json!({
        "connection": "keep-alive", "keep-alive": "timeout=99", "transfer-encoding": "chunked",
        "upgrade": "websocket", "content-length": "3", "proxy-authenticate": "x", "te": "trailers",
        "trailer": "x", "server": "theirs", "date": "yesterday", "proxy-connection": "x", "x-ok": "1",
    });
    host.deploy(
        "f",
        &printing(json!({"statusCode": 200, "headers": headers, "body": "whole body"}).to_string()),
    );
    let mut connection = Connection::open(host.http()).unwrap();
    let response = connection.send(&Request::get("/f")).unwrap();
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "whole body")
    );
    assert_eq!(response.header("x-ok"), Some("1"));
    assert_eq!(response.headers_of("content-length"), ["10"]);
    for theirs in [
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "te",
        "trailer",
    ] {
        assert_eq!(response.header(theirs), None, "{theirs}");
    }
    assert!(
        !response
            .headers
            .iter()
            .any(|(_, value)| value == "theirs" || value == "yesterday")
    );
    let next = connection.send(&Request::get("/f")).unwrap();
    assert_eq!(next.text(), "whole body");
}

#[test]
fn only_statuses_that_end_a_request_are_sent() {
    let host = TestHost::start();
    let bad = [
        "0", "99", "100", "101", "103", "199", "600", "999", "1000", "-1", "1e400", "2.5",
    ];
    for (number, status) in bad.iter().enumerate() {
        host.drop_wat(
            &format!("s{number}"),
            &printing(format!("{{\"statusCode\":{status}}}")),
        );
    }
    for (number, status) in bad.iter().enumerate() {
        host.wait_live(&format!("s{number}"));
        let bytes = wire(&host, &format!("/s{number}"));
        assert!(bytes.starts_with("HTTP/1.1 502 "), "{status}: {bytes}");
    }
    for status in ["204", "304"] {
        let answer = format!("{{\"statusCode\":{status},\"body\":\"not to be sent\"}}");
        host.deploy(&format!("n{status}"), &printing(answer));
        let bytes = wire(&host, &format!("/n{status}"));
        assert!(bytes.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}");
        assert!(!bytes.contains("not to be sent"), "{bytes}");
        // What comes next on the connection is the next answer.
        let mut connection = Connection::open(host.http()).unwrap();
        for _ in 0..2 {
            let response = connection
                .send(&Request::get(&format!("/n{status}")))
                .unwrap();
            assert_eq!(response.status.to_string(), status);
        }
    }
    host.deploy(
        "head",
        &printing("{\"statusCode\":200,\"body\":\"not to be sent\"}"),
    );
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(b"HEAD /head HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    let bytes = String::from_utf8_lossy(&connection.read_to_end()).into_owned();
    assert!(
        bytes.starts_with("HTTP/1.1 200 ") && !bytes.contains("not to be sent"),
        "{bytes}"
    );
}

#[test]
fn answers_beyond_the_limit_or_out_of_all_proportion_are_the_functions_failure() {
    let zoo = Zoo::open();
    let invalid = Expected::Fails("error", "Runtime.InvalidResponse", "");
    let deep = "[".repeat(100_000);
    zoo.check(
        "deep",
        "",
        &printing(format!("{{\"statusCode\":200,\"x\":{deep}")),
        invalid,
    );
    zoo.check("deep-sdk", "", &sdk_answering(format!("\0{deep}")), invalid);
    zoo.check("not-text", "", &printing(b"\xff\xfe\xfd"), invalid);
    zoo.check(
        "not-text-sdk",
        "",
        &sdk_answering(b"\0\xff\xfe\xfd"),
        invalid,
    );
    let too_large = Expected::Fails("error", "Function.ResponseSizeTooLarge", "6291556");
    let large = guest_with(
        "sdk-pointer",
        &[("PAGES", "100"), ("AT", "65536"), ("LENGTH", "6291558")],
    );
    zoo.check("large-sdk", "timeout = 10\n", &large, too_large);
    zoo.close();
}

#[test]
fn a_response_with_very_many_or_very_long_headers_is_the_functions_failure() {
    let host = TestHost::start();
    let many: serde_json::Map<String, serde_json::Value> = (0..10_000)
        .map(|number| (format!("x-{number}"), json!("1")))
        .collect();
    host.deploy(
        "many",
        &printing(json!({"statusCode": 200, "headers": many}).to_string()),
    );
    let long = json!({"statusCode": 200, "headers": {"x": "y".repeat(1 << 20)}});
    host.deploy("long", &printing(long.to_string()));
    let name = json!({"statusCode": 200, "headers": {"x".repeat(70_000): "y"}});
    host.deploy("name", &printing(name.to_string()));
    for function in ["many", "long", "name"] {
        let response = host.get(&format!("/{function}"));
        assert_eq!(response.status, 502, "{function}");
        let record = host.record(&response.request_id());
        assert_eq!(
            record["error_type"], "Runtime.InvalidResponse",
            "{function}"
        );
    }
}
