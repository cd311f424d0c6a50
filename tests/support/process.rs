//! A child process whose output is read line by line while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Lines of a stream, so far.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(stream: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let lines = Self::default();
        let sink = lines.clone();
        let reader = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches('\n')
                    .to_owned();
                sink.0.lock().unwrap().push(text);
                line.clear();
            }
        });
        (lines, reader)
    }

    /// All lines so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The first line that holds `part`, if there is one yet.
    #[must_use]
    pub fn find(&self, part: &str) -> Option<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .find(|line| line.contains(part))
            .cloned()
    }

    /// Waits for a line that holds `part`.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, part: &str) -> String {
        wait::until(&format!("a line with `{part}`"), || self.find(part))
    }
}

/// A child process. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    /// Its standard output.
    pub stdout: Lines,
    /// Its standard error.
    pub stderr: Lines,
}

impl Process {
    /// Starts `command` with nothing on standard input.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, out) = Lines::collect(child.stdout.take().unwrap());
        let (stderr, err) = Lines::collect(child.stderr.take().unwrap());
        Self {
            child,
            readers: vec![out, err],
            stdout,
            stderr,
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. One to a process that has ended is lost, as it should be.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        let _sent = kill_process(pid, signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, and for the last line of its output.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait::until("the end of a process", || self.child.try_wait().unwrap());
        self.read_to_the_end();
        status
    }

    /// Waits no longer than `patience` for its end.
    pub fn wait_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let status = wait::within(patience, || self.child.try_wait().unwrap())?;
        self.read_to_the_end();
        Some(status)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        self.read_to_the_end();
    }

    fn read_to_the_end(&mut self) {
        for reader in self.readers.drain(..) {
            let _ended = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
