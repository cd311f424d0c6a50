//! Where a server runs: its drop folder, its data directory and its settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::host::TestHost;
use crate::process::Process;
use crate::{binary, wait};

/// Directories and settings of a server. Cheap to clone; deleted with the last clone.
#[derive(Debug, Clone)]
pub struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: TempDir,
    /// What is run: `serve` or `dev`.
    subcommand: &'static str,
    /// Another place for the data directory.
    data: Option<PathBuf>,
    environment: Vec<(String, String)>,
    announced: Vec<String>,
}

/// Puts a [`Site`] together.
#[derive(Debug)]
pub struct SiteBuilder {
    subcommand: &'static str,
    data: Option<PathBuf>,
    environment: Vec<(String, String)>,
    announced: Vec<String>,
}

impl Default for SiteBuilder {
    fn default() -> Self {
        let (environment, announced) = (Vec::new(), Vec::new());
        Self {
            subcommand: "serve",
            data: None,
            environment,
            announced,
        }
    }
}

impl SiteBuilder {
    /// Runs `mayfly dev` instead of `mayfly serve`.
    #[must_use]
    pub fn dev(mut self) -> Self {
        self.subcommand = "dev";
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data somewhere else than beside the functions.
    #[must_use]
    pub fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Announces an error: lines of the server's log that hold `part` are no reason to fail.
    #[must_use]
    pub fn announce(mut self, part: &str) -> Self {
        self.announced.push(part.to_owned());
        self
    }

    /// The site, with an empty drop folder.
    #[must_use]
    pub fn build(self) -> Site {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("functions")).unwrap();
        let Self {
            subcommand,
            data,
            environment,
            announced,
        } = self;
        Site(Arc::new(Inner {
            root,
            subcommand,
            data,
            environment,
            announced,
        }))
    }

    /// A server on a new site.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> TestHost {
        self.build().start()
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site with the default settings.
    #[must_use]
    pub fn new() -> Self {
        SiteBuilder::default().build()
    }

    /// A site with settings of its own.
    #[must_use]
    pub fn builder() -> SiteBuilder {
        SiteBuilder::default()
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.0.root.path()
    }

    /// The drop folder.
    #[must_use]
    pub fn functions(&self) -> PathBuf {
        self.root().join("functions")
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0
            .data
            .clone()
            .unwrap_or_else(|| self.root().join("data"))
    }

    /// The file with the root key.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.root().join(".mayfly-credentials")
    }

    /// The file with the key that seals secrets.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.root().join(".mayfly-key")
    }

    /// Parts of error lines that are no reason to fail.
    #[must_use]
    pub fn announced(&self) -> &[String] {
        &self.0.announced
    }

    /// Whether a variable of this name is set for the server.
    #[must_use]
    pub fn sets(&self, name: &str) -> bool {
        self.0.environment.iter().any(|(known, _)| known == name)
    }

    /// Starts a server and waits until it has looked at the drop folder.
    #[track_caller]
    #[must_use]
    pub fn start(&self) -> TestHost {
        match TestHost::start_on(self) {
            Ok(host) => host,
            Err(output) => panic!("the server did not start:\n{output}"),
        }
    }

    /// Starts a server that is expected to fail; what it says then.
    ///
    /// # Errors
    ///
    /// Everything that the server wrote, when it ended instead of becoming ready.
    pub fn try_start(&self) -> Result<TestHost, String> {
        TestHost::start_on(self)
    }

    /// The command that serves this site, with more arguments behind it.
    #[must_use]
    pub fn serve_command(&self, more: &[&str]) -> Command {
        let mut command = self.command();
        command.arg(self.0.subcommand);
        command
            .arg("--functions")
            .arg(self.functions())
            .arg("--data")
            .arg(self.data());
        command
            .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(more);
        if self.0.data.is_some() {
            // Beside the functions, as they are without another place for the data.
            command.env("MAYFLY_CREDENTIALS", self.credentials());
            command.env("MAYFLY_KEY_FILE", self.key_file());
        }
        command.envs(self.0.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The program, in this site's folder, with an environment that holds nothing of ours.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary::mayfly());
        command.current_dir(self.root()).env_clear();
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Runs the program to its end with `arguments`.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command().args(arguments))
    }

    /// Writes `mayfly.toml`, which servers and commands of this site read.
    pub fn configure(&self, toml: &str) {
        fs::write(self.root().join("mayfly.toml"), toml).unwrap();
    }

    /// Writes a file of the drop folder, as `cp` does: in place, then closed.
    pub fn drop_file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.functions().join(name), bytes).unwrap();
    }

    /// Drops `NAME.wasm`.
    pub fn drop_wasm(&self, name: &str, wasm: &[u8]) {
        self.drop_file(&format!("{name}.wasm"), wasm);
    }

    /// Drops `NAME.wasm`, made from text.
    #[track_caller]
    pub fn drop_wat(&self, name: &str, wat: &str) {
        self.drop_wasm(name, &crate::guests::assemble(wat));
    }

    /// Moves `NAME.wasm` into place, as careful programs do.
    #[track_caller]
    pub fn rename_wat(&self, name: &str, wat: &str) {
        let beside = self.root().join(format!("{name}.tmp"));
        fs::write(&beside, crate::guests::assemble(wat)).unwrap();
        fs::rename(&beside, self.functions().join(format!("{name}.wasm"))).unwrap();
    }

    /// Drops `NAME.toml`.
    pub fn manifest(&self, name: &str, toml: &str) {
        self.drop_file(&format!("{name}.toml"), toml.as_bytes());
    }

    /// Deletes a file of the drop folder.
    pub fn delete(&self, file: &str) {
        fs::remove_file(self.functions().join(file)).unwrap();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs `command` to its end, with nothing on standard input.
    #[track_caller]
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        // Building takes minutes; nothing that is run here waits for ever.
        let patience = wait::PATIENCE * 15;
        let Some(status) = process.wait_within(patience) else {
            panic!("{command:?} did not end");
        };
        let text = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect();
        Self {
            code: status.code(),
            stdout: text(process.stdout.all()),
            stderr: text(process.stderr.all()),
        }
    }

    /// Standard output of a program that must have succeeded.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a program that must have failed.
    #[track_caller]
    #[must_use]
    pub fn failed(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        self.stderr
    }
}
