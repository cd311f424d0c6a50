//! The control API: health, metrics, Invoke, and what the command line asks for.
//!
//! It has a listener of its own, on a loopback address only. Until callers can be authenticated, a
//! request from another machine, through a foreign `Host` (a name that was made to resolve to us) or
//! from a web page (`Origin`) is refused.
//!
//! Knows nothing of how a function runs, and offers no way around the spine.

pub(crate) mod billing;
mod error;
pub(crate) mod functions;
mod health;
mod invoke;
mod logs;
mod query;

use std::sync::Arc;

use domain::RequestId;
use domain::routing::decode_percent;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use self::error::ApiError;
use self::query::Query;
use crate::app::App;
use crate::http::body::{BodyLimits, read_body};
use crate::http::dispatch::finish_body;
use crate::http::error::{HttpResponse, with_request_id};
use crate::http::listener::{Peer, Service};

/// Answers requests for control.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    app: Arc<App>,
    body_limits: BodyLimits,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    Health,
    Metrics,
    Invoke { function: String },
    ListFunctions,
    ListBilling,
    SummariseBilling,
    ReadLogs { function: String },
}

impl Control {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let body_limits = BodyLimits::of(&app.config.http);
        Self { app, body_limits }
    }

    async fn run(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        peer: Peer,
        id: RequestId,
    ) -> Result<HttpResponse, ApiError> {
        check_caller(parts, peer)?;
        let operation = operation(&parts.method, parts.uri.path())?;
        let query = Query::parse(parts.uri.query().unwrap_or(""))?;
        match operation {
            Operation::Health => Ok(health::health(&self.app)),
            Operation::Metrics => Ok(health::metrics(&self.app)),
            Operation::Invoke { function } => {
                let (event, _room) = read_body(body, self.body_limits, &self.app.room).await?;
                invoke::invoke_function(&self.app, (&parts.headers, &query), &function, event, id)
                    .await
            }
            Operation::ListFunctions => Ok(functions::list_functions(&self.app)),
            Operation::ListBilling => billing::list_billing(&self.app, &query).await,
            Operation::SummariseBilling => billing::summarise_billing(&self.app, &query).await,
            Operation::ReadLogs { function } => logs::read_logs(&self.app, &function, &query).await,
        }
    }
}

impl Service for Control {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> HttpResponse {
        let id = self.app.request_id();
        let (parts, mut body) = request.into_parts();
        let mut response = match self.run(&parts, &mut body, peer, id).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = error.response();
                finish_body(&parts, &mut body, &mut response).await;
                response
            }
        };
        with_request_id(&mut response, id);
        response
    }
}

fn check_caller(parts: &Parts, peer: Peer) -> Result<(), ApiError> {
    if !peer.remote.ip().is_loopback() {
        return Err(ApiError::denied(
            "the control API answers this machine only",
        ));
    }
    if parts.headers.contains_key(ORIGIN) {
        return Err(ApiError::denied(
            "the control API does not answer web pages (Origin)",
        ));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (
        hosts.next().and_then(|host| host.to_str().ok()),
        hosts.next(),
    ) {
        (Some(host), None) if is_local(host) => Ok(()),
        _ => Err(ApiError::denied(
            "the Host header must be localhost or a loopback address",
        )),
    }
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn operation(method: &Method, path: &str) -> Result<Operation, ApiError> {
    // Older models of the AWS clients write a slash at the end.
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
    let (expected, operation) = match segments.as_slice() {
        ["health"] => (Method::GET, Operation::Health),
        ["metrics"] => (Method::GET, Operation::Metrics),
        ["2015-03-31", "functions", function, "invocations"] => (
            Method::POST,
            Operation::Invoke {
                function: decode(function)?,
            },
        ),
        ["mayfly", "functions"] => (Method::GET, Operation::ListFunctions),
        ["mayfly", "billing"] => (Method::GET, Operation::ListBilling),
        ["mayfly", "billing", "summary"] => (Method::GET, Operation::SummariseBilling),
        ["mayfly", "logs", function] => (
            Method::GET,
            Operation::ReadLogs {
                function: decode(function)?,
            },
        ),
        _ => return Err(ApiError::unknown_operation(method, path)),
    };
    if *method == expected {
        return Ok(operation);
    }
    let message = format!("{path} takes {expected}, not {method}");
    Err(ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowedException",
        message,
    ))
}

fn decode(segment: &str) -> Result<String, ApiError> {
    decode_percent(segment.as_bytes())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::validation(format!("`{segment}` is not percent-encoded UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_operation_or_an_error_that_says_what_would_be() {
        let invoke = |function: &str| Operation::Invoke {
            function: function.to_owned(),
        };
        let post = |path| operation(&Method::POST, path);
        assert_eq!(
            post("/2015-03-31/functions/f/invocations").unwrap(),
            invoke("f")
        );
        assert_eq!(
            post("/2015-03-31/functions/a%3Ab/invocations/").unwrap(),
            invoke("a:b")
        );
        let wrong = operation(&Method::GET, "/2015-03-31/functions/f/invocations").unwrap_err();
        assert_eq!(wrong.response().status(), StatusCode::METHOD_NOT_ALLOWED);
        for unknown in ["/", "/nothing", "/mayfly", "/mayfly/functions/f/x"] {
            assert_eq!(
                post(unknown).unwrap_err().response().status(),
                StatusCode::NOT_FOUND
            );
        }
    }

    #[test]
    fn only_loopback_names_are_local() {
        for local in [
            "localhost",
            "LOCALHOST:3002",
            "127.0.0.1:3002",
            "127.8.8.8",
            "[::1]:3002",
        ] {
            assert!(is_local(local), "{local}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "127.0.0.1.evil",
        ] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
