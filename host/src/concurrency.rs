//! Permits: how many invocations may run at once, of one function and in the process, and whether
//! there is memory for one more.
//!
//! A [`Permit`] gives back what it took when it is dropped. Nothing here waits: a refusal is decided
//! at once. Knows nothing of why an invocation runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::{FunctionName, MemoryMb};

/// How many invocations of one function run, across all its versions. Shared by them.
#[derive(Debug, Default)]
pub(crate) struct Running(AtomicU32);

impl Running {
    /// How many run now.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one of `limit` places, if one is free.
    fn take(&self, limit: u32) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |running| {
                (running < limit).then_some(running + 1)
            })
            .is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The bounds of the process.
#[derive(Debug)]
pub(crate) struct Concurrency {
    running: Arc<Running>,
    limit: u32,
    memory_budget_bytes: u64,
}

/// Why an invocation may not run now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The function has as many as it may have.
    #[error("function `{function}` already runs {limit} invocations, its limit")]
    Function {
        /// Which.
        function: FunctionName,
        /// How many it may have.
        limit: u32,
    },
    /// The process has as many as it may have.
    #[error("{limit} invocations already run, the limit of this server")]
    Process {
        /// How many that is.
        limit: u32,
    },
    /// The sandboxes that run hold as much memory as they may together.
    #[error("the memory budget of {budget_mb} MB for all sandboxes is used up")]
    Memory {
        /// The budget.
        budget_mb: u64,
    },
}

/// The right to run one invocation.
#[derive(Debug)]
pub(crate) struct Permit {
    process: Arc<Running>,
    function: Arc<Running>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.function.give_back();
        self.process.give_back();
    }
}

/// What [`Concurrency::admit`] asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// The function.
    pub(crate) function: &'a FunctionName,
    /// How many of it run.
    pub(crate) running: &'a Arc<Running>,
    /// How many of it may run, if it has a limit of its own.
    pub(crate) limit: Option<u32>,
    /// What one of it may grow to.
    pub(crate) memory: MemoryMb,
    /// What all sandboxes hold now, in bytes.
    pub(crate) memory_in_use_bytes: u64,
}

impl Concurrency {
    /// At most `limit` invocations, and no new one once `memory_budget_bytes` are in use.
    pub(crate) fn new(limit: u32, memory_budget_bytes: u64) -> Self {
        Self {
            running: Arc::default(),
            limit,
            memory_budget_bytes,
        }
    }

    /// How many invocations run in the process.
    pub(crate) fn running(&self) -> u32 {
        self.running.count()
    }

    /// A permit for one invocation, or why there is none.
    ///
    /// The memory rule counts what sandboxes hold, not what they might ask for: a function that is
    /// allowed 4 GB and uses 1 MB does not keep others out. One that runs is never stopped for it.
    pub(crate) fn admit(&self, candidate: Candidate<'_>) -> Result<Permit, Refused> {
        // A single sandbox always fits, even one whose limit is beyond the budget.
        let headroom = self
            .memory_budget_bytes
            .saturating_sub(candidate.memory_in_use_bytes);
        let first = candidate.memory_in_use_bytes == 0;
        if !first && headroom < candidate.memory.bytes().min(MEMORY_HEADROOM_BYTES) {
            let budget_mb = self.memory_budget_bytes >> 20;
            return Err(Refused::Memory { budget_mb });
        }
        if !self.running.take(self.limit) {
            return Err(Refused::Process { limit: self.limit });
        }
        let limit = candidate.limit.unwrap_or(self.limit);
        if !candidate.running.take(limit) {
            self.running.give_back();
            return Err(Refused::Function {
                function: candidate.function.clone(),
                limit,
            });
        }
        Ok(Permit {
            process: Arc::clone(&self.running),
            function: Arc::clone(candidate.running),
        })
    }
}

/// Free budget that must be left for a new sandbox, unless its own limit is smaller.
const MEMORY_HEADROOM_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FunctionName {
        FunctionName::parse("f").unwrap()
    }

    fn candidate<'a>(
        function: &'a FunctionName,
        running: &'a Arc<Running>,
        limit: Option<u32>,
    ) -> Candidate<'a> {
        let memory = MemoryMb::DEFAULT;
        Candidate {
            function,
            running,
            limit,
            memory,
            memory_in_use_bytes: 0,
        }
    }

    #[test]
    fn a_dropped_permit_makes_room_for_the_next() {
        let concurrency = Concurrency::new(2, u64::MAX);
        let (name, running) = (name(), Arc::default());
        let first = concurrency
            .admit(candidate(&name, &running, Some(1)))
            .unwrap();
        let refused = concurrency
            .admit(candidate(&name, &running, Some(1)))
            .unwrap_err();
        assert_eq!(
            refused,
            Refused::Function {
                function: name.clone(),
                limit: 1
            }
        );
        drop(first);
        let _again = concurrency
            .admit(candidate(&name, &running, Some(1)))
            .unwrap();
        assert_eq!((running.count(), concurrency.running()), (1, 1));
    }

    #[test]
    fn the_process_has_a_limit_of_its_own_and_a_refusal_takes_nothing() {
        let concurrency = Concurrency::new(1, u64::MAX);
        let (name, a, b) = (name(), Arc::default(), Arc::default());
        let held = concurrency.admit(candidate(&name, &a, None)).unwrap();
        let refused = concurrency.admit(candidate(&name, &b, None)).unwrap_err();
        assert_eq!(refused, Refused::Process { limit: 1 });
        assert_eq!(b.count(), 0);
        drop(held);
        assert_eq!(concurrency.running(), 0);
    }

    #[test]
    fn zero_means_that_nothing_runs() {
        let concurrency = Concurrency::new(1, u64::MAX);
        let (name, running) = (name(), Arc::default());
        concurrency
            .admit(candidate(&name, &running, Some(0)))
            .unwrap_err();
        assert_eq!(concurrency.running(), 0);
    }

    #[test]
    fn the_memory_budget_refuses_the_next_one_and_never_the_first() {
        let concurrency = Concurrency::new(10, 64 << 20);
        let (name, running) = (name(), Arc::default());
        let at = |memory_in_use_bytes| Candidate {
            memory_in_use_bytes,
            ..candidate(&name, &running, None)
        };
        concurrency.admit(at(0)).unwrap();
        concurrency.admit(at(48 << 20)).unwrap();
        let refused = concurrency.admit(at(49 << 20)).unwrap_err();
        assert_eq!(refused, Refused::Memory { budget_mb: 64 });
    }

    #[test]
    fn many_threads_never_hold_more_than_the_limit() {
        let concurrency = Concurrency::new(3, u64::MAX);
        let (name, running) = (name(), Arc::<Running>::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let permit = concurrency.admit(candidate(&name, &running, Some(2)));
                        assert!(running.count() <= 2 && concurrency.running() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!((running.count(), concurrency.running()), (0, 0));
    }
}
