//! The state machine, driven pass by pass with a clock that stands still.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use super::*;
use crate::registry::Effort;
use crate::registry::test_site::{STABLE, Site, count, route, wasm};

/// A short time more than [`GONE_FOR`].
const GRACE: Duration = Duration::from_millis(250);

fn look(folder: &mut DropFolder) -> Option<Duration> {
    folder.pass(&Changes {
        everything: true,
        ..Changes::default()
    })
}

fn look_at(folder: &mut DropFolder, entry: &Entry, closed: bool) -> Option<Duration> {
    folder.pass(&Changes {
        everything: false,
        entries: BTreeMap::from([(entry.clone(), closed)]),
    })
}

#[test]
fn a_file_is_published_when_a_writer_closed_it_or_left_it_alone() {
    let site = Site::new();
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a.wasm", wasm("a"));
    site.write("b.wasm", wasm("b"));
    assert_eq!(look(&mut folder), Some(STABLE));
    assert!(site.live().is_empty());
    look_at(&mut folder, &Entry::File("a".to_owned()), true);
    assert_eq!(site.live(), ["a"]);
    site.clock.advance(STABLE);
    assert_eq!(look(&mut folder), None);
    assert_eq!(site.live(), ["a", "b"]);
}

#[test]
fn what_lay_there_at_the_start_is_published_and_what_is_gone_is_removed() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.write("b.wasm", wasm("b"));
    site.settle(&mut site.folder());
    let site = site.restart();
    site.delete("a.wasm");
    assert_eq!(site.live(), ["a", "b"]);
    assert_eq!(look(&mut site.folder()), None);
    assert_eq!(site.live(), ["b"]);
}

#[test]
fn a_folder_that_is_missing_at_the_start_keeps_what_is_live() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.write("b.wasm", wasm("b"));
    site.settle(&mut site.folder());
    let site = site.restart();
    let away = site.data("away");
    fs::rename(site.functions(), &away).unwrap();
    let mut folder = site.folder();
    for _ in 0..3 {
        assert_eq!(look(&mut folder), Some(TRY_AGAIN));
        assert_eq!(folder.pass(&Changes::default()), Some(TRY_AGAIN));
        site.clock.advance(TRY_AGAIN);
    }
    assert_eq!(site.live(), ["a", "b"]);
    let place = site.functions();
    let reason = format!("the folder {} does not exist", place.display());
    assert_eq!(site.refusal("."), reason);

    fs::rename(&away, &place).unwrap();
    site.delete("a.wasm");
    site.settle(&mut folder);
    assert_eq!(site.live(), ["b"]);
    assert_eq!(site.refusal("."), "");
}

#[test]
fn a_folder_that_can_not_be_read_keeps_what_is_live() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.settle(&mut site.folder());
    let site = site.restart();
    let away = site.data("away");
    fs::rename(site.functions(), &away).unwrap();
    fs::write(site.functions(), "no folder").unwrap();
    let mut folder = site.folder();
    assert_eq!(look(&mut folder), Some(TRY_AGAIN));
    // The next pass is no look at everything, but the one that is owed.
    assert_eq!(folder.pass(&Changes::default()), Some(TRY_AGAIN));
    assert_eq!(site.live(), ["a"]);
    assert!(site.refusal(".").contains("can't be read"));
}

#[test]
fn a_folder_that_is_deleted_while_we_watch_takes_its_functions_along() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.delete("");
    assert_eq!(look(&mut folder), Some(GONE_FOR));
    assert_eq!(site.live(), ["a"]);
    assert!(site.refusal(".").ends_with("does not exist"));
    site.clock.advance(GRACE);
    assert_eq!(look(&mut folder), None);
    assert!(site.live().is_empty());

    site.write("a.wasm", wasm("a"));
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
    assert_eq!(site.refusal("."), "");
}

#[test]
fn a_route_that_is_given_up_goes_to_whoever_was_refused_for_it() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.write("a.toml", route("/x"));
    site.write("b.wasm", wasm("b"));
    site.write("b.toml", route("/x"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    let reason = "route `ANY /x` belongs to function `a` already";
    assert_eq!(site.refusal("b.wasm"), reason);

    site.write("a.toml", route("/y"));
    let again = look_at(&mut folder, &Entry::File("a".to_owned()), true);
    assert_eq!(again, Some(Duration::ZERO));
    assert_eq!(folder.pass(&Changes::default()), None);
    assert_eq!(site.live(), ["a", "b"]);
    assert_eq!(site.refusal("b.wasm"), "");

    site.write("a.toml", route("/x"));
    site.settle(&mut folder);
    assert!(site.refusal("a.wasm").contains("`b`"));
    site.delete("b.wasm");
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
    assert_eq!(site.refusal("a.wasm"), "");
}

#[test]
fn a_refusal_that_was_said_before_a_route_was_given_up_does_not_stay() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.write("a.toml", route("/x"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a.toml", route("/y"));
    site.write("b.wasm", wasm("b"));
    site.write("b.toml", route("/x"));
    let mut jobs = Vec::new();
    for name in ["a", "b"] {
        folder.look(&Entry::File(name.to_owned()), true, &mut jobs);
    }
    // A lane has tried `b` before `a` is swapped in, and hands it over after that.
    let root = site.functions();
    let finished: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let tried = lanes::attempt(&root, &site.registry, &job, Effort::Short);
            (job, tried)
        })
        .collect();
    assert!(matches!(
        finished[1].1,
        lanes::Tried::Refused(lanes::Refused::Others(_))
    ));
    for one in finished {
        folder.take(vec![one]);
    }
    assert_eq!(site.live(), ["a"]);
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a", "b"]);
    assert_eq!(site.refusal("b.wasm"), "");
}

#[test]
fn what_changes_between_a_look_and_its_reading_is_looked_at_again() {
    let site = Site::new();
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a.wasm", wasm("a"));
    site.write("a.toml", route("/x"));
    let entry = Entry::File("a".to_owned());
    let mut jobs = Vec::new();
    folder.look(&entry, true, &mut jobs);
    assert_eq!(jobs.len(), 1);
    // A valid manifest, and half of one.
    site.write("a.toml", "");
    assert_eq!(folder.publish(jobs), Some(LOOK_AGAIN));
    assert!(site.live().is_empty());

    site.write("a.toml", route("/y"));
    site.clock.advance(LOOK_AGAIN);
    assert_eq!(look_at(&mut folder, &entry, false), Some(STABLE));
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
}

#[test]
fn two_that_want_what_the_other_has_come_to_rest() {
    let site = Site::new();
    for (name, path) in [("a", "/a"), ("b", "/b"), ("c", "/c")] {
        site.write(&format!("{name}.wasm"), wasm(name));
        site.write(&format!("{name}.toml"), route(path));
    }
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a.toml", route("/b"));
    site.write("b.toml", route("/a"));
    site.write("c.toml", route("/d"));
    site.settle(&mut folder);
    assert!(site.refusal("a.wasm").contains("`b`"));
    assert!(site.refusal("b.wasm").contains("`a`"));
    assert_eq!(site.live(), ["a", "b", "c"]);
}

#[test]
fn a_failure_of_ours_is_tried_again_after_a_while_and_not_before() {
    let site = Site::new();
    let mut folder = site.folder();
    site.settle(&mut folder);
    let (place, away) = (site.data("artifacts"), site.data("away"));
    fs::rename(&place, &away).unwrap();
    site.write("a.wasm", wasm("a"));
    let entry = Entry::File("a".to_owned());
    assert_eq!(look_at(&mut folder, &entry, true), Some(TRY_AGAIN));
    assert!(
        site.refusal("a.wasm")
            .starts_with("storing the function failed")
    );

    fs::rename(&away, &place).unwrap();
    let soon = Duration::from_millis(10);
    site.clock.advance(soon);
    // Whatever wakes us in between.
    assert_eq!(look_at(&mut folder, &entry, true), Some(TRY_AGAIN - soon));
    assert!(site.live().is_empty());
    site.clock.advance(TRY_AGAIN);
    assert_eq!(folder.pass(&Changes::default()), None);
    assert_eq!(site.live(), ["a"]);
    assert_eq!(site.refusal("a.wasm"), "");
}

#[test]
fn a_function_whose_file_was_bad_at_the_start_goes_with_its_file() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.settle(&mut site.folder());
    let site = site.restart();
    site.write("a.wasm", "no module");
    let mut folder = site.folder();
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
    assert_ne!(site.refusal("a.wasm"), "");
    site.delete("a.wasm");
    site.settle(&mut folder);
    assert!(site.live().is_empty());
    assert_eq!(site.refusal("a.wasm"), "");
}

#[test]
fn a_function_passes_from_a_file_to_a_folder_without_being_gone() {
    let site = Site::new();
    site.write("a.wasm", wasm("file"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a/function.toml", "");
    site.write("a/build/a.wasm", wasm("folder"));
    site.settle(&mut folder);
    assert!(site.refusal("a/").contains("published from a.wasm already"));

    site.delete("a.wasm");
    look(&mut folder);
    site.clock.advance(GRACE);
    assert_eq!(folder.pass(&Changes::default()), Some(Duration::ZERO));
    assert!(site.runs("a", &wasm("file")));
    assert_eq!(folder.pass(&Changes::default()), None);
    assert!(site.runs("a", &wasm("folder")));
    assert_eq!(site.refusal("a/"), "");

    site.write("a.wasm", wasm("file"));
    site.settle(&mut folder);
    site.delete("a.wasm");
    site.delete("a");
    site.settle(&mut folder);
    assert!(site.live().is_empty() && site.refusals.list().is_empty());
}

#[test]
fn a_folder_without_a_manifest_is_served_when_it_is_built() {
    let site = Site::new();
    site.write("a/Cargo.toml", "");
    let mut folder = site.folder();
    site.settle(&mut folder);
    assert!(site.live().is_empty() && site.refusals.list().is_empty());
    site.write("a/build/a.wasm", wasm("a"));
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
    let root = site.functions();
    let folders = BTreeSet::from([root.clone(), root.join("a"), root.join("a/build")]);
    assert_eq!(folder.folders(), folders);
    site.delete("a");
    site.settle(&mut folder);
    assert!(site.live().is_empty());
}

#[test]
fn a_name_that_is_no_text_is_refused_until_it_is_gone() {
    let site = Site::new();
    let path = site.functions().join(OsStr::from_bytes(b"\xff\n.wasm"));
    fs::write(&path, "").unwrap();
    let mut folder = site.folder();
    site.settle(&mut folder);
    assert_eq!(site.refusal(r"\xff\n.wasm"), "the file name is not UTF-8");
    fs::remove_file(&path).unwrap();
    site.settle(&mut folder);
    assert!(site.refusals.list().is_empty());
}

#[test]
fn a_stop_ends_a_pass_and_removes_nothing() {
    let site = Site::new();
    site.write("a.wasm", wasm("a"));
    site.settle(&mut site.folder());
    let site = site.restart();
    site.delete("a.wasm");
    site.write("b.wasm", wasm("b"));
    let mut folder = site.folder();
    folder.stop_flag().store(true, Ordering::Relaxed);
    assert_eq!(look(&mut folder), None);
    assert_eq!(site.live(), ["a"]);
}

#[test]
fn what_was_looked_at_when_we_panicked_is_refused_until_it_changes() {
    let site = Site::new();
    let mut folder = site.folder();
    site.settle(&mut folder);
    site.write("a.wasm", wasm("a"));
    look(&mut folder);
    folder.at = Some(Entry::File("a".to_owned()));
    folder.recover();
    site.clock.advance(STABLE);
    site.settle(&mut folder);
    assert!(site.refusal("a.wasm").contains("fault of Mayfly"));
    site.write("a.wasm", wasm("other"));
    site.settle(&mut folder);
    assert_eq!(site.live(), ["a"]);
    assert_eq!(site.refusal("a.wasm"), "");
}

#[test]
fn what_nothing_uses_is_deleted_now_and_then() {
    let site = Site::new();
    let mut folder = site.folder();
    site.settle(&mut folder);
    folder.sweep();
    for round in 0..2 * CHANGES_UNSWEPT_MAX {
        site.write("a.wasm", wasm(&round.to_string()));
        site.settle(&mut folder);
        folder.sweep();
        let kept = count(&site.data("artifacts"));
        assert!(kept <= 1 + CHANGES_UNSWEPT_MAX, "{kept}");
    }
    assert_eq!(count(&site.data("artifacts")), 1);
}

#[test]
fn a_file_that_looks_as_it_did_is_not_read_again() {
    // Nobody wrote a moment ago: that was a minute before.
    let unix_us = Clock::system().unix_us() + 60_000_000;
    let site = Site::with_clock(Clock::manual(unix_us));
    site.write("a.wasm", wasm("1"));
    site.write("b/build/b.wasm", wasm("b"));
    site.settle(&mut site.folder());

    let read = |site: &Site| {
        let mut folder = site.folder();
        let mut jobs = Vec::new();
        for entry in folder.scan().unwrap() {
            folder.look(&entry, false, &mut jobs);
        }
        let labels: Vec<_> = jobs.iter().map(|job| job.entry.label()).collect();
        site.settle(&mut site.folder());
        labels
    };
    let site = site.restart();
    assert!(read(&site).is_empty());
    assert_eq!(site.live(), ["a", "b"]);

    // Other content of the same size, and the time of the old one.
    let time = fs::metadata(site.functions().join("a.wasm"))
        .unwrap()
        .modified()
        .unwrap();
    site.write("a.wasm", wasm("2"));
    let file = fs::File::options()
        .write(true)
        .open(site.functions().join("a.wasm"));
    file.unwrap().set_modified(time).unwrap();
    let site = site.restart();
    assert_eq!(read(&site), ["a.wasm"]);
    let site = site.restart();
    assert!(site.runs("a", &wasm("2")));

    // A manifest that was not there.
    site.write("b/function.toml", "memory_mb = 64\n");
    let site = site.restart();
    assert_eq!(read(&site), ["b/"]);

    // What is missing here is made again.
    for file in fs::read_dir(site.data("artifacts")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let site = site.restart();
    assert_eq!(read(&site), ["a.wasm", "b/"]);
    assert_eq!(count(&site.data("artifacts")), 2);
    let site = site.restart();
    assert!(read(&site).is_empty());
}

#[test]
fn a_file_that_was_written_a_moment_ago_is_read_again() {
    let site = Site::with_clock(Clock::manual(Clock::system().unix_us()));
    site.write("a.wasm", wasm("1"));
    site.settle(&mut site.folder());
    let site = site.restart();
    assert!(site.folder().known.is_empty());
}

#[test]
fn what_takes_long_is_published_when_it_is_done_and_keeps_nobody_waiting() {
    let site = Site::with_clock(Clock::system());
    let mut folder = site.folder();
    site.settle(&mut folder);
    let large = wasm(&"x".repeat(2 << 20));
    site.write("a.wasm", &large);
    site.write("b.wasm", wasm("b"));
    look_at(&mut folder, &Entry::File("a".to_owned()), true);
    assert!(!folder.is_idle());
    look_at(&mut folder, &Entry::File("b".to_owned()), true);
    assert!(site.runs("b", &wasm("b")));
    let (_never, receiver) = std::sync::mpsc::channel::<()>();
    for _ in 0..1_000 {
        folder.pass(&Changes::default());
        if folder.is_idle() {
            break;
        }
        let _elapsed = receiver.recv_timeout(Duration::from_millis(20));
    }
    assert!(site.runs("a", &large));
    // One that is deleted on its way is not published.
    site.write("c.wasm", wasm(&"y".repeat(2 << 20)));
    look_at(&mut folder, &Entry::File("c".to_owned()), true);
    assert!(!folder.is_idle());
    site.delete("c.wasm");
    for _ in 0..1_000 {
        look(&mut folder);
        if folder.is_idle() && !folder.seen.contains_key(&Entry::File("c".to_owned())) {
            break;
        }
        let _elapsed = receiver.recv_timeout(Duration::from_millis(20));
    }
    assert_eq!(site.live(), ["a", "b"]);
}

#[test]
fn what_took_long_is_published_while_the_folder_can_not_be_read() {
    let site = Site::with_clock(Clock::system());
    let mut folder = site.folder();
    site.settle(&mut folder);
    let large = wasm(&"x".repeat(2 << 20));
    site.write("a.wasm", &large);
    look_at(&mut folder, &Entry::File("a".to_owned()), true);
    let (_never, receiver) = std::sync::mpsc::channel::<()>();
    // The key, and the code of what was read.
    while count(&site.data("cache")) < 2 {
        let _elapsed = receiver.recv_timeout(Duration::from_millis(5));
    }
    fs::rename(site.functions(), site.data("away")).unwrap();
    fs::write(site.functions(), "no folder").unwrap();
    for _ in 0..1_000 {
        assert_eq!(look(&mut folder), Some(TRY_AGAIN));
        if folder.is_idle() {
            break;
        }
        let _elapsed = receiver.recv_timeout(Duration::from_millis(20));
    }
    assert!(site.runs("a", &large));
}

#[test]
fn of_two_that_want_the_same_at_the_same_time_the_first_gets_it() {
    let site = Site::new();
    for name in ["a", "b", "c", "A"] {
        site.write(&format!("{name}.wasm"), wasm(name));
        site.write(&format!("{name}.toml"), route(&format!("/{}", &name[..0])));
    }
    site.write("c/build/c.wasm", wasm("folder"));
    site.write("c.toml", route("/c"));
    site.settle(&mut site.folder());
    assert_eq!(site.live(), ["A", "c"]);
    assert!(site.runs("c", &wasm("c")));
    assert!(site.refusal("b.wasm").contains("belongs to function `A`"));
    assert!(
        site.refusal("a.wasm")
            .contains("but for upper and lower case")
    );
    assert!(site.refusal("c/").contains("published from c.wasm already"));
}
