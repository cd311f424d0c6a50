//! Functions that are Cargo packages.
//!
//! Cargo runs in the package's folder, so that the package's own configuration applies, and decides
//! what is fresh. A profile setting that the package does not make is set to what suits a sandbox.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;

use super::Say;
use super::function::SourceFunction;
use super::process::{ask, command};
use super::target::TARGET;

/// What a release build of a function is unless its package says otherwise: quick to start and
/// small, since it starts for every event.
const PROFILE: [(&str, &str); 5] = [
    ("codegen-units", "1"),
    ("lto", "\"fat\""),
    ("opt-level", "3"),
    ("panic", "\"abort\""),
    ("strip", "true"),
];

/// Builds a package; the path of its wasm file.
pub(super) fn build(function: &SourceFunction, say: Say) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo(&function.folder);
    cargo.args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    if say == Say::News {
        cargo.arg("--quiet");
    }
    let release = release_profile(&function.folder);
    for (key, value) in PROFILE
        .iter()
        .filter(|(key, _)| !release.contains_key(*key))
    {
        cargo
            .arg("--config")
            .arg(format!("profile.release.{key}={value}"));
    }
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("starting `cargo` failed; install Rust as https://rustup.rs says")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo could not build it; its errors are above"
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    let outputs = outputs(&messages, &function.folder.join("Cargo.toml"));
    choose(&outputs, function.name.as_str()).map(Path::to_owned)
}

/// The cargo of whoever started us, else the one in PATH.
fn cargo(folder: &Path) -> Command {
    let in_path = ask({
        let mut cargo = command("cargo", folder);
        cargo.arg("--version");
        cargo
    });
    match std::env::var_os("CARGO") {
        Some(outer) if in_path.is_none() => command(outer, folder),
        _ => command("cargo", folder),
    }
}

/// `[profile.release]` of the workspace that the package belongs to.
fn release_profile(folder: &Path) -> toml::Table {
    let mut cargo = cargo(folder);
    cargo.args(["locate-project", "--workspace", "--message-format", "plain"]);
    let manifest = ask(cargo).and_then(|path| std::fs::read_to_string(path).ok());
    let table = manifest
        .and_then(|text| text.parse::<toml::Table>().ok())
        .unwrap_or_default();
    let release = table
        .get("profile")
        .and_then(|profile| profile.get("release"));
    release
        .and_then(toml::Value::as_table)
        .cloned()
        .unwrap_or_default()
}

/// A line that cargo writes.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    filenames: Option<Vec<PathBuf>>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// One wasm file that cargo made of the package.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    target: String,
    is_library: bool,
    path: PathBuf,
}

/// The wasm files that belong to the package with this manifest.
fn outputs(messages: &str, manifest: &Path) -> Vec<Output> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let manifest = real(manifest);
    let mut outputs = Vec::new();
    for message in messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
    {
        let (Some(path), Some(target)) = (&message.manifest_path, &message.target) else {
            continue;
        };
        let is_library = target.kind.iter().any(|kind| kind == "cdylib");
        let is_program = target.kind.iter().any(|kind| kind == "bin");
        let ours = message.reason == "compiler-artifact" && real(path) == manifest;
        if !ours || !(is_library || is_program) {
            continue;
        }
        let is_wasm = |path: &&PathBuf| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        };
        for path in message.filenames.iter().flatten().filter(is_wasm) {
            outputs.push(Output {
                target: target.name.clone(),
                is_library,
                path: path.clone(),
            });
        }
    }
    outputs
}

/// The library, else the program with the function's name, else the only program.
fn choose<'a>(outputs: &'a [Output], name: &str) -> anyhow::Result<&'a Path> {
    let library = outputs.iter().find(|output| output.is_library);
    let namesake = || outputs.iter().find(|output| output.target == name);
    let only = || outputs.first().filter(|_| outputs.len() == 1);
    match library.or_else(namesake).or_else(only) {
        Some(output) => Ok(&output.path),
        None if outputs.is_empty() => anyhow::bail!(
            "the package has nothing that can run: it needs `[lib] crate-type = [\"cdylib\"]` with a #[handler], or a src/main.rs"
        ),
        None => {
            let names: Vec<_> = outputs
                .iter()
                .map(|output| output.target.as_str())
                .collect();
            anyhow::bail!(
                "the package has several programs ({}), and none is called `{name}`",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, target: &str, file: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/f/Cargo.toml","target":{{"name":"{target}","kind":["{kind}"]}},"filenames":["{file}"],"fresh":true}}"#
        )
    }

    #[track_caller]
    fn check(lines: &[String], expected: Result<&str, &str>) {
        let text = lines.join("\n");
        let outputs = outputs(&text, Path::new("/f/Cargo.toml"));
        let chosen = choose(&outputs, "f").map_err(|error| error.to_string());
        assert_eq!(chosen, expected.map(Path::new).map_err(str::to_owned));
    }

    #[test]
    fn the_package_own_library_or_program_is_taken() {
        let other = message("cdylib", "dep", "/t/dep.wasm").replace("/f/", "/dep/");
        let library = message("cdylib", "f", "/t/f.wasm");
        let program = message("bin", "other", "/t/other.wasm");
        let script = message("custom-build", "build-script-build", "/t/build.wasm");
        check(&[other.clone(), library, program.clone()], Ok("/t/f.wasm"));
        check(
            &[other.clone(), "text".to_owned(), program.clone(), script],
            Ok("/t/other.wasm"),
        );
        let second = message("bin", "f", "/t/bin-f.wasm");
        check(&[program.clone(), second], Ok("/t/bin-f.wasm"));
        let third = message("bin", "third", "/t/third.wasm");
        check(
            &[program, third],
            Err("the package has several programs (other, third), and none is called `f`"),
        );
        check(
            &[other],
            Err(
                "the package has nothing that can run: it needs `[lib] crate-type = [\"cdylib\"]` with a #[handler], or a src/main.rs",
            ),
        );
    }
}
