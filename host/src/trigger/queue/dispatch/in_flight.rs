//! The places that attempts hold: by queue, and for deliveries by the origin that they go to.
//!
//! Knows nothing of what could be admitted.

use std::collections::HashMap;

use domain::FunctionName;

use super::super::destination::Origin;

/// Records on their way to one origin, or into one file, at once.
const ORIGIN_MAX: u32 = 16;

/// How many places are held.
#[derive(Debug)]
pub(super) struct InFlight {
    /// How many there are: `queue.concurrency_max`, at least 1.
    places: u32,
    held: u32,
    by_queue: HashMap<String, u32>,
    deliveries: u32,
    /// Deliveries, by their origin.
    by_origin: HashMap<String, u32>,
}

impl InFlight {
    pub(super) fn new(places: u32) -> Self {
        Self {
            places,
            held: 0,
            by_queue: HashMap::new(),
            deliveries: 0,
            by_origin: HashMap::new(),
        }
    }

    /// How many places a queue holds.
    pub(super) fn of(&self, queue: &str) -> u32 {
        self.by_queue.get(queue).copied().unwrap_or(0)
    }

    /// How many more places a queue may hold now. Half of those that the others leave, but one in any case
    /// while there is one: whoever comes later finds as many as any queue before it took. Deliveries hold a
    /// quarter of all together at most, and [`ORIGIN_MAX`] to one origin.
    pub(super) fn free(&self, queue: &str) -> u32 {
        let free = self.places.saturating_sub(self.held);
        let of_queue = self.of(queue);
        let half = (free + of_queue) / 2;
        let at_most = half.max(1).saturating_sub(of_queue).min(free);
        let Some(origin) = origin_of(queue) else {
            return at_most;
        };
        let of_all = (self.places / 4).max(1).saturating_sub(self.deliveries);
        let of_origin = self.by_origin.get(&origin).copied().unwrap_or(0);
        let of_origin = ORIGIN_MAX.saturating_sub(of_origin);
        at_most.min(of_all).min(of_origin)
    }

    /// Notes that `count` events of a queue are taken.
    pub(super) fn add(&mut self, queue: &str, count: u32) {
        if count == 0 {
            return;
        }
        self.held += count;
        add(&mut self.by_queue, queue, count);
        if let Some(origin) = origin_of(queue) {
            self.deliveries += count;
            add(&mut self.by_origin, &origin, count);
        }
    }

    /// Notes that `count` of them were given back or have ended.
    pub(super) fn remove(&mut self, queue: &str, count: u32) {
        self.held = self.held.saturating_sub(count);
        remove(&mut self.by_queue, queue, count);
        if let Some(origin) = origin_of(queue) {
            self.deliveries = self.deliveries.saturating_sub(count);
            remove(&mut self.by_origin, &origin, count);
        }
    }
}

fn add(counts: &mut HashMap<String, u32>, key: &str, count: u32) {
    match counts.get_mut(key) {
        Some(held) => *held += count,
        None => drop(counts.insert(key.to_owned(), count)),
    }
}

fn remove(counts: &mut HashMap<String, u32>, key: &str, count: u32) {
    if let Some(held) = counts.get_mut(key) {
        *held = held.saturating_sub(count);
        if *held == 0 {
            counts.remove(key);
        }
    }
}

/// Where the records of a queue go; nothing for a function's events. What is no name of a function is a
/// destination.
fn origin_of(queue: &str) -> Option<String> {
    if FunctionName::parse(queue).is_ok() {
        return None;
    }
    // A file is alone, and so is what no address is any more.
    Some(Origin::parse(queue).map_or_else(|_| queue.to_owned(), |origin| origin.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all that a queue may hold, again and again.
    fn fill(held: &mut InFlight, queue: &str) -> u32 {
        let mut count = 0;
        loop {
            let more = held.free(queue);
            if more == 0 {
                return count;
            }
            held.add(queue, more);
            count += more;
        }
    }

    #[test]
    fn deliveries_hold_a_quarter_and_sixteen_to_one_origin() {
        let mut held = InFlight::new(200);
        let mut taken = 0;
        for path in 0..10 {
            taken += fill(&mut held, &format!("https://hooks.example.com/{path}"));
        }
        assert_eq!(taken, 16);
        // The same origin, written otherwise.
        assert_eq!(held.free("https://HOOKS.example.com:443/x"), 0);
        for host in 0..100 {
            taken += fill(&mut held, &format!("https://h{host}.example.com/"));
        }
        assert_eq!(taken, 50);
        assert_eq!(held.free("file:failures"), 0);
        assert_eq!(held.free("f"), 75, "functions do not wait for deliveries");
        held.remove("https://h0.example.com/", 16);
        assert_eq!(fill(&mut held, "file:failures"), 16);

        let mut one = InFlight::new(1);
        assert_eq!(fill(&mut one, "file:failures"), 1);
        one.remove("file:failures", 1);
        assert_eq!(fill(&mut one, "f"), 1);
    }

    #[test]
    fn whoever_comes_late_finds_a_place() {
        for places in [3, 4, 5, 8, 200] {
            let mut held = InFlight::new(places);
            for greedy in ["a", "b"] {
                fill(&mut held, greedy);
                assert_eq!(held.free(greedy), 0);
            }
            assert!(held.free("c") > 0, "{places}: {held:?}");
        }
        let mut held = InFlight::new(200);
        assert_eq!(fill(&mut held, "a"), 100);
        assert_eq!(fill(&mut held, "b"), 50);
        assert_eq!(fill(&mut held, "a"), 0, "what the others hold is not free");
        held.remove("a", 100);
        assert_eq!(held.free("a"), 75);
        held.remove("b", 50);
        assert_eq!((held.held, held.by_queue.len()), (0, 0));
        // Each of those that there are places for gets one.
        let mut held = InFlight::new(5);
        let queues = ["a", "b", "c", "d", "e"];
        let taken: u32 = queues.map(|queue| fill(&mut held, queue)).iter().sum();
        assert_eq!((taken, held.free("f")), (5, 0));
        held.remove("e", 1);
        assert_eq!(held.free("f"), 1);
    }
}
