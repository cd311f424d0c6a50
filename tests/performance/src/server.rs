//! A server under test: started on its cores, waited for, measured, stopped.
//!
//! Knows nothing of which server it is.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cores;
use crate::load::{Exchange, Load};
use crate::process::{self, Cpu, Memory};

/// How long a server may take to its first right answer; the slowest compile first.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks whether it answers.
const READY_LOOK: Duration = Duration::from_millis(5);

/// How long it may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    output: PathBuf,
}

impl Server {
    /// Starts `command` on `cores`; it is to listen on `address`.
    ///
    /// What it prints goes to a file in `folder` (a folder of its own), which errors quote.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub(crate) fn start(
        mut command: Command,
        address: SocketAddr,
        cores: &[usize],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let output = folder.join("output.txt");
        let file = File::create(&output).context("making a file for a server's output failed")?;
        command
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let start = || {
            let program = command.get_program().to_owned();
            let started = command.spawn();
            started.with_context(|| format!("starting {} failed", program.display()))
        };
        Ok(Self {
            child: cores::on(cores, start)?,
            address,
            output,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first right answer, and says how long that took.
    ///
    /// # Errors
    ///
    /// When it ends, or gives none within a minute; with the last reason, and what it printed.
    pub(crate) fn wait_until_answering(&mut self, exchange: &Exchange) -> anyhow::Result<Duration> {
        let start = Instant::now();
        loop {
            let asked = Load::connect(self.address, 1, exchange.clone())
                .and_then(|mut load| load.closed(Duration::ZERO));
            let Err(error) = asked else {
                return Ok(start.elapsed());
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}\n{}", self.printed());
            }
            if start.elapsed() > READY_TIMEOUT {
                let printed = self.printed();
                return Err(error.context(format!("the server does not answer\n{printed}")));
            }
            sleep(READY_LOOK);
        }
    }

    /// CPU time of it and its children until now.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of_tree(self.pid())
    }

    /// Counts the peak of its memory anew: what it took to start and to compile is over.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn forget_memory_peak(&self) -> anyhow::Result<()> {
        process::forget_memory_peak(self.pid())
    }

    /// Memory of it and its children.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of_tree(self.pid())
    }

    /// What it printed so far, on standard output and standard error.
    pub(crate) fn printed(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to stop (SIGTERM) and waits; what does not stop is killed.
    ///
    /// # Errors
    ///
    /// When it can't be waited for.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()?;
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(READY_LOOK);
        }
        Ok(())
    }

    fn terminate(&self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};

        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("stopping a server failed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of 127.0.0.1 that nobody listens on at this moment.
///
/// # Errors
///
/// When there is none.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
