//! `mayfly invoke`: runs a function on one event and prints its answer.
//!
//! The answer goes to stdout byte for byte, everything else to stderr, so that the output can be
//! piped on. `--local` runs without a server; see [`local`].

mod local;

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use domain::{FunctionRef, Qualifier};

use super::output::{answer, misuse, note, printable};
use super::places::Places;
use crate::answer::json_problem;
use crate::client::{Asked, Kind};

/// Longest event that is read, in bytes; the server's own limit says no much earlier.
const EVENT_BYTES_MAX: u64 = 64 << 20;

/// Runs a function on one event and prints its answer.
///
/// The event is JSON: -d gives it, -p names a file, otherwise it is read from stdin. Without any of
/// them, or when it is empty, the event is {}.
///
/// Exit code 0: the function answered. 1: the function failed (its error object is still printed to
/// stdout, and a line to stderr), or it could not be run. 2: the command line is wrong, or the event is
/// no JSON.
///
/// --async does not wait for the function: it prints the request id once the event is on disk, and the
/// function runs on it later, with retries.
///
/// --local runs the function in this process, without a server: the answer on stdout, log lines
/// and the report on stderr, no record in the ledger. NAME may then also be the path of a .wasm file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly invoke hello -d '{\"name\": \"Ada\"}'
  mayfly invoke hello -p event.json --tail
  mayfly invoke hello:live               an alias, or hello:3 for a version
  mayfly invoke hello --async -d '{}'    later, with retries; prints the request id
  mayfly invoke hello --dry-run          whether it could run, without running it
  echo '{\"name\": \"Ada\"}' | mayfly invoke hello | jq .message
  mayfly invoke --local hello -d '{}'
  mayfly invoke --local ./module.wasm < event.json")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Invoke {
    /// Function to run, as NAME or NAME:QUALIFIER; with --local NAME or the path of a .wasm file
    name: String,

    /// Version or alias to run
    #[arg(short, long, conflicts_with = "local")]
    qualifier: Option<Qualifier>,

    /// Only say whether it could run
    #[arg(long, conflicts_with_all = ["local", "tail"])]
    dry_run: bool,

    /// Only have the event accepted; it runs later
    #[arg(long = "async", conflicts_with_all = ["local", "tail", "dry_run"])]
    is_async: bool,

    /// The event
    #[arg(short = 'd', long, value_name = "JSON", conflicts_with = "payload")]
    event: Option<String>,

    /// File that holds the event; - is stdin
    #[arg(short, long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// Print the end of the log to stderr
    #[arg(long)]
    tail: bool,

    /// Run it here, without a server
    #[arg(long)]
    local: bool,
}

/// Invokes.
pub(super) fn run(command: &Invoke, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let event = read_event(command.event.as_deref(), command.payload.as_deref())?;
    if command.local {
        return local::run(&command.name, event, &config);
    }
    FunctionRef::parse(&command.name).map_err(misuse)?;
    let qualifier = command.qualifier.as_ref().map(ToString::to_string);
    let asked = Asked {
        function: &command.name,
        qualifier: qualifier.as_deref(),
        with_log: command.tail,
        kind: match (command.dry_run, command.is_async) {
            (true, _) => Kind::DryRun,
            (false, true) => Kind::Queued,
            (false, false) => Kind::Answered,
        },
    };
    let invoked = Places::client(&config)?.invoke(&asked, event)?;
    if command.dry_run {
        let asked = qualifier.map_or_else(String::new, |qualifier| format!(":{qualifier}"));
        note(&format!("{}{asked} can be invoked", command.name));
        return Ok(ExitCode::SUCCESS);
    }
    if command.is_async {
        let id = invoked.request_id.context("the answer has no request id")?;
        answer(format!("{id}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(log) = &invoked.log_base64 {
        print_log(log)?;
    }
    print_answer(&invoked.payload)?;
    Ok(match invoked.function_error {
        None => ExitCode::SUCCESS,
        Some(error) => failed(&command.name, &error),
    })
}

/// Says on stderr that the function failed.
fn failed(name: &str, error: &str) -> ExitCode {
    note(&format!(
        "error: function `{}` failed: {}",
        printable(name),
        printable(error)
    ));
    ExitCode::FAILURE
}

/// Writes the answer as it is; a person at a terminal gets a line end after it.
fn print_answer(payload: &[u8]) -> anyhow::Result<()> {
    answer(payload)?;
    if std::io::stdout().is_terminal() && !payload.is_empty() && !payload.ends_with(b"\n") {
        answer("\n")?;
    }
    Ok(())
}

fn print_log(base64_text: &str) -> anyhow::Result<()> {
    let log = base64::engine::general_purpose::STANDARD
        .decode(base64_text)
        .context("the log of the answer is not base64")?;
    for line in String::from_utf8_lossy(&log).lines() {
        note(&printable(line));
    }
    Ok(())
}

/// The event that is given, or that a file or stdin holds.
pub(super) fn read_event(given: Option<&str>, file: Option<&Path>) -> anyhow::Result<Bytes> {
    let (bytes, place) = match (given, file) {
        (Some(event), _) => (event.as_bytes().to_vec(), "-d".to_owned()),
        (None, Some(path)) if path.as_os_str() != "-" => {
            let place = format!("`{}`", path.display());
            let file =
                std::fs::File::open(path).with_context(|| format!("reading {place} failed"))?;
            (read_bounded(file, &place)?, place)
        }
        (None, None) if std::io::stdin().is_terminal() => (Vec::new(), String::new()),
        (None, _) => (
            read_bounded(std::io::stdin().lock(), "stdin")?,
            "stdin".to_owned(),
        ),
    };
    checked_event(bytes, &place)
}

fn read_bounded(reader: impl std::io::Read, place: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(EVENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {place} failed"))?;
    let is_small = u64::try_from(bytes.len()).is_ok_and(|length| length <= EVENT_BYTES_MAX);
    anyhow::ensure!(
        is_small,
        "the event from {place} has more than {EVENT_BYTES_MAX} bytes"
    );
    Ok(bytes)
}

/// The event, if it is JSON; nothing at all is `{}`, as for Lambda.
fn checked_event(bytes: Vec<u8>, place: &str) -> anyhow::Result<Bytes> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Bytes::from_static(b"{}"));
    }
    if let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes) {
        return Err(misuse(format_args!(
            "the event from {place} is not JSON: {}; quote it, as in -d '{{\"a\": 1}}'",
            json_problem(&error)
        )));
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_or_nothing() {
        let event = |text: &str| checked_event(text.as_bytes().to_vec(), "-d");
        assert_eq!(event("").unwrap(), "{}");
        assert_eq!(event(" \n").unwrap(), "{}");
        assert_eq!(event(" {\"a\" : 1} ").unwrap(), " {\"a\" : 1} ");
        assert_eq!(
            event("{a:1}").unwrap_err().to_string(),
            "the event from -d is not JSON: it goes wrong at line 1, column 2; quote it, as in -d '{\"a\": 1}'"
        );
    }
}
