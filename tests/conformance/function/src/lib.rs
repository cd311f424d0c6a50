//! The function that the suites with real clients deploy: it does what the event asks for.
//!
//! | event | what happens |
//! |---|---|
//! | `{"op":"error","msg":M}` | the handler fails with the message M |
//! | `{"op":"timeout"}` | it computes until it is stopped |
//! | `{"op":"exit","code":N}` | the process exits with N |
//! | `{"op":"value","value":X}` | the answer is X |
//! | `{"op":"text","bytes":N}` | the answer is a text of N letters `x` |
//! | `{"op":"log","lines":[..]}` | prints the lines; the answer is how many |
//! | `{"op":"context"}` | the answer is what the context says |
//! | `{"op":"environment","name":N}` | the answer is the variable N, or null |
//! | the record of another event's end | prints `record` and the record |
//! | anything else | `{"event":..,"version":..}` |
//!
//! The event of an HTTP trigger is looked into when its body asks for something.
//!
//! Prints one line each time. Knows nothing of who invokes it.

use mayfly_sdk::serde_json::{Value, json};
use mayfly_sdk::{Context, Error, handler};

/// Does what `event` asks for.
#[handler]
fn conformance(event: Option<Value>, context: &Context) -> Result<Value, Error> {
    let event = event.unwrap_or(Value::Null);
    println!("conformance {}", context.request_id());
    let event = asked_over_http(&event).unwrap_or(event);
    if event["requestContext"]["condition"].is_string() {
        println!("record {event}");
    }
    match event["op"].as_str() {
        Some("error") => {
            let message = event["msg"].as_str().unwrap_or_default();
            Err(Error::new("Conformance.Error", message))
        }
        Some("timeout") => loop {
            std::hint::spin_loop();
        },
        Some("exit") => {
            let code = event["code"].as_i64().and_then(|code| code.try_into().ok());
            std::process::exit(code.unwrap_or(1))
        }
        Some("value") => Ok(event["value"].clone()),
        Some("text") => {
            let bytes = event["bytes"]
                .as_u64()
                .and_then(|bytes| bytes.try_into().ok());
            Ok(Value::String("x".repeat(bytes.unwrap_or_default())))
        }
        Some("log") => {
            let lines = event["lines"].as_array().map_or(&[][..], Vec::as_slice);
            for line in lines {
                println!("{}", line.as_str().unwrap_or_default());
            }
            Ok(json!(lines.len()))
        }
        Some("context") => Ok(json!({
            "requestId": context.request_id(),
            "functionName": context.function_name(),
            "functionVersion": context.function_version(),
            "functionArn": context.function_arn(),
            "memoryMb": context.memory_mb(),
        })),
        Some("environment") => {
            let name = event["name"].as_str().unwrap_or_default();
            Ok(std::env::var(name).map_or(Value::Null, Value::String))
        }
        _ => Ok(json!({ "event": event, "version": context.function_version() })),
    }
}

/// The body of an HTTP event, if that is JSON with an `op`.
fn asked_over_http(event: &Value) -> Option<Value> {
    let body: Value = mayfly_sdk::serde_json::from_str(event["body"].as_str()?).ok()?;
    body.get("op").is_some().then_some(body)
}
