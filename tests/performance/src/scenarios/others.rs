//! How busy other programs kept the cores while a scenario ran: what its figures have to be read with.
//!
//! Knows nothing of who they are.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// CPU time of the whole machine and of this program with all that it started, at one moment; in
/// ticks.
#[derive(Debug)]
pub(super) struct Moment {
    at: Instant,
    all: u64,
    own: u64,
}

impl Moment {
    /// Now. What this program started counts once it was waited for.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub(super) fn now() -> anyhow::Result<Self> {
        let machine = fs::read_to_string("/proc/stat")?;
        let own = fs::read_to_string("/proc/self/stat")?;
        Ok(Self {
            at: Instant::now(),
            all: busy(&machine).context("`/proc/stat` has no line of all cores")?,
            own: used(&own).context("`/proc/self/stat` lacks the CPU times")?,
        })
    }

    /// The time since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Duration {
        self.at - before.at
    }

    /// How many cores others kept busy since an earlier moment, on average.
    pub(super) fn others_since(&self, before: &Self) -> f64 {
        let others = (self.all - before.all).saturating_sub(self.own - before.own);
        let second = crate::load::count(rustix::param::clock_ticks_per_second());
        crate::load::count(others) / second / self.since(before).as_secs_f64()
    }
}

/// Ticks of all cores that were neither idle nor waiting for a disk.
fn busy(stat: &str) -> Option<u64> {
    // user nice system idle iowait irq softirq steal; guests are part of user.
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// Ticks of a process and of its descendants that have ended.
fn used(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // utime stime cutime cstime: fields 14 to 17, of which two came before.
    let times = fields.get(11..15)?;
    times.iter().map(|time| time.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_busy_when_it_is_not_idle() {
        let stat = "cpu  1 20 300 9999 9999 4000 50000 600000 7 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy(stat), Some(654_321));
        assert_eq!(busy("cpu0 1 1 1 1 1 1 1 1\n"), None);
    }

    #[test]
    fn a_process_has_used_what_its_children_used() {
        let stat = "12 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 1 20 300 4000 20 0 9 0\n";
        assert_eq!(used(stat), Some(4_321));
        assert_eq!(used("12 (x) S 1"), None);
    }

    #[test]
    fn what_this_program_does_is_not_of_others() {
        let before = Moment::now().unwrap();
        let own = before.own + 20;
        while Moment::now().unwrap().own < own {}
        let after = Moment::now().unwrap();
        let all = crate::load::count(after.all - before.all);
        let second = crate::load::count(rustix::param::clock_ticks_per_second());
        let all = all / second / after.since(&before).as_secs_f64();
        assert!(after.others_since(&before) < all);
    }
}
