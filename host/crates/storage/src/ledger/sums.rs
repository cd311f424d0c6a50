//! Sums of reports, by function, version, trigger and time.
//!
//! Knows nothing of where reports come from or sums are kept.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::{FunctionName, Report, Status, Trigger, VersionId};

use crate::calendar;

const MINUTE_US: i64 = 60 * 1_000_000;
/// Minutes of an hour and of a day.
pub(super) const HOUR: Minute = 60;
pub(super) const DAY: Minute = 24 * HOUR;

/// Minutes since 1970-01-01 00:00, UTC.
pub(super) type Minute = i64;

/// The lengths of time that sums are made over. All of them begin and end in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// `2026-11-22T13:05`.
    Minute,
    /// `2026-11-22T13`.
    Hour,
    /// `2026-11-22`.
    #[default]
    Day,
    /// `2026-11`.
    Month,
}

impl Period {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The word used in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The first minute of the period that `minute` is in.
    pub(super) fn start(self, minute: Minute) -> Minute {
        match self {
            Self::Minute => minute,
            Self::Hour => minute.div_euclid(HOUR) * HOUR,
            Self::Day => minute.div_euclid(DAY) * DAY,
            Self::Month => calendar::month_start(minute.div_euclid(DAY)) * DAY,
        }
    }

    /// The last minute of the period that `minute` is in.
    pub(super) fn end(self, minute: Minute) -> Minute {
        let start = self.start(minute);
        match self {
            Self::Minute => minute,
            Self::Hour => start + HOUR - 1,
            Self::Day => start + DAY - 1,
            // No month has more days, and no two months together have fewer.
            Self::Month => self.start(start + 31 * DAY) - 1,
        }
    }

    /// The period that begins with `start`, as people write it.
    pub(super) fn text(self, start: Minute) -> String {
        let day = start.div_euclid(DAY);
        let minute = start.rem_euclid(DAY);
        match self {
            Self::Minute => format!(
                "{}T{:02}:{:02}",
                calendar::day_text(day),
                minute / HOUR,
                minute % HOUR
            ),
            Self::Hour => format!("{}T{:02}", calendar::day_text(day), minute / HOUR),
            Self::Day => calendar::day_text(day),
            Self::Month => calendar::month_text(day),
        }
    }
}

/// The minute of an instant in Unix microseconds.
pub(super) fn minute_of(unix_us: i64) -> Minute {
    unix_us.div_euclid(MINUTE_US)
}

/// The instant with which a minute begins, in Unix microseconds.
pub(super) fn unix_us(minute: Minute) -> i64 {
    minute.saturating_mul(MINUTE_US)
}

/// How many attempts ended in each [`Status`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusCounts(pub(super) [u64; Status::ALL.len()]);

impl StatusCounts {
    /// Those that ended so.
    #[must_use]
    pub fn get(&self, status: Status) -> u64 {
        let pairs = Status::ALL.iter().zip(self.0);
        let mut wanted = pairs.filter(|(other, _)| **other == status);
        wanted.next().map_or(0, |(_, count)| count)
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn one(status: Status) -> Self {
        let mut counts = Self::default();
        for (count, other) in counts.0.iter_mut().zip(Status::ALL) {
            *count = u64::from(other == status);
        }
        counts
    }
}

/// What reports add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) statuses: StatusCounts,
    pub(super) billed_ms: u64,
    /// Configured memory in MB times billed milliseconds.
    pub(super) mb_ms: u128,
    pub(super) charge_picousd: u128,
}

impl Totals {
    pub(super) fn invocations(&self) -> u64 {
        self.statuses.total()
    }

    /// Whether each part of it is at least that of `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let counts = self.statuses.0.iter().zip(other.statuses.0);
        let mut counts = counts.map(|(own, other)| *own >= other);
        counts.all(|is_enough| is_enough)
            && self.billed_ms >= other.billed_ms
            && self.mb_ms >= other.mb_ms
            && self.charge_picousd >= other.charge_picousd
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        // Sums are read from files as well, where any number may stand.
        for (count, other) in self.statuses.0.iter_mut().zip(other.statuses.0) {
            *count = count.saturating_add(other);
        }
        self.billed_ms = self.billed_ms.saturating_add(other.billed_ms);
        self.mb_ms = self.mb_ms.saturating_add(other.mb_ms);
        self.charge_picousd = self.charge_picousd.saturating_add(other.charge_picousd);
    }
}

/// What is summed up together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) function: FunctionName,
    /// The first minute of the period.
    pub(super) start: Minute,
    /// Unknown in what is left of segments that were dropped before sums knew versions and triggers.
    pub(super) version: Option<VersionId>,
    pub(super) trigger: Option<Trigger>,
}

/// Totals by function, time, version and trigger. How long a period is, whoever has them knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums(pub(super) BTreeMap<Key, Totals>);

impl Sums {
    /// Adds a report to its minute.
    pub(super) fn add(&mut self, report: &Report) {
        let totals = Totals {
            statuses: StatusCounts::one(report.status),
            billed_ms: report.billed_ms,
            mb_ms: u128::from(report.memory.get()) * u128::from(report.billed_ms),
            charge_picousd: u128::from(report.charge_picousd),
        };
        let key = Key {
            function: report.function.clone(),
            start: minute_of(report.started_at_us),
            version: Some(report.version),
            trigger: Some(report.trigger),
        };
        self.add_totals(key, totals);
    }

    pub(super) fn add_totals(&mut self, key: Key, totals: Totals) {
        *self.0.entry(key).or_default() += totals;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for (key, totals) in &other.0 {
            self.add_totals(key.clone(), *totals);
        }
    }

    /// The same over longer periods.
    pub(super) fn by(&self, period: Period) -> Self {
        let mut sums = Self::default();
        for (key, totals) in &self.0 {
            let start = period.start(key.start);
            sums.add_totals(
                Key {
                    start,
                    ..key.clone()
                },
                *totals,
            );
        }
        sums
    }

    /// Over everything.
    pub(super) fn total(&self) -> Totals {
        self.0
            .values()
            .fold(Totals::default(), |mut total, totals| {
                total += *totals;
                total
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_holds_its_minutes_and_is_written_as_people_write_it() {
        // 2026-02-28T23:59, the last minute of its month.
        let minute = (20_454 + 59) * DAY - 1;
        for (period, minutes, text) in [
            (Period::Minute, 1, "2026-02-28T23:59"),
            (Period::Hour, HOUR, "2026-02-28T23"),
            (Period::Day, DAY, "2026-02-28"),
            (Period::Month, 28 * DAY, "2026-02"),
        ] {
            let (start, end) = (period.start(minute), period.end(minute));
            assert_eq!((end - start + 1, end), (minutes, minute), "{period:?}");
            assert_eq!(period.text(start), text);
            assert_eq!(period.start(minute + 1), minute + 1, "{period:?}");
        }
        assert_eq!(minute_of(-1), -1);
        assert_eq!(Period::Day.start(-1), -DAY);
        assert_eq!(Period::Month.text(Period::Month.start(-1)), "1969-12");
    }

    #[test]
    fn each_status_is_counted_as_itself() {
        for status in Status::ALL {
            let counts = StatusCounts::one(status);
            assert_eq!(counts.total(), 1);
            for other in Status::ALL {
                assert_eq!(counts.get(other), u64::from(other == status));
            }
        }
    }
}
