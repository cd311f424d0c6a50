//! A running server, and what people and programs ask of it.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::http::{self, Request, Response};
use crate::ledger::Ledger;
use crate::process::Process;
use crate::sign::Signer;
use crate::site::{Finished, Site};
use crate::wait::{self, Stopwatch, until};

/// How long a file may be refused before it is live.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(15);

/// Longest drain, and then some.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it stops it and checks how it ended.
#[derive(Debug)]
pub struct TestHost {
    site: Site,
    process: Process,
    http: SocketAddr,
    control: SocketAddr,
    is_done: bool,
}

impl Deref for TestHost {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl TestHost {
    /// A server with default settings on an empty site.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Site::new().start()
    }

    pub(crate) fn start_on(site: &Site) -> Result<Self, String> {
        let mut process = Process::start(&mut site.serve_command(&[]));
        let line = until("the server's first line", || {
            process
                .stdout
                .find("listening ")
                .map(Ok)
                .or_else(|| process.ended().map(Err))
        });
        let Ok(line) = line else {
            process.wait();
            let lines = [process.stdout.all(), process.stderr.all()].concat();
            return Err(lines.join("\n"));
        };
        let address = |key: &str| -> SocketAddr {
            let (_, url) = line.split_once(&format!("{key}=http")).unwrap();
            let (_, rest) = url.split_once("://").unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let (http, control) = (address("http"), address("control"));
        let host = Self {
            site: site.clone(),
            process,
            http,
            control,
            is_done: false,
        };
        let _ready = host.process.stdout.wait_for("ready");
        Ok(host)
    }

    /// Where functions answer.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where the control API answers.
    #[must_use]
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// The site it runs on.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends a request for a function.
    #[track_caller]
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        match http::send(self.http, request) {
            Ok(response) => response,
            Err(error) => panic!("{request:?}: {error}\n{}", self.diagnosis()),
        }
    }

    /// GETs a function's path.
    #[track_caller]
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// The root key, as the server wrote it.
    #[track_caller]
    #[must_use]
    pub fn root_signer(&self) -> Signer {
        Signer::read(&self.site.credentials()).unwrap()
    }

    /// Sends a request to the control API, signed with the root key unless it opts out.
    #[track_caller]
    #[must_use]
    pub fn control_send(&self, request: &Request) -> Response {
        let signed = request
            .wants_signature()
            .then(|| self.root_signer().sign(request, self.control));
        match http::send(self.control, signed.as_ref().unwrap_or(request)) {
            Ok(response) => response,
            Err(error) => panic!("{request:?}: {error}\n{}", self.diagnosis()),
        }
    }

    /// GETs JSON from the control API.
    #[track_caller]
    #[must_use]
    pub fn control_json(&self, target: &str) -> Value {
        let response = self.control_send(&Request::get(target));
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        response.json()
    }

    /// Invokes a function through the control API.
    #[track_caller]
    #[must_use]
    pub fn invoke(&self, name: &str, event: impl Into<Vec<u8>>) -> Response {
        self.control_send(&invocation(name, event))
    }

    /// Runs `curl` with these arguments; `{}` in one is the address of the triggers.
    #[track_caller]
    #[must_use]
    pub fn curl(&self, arguments: &[&str]) -> Finished {
        let address = format!("http://{}", self.http);
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60"]);
        command.args(
            arguments
                .iter()
                .map(|argument| argument.replace("{}", &address)),
        );
        Finished::of(&mut command)
    }

    /// Runs the program as a client of this server.
    #[track_caller]
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.cli_command().args(arguments))
    }

    /// The program as a client of this server, without arguments.
    #[must_use]
    pub fn cli_command(&self) -> Command {
        let mut command = self.command();
        command.env("MAYFLY_CONTROL", self.control.to_string());
        command.env("MAYFLY_LISTEN", self.http.to_string());
        command
            .env("MAYFLY_FUNCTIONS", self.functions())
            .env("MAYFLY_DATA", self.data())
            .env("MAYFLY_CREDENTIALS", self.credentials());
        command
    }

    /// What the server says of a function, if there is one of this name.
    #[track_caller]
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Value> {
        let listing = self.control_json("/mayfly/functions");
        let functions = listing["functions"].as_array().unwrap();
        functions
            .iter()
            .find(|function| function["name"] == name)
            .cloned()
    }

    /// Why a file is refused, if it is.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self, file: &str) -> Option<String> {
        let listing = self.control_json("/mayfly/functions");
        let refused = listing["refused"].as_array().unwrap();
        let entry = refused.iter().find(|entry| entry["file"] == file)?;
        Some(entry["reason"].as_str().unwrap().to_owned())
    }

    /// Waits until what `NAME.wasm` holds now is what the server runs.
    #[track_caller]
    pub fn wait_live(&self, name: &str) {
        let wasm = fs::read(self.functions().join(format!("{name}.wasm"))).unwrap();
        self.wait_artifact(name, &wasm);
    }

    /// Waits until `wasm` is what the server runs.
    #[track_caller]
    pub fn wait_artifact(&self, name: &str, wasm: &[u8]) {
        let hash: String = Sha256::digest(wasm)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let file = format!("{name}.wasm");
        let watch = Stopwatch::start();
        until(&format!("{file} to be live"), || {
            let function = self.function(name);
            if function.is_some_and(|f| f["artifact"].as_str().unwrap().contains(&hash)) {
                return Some(());
            }
            // What it was refused for before, it may still be refused for at first.
            let refused = self
                .refusal(&file)
                .filter(|_| watch.elapsed() > REFUSAL_PATIENCE);
            assert_eq!(refused, None, "{file} was refused");
            None
        });
    }

    /// Waits until the server says of a function what `is_so` wants to hear.
    #[track_caller]
    pub fn wait_function(&self, name: &str, is_so: impl Fn(&Value) -> bool) {
        until(&format!("function {name} as configured"), || {
            self.function(name).filter(|function| is_so(function))
        });
    }

    /// Waits until a function is gone.
    #[track_caller]
    pub fn wait_gone(&self, name: &str) {
        until(&format!("the end of function {name}"), || {
            self.function(name).is_none().then_some(())
        });
    }

    /// Waits until a file is refused; the reason.
    #[track_caller]
    #[must_use]
    pub fn wait_refused(&self, file: &str) -> String {
        until(&format!("a refusal of {file}"), || self.refusal(file))
    }

    /// Drops a module made from text, and waits until it is live.
    #[track_caller]
    pub fn deploy(&self, name: &str, wat: &str) {
        self.drop_wat(name, wat);
        self.wait_live(name);
    }

    /// The same with a manifest, which is there first.
    #[track_caller]
    pub fn deploy_with(&self, name: &str, manifest: &str, wat: &str) {
        self.manifest(name, manifest);
        self.deploy(name, wat);
    }

    /// The events of a function's log, oldest first.
    #[track_caller]
    #[must_use]
    pub fn log_events(&self, name: &str) -> Vec<Value> {
        let log = self.control_json(&format!("/mayfly/logs/{name}?tail=10000"));
        log["events"].as_array().unwrap().clone()
    }

    /// The texts of a function's log, oldest first.
    #[track_caller]
    #[must_use]
    pub fn logs(&self, name: &str) -> Vec<String> {
        let events = self.log_events(name);
        events
            .iter()
            .map(|event| event["text"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The texts of one invocation, from START to REPORT. Waits for them.
    #[track_caller]
    #[must_use]
    pub fn log_of(&self, name: &str, request_id: &str) -> Vec<String> {
        let start = format!("START RequestId: {request_id} ");
        let report = format!("REPORT RequestId: {request_id}\t");
        until(&format!("the log of invocation {request_id}"), || {
            let logs = self.logs(name);
            let first = logs.iter().position(|text| text.starts_with(&start))?;
            let last = logs.iter().position(|text| text.starts_with(&report))?;
            Some(logs[first..=last].to_vec())
        })
    }

    /// The ledger.
    #[track_caller]
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::read(self)
    }

    /// The request ids of the newest `limit` records.
    #[track_caller]
    #[must_use]
    pub fn newest_records(&self, limit: usize) -> HashSet<String> {
        let entries = self.control_json(&format!("/mayfly/billing?limit={limit}"));
        let id = |entry: &Value| entry["request_id"].as_str().unwrap().to_owned();
        entries.as_array().unwrap().iter().map(id).collect()
    }

    /// The record of an invocation. Waits for it.
    #[track_caller]
    #[must_use]
    pub fn record(&self, request_id: &str) -> Value {
        until(&format!("a record of {request_id}"), || {
            self.ledger().entry(request_id).cloned()
        })
    }

    /// The sum of a metric over the samples whose labels hold all of `labels`.
    #[track_caller]
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.control_send(&Request::get("/metrics")).text();
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (known, with) = series.split_once('{').unwrap_or((series, ""));
            let wanted = known == name && labels.iter().all(|label| with.contains(label));
            wanted.then(|| value.parse::<u64>().unwrap())
        });
        let values: Vec<u64> = samples.collect();
        assert!(
            !values.is_empty(),
            "there is no metric {name} {labels:?} in\n{text}"
        );
        values.iter().sum()
    }

    /// Waits until nothing runs and no sandbox holds memory.
    #[track_caller]
    pub fn wait_idle(&self) {
        until("all sandboxes gone", || {
            let gauges = [
                "mayfly_running",
                "mayfly_sandboxes",
                "mayfly_sandbox_memory_bytes",
            ];
            gauges
                .iter()
                .all(|gauge| self.metric(gauge, &[]) == 0)
                .then_some(())
        });
    }

    /// Open file descriptors of the server.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.pid());
        fs::read_dir(path).unwrap().count()
    }

    /// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in kB.
    #[must_use]
    pub fn status_number(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{key}:")))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Asks the server to stop, and returns at once.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for the end of a server that was asked to stop, and checks how it ended.
    #[track_caller]
    pub fn wait_end(mut self) {
        self.check_end();
    }

    /// Stops the server and checks how it ended, as dropping it does.
    #[track_caller]
    pub fn stop(mut self) {
        self.check_ledger();
        self.terminate();
        self.check_end();
    }

    /// Waits for a server that ends by itself because something failed; its exit code.
    #[track_caller]
    pub fn wait_exit(mut self) -> Option<i32> {
        self.is_done = true;
        let status = self.process.wait();
        self.check_output();
        status.code()
    }

    /// Ends the server with SIGKILL. What it wrote until then is checked for panics.
    #[track_caller]
    pub fn kill(mut self) {
        self.process.kill();
        self.is_done = true;
        self.check_output();
    }

    /// What to show when something is not as it should be.
    #[must_use]
    pub fn diagnosis(&self) -> String {
        let tail = |lines: Vec<String>| {
            let from = lines.len().saturating_sub(30);
            lines[from..].join("\n")
        };
        let (out, err) = (self.process.stdout.all(), self.process.stderr.all());
        format!("--- stdout\n{}\n--- stderr\n{}", tail(out), tail(err))
    }

    /// The ledger adds up. Called when a server is stopped; a test may call it earlier.
    #[track_caller]
    pub fn check_ledger(&self) {
        let prices_are_default = !self.site.sets("MAYFLY_BILLING_ROUNDING_MS")
            && !self.site.sets("MAYFLY_BILLING_GB_SECOND_PICOUSD");
        // An invocation whose client left is recorded after the client is gone.
        let problem = wait::within(Duration::from_secs(5), || {
            Ledger::read(self)
                .problem(prices_are_default)
                .is_none()
                .then_some(())
        });
        if problem.is_none() {
            let problem = Ledger::read(self).problem(prices_are_default);
            assert_eq!(problem, None, "the ledger does not add up");
        }
    }

    #[track_caller]
    fn check_end(&mut self) {
        self.is_done = true;
        let Some(status) = self.process.wait_within(STOP_PATIENCE) else {
            let diagnosis = self.diagnosis();
            self.process.kill();
            panic!("the server did not stop\n{diagnosis}");
        };
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.diagnosis());
        self.check_output();
    }

    #[track_caller]
    fn check_output(&self) {
        let announced = |line: &str| self.site.announced().iter().any(|part| line.contains(part));
        for line in self.process.stderr.all() {
            assert!(
                !line.contains("panicked at"),
                "{line}\n{}",
                self.diagnosis()
            );
            // Of a log line: time, level, the rest. A guest's words come later in a line.
            let is_error = line
                .split_whitespace()
                .take(2)
                .any(|word| word.contains("ERROR"));
            assert!(!is_error || announced(&line), "the server logged: {line}");
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if std::thread::panicking() {
            show(&self.diagnosis());
            self.process.kill();
            return;
        }
        if self.process.ended().is_none() {
            self.check_ledger();
            self.terminate();
        }
        self.check_end();
    }
}

/// A request that invokes a function through the control API.
#[must_use]
pub fn invocation(name: &str, event: impl Into<Vec<u8>>) -> Request {
    Request::post(&format!("/2015-03-31/functions/{name}/invocations"), event)
}

#[expect(clippy::print_stderr, reason = "shown with the failed test")]
fn show(text: &str) {
    eprintln!("{text}");
}
