//! Whether the roll-ups in the catalogue are the sums of the records.

use super::{Check, Verification};
use crate::ledger::catalogue::Contents;
use crate::ledger::query::Source;
use crate::ledger::sums::{Key, Period, Sums};

/// The catalogue's file.
const FILE: &str = "ledger.db";

impl Check<'_> {
    /// Compares `contents` with what was read; `first` is the first record that was not dropped.
    pub(super) fn check_sums(
        &mut self,
        contents: &Contents,
        first: u64,
        segments: &[(u64, Source)],
    ) {
        let position = contents.position;
        let next = self.found.last_sequence.saturating_add(1);
        if position > next {
            let reason =
                format!("it has the sums of all records before {position}, and {next} comes next");
            self.found.add_about(FILE, reason);
            return;
        }
        if position < first {
            let reason = format!(
                "it has the sums of all records before {position}, though those before {first} were \
                 dropped; the next start makes them again"
            );
            self.found.add_about(FILE, reason);
            return;
        }
        let is_begin = segments.iter().any(|(begin, _)| *begin == position);
        if !is_begin && position != next && position != first {
            let reason = format!("no segment begins with record {position}, where its sums end");
            self.found.add_about(FILE, reason);
        }
        if !self.is_readable {
            return;
        }
        self.found.are_sums_checked = true;
        let days = self.hours.by(Period::Day);
        compare(&mut self.found, Period::Hour, &self.hours, &contents.hours);
        compare(&mut self.found, Period::Day, &days, &contents.days);
        let have = contents.minutes_have;
        self.minutes
            .0
            .retain(|key, _| key.start >= have.first_minute);
        if have.first_sequence >= first {
            compare(
                &mut self.found,
                Period::Minute,
                &self.minutes,
                &contents.minutes,
            );
            return;
        }
        // Some of what is in the minutes was dropped: they are no less than what is left, and no more
        // than their hours.
        compare_at_least(
            &mut self.found,
            Period::Minute,
            &contents.minutes,
            &self.minutes,
        );
        let hours = contents.minutes.by(Period::Hour);
        compare_at_least(&mut self.found, Period::Hour, &self.hours, &hours);
    }
}

/// Names what is in one and not, or otherwise, in the other.
fn compare(found: &mut Verification, period: Period, expected: &Sums, kept: &Sums) {
    for (key, totals) in &expected.0 {
        if kept.0.get(key) != Some(totals) {
            say(found, period, key, "is not that of its records");
        }
    }
    for key in kept.0.keys() {
        if !expected.0.contains_key(key) {
            say(found, period, key, "has no records");
        }
    }
}

/// Names where `more` is not at least `less`.
fn compare_at_least(found: &mut Verification, period: Period, more: &Sums, less: &Sums) {
    for (key, totals) in &less.0 {
        if !more.0.get(key).is_some_and(|sum| sum.covers(totals)) {
            say(found, period, key, "is not that of its records");
        }
    }
}

fn say(found: &mut Verification, period: Period, key: &Key, what: &str) {
    let version = key.version.map(|version| format!(" version {version}"));
    let trigger = key
        .trigger
        .map(|trigger| format!(" by {}", trigger.as_str()));
    let reason = format!(
        "the sum of `{}`{}{} for {} {} {what}",
        key.function,
        version.unwrap_or_default(),
        trigger.unwrap_or_default(),
        period.as_str(),
        period.text(key.start),
    );
    found.add_about(FILE, reason);
}
