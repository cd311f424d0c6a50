//! Attempts that are hard to close, and a start that finds the queue unreadable.

use std::fs;

use storage::{Ending, Finish, FollowUp, QueueError, StorageError};

use super::super::close::{close, may_close};
use super::super::dispatch::NOT_RECOVERED;
use super::*;

/// Has the queue's database out of the way of whoever opens it now: the writer goes on with it.
struct Hidden {
    path: std::path::PathBuf,
    aside: std::path::PathBuf,
}

impl Hidden {
    fn new(site: &Site) -> Self {
        let path = site.dir.path().join("data/queue.db");
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        fs::create_dir(&path).unwrap();
        Self { path, aside }
    }

    fn show(self) {
        fs::remove_dir(&self.path).unwrap();
        fs::rename(&self.aside, &self.path).unwrap();
    }
}

/// Gives others a chance until `done`.
async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

fn closes_failed(app: &App) -> u64 {
    let metrics = app.metrics.render_process(&[]);
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("mayfly_events_close_failed_total "));
    count.unwrap().parse().unwrap()
}

#[test]
fn an_attempt_that_panicked_is_closed_as_soon_as_that_works() {
    let mut site = Site::new(SUCCEEDS);
    let id = site.queued();
    let claimed = site.claim();
    let hidden = Hidden::new(&site);
    let app = Arc::clone(&site.app);
    site.runtime.block_on(async {
        site.dispatcher.start_panicking(claimed.event);
        let show = async {
            until(|| closes_failed(&app) > 0).await;
            hidden.show();
        };
        tokio::join!(site.dispatcher.all_ended(), show);
    });
    assert_eq!(site.progress(id), (EventState::Queued, 1, 1));
    assert_eq!(site.records(id), [(1, Status::HostCrash)]);
}

#[test]
fn an_id_that_is_taken_keeps_no_attempt_open() {
    let site = Site::new(SUCCEEDS);
    let taken = site.accept(site.event("other"));
    let id = site.queued();
    site.claim();
    let mut follow_up = site.event("other");
    follow_up.id = taken;
    let finish = Finish {
        id,
        attempt: 1,
        ending: Ending::Retry(Duration::ZERO),
        failure: None,
        follow_ups: vec![FollowUp {
            brief: follow_up.payload.clone(),
            event: follow_up,
        }],
    };
    let mut cut = site.cut.subscribe();
    site.runtime.block_on(close(&site.app, finish, &mut cut));
    assert_eq!(site.progress(id), (EventState::Queued, 1, 1));
    assert_eq!(site.app.queue.depths()["other"].queued, 2);
}

#[test]
fn what_is_wrong_with_one_event_is_not_tried_for_ever() {
    let site = Site::new(SUCCEEDS);
    let mut finish = Finish {
        id: site.app.request_id(),
        attempt: 1,
        ending: Ending::Retry(Duration::ZERO),
        failure: None,
        follow_ups: Vec::new(),
    };
    let damaged = StorageError::Full {
        path: "queue.db".into(),
    };
    let damaged = QueueError::Storage(Arc::new(damaged));
    let full = QueueError::Full {
        reason: String::new(),
    };
    let mut again = |error, tries| may_close(&site.app, &mut finish, error, tries);
    assert!(again(&damaged, 1) && !again(&damaged, 25));
    assert!(again(&full, 1_000_000));
    assert!(!again(&QueueError::Closed, 1));
}

#[test]
fn an_attempt_that_is_closed_already_keeps_no_other_open() {
    let site = Site::new(SUCCEEDS);
    let ids = [site.queued(), site.queued()];
    let claimed = ids.map(|_| site.claim());
    let [first, second] = claimed.each_ref().map(|claimed| claimed.event.clone());
    let reconcile = |events| {
        let done = recover::reconcile(&site.app, events);
        site.runtime.block_on(done).unwrap();
    };
    reconcile(vec![first.clone()]);
    reconcile(vec![first, second]);
    for id in ids {
        assert_eq!(site.progress(id), (EventState::Queued, 1, 1));
        assert_eq!(site.records(id), [(1, Status::HostCrash)]);
    }
}

#[test]
fn it_is_told_why_nothing_is_dispatched() {
    let site = Site::with(SUCCEEDS, |app| {
        app.recovering = parking_lot::Mutex::new(Some(NOT_RECOVERED.to_owned()));
    });
    let id = site.queued();
    site.claim();
    let hidden = Hidden::new(&site);
    let told = || site.app.recovering.lock().clone();
    site.runtime.block_on(async {
        let show = async {
            until(|| told().is_none_or(|reason| reason != NOT_RECOVERED)).await;
            let reason = told().unwrap();
            assert!(reason.contains("queue.db"), "{reason}");
            hidden.show();
        };
        tokio::join!(site.dispatcher.recover(), show);
    });
    assert_eq!(told(), None);
    assert_eq!(site.progress(id), (EventState::Queued, 1, 1));
}
