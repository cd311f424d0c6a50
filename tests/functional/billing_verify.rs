//! `mayfly billing verify`: a ledger that was written is right, one that was touched is not. Strict
//! mode: what the server died under is on the bill, for nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::guests::{guest_with, printing};
use support::site::Finished;
use support::{Site, TestHost, until};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The oldest segment of a data directory.
fn segment(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("ledger")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let segments = paths.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".seg") && name.starts_with('0')
    });
    segments.min().unwrap()
}

/// Where the records of a segment begin: each says how long it is.
fn frames(segment: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = 128;
    loop {
        let length = segment[at..at + 4].try_into().unwrap();
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap();
        if length == 0 {
            return frames;
        }
        frames.push(at);
        at += (24 + length).next_multiple_of(8);
    }
}

/// Checks the ledger of `data`, in which no server needs to run.
fn verify(site: &Site, data: &Path, more: &[&str]) -> Finished {
    let mut command = Command::new(support::binary::mayfly());
    command
        .args(["billing", "verify", "--data", data.to_str().unwrap()])
        .args(more)
        .env("MAYFLY_FUNCTIONS", site.functions())
        .current_dir(site.root());
    Finished::of(&mut command)
}

fn verified(site: &Site, data: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let more = [&["--json"], more].concat();
    let finished = verify(site, data, &more);
    let json = serde_json::from_str(&finished.stdout);
    assert!(json.is_ok(), "{finished:?}");
    (finished.code, json.unwrap())
}

fn called(count: u32) -> TestHost {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    for _ in 0..count {
        assert_eq!(host.get("/f").status, 200);
    }
    host
}

#[test]
fn one_altered_byte_is_found_and_named_with_its_record() {
    let host = called(10);
    let site = host.site().clone();
    let (code, beside) = verified(&site, &site.data(), &[]);
    assert_eq!(
        (code, &beside["records"]),
        (Some(0), &json!(10)),
        "{beside}"
    );
    let said = host.cli(&["billing", "verify"]).ok();
    assert!(
        said.contains("10 records (1 to 10) in 1 segment\n"),
        "{said}"
    );
    assert!(said.contains("nothing is wrong\n"), "{said}");
    host.stop();

    let (code, clean) = verified(&site, &site.data(), &[]);
    assert_eq!((code, &clean["problems"]), (Some(0), &json!([])), "{clean}");
    assert_eq!(clean["head"], beside["head"]);

    let touched = site.root().join("touched");
    copy(&site.data(), &touched);
    let path = segment(&touched);
    let good = fs::read(&path).unwrap();
    let frames = frames(&good);
    assert_eq!(frames.len(), 10);
    // In the first record, one in the middle, and the last one; then in a length, which hides the rest.
    for (frame, at, readable) in [(0, 30, 9), (4, 40, 9), (9, 30, 9), (3, 0, 3)] {
        let mut bad = good.clone();
        bad[frames[frame] + at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let (code, found) = verified(&site, &touched, &[]);
        assert_eq!(code, Some(1), "{found}");
        assert_eq!(found["problems_total"], 1, "{found}");
        let problem = &found["problems"][0];
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(problem["file"], format!("ledger/{name}"));
        assert_eq!(problem["sequence"], frame + 1, "{found}");
        assert_eq!(problem["offset"], frames[frame], "{found}");
        assert_eq!(found["records"], readable, "{found}");
        assert!(found["head"].is_null(), "{found}");
        let finished = verify(&site, &touched, &[]);
        let line = format!("PROBLEM ledger/{name}, record {}, byte ", frame + 1);
        assert!(finished.stdout.contains(&line), "{finished:?}");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(verified(&site, &touched, &[]).0, Some(0));
    fs::remove_dir_all(touched.join("ledger")).unwrap();
    // Nothing is there that could be missed: no segment was sealed yet.
    assert_eq!(verified(&site, &touched, &[]).1["records"], 0);
}

#[test]
fn a_head_that_was_kept_tells_whether_the_past_is_the_same() {
    let host = called(3);
    let site = host.site().clone();
    let head = verified(&site, &site.data(), &[]).1["head"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(head.ends_with("@3"), "{head}");
    for _ in 0..3 {
        assert_eq!(host.get("/f").status, 200);
    }
    let said = host.cli(&["billing", "verify", "--head", &head]).ok();
    assert!(
        said.contains("the records up to 3 are those of the head\n"),
        "{said}"
    );

    let other = called(6);
    let (code, found) = verified(&site, &other.site().data(), &["--head", &head]);
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["problems"][0]["sequence"], 3);
    let future = head.replace("@3", "@7");
    let (code, found) = verified(&site, &site.data(), &["--head", &future]);
    assert_eq!(code, Some(1), "{found}");
    let reason = found["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("ends with record 6"), "{found}");

    for bad in [
        "",
        "abc",
        "@3",
        &head[..20],
        &head.replace("@3", "@0"),
        &head.replace('@', "#"),
    ] {
        let finished = verify(&site, &site.data(), &["--head", bad]);
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("DIGEST@SEQUENCE"), "{finished:?}");
    }
    let finished = verify(&site, &site.root().join("nowhere"), &[]);
    assert!(finished.failed().contains("nowhere"));
}

#[test]
fn in_strict_mode_a_call_that_the_server_died_under_has_a_record_that_costs_nothing() {
    let site = Site::builder().env("MAYFLY_LEDGER_MODE", "strict").build();
    let host = site.start();
    host.deploy("quick", &printing("1"));
    host.deploy("slow", &guest_with("sleep", &[("MS", "60000")]));
    host.manifest("slow", "timeout = 900\n");
    host.wait_function("slow", |function| function["timeout_ms"] == 900_000);
    for _ in 0..5 {
        assert_eq!(host.get("/quick").status, 200);
    }
    let started = site.data().join("ledger/started");
    std::thread::scope(|scope| {
        let address = host.http();
        scope.spawn(move || {
            let mut request = Command::new("curl");
            request.args([
                "--silent",
                "--max-time",
                "60",
                &format!("http://{address}/slow"),
            ]);
            Finished::of(&mut request)
        });
        until("the call to start", || {
            let bytes = fs::read(&started).unwrap();
            bytes.windows(4).any(|bytes| bytes == b"slow").then_some(())
        });
        host.kill();
    });

    let host = site.start();
    let billed = host.control_json("/mayfly/billing?limit=100");
    let billed = billed.as_array().unwrap();
    assert_eq!(billed.len(), 6, "{billed:?}");
    let crashed = billed
        .iter()
        .filter(|record| record["status"] == "host_crash");
    let crashed = crashed.collect::<Vec<_>>();
    assert_eq!(crashed.len(), 1, "{billed:?}");
    assert_eq!(crashed[0]["function"], "slow");
    assert_eq!(
        (
            &crashed[0]["billed_ms"],
            &crashed[0]["charge_picousd"],
            &crashed[0]["attempt"]
        ),
        (&json!(0), &json!(0), &json!(1))
    );
    let verified = host.cli(&["billing", "verify"]).ok();
    assert!(verified.contains("6 records (1 to 6)"), "{verified}");
    // It goes on as before, and says nothing twice.
    assert_eq!(host.get("/quick").status, 200);
    host.kill();
    let host = site.start();
    let billed = host.control_json("/mayfly/billing?limit=100");
    assert_eq!(billed.as_array().unwrap().len(), 7);
}

#[test]
fn a_mode_that_is_none_is_refused() {
    let site = Site::builder().env("MAYFLY_LEDGER_MODE", "sloppy").build();
    let said = site.try_start().unwrap_err();
    assert!(
        said.contains("must be \"group\" or \"strict\", not \"sloppy\""),
        "{said}"
    );
}
