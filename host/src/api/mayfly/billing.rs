//! `GET /mayfly/billing` and `GET /mayfly/billing/summary`: single records, and sums by function and
//! day.

use std::sync::Arc;

use domain::billing::usd_text;
use domain::{FunctionName, Report};
use http::StatusCode;
use serde::Serialize;
use storage::{EntryQuery, StorageError, SummaryQuery, SummaryRow};

use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::App;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};
use crate::time_text::rfc3339_ms;

/// Most records of one answer.
const ENTRIES_MAX: u64 = 1_000_000;

/// Records that are shown when nobody says how many.
const ENTRIES_DEFAULT: u64 = 100;

/// A record, as `billing --json` shows it. Durations are milliseconds with three decimals.
#[derive(Debug, Serialize)]
pub(crate) struct EntryView {
    request_id: String,
    attempt: u32,
    function: String,
    version: String,
    trigger: &'static str,
    started_at: String,
    status: &'static str,
    error_type: Option<String>,
    init_ms: Option<f64>,
    duration_ms: f64,
    cpu_ms: f64,
    billed_ms: u64,
    memory_mb: u32,
    max_memory_used_mb: u32,
    charge_picousd: u64,
}

/// Sums of a function and a day.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryView {
    function: String,
    day: String,
    invocations: u64,
    errors: u64,
    billed_ms: u64,
    gb_seconds: String,
    charge_picousd: u128,
    charge_usd: String,
}

pub(super) async fn list_billing(app: &Arc<App>, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&["function", "since", "limit"])?;
    let entries = EntryQuery {
        function: function(query)?,
        since_us: query.instant_us("since")?,
        until_us: None,
        limit: limit(query)?,
    };
    let body = blocking(app, move |app| {
        let read = app.ledger.entries(&entries)?;
        Ok(json_array(read.iter().map(EntryView::from)))
    });
    Ok(json_response(StatusCode::OK, body.await?))
}

pub(super) async fn summarise_billing(
    app: &Arc<App>,
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    query.only(&["function", "since"])?;
    let summary = SummaryQuery {
        function: function(query)?,
        since_us: query.instant_us("since")?,
        until_us: None,
        ..SummaryQuery::default()
    };
    let body = blocking(app, move |app| {
        let read = app.ledger.summary(&summary)?;
        Ok(json_array(read.iter().map(SummaryView::from)))
    });
    Ok(json_response(StatusCode::OK, body.await?))
}

/// A deleted function has records too, so the name need not be one of a function that exists.
fn function(query: &Query) -> Result<Option<FunctionName>, ApiError> {
    query
        .text("function")
        .map(FunctionName::parse)
        .transpose()
        .map_err(|error| ApiError::validation(format!("query parameter `function`: {error}")))
}

fn limit(query: &Query) -> Result<usize, ApiError> {
    let limit = query
        .number("limit", ENTRIES_MAX)?
        .unwrap_or(ENTRIES_DEFAULT);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Views as a JSON array, made one by one.
fn json_array<T: Serialize>(views: impl Iterator<Item = T>) -> Vec<u8> {
    let mut json = vec![b'['];
    for view in views {
        if json.len() > 1 {
            json.push(b',');
        }
        // Texts and numbers into memory: there is nothing that can fail.
        let written = serde_json::to_writer(&mut json, &view);
        debug_assert!(written.is_ok(), "{written:?}");
    }
    json.push(b']');
    json
}

/// Queries read files, which has no place on a thread that serves.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&App) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    match tokio::task::spawn_blocking(move || read(&app)).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            tracing::error!("reading the ledger failed: {}", chain(&error));
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Err(error) => {
            tracing::error!(%error, "reading the ledger failed");
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

impl From<&Report> for EntryView {
    fn from(report: &Report) -> Self {
        Self {
            request_id: report.request_id.to_string(),
            attempt: report.attempt,
            function: report.function.to_string(),
            version: report.version.to_string(),
            trigger: report.trigger.as_str(),
            started_at: rfc3339_ms(report.started_at_us),
            status: report.status.as_str(),
            error_type: report.error_type.clone(),
            init_ms: report.init_ns.map(ms),
            duration_ms: ms(report.duration_ns),
            cpu_ms: ms(report.cpu_ns),
            billed_ms: report.billed_ms,
            memory_mb: report.memory.get(),
            max_memory_used_mb: report.memory_used_mb,
            charge_picousd: report.charge_picousd,
        }
    }
}

impl From<&SummaryRow> for SummaryView {
    fn from(row: &SummaryRow) -> Self {
        Self {
            function: row.function.to_string(),
            day: row.period.clone(),
            invocations: row.invocations,
            errors: row.errors,
            billed_ms: row.billed_ms,
            gb_seconds: gb_seconds(row.mb_ms),
            charge_picousd: row.charge_picousd,
            charge_usd: usd_text(row.charge_picousd),
        }
    }
}

/// Nanoseconds as milliseconds with three decimals. For showing only; money never passes here.
fn ms(nanos: u64) -> f64 {
    let micros = u32::try_from(nanos.div_ceil(1_000)).unwrap_or(u32::MAX);
    f64::from(micros) / 1_000.0
}

/// MB-milliseconds as GB-seconds with nine decimals, exact but for the last.
fn gb_seconds(mb_ms: u128) -> String {
    const MB_MS_PER_GB_SECOND: u128 = 1_024 * 1_000;
    let billionths = mb_ms * 1_000_000_000 / MB_MS_PER_GB_SECOND;
    format!(
        "{}.{:09}",
        billionths / 1_000_000_000,
        billionths % 1_000_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gb_seconds_are_binary_and_exact() {
        assert_eq!(gb_seconds(128 * 4), "0.000500000");
        assert_eq!(gb_seconds(512 * 300 * 1_000_000), "150000.000000000");
    }

    #[test]
    fn milliseconds_have_three_decimals() {
        assert_eq!(ms(1_234_567), 1.235);
        assert_eq!(ms(900_000_000_000), 900_000.0);
    }
}
