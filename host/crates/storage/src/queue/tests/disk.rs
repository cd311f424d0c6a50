//! Disks that are full, and files that are not what they should be.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outside::wait_until;
use super::*;

/// A small file system, until it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(root.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(root))
    }

    /// Fills it to the last page.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for chunk in [1 << 20, 4_096] {
            let chunk = vec![1; chunk];
            while file.write_all(&chunk).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let lazily = ["--lazy".as_ref(), self.0.path().as_os_str()];
        let unmounted = Command::new("umount").args(lazily).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn numbers_of(path: &Path) -> Vec<u64> {
    let sqlite = Sqlite::open(path).unwrap();
    let mut core = core_over(Engine::Sqlite(sqlite), Quota::default());
    let taken = claimed(one(&mut core, claim("f", 1_000), 2 * NOW_US));
    let mut numbers: Vec<_> = taken.iter().map(|taken| number(taken.event.id)).collect();
    numbers.sort_unstable();
    numbers
}

/// With pages of SQLite instead of a disk, so that it runs anywhere.
#[test]
fn a_database_that_can_not_grow_refuses_what_is_new_keeps_the_rest_and_grows_again() {
    let (root, [engine, _]) = engines();
    let path = root.path().join(sqlite::FILE);
    let mut core = core_over(engine, Quota::default());
    let pages = |core: &mut Core, most: u32| {
        let Engine::Sqlite(sqlite) = core.engine() else {
            panic!("the engine in SQLite");
        };
        sqlite
            .connection()
            .query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))
            .unwrap();
    };
    pages(&mut core, 40);
    let large = |number| {
        let mut event = new_event(number, "f");
        event.payload = Bytes::from(vec![b' '; 20_000]);
        Operation::Accept(vec![event])
    };
    let mut accepted = Vec::new();
    let refused = (0..100).find_map(|number| match one(&mut core, large(number), NOW_US) {
        Ok(_) => {
            accepted.push(number);
            None
        }
        Err(error) => Some(error),
    });
    assert!(
        matches!(refused, Some(QueueError::Full { .. })),
        "{refused:?}"
    );
    assert!(!accepted.is_empty());
    assert!(matches!(core.health(), QueueHealth::Full { .. }));
    let depth = core.depths()["f"];
    assert_eq!(depth.queued, u64::try_from(accepted.len()).unwrap());
    // What is there can be worked off, and makes space.
    let first = claimed(one(&mut core, claim("f", 1), NOW_US));
    let first = number(first[0].event.id);
    one(&mut core, finish(first, 1, SUCCESS), NOW_US).unwrap();
    assert_eq!(core.health(), QueueHealth::Writable);
    accepted.retain(|number| *number != first);
    one(&mut core, large(200), NOW_US).unwrap();
    accepted.push(200);
    one(&mut core, large(201), NOW_US).unwrap_err();
    pages(&mut core, 1 << 30);
    core.try_again(NOW_US);
    assert_eq!(core.health(), QueueHealth::Writable);
    drop(core);
    assert_eq!(numbers_of(&path), accepted);
}

#[test]
fn a_full_disk_refuses_events_loses_none_and_recovers_without_being_asked() {
    let Some(disk) = SmallDisk::mount(300) else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let path = disk.0.path().join("data");
    let data_dir = DataDir::open(&path).unwrap();
    let queue = open(&data_dir);
    queue.perform(accept([1, 2], "f")).unwrap();
    assert_eq!(claimed(queue.perform(claim("f", 1))).len(), 1);

    let filler = disk.fill();
    // By then the last look at space is old enough, whatever it saw.
    let mut accepted = vec![2];
    let mut refused = None;
    wait_until(|| {
        let number = 10 + u64::try_from(accepted.len()).unwrap();
        match queue.perform(accept([number], "f")) {
            Ok(_) => accepted.push(number),
            Err(error) => refused = Some(error),
        }
        refused.is_some()
    });
    assert!(
        matches!(refused, Some(QueueError::Full { .. })),
        "{refused:?}"
    );
    assert!(matches!(queue.health(), QueueHealth::Full { .. }));
    let closed = queue.perform(finish(1, 1, Ending::Return { ran: false }));
    match closed {
        Ok(_) => accepted.push(1),
        Err(error) => assert!(matches!(error, QueueError::Full { .. }), "{error}"),
    }

    std::fs::remove_file(filler).unwrap();
    // Nobody asks for anything meanwhile.
    wait_until(|| queue.health() == QueueHealth::Writable);
    queue.perform(accept([3], "f")).unwrap();
    accepted.push(3);
    queue.close();
    drop(queue);
    accepted.sort_unstable();
    assert_eq!(numbers_of(&path.join(sqlite::FILE)), accepted);
}

#[test]
fn a_disk_that_events_filled_has_space_again_when_they_are_gone() {
    let Some(disk) = SmallDisk::mount(256) else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let data_dir = DataDir::open(&disk.0.path().join("data")).unwrap();
    let queue = open(&data_dir);
    let large = |number| {
        let mut event = new_event(number, "f");
        event.payload = Bytes::from(vec![b' '; 1 << 20]);
        queue.perform(Operation::Accept(vec![event]))
    };
    let mut number = 0;
    wait_until(|| {
        number += 1;
        matches!(large(number), Err(QueueError::Full { .. }))
    });
    let all = Selection::Of {
        queue: None,
        states: EventState::ALL.to_vec(),
        limit: 1_000,
    };
    queue.perform(Operation::Purge(all)).unwrap();
    wait_until(|| queue.health() == QueueHealth::Writable);
    large(1_000).unwrap();
}

/// Every write that a transaction makes meets a full disk once.
#[test]
fn a_disk_that_fills_up_at_any_page_loses_nothing_that_was_answered() {
    let Some(disk) = SmallDisk::mount(8) else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let path = disk.0.path().join(sqlite::FILE);
    let mut core = core_over(
        Engine::Sqlite(Sqlite::open(&path).unwrap()),
        Quota::default(),
    );
    let mut accepted = Vec::new();
    let mut refusals = 0;
    let mut number = 0;
    let filler = disk.0.path().join("filler");
    for round in 0..60_u64 {
        // As much is left as a part of what follows needs.
        disk.fill();
        let file = std::fs::File::options().write(true).open(&filler).unwrap();
        let filled = file.metadata().unwrap().len();
        file.set_len(filled.saturating_sub(round * 2_048)).unwrap();
        drop(file);
        for _ in 0..8 {
            number += 1;
            let mut event = new_event(number, "f");
            event.payload = Bytes::from(vec![b' '; 3_000]);
            match one(&mut core, Operation::Accept(vec![event]), NOW_US) {
                Ok(_) => accepted.push(number),
                Err(error) => {
                    assert!(matches!(error, QueueError::Full { .. }), "{error}");
                    refusals += 1;
                }
            }
            core.checkpoint(number % 3 == 0);
        }
        std::fs::remove_file(&filler).unwrap();
        core.try_again(NOW_US);
        assert_eq!(core.health(), QueueHealth::Writable, "round {round}");
        let depth = core.depths().get("f").copied().unwrap_or_default();
        assert_eq!(depth.queued, u64::try_from(accepted.len()).unwrap());
    }
    assert!(refusals > 0 && !accepted.is_empty(), "{refusals} refusals");
    drop(core);
    assert_eq!(numbers_of(&path), accepted);
}

#[test]
fn a_row_that_is_damaged_hurts_only_what_is_about_it() {
    let (_root, [engine, _]) = engines();
    let mut core = core_over(engine, Quota::default());
    one(&mut core, accept([1, 2], "f"), NOW_US).unwrap();
    if let Engine::Sqlite(sqlite) = core.engine() {
        let damage = "UPDATE events SET target = '{' WHERE number = 1";
        sqlite.connection().execute_batch(damage).unwrap();
    }
    let purge = |number| Operation::Purge(Selection::Id(id(number)));
    let refused = one(&mut core, purge(1), NOW_US);
    assert!(
        matches!(refused, Err(QueueError::Storage(_))),
        "{refused:?}"
    );
    assert_eq!(one(&mut core, purge(2), NOW_US).unwrap(), Done::Changed(1));
    assert_eq!(core.health(), QueueHealth::Writable);
}

#[test]
fn a_database_that_another_process_holds_is_not_a_broken_one() {
    let (root, [engine, _]) = engines();
    let mut core = core_over(engine, Quota::default());
    if let Engine::Sqlite(sqlite) = core.engine() {
        sqlite.connection().busy_timeout(Duration::ZERO).unwrap();
    }
    let other = rusqlite::Connection::open(root.path().join(sqlite::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = one(&mut core, accept([1], "f"), NOW_US);
    assert!(
        matches!(refused, Err(QueueError::Storage(_))),
        "{refused:?}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    one(&mut core, accept([1], "f"), NOW_US).unwrap();
}

#[test]
fn the_log_is_taken_in_before_it_grows_long() {
    const MB: u64 = 1 << 20;
    let (root, [engine, _]) = engines();
    let mut core = core_over(engine, Quota::default());
    let log = sqlite::log(&root.path().join(sqlite::FILE));
    let bytes = || std::fs::metadata(&log).unwrap().len();
    for number in 0..100 {
        let mut event = new_event(number, "f");
        event.payload = Bytes::from(vec![b' '; 1 << 20]);
        one(&mut core, Operation::Accept(vec![event]), NOW_US).unwrap();
        core.checkpoint(false);
        assert!(bytes() < 20 * MB, "{} after {number}", bytes());
    }
    // Small changes in many places write more than they are taken for.
    let before = bytes();
    for round in 0..400 {
        let numbers = (0..40).map(|place| (place << 32) + 1_000 + round);
        one(&mut core, accept(numbers, "g"), NOW_US).unwrap();
        core.checkpoint(false);
    }
    assert!(bytes() < before + 33 * MB, "{} after {before}", bytes());
}
