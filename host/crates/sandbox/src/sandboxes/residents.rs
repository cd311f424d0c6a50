//! Which guests' code is loaded, and whose goes when there is no room for more.
//!
//! Loaded code holds a descriptor and about three mappings, and the system has bounds on both. So
//! there is a bound on loaded guests; a guest beyond it takes the place of one that was not used for
//! a while (second chance: a queue, and a mark that a use leaves). A run keeps the code it started
//! with until it ends, so taking code away never waits and never breaks anything.
//!
//! Knows nothing of how code is loaded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::guest::{Guest, Loaded};

/// Guests that are given a second chance in one search, before the next one has to go anyway: keeps a
/// search short when all of them were used.
const SECOND_CHANCES_MAX: usize = 256;

/// When the system has no room, one in so many of the loaded guests goes, and a few at least: others
/// wait for room too.
const RELIEF_PART: usize = 8;
const RELIEF_MIN: usize = 16;

/// The loaded guests.
#[derive(Debug)]
pub(super) struct Residents {
    /// Next to go first. Each guest whose code is loaded is here once; what sets or takes a guest's
    /// code holds this lock.
    queue: Mutex<VecDeque<Weak<Guest>>>,
    max: usize,
    evicted: AtomicU64,
}

impl Residents {
    /// Room for `max` guests, one at least.
    pub(super) fn new(max: u32) -> Self {
        Self {
            queue: Mutex::default(),
            max: usize::try_from(max).unwrap_or(usize::MAX).max(1),
            evicted: AtomicU64::new(0),
        }
    }

    /// Gives `guest` its code, unless it has it by now, and takes the code of others if they are too
    /// many. Returns the code that it has afterwards.
    pub(super) fn admit(&self, guest: &Arc<Guest>, loaded: Loaded) -> Arc<Loaded> {
        let mut queue = self.queue.lock();
        if let Some(present) = guest.code.get() {
            return present;
        }
        let mut victims = Vec::new();
        while queue.len() >= self.max {
            victims.extend(next_victim(&mut queue));
        }
        let loaded = Arc::new(loaded);
        guest.code.set(Some(Arc::clone(&loaded)));
        queue.push_back(Arc::downgrade(guest));
        drop(queue);
        self.let_go(victims);
        loaded
    }

    /// Makes room when the system has none: takes the code of a part of the guests, unless someone else
    /// did since `evicted` was [`Residents::evicted`]. False when there was nothing to take.
    pub(super) fn relieve(&self, evicted: u64) -> bool {
        if self.evicted() > evicted {
            return true;
        }
        let mut victims = Vec::new();
        let mut queue = self.queue.lock();
        let length = queue.len();
        let kept = length.saturating_sub(RELIEF_MIN.max(length / RELIEF_PART));
        while queue.len() > kept {
            victims.extend(next_victim(&mut queue));
        }
        drop(queue);
        self.let_go(victims);
        length > 0
    }

    /// Guests whose code is loaded; those that are gone and were not noticed yet among them.
    pub(super) fn count(&self) -> usize {
        self.queue.lock().len()
    }

    /// Guests whose code was taken to make room, since the start.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Unmaps, which takes a while, without a lock.
    fn let_go(&self, victims: Vec<Arc<Loaded>>) {
        let count = u64::try_from(victims.len()).unwrap_or(0);
        self.evicted.fetch_add(count, Ordering::Relaxed);
        drop(victims);
    }
}

/// Takes one guest from the queue, and its code; no code if the guest is gone.
fn next_victim(queue: &mut VecDeque<Weak<Guest>>) -> Option<Arc<Loaded>> {
    for _ in 0..SECOND_CHANCES_MAX.min(queue.len()) {
        let guest = queue.pop_front()?.upgrade()?;
        if !guest.code.take_mark() {
            return guest.code.take();
        }
        queue.push_back(Arc::downgrade(&guest));
    }
    queue.pop_front()?.upgrade()?.code.take()
}
