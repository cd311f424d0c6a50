//! Which folders are functions with source, and how each is built.
//!
//! Knows nothing of artifacts without source; those are the drop folder's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use domain::FunctionName;

use crate::manifest::Manifest;

/// The manifest in a function's folder.
pub(in crate::cli) const MANIFEST: &str = "function.toml";

/// A function that can be built.
#[derive(Debug, Clone)]
pub(in crate::cli) struct SourceFunction {
    /// The folder's name.
    pub(in crate::cli) name: FunctionName,
    /// Where it is; exists.
    pub(in crate::cli) folder: PathBuf,
    /// Its manifest, or the default one.
    pub(in crate::cli) manifest: Manifest,
    /// How it is built.
    pub(in crate::cli) source: Source,
}

/// How a function is built. A command in the manifest outranks what lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Source {
    /// By cargo.
    Cargo,
    /// By a shell command of the manifest.
    Command(String),
    /// By a C compiler.
    C,
}

/// A folder that is, or was meant to be, a function with source.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Found {
    /// It can be built.
    Function(Box<SourceFunction>),
    /// It can't, and why.
    Broken { name: String, reason: String },
}

impl SourceFunction {
    /// Where the artifact is, or will be.
    pub(in crate::cli) fn artifact(&self) -> PathBuf {
        self.folder.join(self.manifest.artifact_path(&self.name))
    }
}

/// Every function with source in `functions_dir`, by name.
pub(in crate::cli) fn find_all(functions_dir: &Path) -> anyhow::Result<Vec<Found>> {
    let place = functions_dir.display();
    let entries = fs::read_dir(functions_dir).with_context(|| {
        format!("reading the functions folder `{place}` failed; say where it is with --functions")
    })?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading `{place}` failed"))?
            .path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_dir() && has_source(&path) {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders.iter().map(|folder| found(folder)).collect())
}

/// The function `name` of `functions_dir`, or the one in the folder of that path.
pub(in crate::cli) fn find(name: &str, functions_dir: &Path) -> Found {
    let inside = functions_dir.join(name);
    let folder = if FunctionName::parse(name).is_ok() && inside.is_dir() {
        inside
    } else {
        PathBuf::from(name)
    };
    let broken = |reason| Found::Broken {
        name: name.to_owned(),
        reason,
    };
    if !folder.is_dir() {
        let place = functions_dir.display();
        return broken(format!(
            "there is no such folder, neither in `{place}` nor here"
        ));
    }
    // `.` and `..` have no name of their own.
    let named = if folder.file_name().is_some() {
        Ok(folder)
    } else {
        folder.canonicalize()
    };
    let Ok(folder) = named else {
        return broken("the folder can't be read".to_owned());
    };
    if has_source(&folder) {
        return found(&folder);
    }
    broken(format!(
        "the folder has nothing to build: neither Cargo.toml, nor main.c, nor `build.command` in {MANIFEST}"
    ))
}

/// Whether we are in the folder of a function, and not beside the functions.
pub(in crate::cli) fn is_inside_one(functions_dir: &Path) -> bool {
    !functions_dir.exists() && Path::new(MANIFEST).is_file()
}

/// Whether a folder looks like it is built; only a manifest that says so must be read for it.
fn has_source(folder: &Path) -> bool {
    let says_how = || match fs::read_to_string(folder.join(MANIFEST)) {
        Err(_) => false,
        Ok(text) => {
            Manifest::parse(&text).map_or(true, |manifest| manifest.build.command.is_some())
        }
    };
    folder.join("Cargo.toml").is_file() || folder.join("main.c").is_file() || says_how()
}

fn found(folder: &Path) -> Found {
    match read(folder) {
        Ok(function) => Found::Function(Box::new(function)),
        Err(error) => {
            let name = folder.file_name().unwrap_or(folder.as_os_str());
            let name = name.to_string_lossy().escape_debug().to_string();
            Found::Broken {
                name,
                reason: format!("{error:#}"),
            }
        }
    }
}

fn read(folder: &Path) -> anyhow::Result<SourceFunction> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = FunctionName::parse(&name)?;
    let manifest = read_manifest(&folder.join(MANIFEST))?;
    let source = match &manifest.build.command {
        Some(command) => Source::Command(command.clone()),
        None if folder.join("Cargo.toml").is_file() => Source::Cargo,
        None => Source::C,
    };
    Ok(SourceFunction {
        name,
        folder: folder.to_owned(),
        manifest,
        source,
    })
}

/// The manifest at `path`; one that is not there is empty.
pub(in crate::cli) fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("reading `{}` failed", path.display()));
        }
    };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Manifest::parse(&text).map_err(|error| anyhow::anyhow!("{file}:{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn told(found: &Found) -> String {
        match found {
            Found::Function(function) => format!("{} {:?}", function.name, function.source),
            Found::Broken { name, reason } => format!("{name}: {reason}"),
        }
    }

    #[test]
    fn folders_with_source_are_found_by_name() {
        let root = folder_with(&[
            ("rust/Cargo.toml", ""),
            ("c/main.c", ""),
            ("made/function.toml", "[build]\ncommand = 'make'"),
            ("made/Cargo.toml", ""),
            ("wrong/function.toml", "memory = 1"),
            ("bad name/main.c", ""),
            (".hidden/main.c", ""),
            ("built/build/built.wasm", ""),
            ("built/function.toml", ""),
            ("file.wasm", ""),
        ]);
        let found = find_all(root.path()).unwrap();
        assert_eq!(
            found.iter().map(told).collect::<Vec<_>>(),
            [
                "bad name: function name `bad name` has the character ' '; allowed are letters, digits, `-` and `_`",
                "c C",
                "made Command(\"make\")",
                "rust Cargo",
                "wrong: function.toml:1:1: `memory` is not a known key; did you mean `memory_mb`?",
            ]
        );
    }

    #[test]
    fn a_name_is_looked_for_in_the_functions_and_a_path_anywhere() {
        let root = folder_with(&[("f/a/main.c", ""), ("g/b/main.c", ""), ("f/empty/x", "")]);
        let functions_dir = root.path().join("f");
        assert_eq!(told(&find("a", &functions_dir)), "a C");
        let path = root.path().join("g/b/../b");
        assert_eq!(told(&find(path.to_str().unwrap(), &functions_dir)), "b C");
        assert!(told(&find("none", &functions_dir)).starts_with("none: there is no such folder"));
        assert!(told(&find("empty", &functions_dir)).contains("nothing to build"));
    }

    #[test]
    fn a_missing_functions_folder_says_what_to_do() {
        let error = find_all(Path::new("/nowhere")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading the functions folder `/nowhere` failed; say where it is with --functions"
        );
    }
}
