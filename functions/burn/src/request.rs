//! How long to burn, from either kind of event.
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

/// A time to burn.
#[derive(Debug, PartialEq)]
pub(crate) enum Span {
    Ms(u64),
    Forever,
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
    /// The time that the event asks for.
    pub(crate) fn span(self) -> Result<Span, Error> {
        match self.ms.or(self.query.and_then(|query| query.ms)) {
            Some(Ms::Number(ms)) => Ok(Span::Ms(ms)),
            Some(Ms::Text(text)) if text == "forever" => Ok(Span::Forever),
            Some(Ms::Text(text)) => text
                .parse()
                .map(Span::Ms)
                .map_err(|_| bad(&format!("`ms` is `{text}`"))),
            None => Err(bad("`ms` is missing")),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(
        "BadRequest",
        format!("{what}; say how long: ?ms=250, {{\"ms\": 250}} or forever"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(event: &str) -> Result<Span, Error> {
        mayfly_sdk::serde_json::from_str::<Event>(event)
            .unwrap()
            .span()
    }

    #[test]
    fn both_kinds_of_event_can_say_how_long() {
        assert_eq!(span(r#"{"ms":250}"#), Ok(Span::Ms(250)));
        assert_eq!(span(r#"{"ms":"forever"}"#), Ok(Span::Forever));
        assert_eq!(
            span(r#"{"queryStringParameters":{"ms":"7"}}"#),
            Ok(Span::Ms(7))
        );
        assert_eq!(
            span(r#"{"queryStringParameters":{"ms":"forever"}}"#),
            Ok(Span::Forever)
        );
    }

    #[test]
    fn anything_else_is_an_error_that_shows_how() {
        for event in ["{}", r#"{"ms":"soon"}"#, r#"{"queryStringParameters":{}}"#] {
            assert!(span(event).unwrap_err().message().contains("?ms=250"));
        }
    }
}
