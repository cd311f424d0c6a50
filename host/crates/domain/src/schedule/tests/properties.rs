//! What holds of every expression.

use proptest::prelude::*;

use super::*;

/// A minute of a field: `*`, a number, a range or a step.
fn items(min: u16, max: u16) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (min..=max).prop_map(|a| a.to_string()),
        (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (min..=max, 1..=max).prop_map(|(a, n)| format!("{a}/{n}")),
    ]
}

/// What one field allows, read anew for the tests.
fn allows(item: &str, number: u16, max: u16) -> bool {
    let (span, step) = item.split_once('/').unwrap_or((item, "1"));
    let step: u16 = step.parse().unwrap();
    let (first, last) = match span.split_once('-') {
        _ if span == "*" => return true,
        Some((a, b)) => (a.parse().unwrap(), b.parse().unwrap()),
        None => {
            let a: u16 = span.parse().unwrap();
            (a, if item.contains('/') { max } else { a })
        }
    };
    (first..=last).contains(&number) && (number - first).is_multiple_of(step)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn times_go_up_and_fit_the_expression_and_none_is_left_out(
        minute in items(0, 59),
        hour in items(0, 23),
        month in items(1, 12),
        after in 0_i64..4_000_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    ) {
        let expression = expression(&format!("cron({minute} {hour} * {month} ? *)"));
        let zone = Zone::named(zone).unwrap();
        let fits = |us: i64| {
            let clock = zone.clock(us).unwrap();
            clock.second() == 0
                && allows(&minute, clock.minute().unsigned_abs().into(), 59)
                && allows(&hour, clock.hour().unsigned_abs().into(), 23)
                && allows(&month, clock.month().unsigned_abs().into(), 12)
                && instant_us(&zone, clock) == Some(us)
        };
        let mut at = after * 1_000_000 + 1;
        for _ in 0..5 {
            let next = expression.next_after(at, &zone, 0).unwrap();
            prop_assert!(next > at);
            prop_assert!(fits(next), "{} {}", expression, zone.show(next));
            // Whole minutes in between, as many as are looked through quickly.
            let first = (at.div_euclid(MINUTE_US) + 1) * MINUTE_US;
            for minute_us in (first..next).step_by(60_000_000).take(2_000) {
                prop_assert!(!fits(minute_us), "{} leaves out {}", expression, zone.show(minute_us));
            }
            prop_assert_eq!(expression.last_until(next, &zone, 0), Some(next));
            prop_assert!(expression.last_until(next - 1, &zone, 0).is_none_or(|last| last <= at.max(last) && last < next));
            at = next;
        }
    }

    #[test]
    fn a_rate_never_drifts(number in 1_i64..=RATE_MAX, anchor in -1_000_000_000_i64..4_000_000_000, after in -2_000_000_000_i64..8_000_000_000) {
        let unit = if number == 1 { "minute" } else { "minutes" };
        let rate = expression(&format!("rate({number} {unit})"));
        let (anchor, after) = (anchor * 1_000_003, after * 1_000_003);
        let next = rate.next_after(after, &Zone::utc(), anchor).unwrap();
        prop_assert!(next > after && next >= anchor);
        prop_assert_eq!((next - anchor) % (number * MINUTE_US), 0);
        prop_assert!(next == anchor || next - after <= number * MINUTE_US);
    }

    #[test]
    fn whatever_is_written_is_an_expression_or_an_error_with_a_place(text in ".{0,60}") {
        for text in [text.clone(), format!("cron({text})"), format!("rate({text})"), format!("at({text})")] {
            if let Err(error) = Expression::parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{text} {error}");
            }
        }
    }
}
