//! Benchmarks of Mayfly beside its peers.
//!
//! Reading order: the load generator ([`load`]), what a process used ([`process`]), a server under
//! test ([`server`]), who takes part ([`contestants`]) with which guests ([`guests`]), what is built
//! first ([`builds`]), how the rounds go ([`compare`]), what is made of them ([`table`]); beside
//! that, what throughput does not show ([`scenarios`]). `docs/benchmarks.md` says how it is measured
//! and how to read the tables.
//!
//! Nothing is asserted about time. A wrong answer ends the run.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and waits for servers that it does not know"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its table, and what it does meanwhile"
)]

mod builds;
mod compare;
mod contestants;
mod cores;
mod guests;
mod load;
mod machine;
mod process;
mod scenarios;
mod server;
mod statistics;
mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;

use crate::compare::Compare;
use crate::scenarios::Scenarios;

/// Benchmarks of Mayfly: beside its peers, unless a subcommand says otherwise.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    compare: Compare,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Mayfly beside its peers (what runs without a subcommand)
    Compare(Compare),
    /// Mayfly alone: bad neighbours, cold starts, thousands of functions and sandboxes
    Scenarios(Scenarios),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.what {
        None => compare::run(&arguments.compare),
        Some(What::Compare(compare)) => compare::run(compare),
        Some(What::Scenarios(scenarios)) => scenarios::run(scenarios),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes all figures of a run where the command line says, and tells where that is.
fn write_json(path: &Path, run: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(run)?;
    std::fs::write(path, json).with_context(|| format!("writing {} failed", path.display()))?;
    eprintln!("every figure is in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_run_is_written_where_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        write_json(&path, &[1, 2]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Vec<u8>>(&text).unwrap(), [1, 2]);
        write_json(folder.path(), &[1, 2]).unwrap_err();
    }
}
