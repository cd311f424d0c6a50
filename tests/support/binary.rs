//! Where the program under test is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The binary `mayfly` of the profile that the tests were built with, or what `MAYFLY_BIN` names.
///
/// Built first, once for each test executable: `cargo test` builds a binary only for tests of its own
/// package, and an old one would be tested without a word.
///
/// # Panics
///
/// When it can't be built.
#[must_use]
pub fn mayfly() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(named) = std::env::var_os("MAYFLY_BIN") {
            return PathBuf::from(named);
        }
        build()
    })
}

/// `target/<profile>`: the test's own executable lies in `target/<profile>/deps`.
#[must_use]
pub fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_path_buf()
}

/// The folder that holds everything cargo makes.
#[must_use]
pub fn target_dir() -> PathBuf {
    profile_dir().parent().unwrap().to_path_buf()
}

/// The top of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// `cargo`, in the checkout.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(checkout());
    // What cargo told this process about itself is not for the next cargo.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text == "CARGO_MANIFEST_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

fn build() -> PathBuf {
    let directory = profile_dir();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(other) => other,
    };
    let path = directory.join("mayfly");
    // The same packages as those of the tests, so that nothing is compiled with other features.
    let built = cargo()
        .args(["build", "--quiet", "--profile", profile])
        .status();
    assert!(
        built.is_ok_and(|status| status.success()) && path.is_file(),
        "{} can't be built; run `cargo build` and look at what it says",
        path.display()
    );
    path
}
