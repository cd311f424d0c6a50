//! What things are called: functions, versions, requests.
//!
//! A value of one of these types is valid; parsing is the only way in. How requests name a function is
//! in [`crate::function_ref`], aliases are in [`crate::qualifier`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest function name, in characters. The rule of Lambda's `FunctionName`.
pub const FUNCTION_NAME_CHARS_MAX: usize = 64;

/// The account in every ARN until accounts exist.
pub const ACCOUNT_ID: &str = "000000000000";

/// A function's name: 1 to 64 of `A-Z a-z 0-9 - _`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(Arc<str>);

/// Why a text is not a function name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a function name can't be empty")]
    Empty,
    /// Longer than [`FUNCTION_NAME_CHARS_MAX`].
    #[error(
        "function name `{name}` has {chars} characters; at most {FUNCTION_NAME_CHARS_MAX} are allowed"
    )]
    TooLong {
        /// The name, cut to the allowed length.
        name: String,
        /// How long it was.
        chars: usize,
    },
    /// A character outside the allowed set.
    #[error(
        "function name `{name}` has the character {character:?}; allowed are letters, digits, `-` and `_`"
    )]
    Character {
        /// The name, with control characters escaped.
        name: String,
        /// The first offending character.
        character: char,
    },
}

impl FunctionName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let chars = name.chars().count();
        if chars > FUNCTION_NAME_CHARS_MAX {
            let name = name
                .chars()
                .take(FUNCTION_NAME_CHARS_MAX)
                .collect::<String>();
            return Err(NameError::TooLong {
                name: name.escape_debug().to_string(),
                chars,
            });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match name.chars().find(|c| !allowed(c)) {
            Some(character) => Err(NameError::Character {
                name: name.escape_debug().to_string(),
                character,
            }),
            None => Ok(Self(Arc::from(name))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The function's Amazon resource name, unqualified, in `region`.
    #[must_use]
    pub fn arn(&self, region: &str) -> String {
        format!("arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{self}")
    }

    /// The name of the function's log group, `/aws/lambda/NAME`.
    #[must_use]
    pub fn log_group(&self) -> String {
        format!("/aws/lambda/{self}")
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for FunctionName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for FunctionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FunctionName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl std::str::FromStr for FunctionName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Which version of a function ran: `$LATEST`, or a published number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VersionId {
    /// The mutable one.
    Latest,
    /// An immutable one.
    Number(u64),
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl From<VersionId> for String {
    fn from(version: VersionId) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for VersionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "$LATEST" => Ok(Self::Latest),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err(format!(
                    "`{text}` is neither `$LATEST` nor a version number"
                )),
            },
        }
    }
}

/// Identifies one event; all attempts to run it share the id.
///
/// A UUID version 7, so ids sort by the time they were made (to the millisecond).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Makes an id for the instant `unix_ms`, with `random` bits for the rest.
    #[must_use]
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }

    /// Reads back the 16 bytes of [`RequestId::as_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id's 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Length of the id as text.
    pub const TEXT_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

    /// Writes the id as text, as [`fmt::Display`] does, for those who write many.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; Self::TEXT_BYTES]) -> &'b str {
        self.0.hyphenated().encode_lower(buffer)
    }

    /// When the id was made, in Unix milliseconds, for ids made by [`RequestId::new`].
    #[must_use]
    pub fn unix_ms(&self) -> Option<u64> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        Some(seconds * 1_000 + u64::from(nanos) / 1_000_000)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; Self::TEXT_BYTES]))
    }
}

/// Why a text is no [`RequestId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id looks like 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f")]
pub struct RequestIdError;

impl std::str::FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        Uuid::parse_str(text).map(Self).map_err(|_| RequestIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(name: &str, expected: &str) {
        assert_eq!(FunctionName::parse(name).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_name_is_letters_digits_dash_and_underscore() {
        for name in ["a", "hello", "Hello-2_x", "-rf", &"x".repeat(64)] {
            assert_eq!(FunctionName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_refused_name_says_which_rule_it_breaks() {
        check_refused("", "a function name can't be empty");
        check_refused(
            "a b",
            "function name `a b` has the character ' '; allowed are letters, digits, `-` and `_`",
        );
        check_refused(
            "a\u{202e}b",
            "function name `a\\u{202e}b` has the character '\\u{202e}'; allowed are letters, digits, `-` and `_`",
        );
        let long = "x".repeat(300);
        check_refused(
            &long,
            &format!(
                "function name `{}` has 300 characters; at most 64 are allowed",
                &long[..64]
            ),
        );
    }

    #[test]
    fn a_request_id_keeps_its_time_and_round_trips() {
        let id = RequestId::new(1_763_830_000_123, [7; 10]);
        assert_eq!(id.unix_ms(), Some(1_763_830_000_123));
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        assert_eq!(RequestId::from_bytes(*id.as_bytes()), id);
        assert_eq!(&id.to_string()[14..15], "7");
    }

    #[test]
    fn a_version_is_latest_or_a_positive_number() {
        assert_eq!(
            VersionId::try_from("$LATEST".to_owned()),
            Ok(VersionId::Latest)
        );
        assert_eq!(
            VersionId::try_from("3".to_owned()),
            Ok(VersionId::Number(3))
        );
        for bad in ["0", "-1", "latest", ""] {
            VersionId::try_from(bad.to_owned()).unwrap_err();
        }
    }
}
