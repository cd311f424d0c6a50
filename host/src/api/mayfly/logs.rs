//! `GET /mayfly/logs/{name}`: a function's log, from its end or from a cursor.

use std::sync::Arc;

use domain::FunctionName;
use http::StatusCode;
use serde_json::json;
use storage::{LogCursor, LogEvent, LogSource};

use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::App;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};

/// Most events of one answer.
const EVENTS_MAX: u64 = 10_000;

/// Events that are shown when nobody says how many.
const EVENTS_DEFAULT: u64 = 100;

pub(super) async fn read_logs(
    app: &Arc<App>,
    function: &str,
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    query.only(&["tail", "since_ms", "after", "max"])?;
    let name = FunctionName::parse(function).map_err(|e| ApiError::validation(e.to_string()))?;
    let tail = query.number("tail", EVENTS_MAX)?.unwrap_or(EVENTS_DEFAULT);
    let max = query.number("max", EVENTS_MAX)?.unwrap_or(EVENTS_MAX);
    let since_ms = query.number("since_ms", u64::MAX)?;
    let after = query
        .text("after")
        .map(str::parse::<LogCursor>)
        .transpose()
        .map_err(|error| ApiError::validation(format!("query parameter `after`: {error}")))?;

    let known = app.registry.function(&name).is_some();
    let app = Arc::clone(app);
    let reading = tokio::task::spawn_blocking(move || match after {
        Some(cursor) => app
            .logs
            .read_after(&name, &cursor, usize::try_from(max).unwrap_or(0)),
        None => app
            .logs
            .tail(&name, usize::try_from(tail).unwrap_or(0), since_ms),
    });
    let read = reading
        .await
        .map_err(|_| ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))?;
    let (events, cursor) = read.map_err(|error| {
        tracing::error!("reading a log failed: {}", chain(&error));
        ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    if events.is_empty() && !known {
        return Err(ApiError::not_found(format!(
            "there is no function and no log of `{function}`"
        )));
    }
    let events: Vec<_> = events.iter().map(view).collect();
    let body = json!({ "events": events, "cursor": cursor.to_string() });
    Ok(json_response(StatusCode::OK, body.to_string()))
}

fn view(event: &LogEvent) -> serde_json::Value {
    json!({
        "timestamp": event.at_unix_ms,
        "source": match event.source {
            LogSource::Platform => "platform",
            LogSource::Function => "function",
        },
        "text": event.text,
    })
}
