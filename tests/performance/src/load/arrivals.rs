//! When requests are due, and a clock that wakes the load generator at those moments.
//!
//! Knows nothing of requests.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Where the sequence of gaps starts: the same for everyone.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Moments at a mean rate, with exponential gaps, as independent clients make them.
#[derive(Debug)]
pub(super) struct Arrivals {
    next: Instant,
    end: Instant,
    mean: Duration,
    state: u64,
}

impl Arrivals {
    /// `rate` moments a second, from `start` for `duration`.
    pub(super) fn new(start: Instant, duration: Duration, rate: f64) -> Self {
        let mut arrivals = Self {
            next: start,
            end: start + duration,
            mean: Duration::from_secs_f64(1.0 / rate),
            state: SEED,
        };
        arrivals.advance();
        arrivals
    }

    /// The next moment; none after the end.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.next < self.end).then_some(self.next)
    }

    /// Takes the next moment if it has come.
    pub(super) fn next_if_due(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next().filter(|next| *next <= now)?;
        self.advance();
        Some(next)
    }

    fn advance(&mut self) {
        let gap = -self.uniform().ln();
        self.next += self.mean.mul_f64(gap);
    }

    /// A number above 0, up to 1 (xorshift64*).
    fn uniform(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (super::count(bits) + 1.0) / super::count(1 << 32)
    }
}

/// A timer of the kernel's that epoll can wait for; to the microsecond, where epoll's own timeout
/// is to the millisecond.
#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        timerfd_create(TimerfdClockId::Monotonic, flags).map(Self)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Rings once, in `after`; replaces what was set.
    pub(super) fn set(&self, after: Duration) -> anyhow::Result<()> {
        // Zero would stop it.
        let after = after.max(Duration::from_nanos(1));
        let timer = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(after)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }

    /// Takes the ring, so that it is not heard again.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_in_order_at_the_mean_rate_and_end() {
        let (start, rate) = (Instant::now(), 1_000.0);
        let mut arrivals = Arrivals::new(start, Duration::from_secs(100), rate);
        let far = start + Duration::from_secs(1_000);
        let moments: Vec<Instant> = std::iter::from_fn(|| arrivals.next_if_due(far)).collect();
        assert!(moments.is_sorted());
        assert!(
            moments
                .iter()
                .all(|moment| *moment < start + Duration::from_secs(100))
        );
        // 100,000 are expected; the sequence is fixed, so this can't fail by chance.
        assert!(
            (99_000..101_000).contains(&moments.len()),
            "{}",
            moments.len()
        );
        assert_eq!(arrivals.next(), None);
    }

    #[test]
    fn nothing_is_due_before_its_moment() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, Duration::from_secs(1), 10.0);
        let next = arrivals.next().unwrap();
        assert_eq!(arrivals.next_if_due(start), None);
        assert_eq!(arrivals.next_if_due(next), Some(next));
        assert_ne!(arrivals.next(), Some(next));
    }
}
