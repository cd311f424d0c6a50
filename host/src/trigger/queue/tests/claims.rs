//! What is claimed of which queue, and what is not.

use domain::billing::budget::Budget;
use storage::QueueHealth;

use super::super::dispatch::is_worked_off;
use super::*;
use crate::concurrency::Concurrency;

fn shares(site: &mut Site, queues: &[&str]) -> Vec<(String, u32)> {
    let due: Vec<_> = queues.iter().map(|queue| due_now(queue)).collect();
    let shares = site.dispatcher.shares(&due).into_iter();
    shares.map(|share| (share.queue, share.at_most)).collect()
}

fn share(queue: &str, at_most: u32) -> (String, u32) {
    (queue.to_owned(), at_most)
}

#[test]
fn what_one_queue_was_promised_is_not_promised_to_another() {
    let mut site = Site::with(SUCCEEDS, |app| {
        app.concurrency = Concurrency::new(3, u64::MAX);
    });
    site.publish("g", SUCCEEDS);
    assert_eq!(shares(&mut site, &["f", "g"]), [share("f", 3)]);
    assert_eq!(site.dispatcher.last, "f", "`g` is first in the next round");
    // Each is taken for 16 MiB until one has run.
    let mut site = Site::with(SUCCEEDS, |app| {
        app.concurrency = Concurrency::new(100, 80 << 20);
    });
    site.publish("g", SUCCEEDS);
    site.set(|settings| settings.reserved_concurrency = Some(3));
    let both = shares(&mut site, &["f", "g"]);
    assert_eq!(both, [share("f", 3), share("g", 2)]);
}

#[test]
fn no_claim_is_refused_however_many_functions_are_due() {
    let mut site = Site::with(SUCCEEDS, |app| {
        app.concurrency = Concurrency::new(3, u64::MAX);
    });
    site.publish("g", SUCCEEDS);
    let ids: Vec<_> = (0..10)
        .map(|number| site.accept(site.event(["f", "g"][number % 2])))
        .collect();
    while site.round() == Round::More {}
    for id in ids {
        assert_eq!(site.progress(id), (EventState::Succeeded, 1, 1));
    }
    let metrics = site.app.metrics.render_process(&[]);
    let refused = "mayfly_events_queued_again_total{why=\"refused\"} 0";
    assert!(metrics.lines().any(|line| line == refused), "{metrics}");
}

#[test]
fn who_is_blocked_has_had_its_turn() {
    let mut site = Site::new(SUCCEEDS);
    site.set(|settings| settings.reserved_concurrency = Some(1));
    let version = site.app.registry.resolve(&name("f"), None, 0).unwrap();
    let _held = admit(&site.app, &version).unwrap();
    assert_eq!(shares(&mut site, &["f"]), []);
    assert_eq!(site.dispatcher.last, "f");
    assert_eq!(shares(&mut site, &["gone", "f"]).len(), 1);
    assert_eq!(site.dispatcher.last, "gone");
}

#[test]
fn while_a_budget_is_spent_events_wait_until_they_are_too_old() {
    let mut site = Site::new(SUCCEEDS);
    site.set(|settings| {
        let short = EventInvoke {
            maximum_event_age_s: Some(60),
            ..EventInvoke::default()
        };
        settings.event_invoke.insert(String::new(), short);
    });
    let first = site.queued();
    site.round();
    let spending = site.app.budgets.of(&name("f"));
    spending.set_budget(Some(Budget {
        monthly: 1,
        throttle: true,
    }));
    let version = site.app.registry.resolve(&name("f"), None, 0).unwrap();
    site.app.budgets.check(&version.spending).unwrap_err();
    assert_eq!(site.progress(first), (EventState::Succeeded, 1, 1));

    let waiting = [site.queued(), site.queued()];
    assert!(matches!(site.round(), Round::Wait(_)));
    for id in waiting {
        assert_eq!(site.progress(id), (EventState::Queued, 0, 0));
        assert_eq!(site.look(id).refusals, 0);
    }
    site.advance_us(MINUTE_US + 1);
    for expired in 1..=2 {
        assert_eq!(site.round(), Round::More);
        let states = waiting.map(|id| site.look(id).state);
        let found = states.iter().filter(|state| **state == EventState::Expired);
        assert_eq!(found.count(), expired);
    }
    assert_eq!(site.records(waiting[0]), []);
}

#[test]
fn a_claim_that_fails_is_not_made_again_at_once() {
    let mut site = Site::new(SUCCEEDS);
    site.queued();
    site.app.queue.close();
    assert!(matches!(site.round(), Round::Pause(_)));
    // Whatever wakes the dispatcher, nothing is asked of this queue for a while.
    assert!(matches!(site.round(), Round::Wait(_)));
    site.advance_us(500_000);
    assert!(matches!(site.round(), Round::Pause(_)));
}

#[test]
fn while_space_is_short_what_was_taken_in_is_worked_off() {
    let reason = String::new;
    assert!(is_worked_off(&QueueHealth::Writable));
    assert!(is_worked_off(&QueueHealth::Full { reason: reason() }));
    assert!(!is_worked_off(&QueueHealth::Failed { reason: reason() }));
}
