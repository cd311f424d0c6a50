//! The rows of billing, as the control API writes them, and how people read them.

use domain::Status;
use domain::billing::usd_text;
use serde::Deserialize;

use super::cells::{Cell, Column, Kind};
use super::{By, Grouping};
use crate::cli::table::{Align, aligned, csv};

/// One attempt to run a function.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Entry {
    request_id: String,
    attempt: u32,
    function: String,
    version: String,
    trigger: String,
    started_at: String,
    status: String,
    error_type: Option<String>,
    init_ms: Option<f64>,
    duration_ms: f64,
    cpu_ms: f64,
    billed_ms: u64,
    memory_mb: u64,
    max_memory_used_mb: u64,
    charge_picousd: u64,
}

/// One function in one period, a day unless something else was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Sum {
    function: String,
    #[serde(alias = "period")]
    day: String,
    version: Option<String>,
    trigger: Option<String>,
    invocations: u64,
    errors: u64,
    billed_ms: u128,
    /// A decimal number as text.
    gb_seconds: String,
    charge_picousd: u128,
    /// A decimal number as text.
    charge_usd: String,
}

/// Entries as people read them, with their sum.
pub(super) fn entries_table(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no invocations\n".to_owned();
    }
    let columns = [
        ("STARTED", Align::Left),
        ("FUNCTION", Align::Left),
        ("VERSION", Align::Left),
        ("TRIGGER", Align::Left),
        ("STATUS", Align::Left),
        ("INIT MS", Align::Right),
        ("DURATION MS", Align::Right),
        ("BILLED MS", Align::Right),
        ("MEMORY MB", Align::Right),
        ("USED MB", Align::Right),
        ("CHARGE USD", Align::Right),
        ("REQUEST ID", Align::Left),
    ];
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            vec![
                entry.started_at.clone(),
                entry.function.clone(),
                entry.version.clone(),
                entry.trigger.clone(),
                entry
                    .error_type
                    .clone()
                    .unwrap_or_else(|| entry.status.clone()),
                entry
                    .init_ms
                    .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}")),
                format!("{:.2}", entry.duration_ms),
                entry.billed_ms.to_string(),
                entry.memory_mb.to_string(),
                entry.max_memory_used_mb.to_string(),
                usd_text(entry.charge_picousd.into()),
                request(entry),
            ]
        })
        .collect();
    let total = Total {
        invocations: entries.len() as u64,
        errors: entries
            .iter()
            .filter(|entry| entry.status != Status::Success.as_str())
            .count() as u64,
        billed_ms: entries
            .iter()
            .map(|entry| u128::from(entry.billed_ms))
            .sum(),
        charge_picousd: entries
            .iter()
            .map(|entry| u128::from(entry.charge_picousd))
            .sum(),
    };
    format!("{}\n{}", aligned(&columns, &rows), total.line())
}

/// The request's id, and which attempt at it if it is not the first.
fn request(entry: &Entry) -> String {
    match entry.attempt {
        0 | 1 => entry.request_id.clone(),
        attempt => format!("{} (attempt {attempt})", entry.request_id),
    }
}

/// Sums as people read them, with the sum of all.
pub(super) fn sums_table(sums: &[Sum], grouping: Grouping) -> String {
    if sums.is_empty() {
        return "no invocations\n".to_owned();
    }
    let mut columns = vec![
        (grouping.by.heading(), Align::Left),
        ("FUNCTION", Align::Left),
    ];
    columns.extend(grouping.version.then_some(("VERSION", Align::Left)));
    columns.extend(grouping.trigger.then_some(("TRIGGER", Align::Left)));
    columns.extend([
        ("INVOCATIONS", Align::Right),
        ("ERRORS", Align::Right),
        ("BILLED MS", Align::Right),
        ("GB-SECONDS", Align::Right),
        ("CHARGE USD", Align::Right),
    ]);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> = sums
        .iter()
        .map(|sum| {
            let mut row = vec![sum.day.clone(), sum.function.clone()];
            row.extend(grouping.version.then(|| or_dash(&sum.version)));
            row.extend(grouping.trigger.then(|| or_dash(&sum.trigger)));
            row.extend([
                sum.invocations.to_string(),
                sum.errors.to_string(),
                sum.billed_ms.to_string(),
                sum.gb_seconds.clone(),
                sum.charge_usd.clone(),
            ]);
            row
        })
        .collect();
    let total = Total {
        invocations: sums.iter().map(|sum| sum.invocations).sum(),
        errors: sums.iter().map(|sum| sum.errors).sum(),
        billed_ms: sums.iter().map(|sum| sum.billed_ms).sum(),
        charge_picousd: sums.iter().map(|sum| sum.charge_picousd).sum(),
    };
    format!("{}\n{}", aligned(&columns, &rows), total.line())
}

struct Total {
    invocations: u64,
    errors: u64,
    billed_ms: u128,
    charge_picousd: u128,
}

impl Total {
    fn line(&self) -> String {
        let Self {
            invocations,
            errors,
            billed_ms,
            charge_picousd,
        } = self;
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        format!(
            "total: {invocations} invocation{}, {errors} error{}, {billed_ms} ms billed, {} USD\n",
            plural(*invocations),
            plural(*errors),
            usd_text(*charge_picousd),
        )
    }
}

/// The columns of entries, named as in JSON.
pub(super) const ENTRY_COLUMNS: [Column; 15] = [
    ("request_id", Kind::Text),
    ("attempt", Kind::Integer),
    ("function", Kind::Text),
    ("version", Kind::Text),
    ("trigger", Kind::Text),
    ("started_at", Kind::Instant),
    ("status", Kind::Text),
    ("error_type", Kind::Text),
    ("init_ms", Kind::Real),
    ("duration_ms", Kind::Real),
    ("cpu_ms", Kind::Real),
    ("billed_ms", Kind::Integer),
    ("memory_mb", Kind::Integer),
    ("max_memory_used_mb", Kind::Integer),
    ("charge_picousd", Kind::Integer),
];

/// An entry in those columns.
pub(super) fn entry_cells(entry: &Entry) -> Vec<Cell> {
    vec![
        Cell::text(&entry.request_id),
        Cell::Integer(entry.attempt.into()),
        Cell::text(&entry.function),
        Cell::text(&entry.version),
        Cell::text(&entry.trigger),
        Cell::Instant(entry.started_at.clone()),
        Cell::text(&entry.status),
        entry
            .error_type
            .as_deref()
            .map_or(Cell::Nothing, Cell::text),
        entry.init_ms.map_or(Cell::Nothing, Cell::Real),
        Cell::Real(entry.duration_ms),
        Cell::Real(entry.cpu_ms),
        Cell::Integer(entry.billed_ms.into()),
        Cell::Integer(entry.memory_mb.into()),
        Cell::Integer(entry.max_memory_used_mb.into()),
        Cell::Integer(entry.charge_picousd.into()),
    ]
}

/// Entries with a header line.
pub(super) fn entries_csv(entries: &[Entry]) -> String {
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| entry_cells(entry).iter().map(Cell::to_string).collect())
        .collect();
    csv(&ENTRY_COLUMNS.map(|(name, _)| name), &rows)
}

/// Sums with a header line, columns named as in JSON.
pub(super) fn sums_csv(sums: &[Sum], grouping: Grouping) -> String {
    let period = match grouping.by {
        By::Day => "day",
        By::Minute | By::Hour | By::Month => "period",
    };
    let mut header = vec!["function", period];
    header.extend(grouping.version.then_some("version"));
    header.extend(grouping.trigger.then_some("trigger"));
    header.extend([
        "invocations",
        "errors",
        "billed_ms",
        "gb_seconds",
        "charge_picousd",
        "charge_usd",
    ]);
    let rows: Vec<_> = sums
        .iter()
        .map(|sum| {
            let mut row = vec![sum.function.clone(), sum.day.clone()];
            let known = |text: &Option<String>| text.clone().unwrap_or_default();
            row.extend(grouping.version.then(|| known(&sum.version)));
            row.extend(grouping.trigger.then(|| known(&sum.trigger)));
            row.extend([
                sum.invocations.to_string(),
                sum.errors.to_string(),
                sum.billed_ms.to_string(),
                sum.gb_seconds.clone(),
                sum.charge_picousd.to_string(),
                sum.charge_usd.clone(),
            ]);
            row
        })
        .collect();
    csv(&header, &rows)
}

#[cfg(test)]
mod tests;
