//! `mayfly delete`: takes a function or one of its versions away, through the control API.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use domain::FunctionName;

use super::output::{misuse, note};
use super::places::Places;
use crate::client::{FUNCTIONS, query};

/// Deletes a function with all that belongs to it, or with --version one version.
///
/// Versions, aliases, URLs, policies and settings go with it; what it ran stays in the bill and the
/// log. Asks first, unless --yes says not to. A function that comes from the functions folder can be
/// deleted when its file is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly delete hello
  mayfly delete hello --version 3
  mayfly delete hello --yes                without a question, for scripts")]
pub(super) struct Delete {
    /// Function to delete
    name: FunctionName,

    /// Only this version
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Deletes.
pub(super) fn run(command: &Delete, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let what = match command.version {
        Some(version) => format!("version {version} of {}", command.name),
        None => format!("{} with all its versions and aliases", command.name),
    };
    if !command.yes && !confirmed(&what)? {
        note("nothing was deleted");
        return Ok(ExitCode::FAILURE);
    }
    let qualifier = command.version.map(|version| version.to_string());
    let query = query(&[("Qualifier", qualifier)]);
    client.delete(&format!("{FUNCTIONS}/{}{query}", command.name))?;
    note(&format!("deleted {what}"));
    Ok(ExitCode::SUCCESS)
}

/// Whether somebody at a terminal agrees.
fn confirmed(what: &str) -> anyhow::Result<bool> {
    let mut stdin = std::io::stdin().lock();
    if !stdin.is_terminal() {
        return Err(misuse(format_args!(
            "there is nobody to ask; say --yes to delete {what}"
        )));
    }
    note(&format!("delete {what}? [y/N]"));
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
