//! `GET /mayfly/billing` and what is below it: single records, sums by function and time, the invoice
//! and the records of a month, budgets.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::billing::month::{Month, MonthError};
use domain::billing::usd_text;
use domain::{FunctionName, Report, Trigger};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use storage::{EntryQuery, Period, StorageError, SummaryQuery, SummaryRow};
use tokio::sync::OwnedSemaphorePermit;

use super::super::body::{ApiResponse, Pieces, stream};
use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::{App, EXPORTS_MAX};
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};
use crate::invoices::{self, Asked, Source};
use crate::time_text::rfc3339_ms;

/// Most records of one answer.
const ENTRIES_MAX: u64 = 1_000_000;

/// More records than these are an export.
const ENTRIES_SHORT: usize = 10_000;

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
    /// Where the sums are of days.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    /// Where they are of something else: `2026-11-22T13:05`, `2026-11-22T13` or `2026-11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
    /// Where versions were asked for, and are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Where triggers were asked for, and are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
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
    let permit = match entries.limit > ENTRIES_SHORT {
        true => Some(place(app)?),
        false => None,
    };
    let body = blocking(app, move |app| {
        let _permit = permit;
        let read = app.ledger.entries(&entries)?;
        Ok(json_array(read.iter().map(EntryView::from)))
    });
    Ok(json_response(StatusCode::OK, body.await?))
}

pub(super) async fn summarise_billing(
    app: &Arc<App>,
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    query.only(&["function", "since", "by", "version", "trigger"])?;
    let summary = SummaryQuery {
        function: function(query)?,
        since_us: query.instant_us("since")?,
        until_us: None,
        by: period(query)?,
        by_version: flag(query, "version")?,
        by_trigger: flag(query, "trigger")?,
    };
    let body = blocking(app, move |app| {
        let read = app.ledger.summary(&summary)?;
        Ok(json_array(
            read.iter().map(|row| SummaryView::new(row, summary.by)),
        ))
    });
    Ok(json_response(StatusCode::OK, body.await?))
}

/// The invoice of a month.
pub(super) async fn invoice(app: &Arc<App>, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&["month", "function"])?;
    let asked = Asked::new(month(query)?, function(query)?, app.clock.unix_us())
        .map_err(|error| ApiError::validation(format!("query parameter `month`: {error}")))?;
    let function = asked.function.clone();
    let made = blocking(app, move |app| {
        invoices::make(Source::Owned(&app.ledger), &app.config, &asked)
    });
    let made = made.await?;
    if let Some(function) = function
        && made.lines.is_empty()
        && app.registry.function(&function).is_none()
    {
        return Err(ApiError::not_found(format!(
            "there is no function `{function}`, and no record of it in {}",
            made.month
        )));
    }
    let body = serde_json::to_vec(&made).unwrap_or_default();
    Ok(json_response(StatusCode::OK, body))
}

/// Every record of a month, oldest first: a line of JSON each.
pub(super) fn export(app: &Arc<App>, query: &Query) -> Result<ApiResponse, ApiError> {
    query.only(&["month", "function"])?;
    let asked = Asked::new(month(query)?, function(query)?, app.clock.unix_us())
        .map_err(|error| ApiError::validation(format!("query parameter `month`: {error}")))?;
    let permit = place(app)?;
    let (pieces, body) = stream();
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = Pieces::new(pieces);
        let mut written = Ok(());
        let read = app.ledger.each(&asked.records(), |report| {
            written = write_line(&mut out, &report);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        if let Err(error) = read {
            tracing::error!("an export of billing was cut: {}", chain(&error));
            return out.cut();
        }
        // An error is a reader that left.
        drop(written.and_then(|()| out.flush()));
    });
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// A place among those that read many records.
///
/// # Errors
///
/// 429 when there is none.
fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = Arc::clone(&app.exports).try_acquire_owned();
    place.map_err(|_| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            format!("{EXPORTS_MAX} exports of billing are being made; try again when one is done"),
        )
    })
}

/// A record as a line of JSON.
pub(crate) fn write_line(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &EntryView::from(report))?;
    out.write_all(b"\n")
}

/// Budgets and what is spent of them.
pub(super) fn list_budgets(app: &Arc<App>, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&[])?;
    let views = app.budgets.list();
    Ok(json_response(StatusCode::OK, json_array(views.iter())))
}

fn month(query: &Query) -> Result<Option<Month>, ApiError> {
    let month = query.text("month").map(str::parse).transpose();
    month.map_err(|error: MonthError| {
        ApiError::validation(format!("query parameter `month`: {error}"))
    })
}

/// A deleted function has records too, so the name need not be one of a function that exists.
fn function(query: &Query) -> Result<Option<FunctionName>, ApiError> {
    query
        .text("function")
        .map(FunctionName::parse)
        .transpose()
        .map_err(|error| ApiError::validation(format!("query parameter `function`: {error}")))
}

fn period(query: &Query) -> Result<Period, ApiError> {
    let Some(text) = query.text("by") else {
        return Ok(Period::Day);
    };
    let found = Period::ALL.into_iter().find(|by| by.as_str() == text);
    found.ok_or_else(|| {
        let known = Period::ALL.map(Period::as_str).join(", ");
        ApiError::validation(format!(
            "query parameter `by` is `{text}`; it must be one of: {known}"
        ))
    })
}

fn flag(query: &Query, name: &str) -> Result<bool, ApiError> {
    match query.text(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => Err(ApiError::validation(format!(
            "query parameter `{name}` is `{text}`; it must be true or false"
        ))),
    }
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

impl SummaryView {
    /// Sums of one period of the length `by`.
    pub(crate) fn new(row: &SummaryRow, by: Period) -> Self {
        let is_day = by == Period::Day;
        Self {
            function: row.function.to_string(),
            day: is_day.then(|| row.period.clone()),
            period: (!is_day).then(|| row.period.clone()),
            version: row.version.map(|version| version.to_string()),
            trigger: row.trigger.map(Trigger::as_str),
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
    fn two_exports_are_made_at_once_and_a_place_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clock = domain::Clock::manual(1_800_000_000_000_000);
        let app = Arc::new(crate::steps::app(dir.path(), &runtime, clock));
        let query = |text| Query::parse(text).unwrap();
        runtime.block_on(async {
            let places = [place(&app).unwrap(), place(&app).unwrap()];
            let Err(error) = export(&app, &query("month=2026-11")) else {
                panic!("a third export");
            };
            assert_eq!(error.code(), "TooManyRequestsException");
            let long = list_billing(&app, &query("limit=10001")).await;
            assert_eq!(long.unwrap_err().code(), "TooManyRequestsException");
            list_billing(&app, &query("limit=10000")).await.unwrap();
            drop(places);
            drop(export(&app, &query("month=2026-11")).unwrap());
            list_billing(&app, &query("limit=10001")).await.unwrap();
        });
    }

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
