//! Records one by one, in the order in which they were appended.

use std::ops::ControlFlow;

use super::*;

#[test]
fn each_record_is_visited_once_in_its_order_by_the_owner_and_by_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    append(&ledger, 0..200);
    let query = EntryQuery {
        since_us: Some(NOW_US + 10_000_000),
        until_us: Some(NOW_US + 190_000_000),
        limit: 1,
        ..EntryQuery::default()
    };
    let expected: Vec<_> = (10..190).map(report).collect();
    let mut seen = Vec::new();
    ledger
        .each(&query, |report| {
            seen.push(report);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, expected);

    let data_dir = DataDir::open_for_reading(dir.path()).unwrap();
    let reader = Ledger::open_for_reading(&data_dir).unwrap();
    let mut seen = Vec::new();
    reader
        .each(&query, |report| {
            seen.push(report);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, expected);
}

#[test]
fn a_visit_ends_when_it_has_enough_and_keeps_to_its_function() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    append(&ledger, 0..100);
    let query = EntryQuery {
        function: Some(FunctionName::parse("function-3").unwrap()),
        ..EntryQuery::default()
    };
    let mut seen = Vec::new();
    ledger
        .each(&query, |report| {
            seen.push(report);
            if seen.len() < 2 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .unwrap();
    assert_eq!(seen, [report(3), report(8)]);
}
