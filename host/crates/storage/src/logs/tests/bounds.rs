//! All logs together are bounded, and leave the disk to the ledger.

use super::*;

/// All log files together, in bytes.
fn total(root: &tempfile::TempDir, functions: &[&str]) -> u64 {
    let functions = functions
        .iter()
        .filter(|name| root.path().join("logs").join(name).exists());
    let files = functions.flat_map(|name| log_files(root, name));
    files.map(|(_, bytes)| bytes).sum()
}

fn within(total_bytes: u64) -> LogSettings {
    LogSettings {
        segment_bytes: 1_000,
        total_bytes,
        ..settings()
    }
}

#[test]
fn the_largest_log_makes_room_for_the_others() {
    let (root, logs) = logs(within(6_000));
    let (noisy, quiet) = (name("noisy"), name("quiet"));
    logs.append(&quiet, &STREAM.into(), events(0..50));
    logs.flush();
    for start in 0..100 {
        logs.append(&noisy, &STREAM.into(), events(start * 10..start * 10 + 10));
        logs.flush();
        assert!(total(&root, &["noisy", "quiet"]) <= 6_000);
    }
    assert_eq!(logs.tail(&quiet, 100, None).unwrap().0, events(0..50));
    let (tail, _) = logs.tail(&noisy, 10_000, None).unwrap();
    let first = 1_000 - u64::try_from(tail.len()).unwrap();
    assert!(tail.len() > 200, "{}", tail.len());
    assert_eq!(tail, events(first..1_000));
}

#[test]
fn what_an_earlier_process_left_counts() {
    let (root, first) = logs(LogSettings {
        total_bytes: u64::MAX,
        ..within(0)
    });
    let (old, new) = (name("old"), name("new"));
    first.append(&old, &STREAM.into(), events(0..400));
    drop(first);
    assert!(total(&root, &["old"]) > 4_000);
    let data_dir = DataDir::open(root.path()).unwrap();
    let second = Logs::open(&data_dir, within(3_000)).unwrap();
    second.append(&new, &STREAM.into(), events(0..10));
    second.flush();
    assert!(total(&root, &["old", "new"]) <= 3_000);
    assert_eq!(second.tail(&new, 100, None).unwrap().0, events(0..10));
    // What is removed is room again.
    second.remove(&old).unwrap();
    second.append(&new, &STREAM.into(), events(10..150));
    assert_eq!(second.tail(&new, 1_000, None).unwrap().0, events(0..150));
}

#[test]
fn a_log_of_one_file_gives_way_too_and_whoever_follows_it_goes_on() {
    let (root, first) = logs(within(2_000));
    let functions = ["a", "b", "c", "d"];
    let (_, mut cursor) = first.tail(&name("a"), 0, None).unwrap();
    let mut followed = Vec::new();
    for round in 0..40 {
        for function in functions {
            first.append(
                &name(function),
                &STREAM.into(),
                events(round * 20..round * 20 + 20),
            );
            first.flush();
            assert!(total(&root, &functions) <= 2_000);
        }
        let (more, next) = first.read_after(&name("a"), &cursor, 1_000).unwrap();
        followed.extend(more);
        cursor = next;
    }
    let in_order = followed
        .windows(2)
        .all(|two| two[0].at_unix_ms < two[1].at_unix_ms);
    assert!(in_order && followed.len() > 40, "{}", followed.len());
    drop(first);
    // Also after a restart.
    let second = Logs::open(&DataDir::open(root.path()).unwrap(), within(2_000)).unwrap();
    second.append(&name("a"), &STREAM.into(), events(800..805));
    let (more, _) = second.read_after(&name("a"), &cursor, 1_000).unwrap();
    assert_eq!(more.last(), events(804..805).last());
}

#[test]
fn with_little_space_nothing_is_written_and_it_is_counted_and_said_later() {
    let (root, logs) = logs(settings());
    let function = name("held-back");
    logs.shared().fail_space.store(true, Ordering::Relaxed);
    logs.append(&function, &STREAM.into(), events(0..5));
    logs.flush();
    logs.flush();
    assert_eq!(logs.dropped_total(), 5);
    assert!(!root.path().join("logs/held-back").exists());
    logs.shared().fail_space.store(false, Ordering::Relaxed);
    logs.append(&function, &STREAM.into(), events(5..7));
    let (tail, _) = logs.tail(&function, 10, None).unwrap();
    assert_eq!(tail[0].text, "5 events dropped");
    assert_eq!(&tail[1..], events(5..7));
    assert_eq!(logs.dropped_total(), 5);
}
