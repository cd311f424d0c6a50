//! A request for a function: check it, route it, let it in, make an event of it, invoke, answer.
//!
//! One straight line down and up again; there is no chain of middleware.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::routing::{Match, RequestPath, Route, RouteMethod};
use domain::{FunctionError, RequestId};
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use super::body::{BodyLimits, discard};
use super::error::{HttpResponse, error_response, json_response, with_request_id, wrong_method};
use super::listener::{Peer, Service};
use super::passage::{Asked, Destination, EMPTY_PART, Stopped};
use super::{cors, function_url};
use crate::answer::Answer;
use crate::app::App;
use crate::concurrency::Refused;
use crate::invoke::{Completed, InvokeError};
use crate::registry::RouteTarget;
use crate::trigger::http::event::Entrance;
use crate::trigger::http::guard::{Guard, Refusal};
use crate::trigger::http::response::TEXT;

/// Longest request target, in bytes.
const TARGET_BYTES_MAX: usize = 8 << 10;

/// Most headers of a request. The server itself refuses more than 100, with a bare status.
const HEADERS_MAX: usize = 96;

/// Most bytes of a request's headers, names and values together.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Answers requests for functions.
#[derive(Debug, Clone)]
pub(crate) struct Functions {
    pub(super) app: Arc<App>,
    pub(super) body_limits: BodyLimits,
}

impl Functions {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let body_limits = BodyLimits::of(&app.config.http);
        Self { app, body_limits }
    }
}

impl Service for Functions {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> HttpResponse {
        let id = self.app.request_id();
        let (parts, mut body) = request.into_parts();
        let mut response = match self.run(&parts, &mut body, peer, id).await {
            Ok(response) => response,
            Err(refused) => {
                let mut response = *refused;
                finish_body(&parts, &mut body, &mut response).await;
                response
            }
        };
        with_request_id(&mut response, id);
        self.app.metrics.answered(response.status());
        response
    }
}

/// A response that says no, boxed because it is the rare one.
pub(super) type Rejection = Box<HttpResponse>;

pub(super) fn reject(status: StatusCode, message: &str, id: RequestId) -> Rejection {
    Box::new(error_response(status, message, id))
}

/// Gets what is left of a refused request's body out of the way, or closes the connection after the
/// answer: it must never be read as the next request.
pub(crate) async fn finish_body<B>(parts: &Parts, body: &mut Incoming, response: &mut Response<B>) {
    // A client that waits to be asked for its body must not be asked.
    let is_waiting = parts.headers.contains_key(EXPECT);
    let ended = body.is_end_stream() || (!is_waiting && discard(body).await);
    if !ended {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

impl Functions {
    async fn run(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        peer: Peer,
        id: RequestId,
    ) -> Result<HttpResponse, Rejection> {
        let host = check_head(parts, id)?;
        let asked = Asked { parts, peer, id };
        if let Some(address) = function_url::address(parts, host) {
            return Box::pin(self.by_url(asked, body, &address)).await;
        }
        let path = RequestPath::parse(parts.uri.path()).map_err(|error| {
            reject(
                StatusCode::BAD_REQUEST,
                &format!("Bad Request: {error}"),
                id,
            )
        })?;
        if let Some(answer) = self.preflight(parts, &path) {
            return Ok(answer);
        }
        let routed = self.route(&parts.method, &path, id)?;
        let target = &*routed.target;
        let destination = Destination {
            function: &target.function,
            qualifier: target.qualifier.as_ref(),
            entrance: Entrance::Route {
                route: &routed.route,
                values: &routed.values,
            },
            path: &path.decoded(),
        };
        let guard = target.guard.as_deref();
        let mut answer = match self.carry(asked, body, guard, destination).await {
            Ok(completed) => Ok(response_from(completed, id)),
            Err(stopped) => Err(Box::new(stopped_response(&stopped, id))),
        };
        if let Some(rules) = guard.and_then(Guard::cors) {
            let headers = match &mut answer {
                Ok(response) => response.headers_mut(),
                Err(rejection) => rejection.headers_mut(),
            };
            cors::apply(rules, &parts.headers, headers);
        }
        answer
    }

    /// Answers a browser that asks before it sends a request, if the route of that request has rules.
    fn preflight(&self, parts: &Parts, path: &RequestPath) -> Option<HttpResponse> {
        let method = RouteMethod::parse(cors::preflight_method(parts)?);
        let target = self.app.registry.route(method, path, |found| match found {
            Match::Found { target, .. } => Some(Arc::clone(target)),
            Match::WrongMethod { .. } | Match::NotFound => None,
        })?;
        let rules = target.guard.as_deref()?.cors()?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.headers_mut() = cors::preflight_headers(rules, &parts.headers);
        Some(response)
    }

    fn route(
        &self,
        method: &Method,
        path: &RequestPath,
        id: RequestId,
    ) -> Result<Routed, Rejection> {
        let method = RouteMethod::parse(method.as_str());
        self.app.registry.route(method, path, |found| match found {
            Match::Found {
                route,
                target,
                values,
            } => Ok(Routed {
                route: Arc::clone(route),
                target: Arc::clone(target),
                values,
            }),
            Match::WrongMethod { allowed } => {
                let allowed: Vec<_> = allowed.iter().map(|method| method.as_str()).collect();
                Err(Box::new(wrong_method(&allowed, id)))
            }
            Match::NotFound => Err(reject(StatusCode::NOT_FOUND, "Not Found", id)),
        })
    }
}

struct Routed {
    route: Arc<Route>,
    target: Arc<RouteTarget>,
    values: Vec<String>,
}

/// What a route answers to a request that ran nothing, or that we failed.
fn stopped_response(stopped: &Stopped, id: RequestId) -> HttpResponse {
    let status = stopped.status();
    let (body_error, budget_error);
    let message = match (stopped, status) {
        (Stopped::Body(error), _) => {
            body_error = error.to_string();
            &*body_error
        }
        (Stopped::Refused(Refusal::EmptyPart), _) => EMPTY_PART,
        (Stopped::Invoke(InvokeError::Refused(Refused::Budget(spent))), _) => {
            budget_error = spent.for_anybody();
            &*budget_error
        }
        (_, StatusCode::UNAUTHORIZED) => "Unauthorized",
        (_, StatusCode::FORBIDDEN) => "Forbidden",
        (_, StatusCode::NOT_FOUND) => "Not Found",
        (_, StatusCode::TOO_MANY_REQUESTS) => "Too Many Requests",
        _ => "Service Unavailable",
    };
    let mut response = error_response(status, message, id);
    let header = match stopped {
        Stopped::Refused(refusal) => refusal.header(),
        Stopped::Invoke(InvokeError::Refused(Refused::Budget(spent))) => {
            Some((RETRY_AFTER, HeaderValue::from(spent.retry_after_s)))
        }
        _ => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What the server lets through and we do not.
///
/// Answers the host that was asked for; only HTTP/1.0 may leave it out.
fn check_head(parts: &Parts, id: RequestId) -> Result<Option<&HeaderValue>, Rejection> {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > TARGET_BYTES_MAX {
        return Err(reject(StatusCode::URI_TOO_LONG, "URI Too Long", id));
    }
    let headers = &parts.headers;
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(reject(status, "Request Header Fields Too Large", id));
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(reject(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method Not Allowed",
            id,
        ));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    let valid = match (host, hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, None) => parts.version == Version::HTTP_10,
        (_, Some(_)) => false,
    };
    if !valid {
        let message = "Bad Request: there must be one valid Host header";
        return Err(reject(StatusCode::BAD_REQUEST, message, id));
    }
    if let Some(target) = parts.uri.authority()
        && !host.is_some_and(|host| {
            host.as_bytes()
                .eq_ignore_ascii_case(target.as_str().as_bytes())
        })
    {
        // A signature covers the header alone, so the target must not lead elsewhere.
        let message = "Bad Request: the Host header must be the host of the absolute target";
        return Err(reject(StatusCode::BAD_REQUEST, message, id));
    }
    Ok(host)
}

fn is_host(host: &HeaderValue) -> bool {
    let text = host.to_str().unwrap_or("");
    !text.contains('@')
        && text.parse::<http::uri::Authority>().is_ok_and(|authority| {
            let port = text.strip_prefix(authority.host()).unwrap_or("");
            port.is_empty() || authority.port_u16().is_some()
        })
}

/// The response to an invocation that ran.
pub(crate) fn response_from(completed: Completed, id: RequestId) -> HttpResponse {
    match completed.answer {
        Ok(Answer::Http(answer)) => {
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response.headers_mut().entry(CONTENT_TYPE).or_insert(TEXT);
            response
        }
        Ok(Answer::Payload(payload)) => json_response(StatusCode::OK, payload),
        Err(FunctionError::TimedOut { .. }) => error_response(
            StatusCode::GATEWAY_TIMEOUT,
            "Endpoint request timed out",
            id,
        ),
        Err(
            FunctionError::Returned { .. }
            | FunctionError::Exited { .. }
            | FunctionError::OutOfMemory
            | FunctionError::Trapped { .. }
            | FunctionError::Init { .. }
            | FunctionError::InvalidResponse { .. }
            | FunctionError::ResponseTooLarge,
        ) => error_response(StatusCode::BAD_GATEWAY, "Internal Server Error", id),
    }
}

/// How long a peer may take to read before its connection is cut.
pub(crate) const WRITE_IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_at_most_a_port() {
        for good in [
            "localhost",
            "localhost:3000",
            "127.0.0.1:1",
            "[::1]:80",
            "a.example",
        ] {
            assert!(is_host(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in ["", "a b", "a/b", "user@a", "a:99999", "a:x"] {
            assert!(!is_host(&HeaderValue::from_static(bad)), "{bad}");
        }
    }
}
