//! When expressions are due, and what is said of those that are none.

mod plan;
mod properties;

use super::*;

fn us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn expression(text: &str) -> Expression {
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The first times after an instant, as clocks of the zone show them.
fn runs(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (expression, zone) = (expression(text), Zone::named(zone).unwrap());
    let mut at = us(after);
    let mut runs = Vec::new();
    for _ in 0..count {
        let Some(next) = expression.next_after(at, &zone, us(after)) else {
            break;
        };
        assert!(next > at);
        assert_eq!(
            expression.last_until(next, &zone, us(after)),
            Some(next),
            "{text}"
        );
        runs.push(zone.show(next));
        at = next;
    }
    runs
}

#[track_caller]
fn check(text: &str, zone: &str, after: &str, expected: &[&str]) {
    assert_eq!(runs(text, zone, after, expected.len()), expected, "{text}");
}

#[track_caller]
fn check_refused(text: &str, column: usize, problem: &str) {
    let error = Expression::parse(text).unwrap_err();
    assert_eq!(
        (error.column, error.problem.as_str()),
        (column, problem),
        "{text}"
    );
    Expression::parse(error.example).unwrap();
}

#[test]
fn a_rate_goes_on_from_its_anchor() {
    let anchor = "2026-11-22T10:00:07Z";
    check(
        "rate(5 minutes)",
        "UTC",
        anchor,
        &["2026-11-22T10:05:07+00:00", "2026-11-22T10:10:07+00:00"],
    );
    check(
        "rate(1 hour)",
        "UTC",
        anchor,
        &["2026-11-22T11:00:07+00:00"],
    );
    check("rate(1 day)", "UTC", anchor, &["2026-11-23T10:00:07+00:00"]);
    let rate = expression("rate(1 minute)");
    let next = rate.next_after(us(anchor) - 1, &Zone::utc(), us(anchor));
    assert_eq!(next, Some(us(anchor)), "the anchor itself is one");
    assert_eq!(
        rate.last_until(us(anchor) - 1, &Zone::utc(), us(anchor)),
        None
    );
}

#[test]
fn the_fields_of_cron_mean_what_they_mean_on_aws() {
    let after = "2026-11-22T16:53:00Z"; // a Sunday
    for (text, expected) in [
        ("cron(0 10 * * ? *)", "2026-11-23T10:00:00+00:00"),
        ("cron(15 12 * * ? *)", "2026-11-23T12:15:00+00:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-11-23T18:00:00+00:00"),
        ("cron(0 8 1 * ? *)", "2026-12-01T08:00:00+00:00"),
        ("cron(0/15 * * * ? *)", "2026-11-22T17:00:00+00:00"),
        ("cron(0/10 * ? * 2-6 *)", "2026-11-23T00:00:00+00:00"),
        ("cron(*/7 * * * ? *)", "2026-11-22T16:56:00+00:00"),
        ("cron(0 0 ? * 1 *)", "2026-11-29T00:00:00+00:00"),
        ("cron(0 0 ? * 7 *)", "2026-11-28T00:00:00+00:00"),
        ("cron(0 0 ? * L *)", "2026-11-28T00:00:00+00:00"),
        ("cron(0 0 ? * sun *)", "2026-11-29T00:00:00+00:00"),
        ("cron(0 0 ? * 6L *)", "2026-11-27T00:00:00+00:00"),
        ("cron(0 0 ? * FRIL *)", "2026-11-27T00:00:00+00:00"),
        ("cron(0 0 ? * 2#1 *)", "2026-12-07T00:00:00+00:00"),
        ("cron(0 0 ? * TUE#5 *)", "2026-12-29T00:00:00+00:00"),
        ("cron(0 0 L * ? *)", "2026-11-30T00:00:00+00:00"),
        ("cron(0 0 L FEB ? *)", "2027-02-28T00:00:00+00:00"),
        // 15 August 2027 is a Sunday, 1 May 2027 a Saturday.
        ("cron(0 0 15W AUG ? 2027)", "2027-08-16T00:00:00+00:00"),
        ("cron(0 0 1W MAY ? 2027)", "2027-05-03T00:00:00+00:00"),
        ("cron(0 0 29 2 ? *)", "2028-02-29T00:00:00+00:00"),
        ("cron(30 6 ? 1,JUL * 2030/10)", "2030-01-01T06:30:00+00:00"),
        ("cron( 0  10  *  *  ?  * )", "2026-11-23T10:00:00+00:00"),
        ("cron(59 23 31 12 ? 2199)", "2199-12-31T23:59:00+00:00"),
        ("cron(5-10/5,50 16 * * ? *)", "2026-11-23T16:05:00+00:00"),
    ] {
        check(text, "UTC", after, &[expected]);
    }
    let past = expression("cron(0 0 1 1 ? 2026)");
    assert_eq!(past.next_after(us(after), &Zone::utc(), 0), None);
    let last = past.last_until(us(after), &Zone::utc(), 0);
    assert_eq!(last, Some(us("2026-01-01T00:00:00Z")));
    assert_eq!(
        past.last_until(us("2025-06-01T00:00:00Z"), &Zone::utc(), 0),
        None
    );
}

#[test]
fn a_time_that_the_clock_leaps_over_is_left_out() {
    check(
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
        "2027-03-27T12:00:00Z",
        &["2027-03-29T02:30:00+02:00", "2027-03-30T02:30:00+02:00"],
    );
    check(
        "cron(0/30 * * * ? *)",
        "America/New_York",
        "2027-03-14T06:00:00Z",
        &["2027-03-14T01:30:00-05:00", "2027-03-14T03:00:00-04:00"],
    );
    check(
        "at(2027-03-28T02:30:00)",
        "Europe/Berlin",
        "2027-03-27T12:00:00Z",
        &["2027-03-28T03:30:00+02:00"],
    );
}

#[test]
fn a_time_that_the_clock_shows_twice_counts_once() {
    check(
        "cron(30 2 * * ? *)",
        "Europe/Berlin",
        "2027-10-30T12:00:00Z",
        &["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"],
    );
    check(
        "cron(0/30 * * * ? *)",
        "America/New_York",
        "2027-11-07T05:00:00Z",
        &[
            "2027-11-07T01:30:00-04:00",
            "2027-11-07T02:00:00-05:00",
            "2027-11-07T02:30:00-05:00",
        ],
    );
    check(
        "at(2027-10-31T02:30:00)",
        "Europe/Berlin",
        "2027-10-30T12:00:00Z",
        &["2027-10-31T02:30:00+02:00"],
    );
    // While the hour is repeated, the last time is in its first showing.
    let zone = Zone::named("America/New_York").unwrap();
    let last = expression("cron(45 1 * * ? *)").last_until(us("2027-11-07T06:10:00Z"), &zone, 0);
    assert_eq!(last, Some(us("2027-11-07T05:45:00Z")));
    // A rate does not look at clocks.
    check(
        "rate(30 minutes)",
        "America/New_York",
        "2027-11-07T05:30:00Z",
        &["2027-11-07T01:00:00-05:00", "2027-11-07T01:30:00-05:00"],
    );
}

#[test]
fn a_zone_without_changes_has_every_day() {
    check(
        "cron(30 2 * * ? *)",
        "Asia/Tokyo",
        "2027-03-27T12:00:00Z",
        &["2027-03-28T02:30:00+09:00", "2027-03-29T02:30:00+09:00"],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_expression_that_is_none_is_told_where_and_why() {
    let six = "expected six fields (minute, hour, day of month, month, day of week, year), found";
    for (text, column, problem) in [
        ("", 1, "expected `rate(`, `cron(` or `at(`, found nothing"),
        (
            "every 5 minutes",
            1,
            "expected `rate(`, `cron(` or `at(`, found `every 5 minutes`",
        ),
        (
            "Rate(5 minutes)",
            1,
            "expected `rate(`, `cron(` or `at(`, found `Rate`",
        ),
        ("rate(5 minutes", 15, "expected `)` at the end of `rate(`"),
        (
            "rate(0 minutes)",
            6,
            "expected a whole number from 1 to 1000000, found `0`",
        ),
        (
            "rate(-5 minutes)",
            6,
            "expected a whole number from 1 to 1000000, found `-5`",
        ),
        (
            "rate(1.5 hours)",
            6,
            "expected a whole number from 1 to 1000000, found `1.5`",
        ),
        (
            "rate(99999999999999999999 days)",
            6,
            "expected a whole number from 1 to 1000000, found `99999999999999999999`",
        ),
        (
            "rate(5)",
            7,
            "expected minutes, hours or days, found nothing",
        ),
        (
            "rate(5 weeks)",
            8,
            "expected minutes, hours or days, found `weeks`",
        ),
        (
            "rate(5 minutess)",
            8,
            "expected minutes, hours or days, found `minutess`",
        ),
        (
            "rate(1 minutes)",
            8,
            "1 goes with `minute`, found `minutes`",
        ),
        ("rate(5 minute)", 8, "5 goes with `minutes`, found `minute`"),
        ("cron(0 10 * * ?)", 16, &format!("{six} 5")),
        ("cron(0 0 10 * * ? *)", 19, &format!("{six} 7")),
        (
            "cron(0 10 * * * *)",
            11,
            "one of day of month and day of week must be `?`, found `*` and `*`",
        ),
        (
            "cron(0 10 ? * ? *)",
            15,
            "only one of day of month and day of week may be `?`",
        ),
        (
            "cron(60 10 * * ? *)",
            6,
            "expected a minute from 0 to 59, found `60`",
        ),
        (
            "cron(0 25 * * ? *)",
            8,
            "expected an hour from 0 to 23, found `25`",
        ),
        (
            "cron(0 10 0 * ? *)",
            11,
            "expected a day of month from 1 to 31, found `0`",
        ),
        (
            "cron(0 10 * JANUARY ? *)",
            13,
            "expected a month from 1 to 12 or JAN to DEC, found `JANUARY`",
        ),
        (
            "cron(0 10 ? * 0 *)",
            15,
            "expected a day of week from 1 to 7 or SUN to SAT, found `0`",
        ),
        (
            "cron(0 10 ? * MON,FUN *)",
            19,
            "expected a day of week from 1 to 7 or SUN to SAT, found `FUN`",
        ),
        (
            "cron(0 10 ? * FRI-MON *)",
            15,
            "the range `FRI-MON` goes backwards; write it as two, separated by a comma",
        ),
        (
            "cron(0 10 ? * 2#6 *)",
            17,
            "expected 1 to 5, which week of the month, found `6`",
        ),
        (
            "cron(0/0 10 * * ? *)",
            8,
            "expected a step of the minute from 1 to 59, found `0`",
        ),
        (
            "cron(0, 10 * * ? *)",
            8,
            "expected a minute from 0 to 59, found nothing",
        ),
        (
            "cron(0 10 1,L * ? *)",
            13,
            "`L` and `15W` stand alone in their field, found `1,L`",
        ),
        (
            "cron(0 10 LW * ? *)",
            11,
            "expected a day of month from 1 to 31, found `L`",
        ),
        (
            "cron(0 10 * * ? 1969)",
            17,
            "expected a year from 1970 to 2199, found `1969`",
        ),
        (
            "cron(0 0 31 2 ? *)",
            6,
            "no day from 1970 to 2199 fits `0 0 31 2 ? *`",
        ),
        (
            "cron(0 0 29 2 ? 2027)",
            6,
            "no day from 1970 to 2199 fits `0 0 29 2 ? 2027`",
        ),
        (
            "cron(0 10\n* * ? *)",
            10,
            "the character '\\n' has no meaning here",
        ),
        (
            "cron(0 10 * * ? *)\u{202e}",
            19,
            "the character '\\u{202e}' has no meaning here",
        ),
        (
            "at(2026-11-22)",
            4,
            "expected a date and time `yyyy-mm-ddThh:mm:ss`, found `2026-11-22`",
        ),
        (
            "at(2026-02-30T00:00:00)",
            4,
            "expected a date and time `yyyy-mm-ddThh:mm:ss`, found `2026-02-30T00:00:00`",
        ),
        (
            "at(2026-11-22T24:00:00)",
            4,
            "expected a date and time `yyyy-mm-ddThh:mm:ss`, found `2026-11-22T24:00:00`",
        ),
    ] {
        check_refused(text, column, problem);
    }
    let long = format!("rate({} minutes)", " ".repeat(300));
    assert_eq!(Expression::parse(&long).unwrap_err().column, 257);
    assert_eq!(
        Expression::parse("rate(1 minutes)")
            .unwrap_err()
            .to_string(),
        "column 8: 1 goes with `minute`, found `minutes`; an example is `rate(5 minutes)`"
    );
}

#[test]
fn an_unknown_zone_is_named_with_a_near_one() {
    for (name, expected) in [
        (
            "Berlin",
            "there is no time zone `Berlin`; did you mean `Europe/Berlin`?",
        ),
        (
            "Europe/Belin",
            "there is no time zone `Europe/Belin`; did you mean `Europe/Berlin`?",
        ),
        (
            "America/New York",
            "there is no time zone `America/New York`; did you mean `America/New_York`?",
        ),
        (
            "Mars/Olympus_Mons",
            "there is no time zone `Mars/Olympus_Mons`; names are those of the IANA database, such as `Europe/Berlin` or `UTC`",
        ),
    ] {
        assert_eq!(Zone::named(name).unwrap_err().to_string(), expected);
    }
    for known in ["UTC", "Europe/Berlin", "america/new_york", "Asia/Kolkata"] {
        assert_eq!(Zone::named(known).unwrap().name(), known);
    }
    Zone::named("").unwrap_err();
    Zone::named(&"x".repeat(10_000)).unwrap_err();
}

#[test]
fn jitter_stays_in_its_window_and_is_always_the_same() {
    let spread: std::collections::BTreeSet<_> = (0..100)
        .map(|due| jitter_us("drop/f/n", due, 900))
        .collect();
    assert!(spread.len() > 90 && spread.iter().all(|us| (0..900_000_000).contains(us)));
    assert_eq!(jitter_us("a", 5, 900), jitter_us("a", 5, 900));
    assert_ne!(jitter_us("a", 5, 900), jitter_us("b", 5, 900));
    assert_eq!(jitter_us("a", 5, 0), 0);
}

#[test]
fn what_the_clock_leaps_over_every_time_is_never_due() {
    let is_ever_due = |text: &str, zone: &str| {
        let expression = Expression::parse(text).unwrap();
        expression.is_ever_due(&Zone::named(zone).unwrap())
    };
    // That night the clocks of Berlin went from 2:00 to 3:00.
    let leapt_over = "cron(30 2 29 3 ? 2026)";
    assert!(!is_ever_due(leapt_over, "Europe/Berlin"));
    assert!(is_ever_due(leapt_over, "UTC"));
    for text in [
        "cron(30 2 29 3 ? *)",
        "cron(0 0 1 1 ? 1970)",
        "cron(59 23 31 12 ? 2199)",
        "rate(1 day)",
        "at(2026-03-29T02:30:00)",
    ] {
        for zone in ["Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"] {
            assert!(is_ever_due(text, zone), "{text} in {zone}");
        }
    }
}
