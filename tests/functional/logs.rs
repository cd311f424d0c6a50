//! Logs: bounded on disk, in pieces, and there when nobody serves.

use std::fs;
use std::path::Path;

use support::guests::{guest, speaking};
use support::site::Finished;
use support::{Site, TestHost, report, until};

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                bytes_below(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

#[test]
fn the_log_of_a_function_has_a_bound_on_disk_and_keeps_what_is_newest() {
    let host = Site::builder()
        .env("MAYFLY_LOGS_SEGMENT_KB", "64")
        .env("MAYFLY_LOGS_SEGMENTS_PER_FUNCTION", "3")
        .start();
    host.deploy("chatty", &guest("chatty"));
    let mut last = String::new();
    // Together less than may wait in memory for the disk, so that a slow one loses nothing.
    for _ in 0..12 {
        last = host.get("/chatty").request_id();
    }
    let report_line = format!("REPORT RequestId: {last}\t");
    until("the newest report at the end of the log", || {
        host.logs("chatty")
            .last()?
            .starts_with(&report_line)
            .then_some(())
    });
    let bytes = bytes_below(&host.data().join("logs"));
    report(
        "bytes on disk of 12 logs of 256 KiB, at most 3 segments of 64 KB",
        bytes,
    );
    // A segment may be as long as the largest line beyond its size.
    assert!(bytes < 4 * (64 << 10) + (256 << 10), "{bytes}");
}

#[test]
fn a_log_is_read_by_its_end_by_time_and_from_a_cursor() {
    let host = TestHost::start();
    host.deploy("f", &speaking("1", "one\n", 0));
    let first = host.get("/f").request_id();
    let _log = host.log_of("f", &first);
    let page = host.control_json("/mayfly/logs/f?tail=2");
    let texts: Vec<&str> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0], format!("END RequestId: {first}"));

    let cursor = page["cursor"].as_str().unwrap();
    let after = host.control_json(&format!("/mayfly/logs/f?after={cursor}"));
    assert_eq!(after["events"], serde_json::json!([]));
    let second = host.get("/f").request_id();
    let _log = host.log_of("f", &second);
    let after = host.control_json(&format!("/mayfly/logs/f?after={cursor}"));
    let after = after["events"].as_array().unwrap();
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(
        after
            .iter()
            .all(|event| !event["text"].as_str().unwrap().contains(&first))
    );

    let times: Vec<u64> = host
        .log_events("f")
        .iter()
        .map(|event| event["timestamp"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let later = times.last().unwrap() + 1;
    let none = host.control_json(&format!("/mayfly/logs/f?since_ms={later}"));
    assert_eq!(none["events"], serde_json::json!([]));
}

#[test]
fn logs_can_be_read_when_nobody_serves() {
    let host = TestHost::start();
    let site = host.site().clone();
    host.deploy("f", &speaking("1", "a line\n", 0));
    let id = host.get("/f").request_id();
    let _log = host.log_of("f", &id);
    host.stop();
    let mut command = site.command();
    command
        .env("MAYFLY_CONTROL", "127.0.0.1:1")
        .env("MAYFLY_DATA", site.data());
    let said = Finished::of(command.args(["logs", "f"])).ok();
    assert!(
        said.contains("a line") && said.contains(&format!("REPORT RequestId: {id}\t")),
        "{said}"
    );
}
