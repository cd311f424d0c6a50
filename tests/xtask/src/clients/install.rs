//! Where the clients come from: each into a folder of its own below `target/clients`, at the versions
//! that the suites pin. Nothing is installed elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::Suite;

/// The suites in the checkout, and where their clients are installed.
#[derive(Debug)]
pub(super) struct Folders {
    sources: PathBuf,
    clients: PathBuf,
}

impl Folders {
    pub(super) fn new(target: &Path) -> anyhow::Result<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let sources = tests
            .context("the checkout has no tests")?
            .join("conformance");
        let clients = target.join("clients");
        fs::create_dir_all(&clients)
            .with_context(|| format!("making {} failed", clients.display()))?;
        Ok(Self { sources, clients })
    }
}

/// Compiles the function that the suites deploy.
pub(super) fn function(folders: &Folders) -> anyhow::Result<PathBuf> {
    const TARGET: &str = "wasm32-wasip1";
    let target = folders.clients.join("function");
    run(crate::plain_cargo()
        .args(["build", "--locked", "--release", "--target", TARGET])
        .arg("--manifest-path")
        .arg(folders.sources.join("function/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target))?;
    Ok(target
        .join(TARGET)
        .join("release/conformance_function.wasm"))
}

/// Installs what a suite needs; the command that runs it.
pub(super) fn suite(suite: Suite, folders: &Folders) -> anyhow::Result<Command> {
    let home = folders.clients.join(suite.name());
    let sources = &folders.sources;
    match suite {
        Suite::Boto3 => {
            let python = virtualenv(&home, &sources.join("boto3/requirements.txt"))?;
            Ok(script(&python, &sources.join("boto3/suite.py")))
        }
        Suite::Cli1 => {
            let python = virtualenv(&home, &sources.join("cli/requirements-v1.txt"))?;
            let mut command = script(&python, &sources.join("cli/suite.py"));
            command.env("MAYFLY_AWS", home.join("bin/aws"));
            Ok(command)
        }
        Suite::Cli2 => {
            let aws = debian(&home, &sources.join("cli/debian-v2.txt"))?;
            let mut command = script(Path::new(SYSTEM_PYTHON), &sources.join("cli/suite.py"));
            command.env("MAYFLY_AWS", aws);
            Ok(command)
        }
        Suite::Js => {
            node_modules(&home, &sources.join("js"))?;
            Ok(script(Path::new("node"), &home.join("suite.js")))
        }
        Suite::Rust => {
            run(crate::plain_cargo()
                .args(["build", "--locked", "--manifest-path"])
                .arg(sources.join("rust/Cargo.toml"))
                .arg("--target-dir")
                .arg(&home))?;
            Ok(Command::new(home.join("debug/conformance-rust")))
        }
    }
}

fn script(interpreter: &Path, file: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(file);
    command
}

/// A virtual environment with exactly these packages; its Python.
fn virtualenv(home: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let python = home.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
    }
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--requirement",
        ])
        .arg(requirements))?;
    Ok(python)
}

/// What Debian's own packages of Python modules are made for.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Debian packages, unpacked side by side and not installed; the `aws` among them.
fn debian(home: &Path, packages: &Path) -> anyhow::Result<PathBuf> {
    let (archives, root) = (home.join("archives"), home.join("root"));
    let (done, launcher) = (home.join("packages.txt"), home.join("aws"));
    let wanted = fs::read_to_string(packages)?;
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(launcher);
    }
    ensure!(
        Path::new(SYSTEM_PYTHON).exists(),
        "{SYSTEM_PYTHON} is missing"
    );
    for folder in [&archives, &root] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    let mut download = Command::new("apt-get");
    download
        .args(["download", "--quiet=2"])
        .args(wanted.lines())
        .current_dir(&archives);
    if run(&mut download).is_err() {
        // A new machine has no list of packages yet.
        run(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        run(&mut download)?;
    }
    for archive in fs::read_dir(&archives)? {
        run(Command::new("dpkg")
            .arg("-x")
            .arg(archive?.path())
            .arg(&root))?;
    }
    let text = format!(
        "#!/bin/sh\nPYTHONPATH='{0}/usr/lib/python3/dist-packages' exec {SYSTEM_PYTHON} -S '{0}/usr/bin/aws' \"$@\"\n",
        root.display()
    );
    fs::write(&launcher, text)?;
    run(Command::new("chmod").arg("+x").arg(&launcher))?;
    run(Command::new(&launcher).arg("--version"))?;
    fs::write(&done, &wanted)?;
    Ok(launcher)
}

/// The suite beside the packages that it imports.
fn node_modules(home: &Path, sources: &Path) -> anyhow::Result<()> {
    let done = home.join("installed.json");
    let wanted = fs::read(sources.join("package-lock.json"))?;
    fs::create_dir_all(home)?;
    for file in fs::read_dir(sources)? {
        let file = file?;
        fs::copy(file.path(), home.join(file.file_name()))?;
    }
    if fs::read(&done).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    run(Command::new("npm")
        .args(["ci", "--loglevel=error", "--ignore-scripts"])
        .current_dir(home))?;
    fs::write(&done, &wanted)?;
    Ok(())
}

/// Runs a command whose output is shown only when it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("starting {name} failed"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!(
            "{name} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&said)
        );
    }
    Ok(())
}
