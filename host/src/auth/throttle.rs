//! Slows down whoever fails to sign again and again.
//!
//! Failures are counted for a second, by source address and by access key. An address that has spent
//! its failures is refused until the second is over. So is one that has failed while its key's failures
//! are spent: many addresses share the count of one key, and those that never fail are left alone.
//!
//! Also keeps the log readable: of many failures in a second, few lines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

/// Addresses and keys that are counted in one second; more of them count as one.
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
    by_source: HashMap<Source, u32>,
    by_key: HashMap<Box<str>, u32>,
    /// By those for whom there was no room.
    others: u32,
    all: u32,
}

/// An address of version 4, or the network of one of version 6: whoever has one has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
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

    /// Whether a request with a signature from `address` is refused without a look.
    pub(crate) fn refuses(&self, address: IpAddr, key: Option<&str>, now: Instant) -> bool {
        let window = self.window.lock();
        if window.second != self.second(now) || window.all == 0 {
            return false;
        }
        let source = Source::of(address);
        let by_source = match window.by_source.get(&source) {
            Some(count) => *count,
            None if window.by_source.len() >= COUNTED_MAX => window.others,
            None => 0,
        };
        let by_key = key.and_then(|key| window.by_key.get(key)).copied();
        let max = self.failures_per_second;
        by_source >= max || (by_source > 0 && by_key.unwrap_or(0) >= max)
    }

    /// Counts a failure.
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
        let source = Source::of(address);
        if window.by_source.len() < COUNTED_MAX || window.by_source.contains_key(&source) {
            *window.by_source.entry(source).or_default() += 1;
        } else {
            window.others += 1;
        }
        if let Some(key) = key {
            let has_room = window.by_key.len() < COUNTED_MAX;
            match window.by_key.get_mut(key) {
                Some(count) => *count += 1,
                None if has_room => {
                    window.by_key.insert(key.into(), 1);
                }
                None => {}
            }
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
            assert!(!throttle.refuses(EVIL, Some("K"), clock.now()));
            throttle.note(EVIL, Some("K"), clock.now());
        }
        assert!(throttle.refuses(EVIL, Some("K"), clock.now()));
        assert!(throttle.refuses(EVIL, Some("other"), clock.now()));
        assert!(!throttle.refuses(GOOD, Some("K"), clock.now()));
        clock.advance(Duration::from_secs(1));
        assert!(!throttle.refuses(EVIL, Some("K"), clock.now()));
    }

    #[test]
    fn many_addresses_share_the_failures_of_a_key() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(50, clock.now());
        let address = |last: u8| IpAddr::from([10, 1, 0, last]);
        for last in 0..50 {
            throttle.note(address(last), Some("K"), clock.now());
        }
        assert!(throttle.refuses(address(7), Some("K"), clock.now()));
        assert!(!throttle.refuses(address(7), Some("L"), clock.now()));
        assert!(!throttle.refuses(address(200), Some("K"), clock.now()));
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
            assert_eq!(window.by_key.len(), COUNTED_MAX);
        }
        clock.advance(Duration::from_secs(1));
        let noted = throttle.note(EVIL, None, clock.now());
        assert!(noted.is_logged);
        assert_eq!(noted.unlogged_before, 20_000 - LOGGED_MAX);
    }
}
