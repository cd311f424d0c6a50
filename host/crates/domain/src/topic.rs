//! Topics: what they are called, and which of them a subscription takes.
//!
//! A topic is segments with dots between them, such as `orders.created`. A pattern may have `*` where
//! any one segment may stand, and `**` at its end for all that follows: `orders.*`, `orders.**`.
//!
//! Knows nothing of who subscribes and of how events get there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest topic and longest pattern, in characters.
pub const TOPIC_CHARS_MAX: usize = 256;

/// Stands for any one segment.
const ANY: &str = "*";

/// At the end: for one segment or more.
const REST: &str = "**";

/// Characters of a wrong text that an error repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// A topic: 1 to 256 letters, digits, `_` and `-`, in segments that are not empty, with `.` between
/// them. Upper and lower case differ. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// Which topics a subscription takes: a topic in which `*` is any one segment, and `**` as the last
/// segment is one segment or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern(Arc<str>);

/// Why a text is no topic, or no pattern of topics. Texts are shown escaped, and cut when they are
/// long; positions are characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing at all.
    #[error("a topic can't be empty; write one such as `orders.created`")]
    Empty,
    /// Longer than [`TOPIC_CHARS_MAX`].
    #[error("topic `{text}` has {chars} characters; at most {TOPIC_CHARS_MAX} are allowed")]
    TooLong {
        /// The text.
        text: String,
        /// How long it is.
        chars: usize,
    },
    /// A dot at the start, at the end, or beside another.
    #[error(
        "topic `{text}` has an empty segment at character {at}; write one such as `orders.created`"
    )]
    EmptySegment {
        /// The text.
        text: String,
        /// Where the segment should be.
        at: usize,
    },
    /// A character outside the allowed set.
    #[error(
        "topic `{text}` has the character {character:?} at character {at}; allowed are letters, digits, `_` and `-` in segments with `.` between them, such as `orders.created`"
    )]
    Character {
        /// The text.
        text: String,
        /// The character.
        character: char,
        /// Where it is.
        at: usize,
    },
    /// A `*` in what is no pattern, or beside other characters of its segment.
    #[error(
        "`{text}` has a `*` at character {at}; what is published has none, and in a subscription `*` stands for one whole segment, such as `orders.*`, and `**` for all that follow, only at the end, such as `orders.**`"
    )]
    Star {
        /// The text.
        text: String,
        /// Where it is.
        at: usize,
    },
}

impl TopicName {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`TopicError`] says which rule is broken, and where.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check(text, |_, _| false)?;
        Ok(Self(text.into()))
    }

    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicPattern {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`TopicError`] says which rule is broken, and where.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check(text, |segment, is_last| {
            segment == ANY || (segment == REST && is_last)
        })?;
        Ok(Self(text.into()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the subscription takes what is published to `topic`.
    #[must_use]
    pub fn takes(&self, topic: &TopicName) -> bool {
        let mut wanted = self.0.split('.');
        let mut segments = topic.0.split('.');
        loop {
            match (wanted.next(), segments.next()) {
                (None, None) | (Some(REST), Some(_)) => return true,
                (Some(wanted), Some(segment)) if wanted == ANY || wanted == segment => {}
                _ => return false,
            }
        }
    }
}

/// Checks the segments of a text; `is_wild` says which of them may have stars, by segment and by
/// whether it is the last.
fn check(text: &str, is_wild: impl Fn(&str, bool) -> bool) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    let chars = text.chars().count();
    if chars > TOPIC_CHARS_MAX {
        let text = shown(text);
        return Err(TopicError::TooLong { text, chars });
    }
    let mut at = 1;
    let mut segments = text.split('.').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() {
            let text = shown(text);
            return Err(TopicError::EmptySegment { text, at });
        }
        if !is_wild(segment, segments.peek().is_none()) {
            check_plain(text, segment, at)?;
        }
        at += segment.chars().count() + 1;
    }
    Ok(())
}

/// Checks a segment that has no star and begins at the character `start`.
fn check_plain(text: &str, segment: &str, start: usize) -> Result<(), TopicError> {
    for (offset, character) in segment.chars().enumerate() {
        let at = start + offset;
        if character == '*' {
            let text = shown(text);
            return Err(TopicError::Star { text, at });
        }
        if !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-')) {
            return Err(TopicError::Character {
                text: shown(text),
                character,
                at,
            });
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    shown = shown.escape_debug().to_string();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TopicName {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        Self::parse(&text)
    }
}

impl From<TopicName> for String {
    fn from(topic: TopicName) -> Self {
        topic.0.as_ref().to_owned()
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_takes(pattern: &str, takes: &[&str], leaves: &[&str]) {
        let parsed = TopicPattern::parse(pattern).unwrap();
        for (topics, expected) in [(takes, true), (leaves, false)] {
            for topic in topics {
                let name = TopicName::parse(topic).unwrap();
                assert_eq!(parsed.takes(&name), expected, "{pattern} {topic}");
            }
        }
    }

    #[test]
    fn a_pattern_takes_what_fits_it_segment_by_segment() {
        check_takes(
            "orders",
            &["orders"],
            &["Orders", "orders.created", "order"],
        );
        check_takes(
            "orders.*",
            &["orders.created", "orders.7"],
            &["orders", "orders.created.eu", "other.created"],
        );
        check_takes(
            "*.created",
            &["orders.created"],
            &["created", "orders.eu.created", "orders.deleted"],
        );
        check_takes(
            "orders.*.eu",
            &["orders.created.eu"],
            &["orders.eu", "orders.created.us", "orders.a.b.eu"],
        );
        check_takes(
            "orders.**",
            &["orders.created", "orders.created.eu.north"],
            &["orders", "other.created"],
        );
        check_takes("**", &["orders", "orders.created.eu"], &[]);
        check_takes("*", &["orders"], &["orders.created"]);
    }

    #[test]
    fn a_topic_has_segments_of_letters_digits_underscores_and_dashes() {
        let longest = "x".repeat(TOPIC_CHARS_MAX);
        for text in ["orders", "orders.created", "A-1_b.2", &longest] {
            assert_eq!(TopicName::parse(text).unwrap().to_string(), text);
            assert_eq!(TopicPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[track_caller]
    fn check_refused(text: &str, parts: &[&str]) {
        let name = TopicName::parse(text).unwrap_err();
        let pattern = TopicPattern::parse(text).unwrap_err();
        assert_eq!(name, pattern);
        let message = name.to_string();
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn what_is_no_topic_is_told_with_the_place_and_an_example() {
        check_refused("", &["empty", "`orders.created`"]);
        check_refused(".a", &["empty segment at character 1"]);
        check_refused("a..b", &["empty segment at character 3"]);
        check_refused("a.b.", &["`a.b.`", "empty segment at character 5"]);
        check_refused("a.b c", &["' '", "at character 4", "`orders.created`"]);
        check_refused("é", &["'é'", "at character 1"]);
        check_refused("a\n", &["`a\\n`", "'\\n'"]);
        check_refused("a.b*", &["`*` at character 4", "`orders.*`", "`orders.**`"]);
        check_refused("a.**.b", &["`*` at character 3"]);
        check_refused("a.***", &["`*` at character 3"]);
        check_refused("orders/created", &["'/'", "at character 7"]);
        let long = "x".repeat(TOPIC_CHARS_MAX + 1);
        check_refused(&long, &["has 257 characters; at most 256 are allowed", "…"]);
    }

    #[test]
    fn a_name_has_no_stars() {
        for text in ["*", "orders.*", "orders.**"] {
            let error = TopicName::parse(text).unwrap_err();
            assert!(matches!(error, TopicError::Star { .. }), "{error}");
        }
    }

    #[test]
    fn a_pattern_that_was_stored_is_checked_when_it_is_read() {
        let pattern = TopicPattern::parse("orders.*").unwrap();
        let text = serde_json::to_string(&pattern).unwrap();
        assert_eq!(text, "\"orders.*\"");
        assert_eq!(
            serde_json::from_str::<TopicPattern>(&text).unwrap(),
            pattern
        );
        serde_json::from_str::<TopicPattern>("\"a..b\"").unwrap_err();
    }
}
