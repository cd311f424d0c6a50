//! A request for a function: check it, route it, let it in, make an event of it, invoke, answer.
//!
//! One straight line down and up again; there is no chain of middleware.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::routing::{Match, RequestPath, Route, RouteMethod};
use domain::{Fault, FunctionError, Invocation, RequestId, Trigger};
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use super::body::{BodyError, BodyLimits, discard, read_body};
use super::cors;
use super::error::{HttpResponse, error_response, json_response, with_request_id, wrong_method};
use super::listener::{Peer, Service};
use crate::answer::Answer;
use crate::app::App;
use crate::concurrency::Refused;
use crate::invoke::{Completed, InvokeError, invoke};
use crate::metrics::RefusedBy;
use crate::registry::RouteTarget;
use crate::trigger::http::authorizer::Authorizer;
use crate::trigger::http::event::{Entrance, Source, event_from};
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
    app: Arc<App>,
    body_limits: BodyLimits,
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
type Rejection = Box<HttpResponse>;

fn reject(status: StatusCode, message: &str, id: RequestId) -> Rejection {
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
        check_head(parts, id)?;
        let asked = Asked { parts, peer, id };
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
        match &routed.target.guard {
            None => {
                self.serve(asked, body, &path, &routed, &Authorizer::Open)
                    .await
            }
            // Boxed, so that requests without rules carry nothing of it.
            Some(guard) => Box::pin(self.guarded(guard, asked, body, &path, &routed)).await,
        }
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

    /// Serves a request that its route lets in. What web pages may read is said on every answer.
    async fn guarded(
        &self,
        guard: &Guard,
        asked: Asked<'_>,
        body: &mut Incoming,
        path: &RequestPath,
        routed: &Routed,
    ) -> Result<HttpResponse, Rejection> {
        let admitted = guard.admit(&self.app, asked.parts, asked.peer.remote).await;
        let mut answer = match admitted {
            Ok(authorizer) => self.serve(asked, body, path, routed, &authorizer).await,
            Err(refusal) => Err(Box::new(self.refused(&refusal, asked.id))),
        };
        if let Some(rules) = guard.cors() {
            let headers = match &mut answer {
                Ok(response) => response.headers_mut(),
                Err(rejection) => rejection.headers_mut(),
            };
            cors::apply(rules, &asked.parts.headers, headers);
        }
        answer
    }

    /// Counts and writes a refusal.
    fn refused(&self, refusal: &Refusal, id: RequestId) -> HttpResponse {
        let (by, status, message) = match refusal {
            Refusal::TooMany(_) => (
                RefusedBy::Rate,
                StatusCode::TOO_MANY_REQUESTS,
                "Too Many Requests",
            ),
            Refusal::Unknown { .. } => (RefusedBy::Auth, StatusCode::UNAUTHORIZED, "Unauthorized"),
            Refusal::Forbidden { .. } => (RefusedBy::Auth, StatusCode::FORBIDDEN, "Forbidden"),
            Refusal::Unavailable => (
                RefusedBy::Unavailable,
                StatusCode::SERVICE_UNAVAILABLE,
                "Service Unavailable",
            ),
        };
        self.app.metrics.refused(by);
        let mut response = error_response(status, message, id);
        if let Some((name, value)) = refusal.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Reads the body, runs the function, answers.
    async fn serve(
        &self,
        asked: Asked<'_>,
        body: &mut Incoming,
        path: &RequestPath,
        routed: &Routed,
        authorizer: &Authorizer,
    ) -> Result<HttpResponse, Rejection> {
        let Asked { parts, peer, id } = asked;
        // The room is held as long as the event may be.
        let (body, _room) = read_body(body, self.body_limits, &self.app.room)
            .await
            .map_err(|error| reject(error.status(), &error.to_string(), id))?;
        let event = event_from(&Source {
            parts,
            body: &body,
            entrance: Entrance::Route {
                route: &routed.route,
                values: &routed.values,
            },
            authorizer,
            path: &path.decoded(),
            peer: peer.remote,
            local_port: peer.local_port,
            is_secure: peer.is_secure,
            id,
            received_us: self.app.clock.unix_us(),
        });
        let Some(event) = event else {
            let too_large = BodyError::TooLarge;
            return Err(reject(too_large.status(), &too_large.to_string(), id));
        };
        let invocation = Invocation {
            id,
            attempt: 1,
            function: routed.target.function.clone(),
            qualifier: None,
            trigger: Trigger::Http,
            event,
            keep_log: false,
        };
        match invoke(&self.app, invocation).await {
            Ok(completed) => Ok(response_from(completed, id)),
            Err(error) => Ok(self.refusal(&error, id)),
        }
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

    /// An invocation that never ran, or that we failed.
    fn refusal(&self, error: &InvokeError, id: RequestId) -> HttpResponse {
        let (status, message) = match error {
            InvokeError::UnknownFunction { .. } | InvokeError::UnknownQualifier { .. } => {
                (StatusCode::NOT_FOUND, "Not Found")
            }
            InvokeError::Refused(Refused::Function { .. } | Refused::Process { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
            }
            InvokeError::Refused(Refused::Memory { .. })
            | InvokeError::LedgerClosed { .. }
            | InvokeError::Sandbox { .. }
            | InvokeError::Record { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        };
        match error.fault() {
            Fault::Caller | Fault::Function => {
                tracing::debug!(invocation.id = %id, "refused: {error}");
            }
            Fault::Host => self.app.faults.note(&self.app.clock, error),
        }
        error_response(status, message, id)
    }
}

struct Routed {
    route: Arc<Route>,
    target: Arc<RouteTarget>,
    values: Vec<String>,
}

/// A request but for its body.
#[derive(Clone, Copy)]
struct Asked<'a> {
    parts: &'a Parts,
    peer: Peer,
    id: RequestId,
}

/// What the server lets through and we do not.
fn check_head(parts: &Parts, id: RequestId) -> Result<(), Rejection> {
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
    let valid = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, None) => parts.version == Version::HTTP_10,
        (_, Some(_)) => false,
    };
    if !valid {
        let message = "Bad Request: there must be one valid Host header";
        return Err(reject(StatusCode::BAD_REQUEST, message, id));
    }
    Ok(())
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
