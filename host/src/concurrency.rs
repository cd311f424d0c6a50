//! Permits: how many invocations may run at once, of one function and in the process, and whether
//! there is memory for one more.
//!
//! A [`Permit`] gives back what it took when it is dropped. Nothing here waits: a refusal is decided
//! at once. Knows nothing of why an invocation runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use domain::{FunctionName, MemoryMb};

use crate::budgets::BudgetSpent;

/// How many invocations of one function run, across all its versions, and what they tend to hold.
/// Shared by them.
#[derive(Debug)]
pub(crate) struct Running {
    count: AtomicU32,
    /// How many may run; [`NO_LIMIT`] if that is up to the process.
    limit: AtomicU32,
    /// 0 before the first one ended.
    typical_bytes: AtomicU64,
}

/// No function may have as many.
const NO_LIMIT: u32 = u32::MAX;

impl Default for Running {
    fn default() -> Self {
        Self {
            count: AtomicU32::new(0),
            limit: AtomicU32::new(NO_LIMIT),
            typical_bytes: AtomicU64::new(0),
        }
    }
}

impl Running {
    /// Lets at most `limit` run from now on. What runs goes on.
    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        self.limit
            .store(limit.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    }

    /// Whether nothing of the function may run, ever.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.limit.load(Ordering::Relaxed) == 0
    }

    /// How many more of the function may run now.
    pub(crate) fn free(&self) -> u32 {
        let limit = self.limit.load(Ordering::Relaxed);
        limit.saturating_sub(self.count())
    }

    /// How many run now.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// What the next one is expected to hold, in bytes: what recent ones held.
    pub(crate) fn expected_bytes(&self, limit: MemoryMb) -> u64 {
        match self.typical_bytes.load(Ordering::Relaxed) {
            0 => MEMORY_UNKNOWN_BYTES.min(limit.bytes()),
            typical => typical.min(limit.bytes()),
        }
    }

    /// Learns what one held at most. A larger one counts at once, smaller ones by and by.
    pub(crate) fn note_memory(&self, peak_bytes: u64) {
        let known = self.typical_bytes.load(Ordering::Relaxed);
        let typical = peak_bytes.max(known - known / 8);
        // Two at once may lose one of the two; the next one brings it back.
        if typical != known {
            self.typical_bytes.store(typical, Ordering::Relaxed);
        }
    }

    /// Takes one of `limit` places, if one is free.
    fn take(&self, limit: u32) -> bool {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |running| {
                (running < limit).then_some(running + 1)
            })
            .is_ok()
    }

    fn give_back(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What an invocation is expected to hold of a function that never ran, unless its limit is less.
const MEMORY_UNKNOWN_BYTES: u64 = 16 << 20;

/// The bounds of the process.
#[derive(Debug)]
pub(crate) struct Concurrency {
    running: Arc<Running>,
    limit: u32,
    memory_budget_bytes: u64,
    /// What the invocations that run are expected to hold.
    expected_bytes: Arc<AtomicU64>,
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
    /// A budget is spent.
    #[error(transparent)]
    Budget(#[from] BudgetSpent),
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
    expected_bytes: Arc<AtomicU64>,
    memory_bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.function.give_back();
        self.process.give_back();
        self.expected_bytes
            .fetch_sub(self.memory_bytes, Ordering::AcqRel);
    }
}

/// What [`Concurrency::admit`] asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// The function.
    pub(crate) function: &'a FunctionName,
    /// How many of it run, and may.
    pub(crate) running: &'a Arc<Running>,
    /// What one of it is expected to hold, in bytes.
    pub(crate) memory_bytes: u64,
    /// What all sandboxes hold now, in bytes.
    pub(crate) memory_in_use_bytes: u64,
}

/// What will ask to be admitted, and was told that it can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Promised {
    /// How many.
    pub(crate) count: u32,
    /// What they are expected to hold together, in bytes.
    pub(crate) memory_bytes: u64,
}

impl Concurrency {
    /// At most `limit` invocations, and no new one once `memory_budget_bytes` are in use.
    pub(crate) fn new(limit: u32, memory_budget_bytes: u64) -> Self {
        Self {
            running: Arc::default(),
            limit,
            memory_budget_bytes,
            expected_bytes: Arc::default(),
        }
    }

    /// How many invocations run in the process.
    pub(crate) fn running(&self) -> u32 {
        self.running.count()
    }

    /// How many of `candidate` could be admitted now, once those are that were promised to. A look, not
    /// a promise: others may be faster.
    pub(crate) fn free(&self, candidate: Candidate<'_>, promised: Promised) -> u32 {
        let of_function = candidate.running.free();
        let running = self.running.count().saturating_add(promised.count);
        let of_process = self.limit.saturating_sub(running);
        let expected = self.expected_bytes.load(Ordering::Acquire);
        let expected = expected.saturating_add(promised.memory_bytes);
        let held = expected.max(candidate.memory_in_use_bytes);
        let left = self.memory_budget_bytes.saturating_sub(held);
        let fit = left / candidate.memory_bytes.max(1);
        let fit = u32::try_from(fit).unwrap_or(u32::MAX);
        let in_memory = if held == 0 { fit.max(1) } else { fit };
        of_function.min(of_process).min(in_memory)
    }

    /// A permit for one invocation, or why there is none.
    ///
    /// The memory rule counts what sandboxes hold or are expected to hold, whichever is more, and not
    /// what their limits would allow: a function that is allowed 4 GB and uses 1 MB does not keep
    /// others out. What runs is never stopped for it, and when nothing runs anything may.
    pub(crate) fn admit(&self, candidate: Candidate<'_>) -> Result<Permit, Refused> {
        let memory_bytes = candidate.memory_bytes;
        let expected = self
            .expected_bytes
            .fetch_add(memory_bytes, Ordering::AcqRel);
        let held = expected.max(candidate.memory_in_use_bytes);
        let fits = held.saturating_add(memory_bytes) <= self.memory_budget_bytes;
        let refused = if held > 0 && !fits {
            Some(Refused::Memory {
                budget_mb: self.memory_budget_bytes >> 20,
            })
        } else {
            self.take_places(candidate)
        };
        if let Some(refused) = refused {
            self.expected_bytes
                .fetch_sub(memory_bytes, Ordering::AcqRel);
            return Err(refused);
        }
        Ok(Permit {
            process: Arc::clone(&self.running),
            function: Arc::clone(candidate.running),
            expected_bytes: Arc::clone(&self.expected_bytes),
            memory_bytes,
        })
    }

    /// Takes a place in the process and one of the function, or none and says why.
    fn take_places(&self, candidate: Candidate<'_>) -> Option<Refused> {
        if !self.running.take(self.limit) {
            return Some(Refused::Process { limit: self.limit });
        }
        let limit = candidate.running.limit.load(Ordering::Relaxed);
        if !candidate.running.take(limit) {
            self.running.give_back();
            return Some(Refused::Function {
                function: candidate.function.clone(),
                limit,
            });
        }
        None
    }
}

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
        running.set_limit(limit);
        Candidate {
            function,
            running,
            memory_bytes: 1 << 20,
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
    fn what_is_free_is_what_would_be_admitted() {
        let concurrency = Concurrency::new(3, 4 << 20);
        let (name, running) = (name(), Arc::default());
        let nothing = Promised::default();
        let free = |limit| concurrency.free(candidate(&name, &running, limit), nothing);
        assert_eq!((free(None), free(Some(2)), free(Some(0))), (3, 2, 0));
        assert!(running.is_forbidden());
        let held = concurrency.admit(candidate(&name, &running, None)).unwrap();
        assert_eq!((free(None), free(Some(2)), free(Some(1))), (2, 1, 0));
        drop(held);
        // 1 MiB each, and the budget has 4, of which 3 are in use.
        let of = Candidate {
            memory_in_use_bytes: 3 << 20,
            ..candidate(&name, &running, None)
        };
        assert_eq!(concurrency.free(of, nothing), 1);
        let larger_than_all = Candidate {
            memory_bytes: 9 << 20,
            ..candidate(&name, &running, None)
        };
        assert_eq!(concurrency.free(larger_than_all, nothing), 1);
        // What was promised takes places and memory as if it ran, but none of this function's own.
        let promised = |count, memory_bytes| {
            let promised = Promised {
                count,
                memory_bytes,
            };
            concurrency.free(candidate(&name, &running, Some(2)), promised)
        };
        assert_eq!((promised(0, 0), promised(2, 0), promised(3, 0)), (2, 1, 0));
        assert_eq!((promised(1, 3 << 20), promised(1, 4 << 20)), (1, 0));
        let larger_than_all = Candidate {
            memory_bytes: 9 << 20,
            ..candidate(&name, &running, None)
        };
        let one = Promised {
            count: 1,
            memory_bytes: 1,
        };
        assert_eq!(concurrency.free(larger_than_all, one), 0);
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
        const MB: u64 = 1 << 20;
        let concurrency = Concurrency::new(10, 64 * MB);
        let (name, running) = (name(), Arc::default());
        let of = |memory_bytes, memory_in_use_bytes| Candidate {
            memory_bytes,
            memory_in_use_bytes,
            ..candidate(&name, &running, None)
        };
        // A burst is held back by what it is expected to use, before it uses it.
        let first = concurrency.admit(of(100 * MB, 0)).unwrap();
        let refused = concurrency.admit(of(MB, 0)).unwrap_err();
        assert_eq!(refused, Refused::Memory { budget_mb: 64 });
        drop(first);
        let _half = concurrency.admit(of(32 * MB, 0)).unwrap();
        let _rest = concurrency.admit(of(32 * MB, 0)).unwrap();
        concurrency.admit(of(1, 0)).unwrap_err();
        // What is really held counts too.
        let concurrency = Concurrency::new(10, 64 * MB);
        concurrency.admit(of(MB, 63 * MB)).unwrap();
        concurrency.admit(of(2 * MB, 63 * MB)).unwrap_err();
    }

    #[test]
    fn what_is_expected_follows_what_was_held() {
        let running = Running::default();
        let limit = MemoryMb::DEFAULT;
        assert_eq!(running.expected_bytes(limit), 16 << 20);
        running.note_memory(1_000);
        assert_eq!(running.expected_bytes(limit), 1_000);
        running.note_memory(u64::MAX);
        assert_eq!(running.expected_bytes(limit), limit.bytes());
        for _ in 0..400 {
            running.note_memory(1_000);
        }
        assert_eq!(running.expected_bytes(limit), 1_000);
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
