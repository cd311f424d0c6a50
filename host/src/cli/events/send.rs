//! `mayfly events send`: a CloudEvent, or a list of them, for a function.
//!
//! Knows nothing of what a CloudEvent has to hold: the server says.

use std::path::PathBuf;
use std::process::ExitCode;

use domain::FunctionRef;
use serde::Deserialize;

use crate::cli::invoke::read_event;
use crate::cli::output::answer;
use crate::cli::places::Places;
use crate::client::encode;

/// Have a CloudEvent accepted, or a list of them; the function runs on each later, with retries
///
/// It is read from -d, --file or stdin, in the JSON form of CloudEvents 1.0: specversion, id, source and
/// type, and data if there is some. Prints the request id of each.
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// Function, as NAME or NAME:QUALIFIER
    #[arg(value_parser = FunctionRef::parse)]
    name: FunctionRef,

    /// The CloudEvent
    #[arg(short = 'd', long, value_name = "JSON", conflicts_with = "file")]
    event: Option<String>,

    /// File that holds it; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Taken {
    Batch { events: Vec<One> },
    One(One),
}

#[derive(Deserialize)]
struct One {
    request_id: String,
}

/// Sends.
pub(super) fn run(send: &Send, places: &Places) -> anyhow::Result<ExitCode> {
    let event = read_event(send.event.as_deref(), send.file.as_deref())?;
    let client = Places::client(&places.config()?)?;
    let is_batch = event.trim_ascii_start().starts_with(b"[");
    let content_type = match is_batch {
        true => "application/cloudevents-batch+json",
        false => "application/cloudevents+json",
    };
    let path = format!("/mayfly/events/{}", encode(&label(&send.name)));
    let ids = match client.post_as(&path, content_type, event)? {
        Taken::One(one) => vec![one],
        Taken::Batch { events } => events,
    };
    let lines = ids.iter().map(|one| format!("{}\n", one.request_id));
    answer(lines.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// The function as it stands in the path. Two names are those of other requests there, unless a qualifier
/// follows.
fn label(function: &FunctionRef) -> String {
    let name = &function.name;
    match &function.qualifier {
        Some(qualifier) => format!("{name}:{qualifier}"),
        None if matches!(name.as_str(), "redrive" | "purge") => format!("{name}:$LATEST"),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_called_as_another_request_is_not_that_request() {
        for (name, expected) in [
            ("f", "f"),
            ("f:live", "f:live"),
            ("purge", "purge:$LATEST"),
            ("redrive", "redrive:$LATEST"),
            ("purge:2", "purge:2"),
        ] {
            assert_eq!(label(&FunctionRef::parse(name).unwrap()), expected);
        }
    }
}
