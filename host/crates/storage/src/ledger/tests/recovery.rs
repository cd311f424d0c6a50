//! Whatever happens to the files: what comes back is what was appended, up to some point, or an error.

use std::fs;

use proptest::prelude::*;

use super::super::catalogue::Catalogue;
use super::super::segment::{self, BootId, Frames, Header, Place};
use super::*;

/// Segments of a ledger that was closed after `count` records.
fn ledger_with(count: u64) -> (tempfile::TempDir, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..count);
    drop(ledger);
    let segments = segments(root.path());
    (root, segments)
}

#[track_caller]
fn check_corrupt(path: &Path, expected_file: &Path, expected_reason: &str) {
    let error = try_open(path).unwrap_err();
    let StorageError::Corrupt { path, reason, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(path.file_name(), expected_file.file_name(), "{error}");
    assert!(reason.contains(expected_reason), "{error}");
}

/// Where frame `number` of a segment begins.
pub(super) fn frame_at(bytes: &[u8], number: usize) -> usize {
    let header = Header::parse(Path::new(""), bytes).unwrap();
    let mut frames = Frames::new(bytes, Place::first(&header));
    frames.by_ref().take(number).count();
    frames.place.offset
}

/// A single segment of 20 records: what is done to it, and what is left after recovery.
pub(super) struct Damaged {
    root: tempfile::TempDir,
    catalogue: Catalogue,
    pub(super) bytes: Vec<u8>,
    pub(super) end: usize,
}

impl Damaged {
    pub(super) const RECORDS: u64 = 20;

    pub(super) fn new() -> Self {
        let (root, segments) = ledger_with(Self::RECORDS);
        let bytes = fs::read(&segments[0]).unwrap();
        let catalogue = Catalogue::open(root.path()).unwrap();
        let end = frame_at(&bytes, 20);
        Self {
            root,
            catalogue,
            bytes,
            end,
        }
    }

    /// The segment as if it had been synced up to `synced`, in this or another boot.
    pub(super) fn header(&self, synced: usize, is_this_boot: bool) -> [u8; segment::HEADER_BYTES] {
        let header = Header::parse(Path::new(""), &self.bytes).unwrap();
        let boot = if is_this_boot {
            BootId::current()
        } else {
            BootId([7; 16])
        };
        Header {
            synced,
            boot,
            ..header
        }
        .encode()
    }

    /// How many records are left, all of them checked; `None` when it is corrupt.
    pub(super) fn recover(&mut self, bytes: &[u8]) -> Option<u64> {
        let directory = self.root.path().join("ledger");
        let path = segment::path(&directory, 1);
        fs::write(&path, bytes).unwrap();
        match super::super::recovery::recover(&directory, &mut self.catalogue) {
            Err(StorageError::Corrupt { .. }) => {
                assert_eq!(
                    fs::read(&path).unwrap(),
                    bytes,
                    "corrupt files stay as they are"
                );
                None
            }
            Err(error) => panic!("{error}"),
            Ok(resume) => {
                let bytes = fs::read(&path).unwrap();
                let header = Header::parse(&path, &bytes).unwrap();
                let mut frames = Frames::new(&bytes, Place::first(&header));
                let found = frames.by_ref().map(|frame| frame.report().unwrap());
                let found = found.collect::<Vec<_>>();
                let count = u64::try_from(found.len()).unwrap();
                assert_eq!(found, reports(0..count));
                assert_eq!(resume.place, frames.place);
                let rest = &bytes[frames.place.offset..];
                assert!(rest.iter().all(|byte| *byte == 0), "the tail is clean");
                Some(count)
            }
        }
    }
}

#[test]
fn any_truncation_leaves_a_prefix_or_an_error() {
    let mut damaged = Damaged::new();
    for synced in [segment::HEADER_BYTES, damaged.end] {
        let mut bytes = damaged.bytes.clone();
        bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(synced, true));
        for length in (0..=bytes.len()).rev().step_by(13) {
            let left = damaged.recover(&bytes[..length]);
            let is_expected = match left {
                None => length < segment::HEADER_BYTES || synced > segment::HEADER_BYTES,
                Some(count) => count == Damaged::RECORDS || synced == segment::HEADER_BYTES,
            };
            assert!(is_expected, "{length} bytes of {synced}: {left:?}");
        }
    }
}

#[test]
fn a_frame_that_was_not_finished_is_cut_wherever_the_process_was_killed() {
    let mut damaged = Damaged::new();
    let last = frame_at(&damaged.bytes, 19);
    for copied in (last + 8..damaged.end).step_by(3) {
        let mut bytes = damaged.bytes.clone();
        bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(last, true));
        // The length and checksum are stored last.
        bytes[last..last + 8].fill(0);
        bytes[copied..damaged.end].fill(0);
        assert_eq!(damaged.recover(&bytes), Some(19));
    }
}

#[test]
fn holes_that_a_power_cut_left_are_cut_only_where_nothing_was_synced() {
    let mut damaged = Damaged::new();
    // So that records follow beyond what a half-stored frame could cover.
    let hole = frame_at(&damaged.bytes, 3);
    let with = |damaged: &Damaged, synced, is_this_boot| {
        let mut bytes = damaged.bytes.clone();
        bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(synced, is_this_boot));
        bytes[hole..hole + 16].fill(0);
        bytes
    };
    let unsynced = with(&damaged, hole, false);
    assert_eq!(damaged.recover(&unsynced), Some(3));
    // A kill leaves no holes, and what was synced has none.
    let killed = with(&damaged, hole, true);
    assert_eq!(damaged.recover(&killed), None);
    let synced = with(&damaged, hole + 8, false);
    assert_eq!(damaged.recover(&synced), None);
}

#[test]
fn frames_in_another_order_or_left_out_are_damage() {
    let mut damaged = Damaged::new();
    let (a, b, c) = (
        frame_at(&damaged.bytes, 4),
        frame_at(&damaged.bytes, 5),
        frame_at(&damaged.bytes, 6),
    );
    for synced in [segment::HEADER_BYTES, damaged.end] {
        let mut swapped = damaged.bytes.clone();
        swapped[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(synced, true));
        let mut left_out = swapped.clone();
        let second = damaged.bytes[b..c].to_vec();
        let first = damaged.bytes[a..b].to_vec();
        swapped[a..a + second.len()].copy_from_slice(&second);
        swapped[a + second.len()..c].copy_from_slice(&first);
        assert_eq!(damaged.recover(&swapped), None);
        left_out.drain(a..b);
        left_out.resize(damaged.bytes.len(), 0);
        assert_eq!(damaged.recover(&left_out), None);
    }
}

#[test]
fn any_flipped_bit_leaves_a_prefix_or_an_error() {
    let damaged = std::cell::RefCell::new(Damaged::new());
    let config = ProptestConfig::with_cases(u32::try_from(long().unwrap_or(400)).unwrap());
    let places = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    proptest!(config, |((bit, synced, is_this_boot) in places)| {
        let mut damaged = damaged.borrow_mut();
        let mut bytes = damaged.bytes.clone();
        let synced = frame_at(&bytes, synced.index(21));
        bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(synced, is_this_boot));
        let bit = bit.index(damaged.end * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(count) = damaged.recover(&bytes) {
            // What was synced is never cut: 128 bytes of header, then frames.
            let kept = frame_at(&damaged.bytes, usize::try_from(count).unwrap());
            prop_assert!(kept >= synced || bit / 8 < segment::HEADER_BYTES, "{} {}", kept, synced);
        }
    });
}

#[test]
fn damage_to_a_sealed_segment_is_found_at_the_start_and_names_the_place() {
    let (root, segments) = ledger_with(200);
    assert!(segments.len() > 4);
    for (index, path) in segments[..segments.len() - 1].iter().enumerate() {
        let good = fs::read(path).unwrap();
        let at = frame_at(&good, 3) + 30 + index;
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(path, &bad).unwrap();
        let error = try_open(root.path()).unwrap_err();
        let StorageError::Corrupt {
            path: found,
            offset,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(found.file_name(), path.file_name());
        assert_eq!(usize::try_from(*offset).unwrap(), frame_at(&good, 3));
        fs::write(path, &good).unwrap();
    }
    assert_eq!(all(&open(root.path())), reports(0..200));
}

#[test]
fn a_missing_segment_is_damage_with_and_without_the_database() {
    for has_database in [true, false] {
        for missing in [0, 2, usize::MAX] {
            let (root, segments) = ledger_with(200);
            let missing = missing.min(segments.len() - 1);
            let last = missing == segments.len() - 1;
            if last && !has_database {
                // Nothing is left that could know of it.
                continue;
            }
            fs::remove_file(&segments[missing]).unwrap();
            if last {
                // The one in use is not in the catalogue yet; the one before it is.
                fs::remove_file(&segments[missing - 1]).unwrap();
            }
            if !has_database {
                fs::remove_file(root.path().join("ledger.db")).unwrap();
            }
            let error = try_open(root.path()).unwrap_err();
            assert!(
                matches!(error, StorageError::Corrupt { .. }),
                "{missing} {error}"
            );
        }
    }
}

#[test]
fn a_segment_in_place_of_another_or_changed_with_its_checksums_is_damage() {
    let (root, segments) = ledger_with(200);
    let good = fs::read(&segments[2]).unwrap();
    fs::copy(&segments[1], &segments[2]).unwrap();
    check_corrupt(root.path(), &segments[2], "");
    // A forger who makes all checksums right again still changes the hash.
    let mut forged = good.clone();
    forged[120] = 1;
    fs::write(&segments[2], &forged).unwrap();
    check_corrupt(root.path(), &segments[2], "hash in the catalogue");
    fs::remove_file(root.path().join("ledger.db")).unwrap();
    check_corrupt(root.path(), &segments[3], "hash noted here");
    fs::write(&segments[2], &good).unwrap();
    assert_eq!(all(&open(root.path())), reports(0..200));
}

#[test]
fn a_start_that_was_interrupted_anywhere_in_a_rotation_goes_on() {
    let (root, segments) = ledger_with(100);
    let directory = root.path().join("ledger");
    let last = segments.last().unwrap();
    // In use and not named yet; a spare that was never used; a file that was being written.
    fs::rename(last, directory.join("spare-4.seg")).unwrap();
    fs::write(directory.join("spare-5.seg"), [0; 4_096]).unwrap();
    fs::write(directory.join("x.sum.0.tmp"), b"{").unwrap();
    assert_eq!(all(&open(root.path())), reports(0..100));
    assert_eq!(super::segments(root.path()), segments);

    // Filled, followed by the next one, and not sealed.
    let path = &segments[segments.len() - 2];
    let mut bytes = fs::read(path).unwrap();
    let header = Header::parse(path, &bytes).unwrap();
    let header = Header {
        sealed: None,
        ..header
    };
    bytes[..segment::HEADER_BYTES].copy_from_slice(&header.encode());
    bytes.resize(4_096, 0);
    fs::write(path, bytes).unwrap();
    let mut bytes = fs::read(last).unwrap();
    bytes[40..76].fill(0);
    fs::write(last, bytes).unwrap();
    fs::remove_file(root.path().join("ledger.db")).unwrap();
    let ledger = open(root.path());
    append(&ledger, 100..200);
    assert_eq!(all(&ledger), reports(0..200));
    assert_eq!(summary(&ledger), summed(&reports(0..200)));
    drop(ledger);
    assert_eq!(all(&open(root.path())), reports(0..200));
}

#[test]
fn a_segment_that_was_begun_and_never_synced_goes_after_a_power_cut_only() {
    let (root, segments) = ledger_with(100);
    let (filled, last) = (&segments[segments.len() - 2], &segments[segments.len() - 1]);
    fs::remove_file(root.path().join("ledger.db")).unwrap();
    let cut = |boot, next_synced| {
        // The end of the filled one did not reach the disk, the beginning of the next one did.
        let mut bytes = fs::read(filled).unwrap();
        let header = Header::parse(filled, &bytes).unwrap();
        let hole = frame_at(&bytes, 5);
        bytes[hole..].fill(0);
        let header = Header {
            sealed: None,
            synced: hole,
            boot,
            ..header
        };
        bytes[..segment::HEADER_BYTES].copy_from_slice(&header.encode());
        fs::write(filled, bytes).unwrap();
        let mut bytes = fs::read(last).unwrap();
        let header = Header::parse(last, &bytes).unwrap();
        let header = Header {
            synced: next_synced,
            previous_hash: None,
            boot,
            ..header
        };
        bytes[..segment::HEADER_BYTES].copy_from_slice(&header.encode());
        fs::write(last, bytes).unwrap();
        header.first_sequence
    };
    cut(BootId::current(), segment::HEADER_BYTES);
    check_corrupt(root.path(), filled, "is missing");
    cut(BootId([7; 16]), 1_000);
    check_corrupt(root.path(), filled, "is missing");
    cut(BootId([7; 16]), segment::HEADER_BYTES);
    let ledger = open(root.path());
    let first = u64::try_from(all(&ledger).len()).unwrap();
    assert_eq!(all(&ledger), reports(0..first));
    append(&ledger, first..100);
    drop(ledger);
    assert_eq!(all(&open(root.path())), reports(0..100));
}

#[test]
fn a_newer_format_is_refused() {
    let (root, segments) = ledger_with(10);
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[8] = 2;
    let crc = segment::fixed_crc(bytes.first_chunk().unwrap());
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segments[0], bytes).unwrap();
    let error = try_open(root.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}
