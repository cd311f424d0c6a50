//! The guests, which all do the same work, and how they are built.
//!
//! Their sources lie in `guests/`. The two functions are built by `mayfly build`, as anybody's are.
//!
//! Knows nothing of who runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::load::Exchange;

/// Path of the function, and its name.
pub(crate) const NAME: &str = "hello";

/// The body of a request.
pub(crate) const JSON: &str = r#"{"name":"world"}"#;

/// The body of the only right answer.
pub(crate) const ANSWER: &str = r#"{"message":"hello world"}"#;

/// The work: greet whom the body names.
pub(crate) fn exchange() -> Exchange {
    Exchange::post("/hello", JSON, ANSWER)
}

/// Where things lie that this program makes and finds.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The top of the checkout.
    pub(crate) checkout: PathBuf,
    /// What cargo builds into: `target`, unless it was told otherwise.
    pub(crate) target: PathBuf,
}

impl Places {
    /// As they are for the running program, which lies in `target/release`.
    ///
    /// # Errors
    ///
    /// When the running program has no folder.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program's own file failed")?;
        let target = program
            .ancestors()
            .nth(2)
            .context("this program has no folder")?;
        Ok(Self {
            checkout: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .canonicalize()?,
            target: target.to_owned(),
        })
    }

    /// The sources of the guests.
    pub(crate) fn guests(&self) -> PathBuf {
        self.checkout.join("tests/performance/guests")
    }

    /// A folder for what a run makes; emptied by nobody.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target.join("performance")
    }
}

/// Guests that are built.
#[derive(Debug, Clone)]
pub(crate) struct Guests {
    /// A functions folder with one function, of the kind `sdk`.
    pub(crate) sdk_folder: PathBuf,
    /// The same of the kind `command`.
    pub(crate) command_folder: PathBuf,
    /// A `wasi:http` component for instances that serve one request.
    pub(crate) component: PathBuf,
    /// The same for one that serves many.
    pub(crate) component_reused: PathBuf,
    /// A configuration for workerd, with its script beside it.
    pub(crate) worker: PathBuf,
}

impl Guests {
    /// Builds what is not fresh.
    ///
    /// # Errors
    ///
    /// When one can't be built.
    pub(crate) fn build(places: &Places, mayfly: &Path) -> anyhow::Result<Self> {
        let folder = |kind: &str| places.scratch().join("functions").join(kind);
        let guests = Self {
            sdk_folder: folder("sdk"),
            command_folder: folder("command"),
            component: places.scratch().join("hello.component.wasm"),
            component_reused: places.scratch().join("hello-reused.component.wasm"),
            worker: places.guests().join("worker/config.capnp"),
        };
        function(places, mayfly, "sdk-hello", &guests.sdk_folder)?;
        function(places, mayfly, "command-hello", &guests.command_folder)?;
        component(places, &guests.component, &[])?;
        component(places, &guests.component_reused, &["--features", "reused"])?;
        Ok(guests)
    }
}

/// Builds a function and puts its artifact into a functions folder of its own.
fn function(places: &Places, mayfly: &Path, name: &str, folder: &Path) -> anyhow::Result<()> {
    let source = places.guests().join(name);
    run(Command::new(mayfly).arg("build").arg(&source))?;
    fs::create_dir_all(folder)?;
    let artifact = source.join("build").join(format!("{name}.wasm"));
    copy(&artifact, &folder.join(format!("{NAME}.wasm")))
}

fn component(places: &Places, component: &Path, features: &[&str]) -> anyhow::Result<()> {
    let guests = places.guests();
    let target = places.target.join("guests");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--release", "--target-dir"])
            .arg(&target)
            .args(arguments)
            .current_dir(&guests);
        run(&mut cargo)
    };
    let package = ["-p", "component-hello", "--target", "wasm32-wasip1"];
    cargo(&[&package, features].concat())?;
    cargo(&["-p", "componentize"])?;
    let module = target.join("wasm32-wasip1/release/component_hello.wasm");
    run(Command::new(target.join("release/componentize"))
        .arg(module)
        .arg(component))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {} failed", from.display(), to.display()))?;
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("starting {} failed", program.display()))?;
    ensure!(
        status.success(),
        "{} failed; what it printed is above",
        program.display()
    );
    Ok(())
}
