//! Reading by time and by place: nothing twice, nothing left out, and each event in its stream.

use super::*;

const ALL: LogRange = LogRange {
    since_ms: 0,
    until_ms: u64::MAX,
    bytes_max: u64::MAX,
};

fn small() -> LogSettings {
    LogSettings {
        segment_bytes: 600,
        segments_per_function: 1_000,
        ..settings()
    }
}

/// Everything in a range, in pages of at most `max` events.
fn pages(logs: &Logs, function: &FunctionName, range: LogRange, max: usize) -> Vec<ScannedEvent> {
    let (mut all, mut end) = (Vec::new(), ScanEnd::START);
    loop {
        let mut page = Vec::new();
        end = logs
            .scan(function, end, range, |scanned| {
                if page.len() == max {
                    return ControlFlow::Break(());
                }
                page.push(scanned);
                ControlFlow::Continue(())
            })
            .unwrap();
        all.append(&mut page);
        if end.is_complete {
            return all;
        }
    }
}

/// Three invocations that overlap: each is written when it ends, with the times at which it spoke.
fn overlapping(logs: &Logs, function: &FunctionName) {
    for (version, times) in [
        ("a", 50..60_u64),
        ("b", 10..70),
        ("a", 55..65),
        ("c", 70..80),
    ] {
        logs.append(function, &version.into(), events(times));
        logs.flush();
    }
}

#[test]
fn pages_of_any_size_hold_every_event_once_and_stamps_never_go_back() {
    let (_root, logs) = logs(small());
    let function = name("f");
    overlapping(&logs, &function);
    let all = pages(&logs, &function, ALL, usize::MAX);
    assert_eq!(all.len(), 90);
    assert!(all.is_sorted_by_key(|scanned| scanned.stamp_ms));
    assert!(all.is_sorted_by(|a, b| a.place < b.place));
    assert!(
        all.iter()
            .all(|scanned| scanned.stamp_ms >= scanned.event.at_unix_ms)
    );
    assert_eq!((all[10].event.at_unix_ms, all[10].stamp_ms), (10, 59));
    for max in [1, 2, 7, 89] {
        assert_eq!(pages(&logs, &function, ALL, max), all, "{max}");
    }
    for bytes_max in [1, 50, 700] {
        let range = LogRange { bytes_max, ..ALL };
        assert_eq!(pages(&logs, &function, range, usize::MAX), all);
    }
}

#[test]
fn a_range_holds_the_events_with_stamps_in_it_and_asking_again_from_the_last_misses_none() {
    let (_root, logs) = logs(small());
    let function = name("f");
    overlapping(&logs, &function);
    let all = pages(&logs, &function, ALL, usize::MAX);
    for (since_ms, until_ms) in [(0, 49), (50, 50), (59, 59), (60, 69), (75, 100), (200, 300)] {
        let range = LogRange {
            since_ms,
            until_ms,
            ..ALL
        };
        let expected: Vec<_> = all
            .iter()
            .filter(|scanned| (since_ms..=until_ms).contains(&scanned.stamp_ms))
            .cloned()
            .collect();
        assert_eq!(pages(&logs, &function, range, 3), expected, "{range:?}");
    }
    // What `aws logs tail --follow` does: ask again from the last stamp, leave out what was seen.
    let (_root, followed) = super::logs(small());
    let (mut seen, mut since_ms) = (Vec::new(), 0);
    for times in [50..60_u64, 10..70, 55..65, 5..6, 70..80] {
        followed.append(&function, &STREAM.into(), events(times));
        let range = LogRange { since_ms, ..ALL };
        for scanned in pages(&followed, &function, range, 4) {
            since_ms = scanned.stamp_ms;
            if !seen.contains(&scanned.place) {
                seen.push(scanned.place);
            }
        }
    }
    assert_eq!(seen.len(), 10 + 60 + 10 + 1 + 10);
}

#[test]
fn every_event_is_in_its_stream_wherever_reading_begins() {
    let (_root, logs) = logs(LogSettings {
        segment_bytes: 400_000,
        ..settings()
    });
    let function = name("f");
    let long = "x".repeat(1_000);
    for batch in 0..60_u64 {
        let stream = if batch % 20 < 17 { "one" } else { "two" };
        let text = format!("{stream} {long}");
        logs.append(
            &function,
            &stream.into(),
            (0..20).map(|_| event(batch, &text)),
        );
        if batch % 3 == 0 {
            logs.flush();
        }
    }
    let all = pages(&logs, &function, ALL, usize::MAX);
    assert_eq!(all.len(), 1_200);
    assert!(
        all.iter()
            .all(|scanned| scanned.event.text.starts_with(&*scanned.stream))
    );
    assert!(all.iter().any(|scanned| scanned.place.segment() > 2));
    assert_eq!(pages(&logs, &function, ALL, 13), all);
    let streams = logs.streams(&function).unwrap();
    let streams: Vec<_> = streams
        .iter()
        .map(|stream| (&*stream.name, stream.first_ms, stream.last_ms))
        .collect();
    assert_eq!(streams, [("one", 0, 56), ("two", 17, 59)]);
}

#[test]
fn files_of_before_there_were_streams_are_one_stream_a_day() {
    let (root, logs) = logs(settings());
    let function = name("old");
    let path = root.path().join("logs/old");
    std::fs::create_dir(&path).unwrap();
    let file = "1709164800000 p START\n1709251199999 f said\n1709251200000 p END\n";
    std::fs::write(path.join("0000000001.log"), file).unwrap();
    logs.append(
        &function,
        &"new/[1]x".into(),
        [event(1_709_251_200_001, "new")],
    );
    let all = pages(&logs, &function, ALL, usize::MAX);
    let streams: Vec<_> = all.iter().map(|scanned| &*scanned.stream).collect();
    let zeros = "0".repeat(32);
    let leap_day = format!("2024/02/29/[$LATEST]{zeros}");
    let after = format!("2024/03/01/[$LATEST]{zeros}");
    assert_eq!(streams, [&leap_day, &leap_day, &after, "new/[1]x"]);
    let tail = logs.tail(&function, 10, None).unwrap().0;
    assert_eq!(tail.len(), 4, "names of streams are no events");
}

#[test]
fn files_that_were_finished_before_the_wanted_time_are_not_opened() {
    let (root, logs) = logs(small());
    let function = name("f");
    logs.append(&function, &STREAM.into(), events(0..200));
    logs.flush();
    let path = root.path().join("logs/f/0000000001.log");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // Its events claim to be later than its last change, so only opening it would show them.
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let range = LogRange {
        since_ms: CLOCK_SLACK_MS + 1,
        ..ALL
    };
    let end = logs
        .scan(&function, ScanEnd::START, range, |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(end.is_complete);
    let text = std::fs::read_to_string(&path).unwrap();
    let later = text.replace(" f ", "0000 f ");
    std::fs::write(&path, &later).unwrap();
    assert!(!pages(&logs, &function, range, 10).is_empty());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(pages(&logs, &function, range, 10), []);
}

/// As in `scan`.
const CLOCK_SLACK_MS: u64 = 1_000;

#[test]
fn reading_back_gives_the_last_of_a_stream_and_then_those_before() {
    let (_root, logs) = logs(small());
    let function = name("f");
    overlapping(&logs, &function);
    let wanted: Vec<_> = pages(&logs, &function, ALL, usize::MAX)
        .into_iter()
        .filter(|scanned| &*scanned.stream == "a")
        .map(|scanned| scanned.place)
        .collect();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let ScannedBack {
            events: page, end, ..
        } = logs
            .scan_back(&function, before, (ALL, 6), |scanned| {
                &*scanned.stream == "a"
            })
            .unwrap();
        assert!(page.is_sorted_by_key(|scanned| scanned.stamp_ms));
        let Some(first) = page.first() else { break };
        if before.is_none() {
            let more = logs
                .scan(&function, end, ALL, |_| ControlFlow::Break(()))
                .unwrap();
            assert!(more.is_complete, "it ends at the end of the log");
        }
        before = Some(first.place);
        found.splice(0..0, page.iter().map(|scanned| scanned.place));
    }
    assert_eq!(found, wanted);
}

#[test]
fn reading_back_goes_on_before_what_holds_nothing_that_is_wanted() {
    let (root, logs) = logs(small());
    let function = name("f");
    logs.append(&function, &"rare".into(), events(0..3));
    logs.flush();
    for start in 0..20 {
        logs.append(
            &function,
            &"common".into(),
            events(start * 10..start * 10 + 10),
        );
        logs.flush();
    }
    let files = log_files(&root, "f").len();
    assert!(files > 3, "{files}");
    // Each call may read one file.
    let range = LogRange {
        bytes_max: 1,
        ..ALL
    };
    let (mut found, mut before, mut calls) = (Vec::new(), None, 0);
    while found.is_empty() {
        let read = logs
            .scan_back(&function, before, (range, 10), |scanned| {
                &*scanned.stream == "rare"
            })
            .unwrap();
        assert!(before.is_none_or(|before| read.begin < before), "{read:?}");
        (found, before) = (read.events, Some(read.begin));
        calls += 1;
    }
    assert_eq!((found.len(), calls), (3, files));
    // Before the first file there is nothing, and it says so by staying.
    let read = logs
        .scan_back(&function, before, (range, 10), |_| true)
        .unwrap();
    assert_eq!((read.events, Some(read.begin)), (Vec::new(), before));
}

#[test]
fn who_has_a_log_and_how_large_it_is() {
    let (root, logs) = logs(settings());
    assert_eq!(logs.functions().unwrap(), []);
    logs.append(&name("b"), &STREAM.into(), events(0..3));
    logs.append(&name("a"), &STREAM.into(), events(0..1));
    logs.flush();
    assert_eq!(logs.functions().unwrap(), [name("a"), name("b")]);
    let [(_, bytes)] = log_files(&root, "b").try_into().unwrap();
    assert_eq!(logs.stored_bytes(&name("b")).unwrap(), bytes);
    assert_eq!(logs.stored_bytes(&name("nobody")).unwrap(), 0);
    let nothing = pages(&logs, &name("nobody"), ALL, 5);
    assert_eq!(nothing, []);
}
