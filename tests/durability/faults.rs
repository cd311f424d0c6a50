//! A machine that fails on purpose: syncs at which the process dies or that fail, and clocks that jump.
//!
//! A small library in C (`faults.c`), loaded before the C library, does it to the real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::guests::{printing, speaking};
use support::http::send;
use support::{Request, Response, Site, TestHost, count, report, skip, until};

/// Where the library and what it is told are.
struct Faults {
    folder: tempfile::TempDir,
}

impl Faults {
    /// `None` where there is no compiler that makes libraries for the server.
    fn build() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("durability/faults.c");
        let library = folder.path().join("faults.so");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]);
        let built = command.arg(&library).arg(source).arg("-ldl").status();
        fs::write(folder.path().join("clock"), 0_i64.to_ne_bytes()).unwrap();
        match built {
            Ok(status) if status.success() => Some(Self { folder }),
            _ => {
                skip("a machine that fails", "there is no `cc`");
                None
            }
        }
    }

    /// A site whose servers fail as they are told.
    fn site(&self) -> Site {
        let path = |name: &str| -> String {
            let path: PathBuf = self.folder.path().join(name);
            path.to_str().unwrap().to_owned()
        };
        Site::builder()
            .env("LD_PRELOAD", &path("faults.so"))
            .env("FAULTS", &path(""))
            .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "20")
            .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "20")
            .announce("sync")
            .announce("stopped")
            .announce("I/O")
            .announce("failed")
            .build()
    }

    /// For the next start.
    fn fail_sync(&self, of: &str, nth: usize, how: &str) {
        fs::write(self.folder.path().join("sync"), format!("{of}:{nth}:{how}")).unwrap();
    }

    fn none(&self) {
        fs::remove_file(self.folder.path().join("sync")).unwrap();
    }

    /// From now on.
    fn set_clock(&self, wrong_by_s: i64) {
        // In place: the file is mapped.
        let path = self.folder.path().join("clock");
        let file = fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &wrong_by_s.to_ne_bytes(), 0).unwrap();
    }
}

/// Sends an event; its answer, if there is one.
fn event(host: &TestHost, function: &str, wrong_by_s: i64) -> Option<Response> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let request = Request::post(&path, "{}").header("x-amz-invocation-type", "Event");
    signed(host, &request, wrong_by_s)
}

/// Sends a request that is signed by the server's clock.
fn signed(host: &TestHost, request: &Request, wrong_by_s: i64) -> Option<Response> {
    let mut signer = host.root_signer();
    let wrong_by = Duration::from_secs(wrong_by_s.unsigned_abs());
    #[expect(clippy::disallowed_methods, reason = "what the server's clock says")]
    let now = SystemTime::now();
    signer.at = Some(if wrong_by_s < 0 {
        now - wrong_by
    } else {
        now + wrong_by
    });
    send(host.control(), &signer.sign(request, host.control())).ok()
}

/// All events, by a server whose clock is wrong.
fn events(host: &TestHost, wrong_by_s: i64) -> Option<Vec<Value>> {
    let response = signed(host, &Request::get("/mayfly/events?limit=1000"), wrong_by_s)?;
    assert_eq!(response.status, 200, "{}", response.text());
    Some(response.json()["events"].as_array().unwrap().clone())
}

fn is_final(event: &Value) -> bool {
    matches!(
        event["state"].as_str().unwrap(),
        "succeeded" | "dead" | "expired"
    )
}

/// Waits until every event ended; how each of these did.
#[track_caller]
fn endings(host: &TestHost, ids: &[String], wrong_by_s: i64) -> Vec<String> {
    let ended = until("the end of all events", || {
        let events = events(host, wrong_by_s)?;
        events.iter().all(is_final).then_some(events)
    });
    let ending = |id: &String| {
        let found = ended.iter().find(|event| event["request_id"] == **id);
        assert!(found.is_some(), "the accepted event {id} is lost");
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    ids.iter().map(ending).collect()
}

/// Each attempt at each event has exactly one record.
#[track_caller]
fn check_records(host: &TestHost) {
    let ledger = host.ledger();
    for event in events(host, 0).unwrap() {
        let id = event["request_id"].as_str().unwrap();
        let mut attempts: Vec<u64> = ledger
            .entries
            .iter()
            .filter(|entry| entry["request_id"] == *id)
            .map(|entry| entry["attempt"].as_u64().unwrap())
            .collect();
        attempts.sort_unstable();
        let expected: Vec<u64> = (1..=event["attempts"].as_u64().unwrap()).collect();
        assert_eq!(attempts, expected, "{event}");
    }
}

fn bad() -> String {
    speaking("{\"errorMessage\":\"no\"}", "", 1)
}

#[test]
fn a_server_that_dies_at_a_sync_keeps_what_it_answered() {
    let Some(faults) = Faults::build() else {
        return;
    };
    let mut deaths = 0;
    let mut accepted = 0;
    let (points, step) = (count(4, 60), count(15, 2));
    for of in ["queue.db", "/ledger/"] {
        for point in 1..=points {
            let nth = point * step - step / 2;
            let how = if point % 2 == 0 { "after" } else { "kill" };
            let site = faults.site();
            faults.fail_sync(of, nth, how);
            let mut ids = Vec::new();
            // It may die before it is ready.
            if let Ok(host) = site.try_start() {
                host.drop_wat("good", &printing("1"));
                host.drop_wat("bad", &bad());
                for round in 0..200 {
                    let function = if round % 3 == 0 { "bad" } else { "good" };
                    let Some(response) = event(&host, function, 0) else {
                        break;
                    };
                    if response.status == 202 {
                        ids.push(response.request_id());
                    }
                }
                host.kill();
            }
            deaths += 1;
            accepted += ids.len();
            faults.none();
            let host = site.start();
            for ending in endings(&host, &ids, 0) {
                assert!(matches!(&*ending, "succeeded" | "dead"), "{ending}");
            }
            check_records(&host);
        }
    }
    report(
        "deaths at a sync, events accepted, lost",
        format!("{deaths}, {accepted}, 0"),
    );
}

#[test]
fn a_sync_that_fails_once_stops_the_server_and_loses_nothing() {
    let Some(faults) = Faults::build() else {
        return;
    };
    for (of, nth) in [("queue.db-wal", 6), ("/ledger/", 12)] {
        let site = faults.site();
        let host = site.start();
        host.deploy("good", &printing("1"));
        host.stop();
        faults.fail_sync(of, nth, "eio");
        let host = site.start();
        let mut ids = Vec::new();
        // Whatever is accepted before and after the failure counts; nothing is after it.
        let refused = until("a refusal, or the end", || match event(&host, "good", 0) {
            Some(response) if response.status == 202 => {
                ids.push(response.request_id());
                None
            }
            answer => Some(answer),
        });
        if let Some(response) = refused {
            assert_eq!(response.status, 503, "{}", response.text());
        }
        let code = host.wait_exit();
        assert!(code.is_some_and(|code| code != 0), "{of}: {code:?}");
        faults.none();
        let host = site.start();
        assert!(
            !ids.is_empty(),
            "{of}: it failed before anything was accepted"
        );
        let endings = endings(&host, &ids, 0);
        assert!(
            endings.iter().all(|state| state == "succeeded"),
            "{endings:?}"
        );
        check_records(&host);
    }
}

#[test]
fn a_wall_clock_that_jumps_ages_no_event_and_wakes_none() {
    const YEAR_S: i64 = 31_557_600;
    let Some(faults) = Faults::build() else {
        return;
    };
    let site = faults.site();
    let mut host = site.start();
    host.deploy("bad", &bad());
    host.deploy("good", &printing("1"));
    let mut before_s = 0;
    for wrong_by_s in [-3_600, 3_600, -10 * YEAR_S, 100 * YEAR_S, 0] {
        let mut ids = Vec::new();
        for function in ["bad", "good", "bad"] {
            let response = event(&host, function, before_s).unwrap();
            assert_eq!(response.status, 202, "{}", response.text());
            ids.push(response.request_id());
        }
        faults.set_clock(wrong_by_s);
        let ended = endings(&host, &ids, wrong_by_s);
        assert_eq!(ended, ["dead", "succeeded", "dead"], "{wrong_by_s} s");
        before_s = wrong_by_s;
        // Over a restart too.
        let response = event(&host, "bad", wrong_by_s).unwrap();
        let id = response.request_id();
        host.kill();
        host = site.start();
        assert_eq!(
            endings(&host, &[id], wrong_by_s),
            ["dead"],
            "{wrong_by_s} s"
        );
    }
    // Before 1970: nothing can be signed, and functions are called.
    faults.set_clock(-70 * YEAR_S);
    for _ in 0..3 {
        assert_eq!(host.get("/good").status, 200);
    }
    faults.set_clock(0);
    let conditions: Vec<_> = events(&host, 0).unwrap();
    assert!(
        conditions
            .iter()
            .all(|event| event["condition"] != "EventAgeExceeded")
    );
    check_records(&host);
}
