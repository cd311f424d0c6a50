//! Invoices in every format, over a ledger that nobody serves.

use bytes::Bytes;
use domain::{Clock, MemoryMb, Report, RequestId, Status, Trigger, VersionId};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use storage::{DataDir, Ledger, LedgerSettings};

use super::*;
use crate::config::Flags;

/// 2026-12-05T00:00:00Z.
const NOW_US: i64 = 1_796_428_800_000_000;

fn record(number: u8, function: &str, at_us: i64, status: Status, tariff: &Config) -> Report {
    let billed_ms = if status.is_billed() { 1_000 } else { 0 };
    let charge = tariff.billing.charge(MemoryMb::DEFAULT, billed_ms);
    Report {
        request_id: RequestId::new(1_795_364_897_840, [number; 10]),
        attempt: 1,
        function: FunctionName::parse(function).unwrap(),
        version: VersionId::Number(3),
        trigger: Trigger::Http,
        started_at_us: at_us,
        status,
        error_type: None,
        init_ns: None,
        duration_ns: 0,
        cpu_ns: 0,
        billed_ms,
        memory: MemoryMb::DEFAULT,
        memory_used_mb: 1,
        charge_picousd: if status.is_billed() { charge } else { 0 },
    }
}

/// November of a server with two functions; one request and one GB-second are free.
pub(crate) fn november(function: Option<&str>) -> InvoiceView {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(&dir.path().join("data")).unwrap();
    let toml = dir.path().join("mayfly.toml");
    std::fs::write(
        &toml,
        "[billing]\nfree_requests = 1\nfree_gb_seconds = 0\nissuer = \"Acme\"\ncustomer = \"Team, \\\"Blue\\\"\"\n",
    )
    .unwrap();
    let config = Config::resolve(Some(&toml), |_| None, Flags::default()).unwrap();
    let settings = LedgerSettings {
        clock: Clock::manual(NOW_US),
        ..LedgerSettings::default()
    };
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    let month: Month = "2026-11".parse().unwrap();
    let in_november = [
        ("a", month.start_us(), Status::Success),
        ("a", month.end_us() - 1, Status::HostCrash),
        ("b", month.end_us() - 1, Status::Timeout),
    ];
    let outside = [
        ("a", month.start_us() - 1, Status::Success),
        ("b", month.end_us(), Status::Success),
    ];
    for (number, (function, at, status)) in (0..).zip(in_november.into_iter().chain(outside)) {
        let record = record(number, function, at, status, &config);
        ledger.append(&record).unwrap();
    }
    let function = function.map(|name| FunctionName::parse(name).unwrap());
    let asked = Asked::new(Some(month), function, NOW_US).unwrap();
    invoices::make(Source::Owned(&ledger), &config, &asked).unwrap()
}

/// Two billed seconds of 128 MB are a quarter of a GB-second: 4,166,675; and a request of two.
const TOTAL: i128 = 2 * 2_083_338 + 200_000;

#[test]
fn an_invoice_is_of_its_month_in_utc_and_adds_up() {
    let invoice = november(None);
    assert_eq!(invoice.total_picousd, u128::try_from(TOTAL).unwrap());
    assert_eq!(invoice.lines.len(), 2);
    assert_eq!(invoice.sums.requests, 3);
    assert_eq!(invoice.sums.by_status["host_crash"], 1);
    assert_eq!(invoice.sums.requests_billed, 2);
    assert_eq!(invoice.sums.gb_seconds, "0.250000000");
    assert_eq!(invoice.lines[0].version.as_deref(), Some("3"));
    assert!(invoice.is_final);
    let (a, b) = (november(Some("a")), november(Some("b")));
    assert_eq!(a.total_picousd + b.total_picousd, invoice.total_picousd);
    assert_eq!(november(None).number, invoice.number);
    assert_ne!(a.number, invoice.number);
}

#[test]
fn the_json_is_read_as_it_was_written() {
    let invoice = november(None);
    let json = serde_json::to_string(&invoice).unwrap();
    assert_eq!(serde_json::from_str::<InvoiceView>(&json).unwrap(), invoice);
}

#[test]
fn the_rows_of_csv_add_up_to_the_total() {
    let csv = in_csv(&november(None));
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    assert!(
        lines[0].starts_with("kind,function,version,trigger,text,requests,"),
        "{csv}"
    );
    let amounts = lines[1..].iter().map(|line| {
        let fields: Vec<_> = line.rsplit(',').collect();
        fields[1].parse::<i128>().unwrap()
    });
    assert_eq!(amounts.sum::<i128>(), TOTAL);
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_rows_of_parquet_add_up_to_the_total() {
    let invoice = november(None);
    let reader = SerializedFileReader::new(Bytes::from(in_parquet(&invoice).unwrap())).unwrap();
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let amounts = rows.iter().map(|row| i128::from(row.get_long(10).unwrap()));
    assert_eq!(amounts.sum::<i128>(), TOTAL);
    assert_eq!(rows[0].get_string(0).unwrap(), "use");
    assert_eq!(rows[0].get_string(1).unwrap(), "a");
    assert_eq!(rows[2].get_string(11).unwrap(), "-0.000000200000");
}
