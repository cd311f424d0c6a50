//! Waits for source to change, and builds what did.
//!
//! Notifications only say that it is time to look; what changed is found by comparing files with how
//! they were before. So no lost or surplus notification matters, and a change that is made while
//! something builds is found after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::RecommendedWatcher;

use super::sources::Sources;
use crate::cli::build::function::{self, Found};
use crate::cli::build::{Say, Tools, build_or_tell};
use crate::cli::output::note;
use crate::folder_watch::{FolderWatch, is_reason_to_look};

/// An editor writes several files at once; this long nothing must happen before we build.
const QUIET: Duration = Duration::from_millis(150);

/// At most so long a storm of notifications is waited out.
const QUIET_WAITS_MAX: u32 = 20;

/// Without any notification we look this often: not every file system sends them.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How the source of each function was when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<PathBuf, Sources>);

impl Known {
    /// Looks at every folder in the functions folder.
    pub(super) fn look(functions_dir: &Path) -> Self {
        let entries = std::fs::read_dir(functions_dir)
            .into_iter()
            .flatten()
            .flatten();
        let folders = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir());
        Self(
            folders
                .map(|folder| (folder.clone(), Sources::look(&folder)))
                .collect(),
        )
    }

    /// The folders whose source is not what it was in `before`.
    fn changed_since(&self, before: &Self) -> BTreeSet<&Path> {
        let is_new = |(folder, sources): &(&PathBuf, &Sources)| {
            before
                .0
                .get(*folder)
                .is_none_or(|old| old.fingerprint != sources.fingerprint)
        };
        self.0
            .iter()
            .filter(is_new)
            .map(|(folder, _)| folder.as_path())
            .collect()
    }
}

/// Builds every function but those in `done`, then each one whose source changes from how it was
/// `before`. Ends with the process.
pub(super) fn build_changes(
    functions_dir: &Path,
    tools: &Tools,
    before: Known,
    done: &BTreeSet<String>,
) {
    let (wake, woken) = channel();
    let mut watch = watch(notify::recommended_watcher(move |event| {
        if is_reason_to_look(&event) {
            let _sent = wake.send(());
        }
    }));
    watch.follow(folders(functions_dir, &before));
    build(functions_dir, tools, Say::News, |name, _| {
        !done.contains(name)
    });
    let mut known = before;
    loop {
        let now = Known::look(functions_dir);
        watch.follow(folders(functions_dir, &now));
        let changed = now.changed_since(&known);
        if changed.is_empty() {
            wait(&woken);
        } else {
            build(functions_dir, tools, Say::Everything, |_, folder| {
                changed.contains(folder)
            });
        }
        known = now;
    }
}

/// Builds the functions that are `wanted`, by name and folder.
fn build(functions_dir: &Path, tools: &Tools, say: Say, wanted: impl Fn(&str, &Path) -> bool) {
    let all = match function::find_all(functions_dir) {
        Ok(all) => all,
        Err(error) => {
            note(&format!("error: {error:#}"));
            return;
        }
    };
    for found in &all {
        let is_wanted = match found {
            Found::Function(function) => wanted(function.name.as_str(), &function.folder),
            Found::Broken { name, .. } => wanted(name, &functions_dir.join(name)),
        };
        if is_wanted {
            build_or_tell(found, tools, say);
        }
    }
}

/// Waits for something to happen, and for it to be over.
fn wait(woken: &Receiver<()>) {
    match woken.recv_timeout(LOOK_INTERVAL) {
        Ok(()) => {
            for _ in 0..QUIET_WAITS_MAX {
                if woken.recv_timeout(QUIET).is_err() {
                    return;
                }
                while woken.try_recv().is_ok() {}
            }
        }
        Err(RecvTimeoutError::Timeout) => {}
        // No notifications on this machine: the sender went with the watcher.
        Err(RecvTimeoutError::Disconnected) => {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own that only waits"
            )]
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// The watch on the folders; `None` and a note where there are no notifications.
fn watch(watcher: notify::Result<RecommendedWatcher>) -> FolderWatch {
    let watcher = watcher.inspect_err(|error| {
        let every = LOOK_INTERVAL.as_secs();
        note(&format!(
            "changes are not notified here ({error}); looking every {every} s"
        ));
    });
    FolderWatch::new(watcher.ok())
}

/// The folders to watch: those with source, one by one, since below them lie folders with thousands
/// of files that a build writes.
fn folders(functions_dir: &Path, known: &Known) -> BTreeSet<PathBuf> {
    let folders = known
        .0
        .values()
        .flat_map(|sources| sources.folders.iter().cloned());
    folders.chain([functions_dir.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_functions_whose_source_changed_are_named() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("main.c"), "1").unwrap();
        }
        let before = Known::look(root.path());
        assert!(Known::look(root.path()).changed_since(&before).is_empty());
        std::fs::write(root.path().join("b/main.c"), "22").unwrap();
        std::fs::create_dir(root.path().join("c")).unwrap();
        let after = Known::look(root.path());
        let changed: Vec<_> = after.changed_since(&before).into_iter().collect();
        assert_eq!(changed, [root.path().join("b"), root.path().join("c")]);
    }

    #[test]
    fn a_written_file_wakes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        let (wake, woken) = channel();
        let mut watch = watch(notify::recommended_watcher(move |event| {
            if is_reason_to_look(&event) {
                let _sent = wake.send(());
            }
        }));
        watch.follow(folders(root.path(), &Known::look(root.path())));
        Known::look(root.path());
        assert_eq!(
            woken.recv_timeout(Duration::from_millis(50)),
            Err(RecvTimeoutError::Timeout)
        );
        std::fs::write(root.path().join("a/main.c"), "1").unwrap();
        woken.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
