//! `InvokeWithResponseStream`: frames that clients of AWS read.

use serde_json::Value;
use support::bodies::from_base64;
use support::guests::{guest, guest_with};
use support::{Request, Response, TestHost};

fn stream(host: &TestHost, name: &str, event: &str, log: &str) -> Response {
    let target = format!("/2021-11-15/functions/{name}/response-streaming-invocations");
    host.control_send(&Request::post(&target, event).header("x-amz-log-type", log))
}

/// The events of a stream: type and payload.
fn events(response: &Response) -> Vec<(String, Vec<u8>)> {
    let mut events = Vec::new();
    let mut rest = response.body.as_slice();
    while !rest.is_empty() {
        let number = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        let mut fields = &rest[12..12 + headers];
        let mut kind = String::new();
        while !fields.is_empty() {
            let name_end = 1 + usize::from(fields[0]);
            let value_at = name_end + 3;
            let length = u16::from_be_bytes([fields[name_end + 1], fields[name_end + 2]]);
            let value_end = value_at + usize::from(length);
            if &fields[1..name_end] == b":event-type" {
                kind = String::from_utf8(fields[value_at..value_end].to_vec()).unwrap();
            }
            fields = &fields[value_end..];
        }
        events.push((kind, rest[12 + headers..total - 4].to_vec()));
        rest = &rest[total..];
    }
    events
}

#[test]
fn the_answer_comes_in_a_chunk_and_then_the_end() {
    let host = TestHost::start();
    host.create("echo", &guest("echo"));
    let response = stream(&host, "echo", "[1, 2]", "None");
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    assert_eq!(response.header("x-amz-executed-version"), Some("$LATEST"));
    let expected = [
        ("PayloadChunk".to_owned(), b"[1, 2]".to_vec()),
        ("InvokeComplete".to_owned(), b"{}".to_vec()),
    ];
    assert_eq!(events(&response), expected);
    let record = host.record(&response.request_id());
    assert_eq!(record["status"], "success");
}

#[test]
fn a_failure_shows_at_the_end_with_the_log_if_it_is_asked_for() {
    let host = TestHost::start();
    host.create("trap", &guest_with("trap", &[("CODE", "(unreachable)")]));
    let response = stream(&host, "trap", "{}", "Tail");
    assert_eq!(response.status, 200);
    let events = events(&response);
    let end: Value = serde_json::from_slice(&events[1].1).unwrap();
    assert_eq!(end["ErrorCode"], "Unhandled");
    assert!(
        end["ErrorDetails"]
            .as_str()
            .unwrap()
            .contains("Runtime.ExitError")
    );
    let log = from_base64(end["LogResult"].as_str().unwrap());
    assert!(
        String::from_utf8(log)
            .unwrap()
            .starts_with("START RequestId: ")
    );
}

#[test]
fn nothing_streams_asynchronously() {
    let host = TestHost::start();
    host.create("echo", &guest("echo"));
    let target = "/2021-11-15/functions/echo/response-streaming-invocations";
    let typed = |kind: &str| {
        host.control_send(&Request::post(target, "{}").header("x-amz-invocation-type", kind))
    };
    assert_eq!(typed("DryRun").status, 204);
    let event = typed("Event");
    assert_eq!(
        (event.status, event.header("x-amzn-errortype")),
        (400, Some("ValidationException"))
    );
    assert_eq!(host.ledger().entries.len(), 0);
}
