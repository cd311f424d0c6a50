//! Records are found by event and attempt, wherever they are, and damage on the way is named.

use std::collections::HashSet;

use super::dropped::settle;
use super::*;

fn keys(numbers: impl IntoIterator<Item = u64>) -> HashSet<(RequestId, u32)> {
    let reports = numbers.into_iter().map(report);
    reports
        .map(|report| (report.request_id, report.attempt))
        .collect()
}

/// The numbers of the records that are found.
#[track_caller]
fn found(ledger: &Ledger, wanted: &HashSet<(RequestId, u32)>, from_sequence: u64) -> Vec<u64> {
    let found = ledger.find(wanted, from_sequence).unwrap();
    let mut numbers = Vec::new();
    for (key, record) in found {
        let number = u64::try_from((record.started_at_us - NOW_US) / 1_000_000).unwrap();
        assert_eq!(record, report(number));
        assert_eq!(key, (record.request_id, record.attempt));
        numbers.push(number);
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn an_attempt_is_found_in_sealed_segments_and_in_the_one_in_use() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..200);
    settle(&ledger);
    append(&ledger, 200..205);
    let wanted = keys([0, 77, 199, 204]);
    assert_eq!(found(&ledger, &wanted, 0), [0, 77, 199, 204]);
    assert_eq!(found(&ledger, &keys([300]), 0), [] as [u64; 0]);
    assert_eq!(found(&ledger, &HashSet::new(), 0), [] as [u64; 0]);
    // Another attempt at the same event is another one.
    let other = report(77);
    let other = HashSet::from([(other.request_id, other.attempt + 1)]);
    assert_eq!(found(&ledger, &other, 0), [] as [u64; 0]);
    drop(ledger);
    assert_eq!(found(&open(root.path()), &wanted, 0), [0, 77, 199, 204]);
}

#[test]
fn only_segments_from_then_on_are_read() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..300);
    settle(&ledger);
    // What is not read can't be complained of.
    let first = &segments(root.path())[0];
    let mut bytes = std::fs::read(first).unwrap();
    bytes[200] ^= 1;
    std::fs::write(first, bytes).unwrap();
    // Records are numbered from 1 on.
    assert_eq!(found(&ledger, &keys([0, 250, 299]), 251), [250, 299]);
    assert_eq!(found(&ledger, &keys([250, 299]), 0), [250, 299]);
    let error = ledger.find(&keys([0, 299]), 0).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

#[test]
fn a_record_is_found_from_where_its_attempt_began_whatever_the_clock_said() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..100);
    ledger.flush().unwrap();
    let began = ledger.synced_sequence();
    assert_eq!(began, 101);
    let back = Report {
        started_at_us: NOW_US - 10 * 365 * 86_400_000_000,
        ..report(100)
    };
    ledger.append(&back).unwrap();
    // Those before it and after it are in sealed segments too, and of another time.
    append(&ledger, 101..300);
    settle(&ledger);
    let wanted = keys([100]);
    let found = ledger.find(&wanted, began).unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [back]);
    assert_eq!(ledger.find(&wanted, 301).unwrap().len(), 0);
}
