//! `mayfly schedules`: what runs by itself, and when it does next.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use domain::FunctionName;
use serde::{Deserialize, Serialize};

use super::output::{answer, misuse, printable};
use super::places::Places;
use super::table::{Align, aligned};
use super::unknown::note_if_unknown;

const PATH: &str = "/mayfly/schedules";

/// Shows schedules: those of manifests (`[[schedule]]`) and those made through the API.
///
/// Each has a key: drop/FUNCTION/NAME when it is from a manifest in the functions folder, api/GROUP/NAME
/// when it was made through the API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly schedules list                   what runs by itself, and when next
  mayfly schedules list --function report
  mayfly schedules show nightly           one of them, with its next five times
  mayfly schedules show report/nightly    if several functions have one of that name
  mayfly schedules list --json | jq -r .schedules[].next_due_at[0]")]
pub(super) struct Schedules {
    #[command(subcommand)]
    command: SchedulesCommand,
}

#[derive(Debug, Subcommand)]
enum SchedulesCommand {
    /// List schedules with their next times
    List {
        /// Only of this function
        #[arg(short, long, value_name = "NAME")]
        function: Option<FunctionName>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one schedule: NAME, FUNCTION/NAME, GROUP/NAME or its whole key
    Show {
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Deserialize, Serialize)]
struct Listing {
    schedules: Vec<Schedule>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Schedule {
    key: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    function: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
    expression: String,
    timezone: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_due_at: Option<String>,
    next_due_at: Vec<String>,
    missed: String,
    overlap: String,
    jitter_s: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

/// Shows what was asked for.
pub(super) fn run(schedules: &Schedules, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    match &schedules.command {
        SchedulesCommand::List { function, json } => {
            let mut listing: Listing = client.get(PATH)?;
            if let Some(function) = function {
                let is_its = |schedule: &Schedule| schedule.function == function.as_str();
                listing.schedules.retain(is_its);
                if listing.schedules.is_empty() {
                    note_if_unknown(&client, Some(function));
                }
            }
            if *json {
                answer(format!("{}\n", serde_json::to_string(&listing)?))?;
            } else {
                answer(table(listing, function.as_ref()))?;
            }
        }
        SchedulesCommand::Show { name, json } => {
            let schedule = find(client.get(PATH)?, name)?;
            if *json {
                answer(format!("{}\n", serde_json::to_string(&schedule)?))?;
            } else {
                answer(page(&schedule))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(listing: Listing, name: &str) -> anyhow::Result<Schedule> {
    if name.is_empty() {
        return Err(misuse(
            "the name of a schedule is missing; `mayfly schedules list` shows all",
        ));
    }
    let is_meant = |schedule: &Schedule| {
        let below = format!("/{name}");
        schedule.key == name || schedule.key.ends_with(&below)
    };
    let mut found: Vec<_> = listing.schedules.into_iter().filter(is_meant).collect();
    if found.len() > 1 {
        let keys: Vec<_> = found.iter().map(|schedule| &*schedule.key).collect();
        bail!(
            "several schedules are called {}; name one of {}",
            printable(name),
            keys.join(", ")
        );
    }
    match found.pop() {
        Some(schedule) => Ok(schedule),
        None => bail!(
            "there is no schedule `{}`; `mayfly schedules list` shows all",
            printable(name)
        ),
    }
}

fn table(listing: Listing, function: Option<&FunctionName>) -> String {
    if listing.schedules.is_empty() {
        if let Some(function) = function {
            return format!("no schedules of {function}\n");
        }
        return "no schedules yet; a `[[schedule]]` in a manifest makes one\n".to_owned();
    }
    let columns = [
        ("SCHEDULE", Align::Left),
        ("FUNCTION", Align::Left),
        ("EXPRESSION", Align::Left),
        ("TIME ZONE", Align::Left),
        ("STATE", Align::Left),
        ("NEXT (UTC)", Align::Left),
    ];
    let rows: Vec<_> = listing
        .schedules
        .into_iter()
        .map(|schedule| {
            let next = schedule.next_due_at.first().cloned();
            vec![
                schedule.key,
                schedule.function,
                schedule.expression,
                schedule.timezone,
                schedule.state,
                next.unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    aligned(&columns, &rows)
}

fn page(schedule: &Schedule) -> String {
    let qualified = match &schedule.qualifier {
        Some(qualifier) => format!("{}:{qualifier}", schedule.function),
        None => schedule.function.clone(),
    };
    let never = || "-".to_owned();
    let mut lines = vec![
        ("Schedule", schedule.key.clone()),
        ("Function", qualified),
        ("Expression", schedule.expression.clone()),
        ("Time zone", schedule.timezone.clone()),
        ("State", schedule.state.clone()),
        ("Missed runs", schedule.missed.clone()),
        ("Overlap", schedule.overlap.clone()),
        ("Jitter", format!("{} s", schedule.jitter_s)),
        ("Start", schedule.start.clone().unwrap_or_else(never)),
        ("End", schedule.end.clone().unwrap_or_else(never)),
        (
            "Last due",
            schedule.last_due_at.clone().unwrap_or_else(never),
        ),
    ];
    lines.extend(schedule.input.iter().map(|input| ("Input", input.clone())));
    lines.extend(
        schedule
            .next_due_at
            .iter()
            .map(|next| ("Next", next.clone())),
    );
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<12} {}\n", printable(value)));
    lines.collect()
}
