//! `/mayfly/topics`: who subscribes to what, and an event for each that does.
//!
//! What is published is JSON, and every subscriber gets it as it is, as an event of its own with its own
//! request id and its own attempts, durable before the answer. What is wrong with one subscriber is no other's
//! concern: whose queue is full gets a dead letter or nothing, and the answer counts it.

use std::sync::Arc;

use bytes::Bytes;
use domain::event::{EventState, Target};
use domain::{RequestId, TopicError, TopicName, Trigger};
use http::StatusCode;
use serde::Serialize;
use storage::{NewEvent, Published};

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::events::{answer, check_open, json};
use crate::answer::parse_json;
use crate::app::App;
use crate::auth;
use crate::http::error::HttpResponse;
use crate::registry::Subscriber;
use crate::trigger::queue::accept;

/// Most qualifiers of one function that get one event.
const QUALIFIERS_MAX: usize = 10;

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

/// What is told of what was published. Numbers that are zero are left out.
#[derive(Serialize)]
struct PublishedView {
    events: Vec<PublishedEvent>,
    /// Subscribers that get nothing: their queues and dead letters are full, or there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    refused: usize,
    /// Subscribers whose alias or version is not there.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: usize,
}

#[derive(Serialize)]
struct PublishedEvent {
    /// For who may know.
    #[serde(flatten)]
    subscriber: Option<SubscriberView>,
    request_id: RequestId,
    /// `queued`, or `dead` at once.
    state: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
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
    let mut subscribers = app.registry.subscribers().of(topic);
    let all = subscribers.len();
    subscribers.retain(|one| is_there(app, one));
    let there = subscribers.len();
    let subscribers = fair(subscribers, event.len());
    let new = |subscriber: &Subscriber| NewEvent {
        id: app.request_id(),
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
    let copies: Vec<NewEvent> = subscribers.iter().map(new).collect();
    let ids: Vec<RequestId> = copies.iter().map(|copy| copy.id).collect();
    let taken = match copies.is_empty() {
        true => Vec::new(),
        false => accept::publish(app, copies).await?,
    };
    let may_know = auth::may(app, &request.caller, "mayfly:ListTopics", "*");
    let told = |((subscriber, request_id), taken): ((&Subscriber, RequestId), Published)| {
        let state = match taken {
            Published::Queued => EventState::Queued,
            Published::Dead => EventState::Dead,
            Published::Refused => return None,
        };
        Some(PublishedEvent {
            subscriber: may_know.then(|| SubscriberView::from(subscriber)),
            request_id,
            state: state.as_str(),
        })
    };
    let copies = subscribers.iter().zip(ids).zip(taken);
    let events: Vec<PublishedEvent> = copies.filter_map(told).collect();
    let (refused, skipped) = (there - events.len(), all - there);
    app.metrics.events.left_out(refused, skipped);
    if events.is_empty() && refused > 0 {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            format!(
                "the queues of all {refused} subscribers of topic `{topic}` are full, and so are their dead letters; nobody got the event"
            ),
        ));
    }
    let published = PublishedView {
        events,
        refused,
        skipped,
    };
    answer(StatusCode::ACCEPTED, &published)
}

fn is_there(app: &App, subscriber: &Subscriber) -> bool {
    let function = app.registry.function(&subscriber.function);
    function.is_some_and(|function| function.named(subscriber.qualifier.as_ref()).is_some())
}

/// Those who get an event of `bytes`: at most [`QUALIFIERS_MAX`] of one function. Where there are more than
/// get one together, the first of each function come before the second of any, so that nobody is left out for
/// how often somebody else subscribes.
fn fair(subscribers: Vec<Subscriber>, bytes: usize) -> Vec<Subscriber> {
    let mut ranked: Vec<(usize, Subscriber)> = Vec::with_capacity(subscribers.len());
    for subscriber in subscribers {
        let rank = match ranked.last() {
            Some((rank, last)) if last.function == subscriber.function => rank + 1,
            Some(_) | None => 0,
        };
        ranked.push((rank, subscriber));
    }
    ranked.retain(|(rank, _)| *rank < QUALIFIERS_MAX);
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(SUBSCRIBERS_MAX.min(COPIES_BYTES_MAX / bytes.max(1)));
    ranked
        .into_iter()
        .map(|(_, subscriber)| subscriber)
        .collect()
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

#[cfg(test)]
mod tests {
    use domain::{AliasName, FunctionName, Qualifier};

    use super::*;

    fn subscribers(function: &str, count: usize) -> Vec<Subscriber> {
        let subscriber = |number| Subscriber {
            function: FunctionName::parse(function).unwrap(),
            qualifier: Some(Qualifier::Alias(
                AliasName::parse(&format!("a{number:03}")).unwrap(),
            )),
        };
        (0..count).map(subscriber).collect()
    }

    fn count(found: &[Subscriber], function: &str) -> usize {
        let of = |one: &&Subscriber| one.function.as_str() == function;
        found.iter().filter(of).count()
    }

    #[test]
    fn a_function_that_subscribes_often_leaves_nobody_out() {
        let mut all = subscribers("greedy", 100);
        all.extend(subscribers("meek", 1));
        let found = fair(all.clone(), 10);
        assert_eq!((count(&found, "greedy"), count(&found, "meek")), (10, 1));
        // Ten greedy ones of a megabyte each are more than fit; the meek one is among those that do.
        let mut all: Vec<_> = (0..10)
            .flat_map(|number| subscribers(&format!("greedy{number}"), 10))
            .collect();
        all.extend(subscribers("meek", 1));
        let found = fair(all, 1 << 20);
        assert_eq!((found.len(), count(&found, "meek")), (64, 1));
        assert!((0..10).all(|number| count(&found, &format!("greedy{number}")) >= 6));
    }
}
