//! How often a route may be used: by all together, and by each caller.
//!
//! Memory is bounded: of callers that were quiet long enough nothing is kept, and while there are too
//! many at once, they share one allowance. Knows nothing of who a caller is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use domain::Clock;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use sha2::{Digest as _, Sha256};

use crate::http::network::Network;
use crate::manifest::route_rules::Rate;

/// Callers of one route that are told apart.
const KEYS_MAX: usize = 100_000;

/// How often callers that were quiet are looked for when there are too many, in microseconds.
const SWEEP_EVERY_US: i64 = 1_000_000;

/// Who has an allowance of his own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RateKey {
    /// A hash of the name of an API key, the ARN of a signer, the subject of a token: names may be long, and
    /// what is kept of a caller must not be.
    Name([u8; 16]),
    /// A caller without a name.
    Address(Network),
    /// Everybody, while there are too many to tell apart.
    Crowd,
}

impl RateKey {
    /// The key of whoever has this name.
    pub(crate) fn of_name(name: &str) -> Self {
        let hash = Sha256::digest(name);
        Self::Name(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The key of whoever sends from `address`.
    pub(crate) fn of_address(address: IpAddr) -> Self {
        Self::Address(Network::of(address))
    }
}

/// By our clock.
type Allowance<K, S> = RateLimiter<K, S, RateClock, NoOpMiddleware<Instant>>;

/// One allowance for all.
#[derive(Debug)]
pub(crate) struct Limiter(Allowance<NotKeyed, InMemoryState>);

/// An allowance for each caller.
#[derive(Debug)]
pub(crate) struct KeyedLimiter {
    limiter: Allowance<RateKey, DashMapStateStore<RateKey>>,
    clock: Clock,
    keys_max: usize,
    swept_us: AtomicI64,
}

/// Too many; the time after which one more is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

#[derive(Debug, Clone)]
struct RateClock(Clock);

impl governor::clock::Clock for RateClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl Limiter {
    /// A full allowance.
    pub(crate) fn new(rate: Rate, clock: &Clock) -> Self {
        let clock = RateClock(clock.clone());
        Self(RateLimiter::direct_with_clock(quota(rate), clock))
    }

    /// Takes one from the allowance.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when it is used up.
    pub(crate) fn take(&self) -> Result<(), TooMany> {
        let clock = self.0.clock();
        self.0.check().map_err(|until| too_many(&until, clock))
    }
}

impl KeyedLimiter {
    /// Full allowances.
    pub(crate) fn new(rate: Rate, clock: &Clock) -> Self {
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota(rate), RateClock(clock.clone())),
            clock: clock.clone(),
            keys_max: KEYS_MAX,
            swept_us: AtomicI64::new(i64::MIN),
        }
    }

    /// Takes one from the allowance of `key`.
    ///
    /// # Errors
    ///
    /// [`TooMany`] when it is used up.
    pub(crate) fn take(&self, key: &RateKey) -> Result<(), TooMany> {
        let key = if self.has_room() {
            key
        } else {
            &RateKey::Crowd
        };
        self.limiter
            .check_key(key)
            .map_err(|until| too_many(&until, self.limiter.clock()))
    }

    /// Whether callers can be told apart.
    fn has_room(&self) -> bool {
        if self.limiter.len() < self.keys_max {
            return true;
        }
        let now_us = self.clock.unix_us();
        let swept_us = self.swept_us.load(Ordering::Relaxed);
        let is_due = now_us.saturating_sub(swept_us) >= SWEEP_EVERY_US || now_us < swept_us;
        let is_ours = is_due
            && self
                .swept_us
                .compare_exchange(swept_us, now_us, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_ours {
            self.limiter.retain_recent();
        }
        self.limiter.len() < self.keys_max
    }
}

fn quota(rate: Rate) -> Quota {
    Quota::per_second(rate.per_second).allow_burst(rate.burst)
}

fn too_many(until: &NotUntil<Instant>, clock: &RateClock) -> TooMany {
    TooMany(until.wait_time_from(clock.now()))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn name(text: &str) -> RateKey {
        RateKey::of_name(text)
    }

    #[test]
    fn a_burst_is_allowed_and_then_so_many_per_second() {
        let clock = Clock::manual(0);
        let limiter = Limiter::new(rate(2, 3), &clock);
        for _ in 0..3 {
            limiter.take().unwrap();
        }
        assert_eq!(limiter.take(), Err(TooMany(Duration::from_millis(500))));
        clock.advance(Duration::from_millis(500));
        limiter.take().unwrap();
        limiter.take().unwrap_err();
    }

    #[test]
    fn each_caller_has_an_allowance() {
        let limiter = KeyedLimiter::new(rate(1, 1), &Clock::manual(0));
        limiter.take(&name("a")).unwrap();
        limiter.take(&name("b")).unwrap();
        limiter.take(&name("a")).unwrap_err();
        let here = |text: &str| RateKey::of_address(text.parse().unwrap());
        limiter.take(&here("10.0.0.1")).unwrap();
        limiter.take(&here("::ffff:10.0.0.1")).unwrap_err();
        limiter.take(&here("2001:db8:0:1::1")).unwrap();
        limiter.take(&here("2001:db8:0:1:ffff::2")).unwrap_err();
        limiter.take(&here("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn what_is_kept_of_callers_is_bounded() {
        let clock = Clock::manual(0);
        let mut limiter = KeyedLimiter::new(rate(1, 1), &clock);
        limiter.keys_max = 10;
        for number in 0..10 {
            limiter.take(&name(&number.to_string())).unwrap();
        }
        limiter.take(&name("one of many")).unwrap();
        limiter.take(&name("another")).unwrap_err();
        assert_eq!(limiter.limiter.len(), 11);
        clock.advance(Duration::from_secs(5));
        limiter.take(&name("another")).unwrap();
        assert_eq!(limiter.limiter.len(), 1);
    }

    #[test]
    fn what_is_kept_of_a_caller_does_not_grow_with_its_name() {
        assert_eq!(name("ada"), name("ada"));
        assert_ne!(name(&"a".repeat(12_000)), name(&"a".repeat(12_001)));
        let kept = size_of::<RateKey>();
        assert!(kept <= 24 && !std::mem::needs_drop::<RateKey>(), "{kept}");
    }
}
