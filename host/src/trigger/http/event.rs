//! From a request to the bytes of a payload 2.0 event.
//!
//! Empty members are left out, never null. Header names are lower case, several values of one name
//! are joined with a comma, cookies have a list of their own. A body that is not text travels as
//! base64.
//!
//! Headers that say where a request came from are ours to write: what a client sends under those
//! names is dropped.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::RequestId;
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
    /// The route that matched, and whether it is one that the manifest wrote.
    pub(crate) route: &'a Route,
    /// Its variables.
    pub(crate) parameters: &'a [(&'a str, String)],
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

/// The bytes of the event.
pub(crate) fn event_from(source: &Source<'_>) -> Bytes {
    let capacity = 1_024 + source.body.len() + source.body.len() / 3;
    let mut event = Vec::with_capacity(capacity);
    // Maps of strings and numbers into memory: there is nothing that can fail.
    let written = serde_json::to_writer(&mut event, &Event(source));
    debug_assert!(written.is_ok(), "{written:?}");
    Bytes::from(event)
}

struct Event<'a>(&'a Source<'a>);

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0;
        let route_key = source.route.to_string();
        let query = source.parts.uri.query().unwrap_or("");
        let mut event = serializer.serialize_map(None)?;
        event.serialize_entry("version", "2.0")?;
        event.serialize_entry("routeKey", &route_key)?;
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
        if !source.parameters.is_empty() {
            event.serialize_entry("pathParameters", &Pairs(source.parameters))?;
        }
        event.serialize_entry(
            "requestContext",
            &RequestContext {
                source,
                route_key: &route_key,
            },
        )?;
        match body_text(&source.parts.headers, source.body) {
            Body::Empty => event.serialize_entry("isBase64Encoded", &false)?,
            Body::Text(text) => {
                event.serialize_entry("body", text)?;
                event.serialize_entry("isBase64Encoded", &false)?;
            }
            Body::Binary => {
                event.serialize_entry("body", &STANDARD.encode(source.body))?;
                event.serialize_entry("isBase64Encoded", &true)?;
            }
        }
        event.end()
    }
}

struct RequestContext<'a> {
    source: &'a Source<'a>,
    route_key: &'a str,
}

impl Serialize for RequestContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.source;
        let domain = header_text(&source.parts.headers, &HOST);
        let mut context = serializer.serialize_map(None)?;
        context.serialize_entry("accountId", ACCOUNT_ID)?;
        context.serialize_entry("apiId", "mayfly")?;
        context.serialize_entry("domainName", &domain)?;
        context.serialize_entry("domainPrefix", domain.split('.').next().unwrap_or(""))?;
        context.serialize_entry("http", &HttpContext(source))?;
        context.serialize_entry("requestId", &source.id)?;
        context.serialize_entry("routeKey", self.route_key)?;
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
mod tests {
    use http::Request;
    use serde_json::{Value, json};

    use super::*;

    fn event(request: Request<&'static [u8]>) -> Value {
        let (parts, body) = request.into_parts();
        let route: Route = "ANY /f/{proxy+}".parse().unwrap();
        let event = event_from(&Source {
            parts: &parts,
            body: &Bytes::from_static(body),
            route: &route,
            parameters: &[("proxy", "a b".to_owned())],
            path: "/f/a b",
            peer: "10.0.0.9:555".parse().unwrap(),
            local_port: 3000,
            id: "01936e5c-0000-7000-8000-000000000000".parse().unwrap(),
            received_us: 1_795_364_897_840_000,
        });
        serde_json::from_slice(&event).unwrap()
    }

    fn get(uri: &str) -> http::request::Builder {
        Request::get(uri).header("host", "localhost:3000")
    }

    #[test]
    fn an_event_has_the_members_of_payload_2_and_no_empty_ones() {
        let event = event(
            get("/f/a%20b")
                .header("User-Agent", "x")
                .body(b"" as &[u8])
                .unwrap(),
        );
        let expected = json!({
            "version": "2.0",
            "routeKey": "ANY /f/{proxy+}",
            "rawPath": "/f/a b",
            "rawQueryString": "",
            "headers": {
                "host": "localhost:3000",
                "user-agent": "x",
                "content-length": "0",
                "content-type": "text/plain; charset=utf-8",
                "x-amzn-trace-id": "Root=1-6b031821-000070008000000000000000",
                "x-forwarded-for": "10.0.0.9",
                "x-forwarded-port": "3000",
                "x-forwarded-proto": "http",
            },
            "pathParameters": {"proxy": "a b"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "mayfly",
                "domainName": "localhost:3000",
                "domainPrefix": "localhost:3000",
                "http": {"method": "GET", "path": "/f/a b", "protocol": "HTTP/1.1",
                         "sourceIp": "10.0.0.9", "userAgent": "x"},
                "requestId": "01936e5c-0000-7000-8000-000000000000",
                "routeKey": "ANY /f/{proxy+}",
                "stage": "$default",
                "time": "22/Nov/2026:16:28:17 +0000",
                "timeEpoch": 1_795_364_897_840_i64,
            },
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn query_values_are_decoded_and_joined_and_the_raw_query_is_kept() {
        let event = event(
            get("/f?a=1&a=2&b=x%20y&c&d=%zz&%65=+")
                .body(b"" as &[u8])
                .unwrap(),
        );
        assert_eq!(event["rawQueryString"], "a=1&a=2&b=x%20y&c&d=%zz&%65=+");
        let expected = json!({"a": "1,2", "b": "x y", "c": "", "d": "%zz", "e": " "});
        assert_eq!(event["queryStringParameters"], expected);
    }

    #[test]
    fn cookies_and_headers_are_separated_and_origins_can_not_be_forged() {
        let request = get("/f")
            .header("cookie", "c1=v1; c2=v2")
            .header("cookie", "c3=v3")
            .header("X-Thing", "a")
            .header("x-thing", "b")
            .header("x-forwarded-for", "6.6.6.6")
            .header("x-real-ip", "6.6.6.6")
            .header("connection", "close")
            .body(b"" as &[u8])
            .unwrap();
        let event = event(request);
        assert_eq!(event["cookies"], json!(["c1=v1", "c2=v2", "c3=v3"]));
        assert_eq!(event["headers"]["x-thing"], "a,b");
        assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.9");
        for gone in ["cookie", "x-real-ip", "connection"] {
            assert_eq!(event["headers"][gone], Value::Null, "{gone}");
        }
    }

    #[track_caller]
    fn check_body(content_type: Option<&str>, body: &'static [u8], text: &str, base64: bool) {
        let mut request = Request::post("/f");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let event = event(request.body(body).unwrap());
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!(text), &json!(base64))
        );
    }

    #[test]
    fn a_body_is_text_when_its_type_and_its_bytes_say_so() {
        check_body(Some("application/json"), b"{\"a\":1}", "{\"a\":1}", false);
        check_body(
            Some("Application/Problem+JSON; charset=utf-8"),
            b"{}",
            "{}",
            false,
        );
        check_body(None, b"hi", "hi", false);
        check_body(Some("text/plain"), b"\xff", "/w==", true);
        check_body(Some("image/png"), b"\x89PNG", "iVBORw==", true);
        check_body(Some("multipart/form-data; boundary=x"), b"a", "YQ==", true);
    }
}
