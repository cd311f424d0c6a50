//! HTTP requests: from an API Gateway event (payload format 2.0) to [`http::Request`].
//!
//! Also what such an event says beyond HTTP, as extensions of the request, and [`RequestExt`] to
//! reach them. Knows no other payload format and nothing of responses.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use serde::Deserialize;

use crate::error::{BAD_EVENT, Error};
use crate::event::Event;

/// The path parameters of the route that matched, as an extension of the request.
///
/// For a route `/orders/{id}` and a request for `/orders/7`, `id` is `7`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PathParameters(BTreeMap<String, String>);

impl PathParameters {
    /// The value of one parameter, decoded.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every parameter with its value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for PathParameters {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(parameters: I) -> Self {
        Self(
            parameters
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// What the gateway knows of a request beyond HTTP, as an extension of the request.
///
/// A field that the event lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RequestContext {
    /// The id of the request.
    pub request_id: String,
    /// The account that the API belongs to, or `anonymous`.
    pub account_id: String,
    /// The id of the API.
    pub api_id: String,
    /// The host name that was asked for.
    pub domain_name: String,
    /// The route that matched, such as `GET /orders/{id}`, or `$default`.
    pub route_key: String,
    /// The stage that matched, or `$default`.
    pub stage: String,
    /// When the request arrived, in milliseconds since 1970.
    pub time_epoch: u64,
    /// The connection and the request line.
    pub http: HttpDescription,
    /// What an authorizer found out about the caller; null without one.
    pub authorizer: serde_json::Value,
}

/// The part of a [`RequestContext`] that describes the connection and the request line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct HttpDescription {
    /// The method in upper case.
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The protocol, such as `HTTP/1.1`.
    pub protocol: String,
    /// The address of the client.
    pub source_ip: String,
    /// The `user-agent` header.
    pub user_agent: String,
}

/// Shorter ways to what handlers ask a request for most.
///
/// ```
/// use mayfly_sdk::{PathParameters, RequestExt, http::Request};
///
/// let request = Request::get("/orders/7?note=two%20words&empty")
///     .extension(PathParameters::from_iter([("id", "7")]))
///     .body(())
///     .unwrap();
/// assert_eq!(request.path_parameter("id"), Some("7"));
/// assert_eq!(request.query("note").as_deref(), Some("two words"));
/// assert_eq!(request.query("empty").as_deref(), Some(""));
/// assert_eq!(request.query("absent"), None);
/// ```
pub trait RequestExt {
    /// The first value of one query parameter, decoded; empty for a name without a value.
    fn query(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The value of one path parameter.
    fn path_parameter(&self, name: &str) -> Option<&str>;

    /// What the gateway knows beyond HTTP. A request made by hand in a test may have none.
    fn request_context(&self) -> Option<&RequestContext>;
}

impl<B> RequestExt for Request<B> {
    fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.uri().query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decoded(key) == name).then(|| form_decoded(value))
        })
    }

    fn path_parameter(&self, name: &str) -> Option<&str> {
        self.extensions().get::<PathParameters>()?.get(name)
    }

    fn request_context(&self) -> Option<&RequestContext> {
        self.extensions().get()
    }
}

/// Marks events that are HTTP requests.
#[derive(Debug)]
pub struct ByHttpRequest;

impl<'a, B: RequestBody> Event<'a, ByHttpRequest> for Request<B> {
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        let event: HttpEvent<'a> = serde_json::from_slice(bytes).map_err(|error| {
            bad_event(format!(
                "this handler takes HTTP requests, so the event must be one of API Gateway's \
                 payload format 2.0 with `requestContext.http.method` in it: {error}"
            ))
        })?;
        event.into_request()
    }
}

/// A body that a handler may ask for: `Vec<u8>`, `String` (UTF-8 or an error) or `()` (dropped).
pub trait RequestBody: Sized + private::Sealed {
    /// Takes the body as the event holds it.
    #[doc(hidden)]
    fn from_event(body: Cow<'_, str>, is_base64: bool) -> Result<Self, Error>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for Vec<u8> {}
    impl Sealed for String {}
    impl Sealed for () {}
}

impl RequestBody for Vec<u8> {
    fn from_event(body: Cow<'_, str>, is_base64: bool) -> Result<Self, Error> {
        if is_base64 {
            decoded(&body)
        } else {
            Ok(body.into_owned().into_bytes())
        }
    }
}

impl RequestBody for String {
    fn from_event(body: Cow<'_, str>, is_base64: bool) -> Result<Self, Error> {
        if !is_base64 {
            return Ok(body.into_owned());
        }
        Self::from_utf8(decoded(&body)?)
            .map_err(|error| bad_event(format!("the body of the request is not text: {error}")))
    }
}

impl RequestBody for () {
    fn from_event(_: Cow<'_, str>, _: bool) -> Result<Self, Error> {
        Ok(())
    }
}

/// The event as the gateway writes it; what is not needed here is skipped unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent<'a> {
    #[serde(borrow, default)]
    raw_path: Cow<'a, str>,
    #[serde(borrow, default)]
    raw_query_string: Cow<'a, str>,
    #[serde(borrow, default)]
    cookies: Vec<Text<'a>>,
    #[serde(borrow, default)]
    headers: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(default)]
    path_parameters: PathParameters,
    #[serde(deserialize_with = "with_method")]
    request_context: RequestContext,
    #[serde(borrow, default)]
    body: Option<Text<'a>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Text of the event that is borrowed where JSON did not have to escape it, in any position.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Without a method an object is no HTTP event, whatever else it has.
fn with_method<'de, D: serde::Deserializer<'de>>(from: D) -> Result<RequestContext, D::Error> {
    let context = RequestContext::deserialize(from)?;
    if context.http.method.is_empty() {
        return Err(serde::de::Error::missing_field(
            "requestContext.http.method",
        ));
    }
    Ok(context)
}

impl HttpEvent<'_> {
    fn into_request<B: RequestBody>(self) -> Result<Request<B>, Error> {
        let method = Method::from_bytes(self.request_context.http.method.as_bytes())
            .map_err(|error| bad_event(format!("the method of the request is not one: {error}")))?;
        let uri = uri(&self.raw_path, &self.raw_query_string)?;
        let headers = headers(&self.headers, &self.cookies)?;
        let body = self.body.map_or(Cow::Borrowed(""), |text| text.0);

        let mut request = Request::new(B::from_event(body, self.is_base64_encoded)?);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(self.path_parameters);
        request.extensions_mut().insert(self.request_context);
        Ok(request)
    }
}

fn headers(
    headers: &BTreeMap<Text<'_>, Text<'_>>,
    cookies: &[Text<'_>],
) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    for (Text(name), Text(value)) in headers {
        let bad = || {
            bad_event(format!(
                "the request header `{name}` is not one HTTP allows"
            ))
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.insert(
            header,
            HeaderValue::from_str(value)
                .or_else(|_| opaque(value))
                .map_err(|()| bad())?,
        );
    }
    if !cookies.is_empty() {
        let cookies: Vec<&str> = cookies.iter().map(|cookie| &*cookie.0).collect();
        let value = opaque(&cookies.join("; "))
            .map_err(|()| bad_event("the cookies of the request are not ones HTTP allows"))?;
        map.insert(COOKIE, value);
    }
    Ok(map)
}

fn opaque(value: &str) -> Result<HeaderValue, ()> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(drop)
}

/// The request's target. The gateway decodes the path of an event but not its query.
fn uri(path: &str, query: &str) -> Result<Uri, Error> {
    let mut target = String::with_capacity(path.len() + query.len() + 2);
    if !path.starts_with('/') {
        target.push('/');
    }
    push_encoded(&mut target, path, is_path_byte);
    if !query.is_empty() {
        target.push('?');
        push_encoded(&mut target, query, is_query_byte);
    }
    PathAndQuery::try_from(target)
        .map(Uri::from)
        .map_err(|error| bad_event(format!("the path of the request is not one: {error}")))
}

fn push_encoded(target: &mut String, text: &str, stays: fn(u8) -> bool) {
    for byte in text.bytes() {
        if stays(byte) {
            target.push(char::from(byte));
        } else {
            write!(target, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
}

/// Unreserved characters and delimiters that RFC 3986 allows in a path.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// A query comes encoded, so `%` stays; what no URI may hold is encoded all the same.
fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"?%[]|^`{}\\".contains(&byte)
}

fn decoded(body: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(body)
        .map_err(|error| bad_event(format!("the body of the request is not base64: {error}")))
}

/// Decodes one part of a query, where `+` is a space. A broken escape stays as it is.
fn form_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let (decoded, after) = match (byte, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', tail),
            },
            _ => (*byte, tail),
        };
        bytes.push(decoded);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cold]
fn bad_event(message: impl Into<String>) -> Error {
    Error::new(BAD_EVENT, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "version": "2.0",
            "routeKey": "POST /orders/{id}",
            "rawPath": "/orders/7",
            "rawQueryString": "a=1&a=2&b=x%20y",
            "cookies": ["c1=v1", "c2=v2"],
            "headers": {"accept": "*/*", "x-two": "one,two"},
            "queryStringParameters": {"a": "1,2", "b": "x y"},
            "pathParameters": {"id": "7"},
            "requestContext": {
                "accountId": "anonymous",
                "http": {"method": "POST", "path": "/orders/7", "sourceIp": "192.0.2.1"},
                "requestId": "r-1",
                "routeKey": "POST /orders/{id}",
                "timeEpoch": 1_583_348_638_390_u64,
                "authorizer": {"jwt": {"claims": {"sub": "ada"}}},
            },
            "body": "text \u{e9} \"quoted\"",
            "isBase64Encoded": false,
        })
    }

    fn request<B: RequestBody>(event: &Value) -> Result<Request<B>, Error> {
        Request::from_bytes(event.to_string().as_bytes())
    }

    #[test]
    fn method_target_headers_and_body_come_from_the_event() {
        let request = request::<String>(&event()).unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "/orders/7?a=1&a=2&b=x%20y");
        assert_eq!(request.headers()["x-two"], "one,two");
        assert_eq!(request.headers()["cookie"], "c1=v1; c2=v2");
        assert_eq!(request.body(), "text \u{e9} \"quoted\"");
    }

    #[test]
    fn what_lies_beyond_http_is_in_the_extensions() {
        let request = request::<()>(&event()).unwrap();
        assert_eq!(request.path_parameter("id"), Some("7"));
        assert_eq!(request.query("b").as_deref(), Some("x y"));
        let context = request.request_context().unwrap();
        assert_eq!(context.request_id, "r-1");
        assert_eq!(context.http.source_ip, "192.0.2.1");
        assert_eq!(context.time_epoch, 1_583_348_638_390);
        assert_eq!(context.authorizer["jwt"]["claims"]["sub"], "ada");
    }

    #[test]
    fn a_decoded_path_is_encoded_again_where_a_uri_needs_it() {
        for (raw, expected) in [
            ("/caf\u{e9} au lait", "/caf%C3%A9%20au%20lait"),
            ("/50% off?", "/50%25%20off%3F"),
            ("/a:b@c/(d)", "/a:b@c/(d)"),
            ("//twice/", "//twice/"),
            ("", "/"),
        ] {
            let mut event = event();
            event["rawPath"] = json!(raw);
            event["rawQueryString"] = json!("");
            assert_eq!(request::<()>(&event).unwrap().uri(), expected, "{raw}");
        }
    }

    #[test]
    fn a_query_that_no_uri_may_hold_is_still_accepted() {
        for (raw, expected) in [("q=\"x\"#y", "/?q=%22x%22%23y"), ("a[]=%zz", "/?a[]=%zz")] {
            let uri = uri("/", raw).unwrap();
            assert_eq!(uri, expected);
        }
    }

    #[test]
    fn every_query_byte_that_stays_is_accepted_in_a_uri() {
        for byte in 0..=u8::MAX {
            uri("/", &char::from(byte).to_string()).unwrap();
            uri(&char::from(byte).to_string(), "").unwrap();
        }
    }

    #[test]
    fn a_base64_body_is_decoded() {
        let mut event = event();
        event["body"] = json!("/wBh");
        event["isBase64Encoded"] = json!(true);
        assert_eq!(request::<Vec<u8>>(&event).unwrap().body(), b"\xff\0a");
        let error = request::<String>(&event).unwrap_err();
        assert!(
            error
                .message()
                .starts_with("the body of the request is not text: "),
            "{error}"
        );
        event["body"] = json!("not base64!");
        let error = request::<Vec<u8>>(&event).unwrap_err();
        assert!(
            error
                .message()
                .starts_with("the body of the request is not base64: "),
            "{error}"
        );
    }

    #[test]
    fn an_event_without_body_headers_or_cookies_is_an_empty_request() {
        let event = json!({"requestContext": {"http": {"method": "GET"}}});
        let request = request::<Vec<u8>>(&event).unwrap();
        assert_eq!((request.uri().path(), request.body().len()), ("/", 0));
        assert!(request.headers().is_empty());
    }

    #[test]
    fn an_event_that_is_not_http_says_what_was_expected() {
        for event in [
            json!(null),
            json!({"name": "Ada"}),
            json!({"requestContext": {}}),
        ] {
            let error = request::<()>(&event).unwrap_err();
            assert_eq!(error.error_type(), BAD_EVENT);
            assert!(
                error.message().contains("`requestContext.http.method`"),
                "{error}"
            );
        }
    }

    #[test]
    fn headers_that_http_does_not_allow_are_an_error_that_names_them() {
        for (name, value) in [("bad name", "x"), ("x-line", "a\r\nb")] {
            let mut event = event();
            event["headers"] = json!({ name: value });
            let error = request::<()>(&event).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn query_parts_are_decoded_and_broken_escapes_stay() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a+b", "a b"),
            ("%C3%A9", "\u{e9}"),
            ("100%", "100%"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(form_decoded(text), expected);
        }
    }
}
