//! `mayfly billing invoice`: what a month costs, as a person would send it on or as a program reads it.
//!
//! Asks the running server; without one it makes the invoice from the data directory.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use domain::FunctionName;
use domain::billing::month::Month;
use storage::LedgerReader;

use super::cells::{Cell, Column, Kind};
use super::parquet_file::ParquetFile;
use super::place::Place;
use super::{ask, invoice_text, stored};
use crate::cli::output::note;
use crate::cli::places::Places;
use crate::cli::table::csv;
use crate::client::query;
use crate::config::Config;
use crate::invoices::{self, Asked, InvoiceView, LineView, NotBegun, Source, SumsView};

/// The columns of an invoice: a row for each line and each adjustment, whose amounts add up to the total.
const COLUMNS: &[Column] = &[
    ("kind", Kind::Text),
    ("function", Kind::Text),
    ("version", Kind::Text),
    ("trigger", Kind::Text),
    ("text", Kind::Text),
    ("requests", Kind::Integer),
    ("requests_billed", Kind::Integer),
    ("billed_ms", Kind::Integer),
    ("mb_ms", Kind::Integer),
    ("gb_seconds", Kind::Text),
    ("amount_picousd", Kind::Integer),
    ("amount_usd", Kind::Text),
];

/// Makes the invoice of a month (UTC): a line for each function, version and trigger, what is free, the total.
///
/// The total is the sum of the records' charges and of the adjustments, exactly, in units of 10^-12 US
/// dollars. The invoices of all functions add up to the one of the server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mayfly billing invoice
  mayfly billing invoice --month 2026-11 --output invoice-2026-11.txt
  mayfly billing invoice --month 2026-11 --function hello --format json
  mayfly billing invoice --month 2026-11 --format parquet --output november.parquet")]
pub(super) struct InvoiceCommand {
    #[command(flatten)]
    of: Of,

    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: InvoiceFormat,

    /// File to write, replaced if it is there [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Which month, and of whom.
#[derive(Debug, Clone, Args)]
pub(super) struct Of {
    /// Which month, UTC, such as 2026-11 [default: this one, so far]
    #[arg(short, long, value_name = "MONTH")]
    month: Option<Month>,

    /// Only this function
    #[arg(short, long, value_name = "NAME")]
    function: Option<FunctionName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InvoiceFormat {
    Text,
    Json,
    Csv,
    Parquet,
}

/// Makes it.
pub(super) fn run(command: &InvoiceCommand, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let asked = match command.of.asked() {
        Ok(asked) => asked,
        Err(error) => return Ok(not_begun(error)),
    };
    let (format, output) = (command.format, command.output.as_deref());
    // Before anything is asked: a place that can't be written is no reason to wait.
    let mut place = Place::open(output, format == InvoiceFormat::Parquet)?;
    let path = format!("/mayfly/billing/invoice{}", command.of.query());
    let text = ask(&config, &path, || offline(&config, &asked))?;
    let invoice: InvoiceView = serde_json::from_str(&text).map_err(|error| {
        anyhow::anyhow!("the invoice is not what this version of Mayfly expects: {error}")
    })?;
    let written = match format {
        InvoiceFormat::Text => invoice_text::text(&invoice).into_bytes(),
        InvoiceFormat::Json => {
            let mut json = serde_json::to_vec_pretty(&invoice)?;
            json.push(b'\n');
            json
        }
        InvoiceFormat::Csv => in_csv(&invoice).into_bytes(),
        InvoiceFormat::Parquet => in_parquet(&invoice)?,
    };
    let finished = place.write_all(&written).map_err(anyhow::Error::from);
    match finished.and_then(|()| place.finish()) {
        Err(error) if !Place::is_left(output, &error) => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}

impl Of {
    /// What is asked for, by this machine's clock.
    pub(super) fn asked(&self) -> Result<Asked, NotBegun> {
        let now_us = domain::Clock::system().unix_us();
        Asked::new(self.month, self.function.clone(), now_us)
    }

    pub(super) fn query(&self) -> String {
        query(&[
            ("month", self.month.map(|month| month.to_string())),
            ("function", self.function.as_ref().map(ToString::to_string)),
        ])
    }
}

/// Says that a month is in the future, as what was not understood.
pub(super) fn not_begun(error: NotBegun) -> ExitCode {
    note(&format!("error: invalid value for `--month`: {error}"));
    ExitCode::from(2)
}

/// The invoice from the data directory; `None` when there is none.
fn offline(config: &Config, asked: &Asked) -> anyhow::Result<Option<String>> {
    let Some(ledger) = stored::open(config)? else {
        return Ok(None);
    };
    let invoice = made(&ledger, config, asked)?;
    Ok(Some(serde_json::to_string(&invoice)?))
}

fn made(ledger: &LedgerReader, config: &Config, asked: &Asked) -> anyhow::Result<InvoiceView> {
    let invoice = invoices::make(Source::Read(ledger), config, asked)?;
    if let Some(function) = &asked.function {
        anyhow::ensure!(
            !invoice.lines.is_empty(),
            "there is no record of a function `{function}` in {}",
            asked.month
        );
    }
    Ok(invoice)
}

fn rows(invoice: &InvoiceView) -> Vec<Vec<Cell>> {
    let maybe = |text: &Option<String>| text.as_deref().map_or(Cell::Nothing, Cell::text);
    let lines = invoice.lines.iter().map(|line| {
        let LineView {
            function,
            version,
            trigger,
            sums,
        } = line;
        let SumsView {
            requests,
            requests_billed,
            billed_ms,
            mb_ms,
            gb_seconds,
            charge_picousd,
            charge_usd,
            by_status: _,
        } = sums;
        vec![
            Cell::text("use"),
            Cell::text(function),
            maybe(version),
            maybe(trigger),
            Cell::Nothing,
            Cell::Integer((*requests).into()),
            Cell::Integer((*requests_billed).into()),
            Cell::whole(*billed_ms),
            Cell::whole(*mb_ms),
            Cell::text(gb_seconds),
            Cell::whole(*charge_picousd),
            Cell::text(charge_usd),
        ]
    });
    let adjustments = invoice.adjustments.iter().map(|adjustment| {
        let quantity = |unit: &str| {
            let is_it = adjustment.unit == unit;
            if is_it {
                Cell::whole(adjustment.quantity)
            } else {
                Cell::Nothing
            }
        };
        vec![
            Cell::text(&adjustment.kind),
            maybe(&invoice.function),
            Cell::Nothing,
            Cell::Nothing,
            Cell::text(&adjustment.text),
            Cell::Nothing,
            quantity("requests"),
            Cell::Nothing,
            quantity("mb_ms"),
            Cell::Nothing,
            Cell::Integer(adjustment.amount_picousd),
            Cell::text(&adjustment.amount_usd),
        ]
    });
    lines.chain(adjustments).collect()
}

fn in_csv(invoice: &InvoiceView) -> String {
    let header: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let rows: Vec<Vec<String>> = rows(invoice)
        .iter()
        .map(|row| row.iter().map(Cell::to_string).collect())
        .collect();
    csv(&header, &rows)
}

fn in_parquet(invoice: &InvoiceView) -> anyhow::Result<Vec<u8>> {
    let about = [
        ("invoice", invoice.number.clone()),
        ("month", invoice.month.clone()),
        ("is_final", invoice.is_final.to_string()),
        ("total_picousd", invoice.total_picousd.to_string()),
        ("total_usd", invoice.total_usd.clone()),
    ];
    let mut file = ParquetFile::new(Vec::new(), COLUMNS, &about)?;
    for row in rows(invoice) {
        file.push(row)?;
    }
    file.finish()
}

#[cfg(test)]
pub(super) mod tests;
