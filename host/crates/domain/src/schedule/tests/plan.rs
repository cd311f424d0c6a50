//! What a schedule does after downtime, when the clock jumps, and within its window.

use proptest::prelude::*;

use super::*;

const HOUR_US: i64 = 3_600_000_000;

fn timing(text: &str) -> Timing {
    Timing {
        expression: expression(text),
        zone: Zone::utc(),
        since_us: us("2026-11-22T00:00:00Z"),
        is_at_once: false,
        start_us: None,
        end_us: None,
        window_s: 0,
        missed: Missed::Skip,
        missed_s_max: None,
    }
}

#[track_caller]
fn check_plan(timing: &Timing, last: Option<&str>, now: &str, expected: Plan) {
    assert_eq!(timing.plan("k", last.map(us), us(now)), expected, "{now}");
}

fn run(due: &str) -> Plan {
    Plan::Run { due_us: us(due) }
}

fn skip(due: &str) -> Plan {
    Plan::Skip { due_us: us(due) }
}

#[test]
fn a_schedule_waits_and_runs_in_time() {
    let daily = timing("cron(0 10 * * ? *)");
    let until_us = us("2026-11-22T10:00:00Z");
    check_plan(
        &daily,
        None,
        "2026-11-22T09:59:59.999Z",
        Plan::Wait { until_us },
    );
    check_plan(
        &daily,
        None,
        "2026-11-22T10:00:00Z",
        run("2026-11-22T10:00:00Z"),
    );
    check_plan(
        &daily,
        None,
        "2026-11-22T10:01:00Z",
        run("2026-11-22T10:00:00Z"),
    );
    let ran = Some("2026-11-22T10:00:00Z");
    let until_us = us("2026-11-23T10:00:00Z");
    check_plan(&daily, ran, "2026-11-22T10:00:00Z", Plan::Wait { until_us });
}

#[test]
fn missed_runs_are_left_out_or_made_up_for_by_one() {
    let mut daily = timing("cron(0 10 * * ? *)");
    let ran = Some("2026-11-22T10:00:00Z");
    check_plan(
        &daily,
        ran,
        "2026-11-25T15:00:00Z",
        skip("2026-11-25T10:00:00Z"),
    );
    // The last of them is in time.
    check_plan(
        &daily,
        ran,
        "2026-11-25T10:00:30Z",
        run("2026-11-25T10:00:00Z"),
    );
    daily.missed = Missed::RunOnce;
    check_plan(
        &daily,
        ran,
        "2026-11-25T15:00:00Z",
        run("2026-11-25T10:00:00Z"),
    );
    daily.missed_s_max = Some(3_600);
    check_plan(
        &daily,
        ran,
        "2026-11-25T10:59:00Z",
        run("2026-11-25T10:00:00Z"),
    );
    check_plan(
        &daily,
        ran,
        "2026-11-25T15:00:00Z",
        skip("2026-11-25T10:00:00Z"),
    );
    let mut once = timing("at(2026-11-23T10:00:00)");
    check_plan(
        &once,
        None,
        "2026-11-25T15:00:00Z",
        skip("2026-11-23T10:00:00Z"),
    );
    once.missed = Missed::RunOnce;
    check_plan(
        &once,
        None,
        "2026-11-25T15:00:00Z",
        run("2026-11-23T10:00:00Z"),
    );
    check_plan(
        &once,
        Some("2026-11-23T10:00:00Z"),
        "2026-11-25T15:00:00Z",
        Plan::Over,
    );
}

#[test]
fn a_clock_that_leaps_a_century_makes_one_run_and_going_back_goes_on() {
    let minutely = timing("rate(1 minute)");
    let ran = Some("2026-11-22T10:00:00Z");
    check_plan(
        &minutely,
        ran,
        "2126-11-22T10:00:05Z",
        run("2126-11-22T10:00:00Z"),
    );
    let wrong = Some("2126-11-22T10:00:00Z");
    check_plan(
        &minutely,
        wrong,
        "2026-11-22T10:00:05Z",
        Plan::ClockWentBack,
    );
    // A correction of seconds repeats nothing.
    let until_us = us("2026-11-22T10:01:00Z");
    check_plan(
        &minutely,
        ran,
        "2026-11-22T09:59:58Z",
        Plan::Wait { until_us },
    );
    check_plan(&minutely, ran, "1969-01-01T00:00:00Z", Plan::ClockWentBack);
}

#[test]
fn a_start_an_end_and_an_immediate_begin() {
    let mut minutely = timing("rate(10 minutes)");
    let next = |timing: &Timing| timing.next_due_us(None).map(|us| timing.zone.show(us));
    assert_eq!(next(&minutely).unwrap(), "2026-11-22T00:10:00+00:00");
    minutely.is_at_once = true;
    assert_eq!(next(&minutely).unwrap(), "2026-11-22T00:00:00+00:00");
    minutely.start_us = Some(us("2026-11-30T00:00:03Z"));
    assert_eq!(next(&minutely).unwrap(), "2026-11-30T00:00:03+00:00");
    minutely.end_us = Some(us("2026-11-30T00:10:03Z"));
    let last = minutely.start_us;
    assert_eq!(minutely.next_due_us(last), minutely.end_us);
    assert_eq!(minutely.next_due_us(minutely.end_us), None);
    let now = us("2026-12-30T00:00:00Z");
    assert_eq!(minutely.plan("k", minutely.end_us, now), Plan::Over);
    minutely.missed = Missed::RunOnce;
    let made_up = Plan::Run {
        due_us: us("2026-11-30T00:10:03Z"),
    };
    assert_eq!(
        minutely.plan("k", last, now),
        made_up,
        "nothing runs for a time after the end"
    );
}

#[test]
fn runs_of_a_long_window_are_spread_and_none_is_lost() {
    let mut minutely = timing("rate(1 minute)");
    minutely.window_s = 900;
    let mut now = minutely.since_us;
    let (mut last, mut runs) = (None, 0);
    while runs < 100 {
        match minutely.plan("k", last, now) {
            Plan::Wait { until_us } => {
                assert!(until_us > now);
                now = until_us;
            }
            Plan::Run { due_us } => {
                assert_eq!(
                    Some(due_us),
                    minutely.next_due_us(last),
                    "one after the other"
                );
                assert!(now >= due_us);
                (last, runs) = (Some(due_us), runs + 1);
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_clock_does_a_look_makes_one_run_and_time_goes_on(
        jumps in prop::collection::vec(-400_i64..400, 1..60),
        period in 1_i64..200,
        window_s in 0_u32..1_000,
        run_once: bool,
    ) {
        let mut timing = timing(&format!("rate({} minutes)", period + 1));
        timing.window_s = window_s;
        timing.missed = if run_once { Missed::RunOnce } else { Missed::Skip };
        let (mut now, mut last) = (timing.since_us, None);
        for jump in jumps {
            now += jump * HOUR_US / 60;
            match timing.plan("k", last, now) {
                Plan::Run { due_us } | Plan::Skip { due_us } => {
                    prop_assert!(due_us <= now && last.is_none_or(|last| due_us > last));
                    last = Some(due_us);
                    let again = timing.plan("k", last, now);
                    let only_waits_or_spreads = matches!(again, Plan::Wait { .. } | Plan::Run { .. });
                    prop_assert!(only_waits_or_spreads, "{again:?}");
                    if window_s == 0 {
                        // At most what is in time can follow at once.
                        prop_assert!(matches!(again, Plan::Wait { .. }), "{again:?}");
                    }
                }
                Plan::Wait { until_us } => prop_assert!(until_us > now),
                Plan::ClockWentBack => {
                    timing.since_us = timing.since_us.min(now);
                    last = Some(now);
                    prop_assert!(!matches!(timing.plan("k", last, now), Plan::ClockWentBack));
                }
                Plan::Over => prop_assert!(false, "a rate is never over"),
            }
        }
    }
}
