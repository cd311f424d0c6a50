//! `X-Amz-Client-Context`: what a caller of Invoke says of the client that it serves.
//!
//! A JSON object in base64. It is checked here and handed to the function as it came; nothing else
//! looks into it, and it may be private, so no error quotes it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::json;
use super::super::request::ApiRequest;

const HEADER: &str = "x-amz-client-context";

/// Most bytes of it in base64. Lambda's limit.
const BASE64_BYTES_MAX: usize = 3_583;

/// The text of the object, if there is one.
///
/// # Errors
///
/// 400 when it is too long, or no JSON object in base64.
pub(super) fn client_context(request: &ApiRequest<'_>) -> Result<Option<Arc<str>>, ApiError> {
    match request.header(HEADER)? {
        None | Some("") => Ok(None),
        Some(encoded) => read(encoded).map(Some).map_err(|reason| refused(&reason)),
    }
}

fn refused(reason: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "InvalidRequestContentException",
        format!("Client context must be a valid Base64-encoded JSON object: {reason}"),
    )
}

fn read(encoded: &str) -> Result<Arc<str>, String> {
    if encoded.len() > BASE64_BYTES_MAX {
        return Err(format!(
            "it has {} bytes, and {BASE64_BYTES_MAX} is the most",
            encoded.len()
        ));
    }
    let decoded = STANDARD
        .decode(encoded)
        .map_err(|_| "it is not base64".to_owned())?;
    let text = String::from_utf8(decoded).map_err(|_| "it is not UTF-8".to_owned())?;
    match json::read::<Map<String, Value>>(text.as_bytes()) {
        Ok(_object) => {}
        Err(json::JsonError::Malformed(_)) => return Err("it is not JSON".to_owned()),
        Err(json::JsonError::WrongType(_)) => return Err("it is not an object".to_owned()),
    }
    // The function reads it as a part of its context, one level further down.
    if serde_json::from_str::<Value>(&format!("[{text}]")).is_err() {
        return Err("it is nested too deeply".to_owned());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Arc<str>, String> {
        read(&STANDARD.encode(text))
    }

    #[test]
    fn an_object_is_handed_on_as_it_came() {
        let text = " {\"client\": {\"id\" :1.50}, \"custom\": {}}";
        assert_eq!(&*read_text(text).unwrap(), text);
    }

    #[test]
    fn everything_else_is_refused_with_the_reason_and_without_its_text() {
        let object = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!("{{\"a\":{open}{close}}}")
        };
        read_text(&object(126)).unwrap();
        for (text, reason) in [
            ("secret", "it is not JSON"),
            ("{\"secret\": ", "it is not JSON"),
            ("{\"a\": 1, \"a\": 2}", "it is not JSON"),
            ("{},\"requestId\":{}", "it is not JSON"),
            ("[1]", "it is not an object"),
            ("\"secret\"", "it is not an object"),
            ("null", "it is not an object"),
            (&object(127), "it is nested too deeply"),
        ] {
            assert_eq!(read_text(text).unwrap_err(), reason, "{text}");
        }
        assert_eq!(read("%%").unwrap_err(), "it is not base64");
        // As base64 3,580 and 3,584 bytes.
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        read_text(&long(2_685)).unwrap();
        let error = read_text(&long(2_686)).unwrap_err();
        assert_eq!(error, "it has 3584 bytes, and 3583 is the most");
    }
}
