//! Answers in capitals: a function without the SDK, as any language can write one.
//!
//! The event comes on stdin, the answer goes to stdout, the log to stderr. Exit code 0 means that
//! there is an answer; another one comes with a JSON object that has `errorMessage`.
//!
//! Takes the body of an HTTP event, the `text` of a direct event, or an event that is a string, and
//! answers in kind.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut event = String::new();
    let answer = match std::io::stdin().read_to_string(&mut event) {
        Ok(_) => shout(&event),
        Err(error) => Err(format!("the event cannot be read: {error}")),
    };
    let (answer, code) = match answer {
        Ok(answer) => {
            eprintln!("shouted {} bytes", event.len());
            (answer, ExitCode::SUCCESS)
        }
        Err(reason) => (
            json!({"errorType": "BadEvent", "errorMessage": reason}),
            ExitCode::FAILURE,
        ),
    };
    match writeln!(std::io::stdout(), "{answer}") {
        Ok(()) => code,
        Err(error) => {
            eprintln!("the answer cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The answer to an event, in capitals.
fn shout(event: &str) -> Result<Value, String> {
    let event: Value =
        serde_json::from_str(event).map_err(|error| format!("the event is not JSON: {error}"))?;
    if event.get("requestContext").is_some() {
        return Ok(json!({
            "statusCode": 200,
            "headers": {"content-type": "text/plain; charset=utf-8"},
            "body": body(&event)?.to_uppercase(),
        }));
    }
    match (&event, event.get("text").and_then(Value::as_str)) {
        (Value::String(text), _) => Ok(text.to_uppercase().into()),
        (_, Some(text)) => Ok(json!({"text": text.to_uppercase()})),
        _ => Err("nothing to shout: send {\"text\": ..}, a string, or a body over HTTP".into()),
    }
}

/// The body of an HTTP event. A request without one has an empty body.
fn body(event: &Value) -> Result<String, String> {
    let body = event["body"].as_str().unwrap_or_default();
    if event["isBase64Encoded"] != true {
        return Ok(body.to_owned());
    }
    let bytes = STANDARD
        .decode(body)
        .map_err(|error| format!("the body is not base64: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("the body is not text: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_event_is_answered_in_kind() {
        assert_eq!(shout(r#""hey \u00e9""#), Ok(json!("HEY \u{c9}")));
        assert_eq!(shout(r#"{"text":"hey"}"#), Ok(json!({"text": "HEY"})));
        let answer = shout(r#"{"requestContext":{},"body":"hey"}"#).unwrap();
        assert_eq!(answer["body"], "HEY");
        let answer =
            shout(r#"{"requestContext":{},"body":"aGV5","isBase64Encoded":true}"#).unwrap();
        assert_eq!(answer["body"], "HEY");
        assert_eq!(shout(r#"{"requestContext":{}}"#).unwrap()["body"], "");
    }

    #[test]
    fn what_cannot_be_shouted_is_an_error_that_says_why() {
        assert!(
            shout("nonsense")
                .unwrap_err()
                .starts_with("the event is not JSON")
        );
        assert!(shout("{}").unwrap_err().starts_with("nothing to shout"));
        let event = r#"{"requestContext":{},"body":"/w==","isBase64Encoded":true}"#;
        assert!(
            shout(event)
                .unwrap_err()
                .starts_with("the body is not text")
        );
    }
}
