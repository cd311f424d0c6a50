//! Slows down whoever fails to sign again and again.
//!
//! Failures are counted for a second: by source address, and by address and key where somebody has the
//! key. An address that has spent its failures is refused until the second is over where it names no
//! key that anybody has; with a key that somebody has it is refused when that pair has spent its own. So
//! whoever signs well is served, whatever others do behind the same address or with the same key.
//!
//! Also keeps the log readable: of many failures in a second, few lines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::http::network::Network;

/// Addresses, and pairs of address and key, that are counted in one second; more addresses count as one.
const COUNTED_MAX: usize = 10_000;

/// Failures of a second that are logged.
const LOGGED_MAX: u32 = 5;

/// Counts failures.
#[derive(Debug)]
pub(crate) struct Throttle {
    failures_per_second: u32,
    start: Instant,
    window: Mutex<Window>,
}

/// The failures of one second.
#[derive(Debug, Default)]
struct Window {
    second: u64,
    by_source: HashMap<Network, u32>,
    by_pair: HashMap<(Network, Box<str>), u32>,
    /// By those for whom there was no room.
    others: u32,
    all: u32,
}

/// What to say of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Whether this one is logged.
    pub(crate) is_logged: bool,
    /// How many of an earlier second were not.
    pub(crate) unlogged_before: u32,
}

impl Throttle {
    pub(crate) fn new(failures_per_second: u32, now: Instant) -> Self {
        Self {
            failures_per_second,
            start: now,
            window: Mutex::default(),
        }
    }

    /// Whether a request from `address` is refused without a look: with a key that somebody has, or, with
    /// `None`, without.
    pub(crate) fn refuses(&self, address: IpAddr, key: Option<&str>, now: Instant) -> bool {
        let window = self.window.lock();
        if window.second != self.second(now) || window.all == 0 {
            return false;
        }
        let network = Network::of(address);
        let failures = match key {
            // So short of memory we look at what can be looked at.
            Some(key) => window.by_pair.get(&(network, key.into())).copied(),
            None => match window.by_source.get(&network) {
                None if window.by_source.len() >= COUNTED_MAX => Some(window.others),
                count => count.copied(),
            },
        };
        failures.unwrap_or(0) >= self.failures_per_second
    }

    /// Counts a failure, with a key that somebody has or without.
    pub(crate) fn note(&self, address: IpAddr, key: Option<&str>, now: Instant) -> Noted {
        let mut window = self.window.lock();
        let second = self.second(now);
        let mut unlogged_before = 0;
        if window.second != second {
            unlogged_before = window.all.saturating_sub(LOGGED_MAX);
            *window = Window {
                second,
                ..Window::default()
            };
        }
        window.all = window.all.saturating_add(1);
        let network = Network::of(address);
        if !count(&mut window.by_source, network) {
            window.others += 1;
        }
        if let Some(key) = key {
            // Those for whom there is no room cost no more than a look each.
            count(&mut window.by_pair, (network, key.into()));
        }
        Noted {
            is_logged: window.all <= LOGGED_MAX,
            unlogged_before,
        }
    }

    /// Seconds since we started.
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }
}

/// Counts one more of `what`, if there is room.
fn count<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, what: K) -> bool {
    let has_room = counts.len() < COUNTED_MAX || counts.contains_key(&what);
    if has_room {
        *counts.entry(what).or_default() += 1;
    }
    has_room
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::Clock;

    use super::*;

    const EVIL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const GOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn an_address_that_fails_is_refused_for_the_rest_of_a_second_and_others_are_not() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(50, clock.now());
        for _ in 0..50 {
            assert!(!throttle.refuses(EVIL, None, clock.now()));
            throttle.note(EVIL, None, clock.now());
        }
        assert!(throttle.refuses(EVIL, None, clock.now()));
        assert!(!throttle.refuses(GOOD, None, clock.now()));
        assert!(
            !throttle.refuses(EVIL, Some("K"), clock.now()),
            "who has a key is looked at"
        );
        clock.advance(Duration::from_secs(1));
        assert!(!throttle.refuses(EVIL, None, clock.now()));
    }

    #[test]
    fn a_key_that_fails_is_refused_where_it_fails_and_nowhere_else() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(50, clock.now());
        for _ in 0..50 {
            assert!(!throttle.refuses(EVIL, Some("K"), clock.now()));
            throttle.note(EVIL, Some("K"), clock.now());
        }
        assert!(throttle.refuses(EVIL, Some("K"), clock.now()));
        assert!(throttle.refuses(EVIL, None, clock.now()));
        assert!(!throttle.refuses(EVIL, Some("L"), clock.now()));
        assert!(!throttle.refuses(GOOD, Some("K"), clock.now()));
    }

    #[test]
    fn a_network_of_version_6_is_one_source() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(2, clock.now());
        for last in 1..=2_u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
            throttle.note(address, None, clock.now());
        }
        let same = IpAddr::from([0x2001, 0xdb8, 0, 0, 9, 9, 9, 9]);
        let other = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1]);
        assert!(throttle.refuses(same, None, clock.now()));
        assert!(!throttle.refuses(other, None, clock.now()));
    }

    #[test]
    fn few_failures_are_logged_and_the_rest_is_counted_and_what_is_kept_is_bounded() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(50, clock.now());
        let mut logged = 0;
        for number in 0..20_000_u32 {
            let [_, b, c, d] = number.to_be_bytes();
            let key = format!("K{number}");
            let noted = throttle.note([10, b, c, d].into(), Some(&key), clock.now());
            logged += u32::from(noted.is_logged);
        }
        assert_eq!(logged, LOGGED_MAX);
        {
            let window = throttle.window.lock();
            assert_eq!(window.by_source.len(), COUNTED_MAX);
            assert_eq!(window.by_pair.len(), COUNTED_MAX);
        }
        clock.advance(Duration::from_secs(1));
        let noted = throttle.note(EVIL, None, clock.now());
        assert!(noted.is_logged);
        assert_eq!(noted.unlogged_before, 20_000 - LOGGED_MAX);
    }
}
