//! `mayfly update`: other code for a function, through the control API.

use std::path::PathBuf;
use std::process::ExitCode;

use domain::FunctionName;
use http::Method;
use serde_json::json;

use super::code_file::{self, Uploaded};
use super::output::note;
use super::places::Places;
use crate::client::FUNCTIONS;

/// Gives a function other code: `$LATEST` is the new file from then on.
///
/// Versions stay what they are, and so does what aliases lead to. Whatever is wrong with the file, the
/// function keeps what it had. A function that comes from the functions folder is changed there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly update hello hello.wasm
  mayfly update hello hello.wasm --publish     and publish it as the next version")]
pub(super) struct Update {
    /// Function to change
    name: FunctionName,

    /// A module, or a zip with one
    file: PathBuf,

    /// Publish it as the next version too
    #[arg(long)]
    publish: bool,
}

/// Updates.
pub(super) fn run(command: &Update, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let request = json!({
        "ZipFile": code_file::read(&command.file)?,
        "Publish": command.publish,
    });
    let path = format!("{FUNCTIONS}/{}/code", command.name);
    let made: Uploaded = client.send_patiently(&Method::PUT, &path, &request)?;
    note(&format!(
        "updated {}, version {}: {} bytes",
        command.name, made.version, made.code_size
    ));
    Ok(ExitCode::SUCCESS)
}
