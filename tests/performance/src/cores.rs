//! Which processor cores a thread, and the programs that it starts, may run on.
//!
//! Knows nothing of what runs there.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores by their number, as in `/proc/cpuinfo`.
pub(crate) type Cores = Vec<usize>;

/// The cores that this program may use.
///
/// # Errors
///
/// When the kernel does not say.
pub(crate) fn available() -> anyhow::Result<Cores> {
    let set = sched_getaffinity(None).context("asking for this program's cores failed")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect())
}

/// Keeps the calling thread, and what it starts from now on, on `cores`.
///
/// # Errors
///
/// When none of them may be used.
pub(crate) fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("pinning to the cores {cores:?} failed"))
}

/// Runs `work` on a thread of its own that is pinned to `cores`.
///
/// Programs that it starts stay on those cores too.
///
/// # Errors
///
/// Those of `work`, and what keeps the thread from being pinned.
pub(crate) fn on<T: Send>(
    cores: &[usize],
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                pin(cores)?;
                work()
            })
            .join()
            .map_err(|_panic| anyhow::anyhow!("a pinned thread panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_a_core_may_run_on_no_other() {
        let all = available().unwrap();
        let last = *all.last().unwrap();
        let seen = on(&[last], available).unwrap();
        assert_eq!(seen, [last]);
        assert_eq!(available().unwrap(), all, "the caller stays where it was");
    }
}
