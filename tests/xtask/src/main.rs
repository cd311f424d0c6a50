//! Tasks for the developers: what is too long or too special for `cargo test`.
//!
//! Each task runs commands that could be typed by hand, prints them, and stops at the first that
//! fails. Knows nothing of what the tests test.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task says what it runs and what it found"
)]

mod instructions;

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Parser;

/// Tasks for the developers of Mayfly.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Nanoseconds of each step of an event's path, in a release build. About a minute after the
    /// build.
    Steps {
        /// How often each step is gone through.
        #[arg(long, default_value_t = 100_000)]
        rounds: u32,
    },
    /// Instructions of each step, counted by valgrind, beside the stored baseline. About four minutes
    /// after the build; fails when a step needs more than the tolerance.
    Instructions {
        /// Store what is counted as the new baseline.
        #[arg(long)]
        save: bool,
        /// Percent more than the baseline that is let pass.
        #[arg(long, default_value_t = 5)]
        tolerance: u64,
    },
    /// The suites with their long counts, in a release build: 100,000 alternations for freshness,
    /// 1,000 swaps under load, 1,000 kills. Hours on two cores.
    Long {
        /// Only tests whose names contain this.
        filter: Option<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Steps { rounds } => {
            let rounds = rounds.to_string();
            let nocapture = ["--", "--nocapture"];
            let steps = ["test", "--release", "-p", "mayfly", "--lib", "each_step"];
            cargo(
                &[&steps[..], &nocapture].concat(),
                &[("MAYFLY_STEPS", &rounds)],
            )?;
            let guests = ["test", "--release", "-p", "sandbox", "--lib", "cost"];
            cargo(
                &[&guests[..], &nocapture].concat(),
                &[("MAYFLY_COST", &rounds)],
            )
        }
        Task::Instructions { save, tolerance } => instructions::run(save, tolerance),
        Task::Long { filter } => {
            cargo(&["build", "--release", "-p", "mayfly"], &[])?;
            for (package, count) in LONG_COUNTS {
                let mut test = vec!["test", "--release", "-p", package];
                test.extend(filter.as_deref());
                test.extend(["--", "--nocapture"]);
                cargo(&test, &[("MAYFLY_LONG", count)])?;
            }
            Ok(())
        }
    }
}

/// What `MAYFLY_LONG` means to each package: kills of a writer, alternations for freshness, and for
/// the black-box tests just that the long counts are wanted.
const LONG_COUNTS: [(&str, &str); 3] = [("storage", "1000"), ("sandbox", "100000"), ("e2e", "1")];

/// The cargo that runs this.
fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let variables: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value} "))
        .collect();
    eprintln!("+ {}cargo {}", variables.concat(), arguments.join(" "));
    let status = Command::new(cargo_program())
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .status()
        .context("starting cargo failed")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}
