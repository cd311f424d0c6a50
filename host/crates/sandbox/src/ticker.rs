//! The thread that advances the engine's epoch, and the thread that watches it, and the swap.
//!
//! Without ticks a guest in a loop runs for ever, so a dead ticker ends the process: whoever
//! supervises it starts it again, and nothing that was recorded is lost. A late ticker does not.
//!
//! Swap that is switched on while slots are reset by [`Profile::Scan`] makes that way of resetting
//! wrong, so the watcher looks for it about once in a second; from then on no guest may start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::settings::Profile;

/// One epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// How often the watcher looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks in a row that may see no tick: more than one second in all.
const LOOKS_WITHOUT_TICK_MAX: u32 = 5;

/// Looks between two looks for swap.
const LOOKS_PER_SWAP_LOOK: u32 = 4;

/// Handle on the ticker; both threads end with the engine.
#[derive(Debug, Clone)]
pub(crate) struct Ticker {
    ticks: Arc<AtomicU64>,
    swapped: Arc<AtomicBool>,
}

impl Ticker {
    /// Starts both threads. `swap_seen` says whether swap is active now.
    pub(crate) fn start(
        engine: &Engine,
        profile: Profile,
        swap_seen: fn() -> bool,
    ) -> io::Result<Self> {
        let ticks = Arc::new(AtomicU64::new(0));
        let (weak, beat) = (engine.weak(), Arc::clone(&ticks));
        thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(move || tick(&weak, &beat))?;
        let (weak, beat) = (engine.weak(), Arc::clone(&ticks));
        let swap = SwapWatch {
            needed: profile == Profile::Scan,
            swap_seen,
            swapped: Arc::default(),
        };
        let swapped = Arc::clone(&swap.swapped);
        thread::Builder::new()
            .name("ticker-watch".to_owned())
            .spawn(move || watch(&weak, &beat, &swap))?;
        Ok(Self { ticks, swapped })
    }

    /// Whether swap was seen where there must be none. Stays so: a page may have been in it.
    pub(crate) fn swapped(&self) -> bool {
        self.swapped.load(Ordering::Relaxed)
    }

    /// Ticks so far.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }
}

fn tick(engine: &EngineWeak, ticks: &AtomicU64) {
    loop {
        pause(TICK);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
        ticks.fetch_add(1, Ordering::Relaxed);
    }
}

fn watch(engine: &EngineWeak, ticks: &AtomicU64, swap: &SwapWatch) {
    let mut watch = Watch::default();
    for look in (0..LOOKS_PER_SWAP_LOOK).cycle() {
        pause(LOOK_EVERY);
        if engine.upgrade().is_none() {
            return;
        }
        if watch.look(ticks.load(Ordering::Relaxed)) == Verdict::Dead {
            tracing::error!(
                "the epoch ticker is dead: guests can't be stopped any more, so the process ends"
            );
            std::process::abort();
        }
        if look == 0 {
            swap.look();
        }
    }
}

/// Looks for swap where slots are reset in a way that is wrong with it.
#[derive(Debug)]
struct SwapWatch {
    needed: bool,
    swap_seen: fn() -> bool,
    swapped: Arc<AtomicBool>,
}

impl SwapWatch {
    fn look(&self) {
        if !self.needed || self.swapped.load(Ordering::Relaxed) || !(self.swap_seen)() {
            return;
        }
        self.swapped.store(true, Ordering::Relaxed);
        tracing::error!(
            "swap was switched on while the server runs: sandboxes can't be reset safely any more, so \
             no event is run until the server is started again; restart it now"
        );
    }
}

/// Tells a ticker that is dead from one that is late.
///
/// Counts looks and not time: when the whole machine was paused, both threads were.
#[derive(Debug, Default)]
struct Watch {
    last: u64,
    looks_without_tick: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Alive,
    Dead,
}

impl Watch {
    fn look(&mut self, ticks: u64) -> Verdict {
        if ticks == self.last {
            self.looks_without_tick += 1;
        } else {
            self.last = ticks;
            self.looks_without_tick = 0;
        }
        if self.looks_without_tick >= LOOKS_WITHOUT_TICK_MAX {
            Verdict::Dead
        } else {
            Verdict::Alive
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "these threads do nothing but wait"
)]
fn pause(duration: Duration) {
    thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_seen_only_where_it_matters_and_is_not_forgotten() {
        for (needed, swap_seen, expected) in [
            (true, (|| true) as fn() -> bool, true),
            (true, || false, false),
            (false, || true, false),
        ] {
            let mut swap = SwapWatch {
                needed,
                swap_seen,
                swapped: Arc::default(),
            };
            swap.look();
            assert_eq!(swap.swapped.load(Ordering::Relaxed), expected);
            swap.swap_seen = || false;
            swap.look();
            assert_eq!(swap.swapped.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn a_ticker_is_dead_after_more_than_a_second_without_a_tick() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(1), Verdict::Alive);
        for _ in 0..4 {
            assert_eq!(watch.look(1), Verdict::Alive);
        }
        assert_eq!(watch.look(2), Verdict::Alive, "one tick clears the count");
        for _ in 0..4 {
            assert_eq!(watch.look(2), Verdict::Alive);
        }
        assert_eq!(watch.look(2), Verdict::Dead);
        assert!(LOOK_EVERY * LOOKS_WITHOUT_TICK_MAX > Duration::from_secs(1));
    }
}
