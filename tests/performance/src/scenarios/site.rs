//! A Mayfly server with a folder of its own: started, asked, restarted, stopped.
//!
//! Not pinned: server and load share all cores, as they do wherever a machine is busy. Knows nothing of
//! what its functions do.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use support::process::Process;
use support::{Connection, Request, Response, Signer};
use tempfile::TempDir;

use rustix::process::Signal;

/// Between two looks at what a server has printed.
const LOOK: Duration = Duration::from_millis(1);

/// How long a server may take to be ready; 10,000 functions may have to be compiled.
const READY_TIMEOUT: Duration = Duration::from_secs(1_800);

/// How long it may take to stop: its drain, and then some.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a condition may take to come true that a server reports.
const PATIENCE: Duration = Duration::from_secs(30);

/// Functions, settings and data of one server; deleted when dropped.
#[derive(Debug)]
pub(super) struct Site {
    root: TempDir,
    mayfly: PathBuf,
}

impl Site {
    /// An empty functions folder, and `settings` as its `mayfly.toml`.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(super) fn new(mayfly: &Path, settings: &str) -> anyhow::Result<Self> {
        let root = tempfile::tempdir().context("making a folder failed")?;
        fs::create_dir(root.path().join("functions"))?;
        fs::write(root.path().join("mayfly.toml"), settings)?;
        Ok(Self {
            root,
            mayfly: mayfly.to_owned(),
        })
    }

    /// Where `NAME.wasm` belongs.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("functions/{name}.wasm"))
    }

    /// A place beside the functions folder, on the same disk.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes `NAME.wasm`.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(super) fn put(&self, name: &str, wasm: &[u8]) -> anyhow::Result<()> {
        let path = self.place(name);
        fs::write(&path, wasm).with_context(|| format!("writing {} failed", path.display()))
    }

    /// The same with a manifest, which is there first.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(super) fn put_with(&self, name: &str, manifest: &str, wasm: &[u8]) -> anyhow::Result<()> {
        fs::write(self.place(name).with_extension("toml"), manifest)?;
        self.put(name, wasm)
    }

    /// Starts the server and waits until it is ready: what lies in the functions folder is live.
    ///
    /// # Errors
    ///
    /// When it ends instead; with what it printed.
    pub(super) fn start(&self) -> anyhow::Result<Host> {
        let mut command = Command::new(&self.mayfly);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--control", "127.0.0.1:0"])
            .current_dir(self.root.path())
            .env_clear()
            .env("RUST_BACKTRACE", "0");
        let started = Instant::now();
        let mut process = Process::start(&mut command);
        let line = wait_line(&mut process, "listening ")?;
        let _ready = wait_line(&mut process, "ready")?;
        let ready_after = started.elapsed();
        let credentials = self.root.path().join(".mayfly-credentials");
        let signer = Signer::read(&credentials).context("the server wrote no credentials")?;
        Ok(Host {
            process,
            http: address(&line, "http")?,
            control: address(&line, "control")?,
            signer,
            started,
            ready_after,
        })
    }
}

/// A server that is ready. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Host {
    process: Process,
    http: SocketAddr,
    control: SocketAddr,
    signer: Signer,
    started: Instant,
    ready_after: Duration,
}

impl Host {
    /// Where functions answer.
    pub(super) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// When its process was started.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// How long after that it said that it is ready.
    pub(super) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// A connection to its functions.
    ///
    /// # Errors
    ///
    /// When it takes none.
    pub(super) fn connect(&self) -> anyhow::Result<Client> {
        let connection = Connection::open(self.http).context("connecting failed")?;
        Ok(Client(connection))
    }

    /// Where the control API answers.
    pub(super) fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// A request for control, signed.
    pub(super) fn signed(&self, request: &Request) -> Request {
        self.signer.sign(request, self.control)
    }

    /// The sum of a metric over its samples.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let request = self.signed(&Request::get("/metrics"));
        let text = support::http::send(self.control, &request)?.text();
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let known = series.split_once('{').map_or(series, |(known, _)| known);
            (known == name).then(|| value.parse::<f64>().ok())?
        });
        let samples: Vec<f64> = samples.collect();
        ensure!(!samples.is_empty(), "there is no metric {name}");
        Ok(samples.iter().sum())
    }

    /// What it has printed to standard error.
    pub(super) fn printed(&self) -> String {
        self.process.stderr.all().join("\n")
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(mut self) {
        self.process.kill();
    }

    /// JSON of the control API.
    ///
    /// # Errors
    ///
    /// When the answer is not 200.
    pub(super) fn control(&self, target: &str) -> anyhow::Result<Value> {
        let request = self.signer.sign(&Request::get(target), self.control);
        let response = support::http::send(self.control, &request)?;
        let status = response.status;
        ensure!(status == 200, "{target}: {status} {}", response.text());
        Ok(response.json())
    }

    /// Waits until this many invocations run.
    ///
    /// # Errors
    ///
    /// When they don't within half a minute.
    pub(super) fn wait_running(&self, count: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let running = self.control("/health")?["running"].as_u64();
            if running == Some(count) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("{running:?} invocations run, and not {count}");
            }
            sleep(LOOK);
        }
    }

    /// The records of a function, newest first.
    ///
    /// # Errors
    ///
    /// When the control API does not answer.
    pub(super) fn records(&self, function: &str) -> anyhow::Result<Vec<Value>> {
        let target = format!("/mayfly/billing?function={function}&limit=1000000");
        let records = self.control(&target)?;
        Ok(records.as_array().context("not a list")?.clone())
    }

    /// Stops it, and checks that it ends by itself and found nothing wrong.
    ///
    /// # Errors
    ///
    /// When it does not end, fails, or has logged an error.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::TERM);
        let Some(status) = self.process.wait_within(STOP_TIMEOUT) else {
            bail!("the server did not stop");
        };
        let printed = self.process.stderr.all();
        let wrong = |line: &&String| line.contains("panicked at") || line.contains(" ERROR ");
        if let Some(line) = printed.iter().find(wrong) {
            bail!("the server logged: {line}");
        }
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// A connection that is kept, and asked one thing after the other.
#[derive(Debug)]
pub(super) struct Client(Connection);

impl Client {
    /// Sends a request; its response, and how long that took from sending to the last byte.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub(super) fn ask(&mut self, request: &Request) -> anyhow::Result<(Response, Duration)> {
        let start = Instant::now();
        let response = self.0.send(request).context("no answer")?;
        Ok((response, start.elapsed()))
    }

    /// The same; the answer must be `status` and `body`.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub(super) fn expect(
        &mut self,
        request: &Request,
        (status, body): (u16, &str),
    ) -> anyhow::Result<(Response, Duration)> {
        let (response, took) = self.ask(request)?;
        let (got, text) = (response.status, response.text());
        ensure!(
            got == status && text == body,
            "a wrong answer: {got} {text}"
        );
        Ok((response, took))
    }
}

/// Waits for a line of standard output that holds `part`.
fn wait_line(process: &mut Process, part: &str) -> anyhow::Result<String> {
    let start = Instant::now();
    loop {
        if let Some(line) = process.stdout.find(part) {
            return Ok(line);
        }
        let ended = process.ended();
        if ended.is_some() || start.elapsed() > READY_TIMEOUT {
            let printed = [process.stdout.all(), process.stderr.all()].concat();
            bail!("no line `{part}` ({ended:?}):\n{}", printed.join("\n"));
        }
        sleep(LOOK);
    }
}

/// The address in `KEY=http://ADDRESS`.
fn address(line: &str, key: &str) -> anyhow::Result<SocketAddr> {
    let rest = line.split_once(&format!("{key}=http://"));
    let text = rest.and_then(|(_, rest)| rest.split(' ').next());
    let text = text.with_context(|| format!("no address `{key}` in `{line}`"))?;
    text.parse().with_context(|| format!("an address: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_both_addresses() {
        let line = "listening http=http://127.0.0.1:1 control=http://127.0.0.1:2";
        assert_eq!(address(line, "http").unwrap().port(), 1);
        assert_eq!(address(line, "control").unwrap().port(), 2);
        assert_eq!(address(line, "admin").ok(), None);
    }
}
