//! From the input bytes to the value that a handler takes.
//!
//! [`Input`] splits what the host wrote into context and event; [`Event`] says which types can be
//! made of the event. JSON is here, HTTP requests are in `request`. Nothing here runs a handler.

use serde::Deserialize;

use crate::context::Context;
use crate::error::{BAD_EVENT, Error};

/// The bytes before the context: its length as a little-endian `u32`.
const LENGTH_BYTES: usize = size_of::<u32>();

/// One invocation's input, split but not parsed.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    context: &'a [u8],
    event: &'a [u8],
}

impl<'a> Input<'a> {
    /// Splits the length, the context and the event that the host wrote one after the other.
    pub(crate) fn split(bytes: &'a [u8]) -> Result<Self, Error> {
        let (length, rest) = bytes
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(too_short)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| too_short())?;
        let (context, event) = rest.split_at_checked(length).ok_or_else(too_short)?;
        Ok(Self { context, event })
    }

    /// The context that a handler asked for.
    ///
    /// # Errors
    ///
    /// When the host's JSON is not one.
    pub fn context(&self) -> Result<Context, Error> {
        Context::from_json(self.context)
    }

    /// The event as the type that a handler takes.
    ///
    /// # Errors
    ///
    /// `Runtime.BadEvent` when the event does not fit that type.
    pub fn event<E: Event<'a, By>, By>(&self) -> Result<E, Error> {
        // An invocation without a payload is one with the payload `null`.
        E::from_bytes(if self.event.is_empty() {
            b"null"
        } else {
            self.event
        })
    }
}

#[cold]
fn too_short() -> Error {
    Error::new(BAD_EVENT, "the input ends before the context does")
}

/// A type that a handler may take as its event.
///
/// `By` only tells the implementations apart: the compiler picks the one that fits, and no code
/// ever names it. It must be there because a type could be both deserialisable and an HTTP request
/// as far as the compiler may assume.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the event of a handler",
    label = "neither deserialisable nor an HTTP request",
    note = "derive `serde::Deserialize` for it, or take `http::Request<B>` where `B` is `Vec<u8>`, \
            `String` or `()`"
)]
pub trait Event<'a, By>: Sized {
    /// Reads the event's bytes, which are never empty.
    ///
    /// # Errors
    ///
    /// `Runtime.BadEvent` when they do not fit.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error>;
}

/// Marks events that are any JSON.
#[derive(Debug)]
pub struct ByJson;

#[diagnostic::do_not_recommend]
impl<'a, T: Deserialize<'a>> Event<'a, ByJson> for T {
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| does_not_fit::<T>(&error))
    }
}

#[cold]
fn does_not_fit<T>(error: &serde_json::Error) -> Error {
    let name = readable(std::any::type_name::<T>());
    Error::new(
        BAD_EVENT,
        format!("the event does not fit `{name}`: {error}"),
    )
}

/// A type's name as people write it: `Option<Order>` for `core::option::Option<shop::Order>`.
fn readable(name: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c| is_path(c) != is_path(first))
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        short.push_str(part.rsplit("::").next().unwrap_or(part));
        rest = after;
    }
    short.replace("<'_>", "")
}

/// Input bytes for tests, as the host would write them.
#[cfg(test)]
pub(crate) fn input_bytes(context: &str, event: &str) -> Vec<u8> {
    let length = u32::try_from(context.len()).unwrap();
    [&length.to_le_bytes(), context.as_bytes(), event.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Greeting<'a> {
        name: &'a str,
    }

    #[test]
    fn the_event_follows_the_context_and_may_be_borrowed() {
        let bytes = input_bytes("{}", r#"{"name":"Ada"}"#);
        let input = Input::split(&bytes).unwrap();
        assert_eq!(input.event(), Ok(Greeting { name: "Ada" }));
    }

    #[test]
    fn no_event_is_null() {
        let bytes = input_bytes("{}", "");
        let input = Input::split(&bytes).unwrap();
        assert_eq!(input.event(), Ok(None::<u8>));
        assert_eq!(input.event(), Ok(()));
        assert_eq!(input.event(), Ok(serde_json::Value::Null));
    }

    #[test]
    fn a_bad_event_names_the_type_and_the_place() {
        let bytes = input_bytes("{}", "{\n\"name\": 1}");
        let error = Input::split(&bytes)
            .unwrap()
            .event::<Greeting<'_>, _>()
            .unwrap_err();
        assert_eq!(error.error_type(), BAD_EVENT);
        let expected = "the event does not fit `Greeting`: invalid type: integer `1`, expected a \
                        borrowed string at line 2 column 9";
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn type_names_lose_paths_and_lifetimes_wherever_they_stand() {
        for (name, expected) in [
            ("shop::Order", "Order"),
            ("core::option::Option<shop::Order<'_>>", "Option<Order>"),
            ("(alloc::vec::Vec<u8>, &str)", "(Vec<u8>, &str)"),
            ("()", "()"),
        ] {
            assert_eq!(readable(name), expected);
        }
    }

    #[test]
    fn input_that_ends_early_is_an_error_and_not_a_panic() {
        for bytes in [&b""[..], &[1, 0, 0], &[3, 0, 0, 0, b'{', b'}'], &[255; 4]] {
            assert_eq!(
                Input::split(bytes).unwrap_err().error_type(),
                BAD_EVENT,
                "{bytes:?}"
            );
        }
    }
}
