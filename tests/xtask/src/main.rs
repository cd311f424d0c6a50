//! Tasks for the developers: what is too long or too special for `cargo test`.
//!
//! Each task runs commands that could be typed by hand, prints them, and stops at the first that
//! fails. Knows nothing of what the tests test.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task says what it runs and what it found"
)]

mod clients;
mod instructions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
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
    /// Mayfly beside its peers, in release builds; `cargo xtask bench --help` lists the options and
    /// the other benchmarks. About five minutes, and ten more for the first build.
    ///
    /// With --dist in the profile `dist` too, which is built when it is not fresh.
    #[command(disable_help_flag = true)]
    Bench {
        /// What the benchmark is told.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENT"
        )]
        arguments: Vec<OsString>,
    },
    /// Real AWS clients against a server: boto3, AWS CLI 1 and 2, the SDKs for JavaScript and Rust.
    ///
    /// Installs them below target/clients, at pinned versions, and builds the server, or takes the one
    /// that `MAYFLY_BIN` names. Needs python3, node 20 with npm, apt-get (for CLI 2), and their
    /// registries. About five minutes the first time.
    Clients(clients::Arguments),
    /// Simulated deaths and power cuts of queue and ledger, in a release build (docs/durability.md).
    ///
    /// Prints seed, crash points and their rate; what goes wrong names the seed that shows it again.
    Sim {
        /// Where to begin: each machine has the next seed. By default another one each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Crash points.
        #[arg(long, default_value_t = 2_000_000)]
        points: u64,
    },
    /// A server that is killed again and again under load, judged by a process that remembers what it
    /// promised, in a release build. About a second for each kill; the seed is printed.
    Kills {
        /// How often it is killed.
        #[arg(long, default_value_t = 1_000)]
        count: u32,
        /// Kills at the same moments as an earlier run.
        #[arg(long)]
        seed: Option<u64>,
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
            // One command, so that both are built with the same features of their dependencies.
            let steps = [
                "test",
                "--release",
                "-p",
                "mayfly",
                "-p",
                "sandbox",
                "--lib",
                "--",
                "--nocapture",
                "each_step",
                "tests::cost",
            ];
            cargo(
                &steps,
                &[("MAYFLY_STEPS", &rounds), ("MAYFLY_COST", &rounds)],
            )
        }
        Task::Instructions { save, tolerance } => instructions::run(save, tolerance),
        Task::Bench { arguments } => bench(&arguments),
        Task::Clients(arguments) => clients::run(&arguments, &target_dir()?),
        Task::Sim { seed, points } => simulate(seed, points),
        Task::Kills { count, seed } => {
            cargo(&["build", "--release", "-p", "mayfly"], &[])?;
            let test = [
                "test",
                "--release",
                "-p",
                "e2e",
                "-p",
                "mayfly",
                "--test",
                "durability",
                "crash::",
                "--",
                "--nocapture",
            ];
            let (count, seed) = (count.to_string(), seed.map(|seed| seed.to_string()));
            let seed = seed.iter().map(|seed| ("MAYFLY_SEED", seed.as_str()));
            let variables: Vec<_> = seed.chain([("MAYFLY_KILLS", &*count)]).collect();
            cargo(&test, &variables)
        }
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

/// Runs the simulation of storage.
fn simulate(seed: Option<u64>, points: u64) -> anyhow::Result<()> {
    // Far from the next run's, which has another process.
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 1_000_000);
    let test = [
        "test",
        "--release",
        "-p",
        "storage",
        "--lib",
        "--",
        "--nocapture",
        "simulation::nothing_that_was_promised_is_lost",
    ];
    let (seed, points) = (seed.to_string(), points.to_string());
    cargo(
        &test,
        &[("MAYFLY_SIM_SEED", &seed), ("MAYFLY_SIM_POINTS", &points)],
    )
}

/// Builds what measures, and runs it. That looks at its arguments and then builds what is measured.
fn bench(arguments: &[OsString]) -> anyhow::Result<()> {
    cargo(&["build", "--release", "-p", "performance"], &[])?;
    let program = target_dir()?.join("release/performance");
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .with_context(|| format!("starting {} failed", program.display()))?;
    if !status.success() {
        bail!("the benchmark failed");
    }
    Ok(())
}

/// Where cargo builds to: this program lies in `<target>/<profile>`.
fn target_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program's own file failed")?;
    let target = program.ancestors().nth(2).map(Path::to_owned);
    target.context("this program has no folder")
}

/// A cargo that is told nothing about the package that this program belongs to.
fn plain_cargo() -> Command {
    let mut command = Command::new(cargo_program());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text == "CARGO_MANIFEST_DIR" {
            command.env_remove(&name);
        }
    }
    command
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
