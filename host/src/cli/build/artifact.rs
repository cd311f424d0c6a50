//! From a compiler's output to the artifact that is served.
//!
//! Checked as the server would check it, with its set-up done and kept where it has one, and put in
//! place at once: whoever watches sees the old artifact or the new one, never half of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use sandbox::GuestKind;

use super::function::SourceFunction;

/// What became of an artifact.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Written {
    /// It is what was there before.
    Same,
    /// It is new.
    New { kind: GuestKind, bytes: usize },
}

/// Makes the artifact of the compiler's `output`.
pub(super) fn finish(function: &SourceFunction, output: &Path) -> anyhow::Result<Written> {
    let target = function.artifact();
    if is_made_of(&target, output) {
        return Ok(Written::Same);
    }
    let wasm =
        fs::read(output).with_context(|| format!("reading `{}` failed", output.display()))?;
    let limits = &function.manifest.limits;
    let wasm = match sandbox::inspect(&wasm, limits)? {
        GuestKind::Command => wasm,
        GuestKind::Sdk => {
            let snapshot = sandbox::snapshot(&wasm).context("running its `init` hook failed")?;
            // What the hook allocated counts too.
            sandbox::inspect(&snapshot, limits)?;
            snapshot
        }
    };
    let kind = sandbox::inspect(&wasm, limits)?;
    if fs::read(&target).is_ok_and(|old| old == wasm) {
        // So that next time its age tells that it is up to date.
        touch(&target);
        return Ok(Written::Same);
    }
    put(function, &wasm)?;
    Ok(Written::New {
        kind,
        bytes: wasm.len(),
    })
}

/// Checks the artifact that a build command made, where these bytes were `before`.
pub(super) fn check(function: &SourceFunction, before: Option<&[u8]>) -> anyhow::Result<Written> {
    let path = function.artifact();
    let wasm = fs::read(&path).with_context(|| {
        format!(
            "the build command did not make `{}`; say what it makes in `build.artifact`",
            path.display()
        )
    })?;
    let kind = sandbox::inspect(&wasm, &function.manifest.limits)?;
    if before == Some(&wasm) {
        return Ok(Written::Same);
    }
    Ok(Written::New {
        kind,
        bytes: wasm.len(),
    })
}

/// The artifact that is there now, if one is.
pub(super) fn bytes(function: &SourceFunction) -> Option<Vec<u8>> {
    fs::read(function.artifact()).ok()
}

/// A path beside the artifact, for a compiler to write to. The server ignores it.
pub(super) fn scratch_path(function: &SourceFunction) -> anyhow::Result<PathBuf> {
    let target = function.artifact();
    let folder = target.parent().unwrap_or(&function.folder);
    fs::create_dir_all(folder).with_context(|| format!("making `{}` failed", folder.display()))?;
    let path = folder.join(format!(".{}-{}.wasm", function.name, std::process::id()));
    // The compiler runs in the function's folder, not in ours.
    std::path::absolute(&path).context("the current folder is gone")
}

fn put(function: &SourceFunction, wasm: &[u8]) -> anyhow::Result<()> {
    let scratch = scratch_path(function)?.with_extension("new");
    let target = function.artifact();
    fs::write(&scratch, wasm)
        .and_then(|()| fs::rename(&scratch, &target))
        .with_context(|| format!("writing `{}` failed", target.display()))
}

/// Whether the artifact was made, by this very program, of this very output.
fn is_made_of(target: &Path, output: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let program = std::env::current_exe()
        .ok()
        .and_then(|program| changed(&program));
    match (changed(target), changed(output), program) {
        (Some(target), Some(output), Some(program)) => target > output && target > program,
        _ => false,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of a file, compared with other files' only"
)]
fn touch(path: &Path) {
    // An artifact that stays old is only checked once more than needed.
    let _touched = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use domain::FunctionName;

    use super::*;
    use crate::cli::build::function::Source;
    use crate::manifest::Manifest;

    const COMMAND: &str = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";

    fn function(folder: &Path) -> SourceFunction {
        SourceFunction {
            name: FunctionName::parse("f").unwrap(),
            folder: folder.to_owned(),
            manifest: Manifest::default(),
            source: Source::C,
        }
    }

    #[test]
    fn an_artifact_is_put_in_place_whole_and_once() {
        let root = tempfile::tempdir().unwrap();
        let function = function(root.path());
        let output = root.path().join("output.wasm");
        let wasm = wat::parse_str(COMMAND).unwrap();
        fs::write(&output, &wasm).unwrap();
        let new = Written::New {
            kind: GuestKind::Command,
            bytes: wasm.len(),
        };
        assert_eq!(finish(&function, &output).unwrap(), new);
        assert_eq!(bytes(&function).unwrap(), wasm);
        assert_eq!(finish(&function, &output).unwrap(), Written::Same);
        let names: Vec<_> = fs::read_dir(root.path().join("build")).unwrap().collect();
        assert_eq!(names.len(), 1, "no scratch file is left: {names:?}");
    }

    #[test]
    fn what_can_never_run_is_refused_and_the_old_artifact_stays() {
        let root = tempfile::tempdir().unwrap();
        let function = function(root.path());
        let output = root.path().join("output.wasm");
        fs::create_dir(root.path().join("build")).unwrap();
        fs::write(function.artifact(), "old").unwrap();
        fs::write(&output, wat::parse_str("(module)").unwrap()).unwrap();
        finish(&function, &output).unwrap_err();
        assert_eq!(bytes(&function).unwrap(), b"old");
    }

    #[test]
    fn a_build_command_must_make_what_it_promises() {
        let root = tempfile::tempdir().unwrap();
        let function = function(root.path());
        let error = format!("{:#}", check(&function, None).unwrap_err());
        assert!(
            error.contains("say what it makes in `build.artifact`"),
            "{error}"
        );
        let wasm = wat::parse_str(COMMAND).unwrap();
        fs::create_dir(root.path().join("build")).unwrap();
        fs::write(function.artifact(), &wasm).unwrap();
        assert_ne!(check(&function, None).unwrap(), Written::Same);
        assert_eq!(check(&function, Some(&wasm)).unwrap(), Written::Same);
    }
}
