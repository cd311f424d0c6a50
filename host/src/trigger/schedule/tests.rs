//! Schedules on a queue of their own, with a clock that the test moves.

use std::time::Duration;

use domain::event::EventState;
use domain::schedule::{Missed, Overlap};
use jiff::Timestamp;
use serde_json::{Value, json};
use storage::{
    DataDir, Ending, EventQuery, Finish, Ledger, LedgerSettings, NewEvent, QueueSettings, Quota,
};

use super::definition::Declared;
use super::run::LOOK;
use super::*;
use crate::app::Random;

struct Site {
    root: tempfile::TempDir,
    clock: Clock,
    schedules: Schedules,
    random: Random,
}

fn us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn open(root: &std::path::Path, clock: &Clock) -> Schedules {
    let data_dir = DataDir::open(&root.join("data")).unwrap();
    let settings = LedgerSettings {
        clock: clock.clone(),
        ..LedgerSettings::default()
    };
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    let settings = QueueSettings {
        keep: Duration::from_secs(86_400),
        keep_given_up: Duration::from_secs(86_400),
        quota: Quota {
            events: 20,
            bytes: 1 << 20,
        },
        wait_max: Duration::from_secs(300),
        clock: clock.clone(),
        on_change: Box::new(|| {}),
    };
    let queue = Queue::open(&data_dir, settings, ledger).unwrap();
    Schedules::open(queue, clock.clone(), "local").unwrap()
}

fn definition(expression: &str, now_us: i64) -> Definition {
    Definition {
        name: "n".to_owned(),
        function: FunctionName::parse("f").unwrap(),
        qualifier: None,
        expression: expression.to_owned(),
        zone: "Europe/Berlin".to_owned(),
        input: None,
        missed: Missed::Skip,
        overlap: Overlap::Allow,
        window_s: 0,
        is_enabled: true,
        start_us: None,
        end_us: None,
        created_at_us: now_us,
        modified_at_us: now_us,
        since_us: now_us,
        api: None,
    }
}

impl Site {
    async fn new(now: &str, expression: &str, change: impl FnOnce(&mut Definition)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let clock = Clock::manual(us(now));
        let schedules = open(root.path(), &clock);
        let site = Self {
            root,
            clock,
            schedules,
            random: Random::default(),
        };
        let mut definition = definition(expression, us(now));
        change(&mut definition);
        site.put(definition).await;
        site
    }

    async fn put(&self, definition: Definition) {
        let put = self
            .schedules
            .put(definition.key(), |_| Ok::<_, ChangeError>(definition));
        put.await.unwrap();
    }

    /// The server ends and starts `after` some time.
    fn restart(self, after: Duration) -> Self {
        let Self {
            root,
            clock,
            schedules,
            random,
        } = self;
        schedules.queue.close();
        drop(schedules);
        clock.advance(after);
        let schedules = open(root.path(), &clock);
        Self {
            root,
            clock,
            schedules,
            random,
        }
    }

    /// Looks again and again until nothing is due, for `time`, as the task would.
    async fn pass(&self, time: Duration) {
        let end_us = self.clock.unix_us() + i64::try_from(time.as_micros()).unwrap();
        loop {
            let wait = self.schedules.look(&self.random).await;
            let left = u64::try_from(end_us - self.clock.unix_us()).unwrap();
            if wait > Duration::from_micros(left) {
                self.clock.advance(Duration::from_micros(left));
                return;
            }
            self.clock.advance(wait);
        }
    }

    /// Their times, oldest first.
    fn times(&self) -> Vec<String> {
        let events = self.events().into_iter();
        events
            .map(|event| event["time"].as_str().unwrap().to_owned())
            .collect()
    }

    fn events(&self) -> Vec<Value> {
        let query = EventQuery {
            limit: 1_000,
            ..EventQuery::default()
        };
        let page = self.schedules.queue.events(&query).unwrap();
        let events = page.events.iter().rev().map(|event| {
            let (_, payload) = self.schedules.queue.event(event.id).unwrap().unwrap();
            serde_json::from_slice(&payload.unwrap()).unwrap()
        });
        events.collect()
    }

    /// Runs all that waits.
    fn finish_all(&self) {
        let queue = &self.schedules.queue;
        let claim = Operation::Claim {
            queue: "f".to_owned(),
            at_most: 100,
        };
        let Done::Claimed(claimed) = queue.perform(claim).unwrap() else {
            panic!("a claim answers with what it claimed");
        };
        for claimed in claimed {
            let finish = Finish {
                id: claimed.event.id,
                attempt: claimed.event.attempts,
                ending: Ending::End {
                    condition: domain::Condition::RetriesExhausted,
                    ran: true,
                },
                failure: None,
                follow_ups: Vec::new(),
            };
            queue.perform(Operation::Finish(finish)).unwrap();
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_rate_enqueues_once_for_each_time() {
    let site = Site::new("2026-11-22T10:00:07Z", "rate(5 minutes)", |_| {}).await;
    site.pass(MINUTE * 4).await;
    assert_eq!(site.times(), [""; 0]);
    site.pass(MINUTE * 12).await;
    let expected = [
        "2026-11-22T10:05:07Z",
        "2026-11-22T10:10:07Z",
        "2026-11-22T10:15:07Z",
    ];
    assert_eq!(site.times(), expected);
    let event = &site.events()[0];
    let id = event["id"].clone();
    let expected = json!({
        "version": "0", "id": id, "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "000000000000", "time": "2026-11-22T10:05:07Z", "region": "local",
        "resources": ["arn:aws:events:local:000000000000:rule/n"], "detail": {},
    });
    assert_eq!(event, &expected);
    let query = EventQuery {
        limit: 1,
        ..EventQuery::default()
    };
    let stored = site
        .schedules
        .queue
        .events(&query)
        .unwrap()
        .events
        .remove(0);
    assert_eq!(stored.source.as_deref(), Some("drop/f/n"));
    assert_eq!(
        (stored.trigger, stored.state),
        (domain::Trigger::Schedule, EventState::Queued)
    );
}

#[tokio::test]
async fn a_restart_goes_on_and_repeats_nothing() {
    let mut site = Site::new("2026-11-22T10:00:00Z", "rate(1 hour)", |_| {}).await;
    site.pass(HOUR + MINUTE).await;
    site = site.restart(Duration::ZERO);
    site.pass(HOUR).await;
    assert_eq!(
        site.times(),
        ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"]
    );
    // The same schedule stored again changes nothing; another expression begins anew.
    site.put(definition("rate(1 hour)", site.clock.unix_us()))
        .await;
    site.pass(HOUR).await;
    assert_eq!(site.times().last().unwrap(), "2026-11-22T13:00:00Z");
    site.put(definition("rate(2 hours)", site.clock.unix_us()))
        .await;
    site.pass(HOUR * 2).await;
    assert_eq!(site.times().last().unwrap(), "2026-11-22T15:01:00Z");
}

#[tokio::test]
async fn what_is_missed_while_the_server_is_away_is_skipped_or_made_up_for_once() {
    for (missed, expected) in [
        (Missed::Skip, vec!["2026-11-26T09:00:00Z"]),
        (
            Missed::RunOnce,
            vec!["2026-11-25T09:00:00Z", "2026-11-26T09:00:00Z"],
        ),
    ] {
        let change = |definition: &mut Definition| definition.missed = missed;
        let site = Site::new("2026-11-22T10:00:00Z", "cron(0 10 * * ? *)", change).await;
        let site = site.restart(DAY * 3);
        site.pass(DAY).await;
        assert_eq!(site.times(), expected, "{missed:?}");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_makes_no_crowd_of_events_and_no_silence() {
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", |_| {}).await;
    site.clock.advance(DAY * 3_650);
    site.pass(MINUTE / 2).await;
    assert_eq!(site.times(), ["2036-11-19T10:00:00Z"]);
    // The clock is set right again; a manual clock goes forward only, so another one is.
    let root = site.root;
    site.schedules.queue.close();
    drop(site.schedules);
    let clock = Clock::manual(us("2026-11-22T10:02:00Z"));
    let schedules = open(root.path(), &clock);
    let random = Random::default();
    let site = Site {
        root,
        clock,
        schedules,
        random,
    };
    site.pass(MINUTE * 2).await;
    let times = site.times();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times[1].starts_with("2026-11-22T10:03"), "{times:?}");
}

#[tokio::test]
async fn a_change_of_the_clock_in_spring_and_autumn() {
    let site = Site::new("2027-03-26T12:00:00Z", "cron(30 2 * * ? *)", |_| {}).await;
    site.pass(DAY * 4).await;
    let expected = [
        "2027-03-27T01:30:00Z",
        "2027-03-29T00:30:00Z",
        "2027-03-30T00:30:00Z",
    ];
    assert_eq!(site.times(), expected);
    let site = Site::new("2027-10-30T12:00:00Z", "cron(30 2 * * ? *)", |_| {}).await;
    site.pass(DAY * 2).await;
    assert_eq!(
        site.times(),
        ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]
    );
}

#[tokio::test]
async fn a_run_that_overlaps_is_left_out_if_asked_for() {
    let change = |definition: &mut Definition| definition.overlap = Overlap::Skip;
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", change).await;
    site.pass(MINUTE * 3 + MINUTE / 2).await;
    assert_eq!(site.times(), ["2026-11-22T10:01:00Z"]);
    site.finish_all();
    site.pass(MINUTE).await;
    assert_eq!(
        site.times(),
        ["2026-11-22T10:01:00Z", "2026-11-22T10:04:00Z"]
    );
}

#[tokio::test]
async fn runs_of_a_window_begin_within_it() {
    let change = |definition: &mut Definition| definition.window_s = 3_600;
    let site = Site::new("2026-11-22T10:00:00Z", "cron(0 0 * * ? *)", change).await;
    let [schedule] = site.schedules.all().try_into().unwrap();
    let (due, at) = (us("2026-11-22T23:00:00Z"), schedule.runs_at_us.unwrap());
    assert!((due..due + 3_600_000_000).contains(&at) && at != due);
    let until = |us: i64| Duration::from_micros(u64::try_from(us - site.clock.unix_us()).unwrap());
    site.pass(until(at - 1)).await;
    assert_eq!(site.times(), [""; 0]);
    site.pass(Duration::from_micros(2)).await;
    site.schedules.look(&site.random).await;
    assert_eq!(site.times(), ["2026-11-22T23:00:00Z"]);
}

#[tokio::test]
async fn a_schedule_of_the_api_begins_at_once_and_deletes_itself() {
    let change = |definition: &mut Definition| {
        definition.api = Some(Declared {
            group: "default".to_owned(),
            description: None,
            target_arn: String::new(),
            role_arn: String::new(),
            kms_key_arn: None,
            retry_age_s: None,
            retry_attempts: None,
            deletes_itself: true,
            client_token: None,
        });
        definition.end_us = Some(us("2026-11-22T10:01:00Z"));
    };
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", change).await;
    site.pass(MINUTE * 5).await;
    assert_eq!(
        site.times(),
        ["2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z"]
    );
    assert!(site.schedules.all().is_empty());
    assert_eq!(site.schedules.queue.schedules().unwrap(), []);
    let event = &site.events()[0];
    assert_eq!(
        (&event["source"], &event["detail"]),
        (&json!("aws.scheduler"), &json!("{}"))
    );
    let arn = "arn:aws:scheduler:local:000000000000:schedule/default/n";
    assert_eq!(event["resources"], json!([arn]));
    // Whatever stands for the run is put into its input.
    let input = r#"{"arn":"<aws.scheduler.schedule-arn>","at":"<aws.scheduler.scheduled-time>","n":<aws.scheduler.attempt-number>}"#;
    let mut other = definition("at(2026-11-22T12:00:00)", site.clock.unix_us());
    change(&mut other);
    (other.input, other.end_us) = (Some(input.to_owned()), None);
    assert_eq!(event::input_problem(input), None);
    site.put(other).await;
    site.pass(HOUR).await;
    let expected = json!({ "arn": arn, "at": "2026-11-22T11:00:00Z", "n": 1 });
    assert_eq!(site.events().last().unwrap(), &expected);
}

#[tokio::test]
async fn what_is_disabled_does_nothing_and_missed_nothing() {
    let change = |definition: &mut Definition| {
        (definition.is_enabled, definition.missed) = (false, Missed::RunOnce);
    };
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 hour)", change).await;
    site.pass(HOUR * 5).await;
    let mut enabled = definition("rate(1 hour)", site.clock.unix_us());
    enabled.missed = Missed::RunOnce;
    site.put(enabled).await;
    site.pass(HOUR + MINUTE).await;
    assert_eq!(site.times(), ["2026-11-22T16:00:00Z"]);
}

impl Site {
    #[track_caller]
    fn check_runs(&self, outcome: &str, count: u64) {
        let line = format!("mayfly_schedule_runs_total{{outcome=\"{outcome}\"}} {count}");
        let text = self.schedules.render();
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_run_for_a_full_queue_is_left_out_and_the_next_one_is_not() {
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", |_| {}).await;
    // There is room for 20.
    site.pass(MINUTE * 25).await;
    assert_eq!(site.times().len(), 20);
    site.check_runs("enqueued", 20);
    site.check_runs("full", 5);
    // Nothing is tried again and again: the next look is at the next run.
    let wait = site.schedules.look(&site.random).await;
    assert_eq!(wait, LOOK);
    let query = EventQuery {
        limit: 100,
        ..EventQuery::default()
    };
    for event in site.schedules.queue.events(&query).unwrap().events {
        let purge = Operation::Purge(storage::Selection::Id(event.id));
        site.schedules.queue.perform(purge).unwrap();
    }
    site.pass(MINUTE).await;
    assert_eq!(site.times(), ["2026-11-22T10:26:00Z"]);
    site.check_runs("enqueued", 21);
    assert!(site.schedules.state.lock().full.is_empty());
}

#[tokio::test]
async fn dead_letters_that_fill_the_queue_leave_runs_out_too() {
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", |_| {}).await;
    site.pass(MINUTE * 20).await;
    site.finish_all();
    site.pass(MINUTE * 2).await;
    site.check_runs("enqueued", 20);
    site.check_runs("full", 2);
}

#[tokio::test]
async fn runs_that_are_due_together_share_commits() {
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", |_| {}).await;
    let now_us = site.clock.unix_us();
    for number in 0..200 {
        let mut other = definition("rate(1 minute)", now_us);
        other.name = format!("n{number}");
        other.function = FunctionName::parse(&format!("f{number}")).unwrap();
        site.put(other).await;
    }
    site.clock.advance(MINUTE);
    let before = site.schedules.queue.statistics().commits;
    site.schedules.look(&site.random).await;
    let commits = site.schedules.queue.statistics().commits - before;
    assert_eq!(site.times().len(), 201);
    site.check_runs("enqueued", 201);
    assert!(commits < 100, "{commits} commits for 201 runs");
}

#[tokio::test]
async fn events_that_claim_to_come_from_a_schedule_do_not_stop_it() {
    let site = Site::new("2026-11-22T10:00:00Z", "rate(1 minute)", |definition| {
        definition.overlap = Overlap::Skip;
    })
    .await;
    let forged = NewEvent {
        id: domain::RequestId::from_bytes([9; 16]),
        target: domain::event::Target::Function {
            name: FunctionName::parse("f").unwrap(),
            qualifier: None,
        },
        trigger: domain::Trigger::CloudEvent,
        source: Some("drop/f/n".to_owned()),
        depth: 0,
        payload: "{\"time\":\"never\"}".into(),
        delay: Duration::ZERO,
    };
    let queue = &site.schedules.queue;
    queue.perform(Operation::Accept(vec![forged])).unwrap();
    site.pass(MINUTE * 2).await;
    site.check_runs("enqueued", 1);
    site.check_runs("overlap", 1);
}
