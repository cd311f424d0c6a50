//! `/mayfly/events`: the events that wait, run or ended, one by one and in pages.
//!
//! What is done to many of them is in [`change`]; how one is shown is in [`view`]. Knows nothing of how
//! they are kept, and runs none.

pub(super) mod change;
mod view;

use std::sync::Arc;

use domain::event::EventState;
use domain::{FunctionName, RequestId};
use http::StatusCode;
use serde::Serialize;
use storage::{Event, EventQuery, Queue, StorageError};

use self::view::EventView;
use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::App;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};

/// Most events of a page.
const PAGE_MAX: u64 = 1_000;

/// Events of a page when nobody says how many.
const PAGE_DEFAULT: u64 = 100;

/// An event that a request names, if there is one. Its payload is for whoever may see it.
#[derive(Debug)]
pub(super) struct Named {
    id: RequestId,
    found: Option<Event>,
}

#[derive(Serialize)]
struct Listing<'a> {
    events: Vec<EventView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Named {
    /// Looks for the event of a request id, as it stands in a path.
    ///
    /// # Errors
    ///
    /// 400 when the text is no request id.
    pub(super) async fn find(app: &App, text: &str) -> Result<Self, ApiError> {
        let id = request_id(text)?;
        let found = reading(app, move |queue| queue.event_alone(id)).await?;
        Ok(Self { id, found })
    }

    /// The event's own name, which says nothing about it.
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:mayfly:::event/{}", self.id)
    }

    /// What a policy has to allow: the function that the event is for, if it is there and for one.
    pub(super) fn resource(&self, region: &str) -> String {
        let found = self.found.as_ref();
        let function = found.and_then(|event| event.target.function());
        function.map_or_else(|| self.arn(), |function| function.arn(region))
    }

    fn missing(&self) -> ApiError {
        ApiError::not_found(format!("there is no event {}", self.id))
    }
}

/// What a policy has to allow for the function that the query names; without one for everything.
pub(super) fn resource(query: &Query, region: &str) -> Result<String, ApiError> {
    let function = function(query)?;
    Ok(function.map_or_else(|| "*".to_owned(), |function| function.arn(region)))
}

/// The function that a query names. It need not exist: events stay when their function goes.
pub(super) fn function(query: &Query) -> Result<Option<FunctionName>, ApiError> {
    query
        .text("function")
        .map(FunctionName::parse)
        .transpose()
        .map_err(|error| ApiError::validation(format!("query parameter `function`: {error}")))
}

pub(super) async fn list_events(app: &App, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&["function", "state", "limit", "next"])?;
    let state = query.text("state").map(str::parse::<EventState>);
    let state = state
        .transpose()
        .map_err(|error| ApiError::validation(format!("query parameter `state`: {error}")))?;
    let limit = query.number_in("limit", 1..=PAGE_MAX)?;
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    let function = function(query)?;
    let purpose = purpose(function.as_ref(), state);
    let before = query.text("next").map(|next| {
        let place = app.tokens.open(&purpose, next);
        place
            .and_then(|place| place.parse().ok())
            .ok_or_else(bad_next)
    });
    let wanted = EventQuery {
        queue: function.map(|function| function.to_string()),
        state,
        before: before.transpose()?,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let page = reading(app, move |queue| queue.events(&wanted)).await?;
    let next = page.next.map(|next| next.to_string());
    json(&Listing {
        events: page.events.iter().map(EventView::of).collect(),
        next: next.map(|next| app.tokens.seal(&purpose, &next)),
    })
}

/// The event that was decided on, with its payload.
pub(super) async fn get_event(app: &App, named: &Named) -> Result<HttpResponse, ApiError> {
    let Some(decided) = &named.found else {
        return Err(named.missing());
    };
    let id = named.id;
    match reading(app, move |queue| queue.event(id)).await? {
        Some((event, payload)) if event.target == decided.target => {
            let text = view::with_payload(&event, payload.as_ref());
            Ok(json_response(StatusCode::OK, text))
        }
        _ => Err(named.missing()),
    }
}

/// A token is good for the list that it was given for.
fn purpose(function: Option<&FunctionName>, state: Option<EventState>) -> String {
    format!(
        "ListEvents\n{}\n{}",
        function.map_or("", FunctionName::as_str),
        state.map_or("", EventState::as_str)
    )
}

fn bad_next() -> ApiError {
    ApiError::validation(
        "query parameter `next` is not one that this list was given since the server started; begin without",
    )
}

fn request_id(text: &str) -> Result<RequestId, ApiError> {
    let shown: String = text.chars().take(80).collect();
    text.parse().map_err(|_| {
        ApiError::validation(format!(
            "`{}` is no request id; one looks like 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f",
            shown.escape_debug()
        ))
    })
}

/// Asks the queue, which reads files, on a thread for that.
pub(super) async fn reading<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Queue) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    let queue = app.queue.clone();
    match tokio::task::spawn_blocking(move || read(&queue)).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            tracing::error!("reading the queue failed: {}", chain(&error));
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Err(error) => {
            tracing::error!(%error, "reading the queue failed");
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// `body` as JSON.
pub(super) fn json(body: &impl Serialize) -> Result<HttpResponse, ApiError> {
    answer(StatusCode::OK, body)
}

/// `body` as JSON, with a status.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    Ok(json_response(status, body))
}

/// Checks that an app's state lets new events in.
pub(super) fn check_open(app: &Arc<App>) -> Result<(), ApiError> {
    if app.is_draining() {
        return Err(ApiError::stopping());
    }
    Ok(())
}
