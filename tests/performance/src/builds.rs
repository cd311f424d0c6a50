//! Builds what is measured.
//!
//! Knows nothing of guests and peers.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::guests::Places;

/// Mayfly as `cargo build --release` makes it.
///
/// # Errors
///
/// When it can't be built.
pub(crate) fn release(places: &Places) -> anyhow::Result<()> {
    cargo(places, &["--release", "-p", "mayfly"])
}

/// Mayfly and the ceiling in the profile `dist`.
///
/// # Errors
///
/// When one can't be built.
pub(crate) fn dist(places: &Places) -> anyhow::Result<()> {
    // One command each: packages that are built together share the features of their dependencies.
    cargo(places, &["--profile", "dist", "-p", "mayfly"])?;
    let ceiling = ["-p", "performance", "--bin", "ceiling"];
    cargo(places, &[&["--profile", "dist"][..], &ceiling].concat())
}

fn cargo(places: &Places, arguments: &[&str]) -> anyhow::Result<()> {
    eprintln!("+ cargo build {}", arguments.join(" "));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg("build")
        .args(arguments)
        .arg("--target-dir")
        .arg(&places.target)
        .current_dir(&places.checkout)
        .status()
        .context("starting cargo failed")?;
    ensure!(
        status.success(),
        "cargo build {} failed",
        arguments.join(" ")
    );
    Ok(())
}
