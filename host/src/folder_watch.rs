//! Notifications about what happens in a set of folders.
//!
//! Notifications are hints: whoever follows folders also looks by himself now and then. A folder that
//! was deleted and made again is another folder, and is watched again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

/// The folders that are watched, each for itself and not for what lies below it.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    /// `None` where there are no notifications.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeMap<PathBuf, Identity>,
}

/// What tells a folder from another one that has its path later. A number is given to the next
/// folder at once on some file systems, so the time of birth is part of it where there is one.
type Identity = (u64, u64, Option<SystemTime>);

impl FolderWatch {
    /// Watches nothing yet.
    pub(crate) fn new(watcher: Option<RecommendedWatcher>) -> Self {
        Self {
            watcher,
            folders: BTreeMap::new(),
        }
    }

    /// Watches these folders and no others; true when one is watched that was not. One that is not
    /// there yet is tried again the next time.
    pub(crate) fn follow(&mut self, wanted: BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let mut followed: BTreeMap<PathBuf, Identity> = wanted
            .into_iter()
            .filter_map(|folder| identity(&folder).map(|identity| (folder, identity)))
            .collect();
        // First of all what is gone: a folder that was moved may be wanted under its new path, and
        // ending the old watch would end the new one.
        for (folder, identity) in &self.folders {
            if followed.get(folder) != Some(identity) {
                // A folder that is gone took its watch along.
                drop(watcher.unwatch(folder));
            }
        }
        let mut has_new = false;
        followed.retain(|folder, identity| {
            if self.folders.get(folder) == Some(identity) {
                return true;
            }
            let is_watched = watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
            has_new |= is_watched;
            is_watched
        });
        self.folders = followed;
        has_new
    }
}

fn identity(folder: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(folder).ok()?;
    let identity = (metadata.dev(), metadata.ino(), metadata.created().ok());
    metadata.is_dir().then_some(identity)
}

/// Whether something may have changed. That somebody read a file, as we do when we look, is nothing;
/// an error may stand for anything.
pub(crate) fn is_reason_to_look(event: &notify::Result<Event>) -> bool {
    const WRITTEN: AccessKind = AccessKind::Close(AccessMode::Write);
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(access) => access == WRITTEN,
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => true,
        },
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    fn watching() -> (FolderWatch, Receiver<()>) {
        let (wake, woken) = channel();
        let watcher = notify::recommended_watcher(move |event| {
            if is_reason_to_look(&event) {
                let _sent = wake.send(());
            }
        });
        (FolderWatch::new(Some(watcher.unwrap())), woken)
    }

    #[track_caller]
    fn check_woken(woken: &Receiver<()>) {
        woken.recv_timeout(Duration::from_secs(10)).unwrap();
        while woken.recv_timeout(Duration::from_millis(20)).is_ok() {}
    }

    #[test]
    fn a_folder_that_is_made_again_is_watched_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("f");
        let wanted = || BTreeSet::from([folder.clone()]);
        let (mut watch, woken) = watching();
        assert!(!watch.follow(wanted()), "it is not there");
        fs::create_dir(&folder).unwrap();
        assert!(watch.follow(wanted()));
        assert!(!watch.follow(wanted()), "it is watched");
        fs::write(folder.join("x"), "1").unwrap();
        check_woken(&woken);

        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        check_woken(&woken);
        assert!(watch.follow(wanted()), "it is another one");
        fs::write(folder.join("x"), "1").unwrap();
        check_woken(&woken);
    }

    #[test]
    fn a_folder_that_moves_is_watched_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("a"), root.path().join("b"));
        let (mut watch, woken) = watching();
        fs::create_dir(&old).unwrap();
        watch.follow(BTreeSet::from([old.clone()]));
        fs::rename(&old, &new).unwrap();
        assert!(watch.follow(BTreeSet::from([old, new.clone()])));
        while woken.recv_timeout(Duration::from_millis(20)).is_ok() {}
        fs::write(new.join("x"), "1").unwrap();
        check_woken(&woken);
    }

    #[test]
    fn reading_wakes_nobody() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x"), "1").unwrap();
        let (mut watch, woken) = watching();
        watch.follow(BTreeSet::from([root.path().to_owned()]));
        fs::read(root.path().join("x")).unwrap();
        fs::read_dir(root.path()).unwrap().count();
        assert!(woken.recv_timeout(Duration::from_millis(50)).is_err());
    }
}
