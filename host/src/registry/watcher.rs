//! The thread that drives the drop folder: waits for notifications, collects them, looks.
//!
//! Notifications are hints. What they miss (an overflow, a network file system) a look at everything
//! finds, at a fixed interval. Compiling happens on this thread, one artifact at a time, away from
//! every event.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use domain::Clock;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::candidate::Entry;
use super::drop_folder::{Changes, DropFolder};

/// Notifications taken in one go; more are left for the next round.
const BATCH_MAX: usize = 10_000;

enum Message {
    Notified(notify::Result<Event>),
    Stop,
}

/// A running watcher. Stops when it is dropped, after the artifact it is at.
#[derive(Debug)]
pub(crate) struct DropWatcher {
    stop: Sender<Message>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl DropWatcher {
    /// Starts watching; `first_pass` is called once, when all that lay there was looked at.
    ///
    /// # Errors
    ///
    /// When the thread can't be started.
    pub(crate) fn start(
        folder: DropFolder,
        rescan: Duration,
        clock: Clock,
        first_pass: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let stop = sender.clone();
        let thread = std::thread::Builder::new()
            .name("drop-folder".to_owned())
            .spawn(move || {
                let watch = Watch::new(&sender);
                drop(sender);
                Driver {
                    folder,
                    watch,
                    rescan,
                    clock,
                }
                .run(&receiver, first_pass);
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for DropWatcher {
    fn drop(&mut self) {
        let stopping = self.stop.send(Message::Stop);
        if let Some(thread) = self.thread.take().filter(|_| stopping.is_ok()) {
            let ended = thread.join();
            if ended.is_err() {
                tracing::error!("the drop folder's thread panicked");
            }
        }
    }
}

/// Which folders are watched. Without notifications the interval has to do.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    fn new(sender: &Sender<Message>) -> Self {
        let sender = sender.clone();
        let handler = move |event| {
            // The receiver is gone only when we stop.
            drop(sender.send(Message::Notified(event)));
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| tracing::warn!(%error, "no notifications; looking at intervals"))
            .ok();
        Self {
            watcher,
            folders: BTreeSet::new(),
        }
    }

    fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.folders.difference(&wanted) {
            drop(watcher.unwatch(gone));
        }
        let mut followed = BTreeSet::new();
        for folder in wanted {
            // A folder that is not there yet is tried again after the next look.
            let known = self.folders.contains(&folder) && folder.is_dir();
            if known || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                followed.insert(folder);
            }
        }
        self.folders = followed;
    }
}

struct Driver {
    folder: DropFolder,
    watch: Watch,
    rescan: Duration,
    clock: Clock,
}

impl Driver {
    fn run(mut self, receiver: &Receiver<Message>, first_pass: impl FnOnce()) {
        self.follow();
        let mut wait = self.folder.pass(&Changes {
            everything: true,
            ..Changes::default()
        });
        self.follow();
        first_pass();
        let mut next_rescan = self.clock.now() + self.rescan;
        loop {
            let until_rescan = next_rescan.saturating_duration_since(self.clock.now());
            let timeout = wait.map_or(until_rescan, |wait| wait.min(until_rescan));
            let Some(mut changes) = self.collect(receiver, timeout) else {
                return;
            };
            if self.clock.now() >= next_rescan {
                changes.everything = true;
                next_rescan = self.clock.now() + self.rescan;
            }
            wait = self.folder.pass(&changes);
            if changes.everything || !changes.entries.is_empty() {
                self.follow();
            }
        }
    }

    fn follow(&mut self) {
        let mut folders = self.folder.folders();
        folders.insert(self.folder.root().to_path_buf());
        self.watch.follow(folders);
    }

    /// Waits for the first notification, then takes what else is there. `None` when it is time to
    /// stop.
    fn collect(&self, receiver: &Receiver<Message>, timeout: Duration) -> Option<Changes> {
        let mut changes = Changes::default();
        let mut next = match receiver.recv_timeout(timeout) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut taken = 0;
        while let Some(message) = next {
            match message {
                Message::Stop => return None,
                Message::Notified(Ok(event)) => self.note(&event, &mut changes),
                Message::Notified(Err(error)) => {
                    tracing::warn!(%error, "a notification failed; looking at everything");
                    changes.everything = true;
                }
            }
            taken += 1;
            next = if taken < BATCH_MAX {
                receiver.try_recv().ok()
            } else {
                None
            };
        }
        Some(changes)
    }

    fn note(&self, event: &Event, changes: &mut Changes) {
        if event.need_rescan() {
            changes.everything = true;
        }
        let finished = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => true,
            EventKind::Access(_) => return,
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => false,
        };
        for path in &event.paths {
            let Ok(relative) = path.strip_prefix(self.folder.root()) else {
                continue;
            };
            if relative.as_os_str().is_empty() {
                changes.everything = true;
            } else if let Some(entry) = Entry::concerned(self.folder.root(), relative) {
                let known = changes.entries.entry(entry).or_default();
                // A write after a close undoes it; the close after that does it again.
                *known = finished || (*known && !is_write(event.kind));
            }
        }
    }
}

fn is_write(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any)
    )
}
