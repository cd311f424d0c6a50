//! Requests through a function's own URL: `/_url/ID/...` at any host, or `ID.lambda-url...` as host.
//!
//! The event is that of a route, but for what says which route it was. What stops a request, and what a
//! function's failure looks like, is said in the words of Lambda's function URLs.

use std::borrow::Cow;

use bytes::Bytes;
use domain::routing::RequestPath;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::cors;
use super::dispatch::{Functions, Rejection};
use super::error::{HttpResponse, RETRY_AFTER_SECONDS, json_response, may_be_tried_again};
use super::passage::{Asked, Destination, Stopped};
use crate::answer::Answer;
use crate::invoke::Completed;
use crate::manifest::URLS;
use crate::trigger::http::event::Entrance;
use crate::trigger::http::response::{JSON, TEXT};

/// Characters of an id.
const ID_CHARS: usize = 32;

/// What follows the id in the name of a host.
const LABEL: &str = ".lambda-url.";

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

const FORBIDDEN: &str = "Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html";

/// Which URL a request is for, and the path below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlAddress<'a> {
    id: Cow<'a, str>,
    path: &'a str,
}

/// The URL that a request is for, if it is for one. `host` is its `Host` header, which is what a signature
/// covers.
pub(super) fn address<'a>(
    parts: &'a Parts,
    host: Option<&'a HeaderValue>,
) -> Option<UrlAddress<'a>> {
    let path = parts.uri.path();
    if let Some(rest) = path.strip_prefix(URLS)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let rest = rest.strip_prefix('/').unwrap_or("");
        let (id, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        return Some(UrlAddress {
            id: Cow::Borrowed(id),
            path: if path.is_empty() { "/" } else { path },
        });
    }
    let host = std::str::from_utf8(host?.as_bytes()).ok()?;
    let label = host.get(ID_CHARS..ID_CHARS + LABEL.len())?;
    if !label.eq_ignore_ascii_case(LABEL) {
        return None;
    }
    let id = host.get(..ID_CHARS)?;
    let has_capitals = id.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(UrlAddress {
        id: if has_capitals {
            Cow::Owned(id.to_ascii_lowercase())
        } else {
            Cow::Borrowed(id)
        },
        path,
    })
}

impl Functions {
    /// Answers a request through a URL.
    pub(super) async fn by_url(
        &self,
        asked: Asked<'_>,
        body: &mut Incoming,
        address: &UrlAddress<'_>,
    ) -> Result<HttpResponse, Rejection> {
        let Some(target) = self.app.registry.url(&address.id) else {
            let nobody = json!({ "Message": Value::Null });
            return Err(Box::new(error(StatusCode::FORBIDDEN, &nobody)));
        };
        let headers = &asked.parts.headers;
        if let Some(rules) = target.guard.cors()
            && cors::preflight_method(asked.parts).is_some()
        {
            let mut response = Response::new(Full::default());
            *response.headers_mut() = cors::preflight_headers(rules, headers);
            return Ok(response);
        }
        let path = RequestPath::parse(address.path).map_err(|why| {
            let body = json!({ "Message": format!("Bad Request: {why}") });
            Box::new(error(StatusCode::BAD_REQUEST, &body))
        })?;
        let destination = Destination {
            function: &target.function,
            qualifier: target.qualifier.as_ref(),
            entrance: Entrance::Url { id: &address.id },
            path: &path.decoded(),
        };
        let carried = self.carry(asked, body, Some(&target.guard), destination);
        let mut answer = match carried.await {
            Ok(completed) => Ok(response_from(completed)),
            Err(stopped) => Err(Box::new(stopped_response(&stopped))),
        };
        if let Some(rules) = target.guard.cors() {
            let answer = match &mut answer {
                Ok(response) => response.headers_mut(),
                Err(rejection) => rejection.headers_mut(),
            };
            cors::apply(rules, headers, answer);
        }
        answer
    }
}

/// The response to an invocation that ran. Every failure of a function looks alike.
fn response_from(completed: Completed) -> HttpResponse {
    match completed.answer {
        Ok(Answer::Http(answer)) => {
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response.headers_mut().entry(CONTENT_TYPE).or_insert(JSON);
            response
        }
        Ok(Answer::Payload(payload)) => json_response(StatusCode::OK, payload),
        Err(_) => {
            let text = Bytes::from_static(b"Internal Server Error");
            let mut response = Response::new(Full::new(text));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response.headers_mut().insert(CONTENT_TYPE, TEXT);
            response
        }
    }
}

fn stopped_response(stopped: &Stopped) -> HttpResponse {
    match stopped.status() {
        // Who signs badly is not told from who may not.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let mut response = error(StatusCode::FORBIDDEN, &json!({ "Message": FORBIDDEN }));
            let denied = HeaderValue::from_static("AccessDeniedException");
            response.headers_mut().insert(ERROR_TYPE, denied);
            response
        }
        StatusCode::TOO_MANY_REQUESTS => error(
            StatusCode::TOO_MANY_REQUESTS,
            &json!({
                "Reason": "ConcurrentInvocationLimitExceeded",
                "Type": "User",
                "message": "Rate Exceeded.",
            }),
        ),
        status => {
            let message = match stopped {
                Stopped::Body(error) => error.to_string(),
                Stopped::Refused(_) | Stopped::Invoke(_) => {
                    status.canonical_reason().unwrap_or("").to_owned()
                }
            };
            error(status, &json!({ "Message": message }))
        }
    }
}

fn error(status: StatusCode, body: &Value) -> HttpResponse {
    let mut response = json_response(status, body.to_string());
    if may_be_tried_again(status) {
        let headers = response.headers_mut();
        headers.insert(http::header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxyz012345";

    #[track_caller]
    fn check(target: &str, host: &str, expected: Option<(&str, &str)>) {
        let request = Request::get(target).header("host", host).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let found = address(&parts, parts.headers.get("host"));
        let found = found.map(|found| (found.id.into_owned(), found.path.to_owned()));
        let expected = expected.map(|(id, path)| (id.to_owned(), path.to_owned()));
        assert_eq!(found, expected, "{target} {host}");
    }

    #[test]
    fn a_url_is_known_by_its_path_or_by_its_host() {
        check("/_url/abc/d/e?f", "localhost", Some(("abc", "/d/e")));
        check("/_url/abc", "localhost", Some(("abc", "/")));
        check("/_url/abc/", "localhost", Some(("abc", "/")));
        check("/_url", "localhost", Some(("", "/")));
        check("/_url//x", "localhost", Some(("", "/x")));
        check("/_urls/abc", "localhost", None);
        check("/%5Furl/abc", "localhost", None);
        check("/f", "localhost", None);
        let host = format!("{ID}.lambda-url.eu-1.example.com:3000");
        check("/x?y", &host, Some((ID, "/x")));
        check("/", &host.to_ascii_uppercase(), Some((ID, "/")));
        // A target that names another host was refused before.
        check(&format!("http://{host}/x"), &host, Some((ID, "/x")));
        check(&format!("http://{host}/x"), "localhost", None);
        check("/x", &format!("{ID}.lambda-url"), None);
        check("/x", &format!("a{ID}.lambda-url.example.com"), None);
        check("/x", &format!("www.{ID}.lambda-url.example.com"), None);
    }
}
