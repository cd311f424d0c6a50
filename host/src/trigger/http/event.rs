//! From a request to the bytes of a payload 2.0 event.
//!
//! Empty members are left out, never null. Header names are lower case, several values of one name
//! are joined with a comma, cookies have a list of their own. A body that is not text travels as
//! base64.
//!
//! Headers that say where a request came from are ours to write: what a client sends under those
//! names is dropped. So is a signature that let the request in: a function must not be able to use it.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use domain::RequestId;
use domain::limits::PAYLOAD_BYTES_MAX;
use domain::names::ACCOUNT_ID;
use domain::routing::{Route, decode_percent};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::authorizer::Authorizer;
use super::json::JsonWriter;
use crate::time_text;

/// What HTTP APIs call a body whose type the client did not say.
const CONTENT_TYPE_DEFAULT: &str = "text/plain; charset=utf-8";

/// Headers between two hops, and headers that only we may write, in the order of the alphabet.
const DROPPED_HEADERS: [&str; 14] = [
    "connection",
    "cookie",
    "forwarded",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-real-ip",
];

/// Headers that hold a signature or belong to one.
const SIGNATURE_HEADERS: [&str; 2] = ["authorization", "x-amz-security-token"];

/// The same in the query of a presigned request.
const SIGNATURE_PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// What an event is made of.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// Method, target and headers.
    pub(crate) parts: &'a Parts,
    /// The whole body.
    pub(crate) body: &'a Bytes,
    /// How it came in.
    pub(crate) entrance: Entrance<'a>,
    /// Who asks.
    pub(crate) authorizer: &'a Authorizer,
    /// The target's path, decoded, without what led to a function URL.
    pub(crate) path: &'a str,
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// The port it was sent to.
    pub(crate) local_port: u16,
    /// Whether it came through TLS.
    pub(crate) is_secure: bool,
    /// The invocation's id.
    pub(crate) id: RequestId,
    /// When it was received, in Unix microseconds.
    pub(crate) received_us: i64,
}

/// How a request came to a function.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entrance<'a> {
    /// By one of its routes.
    Route {
        /// The one that matched.
        route: &'a Route,
        /// What its variables matched.
        values: &'a [String],
    },
    /// By a URL of its own.
    Url {
        /// The first part of the URL's name.
        id: &'a str,
    },
}

impl Entrance<'_> {
    fn route_key(&self) -> &str {
        match self {
            Self::Route { route, .. } => route.key(),
            Self::Url { .. } => "$default",
        }
    }
}

/// The bytes of the event; `None` when there would be more than [`PAYLOAD_BYTES_MAX`]. A body can
/// grow on its way in: base64 by a third, control characters sixfold.
pub(crate) fn event_from(source: &Source<'_>) -> Option<Bytes> {
    let headers = &source.parts.headers;
    let query = source.parts.uri.query().unwrap_or("");
    let unsigned_query;
    let query = match source.authorizer {
        Authorizer::Iam { .. } => {
            unsigned_query = without_signature(query);
            &unsigned_query
        }
        Authorizer::Open | Authorizer::ApiKey(_) | Authorizer::Jwt(_) => query,
    };
    let mut id = [0; RequestId::TEXT_BYTES];
    let id = source.id.encode(&mut id);
    let peer = source.peer.ip().to_string();

    let capacity = 1_536 + source.body.len() + source.body.len() / 3;
    let mut event = JsonWriter::new(capacity, PAYLOAD_BYTES_MAX);
    event.raw(r#"{"version":"2.0","routeKey":"#);
    event.text(source.entrance.route_key());
    event.raw(r#","rawPath":"#);
    event.text(source.path);
    event.raw(r#","rawQueryString":"#);
    event.text(query);
    write_cookies(&mut event, headers);
    write_headers(&mut event, source, &peer);
    if !query.is_empty() {
        let parameters = query_parameters(query);
        if !parameters.is_empty() {
            event.raw(r#","queryStringParameters":"#);
            event.object(parameters.iter().map(|(name, value)| (&**name, &**value)));
        }
    }
    if let Entrance::Route { route, values } = source.entrance
        && !values.is_empty()
    {
        event.raw(r#","pathParameters":"#);
        event.object(route.variables().zip(values.iter().map(String::as_str)));
    }
    write_request_context(&mut event, source, id, &peer);
    match body_text(headers, source.body) {
        Body::Empty => event.raw(r#","isBase64Encoded":false}"#),
        Body::Text(text) => {
            event.raw(r#","body":"#);
            event.text(text);
            event.raw(r#","isBase64Encoded":false}"#);
        }
        Body::Binary => {
            event.raw(r#","body":"#);
            event.base64(source.body);
            event.raw(r#","isBase64Encoded":true}"#);
        }
    }
    event.finish()
}

fn write_cookies(event: &mut JsonWriter, headers: &HeaderMap) {
    let mut before = r#","cookies":["#;
    for value in headers.get_all(COOKIE) {
        let text = value_text(value);
        for cookie in text.split(';').map(str::trim).filter(|c| !c.is_empty()) {
            event.raw(before);
            event.text(cookie);
            before = ",";
        }
    }
    if before == "," {
        event.raw("]");
    }
}

/// The request's headers, and those that say where it came from.
fn write_headers(event: &mut JsonWriter, source: &Source<'_>, peer: &str) {
    let headers = &source.parts.headers;
    let is_signed = matches!(source.authorizer, Authorizer::Iam { .. });
    let is_signature = |name: &HeaderName| is_signed && SIGNATURE_HEADERS.contains(&name.as_str());
    event.raw(r#","headers":{"#);
    let all_differ = headers.keys_len() == headers.len();
    let mut last = None;
    for (name, value) in headers {
        // Values of one name follow each other.
        if name == CONTENT_LENGTH || is_dropped(name) || last.replace(name) == Some(name) {
            continue;
        }
        if is_signature(name) {
            continue;
        }
        event.text(name.as_str());
        event.raw(":");
        if all_differ {
            event.text(&value_text(value));
        } else {
            event.text(&joined(headers, name));
        }
        event.raw(",");
    }
    event.raw(r#""content-length":""#);
    event.display(source.body.len());
    if !headers.contains_key(CONTENT_TYPE) {
        event.raw(r#"","content-type":""#);
        event.raw(CONTENT_TYPE_DEFAULT);
    }
    event.raw(r#"","x-amzn-trace-id":""#);
    event.raw(&trace_id(source.id, source.received_us));
    event.raw(r#"","x-forwarded-for":""#);
    event.raw(peer);
    event.raw(r#"","x-forwarded-port":""#);
    event.display(source.local_port);
    event.raw(if source.is_secure {
        r#"","x-forwarded-proto":"https"}"#
    } else {
        r#"","x-forwarded-proto":"http"}"#
    });
}

fn write_request_context(event: &mut JsonWriter, source: &Source<'_>, id: &str, peer: &str) {
    let parts = source.parts;
    let domain = header_text(&parts.headers, &HOST);
    let (account, api) = match (source.entrance, source.authorizer) {
        (Entrance::Route { .. }, _) => (ACCOUNT_ID, "mayfly"),
        (Entrance::Url { id }, Authorizer::Open) => ("anonymous", id),
        (Entrance::Url { id }, _) => (ACCOUNT_ID, id),
    };
    event.raw(r#","requestContext":{"accountId":""#);
    event.raw(account);
    event.raw(r#"","apiId":""#);
    event.raw(api);
    event.raw(r#"","#);
    source.authorizer.write(event);
    event.raw(r#""domainName":"#);
    event.text(&domain);
    event.raw(r#","domainPrefix":"#);
    event.text(match source.entrance {
        Entrance::Route { .. } => domain.split('.').next().unwrap_or(""),
        Entrance::Url { id } => id,
    });
    event.raw(r#","http":{"method":"#);
    event.text(parts.method.as_str());
    event.raw(r#","path":"#);
    event.text(source.path);
    event.raw(match parts.version {
        http::Version::HTTP_10 => r#","protocol":"HTTP/1.0","sourceIp":""#,
        http::Version::HTTP_2 => r#","protocol":"HTTP/2.0","sourceIp":""#,
        _ => r#","protocol":"HTTP/1.1","sourceIp":""#,
    });
    event.raw(peer);
    event.raw(r#"","userAgent":"#);
    event.text(&header_text(&parts.headers, &USER_AGENT));
    event.raw(r#"},"requestId":""#);
    event.raw(id);
    event.raw(r#"","routeKey":"#);
    event.text(source.entrance.route_key());
    event.raw(r#","stage":"$default","time":""#);
    event.raw(&time_text::access_log(source.received_us));
    event.raw(r#"","timeEpoch":"#);
    event.display(source.received_us.div_euclid(1_000));
    event.raw("}");
}

fn is_dropped(name: &HeaderName) -> bool {
    let name = name.as_str();
    DROPPED_HEADERS.binary_search(&name).is_ok() || name.starts_with("x-forwarded-")
}

/// `Root=1-<seconds>-<24 hexadecimal digits>`, from the id, so the two can be matched.
fn trace_id(id: RequestId, received_us: i64) -> String {
    let seconds = u32::try_from(received_us.div_euclid(1_000_000)).unwrap_or(0);
    let mut text = String::with_capacity(40);
    text.push_str("Root=1-");
    push_hex(&mut text, &seconds.to_be_bytes());
    text.push('-');
    push_hex(&mut text, &id.as_bytes()[4..]);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or(Cow::Borrowed(""), value_text)
}

/// What is not UTF-8 in a value is replaced.
fn value_text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(value.as_bytes()),
    }
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    let mut values = headers.get_all(name).iter().map(value_text);
    let first = values.next().unwrap_or_default();
    values.fold(first, |joined, value| {
        Cow::Owned(format!("{joined},{value}"))
    })
}

/// Names and values, decoded, in the order of the names; values of one name joined.
fn query_parameters(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut parameters: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(name), decode_query(value))
        })
        .collect();
    // Stable, so that the values of one name stay in their order.
    parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
    parameters.dedup_by(|(name, value), (kept, values)| {
        let same = name == kept;
        if same {
            let values = values.to_mut();
            values.push(',');
            values.push_str(value);
        }
        same
    });
    parameters
}

/// A query without what signed it.
fn without_signature(query: &str) -> String {
    let is_kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !SIGNATURE_PARAMETERS.contains(&&*decode_query(name))
    };
    query
        .split('&')
        .filter(is_kept)
        .collect::<Vec<_>>()
        .join("&")
}

/// Decodes `+` and `%XX`; what is not valid stays as it was sent.
fn decode_query(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(match decode_percent(spaced.as_bytes()) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => spaced,
    })
}

enum Body<'a> {
    Empty,
    Text(&'a str),
    Binary,
}

fn body_text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Body<'a> {
    if body.is_empty() {
        return Body::Empty;
    }
    let is_text = headers
        .get(CONTENT_TYPE)
        .is_none_or(|value| is_text_type(&value_text(value).to_ascii_lowercase()));
    match std::str::from_utf8(body) {
        Ok(text) if is_text => Body::Text(text),
        _ => Body::Binary,
    }
}

/// Whether a body of this content type, lower case, is passed on as text.
pub(super) fn is_text_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/x-www-form-urlencoded"
        )
}

#[cfg(test)]
mod tests;
