//! Takes the signature out of a request's head: from the `Authorization` header, or from the query of a
//! presigned one.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::date::Date;
use super::{ALGORITHM, AuthError, EXPIRES_S_MAX, Scope, Signed, canonical};

/// Longest access key id, region or service that is looked at.
const NAME_CHARS_MAX: usize = 128;

/// What a signature says of itself, as written.
struct Written {
    credential: String,
    signed_headers: String,
    signature: String,
    /// Of a presigned request.
    presigned: Option<Presigned>,
}

struct Presigned {
    date: String,
    expires: String,
    has_session_token: bool,
}

fn malformed<T>(message: impl Into<String>) -> Result<T, AuthError> {
    Err(AuthError::Malformed(message.into()))
}

fn invalid<T>(message: impl Into<String>) -> Result<T, AuthError> {
    Err(AuthError::Invalid(message.into()))
}

/// The signature of a request.
pub(super) fn signed(parts: &Parts) -> Result<Signed, AuthError> {
    let query = canonical::pairs(parts.uri.query().unwrap_or(""))
        .ok_or_else(|| AuthError::Malformed("The query is not percent-encoded.".to_owned()))?;
    let is_presigned = query
        .iter()
        .any(|(name, _)| matches!(name.as_slice(), b"X-Amz-Signature" | b"X-Amz-Algorithm"));
    let written = match (parts.headers.contains_key(AUTHORIZATION), is_presigned) {
        (false, false) => return Err(AuthError::Missing),
        (true, true) => {
            return malformed(
                "A request is signed in its Authorization header or in its query, not in both.",
            );
        }
        (true, false) => in_header(&parts.headers)?,
        (false, true) => in_query(&query)?,
    };
    let (access_key_id, scope) = scope(&written.credential)?;
    let Some(signature) = digest(&written.signature) else {
        return malformed("Signature must be 64 lower-case hexadecimal digits.");
    };
    let signed_headers: Vec<&str> = written.signed_headers.split(';').collect();
    check_signed_headers(&signed_headers, &parts.headers)?;
    let (date, expires_s, has_session_token) = match &written.presigned {
        None => (header_date(&parts.headers)?, None, false),
        Some(presigned) => (
            date(&presigned.date)?,
            Some(expires(&presigned.expires)?),
            presigned.has_session_token,
        ),
    };
    let without = written.presigned.as_ref().map(|_| "X-Amz-Signature");
    let Some(head) = canonical::head(parts, &signed_headers, without) else {
        return malformed("SignedHeaders names a header that the request does not have.");
    };
    Ok(Signed {
        access_key_id,
        credential: written.credential,
        scope,
        date,
        expires_s,
        has_session_token: has_session_token || parts.headers.contains_key("x-amz-security-token"),
        content_sha256: content_sha256(&parts.headers)?,
        signature,
        head,
    })
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
fn in_header(headers: &HeaderMap) -> Result<Written, AuthError> {
    let Some(text) = only(headers, &AUTHORIZATION)?.and_then(|value| value.to_str().ok()) else {
        return malformed("The Authorization header is not ASCII text.");
    };
    let Some(parameters) = text
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.is_empty() || rest.starts_with(' '))
    else {
        return malformed(format!(
            "Unsupported AWS 'algorithm' in the Authorization header; it must be {ALGORITHM}."
        ));
    };
    let mut found: [Option<&str>; 3] = [None; 3];
    const NAMES: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];
    for parameter in parameters
        .split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
    {
        let Some((name, value)) = parameter.split_once('=') else {
            return malformed(
                "A parameter of the Authorization header is not a valid key=value pair (missing equal-sign).",
            );
        };
        let place = NAMES.iter().position(|known| *known == name);
        let Some(place) = place.and_then(|at| found.get_mut(at)) else {
            return malformed(
                "The Authorization header has a parameter that is not Credential, SignedHeaders or Signature.",
            );
        };
        if place.replace(value).is_some() {
            return malformed(format!("The Authorization header has '{name}' twice."));
        }
    }
    let missing: Vec<String> = NAMES
        .iter()
        .zip(found)
        .filter(|(_, value)| value.is_none_or(str::is_empty))
        .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
        .collect();
    let [Some(credential), Some(signature), Some(signed_headers)] = found else {
        return malformed(missing.join(" "));
    };
    if !missing.is_empty() {
        return malformed(missing.join(" "));
    }
    Ok(Written {
        credential: credential.to_owned(),
        signed_headers: signed_headers.to_owned(),
        signature: signature.to_owned(),
        presigned: None,
    })
}

/// `X-Amz-Algorithm=…&X-Amz-Credential=…` and so on, each once.
fn in_query(query: &[(Vec<u8>, Vec<u8>)]) -> Result<Written, AuthError> {
    let optional = |name: &str| -> Result<Option<String>, AuthError> {
        let mut values = query.iter().filter(|(known, _)| known == name.as_bytes());
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => malformed(format!("The query has '{name}' twice.")),
            (Some((_, value)), None) => match String::from_utf8(value.clone()) {
                Ok(text) if !text.is_empty() => Ok(Some(text)),
                _ => malformed(format!("'{name}' in the query must be text.")),
            },
        }
    };
    let required = |name: &str| -> Result<String, AuthError> {
        optional(name)?.ok_or_else(|| {
            AuthError::Malformed(format!(
                "AWS query-string parameters must include '{name}'."
            ))
        })
    };
    if required("X-Amz-Algorithm")? != ALGORITHM {
        return malformed(format!("X-Amz-Algorithm must be {ALGORITHM}."));
    }
    Ok(Written {
        credential: required("X-Amz-Credential")?,
        signed_headers: required("X-Amz-SignedHeaders")?,
        signature: required("X-Amz-Signature")?,
        presigned: Some(Presigned {
            date: required("X-Amz-Date")?,
            expires: required("X-Amz-Expires")?,
            has_session_token: optional("X-Amz-Security-Token")?.is_some(),
        }),
    })
}

/// The only header of a name.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => malformed(format!("The request has the header '{name}' twice.")),
        (value, None) => Ok(value),
    }
}

/// `ID/DATE/REGION/SERVICE/TERMINATOR`.
fn scope(credential: &str) -> Result<(Arc<str>, Scope), AuthError> {
    let elements: Vec<&str> = credential.split('/').collect();
    let [id, day, region, service, terminator] = elements.as_slice() else {
        return malformed(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        );
    };
    let is_name = |text: &str, allowed: fn(u8) -> bool| {
        !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.bytes().all(allowed)
    };
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !is_name(id, |byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return malformed("The access key id in Credential must be letters and digits.");
    }
    if !is_name(region, lower) || !is_name(service, lower) {
        return malformed("Region and service in Credential must be of a-z, 0-9 and '-'.");
    }
    let is_day = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    if !is_day
        || !is_name(terminator, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'_'
        })
    {
        return malformed(
            "Credential must end in a date as YYYYMMDD, a region, a service and 'aws4_request'.",
        );
    }
    let scope = Scope {
        date: (*day).to_owned(),
        region: Arc::from(*region),
        service: (*service).to_owned(),
        terminator: (*terminator).to_owned(),
    };
    Ok((Arc::from(*id), scope))
}

/// Checks that the list is in order, and covers the host and every `x-amz-*` header, each of which is
/// there once.
fn check_signed_headers(names: &[&str], headers: &HeaderMap) -> Result<(), AuthError> {
    let is_token = |name: &&str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    };
    if !names.iter().all(is_token) || !names.is_sorted_by(|a, b| a < b) {
        return malformed("SignedHeaders must be names in lower case, in order, each once.");
    }
    if !names.contains(&HOST.as_str()) {
        return invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        );
    }
    if names.contains(&AUTHORIZATION.as_str()) {
        return invalid("'Authorization' can't be a 'SignedHeader'.");
    }
    for name in headers.keys() {
        let must_be_signed = *name == HOST || name.as_str().starts_with("x-amz-");
        if !must_be_signed {
            continue;
        }
        if !names.contains(&name.as_str()) {
            return invalid(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            ));
        }
        only(headers, name)?;
    }
    match names.iter().find(|name| !headers.contains_key(**name)) {
        Some(missing) => invalid(format!(
            "SignedHeaders names '{missing}', which the request does not have."
        )),
        None => Ok(()),
    }
}

fn header_date(headers: &HeaderMap) -> Result<Date, AuthError> {
    match headers.get("x-amz-date").map(HeaderValue::to_str) {
        Some(Ok(text)) => date(text),
        Some(Err(_)) => date(""),
        None => malformed("Authorization header requires existence of a 'X-Amz-Date' header."),
    }
}

fn date(text: &str) -> Result<Date, AuthError> {
    Date::parse(text).ok_or_else(|| {
        AuthError::Malformed("X-Amz-Date must be an instant as YYYYMMDDTHHMMSSZ.".to_owned())
    })
}

fn expires(text: &str) -> Result<u32, AuthError> {
    let number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok());
    match number.flatten() {
        Some(seconds @ 1..=EXPIRES_S_MAX) => Ok(seconds),
        _ => malformed(format!(
            "X-Amz-Expires must be 1 to {EXPIRES_S_MAX} seconds."
        )),
    }
}

fn content_sha256(headers: &HeaderMap) -> Result<Option<[u8; 32]>, AuthError> {
    let Some(value) = headers.get("x-amz-content-sha256") else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(digest) {
        Some(hash) => Ok(Some(hash)),
        None => invalid(
            "x-amz-content-sha256 must be the SHA-256 of the body in 64 lower-case hexadecimal digits; unsigned and streamed payloads are not accepted.",
        ),
    }
}

/// 32 bytes from lower-case hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 64 || !text.bytes().all(is_lower_hex) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
