//! How long to sleep, from either kind of event.
//!
//! A query holds text and a direct event a number, so both are accepted in both places.

use mayfly_sdk::Error;
use serde::Deserialize;

/// An event that may say `ms`.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    ms: Option<Ms>,
    #[serde(rename = "queryStringParameters")]
    query: Option<Query>,
}

#[derive(Debug, Deserialize)]
struct Query {
    ms: Option<Ms>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ms {
    Number(u64),
    Text(String),
}

impl Event {
    /// The milliseconds that the event asks for.
    pub(crate) fn ms(self) -> Result<u64, Error> {
        let ms = self.ms.or(self.query.and_then(|query| query.ms));
        match ms {
            Some(Ms::Number(ms)) => Ok(ms),
            Some(Ms::Text(text)) => text.parse().map_err(|_| bad(&format!("`ms` is `{text}`"))),
            None => Err(bad("`ms` is missing")),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(
        "BadRequest",
        format!("{what}; say how long: ?ms=250 or {{\"ms\": 250}}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(event: &str) -> Result<u64, Error> {
        mayfly_sdk::serde_json::from_str::<Event>(event)
            .unwrap()
            .ms()
    }

    #[test]
    fn both_kinds_of_event_can_say_how_long() {
        assert_eq!(ms(r#"{"ms":250}"#), Ok(250));
        assert_eq!(ms(r#"{"ms":"250"}"#), Ok(250));
        assert_eq!(
            ms(r#"{"rawPath":"/","queryStringParameters":{"ms":"7"}}"#),
            Ok(7)
        );
    }

    #[test]
    fn anything_else_is_an_error_that_shows_how() {
        for event in ["{}", r#"{"ms":"soon"}"#, r#"{"queryStringParameters":{}}"#] {
            assert!(
                ms(event)
                    .unwrap_err()
                    .message()
                    .ends_with(r#"?ms=250 or {"ms": 250}"#)
            );
        }
    }
}
