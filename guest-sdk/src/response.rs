//! HTTP responses: from [`http::Response`] to the structured answer of payload format 2.0.
//!
//! A body goes out as text where that is exact and readable, as base64 elsewhere. Knows nothing of
//! requests, and leaves headers to the gateway that no function owns.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::answer::{Answer, no_json};
use crate::error::{Error, INVALID_RESPONSE};

/// Marks answers that are HTTP responses.
#[derive(Debug)]
pub struct ByHttpResponse;

impl<B: ResponseBody> Answer<ByHttpResponse> for Response<B> {
    fn write(self, output: &mut Vec<u8>) -> Result<(), Error> {
        if let Some((name, _)) = self
            .headers()
            .iter()
            .find(|(_, value)| text(value).is_none())
        {
            let message = format!("the response header `{name}` is not text");
            return Err(Error::new(INVALID_RESPONSE, message));
        }
        let wire = Wire {
            status: self.status().as_u16(),
            headers: self.headers(),
            body: Body::new(self.headers(), self.body().as_body()),
        };
        serde_json::to_writer(output, &wire).map_err(|error| no_json(&error))
    }
}

/// A body that a handler may answer with: `Vec<u8>`, `String`, `&'static str` or `()` (empty).
pub trait ResponseBody: private::Sealed {
    /// The bytes of the body.
    #[doc(hidden)]
    fn as_body(&self) -> &[u8];
}

mod private {
    pub trait Sealed {}
    impl Sealed for Vec<u8> {}
    impl Sealed for String {}
    impl Sealed for &'static str {}
    impl Sealed for () {}
}

impl ResponseBody for Vec<u8> {
    fn as_body(&self) -> &[u8] {
        self
    }
}

impl ResponseBody for String {
    fn as_body(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl ResponseBody for &'static str {
    fn as_body(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl ResponseBody for () {
    fn as_body(&self) -> &[u8] {
        &[]
    }
}

/// A body as the answer holds it.
enum Body<'a> {
    Empty,
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Body<'a> {
    fn new(headers: &HeaderMap, bytes: &'a [u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        match str::from_utf8(bytes) {
            Ok(text) if is_textual(headers.get(CONTENT_TYPE)) => Self::Text(text),
            _ => Self::Binary(bytes),
        }
    }
}

/// Whether a content type says text. A response without one is text if its bytes are.
fn is_textual(content_type: Option<&HeaderValue>) -> bool {
    let Some(content_type) = content_type else {
        return true;
    };
    let Ok(content_type) = content_type.to_str() else {
        return false;
    };
    let media = content_type
        .split(';')
        .next()
        .unwrap_or(content_type)
        .trim()
        .to_ascii_lowercase();
    let application = [
        "json",
        "javascript",
        "xml",
        "x-www-form-urlencoded",
        "graphql",
        "yaml",
    ];
    media.starts_with("text/")
        || media.ends_with("+json")
        || media.ends_with("+xml")
        || media
            .strip_prefix("application/")
            .is_some_and(|kind| application.contains(&kind))
}

/// A header's value as UTF-8, which HTTP allows beyond ASCII as opaque bytes.
fn text(value: &HeaderValue) -> Option<&str> {
    str::from_utf8(value.as_bytes()).ok()
}

/// The structured answer. Empty members are left out.
struct Wire<'a> {
    status: u16,
    headers: &'a HeaderMap,
    body: Body<'a>,
}

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = serializer.serialize_struct("Response", 5)?;
        wire.serialize_field("statusCode", &self.status)?;
        if self.headers.keys().any(|name| name != SET_COOKIE) {
            wire.serialize_field("headers", &Headers(self.headers))?;
        }
        if self.headers.contains_key(SET_COOKIE) {
            wire.serialize_field("cookies", &Cookies(self.headers))?;
        }
        match self.body {
            Body::Empty => {}
            Body::Text(text) => wire.serialize_field("body", text)?,
            Body::Binary(bytes) => wire.serialize_field("body", &Base64(bytes))?,
        }
        let is_base64 = matches!(self.body, Body::Binary(_));
        wire.serialize_field("isBase64Encoded", &is_base64)?;
        wire.end()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.0.keys().filter(|name| *name != SET_COOKIE) {
            map.serialize_entry(name.as_str(), &Joined(self.0, name))?;
        }
        map.end()
    }
}

/// The values of one header as one, which only `set-cookie` does not allow.
struct Joined<'a>(&'a HeaderMap, &'a HeaderName);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = self.0.get_all(self.1).iter().filter_map(text);
        let first = values.next().unwrap_or_default();
        match values.next() {
            None => serializer.serialize_str(first),
            Some(second) => {
                let mut joined = format!("{first},{second}");
                for value in values {
                    joined.push(',');
                    joined.push_str(value);
                }
                serializer.serialize_str(&joined)
            }
        }
    }
}

struct Cookies<'a>(&'a HeaderMap);

impl Serialize for Cookies<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cookies = self.0.get_all(SET_COOKIE);
        let mut list = serializer.serialize_seq(None)?;
        for cookie in cookies.iter().filter_map(text) {
            list.serialize_element(cookie)?;
        }
        list.end()
    }
}

/// Bytes that are written as base64 without another copy of them.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[track_caller]
    fn check(response: Response<impl ResponseBody>, expected: &str) {
        let mut output = Vec::new();
        response.write(&mut output).unwrap();
        assert_eq!(str::from_utf8(&output).unwrap(), expected);
    }

    fn typed(content_type: &str, body: &[u8]) -> Response<Vec<u8>> {
        Response::builder()
            .header("content-type", content_type)
            .body(body.to_vec())
            .unwrap()
    }

    #[test]
    fn status_headers_and_cookies_are_members_of_the_answer() {
        let response = Response::builder()
            .status(StatusCode::CREATED)
            .header("x-two", "one")
            .header("set-cookie", "a=1; Path=/")
            .header("x-two", "two")
            .header("set-cookie", "b=2")
            .header("x-two", "three")
            .body("done")
            .unwrap();
        check(
            response,
            r#"{"statusCode":201,"headers":{"x-two":"one,two,three"},"cookies":["a=1; Path=/","b=2"],"body":"done","isBase64Encoded":false}"#,
        );
    }

    #[test]
    fn text_is_text_whatever_type_holds_it() {
        let expected = r#"{"statusCode":200,"body":"<é>","isBase64Encoded":false}"#;
        check(Response::new("<é>"), expected);
        check(Response::new(String::from("<é>")), expected);
        check(Response::new("<é>".as_bytes().to_vec()), expected);
    }

    #[test]
    fn an_empty_body_is_left_out() {
        check(
            Response::new(()),
            r#"{"statusCode":200,"isBase64Encoded":false}"#,
        );
        check(
            Response::new(""),
            r#"{"statusCode":200,"isBase64Encoded":false}"#,
        );
    }

    #[test]
    fn the_content_type_decides_between_text_and_base64() {
        for textual in [
            "text/html; charset=utf-8",
            "application/json",
            "Image/SVG+XML",
        ] {
            let expected = format!(
                r#"{{"statusCode":200,"headers":{{"content-type":"{textual}"}},"body":"hi","isBase64Encoded":false}}"#
            );
            check(typed(textual, b"hi"), &expected);
        }
        for binary in ["image/png", "application/octet-stream"] {
            let expected = format!(
                r#"{{"statusCode":200,"headers":{{"content-type":"{binary}"}},"body":"aGk=","isBase64Encoded":true}}"#
            );
            check(typed(binary, b"hi"), &expected);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_go_out_as_base64_whatever_the_type_says() {
        check(
            typed("text/plain", b"\xff\xfe"),
            r#"{"statusCode":200,"headers":{"content-type":"text/plain"},"body":"//4=","isBase64Encoded":true}"#,
        );
    }

    #[test]
    fn a_header_that_json_cannot_hold_is_an_error_that_names_it() {
        let mut response = Response::new(());
        response
            .headers_mut()
            .insert("x-raw", HeaderValue::from_bytes(b"\xff").unwrap());
        let error = response.write(&mut Vec::new()).unwrap_err();
        assert_eq!(error.error_type(), INVALID_RESPONSE);
        assert_eq!(error.message(), "the response header `x-raw` is not text");
    }
}
