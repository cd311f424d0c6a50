//! What a record says, to the letter, and what it leaves out when it would be too large.

use domain::RequestId;
use domain::event::EventState;
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:lambda:local:000000000000:function:f:$LATEST";
const AT: &str = "2026-11-22T16:28:17.840Z";

fn event(depth: u32) -> Event {
    Event {
        id: RequestId::from_bytes([7; 16]),
        target: function("f"),
        trigger: Trigger::Event,
        source: None,
        state: EventState::Running,
        attempts: 1,
        failures: 1,
        refusals: 0,
        depth,
        accepted_at_us: 0,
        due_at_us: 0,
        changed_at_us: 0,
        bytes: 0,
        condition: None,
        failure: None,
        ledger_from: 1,
    }
}

fn function(name: &str) -> Target {
    Target::Function {
        name: FunctionName::parse(name).unwrap(),
        qualifier: None,
    }
}

fn answered(function_error: bool, payload: &[u8]) -> Answered {
    Answered {
        version: VersionId::Number(3),
        function_error,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn written(condition: Condition, attempts: u32, payload: &[u8], answer: Option<Answered>) -> Bytes {
    let closed = Closed {
        event: &event(0),
        payload: &Bytes::copy_from_slice(payload),
        condition,
        attempts,
        answer,
    };
    record(&closed, ARN, AT.to_owned()).0
}

fn read(record: &Bytes) -> Value {
    serde_json::from_slice(record).unwrap()
}

#[test]
fn success_is_told_as_lambda_tells_it() {
    let record = written(
        Condition::Success,
        1,
        b" {\"a\": 1.0e400}\n",
        Some(answered(false, b"[true]")),
    );
    let expected = format!(
        r#"{{"version":"1.0","timestamp":"{AT}","requestContext":{{"requestId":"07070707-0707-0707-0707-070707070707","functionArn":"{ARN}","condition":"Success","approximateInvokeCount":1}},"requestPayload":{{"a": 1.0e400}},"responseContext":{{"statusCode":200,"executedVersion":"3"}},"responsePayload":[true]}}"#
    );
    assert_eq!(record, expected);
}

#[test]
fn a_failure_has_the_error_and_what_never_ran_has_no_response() {
    let error = br#"{"errorType":"E","errorMessage":"m"}"#;
    let record = read(&written(
        Condition::RetriesExhausted,
        3,
        b"{}",
        Some(answered(true, error)),
    ));
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    let context = json!({"statusCode": 200, "executedVersion": "3", "functionError": "Unhandled"});
    assert_eq!(record["responseContext"], context);
    assert_eq!(record["responsePayload"]["errorMessage"], "m");

    let record = read(&written(Condition::ZeroReservedConcurrency, 0, b"{}", None));
    let members: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        ["requestContext", "requestPayload", "timestamp", "version"]
    );
}

#[test]
fn a_payload_that_is_no_json_is_a_text() {
    for payload in [
        &b"hello"[..],
        b"",
        b"{\"a\":",
        b"\"\xff\"",
        "[".repeat(200).as_bytes(),
    ] {
        let record = read(&written(Condition::Success, 1, payload, None));
        assert_eq!(
            record["requestPayload"],
            String::from_utf8_lossy(payload).as_ref()
        );
    }
}

#[test]
fn what_is_too_large_is_left_out_and_named() {
    let payload = |bytes: usize| format!("\"{}\"", "x".repeat(bytes)).into_bytes();
    for (request, response, omitted) in [
        (10, QUEUED_EVENT_BYTES_MAX, json!(["responsePayload"])),
        (
            QUEUED_EVENT_BYTES_MAX - 700,
            700,
            json!(["responsePayload"]),
        ),
        (
            QUEUED_EVENT_BYTES_MAX - 2,
            10,
            json!(["responsePayload", "requestPayload"]),
        ),
    ] {
        let record = written(
            Condition::Success,
            1,
            &payload(request),
            Some(answered(false, &payload(response))),
        );
        assert!(record.len() <= QUEUED_EVENT_BYTES_MAX, "{}", record.len());
        let record = read(&record);
        assert_eq!(record["omitted"], omitted);
        for member in ["requestPayload", "responsePayload"] {
            let is_omitted = omitted.as_array().unwrap().contains(&json!(member));
            assert_eq!(record.get(member).is_none(), is_omitted, "{member}");
        }
        assert_eq!(record["responseContext"]["statusCode"], 200);
    }
    let unanswered = read(&written(
        Condition::EventAgeExceeded,
        0,
        &payload(QUEUED_EVENT_BYTES_MAX - 2),
        None,
    ));
    assert_eq!(unanswered["omitted"], json!(["requestPayload"]));
}

#[test]
fn a_function_is_named_with_its_qualifier() {
    let name = FunctionName::parse("f").unwrap();
    let live = Qualifier::parse("live").unwrap();
    assert_eq!(qualified_arn(&name, None, "local"), ARN);
    assert!(qualified_arn(&name, Some(&live), "local").ends_with(":f:live"));
}

#[test]
fn functions_are_told_up_to_one_hop_too_many_and_others_always() {
    let file = Target::File {
        name: "x".to_owned(),
    };
    assert_eq!(depth_of(&function("g"), 0), Some(1));
    assert_eq!(depth_of(&function("g"), DEPTH_MAX), Some(DEPTH_MAX + 1));
    assert_eq!(depth_of(&function("g"), DEPTH_MAX + 1), None);
    assert_eq!(depth_of(&file, 3), Some(4));
    assert_eq!(depth_of(&file, DEPTH_MAX + 1), Some(DEPTH_MAX));
}

#[test]
fn a_record_for_a_full_queue_says_what_happened_and_carries_no_payload() {
    let brief = |answer| {
        let closed = Closed {
            event: &event(0),
            payload: &Bytes::from_static(b"[1]"),
            condition: Condition::Success,
            attempts: 1,
            answer,
        };
        read(&record(&closed, ARN, AT.to_owned()).1)
    };
    let answered = brief(Some(answered(false, b"[2]")));
    assert_eq!(
        answered["omitted"],
        json!(["responsePayload", "requestPayload"])
    );
    assert_eq!(answered["requestContext"]["condition"], "Success");
    assert_eq!(answered["responseContext"]["statusCode"], 200);
    for member in ["requestPayload", "responsePayload"] {
        assert_eq!(answered.get(member), None);
    }
    assert_eq!(brief(None)["omitted"], json!(["requestPayload"]));
}
