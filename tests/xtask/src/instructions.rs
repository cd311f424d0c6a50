//! Instructions of each step of an event's path, counted by valgrind, beside a stored baseline.
//!
//! Times say what a machine does today; instructions say what the code does, on any machine, however
//! busy it is. Each step runs twice with different numbers of rounds, so set-up cancels out. Only
//! what the thread of the steps executes is counted: timers and writers of the process tick by the
//! clock. Knows nothing of the steps but the names that the test binary prints.
//!
//! What the kernel does is not seen. Another compiler, C library or set of CPU features gives other
//! counts: save a baseline of your own before you compare.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Where the baseline is kept.
const BASELINE: &str = "tests/performance/instructions.tsv";

/// Rounds of the first run, which brings caches and tables to their size.
const ROUNDS_FEW: u64 = 200;

/// Rounds that the second run has more.
const ROUNDS_MORE: u64 = 1_000;

/// The steps go a tenth of their rounds beforehand, to warm up.
const WARM_UP: (u64, u64) = (11, 10);

/// Counts, prints, and compares; or saves a new baseline.
///
/// # Errors
///
/// valgrind or the build is missing, or a step needs more than `tolerance_percent` more instructions
/// than the baseline says.
pub(crate) fn run(save: bool, tolerance_percent: u64) -> anyhow::Result<()> {
    let steps = Steps::build()?;
    let baseline = if save {
        BTreeMap::new()
    } else {
        read_baseline()?
    };
    let mut counted = Vec::new();
    let mut slower = Vec::new();
    println!(
        "{:<44} {:>9} {:>9} {:>8}",
        "step", "baseline", "now", "change"
    );
    for name in steps.names()? {
        let now = steps.count(&name)?;
        let before = baseline.get(&name).copied();
        let change = before.map_or_else(String::new, |before| change_text(before, now));
        let shown = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        println!("{name:<44} {shown:>9} {now:>9} {change:>8}");
        if before.is_some_and(|before| now * 100 > before * (100 + tolerance_percent)) {
            slower.push(name.clone());
        }
        counted.push((name, now));
    }
    if save {
        return write_baseline(&counted);
    }
    if !slower.is_empty() {
        bail!(
            "more than {tolerance_percent} % more instructions than {BASELINE} says: {}",
            slower.join(", ")
        );
    }
    Ok(())
}

/// Tenths of a percent, rounded towards zero.
fn change_text(before: u64, now: u64) -> String {
    let (before, now) = (i128::from(before.max(1)), i128::from(now));
    let tenths = (now - before) * 1_000 / before;
    let sign = if tenths < 0 { "-" } else { "+" };
    format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
}

/// The test binary that goes through the steps.
struct Steps {
    binary: PathBuf,
    /// For what valgrind writes.
    folder: tempfile::TempDir,
}

impl Steps {
    fn build() -> anyhow::Result<Self> {
        let valgrind = Command::new("valgrind").arg("--version").output();
        ensure!(
            valgrind.is_ok_and(|output| output.status.success()),
            "valgrind is missing; install it, for example with `apt install valgrind`"
        );
        let arguments = ["test", "--release", "-p", "mayfly", "--lib", "--no-run"];
        let output = Command::new(crate::cargo_program())
            .args(arguments)
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo failed")?;
        ensure!(output.status.success(), "building the steps failed");
        let messages = String::from_utf8_lossy(&output.stdout);
        let binary = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .context("cargo named no test binary")?;
        let folder = tempfile::tempdir().context("making a folder for valgrind failed")?;
        Ok(Self { binary, folder })
    }

    fn command(&self, program: &Path, rounds: u64) -> Command {
        let mut command = Command::new(program);
        command
            .env("MAYFLY_STEPS", rounds.to_string())
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// The names of the steps: what is printed before the nanoseconds.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let output = self
            .command(&self.binary, 1)
            .args(TEST)
            .output()
            .context("starting the steps failed")?;
        ensure!(output.status.success(), "the steps failed");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let names: Vec<_> = printed.lines().filter_map(step_name).collect();
        ensure!(!names.is_empty(), "the steps printed no names:\n{printed}");
        Ok(names)
    }

    /// Instructions of one round.
    fn count(&self, name: &str) -> anyhow::Result<u64> {
        let few = self.total(name, ROUNDS_FEW)?;
        let many = self.total(name, ROUNDS_FEW + ROUNDS_MORE)?;
        let (times, of) = WARM_UP;
        Ok(many.saturating_sub(few) * of / (ROUNDS_MORE * times))
    }

    /// Instructions of the thread that executed most.
    fn total(&self, name: &str, rounds: u64) -> anyhow::Result<u64> {
        let file = self.folder.path().join("callgrind");
        for old in fs::read_dir(self.folder.path())?.flatten() {
            fs::remove_file(old.path())?;
        }
        let output = self
            .command(Path::new("valgrind"), rounds)
            .args(["--tool=callgrind", "--separate-threads=yes"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(&self.binary)
            .args(TEST)
            .env("MAYFLY_STEP", name)
            .output()
            .context("starting valgrind failed")?;
        ensure!(
            output.status.success(),
            "step `{name}` failed under valgrind:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::read_dir(self.folder.path())?
            .flatten()
            .filter_map(|written| thread_total(&fs::read_to_string(written.path()).ok()?))
            .max()
            .with_context(|| format!("valgrind wrote no totals for step `{name}`"))
    }
}

/// Which test it is, and that it may print.
const TEST: [&str; 2] = ["each_step_of_the_path_is_measured", "--nocapture"];

/// The name in a line such as `event JSON      1508 ns`. The first one follows what the test harness
/// printed.
fn step_name(line: &str) -> Option<String> {
    let rest = line.strip_suffix(" ns")?.trim_end();
    let name = rest
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end();
    let name = name.rsplit(" ... ").next()?;
    (name.len() < rest.len() && !name.is_empty()).then(|| name.to_owned())
}

/// What valgrind says a thread executed.
fn thread_total(written: &str) -> Option<u64> {
    let line = written
        .lines()
        .find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

fn read_baseline() -> anyhow::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(BASELINE).with_context(|| {
        format!("reading {BASELINE} failed; run this at the top of the repository")
    })?;
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, count) = line
                .split_once('\t')
                .with_context(|| format!("{BASELINE}: no tab in `{line}`"))?;
            let count = count
                .parse()
                .with_context(|| format!("{BASELINE}: no number in `{line}`"))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

fn write_baseline(counted: &[(String, u64)]) -> anyhow::Result<()> {
    let mut text = String::from(
        "# Instructions of each step, one round, written by `cargo xtask instructions --save`.\n",
    );
    for (name, count) in counted {
        writeln!(text, "{name}\t{count}")?;
    }
    fs::write(BASELINE, text).with_context(|| format!("writing {BASELINE} failed"))?;
    println!("saved to {BASELINE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_step_is_what_stands_before_its_time() {
        let name = |line| step_name(line);
        assert_eq!(name("event JSON          1508 ns").unwrap(), "event JSON");
        let first = "test steps::each_step ... request id       66 ns";
        assert_eq!(name(first).unwrap(), "request id");
        assert_eq!(name("running 1 test"), None);
        assert_eq!(name("no number ns"), None);
    }

    #[test]
    fn a_total_is_read_and_a_change_is_shown_with_its_sign() {
        assert_eq!(
            thread_total("events: Ir\ntotals: 84673352\n"),
            Some(84_673_352)
        );
        assert_eq!(thread_total("events: Ir\n"), None);
        assert_eq!(change_text(1_000, 1_025), "+2.5 %");
        assert_eq!(change_text(1_000, 990), "-1.0 %");
        assert_eq!(change_text(0, 1), "+0.0 %");
    }
}
