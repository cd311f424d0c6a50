//! `/mayfly/topics`: who subscribes to what, and an event for each that does.
//!
//! What is published is JSON, and every subscriber gets it as it is, as an event of its own with its own
//! request id and its own attempts. All of them are durable before the answer, or none is taken in.

use std::sync::Arc;

use bytes::Bytes;
use domain::event::Target;
use domain::{RequestId, TopicError, TopicName, Trigger};
use http::StatusCode;
use serde::Serialize;
use storage::NewEvent;

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::events::{answer, check_open, json};
use crate::answer::parse_json;
use crate::app::App;
use crate::http::error::HttpResponse;
use crate::registry::Subscriber;
use crate::trigger::queue::accept::accept;

/// Most subscribers that get one event.
const SUBSCRIBERS_MAX: usize = 1_000;

/// Most bytes that one event may become, over all its subscribers: each gets a copy.
const COPIES_BYTES_MAX: usize = 64 << 20;

#[derive(Serialize)]
struct Listing {
    topics: Vec<TopicView>,
}

#[derive(Serialize)]
struct TopicView {
    /// The pattern.
    topic: String,
    subscribers: Vec<SubscriberView>,
}

#[derive(Serialize)]
struct SubscriberView {
    function: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
}

#[derive(Serialize)]
struct Published {
    events: Vec<PublishedEvent>,
}

#[derive(Serialize)]
struct PublishedEvent {
    #[serde(flatten)]
    subscriber: SubscriberView,
    request_id: RequestId,
}

impl From<&Subscriber> for SubscriberView {
    fn from(subscriber: &Subscriber) -> Self {
        Self {
            function: subscriber.function.to_string(),
            qualifier: subscriber.qualifier.as_ref().map(ToString::to_string),
        }
    }
}

/// The topic of a path.
///
/// # Errors
///
/// 400 with the place of what is wrong.
pub(super) fn topic(label: &str) -> Result<TopicName, ApiError> {
    TopicName::parse(label).map_err(|error: TopicError| ApiError::validation(error.to_string()))
}

/// The topic's name for policies.
pub(super) fn arn(topic: &TopicName) -> String {
    format!("arn:aws:mayfly:::topic/{topic}")
}

pub(super) fn list_topics(app: &App) -> Result<HttpResponse, ApiError> {
    let by_pattern = app.registry.subscribers().by_pattern();
    let view = |(topic, subscribers): (_, Vec<Subscriber>)| TopicView {
        topic: String::from(topic),
        subscribers: subscribers.iter().map(SubscriberView::from).collect(),
    };
    let topics = by_pattern.into_iter().map(view).collect();
    json(&Listing { topics })
}

pub(super) async fn publish(
    request: &ApiRequest<'_>,
    topic: &TopicName,
) -> Result<HttpResponse, ApiError> {
    let app: &Arc<App> = request.app;
    check_open(app)?;
    let event = event(&request.body)?;
    let subscribers = app.registry.subscribers().of(topic);
    let (count, bytes) = (subscribers.len(), event.len());
    if count > SUBSCRIBERS_MAX || count.saturating_mul(bytes) > COPIES_BYTES_MAX {
        return Err(ApiError::too_large(format!(
            "topic `{topic}` has {count} subscribers, who would each get {bytes} bytes; an event goes to at most {SUBSCRIBERS_MAX}, with together at most {COPIES_BYTES_MAX} bytes"
        )));
    }
    let ids: Vec<RequestId> = subscribers.iter().map(|_| app.request_id()).collect();
    let new = |(subscriber, id): (&Subscriber, &RequestId)| NewEvent {
        id: *id,
        target: Target::Function {
            name: subscriber.function.clone(),
            qualifier: subscriber.qualifier.clone(),
        },
        trigger: Trigger::Topic,
        source: Some(topic.to_string()),
        depth: 0,
        payload: event.clone(),
        delay: std::time::Duration::ZERO,
    };
    let events: Vec<NewEvent> = subscribers.iter().zip(&ids).map(new).collect();
    if !events.is_empty() {
        accept(app, events).await?;
    }
    let published = subscribers.iter().zip(ids).map(|(subscriber, request_id)| {
        let subscriber = SubscriberView::from(subscriber);
        PublishedEvent {
            subscriber,
            request_id,
        }
    });
    let events = published.collect();
    answer(StatusCode::ACCEPTED, &Published { events })
}

/// What is published is JSON; nothing is an empty object.
fn event(body: &Bytes) -> Result<Bytes, ApiError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match parse_json(body) {
        Ok(()) => Ok(body.clone()),
        Err(error) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            format!("the body is not JSON: {error}"),
        )),
    }
}
