//! `/mayfly/events/NAME[:QUALIFIER]`: CloudEvents 1.0 over HTTP, each an event for a function.
//!
//! POST takes one in its headers (binary mode), one as JSON (structured), or a list (batch), which is
//! taken in whole or not at all. OPTIONS answers whoever asks before they deliver. What is a CloudEvent
//! is decided by [`read`].

mod attributes;
mod read;

use std::sync::Arc;
use std::time::Duration;

use domain::event::Target;
use domain::{FunctionRef, Qualifier, RequestId, Trigger};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use storage::NewEvent;

use self::read::{Incoming, NotTaken, Read};
use super::super::error::ApiError;
use super::super::query::Query;
use super::super::request::ApiRequest;
use super::events::{answer, check_open};
use crate::app::App;
use crate::http::error::HttpResponse;
use crate::trigger::queue::accept::accept;

const ORIGIN: &str = "webhook-request-origin";
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
const ALL: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, POST");

#[derive(Serialize)]
struct Taken {
    request_id: RequestId,
}

#[derive(Serialize)]
struct Batch {
    events: Vec<Taken>,
}

/// The function, version or alias that a path names; the qualifier may stand in the query instead, for
/// clients that sign a `:` otherwise than they send it.
///
/// # Errors
///
/// 400 for what can be none, and for two qualifiers that differ.
pub(super) fn target(label: &str, query: &Query) -> Result<FunctionRef, ApiError> {
    query.only(&["qualifier"])?;
    let wrong = |error: &dyn std::fmt::Display| ApiError::validation(error.to_string());
    let mut target = FunctionRef::parse(label).map_err(|error| wrong(&error))?;
    if let Some(text) = query.text("qualifier") {
        let said = Qualifier::parse(text)
            .map_err(|error| wrong(&format!("query parameter `qualifier`: {error}")))?;
        if target.qualifier.as_ref().is_some_and(|one| *one != said) {
            let rule = "query parameter `qualifier` is another one than the path has";
            return Err(wrong(&rule));
        }
        target.qualifier = Some(said);
    }
    Ok(target)
}

/// Takes CloudEvents in.
///
/// # Errors
///
/// 404 without such a function, 400 and 415 for what is no CloudEvent, 413, 429, 503; nothing was taken
/// in then.
pub(super) async fn send(
    request: &ApiRequest<'_>,
    target: &FunctionRef,
) -> Result<HttpResponse, ApiError> {
    let app: &Arc<App> = request.app;
    check_open(app)?;
    check_target(app, target)?;
    let read = read::read(&request.parts.headers, &request.body).map_err(refused)?;
    match read {
        Read::One(incoming) => {
            let event = new_event(target, request.id, incoming);
            take_in(app, vec![event]).await?;
            let request_id = request.id;
            answer(StatusCode::ACCEPTED, &Taken { request_id })
        }
        Read::Batch(batch) => {
            let new = |incoming| new_event(target, app.request_id(), incoming);
            let events: Vec<NewEvent> = batch.into_iter().map(new).collect();
            let taken = events.iter().map(|event| Taken {
                request_id: event.id,
            });
            let taken = Batch {
                events: taken.collect(),
            };
            take_in(app, events).await?;
            answer(StatusCode::ACCEPTED, &taken)
        }
    }
}

/// Says that events may be delivered here: to whoever may deliver them.
///
/// # Errors
///
/// 404 without such a function.
pub(super) fn validate(
    request: &ApiRequest<'_>,
    target: &FunctionRef,
) -> Result<HttpResponse, ApiError> {
    check_target(request.app, target)?;
    let mut response: HttpResponse = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    if request.parts.headers.contains_key(ORIGIN) {
        headers.insert(ALLOWED_ORIGIN, ALL);
        headers.insert(ALLOWED_RATE, ALL);
    }
    Ok(response)
}

fn check_target(app: &App, target: &FunctionRef) -> Result<(), ApiError> {
    let found = app
        .registry
        .resolve(&target.name, target.qualifier.as_ref(), 0);
    found.map(drop).map_err(|_| {
        let arn = target.arn(&app.config.region);
        ApiError::not_found(format!("Function not found: {arn}"))
    })
}

fn new_event(target: &FunctionRef, id: RequestId, incoming: Incoming) -> NewEvent {
    NewEvent {
        id,
        target: Target::Function {
            name: target.name.clone(),
            qualifier: target.qualifier.clone(),
        },
        trigger: Trigger::CloudEvent,
        source: Some(incoming.source),
        depth: 0,
        payload: incoming.event,
        delay: Duration::ZERO,
    }
}

async fn take_in(app: &App, events: Vec<NewEvent>) -> Result<(), ApiError> {
    if events.is_empty() {
        return Ok(());
    }
    Ok(accept(app, events).await?)
}

fn refused(error: NotTaken) -> ApiError {
    match error {
        NotTaken::MediaType(hint) => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaTypeException",
            hint,
        ),
        NotTaken::Wrong(reason) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            reason,
        ),
        NotTaken::TooMany(reason) => ApiError::too_large(reason),
    }
}
