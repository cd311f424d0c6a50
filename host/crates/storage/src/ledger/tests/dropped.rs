//! What stays of dropped segments: one file, and every record counted once.

use std::fs;

use super::super::anchor::Anchor;
use super::super::catalogue::{Filter, SegmentInfo};
use super::super::upkeep;
use super::*;

/// A ledger whose segments are all sealed and catalogued but the one in use.
fn settled(path: &Path, count: u64) -> Ledger {
    let ledger = open(path);
    append(&ledger, 0..count);
    settle(&ledger);
    ledger
}

/// Waits until all segments are sealed and catalogued but the one in use.
pub(crate) fn settle(ledger: &Ledger) {
    eventually(|| ledger.shared().journal.views().len() == 1);
}

pub(crate) fn drop_oldest(ledger: &Ledger, count: usize) {
    let sealed = ledger.shared().catalogue.lock().segments(Filter::default());
    upkeep::drop_segments(ledger.shared(), &sealed.unwrap()[..count]).unwrap();
}

fn reader_summary(path: &Path) -> Vec<SummaryRow> {
    let reader = Ledger::open_for_reading(&DataDir::open_for_reading(path).unwrap()).unwrap();
    reader.summary(&SummaryQuery::default()).unwrap()
}

fn remove_database(path: &Path) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(path.join(name)));
    }
}

#[test]
fn one_file_holds_the_sums_of_all_dropped_segments() {
    let root = tempfile::tempdir().unwrap();
    let ledger = settled(root.path(), 400);
    let expected = summed(&reports(0..400));
    for _ in 0..3 {
        drop_oldest(&ledger, 2);
        assert_eq!(summary(&ledger), expected);
        assert_eq!(reader_summary(root.path()), expected);
    }
    drop_oldest(&ledger, 0);
    drop(ledger);
    let names = crate::files::list(&root.path().join("ledger")).unwrap();
    let sums = names.iter().filter(|(name, _)| name.ends_with(".sum"));
    assert_eq!(sums.count(), 1, "{names:?}");
    for _ in 0..2 {
        assert_eq!(reader_summary(root.path()), expected);
        assert_eq!(summary(&open(root.path())), expected);
        // Once more, from the anchor and the segments alone.
        remove_database(root.path());
    }
}

#[test]
fn a_kill_anywhere_in_dropping_counts_nothing_twice_and_is_finished_at_the_next_start() {
    for has_database in [true, false] {
        for removed in 0..=2 {
            let root = tempfile::tempdir().unwrap();
            drop(settled(root.path(), 300));
            let files = segments(root.path());
            // The anchor is written, and of two segments some are gone.
            let mut anchor = Anchor::default();
            for path in &files[..2] {
                anchor.fold(&SegmentInfo::read(path, &fs::read(path).unwrap()).unwrap());
            }
            anchor.write(&root.path().join("ledger")).unwrap();
            for path in &files[..removed] {
                fs::remove_file(path).unwrap();
            }
            if !has_database {
                remove_database(root.path());
            }

            let expected = summed(&reports(0..300));
            assert_eq!(reader_summary(root.path()), expected);
            let ledger = open(root.path());
            assert_eq!(summary(&ledger), expected, "{has_database} {removed}");
            assert_eq!(segments(root.path()), files[2..]);
            assert_eq!(all(&ledger), reports(anchor.next_sequence - 1..300));
            append(&ledger, 300..400);
            eventually(|| ledger.shared().journal.views().len() == 1);
            drop_oldest(&ledger, 2);
            assert_eq!(summary(&ledger), summed(&reports(0..400)));
        }
    }
}

#[test]
fn what_could_not_be_removed_is_removed_by_the_next_try() {
    let root = tempfile::tempdir().unwrap();
    let ledger = settled(root.path(), 300);
    let path = &segments(root.path())[1];
    let bytes = fs::read(path).unwrap();
    let sealed = ledger.shared().catalogue.lock().segments(Filter::default());
    let sealed = sealed.unwrap();
    // A directory in place of the file is read as damage, once the anchor does not have it.
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    upkeep::drop_segments(ledger.shared(), &sealed[..2]).unwrap_err();
    assert_eq!(
        segments(root.path()).len(),
        sealed.len() + 1,
        "all are there"
    );
    fs::remove_dir(path).unwrap();
    fs::write(path, bytes).unwrap();
    upkeep::drop_segments(ledger.shared(), &sealed[..1]).unwrap();
    upkeep::drop_segments(ledger.shared(), &sealed[..2]).unwrap();
    assert_eq!(segments(root.path()).len(), sealed.len() - 1);
    assert_eq!(summary(&ledger), summed(&reports(0..300)));
}

#[test]
fn a_database_from_before_the_drop_is_brought_up_to_the_anchor() {
    let root = tempfile::tempdir().unwrap();
    let database = root.path().join("ledger.db");
    drop(settled(root.path(), 100));
    let old = fs::read(&database).unwrap();
    let ledger = open(root.path());
    append(&ledger, 100..400);
    eventually(|| ledger.shared().journal.views().len() == 1);
    drop_oldest(&ledger, 7);
    drop(ledger);
    remove_database(root.path());
    fs::write(&database, old).unwrap();
    assert_eq!(reader_summary(root.path()), summed(&reports(0..400)));
    assert_eq!(summary(&open(root.path())), summed(&reports(0..400)));
}

#[test]
fn a_damaged_anchor_is_named() {
    let root = tempfile::tempdir().unwrap();
    let ledger = settled(root.path(), 300);
    drop_oldest(&ledger, 2);
    drop(ledger);
    let path = Anchor::path(&root.path().join("ledger"));
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        String::new(),
        good[1..].to_owned(),
        good.replacen(
            "\"hours\":[[4",
            "\"hours\":[[4,[9,9,9,9,9,9,9],0,\"0\",\"0\"],[4",
            1,
        ),
        good.replacen("\"sha256\":\"", "\"sha256\":\"x", 1),
    ] {
        fs::write(&path, &bad).unwrap();
        let error = try_open(root.path()).unwrap_err();
        let is_named = error.to_string().contains("dropped.sum");
        let is_corrupt = matches!(error, StorageError::Corrupt { .. });
        assert!(is_named && is_corrupt, "{error}");
    }
    fs::write(&path, good.replacen("\"format\":2", "\"format\":3", 1)).unwrap();
    let error = try_open(root.path()).unwrap_err();
    assert!(matches!(error, StorageError::NewerFormat { .. }), "{error}");
    fs::write(&path, good).unwrap();
    assert_eq!(summary(&open(root.path())), summed(&reports(0..300)));
}

#[test]
fn a_summary_of_a_function_and_days_is_picked_from_sealed_segments_and_the_rest() {
    const DAY_US: i64 = 86_400_000_000;
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    let reports = (0..600).map(|number| Report {
        started_at_us: NOW_US + i64::try_from(number / 7 % 5).unwrap() * DAY_US,
        ..report(number)
    });
    let reports = reports.collect::<Vec<_>>();
    for report in &reports {
        ledger.append(report).unwrap();
    }
    eventually(|| ledger.shared().journal.views().len() == 1);
    let rows = summed(&reports);
    for function in [None, Some(report(3).function)] {
        for (since, until) in [
            (None, None),
            (Some(1), Some(3)),
            (Some(3), None),
            (Some(4), Some(2)),
        ] {
            let query = SummaryQuery {
                function: function.clone(),
                since_us: since.map(|day| NOW_US + day * DAY_US),
                until_us: until.map(|day| NOW_US + day * DAY_US),
                ..SummaryQuery::default()
            };
            let mut expected = rows.clone();
            expected.retain(|row| {
                let day = row.period[8..].parse::<i64>().unwrap() - 22;
                function
                    .as_ref()
                    .is_none_or(|function| *function == row.function)
                    && since.is_none_or(|since| day >= since)
                    && until.is_none_or(|until| day <= until)
            });
            assert_eq!(
                ledger.summary(&query).unwrap(),
                expected,
                "{since:?} {until:?}"
            );
        }
    }
}
