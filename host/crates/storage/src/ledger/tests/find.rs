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
fn found(ledger: &Ledger, wanted: &HashSet<(RequestId, u32)>, since_us: i64) -> Vec<u64> {
    let found = ledger.find(wanted, since_us).unwrap();
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
    assert_eq!(found(&ledger, &wanted, i64::MIN), [0, 77, 199, 204]);
    assert_eq!(found(&ledger, &keys([300]), i64::MIN), [] as [u64; 0]);
    assert_eq!(found(&ledger, &HashSet::new(), i64::MIN), [] as [u64; 0]);
    // Another attempt at the same event is another one.
    let other = report(77);
    let other = HashSet::from([(other.request_id, other.attempt + 1)]);
    assert_eq!(found(&ledger, &other, i64::MIN), [] as [u64; 0]);
    drop(ledger);
    assert_eq!(
        found(&open(root.path()), &wanted, i64::MIN),
        [0, 77, 199, 204]
    );
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
    let since_us = report(250).started_at_us;
    assert_eq!(found(&ledger, &keys([0, 250, 299]), since_us), [250, 299]);
    assert_eq!(found(&ledger, &keys([250, 299]), i64::MIN), [250, 299]);
    let error = ledger.find(&keys([0, 299]), i64::MIN).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}
