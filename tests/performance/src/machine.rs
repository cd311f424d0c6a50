//! What a figure depends on and nobody can see in it: machine, kernel, build.
//!
//! Knows nothing of what is measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// Where and of what a run was made; text for people, `unknown` where it can't be known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    pub(crate) processor: String,
    /// Cores that this program may use.
    pub(crate) cores: usize,
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
    /// Whether swap is on, which decides how Mayfly resets its sandboxes.
    pub(crate) swap: bool,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Runnable threads, as a mean over a minute, before the run: what else went on.
    pub(crate) load_before: String,
    /// `rustc --version`.
    pub(crate) rustc: String,
    /// The commit that was built, with `-dirty` where files differed from it.
    pub(crate) commit: String,
}

impl Machine {
    /// Looks around.
    pub(crate) fn look(checkout: &Path, cores: usize) -> Self {
        let meminfo = read("/proc/meminfo");
        let kib = |key: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or_default()
        };
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == "model name").then(|| value.trim().to_owned())
        });
        let load = read("/proc/loadavg");
        let git = [
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ];
        Self {
            processor: model.unwrap_or_else(unknown),
            cores,
            memory_mib: kib("MemTotal:") / 1_024,
            swap: kib("SwapTotal:") > 0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
            rustc: first_line(Command::new("rustc").arg("--version")).unwrap_or_else(unknown),
            commit: first_line(Command::new("git").args(git).current_dir(checkout))
                .unwrap_or_else(unknown),
        }
    }
}

/// The first line that a program prints, if it is there and succeeds.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The version of a package that `Cargo.lock` names.
pub(crate) fn locked_version(checkout: &Path, package: &str) -> String {
    let lock = fs::read_to_string(checkout.join("Cargo.lock")).unwrap_or_default();
    version_in(&lock, package).map_or_else(unknown, str::to_owned)
}

fn version_in<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split('"').next()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_versions() {
        let lock = "[[package]]\nname = \"hyper-util\"\nversion = \"0.1.21\"\n\n\
                    [[package]]\nname = \"hyper\"\nversion = \"1.12.0\"\nsource = \"x\"\n";
        assert_eq!(version_in(lock, "hyper"), Some("1.12.0"));
        assert_eq!(version_in(lock, "tokio"), None);
    }
}
