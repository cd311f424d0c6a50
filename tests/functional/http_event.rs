//! What a function is told of a request: the event of payload format 2.0, seen through `curl`.

use serde_json::{Value, json};
use support::bodies::from_base64;
use support::guests::{guest, printing};
use support::{Request, TestHost};

fn echo() -> TestHost {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    host
}

fn event(host: &TestHost, arguments: &[&str]) -> Value {
    let text = host.curl(arguments).ok();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_get_with_a_query_and_cookies_is_an_event_of_format_2() {
    let host = echo();
    let url = "{}/echo/a%20b?x=1&x=2&y=a%20b&z&%65=+";
    let event = event(
        &host,
        &[
            "-H",
            "Cookie: c1=v1; c2=v2",
            "-H",
            "X-Thing: a",
            "-H",
            "x-thing: b",
            "-A",
            "someone/1",
            url,
        ],
    );
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "ANY /echo/{proxy+}");
    assert_eq!(event["rawPath"], "/echo/a b");
    assert_eq!(event["rawQueryString"], "x=1&x=2&y=a%20b&z&%65=+");
    assert_eq!(
        event["queryStringParameters"],
        json!({"x": "1,2", "y": "a b", "z": "", "e": " "})
    );
    assert_eq!(event["cookies"], json!(["c1=v1", "c2=v2"]));
    assert_eq!(event["pathParameters"], json!({"proxy": "a b"}));
    assert_eq!(event["headers"]["x-thing"], "a,b");
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(event["headers"]["x-forwarded-proto"], "http");
    let context = &event["requestContext"];
    assert_eq!(context["http"]["method"], "GET");
    assert_eq!(context["http"]["path"], "/echo/a b");
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["http"]["userAgent"], "someone/1");
    assert_eq!(context["stage"], "$default");
    assert!(
        context["timeEpoch"]
            .as_u64()
            .is_some_and(|ms| ms > 1_700_000_000_000),
        "{context}"
    );
    assert_eq!(event["isBase64Encoded"], false);
}

#[test]
fn what_is_empty_is_left_out() {
    let host = echo();
    let event = event(&host, &["{}/echo"]);
    let members = event.as_object().unwrap();
    for absent in [
        "cookies",
        "queryStringParameters",
        "pathParameters",
        "body",
        "stageVariables",
    ] {
        assert!(!members.contains_key(absent), "{absent} of {event}");
    }
    assert_eq!(event["rawQueryString"], "");
}

#[test]
fn a_text_body_is_text_and_any_other_is_base64() {
    let host = echo();
    let json = event(
        &host,
        &[
            "-H",
            "Content-Type: application/json",
            "-d",
            "{\"a\":1}",
            "{}/echo",
        ],
    );
    assert_eq!(
        (&json["body"], &json["isBase64Encoded"]),
        (&json!("{\"a\":1}"), &json!(false))
    );
    assert_eq!(json["requestContext"]["http"]["method"], "POST");

    let form = event(&host, &["-d", "a=1&b=2", "{}/echo"]);
    assert_eq!(form["body"], "a=1&b=2");

    let path = host.root().join("bytes");
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(&path, &bytes).unwrap();
    let data = format!("@{}", path.display());
    let binary = event(
        &host,
        &[
            "-H",
            "Content-Type: application/octet-stream",
            "--data-binary",
            &data,
            "{}/echo",
        ],
    );
    assert_eq!(binary["isBase64Encoded"], true);
    assert_eq!(from_base64(binary["body"].as_str().unwrap()), bytes);

    let chunked = event(
        &host,
        &[
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Content-Type: text/plain",
            "-d",
            "hi",
            "{}/echo",
        ],
    );
    assert_eq!(chunked["body"], "hi");
    assert_eq!(chunked["headers"].get("transfer-encoding"), None);
    assert_eq!(chunked["headers"]["content-length"], "2");
}

#[test]
fn where_a_request_came_from_can_not_be_forged() {
    let host = echo();
    let event = event(
        &host,
        &[
            "-H",
            "X-Forwarded-For: 6.6.6.6",
            "-H",
            "X-Real-IP: 6.6.6.6",
            "-H",
            "Forwarded: for=6.6.6.6",
            "-H",
            "X-Amzn-RequestId: 00000000-0000-0000-0000-000000000000",
            "-H",
            "X-Forwarded-Host: evil",
            "{}/echo",
        ],
    );
    assert!(!event.to_string().contains("6.6.6.6"), "{event}");
    assert!(!event.to_string().contains("evil"), "{event}");
    assert!(
        !event.to_string().contains("00000000-0000-0000-0000"),
        "{event}"
    );
}

#[test]
fn the_most_specific_route_wins_and_names_its_variables() {
    let host = TestHost::start();
    let route =
        |method: &str, path: &str| format!("[[http]]\nmethod = \"{method}\"\npath = \"{path}\"\n");
    host.deploy_with("all", &route("ANY", "/pets/{proxy+}"), &guest("echo"));
    host.deploy_with("one", &route("GET", "/pets/dog/{id}"), &guest("echo"));
    host.deploy_with("rex", &route("GET", "/pets/dog/1"), &printing("\"rex\""));
    host.deploy_with("top", &route("GET", "/"), &printing("\"top\""));

    assert_eq!(host.get("/pets/dog/1").text(), "rex");
    let one = host.get("/pets/dog/2").json();
    assert_eq!(
        (&one["routeKey"], &one["pathParameters"]),
        (&json!("GET /pets/dog/{id}"), &json!({"id": "2"}))
    );
    let all = host.get("/pets/cat/2").json();
    assert_eq!(
        (&all["routeKey"], &all["pathParameters"]),
        (&json!("ANY /pets/{proxy+}"), &json!({"proxy": "cat/2"}))
    );
    let put = host.send(&Request::new("PUT", "/pets/dog/1")).json();
    assert_eq!(put["routeKey"], "ANY /pets/{proxy+}");
    assert_eq!(host.get("/").text(), "top");
    assert_eq!(host.get("/pets").status, 404);
}

#[test]
fn the_largest_body_is_taken_and_comes_back() {
    let host = echo();
    // The event counts, so a body of text may be a little smaller than the limit.
    let body = "x".repeat(6_200_000);
    let request = Request::post("/echo", body.clone()).header("content-type", "text/plain");
    let response = host.send(&request);
    assert_eq!(
        response.status,
        200,
        "{}",
        response.text().chars().take(300).collect::<String>()
    );
    assert_eq!(response.json()["body"].as_str().unwrap().len(), body.len());
    // Bytes grow by a third on their way.
    let request = Request::post("/echo", vec![0xff; 5_000_000]).header("content-type", "image/png");
    assert_eq!(host.send(&request).status, 413);
}
