//! `GET /health` and `GET /metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use storage::{QueueHealth, QueueStatistics};

use crate::app::App;
use crate::http::error::{HttpResponse, json_response};
use crate::invoke::ledger_failure;
use crate::metrics::{Value, forgotten, waiting};

/// 200 while invocations are taken, `degraded` while no events are; 503 with the reason when none are
/// taken.
pub(super) fn health(app: &App) -> HttpResponse {
    let ledger = ledger_failure(&app.ledger.health());
    let queue_health = app.queue.health();
    let queue = queue_failure(&queue_health);
    // A queue that failed takes the server down with it.
    let is_failed = ledger.is_some() || matches!(queue_health, QueueHealth::Failed { .. });
    let (status, word) = if is_failed {
        (StatusCode::SERVICE_UNAVAILABLE, "failed")
    } else if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if !app.registry.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    } else if queue.is_some() {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, "ok")
    };
    let body = json!({
        "status": word,
        "ledger": ledger.unwrap_or_else(|| "ok".to_owned()),
        "queue": queue.unwrap_or_else(|| "ok".to_owned()),
        // Events are taken in all the same, and what is synchronous runs.
        "dispatch": app.recovering.lock().clone().unwrap_or_else(|| "ok".to_owned()),
        // Without it nothing is changed; events are answered all the same.
        "audit": match app.audit.problem() {
            Some(problem) => problem,
            None => "ok".to_owned(),
        },
        "functions": app.registry.len(),
        "running": app.concurrency.running(),
    });
    json_response(status, body.to_string())
}

/// Why no events are taken in, if that is so.
fn queue_failure(health: &QueueHealth) -> Option<String> {
    match health {
        QueueHealth::Writable => None,
        QueueHealth::Full { reason } | QueueHealth::Failed { reason } => Some(reason.clone()),
    }
}

/// What is shown of what is counted.
#[derive(Debug)]
pub(super) enum Series {
    /// What names no function: for anybody.
    OfTheProcess,
    /// Everything, with this text on what waits.
    All(String),
}

/// What is counted, for Prometheus, with what waits of each function.
pub(super) async fn all_metrics(app: &Arc<App>) -> HttpResponse {
    let asking = Arc::clone(app);
    // Asks the database, which may take its time.
    let oldest = tokio::task::spawn_blocking(move || asking.queue.oldest()).await;
    let oldest = match oldest {
        Ok(Ok(oldest)) => oldest,
        Ok(Err(error)) => {
            app.faults.note(&app.clock, &error);
            BTreeMap::new()
        }
        Err(_panicked) => BTreeMap::new(),
    };
    let waiting = waiting(&app.queue.depths(), &oldest, app.queue.now_us());
    metrics(app, &Series::All(waiting))
}

/// What is counted, for Prometheus.
pub(super) fn metrics(app: &App, series: &Series) -> HttpResponse {
    let values = [&of_functions(app)[..], &of_stores(app), &of_queue(app)].concat();
    let events = forgotten(app.queue.statistics().forgotten) + &app.schedules.render();
    let text = match series {
        Series::OfTheProcess => app.metrics.render_process(&values) + &events,
        Series::All(waiting) => {
            app.metrics.render(&values) + waiting + &events + &app.budgets.render()
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Functions and what runs of them.
fn of_functions(app: &App) -> [Value; 7] {
    [
        (
            "mayfly_functions",
            "Functions that can be invoked.",
            app.registry.len() as u64,
        ),
        (
            "mayfly_functions_loaded",
            "Versions of functions whose code is loaded, replaced ones that were not given up yet among them.",
            app.sandboxes.loaded() as u64,
        ),
        (
            "mayfly_functions_evicted",
            "Functions whose code was given up for others.",
            app.sandboxes.evicted(),
        ),
        (
            "mayfly_refused_files",
            "Files in the drop folder that are refused.",
            app.refusals.len(),
        ),
        (
            "mayfly_running",
            "Invocations that run now.",
            u64::from(app.concurrency.running()),
        ),
        (
            "mayfly_sandboxes",
            "Sandboxes that are alive.",
            u64::from(app.sandboxes.live()),
        ),
        (
            "mayfly_sandbox_memory_bytes",
            "Memory that sandboxes hold.",
            app.sandboxes.memory_in_use_bytes(),
        ),
    ]
}

/// The ledger and the logs.
fn of_stores(app: &App) -> [Value; 3] {
    [
        (
            "mayfly_ledger_records",
            "Records in the ledger.",
            app.ledger.records_total(),
        ),
        (
            "mayfly_ledger_writable",
            "1 while the ledger takes records.",
            u64::from(ledger_failure(&app.ledger.health()).is_none()),
        ),
        (
            "mayfly_log_events_dropped",
            "Log events that were dropped.",
            app.logs.dropped_total(),
        ),
    ]
}

/// Events, and how the queue writes them down.
fn of_queue(app: &App) -> [Value; 7] {
    let (queued, running) = app.queue.depths().values().fold((0, 0), |sums, depth| {
        (sums.0 + depth.queued, sums.1 + depth.running)
    });
    let QueueStatistics {
        commits,
        operations,
        largest_batch,
        forgotten: _,
    } = app.queue.statistics();
    [
        ("mayfly_events_queued", "Events that wait.", queued),
        (
            "mayfly_events_running",
            "Events with an attempt under way.",
            running,
        ),
        (
            "mayfly_queue_writable",
            "1 while events are taken in.",
            u64::from(app.queue.health() == QueueHealth::Writable),
        ),
        (
            "mayfly_queue_recovered",
            "1 once the attempts that the last process left are closed; no event runs before.",
            u64::from(app.recovering.lock().is_none()),
        ),
        (
            "mayfly_queue_commits_total",
            "Transactions of the queue, each synced once.",
            commits,
        ),
        (
            "mayfly_queue_operations_total",
            "Operations in them: events taken in, attempts begun or closed.",
            operations,
        ),
        (
            "mayfly_queue_batch_max",
            "The most operations that shared a transaction.",
            largest_batch,
        ),
    ]
}
