//! Functions that are C: all `.c` files of the folder make one `command`.
//!
//! Any compiler that knows WASI will do; the first that is found is taken.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::artifact::{self, Written};
use super::function::SourceFunction;
use super::process::{ask, command, run};

/// What is said when a function in C can't be built here.
pub(super) const MISSING: &str = "no C compiler for WASI is here; install zig, or the Python package ziglang, or set WASI_SDK_PATH";

/// A compiler and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiler {
    program: PathBuf,
    args: Vec<String>,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        // `zig cc` and `python3 -m ziglang cc` are known by their first words.
        self.args
            .iter()
            .take_while(|arg| !arg.starts_with("--"))
            .try_for_each(|arg| write!(f, " {arg}"))
    }
}

impl Compiler {
    fn new(program: impl Into<PathBuf>, args: &[&str]) -> Self {
        Self {
            program: program.into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        }
    }
}

/// Looks for a compiler.
pub(super) fn find() -> Option<Compiler> {
    let here = Path::new(".");
    let answers = |program: &str, args: &[&str]| {
        let mut probe = command(program, here);
        probe.args(args);
        ask(probe).is_some()
    };
    if answers("zig", &["version"]) {
        return Some(Compiler::new("zig", &["cc", "--target=wasm32-wasi"]));
    }
    if answers("python3", &["-m", "ziglang", "version"]) {
        return Some(Compiler::new(
            "python3",
            &["-m", "ziglang", "cc", "--target=wasm32-wasi"],
        ));
    }
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        let clang = Path::new(&sdk).join("bin/clang");
        if clang.is_file() {
            return Some(Compiler::new(clang, &["--target=wasm32-wasip1"]));
        }
    }
    clang_with_sysroot()
}

/// A clang that links an empty program for WASI: whether it does can't be told from its version.
fn clang_with_sysroot() -> Option<Compiler> {
    let sysroot = std::env::var("WASI_SYSROOT").ok();
    let named = sysroot.as_deref().into_iter();
    let usual = ["/opt/wasi-sysroot", "/usr/share/wasi-sysroot"].into_iter();
    let exists = |root: &&str| Path::new(root).is_dir();
    let mut attempts: Vec<Vec<String>> = named
        .chain(usual)
        .filter(exists)
        .map(|root| {
            vec![
                "--target=wasm32-wasip1".to_owned(),
                format!("--sysroot={root}"),
            ]
        })
        .collect();
    // Debian's wasi-libc needs no sysroot, and has the target's old name.
    attempts.push(vec!["--target=wasm32-wasi".to_owned()]);
    let scratch = scratch_folder()?;
    let source = scratch.join("probe.c");
    let found = std::fs::write(&source, "int main(void) { return 0; }\n")
        .ok()
        .and_then(|()| {
            attempts
                .into_iter()
                .map(|args| Compiler {
                    program: "clang".into(),
                    args,
                })
                .find(|clang| {
                    let mut probe = call(clang, &scratch);
                    probe.args(["-o", "probe.wasm", "probe.c"]);
                    ask(probe).is_some()
                })
        });
    // The folder is ours; that it stays behind when this fails harms nobody.
    let _removed = std::fs::remove_dir_all(&scratch);
    found
}

fn scratch_folder() -> Option<PathBuf> {
    let folder = std::env::temp_dir().join(format!("mayfly-probe-{}", std::process::id()));
    std::fs::create_dir(&folder).ok().map(|()| folder)
}

fn call(compiler: &Compiler, folder: &Path) -> Command {
    let mut call = command(&compiler.program, folder);
    call.args(&compiler.args);
    call
}

/// Whether the artifact is newer than every source.
pub(super) fn is_fresh(function: &SourceFunction) -> anyhow::Result<bool> {
    let Ok(artifact) = std::fs::metadata(function.artifact()) else {
        return Ok(false);
    };
    let built = artifact
        .modified()
        .context("this system keeps no times of files")?;
    for source in sources(&function.folder, &["c", "h", "toml"])? {
        let changed = std::fs::metadata(&source)
            .and_then(|source| source.modified())
            .with_context(|| format!("reading `{}` failed", source.display()))?;
        if changed >= built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compiles and links.
pub(super) fn build(function: &SourceFunction, compiler: &Compiler) -> anyhow::Result<Written> {
    let output = artifact::scratch_path(function)?;
    let mut compile = call(compiler, &function.folder);
    compile.args([
        "-O2",
        "-Wall",
        "-Wl,--strip-all",
        "-Wl,-z,stack-size=131072",
        "-o",
    ]);
    compile.arg(&output);
    let sources = sources(&function.folder, &["c"])?;
    compile.args(sources.iter().filter_map(|source| source.file_name()));
    let outcome = run(compile).and_then(|()| artifact::finish(function, &output));
    // Either it was copied on, or it is of no use.
    let _removed = std::fs::remove_file(&output);
    outcome
}

/// The files of the folder itself with one of these extensions, sorted.
fn sources(folder: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let place = folder.display();
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading `{place}` failed"))? {
        let path = entry
            .with_context(|| format!("reading `{place}` failed"))?
            .path();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if extensions.contains(&extension) && path.is_file() {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_called_by_its_first_words() {
        let zig = Compiler::new("python3", &["-m", "ziglang", "cc", "--target=wasm32-wasi"]);
        assert_eq!(zig.to_string(), "python3 -m ziglang cc");
    }

    #[test]
    fn only_c_files_of_the_folder_itself_are_sources() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.c", "a.c", "a.h", "README.md"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.c")).unwrap();
        let names: Vec<_> = sources(folder.path(), &["c"])
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.c", "b.c"]);
    }
}
