//! Requests in, events out.

use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::auth::trail::Trail;
use crate::auth::{Caller, Identity};

fn event(request: Request<&'static [u8]>) -> Value {
    event_for(request, &Authorizer::Open)
}

fn event_for(request: Request<&'static [u8]>, authorizer: &Authorizer) -> Value {
    let (parts, body) = request.into_parts();
    let route: Route = "ANY /f/{proxy+}".parse().unwrap();
    let event = event_from(&Source {
        parts: &parts,
        body: &Bytes::from_static(body),
        entrance: Entrance::Route {
            route: &route,
            values: &["a b".to_owned()],
        },
        authorizer,
        path: "/f/a b",
        peer: "10.0.0.9:555".parse().unwrap(),
        local_port: 3000,
        is_secure: false,
        id: "01936e5c-0000-7000-8000-000000000000".parse().unwrap(),
        received_us: 1_795_364_897_840_000,
    })
    .unwrap();
    serde_json::from_slice(&event).unwrap()
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "localhost:3000")
}

#[test]
fn an_event_has_the_members_of_payload_2_and_no_empty_ones() {
    let event = event(
        get("/f/a%20b")
            .header("User-Agent", "x")
            .body(b"" as &[u8])
            .unwrap(),
    );
    let expected = json!({
        "version": "2.0",
        "routeKey": "ANY /f/{proxy+}",
        "rawPath": "/f/a b",
        "rawQueryString": "",
        "headers": {
            "host": "localhost:3000",
            "user-agent": "x",
            "content-length": "0",
            "content-type": "text/plain; charset=utf-8",
            "x-amzn-trace-id": "Root=1-6b031821-000070008000000000000000",
            "x-forwarded-for": "10.0.0.9",
            "x-forwarded-port": "3000",
            "x-forwarded-proto": "http",
        },
        "pathParameters": {"proxy": "a b"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "mayfly",
            "domainName": "localhost:3000",
            "domainPrefix": "localhost:3000",
            "http": {"method": "GET", "path": "/f/a b", "protocol": "HTTP/1.1",
                     "sourceIp": "10.0.0.9", "userAgent": "x"},
            "requestId": "01936e5c-0000-7000-8000-000000000000",
            "routeKey": "ANY /f/{proxy+}",
            "stage": "$default",
            "time": "22/Nov/2026:16:28:17 +0000",
            "timeEpoch": 1_795_364_897_840_i64,
        },
        "isBase64Encoded": false,
    });
    assert_eq!(event, expected);
}

#[test]
fn query_values_are_decoded_and_joined_and_the_raw_query_is_kept() {
    let event = event(
        get("/f?a=1&a=2&b=x%20y&c&d=%zz&%65=+")
            .body(b"" as &[u8])
            .unwrap(),
    );
    assert_eq!(event["rawQueryString"], "a=1&a=2&b=x%20y&c&d=%zz&%65=+");
    let expected = json!({"a": "1,2", "b": "x y", "c": "", "d": "%zz", "e": " "});
    assert_eq!(event["queryStringParameters"], expected);
}

#[test]
fn cookies_and_headers_are_separated_and_origins_can_not_be_forged() {
    let request = get("/f")
        .header("cookie", "c1=v1; c2=v2")
        .header("cookie", "c3=v3")
        .header("X-Thing", "a")
        .header("x-thing", "b")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-real-ip", "6.6.6.6")
        .header("connection", "close")
        .body(b"" as &[u8])
        .unwrap();
    let event = event(request);
    assert_eq!(event["cookies"], json!(["c1=v1", "c2=v2", "c3=v3"]));
    assert_eq!(event["headers"]["x-thing"], "a,b");
    assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.9");
    for gone in ["cookie", "x-real-ip", "connection"] {
        assert_eq!(event["headers"][gone], Value::Null, "{gone}");
    }
}

#[test]
fn a_signature_that_let_a_request_in_is_not_passed_on() {
    let signer = Authorizer::Iam {
        caller: Caller {
            identity: Identity::Root,
            access_key_id: "AKIA".into(),
            source: [10, 0, 0, 9].into(),
            region: "r".into(),
            user_agent: None,
            is_secure: false,
            trail: Trail::default(),
        },
        user_id: "u".into(),
    };
    let signature = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Date=c&X-Amz-Expires=d\
                     &X-Amz-SignedHeaders=e&X-Amz-Security-Token=f&%58-Amz-Signature=g";
    let request = || {
        get(&format!("/f?a=1&{signature}&b"))
            .header("authorization", "AWS4-HMAC-SHA256 secret")
            .header("x-amz-security-token", "secret")
            .header("x-amz-date", "c")
            .body(b"" as &[u8])
            .unwrap()
    };
    let signed = event_for(request(), &signer);
    assert_eq!(signed["rawQueryString"], "a=1&b");
    assert_eq!(signed["queryStringParameters"], json!({"a": "1", "b": ""}));
    for gone in SIGNATURE_HEADERS {
        assert_eq!(signed["headers"][gone], Value::Null, "{gone}");
    }
    assert_eq!(signed["headers"]["x-amz-date"], "c");
    // Elsewhere they are what the client says, and the function's to read.
    let open = event(request());
    assert_eq!(open["rawQueryString"], format!("a=1&{signature}&b"));
    assert_eq!(open["headers"]["x-amz-security-token"], "secret");
}

#[track_caller]
fn check_body(content_type: Option<&str>, body: &'static [u8], text: &str, base64: bool) {
    let mut request = Request::post("/f");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let event = event(request.body(body).unwrap());
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!(text), &json!(base64))
    );
}

#[test]
fn a_body_is_text_when_its_type_and_its_bytes_say_so() {
    check_body(Some("application/json"), b"{\"a\":1}", "{\"a\":1}", false);
    check_body(
        Some("Application/Problem+JSON; charset=utf-8"),
        b"{}",
        "{}",
        false,
    );
    check_body(None, b"hi", "hi", false);
    check_body(Some("text/plain"), b"\xff", "/w==", true);
    check_body(Some("image/png"), b"\x89PNG", "iVBORw==", true);
    check_body(Some("multipart/form-data; boundary=x"), b"a", "YQ==", true);
}

#[test]
fn the_list_of_dropped_headers_can_be_searched() {
    assert!(DROPPED_HEADERS.is_sorted());
}
