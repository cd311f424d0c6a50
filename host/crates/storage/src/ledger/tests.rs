//! What the ledger promises, tested from the outside and, for damage, on its files.

pub(crate) mod dropped;
mod find;
mod forged;
mod frames;
mod growth;
mod kill;
mod recovery;
mod running;
mod scan;
mod space;
mod strict;
mod sums;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Clock, FunctionName, MemoryMb, Report, RequestId, Status, Trigger, VersionId};

use super::{EntryQuery, Ledger, LedgerSettings, StatusCounts, SummaryQuery, SummaryRow};
use crate::{DataDir, StorageError};

/// 2025-11-22, in Unix microseconds.
const NOW_US: i64 = 1_763_830_000_000_000;

/// The report with number `number`; each number gives another one.
pub(crate) fn report(number: u64) -> Report {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let status = Status::ALL[usize::try_from(number % 7).unwrap()];
    Report {
        request_id: RequestId::new(1_763_830_000_000 + number, random),
        attempt: u32::try_from(number % 3).unwrap() + 1,
        function: FunctionName::parse(&format!("function-{}", number % 5)).unwrap(),
        version: if number.is_multiple_of(2) {
            VersionId::Latest
        } else {
            VersionId::Number(number % 8)
        },
        trigger: if number.is_multiple_of(4) {
            Trigger::Invoke
        } else {
            Trigger::Http
        },
        started_at_us: NOW_US + i64::try_from(number).unwrap() * 1_000_000,
        error_type: (status != Status::Success).then(|| format!("Error{number}")),
        status,
        init_ns: number.is_multiple_of(10).then_some(number * 1_000),
        duration_ns: number * 1_001,
        cpu_ns: number * 999,
        billed_ms: number % 3_000,
        memory: MemoryMb::new(1 + u32::try_from(number % 4_096).unwrap()).unwrap(),
        memory_used_mb: 1,
        charge_picousd: 200_000 + number * 7_919,
    }
}

/// Segments of 4 KiB: about 30 records.
fn small() -> LedgerSettings {
    LedgerSettings {
        segment_bytes: 4_096,
        sync_every: Duration::from_millis(1),
        clock: Clock::manual(NOW_US),
        ..LedgerSettings::default()
    }
}

fn open(path: &Path) -> Ledger {
    try_open(path).unwrap()
}

fn try_open(path: &Path) -> Result<Ledger, StorageError> {
    Ledger::open(&DataDir::open(path)?, small())
}

fn append(ledger: &Ledger, numbers: std::ops::Range<u64>) {
    for number in numbers {
        ledger.append(&report(number)).unwrap();
    }
}

/// All entries, oldest first.
fn all(ledger: &Ledger) -> Vec<Report> {
    let query = EntryQuery {
        limit: usize::MAX,
        ..EntryQuery::default()
    };
    let mut entries = ledger.entries(&query).unwrap();
    entries.reverse();
    entries
}

fn reports(numbers: std::ops::Range<u64>) -> Vec<Report> {
    numbers.map(report).collect()
}

/// The sums of `reports`, made here without the crate's own code.
fn summed(reports: &[Report]) -> Vec<SummaryRow> {
    let mut rows: Vec<SummaryRow> = Vec::new();
    for report in reports {
        let seconds = u64::try_from(report.started_at_us / 1_000_000).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        let days = time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            / 86_400;
        // The tests stay within these days.
        let day = match days {
            20_414 => "2025-11-22".to_owned(),
            days => format!("2025-11-{:02}", days - 20_414 + 22),
        };
        let index = rows
            .iter()
            .position(|row| row.function == report.function && row.period == day)
            .unwrap_or_else(|| {
                rows.push(SummaryRow {
                    function: report.function.clone(),
                    start_us: i64::try_from(days).unwrap() * 86_400_000_000,
                    period: day,
                    version: None,
                    trigger: None,
                    invocations: 0,
                    errors: 0,
                    statuses: StatusCounts::default(),
                    billed_ms: 0,
                    mb_ms: 0,
                    charge_picousd: 0,
                });
                rows.len() - 1
            });
        let row = &mut rows[index];
        row.invocations += 1;
        row.errors += u64::from(report.status != Status::Success);
        let status = Status::ALL
            .iter()
            .position(|status| *status == report.status);
        row.statuses.0[status.unwrap()] += 1;
        row.billed_ms += report.billed_ms;
        row.mb_ms += u128::from(report.memory.get()) * u128::from(report.billed_ms);
        row.charge_picousd += u128::from(report.charge_picousd);
    }
    rows.sort_by(|a, b| (&a.function, &a.period).cmp(&(&b.function, &b.period)));
    rows
}

fn summary(ledger: &Ledger) -> Vec<SummaryRow> {
    ledger.summary(&SummaryQuery::default()).unwrap()
}

/// The segment files, oldest first.
fn segments(path: &Path) -> Vec<PathBuf> {
    let segments = super::segment::list(&path.join("ledger")).unwrap();
    segments.into_iter().map(|(_, path)| path).collect()
}

/// Waits until `condition` holds, at most 10 s.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let clock = Clock::system();
    let start = clock.now();
    while !condition() {
        assert!(
            clock.now() - start < Duration::from_secs(10),
            "it did not come true in 10 s"
        );
        std::thread::yield_now();
    }
}

/// The numbers of long runs; `None` in a normal one.
fn long() -> Option<u64> {
    std::env::var("MAYFLY_LONG")
        .ok()
        .map(|count| count.parse().unwrap_or(1_000))
}
