//! What invoices promise, over random ledgers, months and price lists.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use proptest::prelude::*;

use super::super::plan::{FreeTier, Tier};
use super::super::{Prices, Rounding};
use super::*;
use crate::limits::MemoryMb;
use crate::names::RequestId;

/// A record as the ledger has it, priced by `tariff`.
fn record(at: (u8, u8, usize, usize), memory: u32, billed_ms: u64, tariff: &Tariff) -> Report {
    let (function, version, trigger, status) = at;
    let status = Status::ALL[status % Status::ALL.len()];
    let memory = MemoryMb::new(memory).unwrap();
    let (billed_ms, charge_picousd) = if status.is_billed() {
        (billed_ms, tariff.charge(memory, billed_ms))
    } else {
        (0, 0)
    };
    Report {
        request_id: RequestId::new(0, [0; 10]),
        attempt: 1,
        function: FunctionName::parse(&format!("f{function}")).unwrap(),
        version: match version {
            0 => VersionId::Latest,
            number => VersionId::Number(number.into()),
        },
        trigger: Trigger::ALL[trigger % Trigger::ALL.len()],
        started_at_us: 0,
        status,
        error_type: None,
        init_ns: None,
        duration_ns: 0,
        cpu_ns: 0,
        billed_ms,
        memory,
        memory_used_mb: 1,
        charge_picousd,
    }
}

fn uses<'a>(records: impl IntoIterator<Item = &'a Report>) -> BTreeMap<LineKey, Use> {
    let mut uses = BTreeMap::<LineKey, Use>::new();
    for report in records {
        let key = LineKey {
            function: report.function.clone(),
            version: Some(report.version),
            trigger: Some(report.trigger),
        };
        uses.entry(key).or_default().add(report);
    }
    uses
}

fn month() -> Month {
    "2026-11".parse().unwrap()
}

fn invoice(records: &[Report], tariff: &Tariff, plan: &Plan) -> Invoice {
    Invoice::new(month(), uses(records), tariff, plan)
}

/// The charge of the records and the adjustments, added up independently.
fn expected_total(records: &[Report], invoice: &Invoice) -> i128 {
    let charges: i128 = records.iter().map(|r| i128::from(r.charge_picousd)).sum();
    let adjustments: i128 = invoice.adjustments.iter().map(|a| a.amount).sum();
    charges + adjustments
}

/// One line of so many billed requests of 1,024 MB for a second each.
fn seconds_of_a_gb(requests: u64, gb_seconds: u128, tariff: &Tariff) -> BTreeMap<LineKey, Use> {
    let mut used = Use {
        billed_ms: gb_seconds * 1_000,
        mb_ms: gb_seconds * MB_MS_PER_GB_SECOND,
        charge: gb_seconds * u128::from(tariff.prices.gb_second)
            + u128::from(requests) * u128::from(tariff.prices.request),
        ..Use::default()
    };
    used.by_status[Status::Success as usize] = requests;
    let key = LineKey {
        function: FunctionName::parse("f").unwrap(),
        version: Some(VersionId::Latest),
        trigger: Some(Trigger::Http),
    };
    BTreeMap::from([(key, used)])
}

#[track_caller]
fn check_total(requests: u64, gb_seconds: u128, plan: &Plan, usd: &str) {
    let tariff = Tariff::default();
    let uses = seconds_of_a_gb(requests, gb_seconds, &tariff);
    let invoice = Invoice::new(month(), uses, &tariff, plan);
    assert_eq!(super::super::usd_text(invoice.total), usd, "{invoice:?}");
}

#[test]
fn free_use_and_tiers_are_what_the_price_list_says() {
    let (lambda, plain) = (Plan::default(), Plan::plain());
    // All of it free, to the last one.
    check_total(1_000_000, 400_000, &lambda, "0.000000000000");
    check_total(1_000_001, 400_000, &lambda, "0.000000200000");
    check_total(1_000_000, 400_001, &lambda, "0.000016666700");
    check_total(1_000_000, 400_000, &plain, "6.866680000000");
    // Lambda's own example: 3 million requests, 120 ms, 1,536 MB: 540,000 GB-s; $2.33 and $0.40.
    check_total(3_000_000, 540_000, &lambda, "2.733338000000");
    // Of 6,000,400,010 GB-s ten are beyond the first tier: 10 * $0.000015.
    check_total(0, 6_000_400_010, &lambda, "100000.200150000000");
    // Beyond both: 6 B, 9 B and 1 B.
    check_total(0, 16_000_400_000, &lambda, "248333.600000000000");
}

#[test]
fn what_we_failed_at_is_shown_and_free() {
    let tariff = Tariff::default();
    let crash = record((0, 0, 2, Status::HostCrash as usize), 128, 50, &tariff);
    let ok = record((0, 0, 2, Status::Success as usize), 128, 50, &tariff);
    let bill = invoice(&[crash, ok.clone()], &tariff, &Plan::plain());
    assert_eq!(bill.used.count(Status::HostCrash), 1);
    assert_eq!((bill.used.attempts(), bill.used.requests_billed()), (2, 1));
    assert_eq!(bill.total, ok.charge_picousd.into());
    assert_eq!(bill.adjustments, []);
}

#[test]
fn a_month_without_records_costs_nothing() {
    let empty = invoice(&[], &Tariff::default(), &Plan::default());
    assert_eq!((empty.total, empty.adjustments.len()), (0, 0));
    let nobody = FunctionName::parse("nobody").unwrap();
    assert_eq!(empty.of_function(&nobody, &Tariff::default()).total, 0);
}

#[test]
fn the_free_tier_is_used_once_by_all_functions_together() {
    let tariff = Tariff::default();
    let records: Vec<_> = (0..4)
        .map(|n| record((n % 2, 0, 0, 0), 1_024, 1_000, &tariff))
        .collect();
    let plan = Plan {
        free: FreeTier {
            requests: 3,
            gb_seconds: 2,
        },
        tiers: Vec::new(),
    };
    let whole = invoice(&records, &tariff, &plan);
    assert_eq!(whole.total, 200_000 + 2 * 16_666_700);
    let parts: Vec<_> = ["f0", "f1"]
        .map(|name| whole.of_function(&FunctionName::parse(name).unwrap(), &tariff))
        .into();
    assert_eq!(parts[0].total + parts[1].total, whole.total);
    assert_eq!(parts[0].adjustments[0].amount, -300_000);
    assert_eq!(
        parts[0].adjustments[0].quantity + parts[1].adjustments[0].quantity,
        3
    );
}

fn any_tariff() -> impl Strategy<Value = Tariff> {
    (0_u64..100_000_000, 0_u64..1_000_000, 1_u32..=1_000).prop_map(|(gb_second, request, ms)| {
        Tariff {
            prices: Prices { gb_second, request },
            rounding: Rounding::new(ms).unwrap(),
        }
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let tier = (1_u64..5_000, 0_u64..100_000_000);
    let tiers = proptest::collection::vec(tier, 0..4);
    (0_u64..40, 0_u64..5_000, tiers).prop_map(|(requests, gb_seconds, mut tiers)| {
        tiers.sort_unstable();
        tiers.dedup_by_key(|(from, _)| *from);
        Plan {
            free: FreeTier {
                requests,
                gb_seconds,
            },
            tiers: tiers
                .into_iter()
                .map(|(from_gb_seconds, gb_second)| Tier {
                    from_gb_seconds,
                    gb_second,
                })
                .collect(),
        }
    })
}

fn any_records() -> impl Strategy<Value = (Tariff, Vec<Report>)> {
    let one = (
        (0_u8..4, 0_u8..3, 0_usize..7, 0_usize..7),
        1_u32..=4_096,
        1_u64..900_000,
    );
    let records = proptest::collection::vec(one, 0..60);
    (any_tariff(), records).prop_map(|(tariff, rows)| {
        let records = rows
            .into_iter()
            .map(|(at, memory, ms)| record(at, memory, ms, &tariff))
            .collect();
        (tariff, records)
    })
}

proptest! {
    #[test]
    fn a_total_is_its_records_and_adjustments_to_the_last_digit_and_never_negative(
        (tariff, records) in any_records(), plan in any_plan(),
    ) {
        let invoice = invoice(&records, &tariff, &plan);
        let expected = expected_total(&records, &invoice);
        prop_assert!(expected >= 0);
        prop_assert_eq!(i128::try_from(invoice.total), Ok(expected));
        let lines: u128 = invoice.lines.iter().map(|line| line.used.charge).sum();
        prop_assert_eq!(lines, invoice.used.charge);
        prop_assert_eq!(invoice.used.attempts(), records.len() as u64);
    }

    #[test]
    fn prices_that_changed_within_the_month_keep_the_rule(
        (_, records) in any_records(), tariff in any_tariff(), plan in any_plan(),
    ) {
        let invoice = invoice(&records, &tariff, &plan);
        let expected = expected_total(&records, &invoice);
        prop_assert_eq!(i128::try_from(invoice.total), Ok(expected));
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        (tariff, records) in any_records(), plan in any_plan(), seed in any::<u64>(),
    ) {
        let mut other = records.clone();
        // A permutation by a keyed sort.
        let mut key = seed;
        other.sort_by_cached_key(|_| {
            key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            key
        });
        prop_assert_eq!(invoice(&records, &tariff, &plan), invoice(&other, &tariff, &plan));
    }

    #[test]
    fn the_invoices_of_all_functions_are_the_invoice(
        (tariff, records) in any_records(), plan in any_plan(),
    ) {
        let whole = invoice(&records, &tariff, &plan);
        let names = (0..4).map(|n| FunctionName::parse(&format!("f{n}")).unwrap());
        let parts: Vec<_> = names.map(|name| whole.of_function(&name, &tariff)).collect();
        prop_assert_eq!(parts.iter().map(|part| part.total).sum::<u128>(), whole.total);
        for adjustment in &whole.adjustments {
            let amounts = parts.iter().flat_map(|part| &part.adjustments);
            let amount: i128 = amounts
                .filter(|part| part.kind == adjustment.kind)
                .map(|part| part.amount)
                .sum();
            prop_assert_eq!(amount, adjustment.amount);
        }
        for part in &parts {
            let adjustments: i128 = part.adjustments.iter().map(|a| a.amount).sum();
            let total = i128::try_from(part.used.charge).unwrap() + adjustments;
            prop_assert_eq!(i128::try_from(part.total), Ok(total));
        }
    }
}
