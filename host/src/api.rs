//! The control API: health and metrics for anybody, everything else for callers who signed.
//!
//! One listener for all services; the service in the scope of the signature says which API is meant.
//! A request is routed, its caller known, the caller's right to it granted, and only then does its
//! operation read what it needs and act.
//!
//! Until callers are authenticated, only this machine is answered: a request from another one, through a
//! foreign `Host` (a name that was made to resolve to us) or from a web page (`Origin`) is refused.
//!
//! Knows nothing of how a function runs, and offers no way around the spine.

mod body;
mod error;
mod event_stream;
mod form;
mod health;
mod iam;
mod lambda;
mod logs;
pub(crate) mod mayfly;
mod query;
mod request;
mod sts;
mod xml;

use std::sync::Arc;

use domain::RequestId;
use http::header::{HOST, ORIGIN, USER_AGENT};
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;

use self::body::{ApiBody, ApiResponse, whole};
use self::error::ApiError;
use self::request::ApiRequest;
use crate::app::App;
use crate::auth::{Caller, Identity};
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

/// Which API a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiService {
    Lambda,
    Iam,
    Sts,
    Logs,
    Mayfly,
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
    ) -> Result<ApiResponse, ApiError> {
        check_caller(parts, peer)?;
        if let Some(response) = self.open_to_all(parts)? {
            return Ok(whole(response));
        }
        let caller = caller(parts, peer);
        // The room is held as long as the body may be.
        let (body, _room) = read_body(body, self.body_limits, &self.app.room).await?;
        let request = ApiRequest {
            app: &self.app,
            id,
            parts,
            caller,
            body,
        };
        match service(parts) {
            ApiService::Lambda => lambda::answer(&request).await.map(whole),
            ApiService::Logs => logs::answer(&request).await,
            ApiService::Iam => iam::answer(&request).await.map(whole),
            ApiService::Sts => sts::answer(&request).map(whole),
            ApiService::Mayfly => mayfly::answer(&request).await.map(whole),
        }
    }

    /// What needs no caller.
    fn open_to_all(&self, parts: &Parts) -> Result<Option<HttpResponse>, ApiError> {
        let path = parts.uri.path();
        let answer: fn(&App) -> HttpResponse = match path {
            "/health" => health::health,
            "/metrics" => health::metrics,
            _ => return Ok(None),
        };
        if parts.method == Method::GET {
            Ok(Some(answer(&self.app)))
        } else {
            Err(ApiError::wrong_method(path, &Method::GET, &parts.method))
        }
    }
}

impl Service for Control {
    type Body = ApiBody;

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> ApiResponse {
        let id = self.app.request_id();
        let (parts, mut body) = request.into_parts();
        let mut response = match self.run(&parts, &mut body, peer, id).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = whole(match service(&parts) {
                    ApiService::Logs => error.response_json11(),
                    ApiService::Lambda | ApiService::Iam | ApiService::Sts | ApiService::Mayfly => {
                        error.response()
                    }
                });
                finish_body(&parts, &mut body, &mut response).await;
                response
            }
        };
        with_request_id(&mut response, id);
        response
    }
}

/// The API that a request is for.
fn service(parts: &Parts) -> ApiService {
    let path = parts.uri.path();
    let target = parts.headers.get("x-amz-target");
    if target.is_some_and(|target| {
        target
            .as_bytes()
            .starts_with(logs::TARGET_PREFIX.as_bytes())
    }) {
        ApiService::Logs
    } else if path == "/mayfly" || path.starts_with("/mayfly/") {
        ApiService::Mayfly
    } else {
        ApiService::Lambda
    }
}

/// Whoever is on this machine owns the account, as long as nobody signs.
fn caller(parts: &Parts, peer: Peer) -> Caller {
    let user_agent = parts.headers.get(USER_AGENT);
    Caller {
        identity: Identity::Root,
        access_key_id: "".into(),
        source: peer.remote.ip(),
        region: "local".into(),
        user_agent: user_agent
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        is_secure: peer.is_secure,
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

#[cfg(test)]
mod tests {
    use super::*;

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
