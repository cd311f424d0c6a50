//! `mayfly billing export`: every record of a month, oldest first, in bounded memory.
//!
//! Asks the running server, which sends a line of JSON for each; without one the data directory is read.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::cells::Cell;
use super::invoice::{Of, not_begun};
use super::parquet_file::ParquetFile;
use super::place::Place;
use super::rows::{ENTRY_COLUMNS, Entry, entry_cells};
use super::stored;
use crate::api::mayfly::billing::write_line;
use crate::cli::output::note;
use crate::cli::places::Places;
use crate::cli::table::push_csv_line;
use crate::client::ClientError;
use crate::config::Config;
use crate::invoices::Asked;

/// Writes every record of a month (UTC), oldest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mayfly billing export --month 2026-11 --format csv --output november.csv
  mayfly billing export --format json | jq length
  mayfly billing export --month 2026-11 --function hello --format parquet --output hello.parquet")]
pub(super) struct Export {
    #[command(flatten)]
    of: Of,

    /// How the records are written
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: ExportFormat,

    /// File to write, replaced if it is there [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Csv,
    /// One array
    Json,
    Parquet,
}

/// Writes.
pub(super) fn run(command: &Export, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let asked = match command.of.asked() {
        Ok(asked) => asked,
        Err(error) => return Ok(not_begun(error)),
    };
    let output = command.output.as_deref();
    let place = Place::open(output, command.format == ExportFormat::Parquet)?;
    let mut lines = Lines::new(Records::begin(command.format, place)?);
    let path = format!("/mayfly/billing/export{}", command.of.query());
    let written = match Places::client(&config)?.download(&path, &mut lines) {
        Err(error @ ClientError::NoServer { .. }) => match offline(&config, &asked, &mut lines)? {
            true => Ok(()),
            false => Err(error.into()),
        },
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    };
    match written.and_then(|()| lines.finish()) {
        Err(error) if !Place::is_left(output, &error) => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Reads the data directory; `false` when there is none.
fn offline(config: &Config, asked: &Asked, lines: &mut Lines) -> anyhow::Result<bool> {
    let Some(ledger) = stored::open(config)? else {
        return Ok(false);
    };
    note(&format!(
        "no server answers; reading `{}`",
        config.data_dir.display()
    ));
    let mut written = Ok(());
    ledger.each(&asked.records(), |report| {
        written = write_line(lines, &report);
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    written?;
    Ok(true)
}

/// Takes lines of JSON in pieces of any length.
struct Lines {
    records: Records,
    /// What has no end yet.
    rest: Vec<u8>,
}

impl Lines {
    fn new(records: Records) -> Self {
        Self {
            records,
            rest: Vec::new(),
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.rest.is_empty(), "the last record came only in part");
        self.records.finish()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.last() == Some(&b'\n') {
                self.rest.pop();
                self.records.push(&self.rest).map_err(io_error)?;
                self.rest.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error through the eye of a needle; that a reader left stays visible.
fn io_error(error: anyhow::Error) -> io::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => error,
        Err(error) => io::Error::other(error.to_string()),
    }
}

/// Records that are being written.
enum Records {
    Csv(Place),
    Json { place: Place, is_first: bool },
    Parquet(Box<ParquetFile<Place>>),
}

impl Records {
    fn begin(format: ExportFormat, mut place: Place) -> anyhow::Result<Self> {
        Ok(match format {
            ExportFormat::Csv => {
                let mut header = String::new();
                push_csv_line(&mut header, ENTRY_COLUMNS.iter().map(|(name, _)| *name));
                place.write_all(header.as_bytes())?;
                Self::Csv(place)
            }
            ExportFormat::Json => Self::Json {
                place,
                is_first: true,
            },
            ExportFormat::Parquet => {
                Self::Parquet(Box::new(ParquetFile::new(place, &ENTRY_COLUMNS, &[])?))
            }
        })
    }

    /// Adds a record, a line of JSON.
    fn push(&mut self, json: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Json { place, is_first } => {
                let before: &[u8] = if *is_first { b"[" } else { b",\n" };
                *is_first = false;
                place.write_all(before)?;
                place.write_all(json)?;
            }
            Self::Csv(place) => {
                let cells: Vec<String> = entry_cells(&entry(json)?)
                    .iter()
                    .map(Cell::to_string)
                    .collect();
                let mut line = String::new();
                push_csv_line(&mut line, cells.iter().map(String::as_str));
                place.write_all(line.as_bytes())?;
            }
            Self::Parquet(file) => file.push(entry_cells(&entry(json)?))?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(place) => place.finish(),
            Self::Json {
                mut place,
                is_first,
            } => {
                place.write_all(if is_first { b"[]\n" } else { b"]\n" })?;
                place.finish()
            }
            Self::Parquet(file) => file.finish()?.finish(),
        }
    }
}

fn entry(json: &[u8]) -> anyhow::Result<Entry> {
    serde_json::from_slice(json).map_err(|error| {
        anyhow::anyhow!("a record is not what this version of Mayfly expects: {error}")
    })
}
