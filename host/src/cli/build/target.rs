//! The target that functions in Rust are built for: makes sure that the toolchain has it.

use std::path::Path;

use anyhow::Context as _;

use super::process::{ask, command, run};
use crate::cli::output::note;

/// What functions are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip1";

/// Makes sure that the toolchain in use in `folder` builds for [`TARGET`], with rustup if need be.
pub(super) fn ensure(folder: &Path) -> anyhow::Result<()> {
    if is_there(folder) {
        return Ok(());
    }
    let mut rustc = command("rustc", folder);
    rustc.arg("--version");
    anyhow::ensure!(
        ask(rustc).is_some(),
        "there is no Rust here; install it as https://rustup.rs says, then type `rustup target add {TARGET}`"
    );
    note(&format!(
        "the Rust target {TARGET} is missing; running `rustup target add {TARGET}`"
    ));
    let mut rustup = command("rustup", folder);
    rustup.args(["target", "add", TARGET]);
    run(rustup).with_context(|| {
        format!(
            "the Rust target {TARGET} is missing; type `rustup target add {TARGET}`, or, where Rust did not come from rustup, install your system's package of Rust's standard library for {TARGET}"
        )
    })?;
    anyhow::ensure!(
        is_there(folder),
        "rustup added the Rust target {TARGET} to another toolchain than the one in use here; type `rustup target add {TARGET} --toolchain NAME`"
    );
    Ok(())
}

fn is_there(folder: &Path) -> bool {
    let mut rustc = command("rustc", folder);
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    ask(rustc).is_some_and(|directory| Path::new(&directory).is_dir())
}
