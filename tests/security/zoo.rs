//! A server with a hostile guest on it, a harmless function that is called all the while, and the
//! checks that hold after each guest whatever it did.

use std::time::Duration;

use serde_json::Value;
use support::guests::printing;
use support::load::Load;
use support::{Request, Response, Site, TestHost, report, until};

/// Descriptors and threads that may come and go by themselves: connections, idle helpers.
const DRIFT: usize = 40;

/// How a guest must end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// With this text.
    Answers(&'static str),
    /// At its deadline.
    Timeout,
    /// With this status in the ledger, this error type, and this part of the message.
    Fails(&'static str, &'static str, &'static str),
    /// In any of these ledger statuses.
    OneOf(&'static [&'static str]),
}

/// A trap of this code.
pub(crate) const fn trap(code: &'static str) -> Expected {
    Expected::Fails("error", "Runtime.ExitError", code)
}

/// Ran out of memory.
pub(crate) const OUT_OF_MEMORY: Expected =
    Expected::Fails("out_of_memory", "Runtime.OutOfMemory", "signal: killed");

/// The server, watched.
pub(crate) struct Zoo {
    pub(crate) host: TestHost,
    canary: Option<Load>,
    descriptors: usize,
    threads: u64,
    rss_kb: u64,
}

impl Zoo {
    /// Starts it, and the calls of the harmless function.
    pub(crate) fn open() -> Self {
        Self::open_on(&Site::new())
    }

    pub(crate) fn open_on(site: &Site) -> Self {
        let host = site.start();
        host.deploy("canary", &printing("\"alive\""));
        assert_eq!(host.get("/canary").text(), "alive");
        let canary = Load::start(host.http(), &[Request::get("/canary")], 1, Some(20));
        canary.wait_answers(5);
        let (descriptors, threads) = (host.descriptors(), host.status_number("Threads"));
        let rss_kb = host.status_number("VmRSS");
        Self {
            host,
            canary: Some(canary),
            descriptors,
            threads,
            rss_kb,
        }
    }

    /// Runs one guest by HTTP and by Invoke, and checks everything after it.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, manifest: &str, wat: &str, expected: Expected) {
        let host = &self.host;
        host.deploy_with(name, manifest, wat);
        let response = host.get(&format!("/{name}"));
        self.check_answer(name, &response, expected);
        let invoked = host.invoke(name, "{}");
        self.check_invoked(name, &invoked, expected);
        self.check_after(name);

        // The same function, mended, works at once.
        host.deploy(name, &printing("\"good\""));
        assert_eq!(host.get(&format!("/{name}")).text(), "good", "{name}");
    }

    #[track_caller]
    pub(crate) fn check_answer(&self, name: &str, response: &Response, expected: Expected) {
        let record = self.host.record(&response.request_id());
        self.check_record(name, &record, expected);
        let status = match (expected, record["status"].as_str().unwrap()) {
            (Expected::Answers(text), _) => {
                assert_eq!(response.text(), text, "{name}");
                200
            }
            (_, "success") => 200,
            (_, "timeout") => 504,
            _ => 502,
        };
        assert_eq!(response.status, status, "{name}: {}", response.text());
        if status != 200 {
            let said = response.json();
            let members: Vec<&String> = said.as_object().unwrap().keys().collect();
            assert_eq!(members, ["message", "requestId"], "{name}: {said}");
        }
    }

    #[track_caller]
    fn check_invoked(&self, name: &str, response: &Response, expected: Expected) {
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let record = self.host.record(&response.request_id());
        self.check_record(name, &record, expected);
        if record["status"] == "success" {
            assert_eq!(response.header("x-amz-function-error"), None, "{name}");
            return;
        }
        assert_eq!(
            response.header("x-amz-function-error"),
            Some("Unhandled"),
            "{name}"
        );
        let error = response.json();
        assert_eq!(error["errorType"], record["error_type"], "{name}");
        assert!(
            response.body.len() < 8_192,
            "{name}: an error of {} bytes",
            response.body.len()
        );
        if let Expected::Fails(_, _, part) = expected {
            let message = error["errorMessage"].as_str().unwrap();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[track_caller]
    fn check_record(&self, name: &str, record: &Value, expected: Expected) {
        let (statuses, error_type): (&[&str], Option<&str>) = match expected {
            Expected::Answers(_) => (&["success"], None),
            Expected::Timeout => (&["timeout"], Some("Sandbox.Timedout")),
            Expected::Fails(ref status, error_type, _) => {
                (std::slice::from_ref(status), Some(error_type))
            }
            Expected::OneOf(statuses) => (statuses, None),
        };
        let status = record["status"].as_str().unwrap();
        assert!(
            statuses.contains(&status),
            "{name}: {record}, not {expected:?}"
        );
        if let Some(error_type) = error_type {
            assert_eq!(record["error_type"], error_type, "{name}: {record}");
        }
    }

    /// What must hold after any guest.
    #[track_caller]
    pub(crate) fn check_after(&self, name: &str) {
        let host = &self.host;
        // The canary itself may be running when we look.
        until(&format!("nothing of {name} to be left"), || {
            (host.metric("mayfly_running", &[]) == 0
                && host.metric("mayfly_sandboxes", &[]) == 0
                && host.metric("mayfly_sandbox_memory_bytes", &[]) == 0)
                .then_some(())
        });
        until(&format!("the descriptors of {name} to be closed"), || {
            (host.descriptors() <= self.descriptors + DRIFT).then_some(())
        });
    }

    /// Stops, and checks that the harmless function never noticed a thing.
    #[track_caller]
    pub(crate) fn close(mut self) {
        let shots = self.canary.take().unwrap().stop();
        let failed: Vec<_> = shots.iter().filter(|shot| shot.status() != 200).collect();
        assert!(
            failed.is_empty(),
            "{} of {}: {:?}",
            failed.len(),
            shots.len(),
            failed.first()
        );
        let mut times: Vec<Duration> = shots.iter().map(|shot| shot.took).collect();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_millis();
        let host = &self.host;
        assert!(host.function("canary").is_some());
        assert!(host.status_number("Threads") <= self.threads + DRIFT as u64);
        let rss_kb = host.status_number("VmRSS");
        let text = format!(
            "{} calls, p50 {} ms, p99 {} ms; resident {} MB before, {} MB after",
            times.len(),
            at(50),
            at(99),
            self.rss_kb >> 10,
            rss_kb >> 10
        );
        report("canary beside hostile guests", text);
    }
}
