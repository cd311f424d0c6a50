//! JSON that is meant to harm is refused with 400, by every operation that reads some.

use support::guests::printing;
use support::lambda::FUNCTIONS;
use support::{Request, TestHost};

#[test]
fn harmful_bodies_are_bad_requests() {
    let host = TestHost::start();
    let deep = format!("{{\"x\": {}{}}}", "[".repeat(400_000), "]".repeat(400_000));
    let large = format!(
        "{{\"FunctionName\": \"f\", \"Environment\": {{\"Variables\": {{\"KEY\": \"{}\"}}}}}}",
        "x".repeat(10 << 20)
    );
    let bodies: [&[u8]; 10] = [
        b"{",
        b"[]",
        b"\xef\xbb\xbf{}",
        b"{\"FunctionName\": \"f\", \"FunctionName\": \"g\"}",
        b"{\"FunctionName\": \"f\", \"Timeout\": 1e999}",
        b"{\"FunctionName\": {\"a\": 1}}",
        b"{\"FunctionName\": \"f\", \"Environment\": {\"Variables\": {\"AB\": \"1\", \"AB\": \"2\"}}}",
        b"{\"FunctionName\": \"f\", \"Role\": \"\xff\"}",
        deep.as_bytes(),
        large.as_bytes(),
    ];
    for body in bodies {
        let response = host.control_send(&Request::post(FUNCTIONS, body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(response.status, 400, "{shown}: {}", response.text());
        assert!(response.text().len() < 2_000, "{shown}");
    }
    // Elsewhere it is too long, and not even read.
    let alias = Request::new("POST", "/2015-03-31/functions/f/aliases")
        .header("content-length", "10485760")
        .header("expect", "100-continue");
    let answer = host.control_send(&alias);
    assert_eq!(answer.status, 413);
    let reason = "Request must be smaller than 1048576 bytes for the CreateAlias operation";
    assert_eq!(answer.json()["message"], reason);
}

/// Bodies of the other APIs are read as strictly, and what they say is not said again.
#[test]
fn harmful_bodies_are_bad_requests_of_logs_and_iam_too() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let deep = format!(
        "{{\"logGroupName\": \"/aws/lambda/f\", \"x\": {}{}}}",
        "[".repeat(4_000),
        "]".repeat(4_000)
    );
    let bodies: [&[u8]; 6] = [
        br#"{"logGroupName": "/aws/lambda/f", "logGroupName": "/aws/lambda/g"}"#,
        br#"{"logGroupName": "/aws/lambda/f", "x": {"a": 1, "a": 1}}"#,
        br#"["a", "b"]"#,
        b"{\"logGroupName\": \"/aws/lambda/f\", \"x\": \"\xff\"}",
        br#"{"logGroupName": "/aws/lambda/f", "limit": "the secret"}"#,
        deep.as_bytes(),
    ];
    let name = ("x-amz-target", "Logs_20140328.FilterLogEvents");
    let of_logs = |body: &[u8]| host.control_send(&Request::post("/", body).header(name.0, name.1));
    assert_eq!(of_logs(br#"{"logGroupName": "/aws/lambda/f"}"#).status, 200);
    for body in bodies {
        let refused = of_logs(body);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["__type"], "SerializationException");
        assert!(!refused.text().contains("secret"), "{}", refused.text());
    }
    let of_iam = |body: &str| {
        let request = Request::post("/", body).header("content-type", "application/json");
        host.control_send(&request).status
    };
    let once = r#"{"Action": "ListUsers", "PathPrefix": "/"}"#;
    let twice = r#"{"Action": "ListUsers", "PathPrefix": "/", "PathPrefix": "/a/"}"#;
    assert_eq!((of_iam(once), of_iam(twice)), (200, 400));
}
