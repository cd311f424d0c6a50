//! Greets whom the event names: the smallest function that does something.
//!
//! Understands an HTTP event with `?name=` and a direct event `{"name": ..}`. The types borrow
//! from the event, so that next to nothing is copied; everything else in the event is skipped.

use std::borrow::Cow;

use mayfly_sdk::handler;
use serde::{Deserialize, Serialize};

/// Who is greeted when the event does not say.
const ANYBODY: &str = "world";

/// Either kind of event, since both may name somebody.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event<'a> {
    #[serde(borrow)]
    name: Name<'a>,
    query_string_parameters: Query<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Query<'a> {
    #[serde(borrow)]
    name: Name<'a>,
}

/// A name, copied only where JSON had to escape it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Default for Name<'_> {
    fn default() -> Self {
        Self(Cow::Borrowed(""))
    }
}

#[derive(Serialize)]
struct Reply {
    message: String,
}

/// Greets; an event that names nobody, or no event at all, greets the world.
#[handler]
fn hello(event: Option<Event<'_>>) -> Reply {
    let event = event.unwrap_or_default();
    let names = [event.name.0, event.query_string_parameters.name.0];
    let name = names
        .iter()
        .find(|name| !name.is_empty())
        .map_or(ANYBODY, |name| name);
    Reply {
        message: ["hello ", name].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &str, message: &str) {
        let event = mayfly_sdk::serde_json::from_str(event).expect("the event is one");
        assert_eq!(hello(event).message, message);
    }

    #[test]
    fn a_direct_event_names_somebody() {
        check(r#"{"name":"Ada"}"#, "hello Ada");
        check(
            r#"{"name":"caf\u00e9 \"au lait\""}"#,
            "hello café \"au lait\"",
        );
    }

    #[test]
    fn the_query_of_an_http_event_names_somebody() {
        check(
            r#"{"version":"2.0","rawPath":"/hello","queryStringParameters":{"x":"1","name":"Grace"},
                "requestContext":{"http":{"method":"GET"}},"isBase64Encoded":false}"#,
            "hello Grace",
        );
    }

    #[test]
    fn nobody_in_particular_is_the_world() {
        for event in [
            "null",
            "{}",
            r#"{"name":""}"#,
            r#"{"queryStringParameters":{"x":"1"}}"#,
        ] {
            check(event, "hello world");
        }
    }
}
