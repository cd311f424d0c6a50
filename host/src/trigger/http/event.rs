//! From a request to the bytes of a payload 2.0 event.
//!
//! Empty members are left out, never null. Header names are lower case, several values of one name
//! are joined with a comma, cookies have a list of their own. A body that is not text travels as
//! base64.
//!
//! Headers that say where a request came from are ours to write: what a client sends under those
//! names is dropped.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::RequestId;
use domain::limits::PAYLOAD_BYTES_MAX;
use domain::names::ACCOUNT_ID;
use domain::routing::{Route, decode_percent};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What HTTP APIs call a body whose type the client did not say.
const CONTENT_TYPE_DEFAULT: &str = "text/plain; charset=utf-8";

/// Headers between two hops, and headers that only we may write.
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
    "x-amzn-trace-id",
    "x-real-ip",
    "x-amzn-requestid",
];

/// What an event is made of.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// Method, target and headers.
    pub(crate) parts: &'a Parts,
    /// The whole body.
    pub(crate) body: &'a Bytes,
    /// The route that matched.
    pub(crate) route: &'a Route,
    /// What its variables matched.
    pub(crate) values: &'a [String],
    /// The target's path, decoded.
    pub(crate) path: &'a str,
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// The port it was sent to.
    pub(crate) local_port: u16,
    /// The invocation's id.
    pub(crate) id: RequestId,
    /// When it was received, in Unix microseconds.
    pub(crate) received_us: i64,
}

/// The bytes of the event; `None` when there would be more than [`PAYLOAD_BYTES_MAX`]. A body can
/// grow on its way in: base64 by a third, control characters sixfold.
pub(crate) fn event_from(source: &Source<'_>) -> Option<Bytes> {
    let capacity = 1_024 + source.body.len() + source.body.len() / 3;
    let mut event = Bounded(Vec::with_capacity(capacity.min(PAYLOAD_BYTES_MAX)));
    // Maps of strings and numbers: nothing but the bound can fail.
    serde_json::to_writer(&mut event, &Event(source)).ok()?;
    Some(Bytes::from(event.0))
}

/// Takes up to [`PAYLOAD_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Event<'a>(&'a Source<'a>);

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0;
        let query = source.parts.uri.query().unwrap_or("");
        let mut event = serializer.serialize_map(None)?;
        event.serialize_entry("version", "2.0")?;
        event.serialize_entry("routeKey", source.route.key())?;
        event.serialize_entry("rawPath", source.path)?;
        event.serialize_entry("rawQueryString", query)?;
        let cookies = cookies(&source.parts.headers);
        if !cookies.is_empty() {
            event.serialize_entry("cookies", &cookies)?;
        }
        event.serialize_entry("headers", &Headers(source))?;
        let parameters = query_parameters(query);
        if !parameters.is_empty() {
            event.serialize_entry("queryStringParameters", &Pairs(&parameters))?;
        }
        if !source.values.is_empty() {
            let variables: Vec<_> = source.route.variables().zip(source.values).collect();
            event.serialize_entry("pathParameters", &Pairs(&variables))?;
        }
        event.serialize_entry("requestContext", &RequestContext(source))?;
        match body_text(&source.parts.headers, source.body) {
            Body::Empty => event.serialize_entry("isBase64Encoded", &false)?,
            Body::Text(text) => {
                event.serialize_entry("body", text)?;
                event.serialize_entry("isBase64Encoded", &false)?;
            }
            Body::Binary => {
                event.serialize_entry("body", &Base64(source.body))?;
                event.serialize_entry("isBase64Encoded", &true)?;
            }
        }
        event.end()
    }
}

/// Bytes that are written as base64, without a copy of it all.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

struct RequestContext<'a>(&'a Source<'a>);

impl Serialize for RequestContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0;
        let domain = header_text(&source.parts.headers, &HOST);
        let mut context = serializer.serialize_map(None)?;
        context.serialize_entry("accountId", ACCOUNT_ID)?;
        context.serialize_entry("apiId", "mayfly")?;
        context.serialize_entry("domainName", &domain)?;
        context.serialize_entry("domainPrefix", domain.split('.').next().unwrap_or(""))?;
        context.serialize_entry("http", &HttpContext(source))?;
        context.serialize_entry("requestId", &source.id)?;
        context.serialize_entry("routeKey", source.route.key())?;
        context.serialize_entry("stage", "$default")?;
        context.serialize_entry("time", &crate::time_text::access_log(source.received_us))?;
        context.serialize_entry("timeEpoch", &source.received_us.div_euclid(1_000))?;
        context.end()
    }
}

struct HttpContext<'a>(&'a Source<'a>);

impl Serialize for HttpContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0;
        let protocol = match source.parts.version {
            http::Version::HTTP_10 => "HTTP/1.0",
            http::Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        let mut context = serializer.serialize_map(None)?;
        context.serialize_entry("method", source.parts.method.as_str())?;
        context.serialize_entry("path", source.path)?;
        context.serialize_entry("protocol", protocol)?;
        context.serialize_entry("sourceIp", &source.peer.ip())?;
        let user_agent = header_text(&source.parts.headers, &USER_AGENT);
        context.serialize_entry("userAgent", &user_agent)?;
        context.end()
    }
}

/// The request's headers, and those that say where it came from.
struct Headers<'a>(&'a Source<'a>);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0;
        let headers = &source.parts.headers;
        let mut map = serializer.serialize_map(None)?;
        for name in headers.keys() {
            if name == CONTENT_LENGTH || is_dropped(name) {
                continue;
            }
            map.serialize_entry(name.as_str(), &joined(headers, name))?;
        }
        map.serialize_entry("content-length", &source.body.len().to_string())?;
        if !headers.contains_key(CONTENT_TYPE) {
            map.serialize_entry("content-type", CONTENT_TYPE_DEFAULT)?;
        }
        map.serialize_entry("x-amzn-trace-id", &trace_id(source.id, source.received_us))?;
        map.serialize_entry("x-forwarded-for", &source.peer.ip())?;
        map.serialize_entry("x-forwarded-port", &source.local_port.to_string())?;
        map.serialize_entry("x-forwarded-proto", "http")?;
        map.end()
    }
}

fn is_dropped(name: &HeaderName) -> bool {
    DROPPED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-")
}

/// `Root=1-<seconds>-<24 hexadecimal digits>`, from the id, so the two can be matched.
fn trace_id(id: RequestId, received_us: i64) -> String {
    let seconds = u32::try_from(received_us.div_euclid(1_000_000)).unwrap_or(0);
    let hex = id
        .as_bytes()
        .iter()
        .skip(4)
        .fold(String::with_capacity(24), |mut hex, byte| {
            use std::fmt::Write as _;
            let written = write!(hex, "{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a String can't fail");
            hex
        });
    format!("Root=1-{seconds:08x}-{hex}")
}

struct Pairs<'a, K, V>(&'a [(K, V)]);

impl<K: AsRef<str>, V: AsRef<str>> Serialize for Pairs<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name.as_ref(), value.as_ref())?;
        }
        map.end()
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or(Cow::Borrowed(""), |value| {
        String::from_utf8_lossy(value.as_bytes())
    })
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|v| String::from_utf8_lossy(v.as_bytes()));
    let first = values.next().unwrap_or_default();
    values.fold(first, |joined, value| {
        Cow::Owned(format!("{joined},{value}"))
    })
}

fn cookies(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let mut cookies = Vec::new();
    for value in headers.get_all(COOKIE) {
        match String::from_utf8_lossy(value.as_bytes()) {
            Cow::Borrowed(text) => cookies.extend(split_cookies(text).map(Cow::Borrowed)),
            Cow::Owned(text) => {
                cookies.extend(split_cookies(&text).map(|cookie| Cow::Owned(cookie.to_owned())));
            }
        }
    }
    cookies
}

fn split_cookies(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|cookie| !cookie.is_empty())
}

/// Names and values, decoded, in the order of first appearance; values of one name joined.
fn query_parameters(query: &str) -> Vec<(String, String)> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_query(name), decode_query(value));
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => parameters.push((name, value)),
        }
    }
    parameters
}

/// Decodes `+` and `%XX`; what is not valid stays as it was sent.
fn decode_query(text: &str) -> String {
    if !text.contains(['+', '%']) {
        return text.to_owned();
    }
    let spaced = text.replace('+', " ");
    match decode_percent(spaced.as_bytes()) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => spaced,
    }
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
    let is_text = headers.get(CONTENT_TYPE).is_none_or(|value| {
        is_text_type(&String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
    });
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
