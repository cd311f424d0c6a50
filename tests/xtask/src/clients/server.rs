//! A server for one suite: a temporary folder, free ports, and the credentials that it writes.
//!
//! What it must not do, whatever clients ask: panic, log an error, or fail to stop.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// The profile in the credentials file.
const PROFILE: &str = "mayfly";

/// A server that runs. Killed when it is dropped.
pub(super) struct Server {
    folder: TempDir,
    child: Child,
    /// Takes what it prints, so that it never waits for a reader.
    reader: Option<JoinHandle<()>>,
    endpoint: String,
}

impl Server {
    /// Starts `binary` with `function` as `dropped` in its drop folder; waits until it is ready.
    pub(super) fn start(binary: &Path, function: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder failed")?;
        let root = folder.path();
        let functions = root.join("functions");
        fs::create_dir_all(&functions)?;
        fs::copy(function, functions.join("dropped.wasm")).context("dropping failed")?;
        let log = File::create(root.join("server.log"))?;
        let mut child = Command::new(binary)
            .current_dir(root)
            .env_clear()
            .arg("serve")
            .arg("--functions")
            .arg(&functions)
            .arg("--data")
            .arg(root.join("data"))
            .arg("--credentials")
            .arg(root.join("credentials"))
            .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            // Nobody waits minutes for a retry.
            .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "10")
            .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "20")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {} failed", binary.display()))?;
        let output = child.stdout.take().context("the server has no output")?;
        let mut server = Self {
            folder,
            child,
            reader: None,
            endpoint: String::new(),
        };
        let mut lines = BufReader::new(output).lines();
        let is_ready = lines
            .by_ref()
            .any(|line| line.is_ok_and(|line| line.starts_with("ready")));
        if !is_ready {
            bail!("the server did not start:\n{}", server.log());
        }
        // Ends with the server.
        server.reader = Some(std::thread::spawn(move || {
            lines.for_each(drop);
        }));
        server.endpoint = endpoint(&server.credentials())?;
        Ok(server)
    }

    /// Tells `command` where the credentials are, and takes everything else from its environment.
    pub(super) fn introduce(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_SHARED_CREDENTIALS_FILE", self.credentials())
            .env("AWS_PROFILE", PROFILE)
            .env("AWS_MAX_ATTEMPTS", "1")
            .envs(variables);
    }

    /// Where the control API answers.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops it as an operator does.
    ///
    /// # Errors
    ///
    /// It does not end with 0, panicked, or logged an error.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        ensure!(
            sent.is_ok_and(|sent| sent.success()),
            "the server is gone:\n{}",
            self.log()
        );
        let status = self.child.wait().context("waiting for the server failed")?;
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
        let log = self.log();
        ensure!(status.success(), "the server ended with {status}:\n{log}");
        let bad: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" ERROR ") || line.contains("panicked at"))
            .collect();
        ensure!(bad.is_empty(), "the server logged:\n{}", bad.join("\n"));
        Ok(())
    }

    fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    /// The last lines that it logged.
    fn log(&self) -> String {
        const LINES: usize = 200;
        let text = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The `endpoint_url` of a credentials file.
fn endpoint(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("reading the credentials {} failed", file.display()))?;
    let found = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "endpoint_url").then(|| value.trim().to_owned())
    });
    found.context("the credentials have no endpoint_url")
}
