//! Sums by minute, hour, day and month; by version and trigger; and what is left of them in the end.

use std::collections::BTreeMap;
use std::fs;

use domain::{Status, Trigger, VersionId};

use super::super::anchor::Anchor;
use super::super::sums::Period;
use super::dropped::{drop_oldest, settle};
use super::*;
use crate::SummaryRow;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Reports over two and a half months, many of them in the same minute.
fn spread() -> Vec<Report> {
    let reports = (0..600_u64).map(|number| Report {
        started_at_us: NOW_US
            + i64::try_from(number / 7 % 5).unwrap() * 17 * DAY_US
            + i64::try_from(number % 3).unwrap() * 25 * MINUTE_US
            + i64::try_from(number).unwrap(),
        version: VersionId::Number(number % 2 + 1),
        ..report(number)
    });
    reports.collect()
}

/// What the rows should be, made here without the crate's own sums: text of the period, version,
/// trigger → attempts, errors, billed time, MB-milliseconds, charge.
type Expected = BTreeMap<(String, String, String, String), (u64, u64, u64, u128, u128)>;

fn expected(reports: &[Report], query: &SummaryQuery) -> Expected {
    let mut rows = Expected::new();
    for report in reports {
        let day = report.started_at_us.div_euclid(DAY_US);
        let minute = report.started_at_us.rem_euclid(DAY_US) / MINUTE_US;
        let day = crate::calendar::day_text(day);
        let period = match query.by {
            Period::Minute => format!("{day}T{:02}:{:02}", minute / 60, minute % 60),
            Period::Hour => format!("{day}T{:02}", minute / 60),
            Period::Day => day,
            Period::Month => day[..7].to_owned(),
        };
        let text = |is_wanted: bool, text: String| if is_wanted { text } else { String::new() };
        let key = (
            report.function.to_string(),
            period,
            text(query.by_version, report.version.to_string()),
            text(query.by_trigger, report.trigger.as_str().to_owned()),
        );
        let row = rows.entry(key).or_default();
        row.0 += 1;
        row.1 += u64::from(report.status != Status::Success);
        row.2 += report.billed_ms;
        row.3 += u128::from(report.memory.get()) * u128::from(report.billed_ms);
        row.4 += u128::from(report.charge_picousd);
    }
    rows
}

#[track_caller]
fn told(rows: &[SummaryRow]) -> Expected {
    let told = rows.iter().map(|row| {
        assert_eq!(row.statuses.total(), row.invocations);
        let succeeded = row.statuses.get(Status::Success);
        assert_eq!(row.errors, row.invocations - succeeded);
        let version = row.version.map(|version| version.to_string());
        let trigger = row.trigger.map(Trigger::as_str).unwrap_or_default();
        let key = (
            row.function.to_string(),
            row.period.clone(),
            version.unwrap_or_default(),
            trigger.to_owned(),
        );
        let sums = (
            row.invocations,
            row.errors,
            row.billed_ms,
            row.mb_ms,
            row.charge_picousd,
        );
        (key, sums)
    });
    told.collect()
}

fn reader(path: &Path) -> super::super::LedgerReader {
    Ledger::open_for_reading(&DataDir::open_for_reading(path).unwrap()).unwrap()
}

fn queries() -> Vec<SummaryQuery> {
    let mut queries = Vec::new();
    for by in Period::ALL {
        for (by_version, by_trigger) in [(false, false), (true, false), (true, true)] {
            queries.push(SummaryQuery {
                by,
                by_version,
                by_trigger,
                ..SummaryQuery::default()
            });
        }
    }
    queries
}

fn remove_database(path: &Path) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(path.join(name)));
    }
}

#[test]
fn every_period_and_grouping_is_the_sum_of_its_records() {
    let root = tempfile::tempdir().unwrap();
    let reports = spread();
    let ledger = open(root.path());
    for report in &reports {
        ledger.append(report).unwrap();
    }
    settle(&ledger);
    drop_oldest(&ledger, 3);
    let reader = reader(root.path());
    for query in queries() {
        let expected = expected(&reports, &query);
        assert_eq!(
            told(&ledger.summary(&query).unwrap()),
            expected,
            "{query:?}"
        );
        assert_eq!(
            told(&reader.summary(&query).unwrap()),
            expected,
            "{query:?}"
        );
    }
    drop(ledger);
    // From the anchor and the segments alone; minutes begin where the anchor ends.
    remove_database(root.path());
    let kept = &reports[usize::try_from(
        Anchor::read(&root.path().join("ledger"))
            .unwrap()
            .next_sequence
            - 1,
    )
    .unwrap()..];
    for _ in 0..2 {
        for query in queries() {
            let of = if query.by == Period::Minute {
                kept
            } else {
                &reports
            };
            assert_eq!(
                told(&reader.summary(&query).unwrap()),
                expected(of, &query),
                "{query:?}"
            );
        }
        drop(open(root.path()));
    }
}

#[test]
fn a_month_has_its_records_to_the_microsecond() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    // 2025-12-01T00:00:00Z.
    let december = 1_764_547_200_000_000;
    for started_at_us in [
        december - 1,
        december,
        december + 31 * DAY_US - 1,
        december + 31 * DAY_US,
    ] {
        let report = Report {
            started_at_us,
            ..report(1)
        };
        ledger.append(&report).unwrap();
    }
    let query = SummaryQuery {
        by: Period::Month,
        since_us: Some(december),
        until_us: Some(december + 31 * DAY_US),
        ..SummaryQuery::default()
    };
    let rows = ledger.summary(&query).unwrap();
    let told = rows
        .iter()
        .map(|row| (row.period.as_str(), row.start_us, row.invocations));
    assert_eq!(told.collect::<Vec<_>>(), [("2025-12", december, 2)]);
}

#[test]
fn minutes_are_forgotten_by_the_hour_and_nothing_else_is() {
    let root = tempfile::tempdir().unwrap();
    let reports = spread();
    let ledger = open(root.path());
    let clock = ledger.shared().settings.clock.clone();
    for report in &reports {
        ledger.append(report).unwrap();
    }
    settle(&ledger);
    clock.advance(Duration::from_hours((15 + 17) * 24));
    super::super::upkeep::forget_minutes(ledger.shared()).unwrap();
    // The records of the open segment are counted from itself.
    let first_open = ledger.shared().journal.views()[0].first_sequence;
    let cut = (NOW_US + 17 * DAY_US).div_euclid(3_600_000_000) * 3_600_000_000;
    let kept = reports
        .iter()
        .zip(1..)
        .filter(|(report, sequence)| report.started_at_us >= cut || *sequence >= first_open);
    let kept = kept.map(|(report, _)| report.clone()).collect::<Vec<_>>();
    assert!((100..599).contains(&kept.len()), "{}", kept.len());
    for query in queries() {
        let of = if query.by == Period::Minute {
            &kept
        } else {
            &reports
        };
        let rows = ledger.summary(&query).unwrap();
        assert_eq!(told(&rows), expected(of, &query), "{query:?}");
    }
}

/// The first schema, as older versions made it.
const OLD_SCHEMA: &str = "
CREATE TABLE position (id INTEGER PRIMARY KEY CHECK (id = 1), next_sequence INTEGER NOT NULL) STRICT;
INSERT INTO position VALUES (1, 31);
CREATE TABLE segments (
    first_sequence INTEGER PRIMARY KEY, next_sequence INTEGER NOT NULL, first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER NOT NULL, sha256 BLOB NOT NULL
) STRICT;
CREATE TABLE segment_functions (
    first_sequence INTEGER NOT NULL REFERENCES segments ON DELETE CASCADE, function TEXT NOT NULL,
    PRIMARY KEY (first_sequence, function)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollups (
    function TEXT NOT NULL, day INTEGER NOT NULL, invocations INTEGER NOT NULL,
    errors INTEGER NOT NULL, billed_ms INTEGER NOT NULL, mb_ms BLOB NOT NULL,
    charge_picousd BLOB NOT NULL, PRIMARY KEY (function, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_day ON rollups (day);
INSERT INTO rollups VALUES ('wrong', 1, 30, 0, 0, zeroblob(16), zeroblob(16));
PRAGMA user_version = 1;
";

#[test]
fn a_database_of_an_older_version_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()));
    let ledger = open(root.path());
    append(&ledger, 0..300);
    drop(ledger);
    remove_database(root.path());
    let old = rusqlite::Connection::open(root.path().join("ledger.db")).unwrap();
    old.execute_batch(OLD_SCHEMA).unwrap();
    drop(old);
    let expected = summed(&reports(0..300));
    // Beside the server of an older version, the journal alone is asked.
    let query = SummaryQuery::default();
    assert_eq!(reader(root.path()).summary(&query).unwrap(), expected);
    assert_eq!(summary(&open(root.path())), expected);
    assert_eq!(summary(&open(root.path())), expected);
}

#[test]
fn an_anchor_of_an_older_version_stands_in_the_first_hour_of_its_days() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    append(&ledger, 0..300);
    settle(&ledger);
    let before = summary(&ledger);
    drop_oldest(&ledger, 2);
    drop(ledger);
    // The same anchor, as the first format had it.
    let directory = root.path().join("ledger");
    let anchor = Anchor::read(&directory).unwrap();
    let sums = anchor.sums.by(Period::Day).0.into_iter().map(|(key, totals)| {
        let errors = totals.invocations() - totals.statuses.get(Status::Success);
        format!(
            r#"{{"function":"{}","day":{},"invocations":{},"errors":{errors},"billed_ms":{},"mb_ms":"{}","charge_picousd":"{}"}}"#,
            key.function,
            key.start / 1_440,
            totals.invocations(),
            totals.billed_ms,
            totals.mb_ms,
            totals.charge_picousd,
        )
    });
    let json = format!(
        r#"{{"format":1,"next_sequence":{},"last_crc32c":{},"sha256":"{}","sums":[{}]}}"#,
        anchor.next_sequence,
        anchor.crc,
        crate::files::hex(&anchor.hash.unwrap()),
        sums.collect::<Vec<_>>().join(","),
    );
    fs::write(Anchor::path(&directory), &json).unwrap();
    remove_database(root.path());
    let ledger = open(root.path());
    let after = summary(&ledger);
    let plain = |rows: &[SummaryRow]| {
        let rows = rows.iter().map(|row| {
            let row = row.clone();
            SummaryRow {
                statuses: StatusCounts::default(),
                ..row
            }
        });
        rows.collect::<Vec<_>>()
    };
    // Which kind of failure it was is not known any more; everything else is.
    assert_eq!(plain(&after), plain(&before));
    let query = SummaryQuery {
        by_version: true,
        by: Period::Hour,
        ..SummaryQuery::default()
    };
    let rows = ledger.summary(&query).unwrap();
    assert!(
        rows.iter()
            .any(|row| row.version.is_none() && row.period.ends_with("T00"))
    );
    // It is written in the new format when more is dropped.
    settle(&ledger);
    drop_oldest(&ledger, 1);
    assert_eq!(plain(&summary(&ledger)), plain(&before));
    let json = json.replacen("\"errors\":", "\"errors\":9", 1);
    fs::write(Anchor::path(&directory), json).unwrap();
    drop(ledger);
    let error = try_open(root.path()).unwrap_err();
    assert!(error.to_string().contains("are more than"), "{error}");
}
