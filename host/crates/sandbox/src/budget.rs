//! One memory budget for everything an instance may grow: all its memories and all its tables.
//!
//! Invariant: the sum is only ever added to. The engine reports failed growths that were never
//! announced, so a budget that took the last growth back could be driven down by a guest; counting a
//! rare failed growth twice is harmless.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use crate::engine::TABLE_ELEMENTS_MAX;
use crate::observed::Observed;

/// Host memory behind one table element.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// Over all live sandboxes of the process.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) live: AtomicU32,
}

/// The memory budget of one sandbox; gives back what it took when it is dropped.
#[derive(Debug)]
pub(crate) struct Budget {
    cap_bytes: u64,
    used_bytes: u64,
    /// Whether memory was ever refused.
    denied: bool,
    observed: Arc<Observed>,
    totals: Arc<Totals>,
}

impl Budget {
    pub(crate) fn new(cap_bytes: u64, observed: Arc<Observed>, totals: Arc<Totals>) -> Self {
        totals.live.fetch_add(1, Ordering::Relaxed);
        Self {
            cap_bytes,
            used_bytes: 0,
            denied: false,
            observed,
            totals,
        }
    }

    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    fn take(&mut self, bytes: u64) -> bool {
        match self.used_bytes.checked_add(bytes) {
            Some(used) if used <= self.cap_bytes => {
                self.used_bytes = used;
                self.observed.set_memory_peak(used);
                self.totals.memory_bytes.fetch_add(bytes, Ordering::Relaxed);
                true
            }
            _ => self.deny(),
        }
    }

    fn deny(&mut self) -> bool {
        self.denied = true;
        false
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.totals
            .memory_bytes
            .fetch_sub(self.used_bytes, Ordering::Relaxed);
        self.totals.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if bytes(desired) > self.cap_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(self.deny());
        }
        Ok(self.take(bytes(desired.saturating_sub(current))))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let grown = bytes(desired.saturating_sub(current));
        Ok(self.take(grown.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use domain::Clock;
    use wasmtime::Error;

    use super::*;
    use crate::random::SplitMix;

    const CAP: u64 = 1 << 20;

    fn budget() -> (Budget, Arc<Observed>, Arc<Totals>) {
        let observed = Observed::new();
        let totals = Arc::new(Totals::default());
        let budget = Budget::new(CAP, Arc::clone(&observed), Arc::clone(&totals));
        (budget, observed, totals)
    }

    #[test]
    fn no_sequence_of_callbacks_gets_more_than_the_cap() {
        let mut random = SplitMix::new(0x6d61_7966_6c79);
        for _ in 0..2_000 {
            let (mut budget, observed, totals) = budget();
            let mut granted = 0_u64;
            let mut used_before = 0;
            for _ in 0..60 {
                let current = usize::try_from(random.below(CAP)).unwrap();
                let grown = usize::try_from(random.below(CAP / 4)).unwrap();
                match random.below(4) {
                    0 => {
                        if budget
                            .memory_growing(current, current + grown, None)
                            .unwrap()
                        {
                            granted += bytes(grown);
                        }
                    }
                    1 => {
                        let (current, grown) = (current % 10_000, grown % 10_000);
                        if budget
                            .table_growing(current, current + grown, None)
                            .unwrap()
                        {
                            granted += bytes(grown) * TABLE_ELEMENT_BYTES;
                        }
                    }
                    2 => budget.memory_grow_failed(Error::msg("failed")).unwrap(),
                    _ => budget.table_grow_failed(Error::msg("failed")).unwrap(),
                }
                assert!(granted <= CAP);
                assert_eq!(budget.used_bytes, granted);
                assert!(budget.used_bytes >= used_before, "the sum went down");
                used_before = budget.used_bytes;
            }
            assert_eq!(observed.usage(&Clock::system()).memory_peak_bytes, granted);
            assert_eq!(totals.memory_bytes.load(Ordering::Relaxed), granted);
            drop(budget);
            assert_eq!(totals.memory_bytes.load(Ordering::Relaxed), 0);
            assert_eq!(totals.live.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_growth_past_the_cap_or_the_memorys_own_maximum_is_denied_and_not_charged() {
        let (mut budget, ..) = budget();
        assert!(!budget.memory_growing(0, usize::MAX, None).unwrap());
        assert!(!budget.memory_growing(0, 65_536, Some(1)).unwrap());
        assert!(!budget.table_growing(0, usize::MAX, None).unwrap());
        assert!(!budget.table_growing(0, 2, Some(1)).unwrap());
        assert_eq!(budget.used_bytes, 0);
        assert!(budget.denied());
    }
}
