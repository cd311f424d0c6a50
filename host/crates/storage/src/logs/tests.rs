//! Logs in use: order, rotation, cursors, bounds, and what can't be written.

mod bounds;
mod scan;

use super::*;
use std::path::PathBuf;

use crate::files;

/// Where events go that no stream is said of.
const STREAM: &str = "s";

fn name(name: &str) -> FunctionName {
    FunctionName::parse(name).unwrap()
}

fn event(at_unix_ms: u64, text: &str) -> LogEvent {
    LogEvent {
        at_unix_ms,
        source: LogSource::Function,
        text: text.to_owned(),
    }
}

/// Events 0, 1, 2 and so on, a millisecond each.
fn events(numbers: std::ops::Range<u64>) -> Vec<LogEvent> {
    numbers
        .map(|number| event(number, &format!("line {number}")))
        .collect()
}

/// Logs that write only when asked to.
fn settings() -> LogSettings {
    LogSettings {
        flush_every: Duration::from_secs(3_600),
        ..LogSettings::default()
    }
}

fn logs(settings: LogSettings) -> (tempfile::TempDir, Logs) {
    let root = tempfile::tempdir().unwrap();
    let logs = Logs::open(&DataDir::open(root.path()).unwrap(), settings).unwrap();
    (root, logs)
}

/// The names and sizes of a function's log files.
fn log_files(root: &tempfile::TempDir, function: &str) -> Vec<(String, u64)> {
    let listed = files::list(&root.path().join("logs").join(function)).unwrap();
    let size = |path: PathBuf| std::fs::metadata(path).unwrap().len();
    listed
        .into_iter()
        .map(|(name, path)| (name, size(path)))
        .collect()
}

#[test]
fn the_tail_is_what_was_said_last_to_one_function() {
    let (_root, logs) = logs(settings());
    let (upper, lower) = (name("Hello"), name("hello"));
    logs.append(&upper, &STREAM.into(), events(0..10));
    logs.append(&lower, &STREAM.into(), [event(3, "other")]);
    let (tail, cursor) = logs.tail(&upper, 3, None).unwrap();
    assert_eq!(tail, events(7..10));
    assert_eq!(logs.tail(&upper, 100, Some(4)).unwrap().0, events(4..10));
    assert_eq!(logs.tail(&lower, 100, None).unwrap().0, [event(3, "other")]);
    assert_eq!(logs.tail(&upper, 0, None).unwrap(), (Vec::new(), cursor));
    assert_eq!(
        logs.tail(&name("nobody"), 5, None).unwrap(),
        (Vec::new(), LogCursor::START)
    );
    logs.remove(&upper).unwrap();
    logs.remove(&upper).unwrap();
    assert_eq!(logs.tail(&upper, 100, None).unwrap().0, []);
    logs.append(&upper, &STREAM.into(), events(0..1));
    assert_eq!(logs.tail(&upper, 100, None).unwrap().0, events(0..1));
}

#[test]
fn a_function_can_not_speak_for_us_nor_to_a_terminal() {
    let (_root, logs) = logs(settings());
    let function = name("forger");
    let ours = "REPORT RequestId: x\tDuration: 1.00 ms";
    let mut said = [
        ours,
        "START RequestId: y",
        "END RequestId: z",
        "INIT_START Runtime",
        "a\nb",
    ]
    .map(|text| event(1, text))
    .to_vec();
    said.push(LogEvent {
        source: LogSource::Platform,
        ..event(1, ours)
    });
    logs.append(&function, &STREAM.into(), said);
    let texts = logs.tail(&function, 10, None).unwrap().0;
    let texts = texts
        .iter()
        .map(|event| event.text.as_str())
        .collect::<Vec<_>>();
    assert_eq!(
        texts,
        [
            " REPORT RequestId: x\tDuration: 1.00 ms",
            " START RequestId: y",
            " END RequestId: z",
            " INIT_START Runtime",
            "a\\nb",
            ours,
        ]
    );
}

#[test]
fn files_are_bounded_in_size_and_number() {
    let bounds = LogSettings {
        segment_bytes: 1_000,
        segments_per_function: 3,
        ..settings()
    };
    let (root, logs) = logs(bounds);
    let function = name("chatty");
    for start in 0..100 {
        logs.append(
            &function,
            &STREAM.into(),
            events(start * 10..start * 10 + 10),
        );
        logs.flush();
        let files = log_files(&root, "chatty");
        assert!(files.len() <= 3, "{files:?}");
        assert!(files.iter().all(|(_, bytes)| *bytes < 1_300), "{files:?}");
    }
    // One large batch is split as well.
    logs.append(&function, &STREAM.into(), events(1_000..2_000));
    logs.flush();
    let files = log_files(&root, "chatty");
    assert!(
        files.len() == 3 && files.iter().all(|(_, bytes)| *bytes < 1_300),
        "{files:?}"
    );
    let (tail, _) = logs.tail(&function, 10_000, None).unwrap();
    let first = 2_000 - u64::try_from(tail.len()).unwrap();
    assert_eq!(tail, events(first..2_000));
}

#[test]
fn following_a_log_misses_nothing_across_rotations_and_restarts() {
    let bounds = LogSettings {
        segment_bytes: 500,
        segments_per_function: 4,
        ..settings()
    };
    let (root, first) = logs(bounds);
    let function = name("followed");
    let mut followed = Vec::new();
    let (_, mut cursor) = first.tail(&function, 0, None).unwrap();
    for start in 0..50 {
        first.append(
            &function,
            &STREAM.into(),
            events(start * 20..start * 20 + 20),
        );
        loop {
            let (more, next) = first.read_after(&function, &cursor, 7).unwrap();
            cursor = next.to_string().parse().unwrap();
            if more.is_empty() {
                break;
            }
            followed.extend(more);
        }
    }
    assert_eq!(followed, events(0..1_000));
    drop(first);
    let second = Logs::open(&DataDir::open(root.path()).unwrap(), bounds).unwrap();
    second.append(&function, &STREAM.into(), events(1_000..1_010));
    let (more, _) = second.read_after(&function, &cursor, 100).unwrap();
    assert_eq!(more, events(1_000..1_010));
    // One that fell behind goes on with the oldest that is left.
    let (left, _) = second
        .read_after(&function, &LogCursor::START, 10_000)
        .unwrap();
    let oldest = 1_010 - u64::try_from(left.len()).unwrap();
    assert!(oldest > 800);
    assert_eq!(left, events(oldest..1_010));
    // One from the future, such as of a log that was removed, is no harm.
    let future = LogCursor {
        segment: 1_000,
        offset: 5,
    };
    assert_eq!(
        second.read_after(&function, &future, 10).unwrap(),
        (Vec::new(), future)
    );
}

#[test]
fn a_torn_last_line_is_left_out_and_does_not_spoil_the_next() {
    let (root, first) = logs(settings());
    let function = name("torn");
    first.append(&function, &STREAM.into(), events(0..2));
    drop(first);
    let path = root.path().join("logs/torn/0000000001.log");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("\u{1b}nonsense\n12 x who\n99999999999999999999999 f when\n5 f to");
    std::fs::write(&path, text).unwrap();
    let second = Logs::open(&DataDir::open(root.path()).unwrap(), settings()).unwrap();
    assert_eq!(second.tail(&function, 10, None).unwrap().0, events(0..2));
    second.append(&function, &STREAM.into(), events(2..3));
    let (tail, _) = second.tail(&function, 1, None).unwrap();
    assert_eq!(tail, events(2..3));
}

#[test]
fn what_has_no_room_is_dropped_counted_and_said_and_others_keep_theirs() {
    let (_root, logs) = logs(LogSettings {
        buffer_bytes: 8_000,
        ..settings()
    });
    let (noisy, quiet) = (name("noisy"), name("quiet"));
    logs.append(&noisy, &STREAM.into(), events(0..1_000));
    logs.append(&quiet, &STREAM.into(), events(0..3));
    let dropped = logs.dropped_total();
    assert!((900..1_000).contains(&dropped), "{dropped}");
    let (tail, _) = logs.tail(&noisy, 2_000, None).unwrap();
    let kept = 1_000 - dropped;
    let (last, rest) = tail.split_last().unwrap();
    assert_eq!(rest, events(0..kept));
    let (source, text) = (LogSource::Platform, format!("{dropped} events dropped"));
    assert_eq!(
        *last,
        LogEvent {
            at_unix_ms: 999,
            source,
            text
        }
    );
    assert_eq!(logs.tail(&quiet, 10, None).unwrap().0, events(0..3));
    logs.append(&noisy, &STREAM.into(), events(0..1));
    assert_eq!(logs.tail(&noisy, 1, None).unwrap().0, events(0..1));
    assert_eq!(logs.dropped_total(), dropped);
}

#[test]
fn what_can_not_be_written_is_counted_and_said_later() {
    let (root, logs) = logs(settings());
    let function = name("blocked");
    let path = root.path().join("logs/blocked");
    std::fs::write(&path, b"a file where the directory should be").unwrap();
    logs.append(&function, &STREAM.into(), events(0..5));
    logs.flush();
    logs.flush();
    assert_eq!(logs.dropped_total(), 5);
    std::fs::remove_file(&path).unwrap();
    logs.append(&function, &STREAM.into(), events(5..7));
    let (tail, _) = logs.tail(&function, 10, None).unwrap();
    assert_eq!(
        (tail[0].text.as_str(), tail[0].at_unix_ms),
        ("5 events dropped", 4)
    );
    assert_eq!(&tail[1..], events(5..7));
    assert_eq!(logs.dropped_total(), 5);
}

#[test]
fn the_thread_writes_by_itself_and_a_reader_in_another_process_sees_it() {
    let (root, logs) = logs(LogSettings::default());
    let function = name("live");
    logs.append(&function, &STREAM.into(), events(0..3));
    let data_dir = DataDir::open_for_reading(root.path()).unwrap();
    let reader = Logs::open(&data_dir, LogSettings::default()).unwrap();
    let clock = domain::Clock::system();
    let start = clock.now();
    while reader.tail(&function, 10, None).unwrap().0.len() < 3 {
        assert!(clock.now() - start < Duration::from_secs(10));
        std::thread::yield_now();
    }
    reader.append(&function, &STREAM.into(), events(3..5));
    assert_eq!(reader.dropped_total(), 2);
    reader.remove(&function).unwrap_err();
    assert_eq!(reader.tail(&function, 10, None).unwrap().0, events(0..3));
}

#[test]
fn threads_append_while_others_follow() {
    let (_root, logs) = logs(LogSettings {
        flush_every: Duration::from_millis(1),
        ..settings()
    });
    let function = name("busy");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (logs, function) = (&logs, &function);
            scope.spawn(move || {
                for number in 0..500 {
                    logs.append(
                        function,
                        &STREAM.into(),
                        [event(number, &format!("{thread}"))],
                    );
                }
            });
        }
        let (mut cursor, mut seen) = (LogCursor::START, Vec::new());
        while seen.len() < 2_000 {
            let (more, next) = logs.read_after(&function, &cursor, 100).unwrap();
            cursor = next;
            seen.extend(more);
        }
        for thread in 0..4_u64 {
            let times = seen.iter().filter(|event| event.text == thread.to_string());
            assert!(times.map(|event| event.at_unix_ms).eq(0..500), "{thread}");
        }
    });
    assert_eq!(logs.dropped_total(), 0);
}
