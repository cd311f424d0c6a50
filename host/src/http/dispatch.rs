//! A request for a function: check it, route it, make an event of it, invoke, answer.
//!
//! One straight line down and up again; there is no chain of middleware.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::limits::PAYLOAD_BYTES_MAX;
use domain::routing::{Match, RequestPath, Route, RouteMethod};
use domain::{Fault, FunctionError, FunctionName, Invocation, RequestId, Trigger};
use http::header::{CONNECTION, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;

use super::body::{BodyLimits, read_body};
use super::error::{HttpResponse, error_response, with_request_id, wrong_method};
use super::listener::{Peer, Service};
use crate::answer::Answer;
use crate::app::App;
use crate::concurrency::Refused;
use crate::invoke::{Completed, InvokeError, invoke};
use crate::trigger::http::event::{Source, event_from};

/// Longest request target, in bytes.
const TARGET_BYTES_MAX: usize = 8 << 10;

/// Answers requests for functions.
#[derive(Debug, Clone)]
pub(crate) struct Functions {
    app: Arc<App>,
    body_limits: BodyLimits,
}

impl Functions {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let http = &app.config.http;
        let body_limits = BodyLimits {
            bytes_max: PAYLOAD_BYTES_MAX,
            idle: http.body_idle_timeout,
            total: http.body_timeout,
        };
        Self { app, body_limits }
    }
}

impl Service for Functions {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> HttpResponse {
        let id = self.app.request_id();
        let mut response = match self.run(request, peer, id).await {
            Ok(response) => response,
            Err(refused) => *refused,
        };
        if leaves_a_body_unread(response.status()) {
            // What is left of it must not be read as a request.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.app.metrics.answered(response.status());
        response
    }
}

/// A response that says no, boxed because it is the rare one.
type Rejection = Box<HttpResponse>;

fn reject(status: StatusCode, message: &str, id: RequestId) -> Rejection {
    Box::new(error_response(status, message, id))
}

fn leaves_a_body_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT | StatusCode::URI_TOO_LONG
    )
}

impl Functions {
    async fn run(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        id: RequestId,
    ) -> Result<HttpResponse, Rejection> {
        let (parts, body) = request.into_parts();
        check_target(&parts, id)?;
        let path = RequestPath::parse(parts.uri.path()).map_err(|error| {
            reject(
                StatusCode::BAD_REQUEST,
                &format!("Bad Request: {error}"),
                id,
            )
        })?;
        let routed = self.route(&parts.method, &path, id)?;

        let body = read_body(body, self.body_limits)
            .await
            .map_err(|error| reject(error.status(), &error.to_string(), id))?;
        let event = event_from(&Source {
            parts: &parts,
            body: &body,
            route: &routed.route,
            parameters: &routed.borrowed_parameters(),
            path: &path.decoded(),
            peer: peer.remote,
            local_port: peer.local_port,
            id,
            received_us: self.app.clock.unix_us(),
        });
        if event.len() > PAYLOAD_BYTES_MAX {
            // A binary body grows by a third on its way into an event.
            return Err(reject(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request Entity Too Large",
                id,
            ));
        }
        let function = routed.function;
        let invocation = Invocation {
            id,
            attempt: 1,
            function,
            trigger: Trigger::Http,
            event,
            keep_log: false,
        };
        let completed = invoke(&self.app, invocation).await;
        Ok(response_from(completed, id, parts.method == Method::HEAD))
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
                parameters,
            } => Ok(Routed {
                route: route.clone(),
                function: target.clone(),
                parameters: parameters
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
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
    route: Route,
    function: FunctionName,
    parameters: Vec<(String, String)>,
}

impl Routed {
    fn borrowed_parameters(&self) -> Vec<(&str, String)> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect()
    }
}

/// What the server lets through and we do not.
fn check_target(parts: &Parts, id: RequestId) -> Result<(), Rejection> {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > TARGET_BYTES_MAX {
        return Err(reject(StatusCode::URI_TOO_LONG, "URI Too Long", id));
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

/// The response to an invocation.
pub(crate) fn response_from(
    completed: Result<Completed, InvokeError>,
    id: RequestId,
    is_head: bool,
) -> HttpResponse {
    let answer = match completed {
        Ok(completed) => completed.answer,
        Err(error) => return refusal(&error, id),
    };
    match answer {
        Ok(Answer::Http(answer)) => {
            let body = if is_head { Bytes::new() } else { answer.body };
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            with_request_id(&mut response, id);
            response
        }
        Ok(Answer::Payload(payload)) => {
            let mut response = super::error::json_response(StatusCode::OK, payload);
            with_request_id(&mut response, id);
            response
        }
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

/// An invocation that never ran, or that we failed.
fn refusal(error: &InvokeError, id: RequestId) -> HttpResponse {
    let (status, message) = match error {
        InvokeError::UnknownFunction { .. } => (StatusCode::NOT_FOUND, "Not Found"),
        InvokeError::Refused(Refused::Function { .. } | Refused::Process { .. }) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
        }
        InvokeError::Refused(Refused::Memory { .. })
        | InvokeError::LedgerClosed { .. }
        | InvokeError::Sandbox { .. }
        | InvokeError::Record { .. } => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    };
    match error.fault() {
        Fault::Caller | Fault::Function => {
            tracing::debug!(invocation.id = %id, "refused: {error}");
        }
        Fault::Host => tracing::error!(invocation.id = %id, "{}", crate::invoke::chain(error)),
    }
    error_response(status, message, id)
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
