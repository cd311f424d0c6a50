//! What else keeps a machine busy while something is measured: guests that spin, requests without a
//! pause, other programs. Each ends when it is dropped or asked to.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use support::Request;
use support::guests::{assemble, guest};

use super::site::{Host, Site};
use crate::cores;
use crate::load::{Exchange, Load};

/// Guests that spin at once.
pub(super) const SPINNERS: u32 = 4;

/// The name of the function that spins.
const SPIN: &str = "spin";

/// Puts the function that spins for `timeout_ms`, which is its time limit.
///
/// # Errors
///
/// Those of the disk.
pub(super) fn put_spinner(site: &Site, timeout_ms: u32) -> anyhow::Result<()> {
    let manifest = format!("timeout = {}\n", f64::from(timeout_ms) / 1e3);
    site.put_with(SPIN, &manifest, &assemble(&guest("loop")))
}

/// Work that goes on until it is stopped.
#[derive(Debug)]
pub(super) struct Neighbour {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Neighbour {
    /// As many connections as there are [`SPINNERS`], each of which calls the function that spins again
    /// and again. Their starts are percentiles over its time limit. Returns when all of them spin.
    ///
    /// # Errors
    ///
    /// When they don't.
    pub(super) fn spinning(host: &Host, timeout_ms: u32) -> anyhow::Result<Self> {
        let stop: Arc<AtomicBool> = Arc::default();
        let timeout = super::millis(timeout_ms);
        let mut threads = Vec::new();
        for number in 0..SPINNERS {
            let mut client = host.connect()?;
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                sleep(timeout * number / SPINNERS);
                while !stop.load(Ordering::Relaxed) {
                    let (response, took) = client.ask(&Request::get(&format!("/{SPIN}")))?;
                    let status = response.status;
                    ensure!(status == 504 && took >= timeout, "{status} after {took:?}");
                }
                Ok(())
            }));
        }
        let neighbour = Self { stop, threads };
        host.wait_running(u64::from(SPINNERS))?;
        Ok(neighbour)
    }

    /// Requests on `connections` connections, each as soon as the answer before is there.
    pub(super) fn asking(host: &Host, connections: usize, exchange: Exchange) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let (address, stopped) = (host.http(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut load = Load::connect(address, connections, exchange)?;
            while !stopped.load(Ordering::Relaxed) {
                load.closed(Duration::from_millis(500))?;
            }
            Ok(())
        });
        let threads = vec![thread];
        Self { stop, threads }
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When an answer was not as it should be.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            super::join(thread.join())?;
        }
        Ok(())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Computes until the process that started it is gone, also when that was killed.
const COMPUTE: &str = r#"while kill -0 "$PPID" 2>/dev/null; do :; done"#;

/// Other programs that compute, one on each core.
#[derive(Debug)]
pub(super) struct Strangers(Vec<Child>);

impl Strangers {
    /// Starts them, each pinned to its core.
    ///
    /// # Errors
    ///
    /// When there is no `sh`.
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut strangers = Self(Vec::new());
        for core in cores::available()? {
            let start = || {
                let mut shell = Command::new("sh");
                shell.args(["-c", COMPUTE]).stdin(Stdio::null());
                shell.spawn().context("starting `sh` failed")
            };
            strangers.0.push(cores::on(&[core], start)?);
        }
        Ok(strangers)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It computes as long as this process is there, so there is something to kill.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn what_computes_ends_with_who_started_it_though_that_was_killed() {
        let script = format!("echo $$\n{COMPUTE}");
        let mut parent = Command::new("sh")
            .args(["-c", r#"sh -c "$0" & wait"#, &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(parent.stdout.take().unwrap());
        let mut id = String::new();
        output.read_line(&mut id).unwrap();
        // Both hold the other end of the pipe, so it ends with the last of them.
        let (ended, end) = mpsc::channel();
        let reader = thread::spawn(move || {
            output.read_to_end(&mut Vec::new()).unwrap();
            ended.send(()).unwrap();
        });

        assert!(end.recv_timeout(Duration::from_millis(200)).is_err());
        parent.kill().unwrap();
        parent.wait().unwrap();
        let in_time = end.recv_timeout(Duration::from_secs(20));
        if in_time.is_err() {
            let _status = Command::new("kill").arg(id.trim()).status().unwrap();
        }
        reader.join().unwrap();
        in_time.unwrap();
    }
}
