//! Answers with the event it got, to see what a function is given.
//!
//! Whatever JSON comes in goes out again; the values are never built, only checked and copied.
//! Logs one line.

use mayfly_sdk::{Context, handler};
use serde_json::value::RawValue;

/// The event, as it came.
#[handler]
fn echo(event: Box<RawValue>, context: &Context) -> Box<RawValue> {
    println!(
        "request {} brought {} bytes",
        context.request_id(),
        event.get().len()
    );
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_comes_back_to_the_last_space() {
        let text = "{\"b\": [1.0,  2e3], \"a\": \"\\u00e9\"}";
        let event = RawValue::from_string(text.to_owned()).expect("it is JSON");
        assert_eq!(echo(event, &Context::for_test()).get(), text);
    }
}
