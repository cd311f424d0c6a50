//! What a process and its descendants have used, as `/proc` tells it.
//!
//! Knows nothing of what they do.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context as _;

/// CPU time of each thread of a process tree, at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Cpu(HashMap<u32, Duration>);

impl Cpu {
    /// Reads it for the process `root` and its descendants.
    ///
    /// From `/proc/PID/task/TID/schedstat`: user and system time together, in ns, exact for threads
    /// that do not run at this moment. `/proc/PID/stat` counts in ticks of 10 ms.
    ///
    /// # Errors
    ///
    /// When the process has ended, or the kernel keeps no such figures.
    pub(crate) fn of_tree(root: u32) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for process in tree(root)? {
            for thread in threads_of(process)? {
                if let Some(text) = read_of_thread(process, thread, "schedstat")? {
                    let time = cpu_from_schedstat(&text);
                    threads.insert(thread, time.context("`schedstat` holds no number")?);
                }
            }
        }
        Self::of(threads)
    }

    /// A kernel that does not count shows zeros, which must not pass for a measurement: what runs has
    /// used some time.
    fn of(threads: HashMap<u32, Duration>) -> anyhow::Result<Self> {
        anyhow::ensure!(
            threads.values().any(|time| !time.is_zero()),
            "this kernel does not count the CPU time of threads (CONFIG_SCHED_INFO)"
        );
        Ok(Self(threads))
    }

    /// What was used since an earlier moment. What threads used that have ended in between is lost.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(thread, now)| {
            let before = before.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        used.sum()
    }
}

/// Memory of a process tree, summed over its processes; in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Memory {
    /// The most that was ever resident (`VmHWM`), or since [`forget_memory_peak`]. Of several
    /// processes the sum of each one's own most.
    pub(crate) peak_kib: u64,
    /// Resident now (`VmRSS`): anonymous memory and mapped files.
    pub(crate) resident_kib: u64,
    /// Of that, what belongs to no file (`RssAnon`).
    pub(crate) anonymous_kib: u64,
}

impl Memory {
    /// Reads it for the process `root` and its descendants.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub(crate) fn of_tree(root: u32) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for process in tree(root)? {
            let Some(status) = read(&format!("/proc/{process}/status"))? else {
                continue;
            };
            // A process that has ended and was not waited for has no memory.
            let kib = |key| kib_from_status(&status, key).unwrap_or_default();
            sum.peak_kib += kib("VmHWM");
            sum.resident_kib += kib("VmRSS");
            sum.anonymous_kib += kib("RssAnon");
        }
        Ok(sum)
    }
}

/// Forgets the most memory that was ever resident, so that only what comes now counts.
///
/// # Errors
///
/// When the kernel does not do that.
pub(crate) fn forget_memory_peak(root: u32) -> anyhow::Result<()> {
    // As in proc(5).
    const FORGET_PEAK: &str = "5";
    for process in tree(root)? {
        match fs::write(format!("/proc/{process}/clear_refs"), FORGET_PEAK) {
            Err(error) if !has_ended(&error) => {
                return Err(error).context("resetting the peak of memory failed");
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A process and its descendants.
fn tree(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = vec![root];
    let mut looked_at = 0;
    while let Some(&process) = found.get(looked_at) {
        looked_at += 1;
        for thread in threads_of(process)? {
            let children = read_of_thread(process, thread, "children")?;
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().flat_map(str::parse::<u32>));
        }
    }
    anyhow::ensure!(
        fs::exists(format!("/proc/{root}"))?,
        "process {root} has ended"
    );
    Ok(found)
}

fn threads_of(process: u32) -> anyhow::Result<Vec<u32>> {
    let entries = match fs::read_dir(format!("/proc/{process}/task")) {
        Ok(entries) => entries,
        Err(error) if has_ended(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut threads = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => threads.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|id| id.parse::<u32>().ok()),
            ),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(threads)
}

/// A file of a thread; none when the thread has ended.
///
/// # Errors
///
/// When the thread is there and the file is not: this kernel has no such file.
fn read_of_thread(process: u32, thread: u32, file: &str) -> anyhow::Result<Option<String>> {
    let folder = format!("/proc/{process}/task/{thread}");
    let text = read(&format!("{folder}/{file}"))?;
    anyhow::ensure!(
        text.is_some() || !fs::exists(&folder)?,
        "this kernel has no `{file}` in {folder} (CONFIG_SCHED_INFO, CONFIG_PROC_CHILDREN)"
    );
    Ok(text)
}

/// A file of `/proc`; none when its process or thread has ended.
fn read(path: &str) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {path} failed")),
    }
}

fn has_ended(error: &std::io::Error) -> bool {
    // ESRCH: it ended between opening and reading.
    const NO_SUCH_PROCESS: i32 = 3;
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS)
}

/// The first of three numbers: ns on a core.
fn cpu_from_schedstat(text: &str) -> Option<Duration> {
    let ns = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

/// A line such as `VmHWM:      1234 kB`.
fn kib_from_status(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_starts_with_nanoseconds() {
        let time = Duration::from_nanos(139_146);
        assert_eq!(cpu_from_schedstat("139146 3278493 2\n"), Some(time));
        assert_eq!(cpu_from_schedstat(""), None);
    }

    #[test]
    fn status_has_a_line_for_each_figure() {
        let status = "Name:\tx\nVmHWM:\t   12345 kB\nVmRSS:\t     678 kB\nThreads:\t3\n";
        assert_eq!(kib_from_status(status, "VmHWM"), Some(12_345));
        assert_eq!(kib_from_status(status, "VmRSS"), Some(678));
        assert_eq!(kib_from_status(status, "Threads"), None);
        assert_eq!(kib_from_status(status, "Vm"), None);
    }

    #[test]
    fn threads_that_began_or_ended_in_between_count_as_far_as_is_known() {
        let ms = Duration::from_millis;
        let before = Cpu(HashMap::from([(1, ms(10)), (2, ms(500))]));
        let after = Cpu(HashMap::from([(1, ms(15)), (3, ms(7))]));
        assert_eq!(after.since(&before), ms(12));
    }

    #[test]
    fn a_kernel_that_does_not_count_is_no_measurement_of_nothing() {
        let ms = Duration::from_millis;
        Cpu::of(HashMap::from([(1, ms(0)), (2, ms(1))])).unwrap();
        Cpu::of(HashMap::from([(1, ms(0)), (2, ms(0))])).unwrap_err();
        Cpu::of(HashMap::new()).unwrap_err();
    }

    #[test]
    fn a_file_that_the_kernel_lacks_is_not_a_thread_that_has_ended() {
        const NO_THREAD: u32 = u32::MAX;
        let own = std::process::id();
        assert!(read_of_thread(own, own, "children").unwrap().is_some());
        assert_eq!(read_of_thread(own, NO_THREAD, "children").unwrap(), None);
        read_of_thread(own, own, "no-such-file").unwrap_err();
    }

    #[test]
    fn a_peak_can_be_forgotten() {
        const KIB: usize = 64 << 10;
        let own = std::process::id();
        let much = std::hint::black_box(vec![1_u8; KIB << 10]);
        let peak = Memory::of_tree(own).unwrap().peak_kib;
        assert!(peak > u64::try_from(KIB).unwrap());
        drop(much);
        forget_memory_peak(own).unwrap();
        assert!(Memory::of_tree(own).unwrap().peak_kib < peak);
    }

    #[test]
    fn a_tree_has_the_cpu_time_and_memory_of_its_children() {
        let own = std::process::id();
        let before = Cpu::of_tree(own).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(tree(own).unwrap().contains(&child.id()));
        let with_child = Memory::of_tree(own).unwrap();
        let alone = Memory::of_tree(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(with_child.peak_kib > alone.peak_kib);
        // This thread has been busy.
        assert!(Cpu::of_tree(own).unwrap().since(&before) > Duration::ZERO);
        assert!(Cpu::of_tree(child.id()).is_err(), "it has ended");
    }
}
