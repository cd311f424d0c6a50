//! Segments are made ahead, without the lock that appending takes, and going on with one harms
//! nothing that is in it.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::super::blocks::tests::REFUSAL;
use super::super::journal::SPARES;
use super::super::segment::HEADER_BYTES;
use super::*;
use crate::LedgerHealth;

#[test]
fn where_blocks_can_not_be_allocated_a_restart_keeps_what_is_there() {
    for refusal in [Errno::OPNOTSUPP, Errno::NOSYS] {
        let root = tempfile::tempdir().unwrap();
        REFUSAL.set(Some(refusal));
        for end in [0, 1, 20, 45, 120] {
            let ledger = open(root.path());
            append(&ledger, ledger.records_total()..end);
            assert_eq!(all(&ledger), reports(0..end), "{refusal}");
            drop(ledger);
            // The machine stops, and the copy of the files has no zeros at the end.
            let path = segments(root.path()).pop().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let used = used.next_multiple_of(8).max(HEADER_BYTES);
            std::fs::write(&path, &bytes[..used]).unwrap();
        }
        let ledger = open(root.path());
        REFUSAL.set(None);
        assert_eq!(all(&ledger), reports(0..120));
        assert_eq!(summary(&ledger), summed(&reports(0..120)));
    }
}

#[test]
fn a_refusal_for_want_of_space_is_said_as_such_at_a_restart() {
    let root = tempfile::tempdir().unwrap();
    append(&open(root.path()), 0..5);
    REFUSAL.set(Some(Errno::NOSPC));
    let error = try_open(root.path()).unwrap_err();
    REFUSAL.set(None);
    assert!(matches!(error, StorageError::Full { .. }), "{error}");
    assert_eq!(all(&open(root.path())), reports(0..5));
}

#[test]
fn while_a_segment_is_being_made_records_go_to_the_spares_and_questions_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    let journal = &ledger.shared().journal;
    eventually(|| journal.prepare(SPARES).is_ok() && journal.spares() == SPARES);
    let making = journal.making.lock();
    // Into the second spare.
    let mut count = 0;
    while journal.spares() > 0 {
        append(&ledger, count..count + 1);
        count += 1;
    }
    assert_eq!(ledger.health(), LedgerHealth::Writable);
    assert!(ledger.is_writable());
    assert_eq!(all(&ledger), reports(0..count));
    drop(making);
    append(&ledger, count..count + 200);
    assert_eq!(all(&ledger), reports(0..count + 200));
}

#[test]
fn an_error_other_than_a_full_disk_is_not_taken_for_one_and_passes() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    let journal = &ledger.shared().journal;
    journal.prepare(SPARES).unwrap();
    journal.fail_spares.store(true, Ordering::Relaxed);
    let mut count = 0;
    let error = loop {
        match ledger.append(&report(count)) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    // The spares were used first.
    assert!(count > 60, "{count}");
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    let LedgerHealth::Failed { reason } = ledger.health() else {
        panic!("{:?}", ledger.health())
    };
    assert!(reason.contains("made to fail by a test"), "{reason}");
    assert!(!ledger.is_writable());
    // What was appended is synced all the same.
    ledger.flush().unwrap();
    journal.fail_spares.store(false, Ordering::Relaxed);
    eventually(|| ledger.is_writable() && ledger.health().is_writable());
    append(&ledger, count..count + 100);
    assert_eq!(all(&ledger), reports(0..count + 100));
}

#[test]
fn the_short_answer_is_the_one_of_the_long_one() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    // The ledger's threads look for themselves at any time, and then there is space.
    let becomes = |expected: bool, cause: &dyn Fn()| {
        eventually(|| {
            cause();
            ledger.is_writable() == expected
        });
        eventually(|| {
            cause();
            ledger.health().is_writable() == expected
        });
    };
    let journal = &ledger.shared().journal;
    becomes(true, &|| {});
    becomes(false, &|| ledger.shared().note_free_space(false));
    becomes(true, &|| ledger.shared().note_free_space(true));
    becomes(false, &|| {
        REFUSAL.set(Some(Errno::NOSPC));
        journal.prepare(usize::MAX).unwrap_err();
        REFUSAL.set(None);
    });
    becomes(true, &|| journal.prepare(usize::MAX).unwrap());
    ledger.close().unwrap();
    becomes(false, &|| {});
}

#[test]
fn a_failed_sync_is_in_the_short_answer() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    // First, so that there is something left to sync, whoever comes to it.
    let journal = &ledger.shared().journal;
    journal.fail_next_sync.store(true, Ordering::Relaxed);
    append(&ledger, 0..1);
    ledger.flush().unwrap_err();
    assert!(!ledger.is_writable());
}
