//! Whatever is altered, removed, doubled or moved is found and named; what was written is not.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::super::anchor::Anchor;
use super::super::segment::{Frames, HEADER_BYTES, Header, Place};
use super::super::verify::doubles_in_passes;
use super::super::{LedgerHead, LedgerReader, Verification};
use super::dropped::{drop_oldest, settle};
use super::frames::framed;
use super::*;

fn reader(path: &Path) -> LedgerReader {
    Ledger::open_for_reading(&DataDir::open_for_reading(path).unwrap()).unwrap()
}

fn verify(path: &Path) -> Verification {
    reader(path).verify(None).unwrap()
}

/// What is wrong, as one text.
fn problems(path: &Path) -> String {
    let found = verify(path);
    let lines = found.problems.iter().map(|problem| {
        let number = problem.sequence.map(|number| format!(" record {number}"));
        format!(
            "{}{}: {}\n",
            problem.file,
            number.unwrap_or_default(),
            problem.reason
        )
    });
    assert_eq!(found.is_clean(), found.problems.is_empty());
    assert_eq!(found.head.is_some(), found.is_clean() && found.records > 0);
    lines.collect()
}

/// A closed ledger: an anchor, sealed segments, and some records in the one in use.
fn closed(dropped: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..120);
    settle(&ledger);
    drop_oldest(&ledger, dropped);
    drop(ledger);
    root
}

#[test]
fn a_ledger_as_it_was_written_has_no_problem_at_any_time() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path()).unwrap();
    drop(DataDir::open(root.path()).unwrap());
    assert_eq!(problems(root.path()), "");
    let ledger = open(root.path());
    assert_eq!(
        (problems(root.path()).as_str(), verify(root.path()).records),
        ("", 0)
    );
    let mut count = 0;
    for (more, dropped) in [(1, 0), (30, 0), (300, 0), (100, 3), (200, 0), (200, 2)] {
        append(&ledger, count..count + more);
        count += more;
        assert_eq!(problems(root.path()), "");
        settle(&ledger);
        drop_oldest(&ledger, dropped);
        let found = verify(root.path());
        assert_eq!(problems(root.path()), "");
        assert_eq!(found.last_sequence, count);
        assert_eq!(found.records, count + 1 - found.first_sequence);
        assert!(found.are_sums_checked);
        assert_eq!(found.head, ledger.head().unwrap());
    }
    ledger
        .shared()
        .settings
        .clock
        .advance(Duration::from_hours(24 * 15) + Duration::from_mins(2));
    super::super::upkeep::forget_minutes(ledger.shared()).unwrap();
    assert_eq!(problems(root.path()), "");
    drop(ledger);
    assert_eq!(problems(root.path()), "");
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(root.path().join(name)));
    }
    assert!(!verify(root.path()).are_sums_checked);
    assert_eq!(problems(root.path()), "");
    let ledger = open(root.path());
    append(&ledger, count..count + 50);
    assert_eq!(problems(root.path()), "");
    assert!(verify(root.path()).are_sums_checked);
}

#[test]
fn a_ledger_that_is_written_meanwhile_has_no_problem() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let settings = LedgerSettings {
        retention_bytes: Some(40_000),
        segment_bytes: 16 << 10,
        ..small()
    };
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    // How far the writer may go: it is always at work, and does not fill the disk.
    let allowed = AtomicU64::new(500);
    std::thread::scope(|scope| {
        let (ledger, allowed) = (&ledger, &allowed);
        scope.spawn(move || {
            for number in 0.. {
                while number >= allowed.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                if allowed.load(Ordering::Relaxed) == u64::MAX {
                    break;
                }
                ledger.append(&report(number)).unwrap();
            }
        });
        let rounds = long().unwrap_or(20);
        let found = (0..rounds).map(|_| {
            allowed.fetch_add(500, Ordering::Relaxed);
            verify(root.path())
        });
        let found = found.collect::<Vec<_>>();
        allowed.store(u64::MAX, Ordering::Relaxed);
        for found in found {
            assert!(found.is_clean(), "{:?}", found.problems);
        }
    });
}

#[test]
fn every_altered_byte_is_found() {
    for dropped in [0, 1] {
        let root = closed(dropped);
        let directory = root.path().join("ledger");
        let mut paths = segments(root.path());
        let open = paths.last().unwrap().clone();
        // One sealed segment is like another.
        paths.drain(1..paths.len() - 1);
        if dropped > 0 {
            paths = vec![Anchor::path(&directory)];
        }
        for path in paths {
            let good = fs::read(&path).unwrap();
            let end = frames_end(&path, &good).unwrap_or(good.len());
            for at in 0..good.len() {
                // Which start of the machine wrote it last: nothing depends on it being right.
                if path == open && (96..112).contains(&at) {
                    continue;
                }
                // In a short run some of the bytes in the middle, and of the zeros behind it all.
                let is_sampled = at % if at < end { 7 } else { 61 } == 0;
                let is_at_an_edge = at < 500 || (end - 100..end + 64).contains(&at);
                if !is_sampled && !is_at_an_edge && long().is_none() {
                    continue;
                }
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                fs::write(&path, bad).unwrap();
                let found = verify(root.path());
                assert!(!found.is_clean(), "byte {at} of {}", path.display());
                let name = path.file_name().unwrap().to_str().unwrap();
                let is_named = found
                    .problems
                    .iter()
                    .any(|problem| problem.file.ends_with(name));
                // What the first segment must continue is in the anchor: the two disagree.
                assert!(
                    is_named || name.ends_with(".sum"),
                    "{at}: {:?}",
                    found.problems
                );
                if (HEADER_BYTES..end).contains(&at) && name.ends_with(".seg") {
                    let sequence = record_at(&path, &good, at);
                    let mut problems = found.problems.iter();
                    let is_there =
                        |problem: &super::super::LedgerProblem| problem.sequence == Some(sequence);
                    assert!(
                        problems.any(is_there),
                        "{at} {sequence}: {:?}",
                        found.problems
                    );
                }
            }
            fs::write(&path, good).unwrap();
        }
        assert_eq!(problems(root.path()), "");
    }
}

/// Where the frames of a segment end.
fn frames_end(path: &Path, bytes: &[u8]) -> Option<usize> {
    let header = Header::parse(path, bytes).ok()?;
    let mut frames = Frames::new(bytes, Place::first(&header));
    while frames.next().is_some() {}
    Some(frames.place.offset)
}

/// The number of the record that byte `at` belongs to.
fn record_at(path: &Path, bytes: &[u8], at: usize) -> u64 {
    let header = Header::parse(path, bytes).unwrap();
    let mut frames = Frames::new(bytes, Place::first(&header));
    frames.find(|frame| frame.end > at).unwrap().sequence
}

/// The segment at `path` with other records in it, everything in it computed anew.
fn forge(path: &Path, change: impl FnOnce(&mut Vec<Report>)) {
    let bytes = fs::read(path).unwrap();
    let header = Header::parse(path, &bytes).unwrap();
    let frames = Frames::new(&bytes, Place::first(&header));
    let mut reports = frames
        .map(|frame| frame.report().unwrap())
        .collect::<Vec<_>>();
    change(&mut reports);
    let (mut forged, mut crc) = (vec![0; HEADER_BYTES], header.previous_crc);
    for (report, sequence) in reports.iter().zip(header.first_sequence..) {
        let frame = framed(report, sequence, crc);
        crc = u32::from_le_bytes(*frame[4..].first_chunk().unwrap());
        forged.extend(frame);
    }
    let (synced, sealed) = (forged.len(), header.sealed.map(|_| forged.len()));
    if header.sealed.is_none() {
        forged.resize(bytes.len(), 0);
    }
    let header = Header {
        synced,
        sealed,
        ..header
    };
    forged[..HEADER_BYTES].copy_from_slice(&header.encode());
    fs::write(path, forged).unwrap();
}

#[test]
fn a_record_that_is_removed_doubled_moved_or_changed_is_found_even_with_good_checksums() {
    type Change = fn(&mut Vec<Report>);
    let changes: [(&str, Change); 5] = [
        ("removed", |reports| drop(reports.remove(7))),
        ("removed at the end", |reports| drop(reports.pop())),
        ("doubled", |reports| reports.insert(5, reports[3].clone())),
        ("moved", |reports| reports.swap(2, 3)),
        ("changed", |reports| reports[4].charge_picousd += 1),
    ];
    for (name, change) in changes {
        let root = closed(0);
        let paths = segments(root.path());
        forge(&paths[1], change);
        let found = problems(root.path());
        assert!(found.contains(".seg"), "{name}: {found}");
        if name == "doubled" {
            assert!(found.contains("has a record already, number 49"), "{found}");
        }
    }
    // In the segment in use nothing tells but the attempt itself, or a head.
    let root = closed(0);
    let open = segments(root.path()).pop().unwrap();
    forge(&open, |reports| reports.push(reports[0].clone()));
    let found = problems(root.path());
    assert!(found.contains("has a record already"), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn a_missing_segment_and_a_cut_end_are_found() {
    for index in 0..2 {
        let root = closed(0);
        let paths = segments(root.path());
        fs::remove_file(&paths[index]).unwrap();
        let first = verify(root.path());
        let expected = first.problems[0].sequence;
        let number = paths[index]
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .ok();
        assert_eq!(expected, number, "{:?}", first.problems);
    }
    let root = closed(0);
    let open = segments(root.path()).pop().unwrap();
    fs::remove_file(&open).unwrap();
    // It holds what comes after the sums; the sealed ones before it are whole.
    assert_eq!(problems(root.path()), "", "which is what a head is for");
    fs::remove_file(segments(root.path()).pop().unwrap()).unwrap();
    assert!(problems(root.path()).contains("ledger.db: it has the sums of all records before"));

    let root = closed(0);
    let open = segments(root.path()).pop().unwrap();
    let bytes = fs::read(&open).unwrap();
    let end = frames_end(&open, &bytes).unwrap();
    for from in [HEADER_BYTES, end - 8, end - 80] {
        let mut cut = bytes.clone();
        cut[from..].fill(0);
        fs::write(&open, &cut).unwrap();
        assert!(problems(root.path()).contains(".seg record "), "{from}");
        fs::write(&open, &bytes[..from]).unwrap();
        assert!(problems(root.path()).contains(".seg record "), "{from}");
    }
    let mut more = bytes;
    more.extend([1; 8]);
    fs::write(&open, more).unwrap();
    assert!(problems(root.path()).contains("something is behind its last record"));
    fs::remove_dir_all(root.path().join("ledger")).unwrap();
    assert!(problems(root.path()).contains("the records from 1 to"));
}

#[test]
fn sums_that_are_not_those_of_the_records_are_found() {
    for (sql, expected) in [
        (
            "UPDATE rollups SET billed_ms = billed_ms + 1 WHERE rowid_of",
            "for hour 2025-11-22T16",
        ),
        (
            "UPDATE rollups SET success = success + 1 WHERE period = 2 AND function = 'function-1'",
            "`function-1`",
        ),
        (
            "UPDATE rollups SET charge_picousd = zeroblob(16) WHERE period = 0",
            "for minute 2025-11-22T16:4",
        ),
        (
            "DELETE FROM rollups WHERE period = 2",
            "for day 2025-11-22 is not that",
        ),
        (
            "UPDATE rollups SET version = '99' WHERE period = 1 AND version = '$LATEST'",
            "has no records",
        ),
        (
            "UPDATE rollups SET trigger = 'fax' WHERE version = '1'",
            "is no trigger",
        ),
        ("UPDATE rollups SET billed_ms = -1", "out of range"),
        (
            "UPDATE position SET next_sequence = next_sequence - 1",
            "no segment begins with",
        ),
        (
            "UPDATE position SET next_sequence = 1000",
            "before 1000, and 121 comes next",
        ),
        ("DELETE FROM segments", "it is not in the catalogue"),
        (
            "UPDATE segments SET sha256 = zeroblob(32)",
            "the hash in the catalogue",
        ),
        (
            "UPDATE segments SET bytes = bytes + 8",
            "the hash in the catalogue",
        ),
    ] {
        for dropped in [0, 1] {
            let root = closed(dropped);
            let database = Connection::open(root.path().join("ledger.db")).unwrap();
            let sql = sql.replace("rowid_of", "period = 1");
            assert!(database.execute(&sql, []).unwrap() > 0, "{sql}");
            drop(database);
            let found = problems(root.path());
            assert!(found.contains(expected), "{sql} {dropped}: {found}");
        }
    }
    let root = closed(0);
    fs::write(root.path().join("ledger.db"), "no database").unwrap();
    for name in ["ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(root.path().join(name)));
    }
    assert!(problems(root.path()).starts_with("ledger.db: "));
}

/// Makes everything anew after a change of the first segment, as an attacker would.
fn forge_everything(path: &Path) {
    let paths = segments(path);
    forge(&paths[0], |reports| reports[4].charge_picousd += 1);
    let mut before = fs::read(&paths[0]).unwrap();
    for path in &paths[1..] {
        let bytes = fs::read(path).unwrap();
        let header = Header::parse(path, &bytes).unwrap();
        let mut frames = Frames::new(
            &before,
            Place::first(&Header::parse(path, &before).unwrap()),
        );
        while frames.next().is_some() {}
        let header = Header {
            previous_crc: frames.place.crc,
            previous_hash: Some(<sha2::Sha256 as sha2::Digest>::digest(&before).into()),
            ..header
        };
        let mut forged = bytes;
        forged[..HEADER_BYTES].copy_from_slice(&header.encode());
        fs::write(path, forged).unwrap();
        forge_frames_after(path);
        before = fs::read(path).unwrap();
    }
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(path.join(name)));
    }
    drop(open(path));
}

/// Chains the frames of a segment to its header again.
fn forge_frames_after(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let header = Header::parse(path, &bytes).unwrap();
    let (mut at, mut crc, mut sequence) =
        (HEADER_BYTES, header.previous_crc, header.first_sequence);
    let mut forged = bytes.clone();
    while let super::super::frame::Found::Frame(frame) = super::super::frame::at(&bytes, at) {
        let new = framed(&frame.report().unwrap(), sequence, crc);
        crc = u32::from_le_bytes(*new[4..].first_chunk().unwrap());
        forged[at..frame.end].copy_from_slice(&new);
        (at, sequence) = (frame.end, sequence + 1);
    }
    fs::write(path, forged).unwrap();
}

#[test]
fn who_computes_everything_anew_is_caught_by_a_head_that_was_kept() {
    let root = closed(0);
    let known = verify(root.path()).head.unwrap();
    assert_eq!(known.sequence, 120);
    let ledger = open(root.path());
    append(&ledger, 120..300);
    settle(&ledger);
    drop(ledger);
    let ask = |known: &LedgerHead| {
        let found = reader(root.path()).verify(Some(known)).unwrap();
        let reasons = found.problems.iter().map(|problem| {
            assert_eq!(problem.sequence, Some(known.sequence));
            problem.reason.clone()
        });
        reasons.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(ask(&known), "");
    let later = LedgerHead {
        sequence: 301,
        ..known
    };
    assert!(ask(&later).contains("ends with record 300"));
    let other = LedgerHead {
        sequence: 119,
        ..known
    };
    assert!(ask(&other).contains("not those that the head was made of"));

    forge_everything(root.path());
    assert_eq!(
        problems(root.path()),
        "",
        "as nothing in the directory tells"
    );
    assert!(ask(&known).contains("not those that the head was made of"));
}

#[test]
fn a_head_outlives_what_it_was_made_of_only_in_what_follows() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..120);
    settle(&ledger);
    let early = ledger.head().unwrap().unwrap();
    append(&ledger, 120..240);
    settle(&ledger);
    let late = ledger.head().unwrap().unwrap();
    assert_eq!((early.sequence, late.sequence), (120, 240));
    let ask = |known: &LedgerHead| reader(root.path()).verify(Some(known)).unwrap();
    assert!(ask(&early).is_clean());
    // A head after the dropped records still covers them.
    let count = segments(root.path()).len() - 1;
    drop_oldest(&ledger, count);
    assert!(ask(&late).is_clean());
    let found = ask(&early);
    assert_eq!(found.problems_total, 1);
    assert!(
        found.problems[0].reason.contains("retention dropped"),
        "{found:?}"
    );
}

#[test]
fn doubles_are_found_in_any_number_of_passes() {
    let root = closed(0);
    forge(&segments(root.path())[1], |reports| reports.push(report(2)));
    let sources = reader(root.path()).segments().unwrap();
    for passes in [1, 2, 3, 7] {
        let found = doubles_in_passes(passes, &sources);
        assert_eq!(found.len(), 1, "{passes}");
        assert!(
            found[0].reason.ends_with("has a record already, number 3"),
            "{found:?}"
        );
    }
}

#[test]
fn problems_beyond_a_thousand_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let settings = LedgerSettings {
        segment_bytes: 1 << 20,
        ..small()
    };
    let ledger = Ledger::open(&DataDir::open(root.path()).unwrap(), settings).unwrap();
    for _ in 0..1_200 {
        ledger.append(&report(1)).unwrap();
    }
    drop(ledger);
    let found = verify(root.path());
    assert_eq!((found.problems.len(), found.problems_total), (1_000, 1_199));
    assert_eq!(found.records, 1_200);
}
