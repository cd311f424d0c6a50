//! `GET /mayfly/queues`: how much waits for each function, and for each address and file that gets
//! records.

use domain::FunctionName;
use serde::Serialize;
use storage::Depth;

use super::super::error::ApiError;
use super::super::query::Query;
use super::events::{function, json, reading};
use crate::app::App;
use crate::http::error::HttpResponse;
use crate::time_text::rfc3339_ms;
use crate::trigger::queue::destination::shown_address;

#[derive(Serialize)]
struct Listing {
    queues: Vec<QueueView>,
}

/// What waits in one queue.
#[derive(Serialize)]
struct QueueView {
    /// The function's name, an address without what may be a secret, or `file:NAME`.
    queue: String,
    /// Null for addresses and files.
    function: Option<String>,
    queued: u64,
    running: u64,
    /// Of the payloads of both.
    bytes: u64,
    /// Events that died or expired and are kept.
    kept_events: u64,
    /// Their payloads.
    kept_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_accepted_at: Option<String>,
    /// Of the oldest event, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<i64>,
    quota: QuotaView,
}

#[derive(Serialize)]
struct QuotaView {
    events: u64,
    bytes: u64,
}

/// The queues in which something waits, runs or is kept; of one function that there is, that one whether or
/// not.
pub(super) async fn list_queues(app: &App, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&["function"])?;
    let wanted = function(query)?;
    let mut oldest = reading(app, |queue| queue.oldest()).await?;
    let mut depths = app.queue.depths();
    if let Some(wanted) = &wanted {
        depths.retain(|queue, _| queue == wanted.as_str());
        if app.registry.function(wanted).is_some() {
            depths.entry(wanted.to_string()).or_default();
        }
    }
    let now_us = app.queue.now_us();
    let quota = app.config.queue.quota;
    let view = |(queue, depth): (String, Depth)| {
        let oldest_us = oldest.remove(&queue);
        QueueView {
            function: FunctionName::parse(&queue)
                .ok()
                .map(|name| name.to_string()),
            queue: shown_address(&queue),
            queued: depth.queued,
            running: depth.running,
            bytes: depth.bytes,
            kept_events: depth.kept_events,
            kept_bytes: depth.kept_bytes,
            oldest_accepted_at: oldest_us.map(rfc3339_ms),
            age_s: oldest_us.map(|at_us| now_us.saturating_sub(at_us).max(0) / 1_000_000),
            quota: QuotaView {
                events: quota.events,
                bytes: quota.bytes,
            },
        }
    };
    let queues = depths.into_iter().map(view).collect();
    json(&Listing { queues })
}
