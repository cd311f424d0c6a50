//! The thread that advances the engine's epoch, and the thread that watches it.
//!
//! Without ticks a guest in a loop runs for ever, so a dead ticker ends the process: whoever
//! supervises it starts it again, and nothing that was recorded is lost. A late ticker does not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// One epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// How often the watcher looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks in a row that may see no tick: more than one second in all.
const LOOKS_WITHOUT_TICK_MAX: u32 = 5;

/// Handle on the ticker; both threads end with the engine.
#[derive(Debug, Clone)]
pub(crate) struct Ticker {
    ticks: Arc<AtomicU64>,
}

impl Ticker {
    /// Starts both threads.
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let ticks = Arc::new(AtomicU64::new(0));
        let (weak, beat) = (engine.weak(), Arc::clone(&ticks));
        thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(move || tick(&weak, &beat))?;
        let (weak, beat) = (engine.weak(), Arc::clone(&ticks));
        thread::Builder::new()
            .name("ticker-watch".to_owned())
            .spawn(move || watch(&weak, &beat))?;
        Ok(Self { ticks })
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

fn watch(engine: &EngineWeak, ticks: &AtomicU64) {
    let mut watch = Watch::default();
    loop {
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
