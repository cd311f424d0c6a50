//! Invoices and exports of a month, with a server and without one.

use serde_json::Value;
use support::guests::{guest_with, printing};
use support::site::Finished;
use support::{Site, TestHost};

fn busy() -> TestHost {
    let host = Site::builder()
        .env("MAYFLY_BILLING_FREE_REQUESTS", "2")
        .env("MAYFLY_BILLING_FREE_GB_SECONDS", "0")
        .env("MAYFLY_BILLING_ISSUER", "Acme")
        .start();
    host.deploy("good", &printing("1"));
    host.deploy("bad", &guest_with("trap", &[("CODE", "(unreachable)")]));
    for _ in 0..3 {
        assert_eq!(host.get("/good").status, 200);
    }
    assert_eq!(host.get("/bad").status, 502);
    host
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn number(value: &Value) -> i128 {
    value.to_string().parse().unwrap()
}

/// An invoice as JSON, of everything or of one function.
fn invoice(host: &TestHost, function: Option<&str>) -> Value {
    let mut arguments = vec!["billing", "invoice", "--format", "json"];
    arguments.extend(function.into_iter().flat_map(|name| ["--function", name]));
    json(&host.cli(&arguments).ok())
}

#[test]
fn an_invoice_is_the_sum_of_its_records_and_adjustments_to_the_last_digit() {
    let host = busy();
    let bill = invoice(&host, None);
    let charges: i128 = host
        .ledger()
        .entries
        .iter()
        .map(|entry| number(&entry["charge_picousd"]))
        .sum();
    let adjustments: i128 = bill["adjustments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|adjustment| number(&adjustment["amount_picousd"]))
        .sum();
    assert_eq!(adjustments, -400_000, "two free requests");
    assert_eq!(number(&bill["total_picousd"]), charges + adjustments);
    assert_eq!(bill["is_final"], false);
    assert_eq!(bill["lines"].as_array().unwrap().len(), 2);
    let parts = ["good", "bad"].map(|name| number(&invoice(&host, Some(name))["total_picousd"]));
    assert_eq!(parts.iter().sum::<i128>(), number(&bill["total_picousd"]));

    let text = host.cli(&["billing", "invoice"]).ok();
    for part in [
        "INVOICE, SO FAR",
        "Acme",
        bill["total_usd"].as_str().unwrap(),
        "free tier: 2 requests",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let csv = host.cli(&["billing", "invoice", "--format", "csv"]).ok();
    assert_eq!(csv.lines().count(), 4, "{csv}");
}

#[test]
fn exports_have_every_record_of_the_month_in_every_format() {
    let host = busy();
    let ids: Vec<String> = host
        .ledger()
        .entries
        .iter()
        .map(|entry| entry["request_id"].as_str().unwrap().to_owned())
        .collect();
    let exported = json(&host.cli(&["billing", "export", "--format", "json"]).ok());
    assert_eq!(exported.as_array().unwrap().len(), 4);
    let csv = host.cli(&["billing", "export"]).ok();
    assert!(ids.iter().all(|id| csv.contains(id)), "{csv}");
    let good = json(
        &host
            .cli(&[
                "billing",
                "export",
                "--format",
                "json",
                "--function",
                "good",
            ])
            .ok(),
    );
    assert_eq!(good.as_array().unwrap().len(), 3);

    let folder = host.site().root().join("out");
    std::fs::create_dir(&folder).unwrap();
    for kind in ["invoice", "export"] {
        let file = folder.join(format!("{kind}.parquet"));
        let file = file.to_str().unwrap();
        let written = ["billing", kind, "--format", "parquet", "--output", file];
        drop(host.cli(&written).ok());
        let bytes = std::fs::read(file).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn without_a_server_the_bill_is_the_same() {
    let host = busy();
    let with = invoice(&host, None);
    let site = host.site().clone();
    host.stop();
    let offline = |arguments: &[&str]| {
        let mut command = site.command();
        command
            .env("MAYFLY_CONTROL", "127.0.0.1:1")
            .env("MAYFLY_DATA", site.data())
            .env("MAYFLY_BILLING_FREE_REQUESTS", "2")
            .env("MAYFLY_BILLING_FREE_GB_SECONDS", "0")
            .args(arguments);
        Finished::of(&mut command)
    };
    let without = json(&offline(&["billing", "invoice", "--format", "json"]).ok());
    for member in [
        "number",
        "lines",
        "adjustments",
        "total_picousd",
        "total_usd",
    ] {
        assert_eq!(without[member], with[member], "{member}");
    }
    let records = json(&offline(&["billing", "export", "--format", "json"]).ok());
    assert_eq!(records.as_array().unwrap().len(), 4);
    let nobody = offline(&["billing", "invoice", "--function", "nobody"]).failed();
    assert!(
        nobody.contains("no record of a function `nobody`"),
        "{nobody}"
    );
}

#[test]
fn what_can_not_be_billed_or_written_is_said() {
    let host = busy();
    let target = |query: &str| {
        host.control_send(&support::Request::get(&format!("/mayfly/billing/{query}")))
    };
    for (query, status, part) in [
        ("invoice?month=2026-13", 400, "YYYY-MM"),
        ("invoice?month=9998-12", 400, "has not begun"),
        ("invoice?function=nobody", 404, "no function `nobody`"),
        ("invoice?monht=2026-11", 400, "monht"),
        ("export?month=november", 400, "YYYY-MM"),
        ("summary?by=week", 400, "minute, hour, day, month"),
        ("summary?version=1", 400, "true or false"),
    ] {
        let answer = target(query);
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.text().contains(part), "{query}: {}", answer.text());
    }
    let missing = host.site().root().join("no/file");
    let missing = missing.to_str().unwrap();
    for (arguments, part) in [
        (&["--month", "2026-13"][..], "YYYY-MM"),
        (&["--month", "9998-12"], "has not begun"),
        (&["--output", missing], missing),
        (&["--function", "nobody"], "nobody"),
        (&["--format", "xml"], "xml"),
    ] {
        let mut all = vec!["billing", "invoice"];
        all.extend(arguments);
        let said = host.cli(&all).failed();
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn sums_are_of_minutes_hours_and_months_and_of_versions_and_triggers() {
    let host = busy();
    let by = |arguments: &[&str]| {
        let mut all = vec!["billing", "summary", "--json"];
        all.extend(arguments);
        json(&host.cli(&all).ok())
    };
    for (period, length) in [("minute", 16), ("hour", 13), ("month", 7)] {
        let rows = by(&["--by", period]);
        let rows = rows.as_array().unwrap();
        let sum: u64 = rows
            .iter()
            .map(|row| row["invocations"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, 4, "{rows:?}");
        assert_eq!(rows[0]["period"].as_str().unwrap().len(), length);
    }
    let rows = by(&["--version", "--trigger", "--function", "good"]);
    assert_eq!(rows[0]["version"], "$LATEST");
    assert_eq!(rows[0]["trigger"], "http");
    let table = host
        .cli(&["billing", "summary", "--by", "month", "--trigger"])
        .ok();
    assert!(
        table.starts_with("MONTH") && table.contains("http"),
        "{table}"
    );
}
