//! The thread that drives the drop folder: waits for notifications, collects them, looks.
//!
//! Notifications are hints. What they miss (an overflow, a network file system) a look at everything
//! finds, at a fixed interval. Publishing happens on this thread and the lanes that it starts, away from
//! every event. A panic is logged, and the thread goes on with a look at everything.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use domain::Clock;
use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use parking_lot::Mutex;

use super::candidate::Entry;
use super::drop_folder::{Changes, DropFolder, TRY_AGAIN};
use crate::folder_watch::{FolderWatch, is_reason_to_look};

/// Notifications that wait, and that are taken in one go. When there are more, everything is looked
/// at.
const PENDING_MAX: usize = 10_000;

/// How long a stop waits for the artifact that is being published.
const STOP_WAIT: Duration = Duration::from_secs(2);

enum Message {
    Notified(notify::Result<Event>),
    Stop,
}

/// A running watcher. Stops when it is dropped, or told to before.
#[derive(Debug)]
pub(crate) struct DropWatcher {
    stop: Arc<AtomicBool>,
    wake: SyncSender<Message>,
    /// Nothing is ever sent; it is closed when the thread and its lanes have ended.
    ended: Mutex<Receiver<()>>,
}

impl DropWatcher {
    /// Starts watching; `first_pass` is called once, when all that lay there was looked at.
    ///
    /// # Errors
    ///
    /// When the thread can't be started.
    pub(crate) fn start(
        mut folder: DropFolder,
        rescan: Duration,
        clock: Clock,
        first_pass: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (wake, receiver) = sync_channel(PENDING_MAX);
        let (ends, ended) = sync_channel(0);
        folder.hold(ends.clone());
        let stop = folder.stop_flag();
        let sender = wake.clone();
        std::thread::Builder::new()
            .name("drop-folder".to_owned())
            .spawn(move || {
                let lost = Arc::default();
                let driver = Driver {
                    watch: watch(sender, Arc::clone(&lost)),
                    folder,
                    receiver,
                    lost,
                    rescan,
                    next_rescan: clock.now(),
                    wait: Some(Duration::ZERO),
                    clock,
                    first_pass: Some(first_pass),
                };
                driver.run();
                drop(ends);
            })?;
        Ok(Self {
            stop,
            wake,
            ended: Mutex::new(ended),
        })
    }

    /// Publishes nothing more but what is being published now. Does not wait.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // When the queue is full the thread is awake.
        drop(self.wake.try_send(Message::Stop));
    }
}

impl Drop for DropWatcher {
    fn drop(&mut self) {
        self.stop();
        // Compiling may take a minute; a child that outlives us has limits of its own.
        if self.ended.lock().recv_timeout(STOP_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("an artifact is still being published; it is given up");
        }
    }
}

/// Sends what may matter, and remembers when something did not fit.
fn watch(sender: SyncSender<Message>, lost: Arc<AtomicBool>) -> FolderWatch {
    let handler = move |event| {
        if !is_reason_to_look(&event) {
            return;
        }
        // The receiver is gone only when we stop.
        if let Err(TrySendError::Full(_)) = sender.try_send(Message::Notified(event)) {
            lost.store(true, Ordering::Relaxed);
        }
    };
    let watcher = notify::recommended_watcher(handler)
        .inspect_err(|error| tracing::warn!(%error, "no notifications; looking at intervals"));
    FolderWatch::new(watcher.ok())
}

struct Driver<F> {
    folder: DropFolder,
    watch: FolderWatch,
    receiver: Receiver<Message>,
    /// Notifications were lost.
    lost: Arc<AtomicBool>,
    rescan: Duration,
    next_rescan: Instant,
    /// How soon to look again without being notified.
    wait: Option<Duration>,
    clock: Clock,
    first_pass: Option<F>,
}

impl<F: FnOnce()> Driver<F> {
    fn run(mut self) {
        self.follow();
        loop {
            // What a panic leaves behind is checked by the next look at everything.
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(panic) => {
                    tracing::error!("the drop folder's thread panicked: {}", text_of(&*panic));
                    self.folder.recover();
                    self.wait = Some(TRY_AGAIN);
                }
            }
        }
    }

    /// Waits, looks, and watches what is there now.
    fn turn(&mut self) -> ControlFlow<()> {
        let until_rescan = self.next_rescan.saturating_duration_since(self.clock.now());
        let timeout = self
            .wait
            .map_or(until_rescan, |wait| wait.min(until_rescan));
        let mut changes = self.collect(timeout)?;
        let now = self.clock.now();
        if now >= self.next_rescan {
            changes.everything = true;
            self.next_rescan = now + self.rescan;
        }
        self.wait = self.folder.pass(&changes);
        if self.folder.is_stopped() {
            return ControlFlow::Break(());
        }
        if (changes.everything || !changes.entries.is_empty()) && self.follow() {
            // What happened there before it was watched is found by looking.
            self.next_rescan = now;
        }
        self.folder.sweep();
        if self.folder.is_idle()
            && let Some(first_pass) = self.first_pass.take()
        {
            self.folder.set_ready();
            first_pass();
        }
        ControlFlow::Continue(())
    }

    fn follow(&mut self) -> bool {
        self.watch.follow(self.folder.folders())
    }

    /// Waits for the first notification, then takes what else is there. Breaks when it is time to
    /// stop.
    fn collect(&self, timeout: Duration) -> ControlFlow<(), Changes> {
        let mut changes = Changes::default();
        let mut next = match self.receiver.recv_timeout(timeout) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        };
        let mut taken = 0;
        while let Some(message) = next {
            match message {
                Message::Stop => return ControlFlow::Break(()),
                Message::Notified(Ok(event)) => self.note(&event, &mut changes),
                Message::Notified(Err(error)) => {
                    tracing::warn!(%error, "a notification failed; looking at everything");
                    changes.everything = true;
                }
            }
            taken += 1;
            next = if taken < PENDING_MAX {
                self.receiver.try_recv().ok()
            } else {
                None
            };
        }
        changes.everything |= self.lost.swap(false, Ordering::Relaxed);
        ControlFlow::Continue(changes)
    }

    fn note(&self, event: &Event, changes: &mut Changes) {
        if event.need_rescan() {
            changes.everything = true;
        }
        let finished = matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
        );
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

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
