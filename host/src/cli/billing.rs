//! `mayfly billing`: what each invocation cost; below it sums, invoices, exports, budgets and the check of the
//! ledger.
//!
//! Asks the running server; without one it reads the ledger in the data directory. `--json` prints
//! what the control API answers, unchanged.

mod budgets;
mod cells;
mod export;
mod invoice;
mod invoice_text;
mod parquet_file;
mod place;
mod rows;
mod stored;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use domain::FunctionName;
use storage::Period;

use self::rows::{Entry, Sum};
use self::verify::Verify;
use super::number::number;
use super::output::{answer, note};
use super::places::Places;
use super::since::{Since, now};
use super::unknown::note_if_unknown;
use crate::client::{ClientError, query};
use crate::config::Config;

/// Invocations in a table when no limit is given.
const TABLE_LIMIT: u32 = 100;

/// Most invocations that can be asked for at once.
const LIMIT_MAX: u32 = 1_000_000;

/// Shows what each invocation cost, or with `summary` what each function cost on each day.
///
/// Without a running server the ledger in the data directory is read. Money is exact: the charges of
/// a listing add up to its total, in units of 10^-12 US dollars.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  mayfly billing
  mayfly billing --function hello --since 2h --limit 20
  mayfly billing --json | jq '[.[].charge_picousd] | add'
  mayfly billing --csv > october.csv
  mayfly billing summary --since 2026-10-01
  mayfly billing verify"
)]
pub(super) struct Billing {
    #[command(subcommand)]
    command: Option<BillingCommand>,

    #[command(flatten)]
    filter: Filter,

    /// Invocations to show, the latest ones, at most 1000000 [default: 100 in a table; 1000000 with --json or --csv]
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = number::<1, LIMIT_MAX>)]
    limit: Option<u32>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum BillingCommand {
    Summary(Summary),
    Verify(Verify),
    Invoice(invoice::InvoiceCommand),
    Export(export::Export),
    Budgets(budgets::BudgetsCommand),
}

/// Shows totals for each function and day, or another period (UTC): invocations, errors, billed time, charge.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mayfly billing summary
  mayfly billing summary --function hello --since 30d
  mayfly billing summary --since 2h --by minute --trigger
  mayfly billing summary --json | jq '.[] | {day, charge_usd}'")]
struct Summary {
    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    grouping: Grouping,

    #[command(flatten)]
    format: Format,
}

/// What is summed up together.
#[derive(Debug, Clone, Copy, Default, Args)]
struct Grouping {
    /// Over how long
    #[arg(long, value_name = "PERIOD", default_value = "day")]
    by: By,

    /// A row of its own for each version
    #[arg(long)]
    version: bool,

    /// A row of its own for each trigger
    #[arg(long)]
    trigger: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum By {
    Minute,
    Hour,
    #[default]
    Day,
    Month,
}

impl By {
    fn heading(self) -> &'static str {
        match self {
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Month => "MONTH",
        }
    }

    fn period(self) -> Period {
        match self {
            Self::Minute => Period::Minute,
            Self::Hour => Period::Hour,
            Self::Day => Period::Day,
            Self::Month => Period::Month,
        }
    }
}

impl Grouping {
    /// What is not the default.
    fn pairs(self) -> Vec<(&'static str, Option<String>)> {
        let by = self.by.period();
        let on = |flag: bool| flag.then(|| "true".to_owned());
        vec![
            ("by", (by != Period::Day).then(|| by.as_str().to_owned())),
            ("version", on(self.version)),
            ("trigger", on(self.trigger)),
        ]
    }
}

/// Which invocations count.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Only this function
    #[arg(short, long, value_name = "NAME")]
    function: Option<FunctionName>,

    /// Only from then on: a span (10m, 2h, 3d), a day or an RFC 3339 instant
    #[arg(short, long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Since>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, Args)]
struct Format {
    /// Print one JSON array
    #[arg(long)]
    json: bool,

    /// Print CSV with a header line
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// A [`Filter`] with its times worked out.
#[derive(Debug, Clone)]
struct Wanted {
    function: Option<FunctionName>,
    since: Option<jiff::Timestamp>,
    limit: Option<u32>,
}

/// Shows.
pub(super) fn run(command: &Billing, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    match &command.command {
        None => {
            let format = command.format;
            let is_table = !format.json && !format.csv;
            let limit = command
                .limit
                .unwrap_or(if is_table { TABLE_LIMIT } else { LIMIT_MAX });
            let wanted = Wanted::new(&command.filter, Some(limit));
            let path = format!("/mayfly/billing{}", wanted.query());
            let text = ask(&config, &path, || stored::entries(&config, &wanted))?;
            note_if_nothing(&config, &text, &command.filter);
            print::<Entry>(&text, format, rows::entries_table, rows::entries_csv)
        }
        Some(BillingCommand::Invoice(command)) => invoice::run(command, places),
        Some(BillingCommand::Export(command)) => export::run(command, places),
        Some(BillingCommand::Budgets(command)) => budgets::run(command, places),
        Some(BillingCommand::Summary(summary)) => {
            let wanted = Wanted::new(&summary.filter, None);
            let grouping = summary.grouping;
            let mut pairs = wanted.pairs();
            pairs.extend(grouping.pairs());
            let path = format!("/mayfly/billing/summary{}", query(&pairs));
            let text = ask(&config, &path, || stored::sums(&config, &wanted, grouping))?;
            note_if_nothing(&config, &text, &summary.filter);
            let table = |sums: &[Sum]| rows::sums_table(sums, grouping);
            print::<Sum>(&text, summary.format, table, |sums| {
                rows::sums_csv(sums, grouping)
            })
        }
        Some(BillingCommand::Verify(verify)) => verify::run(verify, &config),
    }
}

impl Wanted {
    fn new(filter: &Filter, limit: Option<u32>) -> Self {
        let since = filter.since.map(|since| since.instant(now()));
        Self {
            function: filter.function.clone(),
            since,
            limit,
        }
    }

    fn query(&self) -> String {
        query(&self.pairs())
    }

    fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("function", self.function.as_ref().map(ToString::to_string)),
            ("since", self.since.map(|since| since.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ]
    }
}

/// The server's JSON, or what `stored` finds when there is no server.
fn ask(
    config: &Config,
    path: &str,
    stored: impl FnOnce() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<String> {
    match Places::client(config)?.get_text(path) {
        Err(error @ ClientError::NoServer { .. }) => {
            let Some(text) = stored()? else {
                return Err(error.into());
            };
            note(&format!(
                "no server answers; reading `{}`",
                config.data_dir.display()
            ));
            Ok(text)
        }
        answered => Ok(answered?),
    }
}

/// Says so when there is nothing because there is no such function.
fn note_if_nothing(config: &Config, text: &str, filter: &Filter) {
    if text.trim() == "[]"
        && let Ok(client) = Places::client(config)
    {
        note_if_unknown(&client, filter.function.as_ref());
    }
}

fn print<Row: serde::de::DeserializeOwned>(
    text: &str,
    format: Format,
    table: impl Fn(&[Row]) -> String,
    csv: impl Fn(&[Row]) -> String,
) -> anyhow::Result<ExitCode> {
    if format.json {
        answer(format!("{}\n", text.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = serde_json::from_str(text).map_err(|error| {
        anyhow::anyhow!("the records are not what this version of Mayfly expects: {error}")
    })?;
    answer(if format.csv { csv(&rows) } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        billing: Billing,
    }

    #[test]
    fn the_query_says_what_is_wanted() {
        let line = "billing -f hello --since 2026-11-22 -n 5";
        let command = Line::try_parse_from(line.split(' ')).unwrap().billing;
        let wanted = Wanted::new(&command.filter, command.limit);
        assert_eq!(
            wanted.query(),
            "?function=hello&since=2026-11-22T00%3A00%3A00Z&limit=5"
        );
    }

    #[test]
    fn a_summary_has_flags_of_its_own() {
        let line = "billing summary --function hello --csv";
        let command = Line::try_parse_from(line.split(' ')).unwrap().billing;
        let Some(BillingCommand::Summary(summary)) = command.command else {
            panic!("no summary")
        };
        assert!(summary.format.csv);
        for line in [
            "billing --json --csv",
            "billing --limit 0",
            "billing -f a.b",
        ] {
            Line::try_parse_from(line.split(' ')).unwrap_err();
        }
    }
}
