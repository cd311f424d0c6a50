//! Scenarios: what throughput does not show. How a server behaves beside bad neighbours, with code that
//! was never run, with thousands of functions or sandboxes, and when a function is dropped.
//!
//! Each one starts the built `mayfly serve` on a folder of its own and uses what anyone could use:
//! files, HTTP, settings, `/proc`. Every answer is checked. Each yields figures, some of which have a
//! goal; nothing is asserted about time or memory. `docs/benchmarks.md` says what each one proves and
//! how long it takes.
//!
//! Knows nothing of other servers than Mayfly.

mod cold;
mod drop_folder;
mod events;
mod fairness;
mod figures;
mod functions;
mod lateness;
mod memory;
mod neighbours;
mod others;
mod percentiles;
mod sandboxes;
mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use self::figures::{Figure, Figures};
use self::others::Moment;
use crate::builds;
use crate::cores;
use crate::guests::{self, Guests, Places};
use crate::load::Exchange;
use crate::machine::Machine;

/// Runs scenarios, all of them unless some are named.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Scenarios {
    /// Which ones
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Scenario>,

    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A scenario by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A quick function beside guests that spin until their time limit.
    Fairness,
    /// How late a timeout is answered.
    Lateness,
    /// The first request of a function whose code is compiled and not loaded.
    Cold,
    /// 10,000 functions: deploying, starting, memory.
    Functions,
    /// 10,000 sandboxes that wait at once: memory.
    Sandboxes,
    /// From copying a file into the functions folder to its first answer.
    Drop,
    /// Events: accepted a second, how soon they run, and a start with a million of them.
    Events,
}

/// What is run.
#[derive(Debug)]
struct Given {
    /// The built program `mayfly`.
    mayfly: PathBuf,
    /// A quick function of kind `sdk`.
    sdk: Hello,
    /// The same of kind `command`.
    command: Hello,
}

/// A module that greets.
#[derive(Debug)]
struct Hello {
    wasm: Vec<u8>,
}

impl Hello {
    /// The module of a functions folder with one function.
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(guests::NAME).with_extension("wasm");
        let wasm = fs::read(&path).with_context(|| format!("reading {} failed", path.display()))?;
        Ok(Self { wasm })
    }

    /// The same module with a custom section that holds `tag`: it does the same, and is another
    /// artifact, with compiled code of its own.
    fn tagged(&self, tag: &str) -> Vec<u8> {
        const NAME: &[u8] = b"tag";
        const CUSTOM: u8 = 0;
        let mut wasm = self.wasm.clone();
        let section = [&[3], NAME, tag.as_bytes()].concat();
        // A length of one byte: tags are short.
        let length = u8::try_from(section.len()).unwrap_or(u8::MAX);
        debug_assert!(length < 0x80, "the tag is too long");
        wasm.extend([CUSTOM, length]);
        wasm.extend(section);
        wasm
    }
}

/// What all scenarios found.
#[derive(Debug, Serialize)]
struct Run {
    machine: Machine,
    figures: Vec<Figure>,
}

/// Runs the scenarios one after the other and prints a table of each.
///
/// # Errors
///
/// A guest that can't be built, a server that does not start or stop as it should, a wrong answer, a
/// limit of this machine.
pub(crate) fn run(scenarios: &Scenarios) -> anyhow::Result<()> {
    let places = Places::find()?;
    builds::release(&places)?;
    let mayfly = places.target.join("release/mayfly");
    eprintln!("building the guests");
    let guests = Guests::build(&places, &mayfly)?;
    let given = Given {
        mayfly,
        sdk: Hello::of(&guests.sdk_folder)?,
        command: Hello::of(&guests.command_folder)?,
    };
    let machine = Machine::look(&places.checkout, cores::available()?.len());
    let names = match scenarios.names.as_slice() {
        [] => Scenario::value_variants(),
        names => names,
    };
    let mut all = Vec::new();
    for scenario in names {
        eprintln!("scenario {}", scenario.name());
        let figures = scenario.run(&given)?;
        println!("{}", figures::table(&figures));
        all.extend(figures);
    }
    if let Some(path) = &scenarios.json {
        let figures = all;
        crate::write_json(path, &Run { machine, figures })?;
    }
    Ok(())
}

impl Scenario {
    /// Its name, as in tables.
    fn name(self) -> &'static str {
        match self {
            Self::Fairness => "fairness",
            Self::Lateness => "lateness",
            Self::Cold => "cold",
            Self::Functions => "functions",
            Self::Sandboxes => "sandboxes",
            Self::Drop => "drop",
            Self::Events => "events",
        }
    }

    /// Its figures, in the order in which they are to be read.
    fn run(self, given: &Given) -> anyhow::Result<Vec<Figure>> {
        let name = self.name();
        let mut figures = Figures::of(name);
        let start = Moment::now()?;
        let ran = match self {
            Self::Fairness => fairness::run(given, &mut figures),
            Self::Lateness => lateness::run(given, &mut figures),
            Self::Cold => cold::run(given, &mut figures),
            Self::Functions => functions::run(given, &mut figures),
            Self::Sandboxes => sandboxes::run(given, &mut figures),
            Self::Drop => drop_folder::run(given, &mut figures),
            Self::Events => events::run(given, &mut figures),
        };
        ran.with_context(|| format!("scenario {name}"))?;
        let end = Moment::now()?;
        figures.note("time this took", end.since(&start).as_secs_f64(), "s");
        let others = end.others_since(&start);
        figures.note(
            "cores that other programs kept busy meanwhile",
            others,
            "cores",
        );
        Ok(figures.done())
    }
}

/// One request to the quick function under the name `name`.
fn hello(name: &str) -> Exchange {
    Exchange::post(&format!("/{name}"), guests::JSON, guests::ANSWER)
}

/// Waits for a thread of a scenario.
fn join<T>(joined: std::thread::Result<anyhow::Result<T>>) -> anyhow::Result<T> {
    joined.map_err(|_panic| anyhow::anyhow!("a thread of the scenario panicked"))?
}

/// Milliseconds as a duration.
fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_makes_another_module_that_is_still_one() {
        let hello = Hello {
            wasm: b"\0asm\x01\0\0\0".to_vec(),
        };
        let tagged = hello.tagged("0042");
        assert_eq!(tagged, b"\0asm\x01\0\0\0\x00\x08\x03tag0042");
        assert_ne!(tagged, hello.tagged("0043"));
    }
}
