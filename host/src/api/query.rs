//! The query of a control request: known names, each at most once, with typed values.

use std::ops::RangeInclusive;

use domain::routing::decode_percent;
use jiff::Timestamp;

use super::error::ApiError;

/// The names that sign a presigned request.
const SIGNATURE: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// A decoded query.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: &str) -> Result<Self, ApiError> {
        let decode = |text: &str| {
            decode_percent(text.replace('+', " ").as_bytes())
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    ApiError::validation(format!("query `{text}` is not percent-encoded UTF-8"))
                })
        };
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        // Those of a presigned request's signature are no operation's.
        pairs.retain(|(name, _)| !SIGNATURE.contains(&name.as_str()));
        Ok(Self(pairs))
    }

    /// All pairs, decoded, in the order they came.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Refuses names that the operation does not know, so that a slip of the pen is not silence.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        for (name, _) in &self.0 {
            if !known.contains(&name.as_str()) {
                return Err(ApiError::validation(match known {
                    [] => format!("query parameter `{name}` is not known; there is none here"),
                    known => format!(
                        "query parameter `{name}` is not one of: {}",
                        known.join(", ")
                    ),
                }));
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a name, in their order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str, max: u64) -> Result<Option<u64>, ApiError> {
        self.number_in(name, 0..=max)
    }

    /// A number within `range`.
    pub(super) fn number_in(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::validation(format!(
                "query parameter `{name}` is `{text}`; it must be a number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// An RFC 3339 instant, in Unix microseconds.
    pub(super) fn instant_us(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse::<Timestamp>() {
            Ok(at) => Ok(Some(at.as_microsecond())),
            Err(_) => Err(ApiError::validation(format!(
                "query parameter `{name}` is `{text}`; it must be an RFC 3339 instant such as 2026-11-22T00:00:00Z"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_typed_and_unknown_names_are_refused() {
        let query = Query::parse("limit=10&since=2026-11-22T00:00:00Z&function=a%2Db&x").unwrap();
        assert_eq!(query.number("limit", 100).unwrap(), Some(10));
        query.number("limit", 9).unwrap_err();
        let refused = query.number_in("limit", 11..=99).unwrap_err();
        assert!(refused.message().ends_with("from 11 to 99"));
        let refused = query.only(&[]).unwrap_err();
        assert!(refused.message().ends_with("there is none here"));
        assert_eq!(query.text("function"), Some("a-b"));
        assert_eq!(
            query.instant_us("since").unwrap(),
            Some(1_795_305_600_000_000)
        );
        query.instant_us("function").unwrap_err();
        query.only(&["limit", "since", "function"]).unwrap_err();
        Query::parse("%zz").unwrap_err();
        let presigned = Query::parse("limit=1&X-Amz-Signature=0&X-Amz-Date=x").unwrap();
        presigned.only(&["limit"]).unwrap();
        let other = Query::parse("X-Amz-Other=1").unwrap();
        other.only(&["limit"]).unwrap_err();
    }
}
