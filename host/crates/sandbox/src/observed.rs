//! What is measured while a sandbox runs, readable at any time.
//!
//! The caller and the sandbox share one [`Observed`], so a run that was dropped in the middle can
//! still be recorded. Knows nothing of rounding or prices.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use domain::{Clock, Usage};
use parking_lot::Mutex;

use crate::log::{GuestLog, LogBuffer, LogStream};

/// Stands for "not yet" in the counters of nanoseconds.
const UNSET: u64 = u64::MAX;

/// Usage and log of one run.
#[derive(Debug)]
pub struct Observed {
    started: OnceLock<Instant>,
    init_ns: AtomicU64,
    duration_ns: AtomicU64,
    cpu_ns: AtomicU64,
    /// When it was last entered, counted from `started`.
    entered_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
    /// Set when the guest used up its first slice.
    ran_long: AtomicBool,
    log: Mutex<LogBuffer>,
    last_line_unix_ms: AtomicU64,
}

impl Observed {
    /// Nothing measured yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: OnceLock::new(),
            init_ns: AtomicU64::new(UNSET),
            duration_ns: AtomicU64::new(UNSET),
            cpu_ns: AtomicU64::new(0),
            entered_ns: AtomicU64::new(0),
            memory_peak_bytes: AtomicU64::new(0),
            ran_long: AtomicBool::new(false),
            log: Mutex::default(),
            last_line_unix_ms: AtomicU64::new(0),
        })
    }

    /// What was measured so far; of a run that has not ended, its duration until now.
    #[must_use]
    pub fn usage(&self, clock: &Clock) -> Usage {
        let duration = match self.duration_ns.load(Ordering::Acquire) {
            UNSET => self.started.get().map_or(Duration::ZERO, |started| {
                clock.now().saturating_duration_since(*started)
            }),
            ns => Duration::from_nanos(ns),
        };
        let init = match self.init_ns.load(Ordering::Relaxed) {
            UNSET => None,
            ns => Some(Duration::from_nanos(ns)),
        };
        Usage {
            init,
            duration,
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
            memory_peak_bytes: self.memory_peak_bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes the lines written so far, an unfinished last one included.
    #[must_use]
    pub fn take_log(&self) -> GuestLog {
        self.log
            .lock()
            .take(self.last_line_unix_ms.load(Ordering::Relaxed))
    }

    /// The guest is about to be executed, for the first time or again.
    pub(crate) fn enter(&self, now: Instant) {
        let started = *self.started.get_or_init(|| now);
        let since = nanos(now.saturating_duration_since(started));
        self.entered_ns.store(since, Ordering::Relaxed);
    }

    /// How long the guest has been executed without a break.
    pub(crate) fn slice(&self, now: Instant) -> Duration {
        let started = self.started.get().copied().unwrap_or(now);
        let entered = Duration::from_nanos(self.entered_ns.load(Ordering::Relaxed));
        now.saturating_duration_since(started)
            .saturating_sub(entered)
    }

    /// How long the guest was executed before its current slice.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.duration_ns.load(Ordering::Acquire) != UNSET
    }

    /// The first end counts.
    pub(crate) fn end(&self, now: Instant) {
        let started = self.started.get().copied().unwrap_or(now);
        let ns = nanos(now.saturating_duration_since(started));
        let _already_ended =
            self.duration_ns
                .compare_exchange(UNSET, ns, Ordering::AcqRel, Ordering::Relaxed);
    }

    pub(crate) fn loaded(&self, took: Duration) {
        self.init_ns.store(nanos(took), Ordering::Relaxed);
    }

    pub(crate) fn add_cpu(&self, spent: Duration) {
        self.cpu_ns.fetch_add(nanos(spent), Ordering::Relaxed);
    }

    pub(crate) fn set_memory_peak(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ran_long(&self) {
        self.ran_long.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ran_long(&self) -> bool {
        self.ran_long.load(Ordering::Relaxed)
    }

    pub(crate) fn write_log(&self, stream: LogStream, bytes: &[u8], clock: &Clock) {
        let now = clock.unix_ms();
        self.last_line_unix_ms.store(now, Ordering::Relaxed);
        self.log.lock().write(stream, bytes, || now);
    }
}

/// A duration in whole nanoseconds, one below [`UNSET`] at most (584 years).
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos())
        .unwrap_or(UNSET)
        .min(UNSET - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_not_ended_reports_its_duration_until_now() {
        let clock = Clock::manual(0);
        let observed = Observed::new();
        assert_eq!(observed.usage(&clock), Usage::default());
        observed.enter(clock.now());
        clock.advance(Duration::from_millis(5));
        assert_eq!(observed.usage(&clock).duration, Duration::from_millis(5));
        observed.end(clock.now());
        clock.advance(Duration::from_millis(5));
        assert_eq!(observed.usage(&clock).duration, Duration::from_millis(5));
        assert_eq!(observed.usage(&clock).init, None);
        observed.loaded(Duration::from_millis(2));
        assert_eq!(observed.usage(&clock).init, Some(Duration::from_millis(2)));
    }
}
