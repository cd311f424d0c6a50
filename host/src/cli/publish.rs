//! `mayfly publish`: the next version of a function, through the control API.

use std::process::ExitCode;

use domain::FunctionName;
use http::Method;
use serde_json::json;

use super::code_file::Uploaded;
use super::output::{answer, one_line};
use super::places::Places;
use crate::client::FUNCTIONS;

/// Publishes what `$LATEST` is as the next version, and prints its name.
///
/// A version never changes. If nothing changed since the last one, that one is named again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly publish hello
  mayfly publish hello --description 'with the new greeting'
  mayfly invoke $(mayfly publish hello)")]
pub(super) struct Publish {
    /// Function to publish
    name: FunctionName,

    /// What is new in it [default: the function's]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Publishes.
pub(super) fn run(command: &Publish, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let mut request = json!({});
    if let Some(description) = &command.description {
        request["Description"] = description.as_str().into();
    }
    let path = format!("{FUNCTIONS}/{}/versions", command.name);
    // A version is compiled and checked like an upload.
    let made: Uploaded = client.send_patiently(&Method::POST, &path, &request)?;
    let name = format!("{}:{}", command.name, made.version);
    answer(format!("{}\n", one_line(&name)))?;
    Ok(ExitCode::SUCCESS)
}
