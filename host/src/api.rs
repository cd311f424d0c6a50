//! The control API: health and a summary of metrics for anybody, everything else for callers who signed.
//!
//! One listener for all services; the service in the scope of the signature says which API is meant.
//! What can be refused by its head alone is, before its body is read; then the signature is verified over
//! the body, and only then does anything look into it. The API that is meant routes the request, asks for
//! a grant and acts.
//!
//! Knows nothing of how a function runs, and offers no way around the spine.

mod body;
mod checks;
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
mod scheduler;
mod sts;
mod uploads;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::RequestId;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};

use self::body::{ApiBody, ApiResponse, whole};
use self::error::ApiError;
use self::error::protocol::Protocol;
use self::health::Series;
use self::request::ApiRequest;
use self::uploads::Unproven;
use crate::app::App;
use crate::audit::Answered;
use crate::auth::Caller;
use crate::auth::authentication::{Listener, Pending, Source};
use crate::auth::sigv4::AuthError;
use crate::auth::trail::Trail;
use crate::http::body::{BodyError, BodyLimits, Room, read_body};
use crate::http::dispatch::finish_body;
use crate::http::error::with_request_id;
use crate::http::listener::{Drain, Peer, Service};

/// Longest body of what is no event and no code, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Where everybody may look.
const HEALTH: &str = "/health";
const METRICS: &str = "/metrics";

/// For receiving code, which may be large and come from far away.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Answers requests for control.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    app: Arc<App>,
    body_limits: BodyLimits,
    /// For bodies up to [`BODY_BYTES_MAX`]. Of this listener alone: they must not crowd out events.
    room: Room,
    /// For larger ones, so that small ones always fit.
    large_room: Room,
    unproven: Unproven,
    /// A drain is not over while a request is worked on, whether or not its client is still there.
    _drain: Drain,
}

/// A request that leaves its lines in the audit log when it is dropped, however its answering ended: a
/// panic and a stop that does not wait for it are failures of ours.
struct Recorded<'a> {
    app: &'a App,
    answered: Answered<'a>,
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        self.app.audit.record(&self.app.clock, &self.answered);
    }
}

/// Which API a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiService {
    Lambda,
    Logs,
    Iam,
    Sts,
    Mayfly,
    Scheduler,
}

impl ApiService {
    const ALL: [Self; 6] = [
        Self::Lambda,
        Self::Logs,
        Self::Iam,
        Self::Sts,
        Self::Mayfly,
        Self::Scheduler,
    ];

    /// As the scope of a signature writes it.
    fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Logs => "logs",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Mayfly => "mayfly",
            Self::Scheduler => "scheduler",
        }
    }

    /// The service of a signature's scope, which must be the one that the path belongs to.
    fn of(scope: &str, path: &str) -> Result<Self, AuthError> {
        let of_path: &[Self] = if path == "/mayfly" || path.starts_with("/mayfly/") {
            &[Self::Mayfly]
        } else if path == METRICS {
            &Self::ALL
        } else if path == "/" {
            &[Self::Logs, Self::Iam, Self::Sts]
        } else if scheduler::is_path(path) {
            &[Self::Scheduler]
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
            Self::Mayfly => mayfly::may_repeat(method, path),
            Self::Scheduler => *method == Method::GET,
        }
    }
}

impl Control {
    pub(crate) fn new(app: Arc<App>, drain: Drain) -> Self {
        let body_limits = BodyLimits::of(&app.config.http);
        Self {
            app,
            body_limits,
            room: Room::default(),
            large_room: Room::for_uploads(),
            unproven: Unproven::default(),
            _drain: drain,
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
        let is_metrics = path == METRICS;
        if path == HEALTH || is_metrics {
            expect_get(parts)?;
        }
        if path == HEALTH {
            return Ok(whole(health::health(&self.app)));
        }
        if is_metrics && !is_signed(parts) {
            return Ok(whole(health::metrics(&self.app, &Series::OfTheProcess)));
        }
        if let Some(token) = code_download::token(parts)? {
            let downloaded = code_download::download(&self.app, token, trail).await;
            return downloaded.map(whole);
        }
        let authentication = &self.app.authentication;
        let source = Source {
            address: peer.remote.ip(),
            is_secure: peer.is_secure,
            listener: Listener::Control,
        };
        let pending = authentication.head(parts, source)?;
        let service = ApiService::of(pending.service(), path)?;
        // The room is held as long as what is done with the body.
        let limits = self.body_limits(service, parts);
        let is_large = limits.bytes_max > BODY_BYTES_MAX && is_large(body);
        let place = if is_large && limits.bytes_max > self.body_limits.bytes_max {
            let place = self.unproven.enter(pending.access_key_id(), source.address);
            Some(place.ok_or_else(too_many_uploads)?)
        } else {
            None
        };
        let room = if is_large {
            &self.large_room
        } else {
            &self.room
        };
        let (body, _room) = read_body(body, limits, room, source.address)
            .await
            .map_err(|error| too_large(service, parts, error))?;
        let may_repeat = service.may_repeat(&parts.method, path);
        let mut caller = self.verify(pending, &body, may_repeat).await?;
        drop(place);
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
            ApiService::Scheduler => scheduler::answer(&request).await.map(whole),
        }
    }

    /// Holds the signature against the body. Hashing a large one takes a while, so that is done elsewhere.
    async fn verify(
        &self,
        pending: Pending,
        body: &Bytes,
        may_repeat: bool,
    ) -> Result<Caller, ApiError> {
        if body.len() <= BODY_BYTES_MAX {
            return Ok(self.app.authentication.verify(pending, body, may_repeat)?);
        }
        let (app, body) = (Arc::clone(&self.app), body.clone());
        let verifying = move || app.authentication.verify(pending, &body, may_repeat);
        match tokio::task::spawn_blocking(verifying).await {
            Ok(verified) => Ok(verified?),
            Err(error) => {
                tracing::error!(%error, "a signature was not verified");
                Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// How long and how large the body of a request may be.
    fn body_limits(&self, service: ApiService, parts: &Parts) -> BodyLimits {
        let mut limits = self.body_limits;
        limits.bytes_max = match service {
            ApiService::Lambda => {
                lambda::body_bytes_max(&parts.method, parts.uri.path()).unwrap_or(BODY_BYTES_MAX)
            }
            ApiService::Logs
            | ApiService::Iam
            | ApiService::Sts
            | ApiService::Mayfly
            | ApiService::Scheduler => BODY_BYTES_MAX,
        };
        if limits.bytes_max > self.body_limits.bytes_max {
            limits.total = limits.total.max(UPLOAD_TIMEOUT);
        }
        limits
    }
}

impl Control {
    /// Answers a request and leaves its lines in the audit log.
    async fn answer_and_record(&self, request: Request<Incoming>, peer: Peer) -> ApiResponse {
        let id = self.app.request_id();
        let (parts, mut body) = request.into_parts();
        let trail = Trail::default();
        let mut recorded = (!is_open(&parts)).then(|| Recorded {
            app: &self.app,
            answered: Answered {
                id,
                source: peer.remote.ip(),
                trail: &trail,
                status: StatusCode::INTERNAL_SERVER_ERROR,
                error: Some("ServiceException"),
            },
        });
        let mut failed = None;
        let mut response = match self.run(&parts, &mut body, (peer, id), &trail).await {
            Ok(response) => response,
            Err(error) => {
                failed = Some(error.code());
                whole(error.response(Protocol::of(&parts), id))
            }
        };
        if let Some(recorded) = &mut recorded {
            (recorded.answered.status, recorded.answered.error) = (response.status(), failed);
        }
        drop(recorded);
        if failed.is_some() {
            finish_body(&parts, &mut body, &mut response).await;
        }
        with_request_id(&mut response, id);
        response
    }
}

impl Service for Control {
    type Body = ApiBody;

    /// What a client asked for goes on when it leaves, so that all that was begun ends in the audit log,
    /// as it ended, and holds its memory until then.
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> ApiResponse {
        let (control, (head, body)) = (self.clone(), request.into_parts());
        let protocol = Protocol::of(&head);
        let request = Request::from_parts(head, body);
        let answering = async move { control.answer_and_record(request, peer).await };
        tokio::spawn(answering).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a control request was not answered");
            let error = ApiError::service(StatusCode::INTERNAL_SERVER_ERROR);
            whole(error.response(protocol, self.app.request_id()))
        })
    }
}

/// Whether a body is longer than most, or does not say how long it is.
fn is_large(body: &Incoming) -> bool {
    let upper = body.size_hint().upper();
    upper.is_none_or(|bytes| bytes > BODY_BYTES_MAX as u64)
}

fn too_many_uploads() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequestsException",
        "Rate Exceeded. Two uploads are received already with this access key or from this address.",
    )
}

/// Each operation of Lambda says in its own words that a body is too large.
fn too_large(service: ApiService, parts: &Parts, error: BodyError) -> ApiError {
    match (service, error) {
        (ApiService::Lambda, BodyError::TooLarge) => lambda::body_too_large(parts),
        (ApiService::Mayfly, BodyError::TooLarge) => ApiError::too_large(format!(
            "the body of {} {} may have at most {BODY_BYTES_MAX} bytes",
            parts.method,
            parts.uri.path()
        )),
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

/// Whether a request is for what everybody may see; then it is nothing for the audit log.
fn is_open(parts: &Parts) -> bool {
    match parts.uri.path() {
        HEALTH => true,
        METRICS => !is_signed(parts),
        _ => false,
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
            ("scheduler", "/schedules/n", Some(ApiService::Scheduler)),
            ("scheduler", "/schedule-groups", Some(ApiService::Scheduler)),
            ("lambda", "/schedules", None),
            ("scheduler", function, None),
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
