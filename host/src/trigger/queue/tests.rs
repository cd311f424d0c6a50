//! Events from their acceptance to their end, in one process, by a clock that tests move.

mod claims;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::event::{Condition, DEPTH_MAX, EventState, Target};
use domain::{Clock, FunctionName, Report, RequestId, Status, Trigger};
use storage::{Claimed, Done, Due, EntryQuery, Event, NewEvent, Operation};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::attempt;
use super::dispatch::{Dispatcher, Round};
use super::{accept, recover};
use crate::app::App;
use crate::invoke::admit;
use crate::manifest::Manifest;
use crate::registry::{ChangeError, Draft, EventInvoke, Settings};
use crate::steps;

/// Ends with exit code 3.
const FAILS: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 3))))"#;

/// Answers with nothing.
const SUCCEEDS: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// Waits in the host for an hour.
const SLEEPS: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store8 (i32.const 8) (i32.const 0))
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

const MINUTE_US: i64 = 60_000_000;

struct Site {
    app: Arc<App>,
    runtime: Runtime,
    dispatcher: Dispatcher,
    cut: watch::Sender<bool>,
    dir: tempfile::TempDir,
}

impl Site {
    /// The function `f`, made from `wat`; no time passes.
    fn new(wat: &str) -> Self {
        Self::with(wat, |_| {})
    }

    /// [`Site::new`], where something of the process is as `change` makes it.
    fn with(wat: &str, change: impl FnOnce(&mut App)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = Clock::manual(1_800_000_000_000_000);
        let mut app = steps::app(dir.path(), &runtime, clock);
        change(&mut app);
        let app = Arc::new(app);
        let (cut, is_cut) = watch::channel(false);
        let site = Self {
            dispatcher: Dispatcher::new(&app, is_cut),
            app,
            runtime,
            cut,
            dir,
        };
        site.publish("f", wat);
        site
    }

    fn publish(&self, function: &str, wat: &str) {
        let draft = Draft {
            name: name(function),
            wasm: wat::parse_str(wat).unwrap(),
            manifest: Manifest::default(),
        };
        self.app.registry.publish(&draft).unwrap();
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.app
            .registry
            .update_settings::<_, ChangeError>(&name("f"), |_, settings| {
                change(settings);
                Ok(())
            })
            .unwrap();
    }

    fn accept(&self, event: NewEvent) -> RequestId {
        let id = event.id;
        self.runtime
            .block_on(accept::accept(&self.app, vec![event]))
            .unwrap();
        id
    }

    fn event(&self, function: &str) -> NewEvent {
        NewEvent {
            id: self.app.request_id(),
            target: Target::Function {
                name: name(function),
                qualifier: None,
            },
            trigger: Trigger::Event,
            source: None,
            depth: 0,
            payload: Bytes::from_static(b"{}"),
            delay: Duration::ZERO,
        }
    }

    /// Takes an event for `f` in.
    fn queued(&self) -> RequestId {
        self.accept(self.event("f"))
    }

    /// One round of the dispatcher, and the end of all that it started.
    fn round(&mut self) -> Round {
        self.runtime.block_on(async {
            let round = self.dispatcher.round().await;
            self.dispatcher.all_ended().await;
            round
        })
    }

    fn advance_us(&self, us: i64) {
        let us = u64::try_from(us).unwrap();
        self.app.clock.advance(Duration::from_micros(us));
    }

    #[track_caller]
    fn look(&self, id: RequestId) -> Event {
        self.app.queue.event(id).unwrap().unwrap().0
    }

    /// State, attempts, failures that count.
    #[track_caller]
    fn progress(&self, id: RequestId) -> (EventState, u32, u32) {
        let event = self.look(id);
        (event.state, event.attempts, event.failures)
    }

    /// Number and status of all records of an event, in their order.
    fn records(&self, id: RequestId) -> Vec<(u32, Status)> {
        let mut found = self.app.ledger.entries(&EntryQuery::default()).unwrap();
        found.retain(|report| report.request_id == id);
        found.sort_by_key(|report| report.attempt);
        found
            .iter()
            .map(|report| (report.attempt, report.status))
            .collect()
    }

    fn claim(&self) -> Claimed {
        let claim = Operation::Claim {
            queue: "f".to_owned(),
            at_most: 1,
        };
        match self.app.queue.perform(claim).unwrap() {
            Done::Claimed(mut claimed) => claimed.pop().unwrap(),
            done @ (Done::Changed(_) | Done::Published(_)) => panic!("{done:?}"),
        }
    }

    fn attempt(&self, claimed: Claimed) {
        let cut = self.cut.subscribe();
        let app = Arc::clone(&self.app);
        self.runtime.block_on(attempt::run(app, claimed, None, cut));
    }

    fn recover(&self) -> usize {
        self.runtime.block_on(recover::recover(&self.app)).unwrap()
    }
}

/// A queue of which something is due that was accepted just now.
fn due_now(queue: &str) -> Due {
    Due {
        queue: queue.to_owned(),
        accepted_at_us: 1_800_000_000_000_000,
    }
}

fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

#[test]
fn an_event_that_succeeds_has_one_record_under_its_id() {
    let mut site = Site::new(SUCCEEDS);
    let id = site.queued();
    assert_eq!(site.round(), Round::More);
    assert_eq!(site.progress(id), (EventState::Succeeded, 1, 1));
    assert_eq!(site.records(id), [(1, Status::Success)]);
    assert!(matches!(site.round(), Round::Wait(_)));
}

#[test]
fn a_function_that_fails_is_tried_after_one_minute_and_after_two_more() {
    let mut site = Site::new(FAILS);
    let id = site.queued();
    for (attempt, wait_us) in [(1, MINUTE_US), (2, 2 * MINUTE_US)] {
        site.round();
        let event = site.look(id);
        assert_eq!((event.state, event.attempts), (EventState::Queued, attempt));
        assert_eq!(event.due_at_us - event.changed_at_us, wait_us);
        assert_eq!(event.failure.unwrap().code, 200);
        site.advance_us(wait_us - 1_000);
        assert!(matches!(site.round(), Round::Wait(_)));
        site.advance_us(1_000);
    }
    site.round();
    assert_eq!(site.progress(id), (EventState::Dead, 3, 3));
    assert_eq!(site.look(id).condition, Some(Condition::RetriesExhausted));
    let failed = |attempt| (attempt, Status::Error);
    assert_eq!(site.records(id), [failed(1), failed(2), failed(3)]);
}

#[test]
fn settings_say_how_often_and_how_long_an_event_is_tried() {
    let mut site = Site::new(FAILS);
    site.set(|settings| {
        let once = EventInvoke {
            maximum_retry_attempts: Some(0),
            maximum_event_age_s: Some(60),
            ..EventInvoke::default()
        };
        settings.event_invoke.insert(String::new(), once);
    });
    let (once, old) = (site.queued(), site.event("f"));
    site.round();
    assert_eq!(site.progress(once), (EventState::Dead, 1, 1));

    let old = site.accept(old);
    site.advance_us(MINUTE_US + 1_000_000);
    site.round();
    assert_eq!(site.progress(old), (EventState::Expired, 0, 0));
    assert_eq!(site.records(old), []);
}

#[test]
fn what_can_never_run_is_dead_at_once_and_not_recorded() {
    let mut site = Site::new(SUCCEEDS);
    let gone = site.accept(site.event("gone"));
    let mut deep = site.event("f");
    deep.depth = DEPTH_MAX + 1;
    let deep = site.accept(deep);
    site.round();
    site.set(|settings| settings.reserved_concurrency = Some(0));
    let forbidden = site.queued();
    site.round();
    for (id, condition, code) in [
        (gone, Condition::FunctionNotFound, 404),
        (deep, Condition::RecursionDetected, 400),
        (forbidden, Condition::ZeroReservedConcurrency, 429),
    ] {
        let event = site.look(id);
        let found = (event.state, event.attempts, event.condition);
        assert_eq!(found, (EventState::Dead, 0, Some(condition)));
        assert_eq!(event.failure.unwrap().code, code);
        assert_eq!(site.records(id), []);
    }
}

#[test]
fn what_could_not_be_admitted_is_not_claimed_and_a_refusal_does_not_count() {
    let mut site = Site::new(SUCCEEDS);
    site.set(|settings| settings.reserved_concurrency = Some(1));
    let version = site.app.registry.resolve(&name("f"), None, 0).unwrap();
    let held = admit(&site.app, &version).unwrap();
    let id = site.queued();
    assert!(matches!(site.round(), Round::Wait(_)));
    assert_eq!(site.progress(id), (EventState::Queued, 0, 0));

    // Claimed all the same, as when a request was faster.
    let claimed = site.claim();
    site.attempt(claimed);
    let event = site.look(id);
    assert_eq!((event.attempts, event.failures, event.refusals), (0, 0, 1));
    assert_eq!(event.due_at_us - event.changed_at_us, 1_000_000);
    assert_eq!(site.records(id), []);

    drop(held);
    site.advance_us(1_000_000);
    site.round();
    assert_eq!(site.records(id), [(1, Status::Success)]);
}

#[test]
fn every_queue_that_is_due_gets_a_share_in_turn_and_none_gets_all() {
    let mut site = Site::new(SUCCEEDS);
    let places = site.app.config.queue.concurrency_max;
    let mut shares = |due: &[&str]| {
        let due: Vec<_> = due.iter().map(|queue| due_now(queue)).collect();
        let shares = site.dispatcher.shares(&due).into_iter();
        shares
            .map(|share| (share.queue, share.at_most))
            .collect::<Vec<_>>()
    };
    // There are no such functions: nothing but the places bounds how many of their events are given up.
    let (half, quarter) = (places / 2, places / 4);
    assert_eq!(shares(&["a"]), [("a".to_owned(), half)]);
    let both = shares(&["a", "b"]);
    assert_eq!(both, [("a".to_owned(), half), ("b".to_owned(), quarter)]);
    let address = "https://hooks.example.com/x";
    assert_eq!(shares(&[address]), [(address.to_owned(), 16)]);
    // Of one origin, whatever the paths; and a quarter of the places for all.
    let same = "https://hooks.example.com/y";
    assert_eq!(shares(&[address, same]), [(address.to_owned(), 16)]);
    let hosts: Vec<String> = (0..places).map(|host| format!("http://h{host}/")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let taken: u32 = shares(&hosts).iter().map(|(_, at_most)| at_most).sum();
    assert_eq!(taken, quarter);
}

#[test]
fn attempts_that_nobody_closed_are_closed_as_the_ledger_says() {
    let site = Site::new(SUCCEEDS);
    let ids = [(); 4].map(|()| site.queued());
    let [succeeded, failed, ours, lost] = ids;
    for _ in ids {
        site.claim();
    }
    append(&site, succeeded, Status::Success);
    append(&site, failed, Status::Error);
    append(&site, ours, Status::HostError);

    assert_eq!(site.recover(), 4);
    assert_eq!(site.progress(succeeded), (EventState::Succeeded, 1, 1));
    assert_eq!(site.progress(failed), (EventState::Queued, 1, 1));
    assert_eq!(site.progress(ours), (EventState::Queued, 1, 0));
    assert_eq!(site.progress(lost), (EventState::Queued, 1, 1));
    assert_eq!(site.records(lost), [(1, Status::HostCrash)]);

    assert_eq!(site.recover(), 0);
    for id in ids {
        assert_eq!(site.records(id).len(), 1);
    }
}

/// Appends the record of the first attempt at an event.
fn append(site: &Site, id: RequestId, status: Status) {
    let limits = domain::Limits::default();
    let report = Report {
        status,
        ..Report::host_crash(domain::report::Started {
            request_id: id,
            attempt: 1,
            function: name("f"),
            version: domain::VersionId::Latest,
            trigger: Trigger::Event,
            started_at_us: site.app.clock.unix_us(),
            memory: limits.memory,
        })
    };
    site.app.ledger.append(&report).unwrap();
}

#[test]
fn a_crash_during_recovery_is_recovered_by_the_next_one() {
    let site = Site::new(SUCCEEDS);
    let id = site.queued();
    site.claim();
    // The record of the crash was written, and then the host died again.
    append(&site, id, Status::HostCrash);
    assert_eq!(site.recover(), 1);
    assert_eq!(site.records(id), [(1, Status::HostCrash)]);
    assert_eq!(site.progress(id), (EventState::Queued, 1, 1));
}

#[test]
fn an_attempt_that_kills_the_host_every_time_is_given_up() {
    let mut site = Site::new(SUCCEEDS);
    let id = site.queued();
    for attempt in 1..=3 {
        assert_eq!(site.claim().event.attempts, attempt);
        assert_eq!(site.recover(), 1);
        site.advance_us(2 * MINUTE_US);
    }
    site.round();
    assert_eq!(site.progress(id), (EventState::Dead, 3, 3));
    let crash = |attempt| (attempt, Status::HostCrash);
    assert_eq!(site.records(id), [crash(1), crash(2), crash(3)]);
}

#[test]
fn a_drain_gives_back_what_has_not_begun() {
    let site = Site::new(SUCCEEDS);
    let id = site.queued();
    let claimed = site.claim();
    site.app.draining.send_replace(true);
    site.attempt(claimed);
    assert_eq!(site.progress(id), (EventState::Queued, 0, 0));
    assert_eq!(site.records(id), []);
}

#[test]
fn an_attempt_that_is_cut_is_ours_and_its_event_is_given_back() {
    let site = Site::new(SLEEPS);
    let id = site.queued();
    let claimed = site.claim();
    let attempt = attempt::run(Arc::clone(&site.app), claimed, None, site.cut.subscribe());
    site.runtime.block_on(async {
        let attempt = tokio::spawn(attempt);
        while site.app.concurrency.running() == 0 {
            tokio::task::yield_now().await;
        }
        site.cut.send_replace(true);
        attempt.await.unwrap();
    });
    assert_eq!(site.progress(id), (EventState::Queued, 1, 0));
    assert_eq!(site.records(id), [(1, Status::HostError)]);
    let event = site.look(id);
    assert_eq!(event.due_at_us, event.changed_at_us);
}
