//! The control API: health and a summary of metrics for anybody, everything else for callers who signed.
//!
//! One listener for all services; the service in the scope of the signature says which API is meant.
//! What can be refused by its head alone is, before its body is read; then the signature is verified over
//! the body, and only then does anything look into it. The API that is meant routes the request, asks for
//! a grant and acts.
//!
//! Knows nothing of how a function runs, and offers no way around the spine.

mod body;
mod code_download;
mod error;
mod event_stream;
mod form;
mod health;
mod iam;
mod json;
mod lambda;
mod logs;
#[cfg(test)]
mod matrix;
pub(crate) mod mayfly;
mod query;
mod request;
mod sts;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use domain::RequestId;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;

use self::body::{ApiBody, ApiResponse, whole};
use self::error::ApiError;
use self::error::protocol::Protocol;
use self::health::Series;
use self::request::ApiRequest;
use crate::app::App;
use crate::audit::Answered;
use crate::auth::authentication::Source;
use crate::auth::sigv4::AuthError;
use crate::auth::trail::Trail;
use crate::http::body::{BodyError, BodyLimits, Room, read_body};
use crate::http::dispatch::finish_body;
use crate::http::error::with_request_id;
use crate::http::listener::{Peer, Service};

/// Longest body of what is no event and no code, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// For receiving code, which may be large and come from far away.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Answers requests for control.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    app: Arc<App>,
    body_limits: BodyLimits,
    /// Of this listener alone: uploads must not crowd out events.
    room: Room,
}

/// Which API a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiService {
    Lambda,
    Logs,
    Iam,
    Sts,
    Mayfly,
}

impl ApiService {
    const ALL: [Self; 5] = [Self::Lambda, Self::Logs, Self::Iam, Self::Sts, Self::Mayfly];

    /// As the scope of a signature writes it.
    fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Logs => "logs",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Mayfly => "mayfly",
        }
    }

    /// The service of a signature's scope, which must be the one that the path belongs to.
    fn of(scope: &str, path: &str) -> Result<Self, AuthError> {
        let of_path: &[Self] = if path == "/mayfly" || path.starts_with("/mayfly/") {
            &[Self::Mayfly]
        } else if path == "/metrics" {
            &Self::ALL
        } else if path == "/" {
            &[Self::Logs, Self::Iam, Self::Sts]
        } else {
            &[Self::Lambda]
        };
        let found = of_path.iter().find(|service| service.name() == scope);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = of_path
                .iter()
                .map(|service| format!("'{}'", service.name()))
                .collect();
            AuthError::Invalid(format!(
                "Credential should be scoped to correct service: {}.",
                names.join(" or ")
            ))
        })
    }
}

impl ApiService {
    /// Whether doing a request twice does no harm: what reads, and Invoke, which clients send with the
    /// same signature twice in one second.
    fn may_repeat(self, method: &Method, path: &str) -> bool {
        match self {
            Self::Lambda => lambda::may_repeat(method, path),
            Self::Logs | Self::Sts => true,
            Self::Iam => false,
            Self::Mayfly => *method == Method::GET,
        }
    }
}

impl Control {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let body_limits = BodyLimits::of(&app.config.http);
        Self {
            app,
            body_limits,
            room: Room::default(),
        }
    }

    async fn run(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        (peer, id): (Peer, RequestId),
        trail: &Trail,
    ) -> Result<ApiResponse, ApiError> {
        let path = parts.uri.path();
        let is_metrics = path == "/metrics";
        if path == "/health" || is_metrics {
            expect_get(parts)?;
        }
        if path == "/health" {
            return Ok(whole(health::health(&self.app)));
        }
        if is_metrics && !is_signed(parts) {
            return Ok(whole(health::metrics(&self.app, Series::OfTheProcess)));
        }
        if let Some(token) = code_download::token(parts)? {
            return code_download::download(&self.app, token).await.map(whole);
        }
        let authentication = &self.app.authentication;
        let source = Source {
            address: peer.remote.ip(),
            is_secure: peer.is_secure,
        };
        let pending = authentication.head(parts, source)?;
        let service = ApiService::of(pending.service(), path)?;
        // The room is held as long as the body may be.
        let limits = self.body_limits(service, parts);
        let (body, _room) = read_body(body, limits, &self.room)
            .await
            .map_err(|error| too_large(service, parts, error))?;
        let may_repeat = service.may_repeat(&parts.method, path);
        let mut caller = authentication.verify(pending, &body, may_repeat)?;
        let identities = &self.app.identities;
        identities.note_use(&caller.access_key_id, service.name(), &caller.region);
        trail.recognise(caller.arn(), Arc::clone(&caller.access_key_id));
        caller.trail = trail.clone();
        let request = ApiRequest {
            app: &self.app,
            id,
            parts,
            caller,
            body,
        };
        if is_metrics {
            // Signed for whichever service, it is ours.
            return mayfly::answer(&request).await;
        }
        match service {
            ApiService::Lambda => lambda::answer(&request).await.map(whole),
            ApiService::Logs => logs::answer(&request).await,
            ApiService::Iam => iam::answer(&request).await.map(whole),
            ApiService::Sts => sts::answer(&request).map(whole),
            ApiService::Mayfly => mayfly::answer(&request).await,
        }
    }

    /// How long and how large the body of a request may be.
    fn body_limits(&self, service: ApiService, parts: &Parts) -> BodyLimits {
        let mut limits = self.body_limits;
        limits.bytes_max = match service {
            ApiService::Lambda => {
                lambda::body_bytes_max(&parts.method, parts.uri.path()).unwrap_or(BODY_BYTES_MAX)
            }
            ApiService::Logs | ApiService::Iam | ApiService::Sts | ApiService::Mayfly => {
                BODY_BYTES_MAX
            }
        };
        if limits.bytes_max > self.body_limits.bytes_max {
            limits.total = limits.total.max(UPLOAD_TIMEOUT);
        }
        limits
    }
}

impl Service for Control {
    type Body = ApiBody;

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> ApiResponse {
        let id = self.app.request_id();
        let (parts, mut body) = request.into_parts();
        let trail = Trail::default();
        let mut failed = None;
        let mut response = match self.run(&parts, &mut body, (peer, id), &trail).await {
            Ok(response) => response,
            Err(error) => {
                failed = Some(error.code());
                let mut response = whole(error.response(Protocol::of(&parts), id));
                finish_body(&parts, &mut body, &mut response).await;
                response
            }
        };
        with_request_id(&mut response, id);
        let answered = Answered {
            id,
            source: peer.remote.ip(),
            trail: &trail,
            status: response.status(),
            error: failed,
        };
        self.app.audit.record(&self.app.clock, &answered);
        response
    }
}

/// Each operation of Lambda says in its own words that a body is too large.
fn too_large(service: ApiService, parts: &Parts, error: BodyError) -> ApiError {
    match (service, error) {
        (ApiService::Lambda, BodyError::TooLarge) => lambda::body_too_large(parts),
        (_, error) => error.into(),
    }
}

fn expect_get(parts: &Parts) -> Result<(), ApiError> {
    if parts.method == Method::GET {
        Ok(())
    } else {
        let path = parts.uri.path();
        Err(ApiError::wrong_method(path, &Method::GET, &parts.method))
    }
}

/// Whether a request has anything of a signature.
fn is_signed(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or("");
    parts.headers.contains_key(AUTHORIZATION) || query.contains("X-Amz-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_of_a_signature_is_that_of_the_path() {
        let function = "/2015-03-31/functions/f";
        for (scope, path, service) in [
            ("lambda", function, Some(ApiService::Lambda)),
            ("mayfly", "/mayfly/billing", Some(ApiService::Mayfly)),
            ("mayfly", "/metrics", Some(ApiService::Mayfly)),
            ("logs", "/", Some(ApiService::Logs)),
            ("iam", "/", Some(ApiService::Iam)),
            ("sts", "/", Some(ApiService::Sts)),
            ("lambda", "/", None),
            ("lambda", "/mayfly/billing", None),
            ("mayfly", function, None),
            ("mayfly", "/mayflyx", None),
            ("logs", function, None),
            ("s3", function, None),
            ("Lambda", function, None),
        ] {
            let found = ApiService::of(scope, path).ok();
            assert_eq!(found, service, "{scope} {path}");
        }
        assert_eq!(
            ApiService::of("s3", function).unwrap_err().to_string(),
            "Credential should be scoped to correct service: 'lambda'."
        );
    }
}
