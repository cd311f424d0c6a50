//! Aliases, and what may stand behind the name of a function: a version or an alias.
//!
//! Every value has one spelling, so what is compared, stored or authorised is compared by its text.
//! Knows nothing of which versions and aliases there are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::VersionId;

/// Longest alias, in characters. The rule of Lambda's `Alias`.
pub const ALIAS_CHARS_MAX: usize = 128;

/// How the mutable version is written.
pub const LATEST: &str = "$LATEST";

/// Characters of a wrong text that an error shows.
const SHOWN_CHARS_MAX: usize = 140;

/// An alias's name: 1 to 128 of `A-Z a-z 0-9 - _`, not digits alone. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AliasName(Arc<str>);

/// A version or an alias, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Qualifier {
    /// `$LATEST` or a number.
    Version(VersionId),
    /// An alias.
    Alias(AliasName),
}

/// Why a text is neither a version nor an alias. Texts are shown escaped, and cut when they are long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QualifierError {
    /// Nothing at all.
    #[error("a version or alias can't be empty")]
    Empty,
    /// Longer than [`ALIAS_CHARS_MAX`].
    #[error("alias `{text}` has {chars} characters; at most {ALIAS_CHARS_MAX} are allowed")]
    TooLong {
        /// The text.
        text: String,
        /// How long it was.
        chars: usize,
    },
    /// A character outside the allowed set.
    #[error(
        "`{text}` has the character {character:?}; a version is `$LATEST` or a number, and an alias has letters, digits, `-` and `_`"
    )]
    Character {
        /// The text.
        text: String,
        /// The first offending character.
        character: char,
    },
    /// Digits that are no version number: zero, a leading zero, or too many.
    #[error("`{text}` is no version number: those start at 1 and have no leading zero")]
    Number {
        /// The text.
        text: String,
    },
    /// A version number where an alias is wanted.
    #[error("`{text}` is a version number; an alias needs a letter, `-` or `_`")]
    Digits {
        /// The text.
        text: String,
    },
}

/// A foreign text, fit to be shown.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    cut.escape_debug().to_string()
}

impl AliasName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`QualifierError`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, QualifierError> {
        let text = || shown(name);
        if name.is_empty() {
            return Err(QualifierError::Empty);
        }
        let chars = name.chars().count();
        if chars > ALIAS_CHARS_MAX {
            return Err(QualifierError::TooLong {
                text: text(),
                chars,
            });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(character) = name.chars().find(|c| !allowed(c)) {
            return Err(QualifierError::Character {
                text: text(),
                character,
            });
        }
        if is_digits(name) {
            return Err(QualifierError::Digits { text: text() });
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Qualifier {
    /// Reads `$LATEST`, a number, or an alias.
    ///
    /// # Errors
    ///
    /// [`QualifierError`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, QualifierError> {
        if text == LATEST {
            return Ok(Self::Version(VersionId::Latest));
        }
        if !is_digits(text) {
            return AliasName::parse(text).map(Self::Alias);
        }
        match text.parse() {
            Ok(number) if !text.starts_with('0') => Ok(Self::Version(VersionId::Number(number))),
            _ => Err(QualifierError::Number { text: shown(text) }),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

impl AsRef<str> for AliasName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for AliasName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for AliasName {
    type Err = QualifierError;

    fn from_str(text: &str) -> Result<Self, QualifierError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for AliasName {
    type Error = QualifierError;

    fn try_from(text: String) -> Result<Self, QualifierError> {
        Self::parse(&text)
    }
}

impl From<AliasName> for String {
    fn from(name: AliasName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl FromStr for Qualifier {
    type Err = QualifierError;

    fn from_str(text: &str) -> Result<Self, QualifierError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Qualifier {
    type Error = QualifierError;

    fn try_from(text: String) -> Result<Self, QualifierError> {
        Self::parse(&text)
    }
}

impl From<Qualifier> for String {
    fn from(qualifier: Qualifier) -> Self {
        qualifier.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qualifier_is_latest_a_number_or_an_alias_and_has_one_spelling() {
        for (text, expected) in [
            ("$LATEST", Qualifier::Version(VersionId::Latest)),
            ("1", Qualifier::Version(VersionId::Number(1))),
            (
                "18446744073709551615",
                Qualifier::Version(VersionId::Number(u64::MAX)),
            ),
            ("live", Qualifier::Alias(AliasName::parse("live").unwrap())),
            ("1a", Qualifier::Alias(AliasName::parse("1a").unwrap())),
            (
                "LATEST",
                Qualifier::Alias(AliasName::parse("LATEST").unwrap()),
            ),
        ] {
            let qualifier = Qualifier::parse(text).unwrap();
            assert_eq!(qualifier, expected);
            assert_eq!(qualifier.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_qualifier_says_which_rule_it_breaks() {
        for (text, expected) in [
            ("", "a version or alias can't be empty"),
            (
                "0",
                "`0` is no version number: those start at 1 and have no leading zero",
            ),
            (
                "01",
                "`01` is no version number: those start at 1 and have no leading zero",
            ),
            (
                "18446744073709551616",
                "`18446744073709551616` is no version number: those start at 1 and have no leading zero",
            ),
            (
                "$latest",
                "`$latest` has the character '$'; a version is `$LATEST` or a number, and an alias has letters, digits, `-` and `_`",
            ),
            (
                "li\nve",
                "`li\\nve` has the character '\\n'; a version is `$LATEST` or a number, and an alias has letters, digits, `-` and `_`",
            ),
        ] {
            assert_eq!(Qualifier::parse(text).unwrap_err().to_string(), expected);
        }
        let long = "x".repeat(129);
        let error = Qualifier::parse(&long).unwrap_err().to_string();
        assert!(
            error.ends_with("has 129 characters; at most 128 are allowed"),
            "{error}"
        );
    }

    #[test]
    fn an_alias_is_no_version() {
        for bad in ["1", "0007", "$LATEST", "", "a b", &"x".repeat(129)] {
            AliasName::parse(bad).unwrap_err();
        }
        assert_eq!(
            AliasName::parse("7").unwrap_err().to_string(),
            "`7` is a version number; an alias needs a letter, `-` or `_`"
        );
        assert_eq!(
            AliasName::parse(&"x".repeat(128)).unwrap().as_str().len(),
            128
        );
    }
}
