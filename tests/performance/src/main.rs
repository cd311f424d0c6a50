//! Benchmarks of Mayfly beside its peers.
//!
//! Reading order: the load generator ([`load`]), what a process used ([`process`]), a server under
//! test ([`server`]), who takes part ([`contestants`]) with which guests ([`guests`]), how the rounds
//! go ([`compare`]), what is made of them ([`table`]); beside that, what throughput does not show
//! ([`scenarios`]). `docs/benchmarks.md` says how it is measured
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

use std::process::ExitCode;

use clap::Parser;

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
