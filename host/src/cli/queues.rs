//! `mayfly queues`: how much waits.

use std::process::ExitCode;

use domain::FunctionName;
use serde::Deserialize;
use serde_json::Value;

use super::output::answer;
use super::places::Places;
use super::table::{Align, aligned};
use super::unknown::note_if_unknown;
use crate::client::query;

/// Shows how many events wait for each function, and how long the oldest has.
///
/// Records on their way to addresses and files have queues of their own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly queues
  mayfly queues --function orders
  mayfly queues --json | jq '.[] | select(.age_s > 600)'")]
pub(super) struct Queues {
    /// Only of this function
    #[arg(short, long, value_name = "NAME")]
    function: Option<FunctionName>,

    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Listing {
    queues: Vec<Value>,
}

#[derive(Deserialize)]
struct Queue {
    queue: String,
    queued: u64,
    running: u64,
    bytes: u64,
    #[serde(default)]
    kept_events: u64,
    oldest_accepted_at: Option<String>,
    age_s: Option<i64>,
    quota: Quota,
}

#[derive(Deserialize)]
struct Quota {
    events: u64,
    bytes: u64,
}

/// Shows.
pub(super) fn run(command: &Queues, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let function = command.function.as_ref().map(ToString::to_string);
    let query = query(&[("function", function)]);
    let Listing { queues } = client.get(&format!("/mayfly/queues{query}"))?;
    if queues.is_empty() {
        note_if_unknown(&client, command.function.as_ref());
    }
    let queues = Value::Array(queues);
    if command.json {
        answer(format!("{queues}\n"))?;
    } else {
        answer(table(serde_json::from_value(queues)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(queues: Vec<Queue>) -> String {
    if queues.is_empty() {
        return "nothing waits\n".to_owned();
    }
    let columns = [
        ("QUEUE", Align::Left),
        ("QUEUED", Align::Right),
        ("RUNNING", Align::Right),
        ("BYTES", Align::Right),
        ("OLDEST", Align::Left),
        ("AGE S", Align::Right),
        ("DEAD", Align::Right),
        ("EVENTS MAX", Align::Right),
        ("BYTES MAX", Align::Right),
    ];
    let rows: Vec<_> = queues
        .into_iter()
        .map(|queue| {
            vec![
                queue.queue,
                queue.queued.to_string(),
                queue.running.to_string(),
                queue.bytes.to_string(),
                queue.oldest_accepted_at.unwrap_or_else(|| "-".to_owned()),
                queue
                    .age_s
                    .map_or_else(|| "-".to_owned(), |age_s| age_s.to_string()),
                queue.kept_events.to_string(),
                queue.quota.events.to_string(),
                queue.quota.bytes.to_string(),
            ]
        })
        .collect();
    aligned(&columns, &rows)
}
