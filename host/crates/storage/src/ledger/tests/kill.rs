//! A process that is killed while it appends loses nothing that it said it has.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Tells the child which directory to use, and that it is one.
const CHILD_DIR: &str = "MAYFLY_KILLED_DIR";
const CHILD_TEST: &str = "ledger::tests::kill::appends_until_killed";
const ROUNDS: u64 = 20;

/// Not a test by itself: the process that is killed.
#[test]
fn appends_until_killed() {
    let Ok(path) = std::env::var(CHILD_DIR) else {
        return;
    };
    let settings = LedgerSettings {
        segment_bytes: 16 << 10,
        retention_bytes: Some(1 << 30),
        ..LedgerSettings::default()
    };
    let ledger = Ledger::open(&DataDir::open(Path::new(&path)).unwrap(), settings).unwrap();
    let base = u64::from(std::process::id()) << 32;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let ledger = &ledger;
            scope.spawn(move || {
                for number in 0.. {
                    let mut id = [0; 10];
                    id[2..].copy_from_slice(&(base + (thread << 24) + number).to_be_bytes());
                    let request_id = RequestId::new(1_763_830_000_000, id);
                    let report = Report {
                        request_id,
                        ..report(number % 1_000)
                    };
                    ledger.append(&report).unwrap();
                    let mut out = std::io::stdout().lock();
                    out.write_all(format!("\nack {}\n", report.request_id).as_bytes())
                        .unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

/// Lets a child append for about `events` acknowledgements, kills it, returns what it acknowledged.
fn killed_child(path: &Path, events: usize) -> Vec<RequestId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD_TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut is_killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = line.unwrap();
        let id = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.strip_prefix("ack "));
        // The last line may be cut; it was not acknowledged then.
        acknowledged.extend(
            id.filter(|id| id.len() == 36)
                .and_then(|id| id.parse::<RequestId>().ok()),
        );
        if acknowledged.len() >= events && !is_killed {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    child.wait().unwrap();
    assert!(is_killed, "the child ended by itself");
    acknowledged
}

#[test]
fn a_killed_process_loses_no_acknowledged_record_and_doubles_none() {
    let root = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..long().unwrap_or(ROUNDS) {
        let events = usize::try_from(1 + round * 61 % 997).unwrap();
        acknowledged.extend(killed_child(root.path(), events));
        let ledger = open(root.path());
        let entries = all(&ledger);
        let ids = entries
            .iter()
            .map(|report| report.request_id)
            .collect::<HashSet<_>>();
        assert_eq!(
            ids.len(),
            entries.len(),
            "a record is there twice in round {round}"
        );
        assert_eq!(
            u64::try_from(entries.len()).unwrap(),
            ledger.records_total()
        );
        let lost = acknowledged.difference(&ids).count();
        assert_eq!(lost, 0, "records are lost in round {round}");
        let invocations = summary(&ledger)
            .iter()
            .map(|row| row.invocations)
            .sum::<u64>();
        assert_eq!(invocations, ledger.records_total(), "round {round}");
    }
}
