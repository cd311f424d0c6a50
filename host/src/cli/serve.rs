//! `mayfly serve`: serves what is built already, until it is told to stop.
//!
//! Also the hidden command that the server starts to compile one module apart from itself.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use sandbox::WorkerLimits;
use tracing_subscriber::EnvFilter;

use super::places::Places;
use crate::lifecycle;

/// Serves functions until it is told to stop.
///
/// Each NAME.wasm in the functions folder, and each function folder with a built artifact, answers at
/// /NAME, or at the routes of its manifest. Files may come, change and go while it runs. The bound
/// addresses, the functions and the refused files are printed at the start. SIGTERM or Ctrl-C lets
/// running invocations finish.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly serve
  mayfly serve --functions /srv/functions --data /var/lib/mayfly --listen 0.0.0.0:80
  mayfly serve --listen 127.0.0.1:0 --control 127.0.0.1:0    any free ports, printed at the start
  MAYFLY_SANDBOX_CONCURRENCY_MAX=200 mayfly serve            every key of mayfly.toml has a variable
  MAYFLY_LOG=debug mayfly serve                              what the server itself logs, on stderr")]
pub(super) struct Serve {}

/// Serves.
pub(super) fn run(_: &Serve, places: &Places) -> anyhow::Result<ExitCode> {
    let (config, warnings) = places.config_with_warnings()?;
    start_log()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    lifecycle::run(config)?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles the module on stdin.
pub(super) fn compile_worker(short: bool) -> anyhow::Result<ExitCode> {
    let limits = if short {
        WorkerLimits::short()
    } else {
        WorkerLimits::default()
    };
    sandbox::compile_worker_within(limits)?;
    Ok(ExitCode::SUCCESS)
}

/// Libraries that log what guests print and clients send once they are asked for details. They stay
/// at warnings, whatever `MAYFLY_LOG` says.
const QUIET: [&str; 4] = [
    "wasmtime=warn",
    "wasmtime_wasi=warn",
    "cranelift=warn",
    "hyper=warn",
];

/// Sends what the server has to say to stderr, filtered by `MAYFLY_LOG`.
pub(super) fn start_log() -> anyhow::Result<()> {
    let wanted = std::env::var("MAYFLY_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let wanted = wanted.as_deref().unwrap_or("info");
    let mut filter = EnvFilter::try_new(wanted).with_context(|| {
        format!("MAYFLY_LOG is `{wanted}`; write `debug` or `info,mayfly=debug`")
    })?;
    for directive in QUIET {
        filter = filter.add_directive(directive.parse().context("a directive of our own")?);
    }
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only a test that runs several servers in one process has one already.
    let _started = logger.try_init();
    Ok(())
}
