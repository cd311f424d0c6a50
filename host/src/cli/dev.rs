//! `mayfly dev`: builds every function, serves them all, and builds again what changes.
//!
//! Building and serving meet in the functions folder only: an artifact that is built lands there, and
//! the server notices it as it notices any other file. So a function that does not build keeps
//! answering with its last good version.

mod sources;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::build::function::{self, Found};
use super::build::{Say, Tools, build_or_tell};
use super::output::note;
use super::places::Places;
use super::serve::start_log;
use crate::lifecycle;

/// Builds every function, serves them all, and builds again what changes.
///
/// What was built before is served at once, while newer source is built beside it. A function that
/// does not build keeps its last good version; the compiler's errors are printed. See `mayfly build`
/// for what is built, and `mayfly serve` for how it is served.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly dev
  mayfly dev --functions ~/src/functions
  mayfly dev --listen 127.0.0.1:8080")]
pub(super) struct Dev {}

/// Builds, serves, watches.
pub(super) fn run(_: &Dev, places: &Places) -> anyhow::Result<ExitCode> {
    let (config, warnings) = places.config_with_warnings()?;
    let functions_dir = config.functions_dir.clone();
    anyhow::ensure!(
        !function::is_inside_one(&functions_dir),
        "this is the folder of one function; serve it, and those beside it, with `mayfly dev --functions ..`"
    );
    if !functions_dir.exists() {
        let place = functions_dir.display();
        std::fs::create_dir_all(&functions_dir)
            .with_context(|| format!("making `{place}` failed"))?;
        note(&format!(
            "made `{place}`; start a function with `mayfly new hello`"
        ));
    }
    let tools = Arc::new(Tools::default());
    // Whoever has an artifact can wait: the server starts with that one.
    let before = watch::Known::look(&functions_dir);
    let waiting: Vec<_> = function::find_all(&functions_dir)?
        .into_iter()
        .filter(|found| !has_artifact(found))
        .collect();
    if !waiting.is_empty() {
        note(&format!("to build for the first time: {}", waiting.len()));
    }
    for found in &waiting {
        build_or_tell(found, &tools, Say::Everything);
    }
    let done = waiting.iter().map(name).collect();
    std::thread::Builder::new()
        .name("build".to_owned())
        .spawn(move || watch::build_changes(&functions_dir, &tools, before, &done))
        .context("starting the thread that builds failed")?;
    start_log()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    lifecycle::run(config)?;
    Ok(ExitCode::SUCCESS)
}

fn has_artifact(found: &Found) -> bool {
    match found {
        Found::Function(function) => function.artifact().is_file(),
        // Told by the thread that builds, like every other function that has a problem.
        Found::Broken { .. } => true,
    }
}

fn name(found: &Found) -> String {
    match found {
        Found::Function(function) => function.name.to_string(),
        Found::Broken { name, .. } => name.clone(),
    }
}
