//! Real AWS clients against a server: boto3, two generations of the AWS CLI, the SDKs for JavaScript
//! and for Rust, each at a pinned version, installed below `target/clients`.
//!
//! A suite gets a new server on free ports and is told where its credentials are, no more. It prints
//! what does not hold and closes with `N passed, M failed`. Knows nothing of what the suites check.

mod install;
mod server;

use std::fmt::Display;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use self::install::Folders;
use self::server::Server;

/// Which suites are run, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these; all when none is named.
    suites: Vec<Suite>,
    /// Goes on without a suite whose client can't be installed. Otherwise that is a failure.
    #[arg(long)]
    skip_missing: bool,
    /// Only this section of the suites; may be repeated.
    #[arg(long = "only", value_name = "SECTION")]
    sections: Vec<String>,
}

/// A client, and what is checked with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// The AWS SDK for Python, from `PyPI`: every operation.
    Boto3,
    /// The AWS CLI 1, from `PyPI`.
    Cli1,
    /// The AWS CLI 2 that Debian 12 has.
    Cli2,
    /// The AWS SDK for JavaScript 3, from npm.
    Js,
    /// The AWS SDK for Rust, from crates.io.
    Rust,
}

impl Suite {
    const ALL: [Self; 5] = [Self::Boto3, Self::Cli1, Self::Cli2, Self::Js, Self::Rust];

    /// What it is called on the command line, in reports and below `target/clients`.
    fn name(self) -> &'static str {
        match self {
            Self::Boto3 => "boto3",
            Self::Cli1 => "cli1",
            Self::Cli2 => "cli2",
            Self::Js => "js",
            Self::Rust => "rust",
        }
    }

    /// Whether the client learns where the server is from the profile alone; CLI 2.9 is told by its suite.
    fn reads_endpoint(self) -> bool {
        self != Self::Cli2
    }
}

/// How a suite ended.
#[derive(Debug)]
enum Verdict {
    /// It ran to its end: assertions that held, and those that did not.
    Ran { passed: u64, failed: u64 },
    /// It did not get so far, and why.
    Broken(String),
    /// Its client can't be installed here, and that was allowed.
    Skipped(String),
}

impl Verdict {
    fn is_good(&self) -> bool {
        match self {
            Self::Ran { passed, failed } => *passed > 0 && *failed == 0,
            Self::Broken(_) => false,
            Self::Skipped(_) => true,
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ran { passed, failed } => write!(f, "{passed} passed, {failed} failed"),
            Self::Broken(why) => write!(f, "FAILED: {why}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Installs the clients, builds function and server, and runs the suites one after the other.
///
/// # Errors
///
/// The function or the server can't be built, or a suite did not pass.
pub(crate) fn run(arguments: &Arguments, target: &Path) -> anyhow::Result<()> {
    let folders = Folders::new(target)?;
    let function = install::function(&folders)?;
    let binary = binary(target)?;
    let suites = if arguments.suites.is_empty() {
        Suite::ALL.to_vec()
    } else {
        arguments.suites.clone()
    };
    let mut verdicts = Vec::new();
    for suite in suites {
        println!("== {}", suite.name());
        let verdict = match install::suite(suite, &folders) {
            Ok(mut command) => {
                command.args(&arguments.sections);
                run_suite(suite, command, &binary, &function)
                    .unwrap_or_else(|error| Verdict::Broken(format!("{error:#}")))
            }
            Err(error) if arguments.skip_missing => Verdict::Skipped(format!("{error:#}")),
            Err(error) => Verdict::Broken(format!("can't be installed: {error:#}")),
        };
        verdicts.push((suite, verdict));
    }
    println!("==");
    for (suite, verdict) in &verdicts {
        println!("{:<6} {verdict}", suite.name());
    }
    if !verdicts.iter().all(|(_, verdict)| verdict.is_good()) {
        bail!("not every client works");
    }
    Ok(())
}

/// The server: what `MAYFLY_BIN` names, or what is built now.
fn binary(target: &Path) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("MAYFLY_BIN") {
        return Ok(named.into());
    }
    crate::cargo(&["build", "--package", "mayfly"], &[])?;
    Ok(target.join("debug/mayfly"))
}

/// Runs a suite against a server of its own.
fn run_suite(
    suite: Suite,
    mut command: Command,
    binary: &Path,
    function: &Path,
) -> anyhow::Result<Verdict> {
    let server = Server::start(binary, function)?;
    server.introduce(&mut command);
    command.env("MAYFLY_FUNCTION", function);
    if !suite.reads_endpoint() {
        command.env("AWS_ENDPOINT_URL", server.endpoint());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {} failed", command.get_program().display()))?;
    let output = child.stdout.take().context("the suite has no output")?;
    let mut last = String::new();
    for line in BufReader::new(output).lines() {
        last = line.context("reading the suite's output failed")?;
        println!("{last}");
    }
    let status = child.wait().context("waiting for the suite failed")?;
    server.stop()?;
    let Some((passed, failed)) = counts(&last) else {
        bail!("it ended early, with {status}");
    };
    if status.success() != (failed == 0) {
        bail!("it ended with {status} after `{last}`");
    }
    Ok(Verdict::Ran { passed, failed })
}

/// The numbers of a closing line.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (passed, failed) = line.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_has_two_numbers() {
        assert_eq!(counts("12 passed, 0 failed"), Some((12, 0)));
        for other in [
            "",
            "12 passed",
            "users: 1 passed, 2 failed",
            "x passed, 1 failed",
        ] {
            assert_eq!(counts(other), None, "{other}");
        }
    }

    #[test]
    fn a_suite_without_assertions_did_not_pass() {
        let nothing = Verdict::Ran {
            passed: 0,
            failed: 0,
        };
        assert!(!nothing.is_good());
        assert!(
            !Verdict::Ran {
                passed: 9,
                failed: 1
            }
            .is_good()
        );
        assert!(
            Verdict::Ran {
                passed: 9,
                failed: 0
            }
            .is_good()
        );
    }
}
