//! The source files of a function, and whether one of them changed.
//!
//! What a build leaves behind is no source: `build`, `target`, `node_modules`, hidden files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// Deepest folder that is looked into, counted from the function's.
const DEPTH_MAX: usize = 16;

/// Most files of one function that are looked at; a folder with more is something else.
const FILES_MAX: usize = 20_000;

/// What a function's source looks like now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    /// Changes when a file comes, goes or is written.
    pub(super) fingerprint: u64,
    /// Every folder that holds source.
    pub(super) folders: Vec<PathBuf>,
}

impl Sources {
    /// Looks at every source file below `folder`. What can't be read counts as not there.
    pub(super) fn look(folder: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        let mut folders = Vec::new();
        let mut files = 0;
        let mut pending = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = pending.pop() {
            let mut entries: Vec<_> = std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries
                .iter()
                .filter(|entry| is_source(&entry.file_name().to_string_lossy()))
            {
                // A link is followed as a file and never as a folder, so there is no way round.
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() && depth < DEPTH_MAX {
                    pending.push((entry.path(), depth + 1));
                } else if let Ok(file) = std::fs::metadata(entry.path())
                    && file.is_file()
                    && files < FILES_MAX
                {
                    files += 1;
                    entry.path().hash(&mut hasher);
                    file.len().hash(&mut hasher);
                    file.modified().ok().hash(&mut hasher);
                }
            }
            folders.push(folder);
        }
        Self {
            fingerprint: hasher.finish(),
            folders,
        }
    }
}

/// Whether a file or folder of this name is looked at. A package's own cargo configuration is.
fn is_source(name: &str) -> bool {
    const MADE: [&str; 3] = ["build", "target", "node_modules"];
    // Editors write beside a file before they rename.
    let is_scratch = name.ends_with('~') || name.ends_with(".swp") || name == "4913";
    let is_hidden = name.starts_with('.') && name != ".cargo";
    !(MADE.contains(&name) || is_scratch || is_hidden)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_source_file_that_changes_is_noticed_and_a_built_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/deep/lib.rs", "1");
        let mut last = Sources::look(root.path());
        assert_eq!(last.folders.len(), 3);
        for made in [
            "build/f.wasm",
            "target/x/y",
            ".git/index",
            "src/lib.rs~",
            "src/.lib.rs.swp",
        ] {
            write(made, "1");
            assert_eq!(
                Sources::look(root.path()).fingerprint,
                last.fingerprint,
                "{made}"
            );
        }
        for (path, text) in [
            ("src/deep/lib.rs", "22"),
            ("function.toml", ""),
            (".cargo/config.toml", ""),
        ] {
            write(path, text);
            let now = Sources::look(root.path());
            assert_ne!(now.fingerprint, last.fingerprint, "{path}");
            last = now;
        }
        fs::remove_file(root.path().join("function.toml")).unwrap();
        assert_ne!(Sources::look(root.path()).fingerprint, last.fingerprint);
    }

    #[test]
    fn a_folder_that_links_to_itself_ends() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert_eq!(Sources::look(root.path()).folders, [root.path()]);
    }
}
