//! The SDK's sources, as they are written beside a new function.
//!
//! Its packages inherit lints from this workspace and have tests of their own; both are taken out,
//! since neither works anywhere else.

/// Where the SDK is put, relative to the function.
const FOLDER: &str = "mayfly-sdk";

/// Tables of the manifests that stay here.
const TABLES_LEFT_OUT: [&str; 2] = ["[lints]", "[dev-dependencies]"];

macro_rules! sdk_files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../guest-sdk/", $path)))),*]
    };
}

/// Every source file of the SDK, by its path.
const FILES: &[(&str, &str)] = sdk_files![
    "Cargo.toml",
    "macros/Cargo.toml",
    "macros/src/expand.rs",
    "macros/src/handler.rs",
    "macros/src/lib.rs",
    "macros/src/options.rs",
    "src/abi.rs",
    "src/answer.rs",
    "src/context.rs",
    "src/error.rs",
    "src/event.rs",
    "src/executor.rs",
    "src/lib.rs",
    "src/request.rs",
    "src/response.rs",
    "src/runtime.rs",
];

/// Every file that a new function needs of the SDK: path and text.
pub(super) fn files() -> impl Iterator<Item = (String, String)> {
    FILES.iter().map(|(path, text)| {
        let is_manifest = path.ends_with("Cargo.toml");
        let text = if is_manifest {
            portable(text)
        } else {
            (*text).to_owned()
        };
        (format!("{FOLDER}/{path}"), text)
    })
}

/// A manifest without the tables that only mean something in this workspace.
fn portable(manifest: &str) -> String {
    let mut kept = String::with_capacity(manifest.len());
    let mut skipping = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            skipping = TABLES_LEFT_OUT.contains(&line.trim_end());
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_source_of_the_sdk_travels_along() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
        let mut folders = vec![root.join("src"), root.join("macros/src")];
        let mut found = vec!["Cargo.toml".to_owned(), "macros/Cargo.toml".to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let inside = path.strip_prefix(&root).unwrap();
                    found.push(inside.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        let mut listed: Vec<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        listed.sort();
        assert_eq!(listed, found, "FILES must list what is in guest-sdk");
    }

    #[test]
    fn the_manifests_stand_alone() {
        for (path, text) in files().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            let table: toml::Table = text.parse().unwrap();
            assert!(!text.contains("workspace ="), "{path}");
            assert!(
                table.contains_key("package") && table.contains_key("dependencies"),
                "{path}"
            );
            assert!(
                !table.contains_key("lints") && !table.contains_key("dev-dependencies"),
                "{path}"
            );
        }
    }
}
