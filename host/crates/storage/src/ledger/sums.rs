//! Sums of reports, by function and UTC day.
//!
//! Knows nothing of where reports come from or sums are kept.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use domain::{FunctionName, Report};
use serde::{Deserialize, Serialize};

pub(super) use crate::calendar::day_text;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// Days since 1970-01-01, UTC.
pub(super) type Day = i64;

/// The day of an instant in Unix microseconds.
pub(super) fn day_of(unix_us: i64) -> Day {
    unix_us.div_euclid(DAY_US)
}

/// What reports add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) invocations: u64,
    pub(super) errors: u64,
    pub(super) billed_ms: u64,
    /// Configured memory in MB times billed milliseconds.
    pub(super) mb_ms: u128,
    pub(super) charge_picousd: u128,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        // Sums are read from files as well, where any number may stand.
        self.invocations = self.invocations.saturating_add(other.invocations);
        self.errors = self.errors.saturating_add(other.errors);
        self.billed_ms = self.billed_ms.saturating_add(other.billed_ms);
        self.mb_ms = self.mb_ms.saturating_add(other.mb_ms);
        self.charge_picousd = self.charge_picousd.saturating_add(other.charge_picousd);
    }
}

/// Totals by function and day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums(pub(super) BTreeMap<(FunctionName, Day), Totals>);

impl Sums {
    pub(super) fn add(&mut self, report: &Report) {
        let totals = Totals {
            invocations: 1,
            errors: u64::from(report.is_error()),
            billed_ms: report.billed_ms,
            mb_ms: u128::from(report.memory.get()) * u128::from(report.billed_ms),
            charge_picousd: u128::from(report.charge_picousd),
        };
        self.add_totals(
            report.function.clone(),
            day_of(report.started_at_us),
            totals,
        );
    }

    pub(super) fn add_totals(&mut self, function: FunctionName, day: Day, totals: Totals) {
        *self.0.entry((function, day)).or_default() += totals;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        for ((function, day), totals) in &other.0 {
            self.add_totals(function.clone(), *day, *totals);
        }
    }

    /// Over all functions and days.
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
    fn a_day_is_written_as_people_write_it() {
        for (day, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day_text(day), text);
        }
        assert_eq!(day_of(-1), -1);
        assert_eq!(day_of(DAY_US - 1), 0);
        assert_eq!(day_of(DAY_US), 1);
    }
}
