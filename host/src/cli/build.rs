//! `mayfly build`: from a function's source to the artifact that is served.
//!
//! Reading order: which folders are functions with source ([`function`]), the toolchains
//! ([`cargo`], [`target`], [`c`]), and what becomes of their output ([`artifact`]).
//!
//! One function that does not build keeps no other from being built, and keeps its last artifact.

pub(super) mod artifact;
pub(super) mod function;

mod c;
mod cargo;
mod process;
mod target;

use std::process::ExitCode;
use std::sync::OnceLock;

use domain::Clock;

use self::artifact::Written;
use self::function::{Found, Source, SourceFunction};
use super::output::{note, one_line};
use super::places::Places;

/// Builds functions from source: the named ones, or all in the functions folder.
///
/// In the folder of a function, with no functions folder there, it builds that one.
///
/// A function with source is a folder with Cargo.toml (built by cargo for wasm32-wasip1), with a
/// build command in its function.toml, or with main.c (built when a WASI C compiler is found: zig,
/// the ziglang package of Python, the WASI SDK, or clang with a WASI sysroot). The artifact is
/// NAME/build/NAME.wasm; the init hook of a function that uses the SDK runs now, and its memory
/// becomes part of the artifact. What is fresh already is left as it is.
///
/// Exit code 1 when one of them could not be built; the others are built all the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly build
  mayfly build hello thumbnail
  mayfly build ./somewhere/else/hello")]
pub(super) struct Build {
    /// Functions to build: names, or paths of their folders
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Toolchains, looked for once.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// What stands in the way of building for the target, if something does.
    wasm_target: OnceLock<Option<String>>,
    c_compiler: OnceLock<Option<c::Compiler>>,
}

/// How much is said about a build that may turn out to be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    /// What is done, and that nothing had to be.
    Everything,
    /// Only what is new: an artifact, warnings and errors.
    News,
}

/// Builds.
pub(super) fn run(command: &Build, places: &Places) -> anyhow::Result<ExitCode> {
    let functions_dir = places.config()?.functions_dir;
    let named = command
        .names
        .iter()
        .map(|name| function::find(name, &functions_dir));
    let found = if !command.names.is_empty() {
        named.collect()
    } else if function::is_inside_one(&functions_dir) {
        vec![function::find(".", &functions_dir)]
    } else {
        function::find_all(&functions_dir)?
    };
    if found.is_empty() {
        note(&format!(
            "nothing to build: no folder in `{}` has source; start one with `mayfly new hello`",
            functions_dir.display()
        ));
    }
    let tools = Tools::default();
    let failures = found
        .iter()
        .filter(|found| !build_or_tell(found, &tools, Say::Everything))
        .count();
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds one function and says how it went; false when it failed.
pub(super) fn build_or_tell(found: &Found, tools: &Tools, say: Say) -> bool {
    let (name, outcome) = match found {
        Found::Function(function) => (function.name.to_string(), build(function, tools, say)),
        Found::Broken { name, reason } => (name.clone(), Err(anyhow::anyhow!("{reason}"))),
    };
    if let Err(error) = &outcome {
        note(&format!(
            "error: {name}: {}",
            one_line(&format!("{error:#}"))
        ));
    }
    outcome.is_ok()
}

/// Builds one function, saying what it does. One that can't be built on this machine is skipped.
fn build(function: &SourceFunction, tools: &Tools, say: Say) -> anyhow::Result<()> {
    let clock = Clock::system();
    let (name, start) = (&function.name, clock.now());
    let begin = |how: &str| {
        if say == Say::Everything {
            note(&format!("building {name} with {how}"));
        }
    };
    let written = match &function.source {
        Source::Cargo => {
            tools.need_wasm_target(function)?;
            begin("cargo");
            let wasm = cargo::build(function, say)?;
            artifact::finish(function, &wasm)?
        }
        Source::Command(command) => {
            begin(&format!("`{}`", one_line(command)));
            let before = artifact::bytes(function);
            process::run_shell(command, &function.folder)?;
            artifact::check(function, before.as_deref())?
        }
        Source::C => {
            let Some(compiler) = tools.c_compiler.get_or_init(c::find) else {
                note(&format!("skipped {name}: {}", c::MISSING));
                return Ok(());
            };
            if c::is_fresh(function)? {
                Written::Same
            } else {
                begin(&compiler.to_string());
                c::build(function, compiler)?
            }
        }
    };
    let took = clock.now().saturating_duration_since(start);
    match written {
        Written::Same if say == Say::News => {}
        Written::Same => note(&format!("{name} is up to date")),
        Written::New { kind, bytes } => {
            let (path, kind) = (function.artifact(), kind.as_str());
            let (kb, seconds) = (bytes.div_ceil(1_024), took.as_secs_f64());
            note(&format!(
                "built {}: {kind}, {kb} KB, in {seconds:.1} s",
                path.display()
            ));
        }
    }
    Ok(())
}

impl Tools {
    fn need_wasm_target(&self, function: &SourceFunction) -> anyhow::Result<()> {
        let problem = self.wasm_target.get_or_init(|| {
            target::ensure(&function.folder)
                .err()
                .map(|error| format!("{error:#}"))
        });
        match problem {
            None => Ok(()),
            Some(problem) => anyhow::bail!("{problem}"),
        }
    }
}
