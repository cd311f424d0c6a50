//! A ledger in use: order, sums, questions, rotation, retention, threads, readers.

use std::collections::HashSet;

use super::*;
use crate::LedgerHealth;

#[test]
fn entries_come_back_newest_first_across_segments_and_restarts() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..500);
    assert_eq!(all(&ledger), reports(0..500));
    assert_eq!(ledger.records_total(), 500);
    drop(ledger);
    assert!(segments(root.path()).len() > 10);

    let ledger = open(root.path());
    assert_eq!(ledger.records_total(), 500);
    append(&ledger, 500..600);
    assert_eq!(all(&ledger), reports(0..600));
    let query = EntryQuery {
        limit: 3,
        ..EntryQuery::default()
    };
    let newest = ledger.entries(&query).unwrap();
    assert_eq!(newest, [report(599), report(598), report(597)]);
}

#[test]
fn a_query_picks_function_and_time() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..400);
    let query = EntryQuery {
        function: Some(report(3).function),
        since_us: Some(report(100).started_at_us),
        until_us: Some(report(303).started_at_us),
        limit: 1_000,
    };
    let mut expected = reports(100..303);
    expected.retain(|report| report.function.as_str() == "function-3");
    expected.reverse();
    assert_eq!(ledger.entries(&query).unwrap(), expected);
    let nobody = FunctionName::parse("nobody").unwrap();
    let query = EntryQuery {
        function: Some(nobody),
        ..query
    };
    assert_eq!(ledger.entries(&query).unwrap(), []);
}

#[test]
fn the_summary_is_the_sum_of_all_entries_to_the_last_digit_at_any_moment() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    assert_eq!(summary(&ledger), []);
    for end in [1, 2, 40, 41, 333, 700] {
        append(&ledger, ledger.records_total()..end);
        assert_eq!(summary(&ledger), summed(&reports(0..end)), "{end}");
    }
    drop(ledger);
    let ledger = open(root.path());
    assert_eq!(summary(&ledger), summed(&reports(0..700)));
}

#[test]
fn a_summary_counts_whole_days() {
    const DAY_US: i64 = 86_400_000_000;
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    let day = NOW_US / DAY_US * DAY_US;
    for number in 0..4 {
        let started_at_us = day + number * DAY_US - 1;
        ledger
            .append(&Report {
                started_at_us,
                ..report(0)
            })
            .unwrap();
    }
    let days = |since_us, until_us| {
        let query = SummaryQuery {
            function: None,
            since_us,
            until_us,
            ..SummaryQuery::default()
        };
        let rows = ledger.summary(&query).unwrap();
        rows.iter()
            .map(|row| row.period.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        days(None, None),
        ["2025-11-21", "2025-11-22", "2025-11-23", "2025-11-24"]
    );
    assert_eq!(days(Some(day + 5), Some(day + DAY_US)), ["2025-11-22"]);
    assert_eq!(
        days(Some(day), Some(day + DAY_US + 1)),
        ["2025-11-22", "2025-11-23"]
    );
}

#[test]
fn without_its_database_the_ledger_has_the_same_sums() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..300);
    let before = summary(&ledger);
    drop(ledger);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(std::fs::remove_file(root.path().join(name)));
    }
    let reader = Ledger::open_for_reading(&DataDir::open_for_reading(root.path()).unwrap());
    assert_eq!(
        reader.unwrap().summary(&SummaryQuery::default()).unwrap(),
        before
    );
    let ledger = open(root.path());
    assert_eq!(summary(&ledger), before);
    assert_eq!(all(&ledger), reports(0..300));
}

#[test]
fn retention_drops_old_segments_and_keeps_their_sums_and_the_chain() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let settings = LedgerSettings {
        retention_bytes: Some(10_000),
        ..small()
    };
    let ledger = Ledger::open(&data_dir, settings.clone()).unwrap();
    append(&ledger, 0..1_000);
    // Two sealed ones and the one in use.
    let is_settled = || ledger.shared().journal.views().len() == 1;
    eventually(|| is_settled() && segments(root.path()).len() == 3);
    let kept = all(&ledger);
    let first = 1_000 - u64::try_from(kept.len()).unwrap();
    assert!(first > 800, "{first}");
    assert_eq!(kept, reports(first..1_000));
    assert_eq!(summary(&ledger), summed(&reports(0..1_000)));
    assert_eq!(ledger.records_total(), 1_000);
    drop(ledger);

    // The anchors are enough to make the sums again, and to know that nothing is missing.
    std::fs::remove_file(root.path().join("ledger.db")).unwrap();
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    assert_eq!(summary(&ledger), summed(&reports(0..1_000)));
    assert_eq!(all(&ledger), kept);
    drop(ledger);
    std::fs::remove_file(&segments(root.path())[0]).unwrap();
    drop(data_dir);
    let error = try_open(root.path()).unwrap_err();
    assert!(
        error.to_string().contains("should come before it"),
        "{error}"
    );
}

#[test]
fn retention_by_age_looks_at_the_last_invocation_of_a_segment() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let age = Duration::from_secs(3_600);
    let settings = LedgerSettings {
        retention_age: Some(age),
        ..small()
    };
    let clock = settings.clock.clone();
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    append(&ledger, 0..200);
    eventually(|| ledger.shared().journal.views().len() == 1);
    assert_eq!(all(&ledger).len(), 200);
    clock.advance(Duration::from_secs(100) + age);
    // The segment that holds the record of second 100 stays whole.
    eventually(|| (100..150).contains(&all(&ledger).len()));
    assert_eq!(summary(&ledger), summed(&reports(0..200)));
}

#[test]
fn threads_append_without_a_gap_or_a_double() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || append(ledger, thread * 1_000..thread * 1_000 + 500));
        }
        // Readers in between see whole records only.
        for _ in 0..20 {
            let sum = summary(&ledger)
                .iter()
                .map(|row| row.invocations)
                .sum::<u64>();
            assert!(sum <= ledger.records_total());
            assert!(all(&ledger).len() >= usize::try_from(sum).unwrap());
        }
    });
    let entries = all(&ledger);
    let ids = entries
        .iter()
        .map(|report| report.request_id)
        .collect::<HashSet<_>>();
    assert_eq!(
        (entries.len(), ids.len(), ledger.records_total()),
        (4_000, 4_000, 4_000)
    );
    assert_eq!(summary(&ledger), summed(&entries));
    drop(ledger);
    assert_eq!(all(&open(root.path())), entries);
}

#[test]
fn a_reader_sees_what_was_appended_while_the_server_holds_the_lock() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open_for_reading(root.path()).unwrap();
    let reader = Ledger::open_for_reading(&data_dir).unwrap();
    let query = EntryQuery {
        limit: 10_000,
        ..EntryQuery::default()
    };
    assert_eq!(reader.entries(&query).unwrap(), []);
    assert_eq!(reader.summary(&SummaryQuery::default()).unwrap(), []);

    let ledger = open(root.path());
    for end in [1, 30, 500] {
        append(&ledger, ledger.records_total()..end);
        let mut seen = reader.entries(&query).unwrap();
        seen.reverse();
        assert_eq!(seen, reports(0..end));
        let sums = reader.summary(&SummaryQuery::default()).unwrap();
        assert_eq!(sums, summed(&reports(0..end)));
    }
    let error = Ledger::open(&data_dir, small()).unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly { .. }), "{error}");
    let error = try_open(root.path()).unwrap_err();
    assert!(matches!(error, StorageError::Locked { .. }), "{error}");
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..10);
    assert_eq!(ledger.health(), LedgerHealth::Writable);
    ledger
        .shared()
        .journal
        .fail_next_sync
        .store(true, std::sync::atomic::Ordering::Relaxed);
    ledger.flush().unwrap_err();
    let error = ledger.append(&report(10)).unwrap_err();
    assert!(error.to_string().contains("made to fail"), "{error}");
    assert!(matches!(ledger.health(), LedgerHealth::Failed { .. }));
    // Still so a while later: a sync is not tried again.
    ledger.flush().unwrap_err();
    ledger.append(&report(10)).unwrap_err();
    assert_eq!(all(&ledger), reports(0..10));
    ledger.close().unwrap_err();
    drop(ledger);
    assert_eq!(all(&open(root.path())), reports(0..10));
}

#[test]
fn a_closed_ledger_refuses_records_and_still_answers() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..50);
    ledger.close().unwrap();
    ledger.close().unwrap();
    let error = ledger.append(&report(50)).unwrap_err();
    assert!(matches!(error, StorageError::Closed), "{error}");
    assert_eq!(all(&ledger), reports(0..50));
    assert!(!ledger.health().is_writable());
}

#[test]
fn a_hundred_thousand_records_are_summed_and_searched() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let settings = LedgerSettings {
        segment_bytes: 1 << 20,
        ..small()
    };
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    append(&ledger, 0..100_000);
    let newest = ledger.entries(&EntryQuery::default()).unwrap();
    assert_eq!(newest.len(), 100);
    assert_eq!(newest[0], report(99_999));
    let invocations = summary(&ledger)
        .iter()
        .map(|row| row.invocations)
        .sum::<u64>();
    assert_eq!(invocations, 100_000);
    let query = EntryQuery {
        function: Some(report(2).function),
        until_us: Some(report(1_000).started_at_us),
        limit: 10,
        ..EntryQuery::default()
    };
    let old = ledger.entries(&query).unwrap();
    assert_eq!((old.len(), &old[0]), (10, &report(997)));
}

#[test]
fn appending_is_measured_in_a_long_run() {
    let Some(_) = long() else { return };
    let root = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(
        &DataDir::open(root.path()).unwrap(),
        LedgerSettings::default(),
    )
    .unwrap();
    let clock = Clock::system();
    let report = report(5);
    for threads in [1_u32, 2] {
        let count = 1_000_000_u32;
        let start = clock.now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..count).for_each(|_| ledger.append(&report).unwrap()));
            }
        });
        let ns = (clock.now() - start).as_nanos() / u128::from(count);
        println!("append: {ns} ns each, {threads} thread(s)");
        // At a pace that a server could have: what does one cost with the disk at rest?
        let mut each = (0..20_000)
            .map(|_| {
                let pause = clock.now();
                while clock.now() - pause < Duration::from_micros(50) {
                    std::hint::spin_loop();
                }
                let start = clock.now();
                ledger.append(&report).unwrap();
                (clock.now() - start).as_nanos()
            })
            .collect::<Vec<_>>();
        each.sort_unstable();
        let at = |per_mille: usize| each[each.len() * per_mille / 1_000];
        println!(
            "append at 20k/s: p50 {} ns, p99 {} ns, p99.9 {} ns",
            at(500),
            at(990),
            at(999)
        );
    }
}
