//! Notifications in, changes out; and the thread itself on a real folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::channel;

use super::*;
use crate::registry::test_site::{Site, wasm};

/// So that nothing is found but by a notification.
const NEVER: Duration = Duration::from_secs(3_600);

/// Patience with the machine that runs this.
const PATIENCE: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A site where time passes.
fn site() -> Site {
    Site::with_clock(Clock::system())
}

/// Watches `root`; returns when the first pass is over.
fn watched(site: &Site, root: PathBuf) -> DropWatcher {
    let (sender, receiver) = channel();
    let first_pass = move || sender.send(()).unwrap();
    let folder = site.folder_at(root);
    let watcher = DropWatcher::start(folder, NEVER, Clock::system(), first_pass).unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
    watcher
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let (_never, receiver) = channel::<()>();
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        if is_so() {
            return;
        }
        assert!(receiver.recv_timeout(LOOK_EVERY).is_err());
    }
    panic!("{what} did not come");
}

#[test]
fn a_relative_folder_is_watched() {
    let site = site();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.iter().skip(1).map(|_| "..").collect();
    let root = up.join(site.functions().strip_prefix("/").unwrap());
    let _watcher = watched(&site, root);
    site.write("a.wasm", wasm("a"));
    wait_until("the function", || site.live() == ["a"]);
}

#[test]
fn a_folder_is_watched_again_when_it_was_made_again() {
    let site = site();
    site.write("a/function.toml", "");
    site.write("a/build/a.wasm", wasm("1"));
    let _watcher = watched(&site, site.functions());
    assert!(site.runs("a", &wasm("1")));
    for text in ["2", "3"] {
        site.delete("a/build");
        site.write("a/build/a.wasm", wasm(text));
        wait_until("the new artifact", || site.runs("a", &wasm(text)));
    }
    site.write("a/build/a.wasm", wasm("4"));
    wait_until("a write into the new folder", || site.runs("a", &wasm("4")));
}

#[test]
fn the_registry_is_ready_after_the_first_look() {
    let site = site();
    site.write("a.wasm", wasm("a"));
    assert!(!site.registry.is_ready());
    let _watcher = watched(&site, site.functions());
    assert!(site.registry.is_ready());
    assert_eq!(site.live(), ["a"]);
}

#[test]
fn a_panic_is_not_the_end() {
    let site = site();
    let folder = site.folder();
    let panics = || panic!("on purpose");
    let watcher = DropWatcher::start(folder, NEVER, Clock::system(), panics).unwrap();
    wait_until("the first look", || site.registry.is_ready());
    site.write("a.wasm", wasm("a"));
    wait_until("the function", || site.live() == ["a"]);
    drop(watcher);
}

#[test]
fn nothing_is_published_after_a_stop() {
    let site = site();
    let watcher = watched(&site, site.functions());
    watcher.stop();
    site.write("a.wasm", wasm("a"));
    assert_eq!(
        watcher.ended.lock().recv_timeout(PATIENCE),
        Err(RecvTimeoutError::Disconnected)
    );
    assert!(site.live().is_empty());
}

#[test]
fn a_thread_that_is_busy_is_let_go() {
    let site = site();
    let clock = Clock::system();
    let (release, busy) = channel::<()>();
    let first_pass = move || busy.recv().unwrap();
    let watcher = DropWatcher::start(site.folder(), NEVER, clock.clone(), first_pass).unwrap();
    wait_until("the first look", || site.registry.is_ready());
    let started = clock.now();
    drop(watcher);
    assert!(clock.now() - started < PATIENCE);
    release.send(()).unwrap();
}

#[test]
fn a_notification_that_does_not_fit_is_made_up_for() {
    let (sender, receiver) = sync_channel(1);
    let lost: Arc<AtomicBool> = Arc::default();
    let mut watch = watch(sender, Arc::clone(&lost));
    let site = site();
    watch.follow(BTreeSet::from([site.functions()]));
    for name in ["a", "b", "c"] {
        site.write(name, "");
    }
    wait_until("the loss", || lost.load(Ordering::Relaxed));
    assert!(matches!(receiver.try_recv(), Ok(Message::Notified(_))));
}
