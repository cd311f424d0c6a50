//! `mayfly new`: a function in Rust that builds, tests and runs at once, wherever it is made.
//!
//! The SDK travels inside this binary and is written beside the function, so that nothing has to be
//! published anywhere for a function to be written.

mod sdk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use domain::FunctionName;

use super::output::answer;
use super::places::Places;

/// Starts a new function in Rust: source with a test, a manifest, a README, and the SDK.
///
/// It is made in the functions folder if there is one, else here. `cargo test` in it and
/// `mayfly build` work right away.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly new hello && mayfly dev
  mayfly new hello --path ~/src")]
pub(super) struct New {
    /// Name of the function: letters, digits, - and _
    name: FunctionName,

    /// Folder to make it in [default: the functions folder if there is one, else here]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Starts a function.
pub(super) fn run(command: &New, places: &Places) -> anyhow::Result<ExitCode> {
    let name = &command.name;
    let functions_dir = places.config()?.functions_dir;
    let parent = match &command.path {
        Some(path) => path.clone(),
        None if functions_dir.is_dir() => functions_dir.clone(),
        None => PathBuf::from("."),
    };
    let folder = parent.join(name.as_str());
    create(&folder, name)?;
    let serve = if parent == functions_dir {
        "mayfly dev".to_owned()
    } else {
        format!("mayfly dev --functions {}", parent.display())
    };
    answer(format!(
        "\
made {folder}

next:
  cd {folder} && cargo test     run its test, natively
  {serve}     build it and serve it, again on each change
  curl 'http://127.0.0.1:3000/{name}?name=Ada'
",
        folder = folder.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes all files into a folder that is not there yet.
fn create(folder: &Path, name: &FunctionName) -> anyhow::Result<()> {
    let place = folder.display();
    if let Some(parent) = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(parent)
            .with_context(|| format!("making `{}` failed", parent.display()))?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            anyhow::bail!("`{place}` is there already; choose another name, or remove it first")
        }
        Err(error) => return Err(error).with_context(|| format!("making `{place}` failed")),
    }
    let own = TEMPLATE
        .iter()
        .map(|(path, text)| ((*path).to_owned(), fill(text, name)));
    for (path, text) in own.chain(sdk::files()) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("writing `{}` failed", path.display()))?;
    }
    Ok(())
}

/// The files of a new function; `NAME`, `PACKAGE` and `IDENT` stand for its name.
const TEMPLATE: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("new/template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("new/template/lib.rs.in")),
    (
        "function.toml",
        include_str!("new/template/function.toml.in"),
    ),
    ("README.md", include_str!("new/template/README.md.in")),
    (".gitignore", include_str!("new/template/gitignore.in")),
    (
        ".cargo/config.toml",
        include_str!("new/template/config.toml.in"),
    ),
    ("event.json", include_str!("new/template/event.json.in")),
];

fn fill(text: &str, name: &FunctionName) -> String {
    let package = package_name(name);
    text.replace("{{NAME}}", name.as_str())
        .replace("{{PACKAGE}}", &package)
        .replace("{{IDENT}}", &package.replace('-', "_"))
}

/// A name that cargo and the compiler accept: they want a letter first, and no word of the language.
fn package_name(name: &FunctionName) -> String {
    const PREFIX: &str = "fn-";
    let lower = name.as_str().to_ascii_lowercase();
    let trimmed = lower.trim_start_matches(['-', '_']);
    let first_is_letter = trimmed.starts_with(|c: char| c.is_ascii_alphabetic());
    if first_is_letter && trimmed == lower && !TAKEN.contains(&trimmed) {
        lower
    } else {
        format!("{PREFIX}{}", if trimmed.is_empty() { "x" } else { trimmed })
    }
}

/// Names that cargo, the compiler or the template needs for something else.
const TAKEN: [&str; 62] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mayfly-sdk",
    "mayfly_sdk",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FunctionName {
        FunctionName::parse(text).unwrap()
    }

    #[test]
    fn a_package_has_a_name_that_cargo_accepts() {
        for (function, package) in [
            ("hello", "hello"),
            ("Hello-2_x", "hello-2_x"),
            ("2nd", "fn-2nd"),
            ("-rf", "fn-rf"),
            ("_", "fn-x"),
            ("async", "fn-async"),
            ("test", "fn-test"),
            ("mayfly-sdk", "fn-mayfly-sdk"),
        ] {
            assert_eq!(package_name(&name(function)), package);
        }
    }

    #[test]
    fn a_new_function_has_every_file_and_no_gap_in_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/Hello-2");
        create(&folder, &name("Hello-2")).unwrap();
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        for (path, _) in TEMPLATE {
            assert!(!read(path).contains("{{"), "{path}");
        }
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("hello-2"));
        assert!(manifest.contains_key("workspace"));
        crate::manifest::Manifest::parse(&read("function.toml")).unwrap();
        assert!(read("src/lib.rs").contains("fn hello_2("));
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("hello");
        fs::write(&folder, "mine").unwrap();
        let error = create(&folder, &name("hello")).unwrap_err().to_string();
        assert!(
            error.ends_with("is there already; choose another name, or remove it first"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&folder).unwrap(), "mine");
    }
}
