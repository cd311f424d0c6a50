//! `mayfly create`: a function from a file, through the control API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use domain::FunctionName;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::code_file::{self, Uploaded};
use super::output::note;
use super::places::Places;
use crate::client::{ClientError, FUNCTIONS};

/// Creates a function from a .wasm file, or a .zip with one.
///
/// The file is sent to the running server, which checks and compiles it. A function that is made so
/// has no route: it is invoked, or gets a URL of its own. To change one that comes from the functions
/// folder, change its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly create hello hello.wasm
  mayfly create thumbs thumbs.zip --memory 512 --timeout 10
  mayfly create hello hello.wasm --env GREETING=hi --env LEVEL=debug --publish")]
pub(super) struct Create {
    /// Name of the new function
    name: FunctionName,

    /// A module, or a zip with one
    file: PathBuf,

    /// Memory of a sandbox in MB, 1 to 4096 [default: 128]
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,

    /// Longest time of an invocation in seconds, 1 to 900 [default: 3]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,

    /// A variable of its environment; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Publish version 1 too
    #[arg(long)]
    publish: bool,
}

/// The variable that `NAME=VALUE` says.
fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("it must be NAME=VALUE, such as LEVEL=debug")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Creates.
pub(super) fn run(command: &Create, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let code = code_file::read(&command.file)?;
    let request = request(command, &code)?;
    let made: Uploaded = match client.send_patiently(&Method::POST, FUNCTIONS, &request) {
        Err(ClientError::Refused {
            status: StatusCode::CONFLICT,
            message,
        }) if message.starts_with("Function already exist") => anyhow::bail!(
            "there is a function `{}` already; `mayfly update {0} {}` gives it other code",
            command.name,
            command.file.display()
        ),
        made => made?,
    };
    note(&format!(
        "created {}, version {}: {} bytes, {} MB, {} s; `mayfly invoke {0}` runs it",
        command.name, made.version, made.code_size, made.memory_size, made.timeout
    ));
    Ok(ExitCode::SUCCESS)
}

fn request(command: &Create, code: &str) -> anyhow::Result<Value> {
    let mut variables = BTreeMap::new();
    for (name, value) in &command.env {
        let before = variables.insert(name, value);
        anyhow::ensure!(before.is_none(), "--env names `{name}` twice");
    }
    let mut request = json!({
        "FunctionName": command.name.as_str(),
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        // Clients of Lambda name one; nothing here depends on it.
        "Role": "arn:aws:iam::000000000000:role/mayfly",
        "Code": { "ZipFile": code },
        "Environment": { "Variables": variables },
        "Publish": command.publish,
    });
    let optional = [
        ("MemorySize", command.memory.map(Value::from)),
        ("Timeout", command.timeout.map(Value::from)),
        ("Description", command.description.clone().map(Value::from)),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            request[member] = value;
        }
    }
    Ok(request)
}
