//! The bill: records, sums, prices, and the ways to look at them.

use serde_json::{Value, json};
use support::guests::{guest, guest_with, printing};
use support::{Site, TestHost};

/// The members that programs read.
const MEMBERS: [&str; 15] = [
    "request_id",
    "attempt",
    "function",
    "version",
    "trigger",
    "started_at",
    "status",
    "error_type",
    "init_ms",
    "duration_ms",
    "cpu_ms",
    "billed_ms",
    "memory_mb",
    "max_memory_used_mb",
    "charge_picousd",
];

fn busy() -> TestHost {
    let host = TestHost::start();
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

#[test]
fn the_command_line_lists_records_newest_first_and_by_function_number_and_time() {
    let host = busy();
    let all = json(&host.cli(&["billing", "--json"]).ok());
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 4);
    for entry in all {
        for member in MEMBERS {
            assert!(entry.get(member).is_some(), "{member} of {entry}");
        }
    }
    assert_eq!(all[0]["function"], "bad");
    let started: Vec<&str> = all
        .iter()
        .map(|e| e["started_at"].as_str().unwrap())
        .collect();
    assert!(
        started.is_sorted_by(|newer, older| newer >= older),
        "{started:?}"
    );

    let good = json(
        &host
            .cli(&["billing", "--json", "--function", "good", "--limit", "2"])
            .ok(),
    );
    let good = good.as_array().unwrap();
    assert_eq!(good.len(), 2);
    assert!(good.iter().all(|entry| entry["function"] == "good"));

    let since = json(&host.cli(&["billing", "--json", "--since", started[0]]).ok());
    assert!(
        since
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["request_id"] == all[0]["request_id"])
    );
    let future = host
        .cli(&["billing", "--json", "--since", "2100-01-01T00:00:00Z"])
        .ok();
    assert_eq!(json(&future), json!([]));
    let nobody = host
        .cli(&["billing", "--json", "--function", "nobody"])
        .ok();
    assert_eq!(json(&nobody), json!([]));
}

#[test]
fn csv_has_a_head_line_and_a_line_for_each_record() {
    let host = busy();
    let csv = host.cli(&["billing", "--csv"]).ok();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 5, "{csv}");
    let head: Vec<&str> = lines[0].split(',').collect();
    for member in MEMBERS {
        assert!(head.contains(&member), "{member} of {head:?}");
    }
    for line in &lines[1..] {
        assert_eq!(line.split(',').count(), head.len(), "{line}");
    }
    let records = host.ledger();
    for entry in &records.entries {
        assert!(csv.contains(entry["request_id"].as_str().unwrap()));
    }
}

#[test]
fn people_get_a_table_and_a_summary() {
    let host = busy();
    let table = host.cli(&["billing"]).ok();
    assert!(table.contains("good") && table.contains("bad"), "{table}");
    assert!(
        table.contains("success") && table.contains("error"),
        "{table}"
    );

    let summary = json(&host.cli(&["billing", "summary", "--json"]).ok());
    let rows = summary.as_array().unwrap();
    let good = rows.iter().find(|row| row["function"] == "good").unwrap();
    let bad = rows.iter().find(|row| row["function"] == "bad").unwrap();
    assert_eq!(
        (&good["invocations"], &good["errors"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        (&bad["invocations"], &bad["errors"]),
        (&json!(1), &json!(1))
    );
    let people = host.cli(&["billing", "summary"]).ok();
    assert!(
        people.contains("good") && people.contains("bad"),
        "{people}"
    );
}

#[test]
fn sums_stay_exact_over_many_records() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let load = support::load::Load::start(host.http(), &[support::Request::get("/f")], 2, None);
    load.wait_answers(2_000);
    let shots = load.stop();
    let answered = shots.iter().filter(|shot| shot.status() == 200).count();
    host.check_ledger();
    let ledger = host.ledger();
    assert_eq!(ledger.entries.len(), answered);
    assert_eq!(ledger.summary.len(), 1, "{:?}", ledger.summary);
    let charge: u64 = ledger
        .entries
        .iter()
        .map(|e| e["charge_picousd"].as_u64().unwrap())
        .sum();
    let usd = ledger.summary[0]["charge_usd"].as_str().unwrap();
    assert_eq!(
        usd,
        format!(
            "{}.{:012}",
            charge / 1_000_000_000_000,
            charge % 1_000_000_000_000
        )
    );
}

#[test]
fn rounding_and_prices_are_settings() {
    let host = Site::builder()
        .env("MAYFLY_BILLING_ROUNDING_MS", "100")
        .env("MAYFLY_BILLING_GB_SECOND_PICOUSD", "1024000")
        .env("MAYFLY_BILLING_REQUEST_PICOUSD", "7")
        .start();
    host.deploy_with(
        "f",
        "timeout = 20\n",
        &guest_with("sleep", &[("MS", "120")]),
    );
    let record = host.record(&host.get("/f").request_id());
    let billed = record["billed_ms"].as_u64().unwrap();
    assert!(billed >= 200 && billed.is_multiple_of(100), "{record}");
    // 128 MB, at one pico-dollar for each MB and millisecond.
    assert_eq!(record["charge_picousd"], 128 * billed + 7);
}

#[test]
fn time_that_is_waited_is_billed_and_is_no_time_of_the_processor() {
    let host = TestHost::start();
    host.deploy("waits", &guest_with("sleep", &[("MS", "300")]));
    host.deploy_with("works", "timeout = 0.3\n", &guest("loop"));
    let waits = host.record(&host.get("/waits").request_id());
    let works = host.record(&host.get("/works").request_id());
    let number = |record: &Value, key: &str| record[key].as_f64().unwrap();
    assert!(number(&waits, "duration_ms") >= 300.0, "{waits}");
    assert!(number(&waits, "cpu_ms") < 150.0, "{waits}");
    assert!(number(&works, "cpu_ms") > 10.0, "{works}");
    assert!(
        number(&works, "cpu_ms") <= number(&works, "duration_ms") + 100.0,
        "{works}"
    );
}

#[test]
fn the_ledger_can_be_read_when_nobody_serves() {
    let host = busy();
    let site = host.site().clone();
    let ask = |host: Option<&TestHost>, arguments: &[&str]| {
        let mut command = host.map_or_else(|| site.command(), TestHost::cli_command);
        if host.is_none() {
            command
                .env("MAYFLY_CONTROL", "127.0.0.1:1")
                .env("MAYFLY_DATA", site.data());
        }
        support::site::Finished::of(command.args(arguments)).ok()
    };
    let questions: [&[&str]; 4] = [
        &["billing", "--json"],
        &["billing", "--csv", "--function", "good"],
        &["billing", "summary", "--json"],
        &["billing", "summary", "--csv"],
    ];
    let while_it_ran: Vec<String> = questions.iter().map(|q| ask(Some(&host), q)).collect();
    host.stop();
    for (question, expected) in questions.iter().zip(while_it_ran) {
        let is_json = question.contains(&"--json");
        let said = ask(None, question);
        if is_json {
            assert_eq!(json(&said), json(&expected), "{question:?}");
        } else {
            assert_eq!(said, expected, "{question:?}");
        }
    }
}
