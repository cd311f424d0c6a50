//! From an answer to a response, by the rules of payload format 2.0.
//!
//! * A JSON object with `statusCode` is a response in itself; a wrong type in it is the function's
//!   failure.
//! * Any other JSON is sent as it is, a JSON string without its quotes, as `application/json`.
//! * Text that is not JSON (a `command` printed it) is sent as `text/plain`.
//! * Nothing is an empty 200.
//!
//! Framing belongs to the server: a guest can't set the headers of [`OWNED_HEADERS`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::FunctionError;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::is_json;

pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers that the server writes, whatever a function says.
const OWNED_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Most headers of a response, cookies included.
const HEADERS_MAX: usize = 100;

/// Most bytes of names and values together.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// A response that a function asked for, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// 200 to 599.
    pub(crate) status: StatusCode,
    /// Without any that frame the message. A response object may have none for the content's type.
    pub(crate) headers: HeaderMap,
    /// As it is sent.
    pub(crate) body: Bytes,
}

/// The members of a response object, not looked into yet; others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    /// There even when it is `null`.
    #[serde(borrow, default, deserialize_with = "present")]
    status_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cookies: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    is_base64_encoded: Option<&'a RawValue>,
}

fn present<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl HttpAnswer {
    /// Reads what a function answered.
    ///
    /// # Errors
    ///
    /// [`FunctionError::InvalidResponse`] naming the member that breaks a rule.
    pub(crate) fn from_payload(payload: Bytes) -> Result<Self, FunctionError> {
        let Ok(text) = std::str::from_utf8(&payload) else {
            return invalid(
                "the answer is neither JSON nor UTF-8 text; answer with a JSON object that has `statusCode`, `isBase64Encoded` and `body` to send bytes",
            );
        };
        match text.trim_ascii_start().as_bytes().first().copied() {
            None => Ok(Self::inferred(TEXT, Bytes::new())),
            Some(b'{') => Self::from_object(text, &payload),
            Some(b'"') => match serde_json::from_str::<String>(text) {
                Ok(text) => Ok(Self::inferred(JSON, Bytes::from(text))),
                Err(_) => Ok(Self::inferred(TEXT, payload)),
            },
            Some(_) if is_json(&payload) => Ok(Self::inferred(JSON, payload)),
            Some(_) => Ok(Self::inferred(TEXT, payload)),
        }
    }

    fn from_object(text: &str, payload: &Bytes) -> Result<Self, FunctionError> {
        match serde_json::from_str::<Members<'_>>(text) {
            Ok(members) => match members.status_code {
                Some(status) => structured(status, &members),
                None => Ok(Self::inferred(JSON, payload.clone())),
            },
            // A broken object that talks of a status was meant as a response.
            Err(error) if text.contains("\"statusCode\"") => {
                invalid(format!("the response object is not valid: {error}"))
            }
            Err(_) if is_json(payload) => Ok(Self::inferred(JSON, payload.clone())),
            Err(_) => Ok(Self::inferred(TEXT, payload.clone())),
        }
    }

    fn inferred(content_type: HeaderValue, body: Bytes) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, content_type);
        Self {
            status: StatusCode::OK,
            headers,
            body,
        }
    }
}

fn structured(status: &RawValue, members: &Members<'_>) -> Result<HttpAnswer, FunctionError> {
    let status = self::status(status)?;
    let mut headers = HeaderMap::new();
    if let Some(raw) = members.headers {
        read_headers(raw, &mut headers)?;
    }
    let cookies: Option<Vec<String>> = member("cookies", "a list of texts", members.cookies)?;
    for cookie in cookies.unwrap_or_default() {
        headers.append(SET_COOKIE, header_value("set-cookie", &cookie)?);
    }
    check_header_sizes(&headers)?;

    let is_base64: Option<bool> = member(
        "isBase64Encoded",
        "true or false",
        members.is_base64_encoded,
    )?;
    let text: Option<String> = member("body", "a text", members.body)?;
    let text = text.unwrap_or_default();
    let body = if is_base64 == Some(true) {
        match STANDARD.decode(&text) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return invalid(format!("`body` is not base64: {error}")),
        }
    } else {
        Bytes::from(text)
    };
    let has_no_body = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let body = if has_no_body { Bytes::new() } else { body };
    Ok(HttpAnswer {
        status,
        headers,
        body,
    })
}

/// A member of the response object; `null` is as good as none.
fn member<T: DeserializeOwned>(
    name: &str,
    expected: &str,
    raw: Option<&RawValue>,
) -> Result<Option<T>, FunctionError> {
    match raw
        .map(|raw| serde_json::from_str::<Option<T>>(raw.get()))
        .transpose()
    {
        Ok(value) => Ok(value.flatten()),
        Err(error) => invalid(format!("`{name}` must be {expected}: {error}")),
    }
}

/// A whole number from 200 to 599, or a text of one.
fn status(raw: &RawValue) -> Result<StatusCode, FunctionError> {
    let number = match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Number(number)) => number.as_u64(),
        Ok(Value::String(text)) => text.parse::<u16>().ok().map(u64::from),
        Ok(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | Err(_) => None,
    };
    let status = number
        .filter(|number| (200..=599).contains(number))
        .and_then(|number| u16::try_from(number).ok())
        .and_then(|number| StatusCode::from_u16(number).ok());
    match status {
        Some(status) => Ok(status),
        None => invalid(format!(
            "`statusCode` is `{raw}`; it must be a number from 200 to 599"
        )),
    }
}

fn read_headers(raw: &RawValue, headers: &mut HeaderMap) -> Result<(), FunctionError> {
    let members = match serde_json::from_str::<Option<serde_json::Map<String, Value>>>(raw.get()) {
        Ok(members) => members.unwrap_or_default(),
        Err(error) => return invalid(format!("`headers` is not an object: {error}")),
    };
    for (name, value) in members {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return invalid(format!("header `{}` is not a text", name.escape_debug()));
            }
        };
        let Ok(header) = HeaderName::try_from(&name) else {
            return invalid(format!("`{}` is not a header name", name.escape_debug()));
        };
        let value = header_value(&name, &text)?;
        if !OWNED_HEADERS.contains(&header.as_str()) {
            headers.append(header, value);
        }
    }
    Ok(())
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, FunctionError> {
    match HeaderValue::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => invalid(format!(
            "the value of header `{}` has a line break, a control character or one outside ASCII",
            name.escape_debug()
        )),
    }
}

fn check_header_sizes(headers: &HeaderMap) -> Result<(), FunctionError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return invalid(format!(
            "{} headers of {bytes} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are allowed",
            headers.len()
        ));
    }
    Ok(())
}

fn invalid<T>(message: impl Into<String>) -> Result<T, FunctionError> {
    Err(FunctionError::InvalidResponse {
        message: message.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &str) -> Result<HttpAnswer, String> {
        HttpAnswer::from_payload(Bytes::copy_from_slice(payload.as_bytes())).map_err(|error| {
            match error {
                FunctionError::InvalidResponse { message } => message,
                other => panic!("{other:?}"),
            }
        })
    }

    #[track_caller]
    fn check_inferred(payload: &str, content_type: &HeaderValue, body: &str) {
        let answer = answer(payload).unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(&answer.headers[CONTENT_TYPE], content_type);
        assert_eq!(answer.body, body);
    }

    #[test]
    fn an_answer_that_is_no_response_object_is_sent_as_it_is() {
        check_inferred(r#"{"hello":"world"}"#, &JSON, r#"{"hello":"world"}"#);
        check_inferred(
            r#"{"body":"x","headers":{}}"#,
            &JSON,
            r#"{"body":"x","headers":{}}"#,
        );
        check_inferred(r#"[{"statusCode":1}]"#, &JSON, r#"[{"statusCode":1}]"#);
        check_inferred(
            r#"{"a":{"statusCode":1}}"#,
            &JSON,
            r#"{"a":{"statusCode":1}}"#,
        );
        check_inferred("null", &JSON, "null");
        check_inferred("\"hi\"", &JSON, "hi");
        check_inferred("hello\n", &TEXT, "hello\n");
        check_inferred("{not json", &TEXT, "{not json");
        check_inferred("", &TEXT, "");
    }

    #[test]
    fn a_response_object_sets_status_headers_cookies_and_bytes() {
        let answer = answer(
            r#"{"statusCode":"201","headers":{"X-A":"1","x-n":2,"content-length":"99","Connection":"x"},
                "cookies":["a=b; Path=/","c=d"],"body":"iVBORw==","isBase64Encoded":true,"extra":1}"#,
        )
        .unwrap();
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.body, b"\x89PNG" as &[u8]);
        let cookies: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b; Path=/", "c=d"]);
        assert_eq!(
            (&answer.headers["x-a"], &answer.headers["x-n"]),
            (&"1".parse().unwrap(), &"2".parse().unwrap())
        );
        assert!(!answer.headers.contains_key("content-length"));
        assert!(!answer.headers.contains_key("connection"));
        assert_eq!(answer.headers.get(CONTENT_TYPE), None);
    }

    #[test]
    fn a_status_without_a_body_has_none() {
        assert_eq!(answer(r#"{"statusCode":204,"body":"x"}"#).unwrap().body, "");
        assert_eq!(answer(r#"{"statusCode":304,"body":"x"}"#).unwrap().body, "");
    }

    #[track_caller]
    fn check_invalid(payload: &str, part: &str) {
        let message = answer(payload).unwrap_err();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn a_wrong_member_is_named() {
        for status in [
            "0", "99", "100", "103", "199", "600", "1000", "-1", "2e2.5", "true", "null", "\"x\"",
            "1e400",
        ] {
            check_invalid(&format!(r#"{{"statusCode":{status}}}"#), "");
        }
        check_invalid(r#"{"statusCode":103}"#, "`statusCode` is `103`");
        check_invalid(
            r#"{"statusCode":200,"headers":[]}"#,
            "`headers` is not an object",
        );
        check_invalid(
            r#"{"statusCode":200,"headers":{"a":[1]}}"#,
            "header `a` is not a text",
        );
        check_invalid(
            r#"{"statusCode":200,"headers":{"a":"b\r\nSet-Cookie: x=1"}}"#,
            "header `a` has a line break",
        );
        for name in ["a b", "a:", "", "a\\u0000", "ä"] {
            check_invalid(
                &format!(r#"{{"statusCode":200,"headers":{{"{name}":"x"}}}}"#),
                "is not a header name",
            );
        }
        check_invalid(
            r#"{"statusCode":200,"cookies":["a\nb"]}"#,
            "header `set-cookie`",
        );
        check_invalid(r#"{"statusCode":200,"body":{}}"#, "`body` must be a text");
        check_invalid(
            r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
            "`body` is not base64",
        );
        check_invalid(r#"{"statusCode":200,"statusCode":201}"#, "duplicate field");
        check_invalid(r#"{"statusCode":200"#, "the response object is not valid");
        let many: Vec<String> = (0..200).map(|n| format!("\"x{n}\":\"y\"")).collect();
        check_invalid(
            &format!(r#"{{"statusCode":200,"headers":{{{}}}}}"#, many.join(",")),
            "200 headers",
        );
        for not_utf8 in [b"\xff\xfe" as &[u8], b"{\"a\":\"\xff\"}"] {
            HttpAnswer::from_payload(Bytes::from_static(not_utf8)).unwrap_err();
        }
    }
}
