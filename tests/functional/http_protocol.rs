//! HTTP itself: what is no request for a function is answered by us, in JSON, with a request id.

use std::time::Duration;

use support::guests::{guest, printing};
use support::http::Connection;
use support::{Request, Response, Site, TestHost, until};

fn with_echo() -> TestHost {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    host
}

#[track_caller]
fn check_refused(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let body = response.json();
    assert!(
        body["message"].as_str().unwrap().starts_with(message),
        "{body}"
    );
    assert_eq!(body["requestId"], response.request_id().as_str());
    assert_eq!(response.header("content-type"), Some("application/json"));
}

/// Sends bytes and reads one response.
#[track_caller]
fn raw(host: &TestHost, bytes: &[u8]) -> Response {
    let mut connection = Connection::open(host.http()).unwrap();
    connection.write(bytes).unwrap();
    connection.read_response().unwrap()
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_is_405_with_those_that_would_do() {
    let host = TestHost::start();
    let routes =
        "[[http]]\nmethod = \"GET\"\npath = \"/x\"\n[[http]]\nmethod = \"PUT\"\npath = \"/x\"\n";
    host.deploy_with("f", routes, &printing("1"));
    check_refused(&host.get("/nothing"), 404, "Not Found");
    check_refused(&host.get("/x/"), 404, "Not Found");
    let wrong = host.send(&Request::post("/x", "b"));
    check_refused(&wrong, 405, "Method Not Allowed");
    assert_eq!(wrong.header("allow"), Some("GET, PUT"));
    assert_eq!(host.send(&Request::new("HEAD", "/x")).status, 405);
    for method in ["TRACE", "FROB"] {
        assert_eq!(
            host.send(&Request::new(method, "/x")).status,
            405,
            "{method}"
        );
    }
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn a_body_that_is_said_to_be_too_large_is_refused_before_it_is_sent() {
    let host = with_echo();
    let response = raw(
        &host,
        b"POST /echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n",
    );
    check_refused(&response, 413, "Request Entity Too Large");
    assert_eq!(response.header("connection"), Some("close"));
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn a_body_that_grows_too_large_is_refused_when_it_does() {
    let host = with_echo();
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = [b"100000\r\n", &vec![b'x'; 1 << 20][..], b"\r\n"].concat();
    for _ in 0..7 {
        // The server may close before all of it is written.
        if connection.write(&chunk).is_err() {
            break;
        }
    }
    let response = connection.read_response();
    if let Ok(response) = response {
        check_refused(&response, 413, "Request Entity Too Large");
    }
    assert!(host.ledger().entries.is_empty(), "nothing ran");
    assert_eq!(host.get("/echo").status, 200);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let host = with_echo();
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .unwrap();
    assert_eq!(connection.read_response().unwrap().status, 100);
    connection.write(b"hi").unwrap();
    let response = connection.read_response().unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["body"], "hi");
}

#[test]
fn a_target_or_a_head_that_is_too_large_is_414_or_431() {
    let host = with_echo();
    let long = format!("/echo?{}", "x".repeat(8 << 10));
    check_refused(&host.get(&long), 414, "URI Too Long");
    assert_eq!(
        host.get(&format!("/echo?{}", "x".repeat(7 << 10))).status,
        200
    );

    let mut many = Request::get("/echo");
    for number in 0..101 {
        many = many.header(&format!("x-{number}"), "1");
    }
    assert_eq!(host.send(&many).status, 431);
    let big = Request::get("/echo").header("x-big", &"x".repeat(256 << 10));
    let sent = support::http::send(host.http(), &big);
    // The rest of the head may be unread when the connection ends, which is a reset for us.
    assert!(sent.is_err() || sent.is_ok_and(|response| response.status == 431));
    assert_eq!(host.get("/echo").status, 200);
}

#[test]
fn there_must_be_one_valid_host() {
    let host = with_echo();
    let message = "Bad Request: there must be one valid Host header";
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host:\r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: user@a\r\n",
        "host: a:99999\r\n",
    ] {
        let request = format!("GET /echo HTTP/1.1\r\n{hosts}\r\n");
        check_refused(&raw(&host, request.as_bytes()), 400, message);
    }
    assert_eq!(raw(&host, b"GET /echo HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(
        raw(
            &host,
            b"GET /echo HTTP/1.1\r\nhost: any.example:8080\r\n\r\n"
        )
        .status,
        200
    );
}

#[test]
fn a_path_that_could_mean_two_things_is_nobodys() {
    let host = with_echo();
    for path in [
        "/echo/../health",
        "/echo/%2e%2e/health",
        "/echo/..%2fhealth",
        "/echo/.",
        "/./echo",
        "/echo%00",
        "/echo/a%5cb",
        "/echo/%c0%ae",
        "/echo/%zz",
        "/echo/%2",
    ] {
        check_refused(&host.get(path), 400, "Bad Request");
    }
    for path in [
        "//echo",
        "/ECHO",
        "/ech",
        "/echo;x=1",
        "/health",
        "/metrics",
        "/mayfly/functions",
    ] {
        check_refused(&host.get(path), 404, "Not Found");
    }
    for path in ["/%65cho", "/echo/%252e%252e/", "/echo?", "/echo/"] {
        assert_eq!(host.get(path).status, 200, "{path}");
    }
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    assert_eq!(connection.read_response().unwrap().status, 400);
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
        .unwrap();
    assert!((400..500).contains(&connection.read_response().unwrap().status));
}

#[test]
fn an_absolute_target_and_a_path_lead_to_the_same_function() {
    let host = with_echo();
    let response = raw(
        &host,
        b"GET http://other.example/echo/x?a=1 HTTP/1.1\r\nhost: other.example\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["rawPath"], "/echo/x");
    for other in ["localhost", "other.example:80", "example"] {
        let request = format!("GET http://other.example/echo/x HTTP/1.1\r\nhost: {other}\r\n\r\n");
        let response = raw(&host, request.as_bytes());
        let message = "Bad Request: the Host header must be the host of the absolute target";
        check_refused(&response, 400, message);
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let host = with_echo();
    let mut connection = Connection::open(host.http()).unwrap();
    let mut pipelined = Vec::new();
    for number in 0..50 {
        pipelined.extend(format!("GET /echo?n={number} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes());
    }
    connection.write(&pipelined).unwrap();
    for number in 0..50 {
        let response = connection.read_response().unwrap();
        assert_eq!(response.json()["rawQueryString"], format!("n={number}"));
    }
}

#[test]
fn a_connection_that_says_nothing_or_speaks_too_slowly_is_closed() {
    let host = Site::builder()
        .env("MAYFLY_HTTP_HEADER_TIMEOUT_MS", "300")
        .env("MAYFLY_HTTP_BODY_IDLE_TIMEOUT_MS", "300")
        .start();
    host.deploy("echo", &guest("echo"));
    let mut silent = Connection::open(host.http()).unwrap();
    let mut half = Connection::open(host.http()).unwrap();
    half.write(b"GET /echo HTTP/1.1\r\nho").unwrap();
    let mut bodiless = Connection::open(host.http()).unwrap();
    bodiless
        .write(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .unwrap();
    let answer = bodiless.read_response().unwrap();
    check_refused(&answer, 408, "Request Timeout");
    let _closed = silent.read_to_end();
    let _closed = half.read_to_end();
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn a_thousand_silent_connections_keep_nobody_waiting_and_leave_nothing() {
    let host = Site::builder()
        .env("MAYFLY_HTTP_HEADER_TIMEOUT_MS", "2000")
        .start();
    host.deploy("echo", &guest("echo"));
    let before = host.descriptors();
    let silent: Vec<Connection> = (0..1_000)
        .map(|_| Connection::open(host.http()).unwrap())
        .collect();
    for _ in 0..20 {
        assert_eq!(host.get("/echo").status, 200);
    }
    until("the end of the silent connections", || {
        (host.descriptors() <= before + 10).then_some(())
    });
    drop(silent);
}

#[test]
fn badly_framed_requests_are_never_read_as_two() {
    let host = with_echo();
    for request in [
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551616\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: a\r\nx: a\r\n folded\r\n\r\n",
    ] {
        let mut connection = Connection::open(host.http()).unwrap();
        connection.write(request.as_bytes()).unwrap();
        connection
            .write(b"GET /echo?second HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap_or(());
        let all = String::from_utf8_lossy(&connection.read_to_end()).into_owned();
        assert!(all.starts_with("HTTP/1.1 400"), "{request:?}: {all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{request:?}: {all}");
    }
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn a_length_beside_chunks_is_ignored_and_the_connection_ends_with_the_answer() {
    let host = with_echo();
    let mut connection = Connection::open(host.http()).unwrap();
    connection
        .write(
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
              2\r\nhi\r\n0\r\n\r\nGET /echo?second HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .unwrap();
    let all = String::from_utf8_lossy(&connection.read_to_end()).into_owned();
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    if all.starts_with("HTTP/1.1 200") {
        assert!(all.contains("\"body\":\"hi\""), "{all}");
    } else {
        assert!(all.starts_with("HTTP/1.1 400"), "{all}");
    }
}

#[test]
fn the_body_of_a_refused_request_is_never_read_as_a_request() {
    let host = with_echo();
    let inner = "GET /echo?inner HTTP/1.1\r\nhost: a\r\n\r\n";
    for path in ["/nothing", "/echo/%zz"] {
        let mut connection = Connection::open(host.http()).unwrap();
        let length = inner.len();
        connection
            .write(
                format!(
                    "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{inner}"
                )
                .as_bytes(),
            )
            .unwrap();
        let first = connection.read_response().unwrap();
        assert!((400..500).contains(&first.status));
        let next = connection.send(&Request::get("/echo?next"));
        if let Ok(next) = next {
            assert_eq!(next.json()["rawQueryString"], "next");
        }
    }
    pass_a_moment_and_check_inner(&host);
}

fn pass_a_moment_and_check_inner(host: &TestHost) {
    support::wait::pass(Duration::from_millis(100));
    let events = host.logs("echo").len();
    // Each invocation has three lines; the inner requests have none.
    assert_eq!(events, 3 * host.ledger().entries.len());
    assert!(host.ledger().entries.len() <= 2);
}
