//! From what a handler returns to the payload bytes.
//!
//! [`Answer`] says which values have a payload; [`Returned`] tells a `Result`, whose error is
//! the handler's failure, from every other value. HTTP responses are in `response`. Knows neither
//! the byte in front that marks an error nor where the bytes go.

use serde::Serialize;

use crate::error::{Error, INVALID_RESPONSE, IntoError};
use crate::event::ByJson;

/// A value that a handler may answer with.
///
/// `By` only tells the implementations apart: the compiler picks the one that fits, and no code
/// ever names it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a handler",
    label = "neither serialisable nor an HTTP response",
    note = "derive `serde::Serialize` for it, or answer with `http::Response<B>` where `B` is \
            `Vec<u8>`, `String`, `&'static str` or `()`"
)]
pub trait Answer<By> {
    /// Appends the payload.
    ///
    /// # Errors
    ///
    /// `Runtime.InvalidResponse` when the value has no JSON form.
    fn write(self, output: &mut Vec<u8>) -> Result<(), Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Answer<ByJson> for T {
    fn write(self, output: &mut Vec<u8>) -> Result<(), Error> {
        serde_json::to_writer(output, &self).map_err(|error| no_json(&error))
    }
}

#[cold]
pub(crate) fn no_json(error: &serde_json::Error) -> Error {
    Error::new(
        INVALID_RESPONSE,
        format!("the answer cannot be written as JSON: {error}"),
    )
}

/// What a handler returned, before it is known whether that is a `Result`.
///
/// serde can serialise a `Result`, so a trait alone would have to guess. The method below exists
/// for `Result` only and wins over the one of [`PlainAnswer`], which exists for every type:
/// inherent methods come first.
#[derive(Debug)]
pub struct Returned<T>(pub T);

impl<T, E> Returned<Result<T, E>> {
    /// Appends the payload of `Ok`, or hands on the handler's error.
    ///
    /// # Errors
    ///
    /// The handler's own, or that its answer has no JSON form.
    pub fn write<By, ErrorBy>(self, output: &mut Vec<u8>) -> Result<(), Error>
    where
        T: Answer<By>,
        E: IntoError<ErrorBy>,
    {
        self.0.map_err(E::into_error)?.write(output)
    }
}

/// The way out for every return type that is not a `Result`.
pub trait PlainAnswer<T> {
    /// Appends the payload.
    ///
    /// # Errors
    ///
    /// `Runtime.InvalidResponse` when the value has no JSON form.
    fn write<By>(self, output: &mut Vec<u8>) -> Result<(), Error>
    where
        T: Answer<By>;
}

impl<T> PlainAnswer<T> for Returned<T> {
    fn write<By>(self, output: &mut Vec<u8>) -> Result<(), Error>
    where
        T: Answer<By>,
    {
        self.0.write(output)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt;

    use super::*;

    /// An error that serde could also write as JSON.
    #[derive(Debug, Serialize)]
    struct Refused {
        why: u8,
    }

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "refused, reason {}", self.why)
        }
    }

    impl std::error::Error for Refused {}

    macro_rules! written {
        ($value:expr) => {{
            let mut output = Vec::new();
            Returned($value)
                .write(&mut output)
                .map(|()| String::from_utf8(output).unwrap())
        }};
    }

    #[test]
    fn plain_values_and_the_ok_of_results_are_payloads() {
        assert_eq!(written!(()).unwrap(), "null");
        assert_eq!(written!("text").unwrap(), r#""text""#);
        assert_eq!(written!(Some(1)).unwrap(), "1");
        assert_eq!(
            written!(Ok::<_, Refused>(Refused { why: 1 })).unwrap(),
            r#"{"why":1}"#
        );
        assert_eq!(
            written!(Ok::<_, Error>(http::Response::new(()))).unwrap(),
            STATUS_200
        );
        assert_eq!(written!(http::Response::new(())).unwrap(), STATUS_200);
    }

    const STATUS_200: &str = r#"{"statusCode":200,"isBase64Encoded":false}"#;

    #[test]
    fn the_err_of_a_result_is_never_a_payload_even_if_serde_knows_it() {
        let error = written!(Err::<(), _>(Refused { why: 2 })).unwrap_err();
        assert_eq!(
            (error.error_type(), error.message()),
            ("Refused", "refused, reason 2")
        );
        assert_eq!(written!(Err::<(), _>("no")).unwrap_err().message(), "no");
    }

    #[test]
    fn an_answer_without_a_json_form_is_an_error() {
        let error = written!(BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert_eq!(error.error_type(), INVALID_RESPONSE);
        let expected = "the answer cannot be written as JSON: key must be a string";
        assert_eq!(error.message(), expected);
    }
}
