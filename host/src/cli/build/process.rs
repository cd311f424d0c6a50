//! Running the tools of others.
//!
//! When this program itself was started by cargo (`cargo run -- dev`), the variables that describe
//! *our* package are taken out, so that an inner cargo and its build scripts do not mistake them for
//! theirs. What the user set (`CARGO_TARGET_DIR`, `RUSTFLAGS`, `RUSTUP_TOOLCHAIN`) stays.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A command in `folder`, without input and without the variables of an outer cargo.
pub(super) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_an_outer_cargo) {
            command.env_remove(name);
        }
    }
    command
}

/// Variables that cargo sets for a package that it builds or runs.
fn is_of_an_outer_cargo(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "CARGO",
        "CARGO_CRATE_NAME",
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
        "RUST_RECURSION_COUNT",
        "RUSTC_WORKSPACE_WRAPPER",
        "TARGET",
    ];
    const PREFIXES: [&str; 5] = [
        "CARGO_BIN_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Runs a command, its output on our stderr.
pub(super) fn run(mut command: Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("starting `{program}` failed"))?;
    anyhow::ensure!(status.success(), "`{program}` failed ({status})");
    Ok(())
}

/// Runs a command of the shell in `folder`.
pub(super) fn run_shell(text: &str, folder: &Path) -> anyhow::Result<()> {
    let mut shell = command("sh", folder);
    shell.args(["-c", text]);
    run(shell).context("the build command failed")
}

/// What a command prints on stdout, if it starts and succeeds. Its stderr is dropped.
pub(super) fn ask(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_cargo_does_not_see_the_package_of_an_outer_one() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO", "OUT_DIR"] {
            assert!(is_of_an_outer_cargo(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTUP_TOOLCHAIN",
            "PATH",
        ] {
            assert!(!is_of_an_outer_cargo(name), "{name}");
        }
    }

    #[test]
    fn a_command_runs_in_its_folder_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        run_shell("echo x > made", folder.path()).unwrap();
        assert!(folder.path().join("made").is_file());
        let error = format!("{:#}", run_shell("exit 3", folder.path()).unwrap_err());
        assert_eq!(
            error,
            "the build command failed: `sh` failed (exit status: 3)"
        );
        assert_eq!(ask(command("mayfly-no-such-program", folder.path())), None);
    }
}
