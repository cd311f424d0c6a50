//! The ledger as its owner sees it, and an independent check that it adds up.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::host::TestHost;

/// Entries and sums, read one after the other.
#[derive(Debug)]
pub struct Ledger {
    /// Single records, newest first.
    pub entries: Vec<Value>,
    /// Sums of functions and days.
    pub summary: Vec<Value>,
}

/// Invocations, errors, billed milliseconds, charge.
type Sums = (u64, u64, u64, u128);

impl Ledger {
    #[track_caller]
    pub(crate) fn read(host: &TestHost) -> Self {
        let list = |target: &str| host.control_json(target).as_array().unwrap().clone();
        Self {
            entries: list("/mayfly/billing?limit=1000000"),
            summary: list("/mayfly/billing/summary"),
        }
    }

    /// The record of an invocation.
    #[must_use]
    pub fn entry(&self, request_id: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|entry| entry["request_id"] == request_id)
    }

    /// The request ids of all records.
    #[must_use]
    pub fn request_ids(&self) -> HashSet<String> {
        let text = |entry: &Value| entry["request_id"].as_str().unwrap().to_owned();
        self.entries.iter().map(text).collect()
    }

    /// What does not add up, if something does not.
    #[must_use]
    pub fn problem(&self, prices_are_default: bool) -> Option<String> {
        let mut seen = HashSet::new();
        let mut sums: BTreeMap<(String, String), Sums> = BTreeMap::new();
        for entry in &self.entries {
            let key = (
                entry["request_id"].to_string(),
                entry["attempt"].to_string(),
            );
            if !seen.insert(key) {
                return Some(format!("two records of one attempt: {entry}"));
            }
            if let Some(problem) = entry_problem(entry, prices_are_default) {
                return Some(format!("{problem}: {entry}"));
            }
            let day = entry["started_at"].as_str().unwrap()[..10].to_owned();
            let function = entry["function"].as_str().unwrap().to_owned();
            let sum = sums.entry((function, day)).or_default();
            sum.0 += 1;
            sum.1 += u64::from(entry["status"] != "success");
            sum.2 += entry["billed_ms"].as_u64().unwrap();
            sum.3 += u128::from(entry["charge_picousd"].as_u64().unwrap());
        }
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
        let said: BTreeMap<(String, String), Sums> = self
            .summary
            .iter()
            .map(|row| {
                let charge = u128::from(number(row, "charge_picousd"));
                let counts = (number(row, "invocations"), number(row, "errors"));
                let sums = (counts.0, counts.1, number(row, "billed_ms"), charge);
                ((text(row, "function"), text(row, "day")), sums)
            })
            .collect();
        (said != sums).then(|| format!("the summary says {said:?}, the records add up to {sums:?}"))
    }
}

/// What is wrong with one record by itself: its status, its rounding, its price.
fn entry_problem(entry: &Value, prices_are_default: bool) -> Option<String> {
    const STATUSES: [&str; 7] = [
        "success",
        "error",
        "timeout",
        "out_of_memory",
        "cancelled",
        "host_error",
        "host_crash",
    ];
    let status = entry["status"].as_str().unwrap();
    if !STATUSES.contains(&status) {
        return Some("an unknown status".to_owned());
    }
    let number = |key: &str| entry[key].as_u64().unwrap();
    if number("max_memory_used_mb") > number("memory_mb") {
        return Some("more memory than there was".to_owned());
    }
    if !prices_are_default {
        return None;
    }
    let (billed_ms, charge) = (number("billed_ms"), number("charge_picousd"));
    let expected = match status {
        "host_error" | "host_crash" => 0,
        _ => price_picousd(number("memory_mb"), billed_ms),
    };
    if charge != expected {
        return Some(format!("the charge should be {expected}"));
    }
    let used_ms = entry["duration_ms"].as_f64().unwrap() + entry["init_ms"].as_f64().unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "at most 900,000")]
    let billed = billed_ms as f64;
    // Shown durations are rounded up to microseconds, one by one.
    let fits = billed + 0.003 >= used_ms && (billed <= 1.0 || billed < used_ms + 1.0);
    (expected > 0 && !fits).then(|| format!("{used_ms} ms used and {billed_ms} ms billed"))
}

/// Price of an invocation at the default rates, rounded half up to whole pico-dollars.
fn price_picousd(memory_mb: u64, billed_ms: u64) -> u64 {
    const GB_SECOND: u64 = 16_666_700;
    const REQUEST: u64 = 200_000;
    const MB_MS_PER_GB_SECOND: u64 = 1_024_000;
    (memory_mb * billed_ms * GB_SECOND + MB_MS_PER_GB_SECOND / 2) / MB_MS_PER_GB_SECOND + REQUEST
}
