//! The error a handler answers with: a type name to branch on and a message to read.
//!
//! Says how other errors become one, so that `?` works and a handler may return any usual error
//! type. Knows nothing of how an error reaches the caller; `runtime` writes the bytes.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;

/// The `errorType` of an event, or of a context, that cannot be read.
pub(crate) const BAD_EVENT: &str = "Runtime.BadEvent";
/// The `errorType` of an answer that cannot be written.
pub(crate) const INVALID_RESPONSE: &str = "Runtime.InvalidResponse";
/// The `errorType` of an async handler that waits for something that cannot happen.
pub(crate) const STUCK: &str = "Runtime.Stuck";
/// The `errorType` of an error whose own type is not known any more.
const UNTYPED: &str = "Error";

/// A failure that the caller sees as `{"errorType": .., "errorMessage": ..}`.
///
/// Like `anyhow::Error`, this does not implement [`std::error::Error`] itself, and so every type
/// that does turns into one with `?`. The name of that type becomes the error type, and the
/// message ends with what caused it.
///
/// ```
/// use mayfly_sdk::Error;
///
/// fn half(text: &str) -> Result<i32, Error> {
///     let number: i32 = text.parse()?;
///     if number % 2 != 0 {
///         return Err(Error::new("OddNumber", format!("{number} has no half")));
///     }
///     Ok(number / 2)
/// }
///
/// assert_eq!(half("x").unwrap_err().error_type(), "ParseIntError");
/// assert_eq!(half("3").unwrap_err().message(), "3 has no half");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    error_type: Cow<'static, str>,
    message: String,
}

impl Error {
    /// An error with a type name that callers can branch on, and a message for people.
    pub fn new(error_type: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
        }
    }

    /// The name of the kind of failure, such as `ValidationError`.
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// What went wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The JSON object that the caller gets.
    pub(crate) fn write_json(&self, output: &mut Vec<u8>) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            error_type: &'a str,
            error_message: &'a str,
        }
        let wire = Wire {
            error_type: &self.error_type,
            error_message: &self.message,
        };
        serde_json::to_writer(output, &wire).expect("two strings always make JSON");
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl<E: StdError> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(
            short_type_name::<E>(),
            with_causes(error.to_string(), error.source()),
        )
    }
}

/// An error type that a handler may return.
///
/// `By` only tells the implementations apart: the compiler picks the one that fits, and no code
/// ever names it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a handler",
    label = "not an error type",
    note = "use `mayfly_sdk::Error`, a type that implements `std::error::Error`, `Box<dyn Error>`, \
            `String` or `&str`"
)]
pub trait IntoError<By> {
    /// The error as the caller will see it.
    fn into_error(self) -> Error;
}

/// Marks types that convert: [`Error`] itself and everything that is a [`std::error::Error`].
#[derive(Debug)]
pub struct ByConversion;

/// Marks boxes around some error: `Box<dyn Error>`, `anyhow::Error`.
#[derive(Debug)]
pub struct ByReference;

/// Marks boxes around some error that may cross threads.
#[derive(Debug)]
pub struct ByThreadSafeReference;

/// Marks plain text.
#[derive(Debug)]
pub struct ByText;

#[diagnostic::do_not_recommend]
impl<E: Into<Error>> IntoError<ByConversion> for E {
    fn into_error(self) -> Error {
        self.into()
    }
}

#[diagnostic::do_not_recommend]
impl<E: AsRef<dyn StdError>> IntoError<ByReference> for E {
    fn into_error(self) -> Error {
        from_dyn(self.as_ref())
    }
}

#[diagnostic::do_not_recommend]
impl IntoError<ByThreadSafeReference> for Box<dyn StdError + Send + Sync> {
    fn into_error(self) -> Error {
        from_dyn(&*self)
    }
}

#[diagnostic::do_not_recommend]
impl IntoError<ByText> for String {
    fn into_error(self) -> Error {
        Error::new(UNTYPED, self)
    }
}

#[diagnostic::do_not_recommend]
impl IntoError<ByText> for &str {
    fn into_error(self) -> Error {
        Error::new(UNTYPED, self)
    }
}

fn from_dyn(error: &dyn StdError) -> Error {
    Error::new(UNTYPED, with_causes(error.to_string(), error.source()))
}

/// Appends the causes to a message, leaving out one that the text before it repeats already.
fn with_causes(mut message: String, mut cause: Option<&(dyn StdError + 'static)>) -> String {
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

/// The name of a type without its path and parameters.
fn short_type_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer<T> {
        text: &'static str,
        cause: T,
    }

    impl<T: StdError> fmt::Display for Outer<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.text)
        }
    }

    impl<T: StdError + 'static> StdError for Outer<T> {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.cause)
        }
    }

    fn not_a_number() -> std::num::ParseIntError {
        "x".parse::<i32>().unwrap_err()
    }

    #[track_caller]
    fn check<By>(error: impl IntoError<By>, error_type: &str, message: &str) {
        let error = error.into_error();
        assert_eq!((error.error_type(), error.message()), (error_type, message));
    }

    #[test]
    fn every_usual_error_type_becomes_one() {
        let text = "invalid digit found in string";
        check(Error::new("Late", "too late"), "Late", "too late");
        check(not_a_number(), "ParseIntError", text);
        check(Box::<dyn StdError>::from(not_a_number()), "Error", text);
        check(
            Box::<dyn StdError + Send + Sync>::from(not_a_number()),
            "Error",
            text,
        );
        check("plain", "Error", "plain");
        check(String::from("owned"), "Error", "owned");
    }

    #[test]
    fn causes_follow_the_message_and_type_parameters_do_not_show() {
        let error = Outer {
            text: "reading the order failed",
            cause: not_a_number(),
        };
        let message = "reading the order failed: invalid digit found in string";
        check(error, "Outer", message);
    }

    #[test]
    fn a_cause_that_the_message_repeats_is_named_once() {
        let text = "bad order: invalid digit found in string";
        check(
            Outer {
                text,
                cause: not_a_number(),
            },
            "Outer",
            text,
        );
    }

    #[test]
    fn quotes_and_control_characters_survive_as_json() {
        let mut output = Vec::new();
        Error::new("T", "say \"hi\"\n").write_json(&mut output);
        let expected = r#"{"errorType":"T","errorMessage":"say \"hi\"\n"}"#;
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
