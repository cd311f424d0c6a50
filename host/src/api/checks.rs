//! What members of a request must satisfy, in the words of AWS: every breach is listed, each with its
//! value, its place and the rule.
//!
//! Knows nothing of functions or operations.

use std::ops::RangeInclusive;

use http::StatusCode;

use super::error::ApiError;

/// Characters of a value that are quoted in an error.
const QUOTED_CHARS_MAX: usize = 256;

/// The breaches found so far.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<String>);

impl Checks {
    /// `value` at `member` breaks `rule`.
    pub(super) fn breach(&mut self, member: &str, value: &str, rule: &str) {
        let quoted: String = value.chars().take(QUOTED_CHARS_MAX).collect();
        self.0.push(format!(
            "Value '{quoted}' at '{member}' failed to satisfy constraint: Member must {rule}"
        ));
    }

    /// What is not there must be.
    pub(super) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.0.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// A number within `range`.
    pub(super) fn range(&mut self, member: &str, value: Option<i64>, range: &RangeInclusive<i64>) {
        let Some(value) = value else {
            return;
        };
        let rule = if value < *range.start() {
            format!("have value greater than or equal to {}", range.start())
        } else if value > *range.end() {
            format!("have value less than or equal to {}", range.end())
        } else {
            return;
        };
        self.breach(member, &value.to_string(), &rule);
    }

    /// A text with `range` characters.
    pub(super) fn length(
        &mut self,
        member: &str,
        value: Option<&str>,
        range: &RangeInclusive<usize>,
    ) {
        let Some(value) = value else {
            return;
        };
        let chars = value.chars().count();
        let rule = if chars < *range.start() {
            format!("have length greater than or equal to {}", range.start())
        } else if chars > *range.end() {
            format!("have length less than or equal to {}", range.end())
        } else {
            return;
        };
        self.breach(member, value, &rule);
    }

    /// One of `known`.
    pub(super) fn one_of(&mut self, member: &str, value: Option<&str>, known: &[&str]) {
        if let Some(value) = value
            && !known.contains(&value)
        {
            let rule = format!("satisfy enum value set: [{}]", known.join(", "));
            self.breach(member, value, &rule);
        }
    }

    /// A text that `pattern`, which `fits` decides, allows.
    pub(super) fn pattern(
        &mut self,
        member: &str,
        value: Option<&str>,
        pattern: &str,
        fits: impl Fn(&str) -> bool,
    ) {
        if let Some(value) = value
            && !fits(value)
        {
            let rule = format!("satisfy regular expression pattern: {pattern}");
            self.breach(member, value, &rule);
        }
    }

    /// Nothing, or all breaches in one error.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`.
    pub(super) fn done(self) -> Result<(), ApiError> {
        self.done_as("ValidationException")
    }

    /// The same, for an API that calls the error otherwise.
    ///
    /// # Errors
    ///
    /// 400 `code`.
    pub(super) fn done_as(self, code: &'static str) -> Result<(), ApiError> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let errors = if count == 1 { "error" } else { "errors" };
        Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            code,
            format!(
                "{count} validation {errors} detected: {}",
                self.0.join("; ")
            ),
        ))
    }
}

/// Whether a text has letters, digits, `-` and `_` only, at least one.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(checks: Checks) -> String {
        checks.done().unwrap_err().message().to_owned()
    }

    #[test]
    fn breaches_are_told_as_aws_tells_them() {
        let mut checks = Checks::default();
        checks.range("memorySize", Some(0), &(1..=4_096));
        assert_eq!(
            message(checks),
            "1 validation error detected: Value '0' at 'memorySize' failed to satisfy constraint: \
             Member must have value greater than or equal to 1"
        );
        let mut checks = Checks::default();
        checks.required::<String>("role", None);
        checks.one_of("authType", Some("X"), &["NONE", "AWS_IAM"]);
        checks.length("description", Some("abc"), &(0..=2));
        checks.pattern("name", Some("a b"), "[a-z]+", is_word);
        assert_eq!(
            message(checks),
            "4 validation errors detected: Value null at 'role' failed to satisfy constraint: Member \
             must not be null; Value 'X' at 'authType' failed to satisfy constraint: Member must \
             satisfy enum value set: [NONE, AWS_IAM]; Value 'abc' at 'description' failed to satisfy \
             constraint: Member must have length less than or equal to 2; Value 'a b' at 'name' failed \
             to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"
        );
    }

    #[test]
    fn what_is_right_or_absent_is_no_breach() {
        let mut checks = Checks::default();
        checks.range("a", None, &(1..=2));
        checks.range("a", Some(2), &(1..=2));
        checks.length("b", Some(""), &(0..=1));
        checks.one_of("c", None, &[]);
        checks.required("d", Some(&1));
        checks.done().unwrap();
    }
}
