//! Are there ever more guests loaded than there is room for, and does anyone notice?

use std::sync::Arc;
use std::time::Duration;

use super::support::{Host, PRELUDE, command, limits};
use crate::Guest;

/// Guests that may be loaded, and guests that there are.
const ROOM: u32 = 4;
const GUESTS: usize = 20;

/// Mappings of one guest's code, as the documents say, and of its data in the slot it ran in.
const MAPS_PER_GUEST: usize = 4;

/// A guest that answers with bytes of its own, from its data.
fn guest(host: &Host, number: usize) -> Arc<Guest> {
    let wat = format!(
        r#"(module {PRELUDE} (data (i32.const 64) "n{number:03}")
            (func (export "_start") (call $write (i32.const 1) (i32.const 64) (i32.const 4))))"#
    );
    host.guest(&wat, limits(16, 60_000))
}

fn guests(host: &Host) -> Vec<Arc<Guest>> {
    (0..GUESTS).map(|number| guest(host, number)).collect()
}

/// Descriptors and mappings of this host's code; other tests have others.
fn held(host: &Host) -> (usize, usize) {
    let dir = host.dir.path().to_str().unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(dir));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().filter(|line| line.contains(dir)).count();
    (descriptors.count(), maps)
}

#[track_caller]
fn check_bounded(host: &Host) {
    let room = usize::try_from(ROOM).unwrap();
    assert!(host.sandboxes.loaded() <= room);
    let (descriptors, maps) = held(host);
    assert!(descriptors <= room, "{descriptors} descriptors");
    assert!(maps <= room * MAPS_PER_GUEST, "{maps} mappings");
}

/// Runs a guest; whether its code was loaded for that.
#[track_caller]
fn run(host: &Host, guests: &[Arc<Guest>], number: usize) -> bool {
    let ran = host.run(&guests[number], "{}");
    assert_eq!(ran.payload(), format!("n{number:03}").as_bytes());
    ran.usage.init.is_some()
}

#[test]
fn every_order_of_use_is_answered_within_the_bound() {
    let host = Host::with_room(ROOM);
    let guests = guests(&host);
    // Publishing loads too.
    for guest in &guests {
        host.sandboxes.check_links(guest).unwrap();
        check_bounded(&host);
    }
    let round_robin = (0..2 * GUESTS).map(|at| at % GUESTS);
    let scattered = (0..200_usize).map(|at| at * at * 7 % GUESTS);
    let narrow = (0..40).map(|at| at % 3);
    for number in round_robin.chain(scattered).chain(narrow) {
        run(&host, &guests, number);
        check_bounded(&host);
    }
    assert!(!run(&host, &guests, 0), "three fit");
    assert!(host.sandboxes.evicted() > 100);
}

#[test]
fn what_is_used_again_and_again_stays() {
    let host = Host::with_room(ROOM);
    let guests = guests(&host);
    run(&host, &guests, 0);
    for number in 1..GUESTS {
        assert!(run(&host, &guests, number), "each of these is new");
        assert!(!run(&host, &guests, 0), "after {number}");
    }
}

#[test]
fn a_run_keeps_its_code_when_it_is_given_up() {
    let host = Host::with_room(1);
    let guests = guests(&host);
    let sleeper = host.guest(
        r#"(module
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (data (i32.const 512) "slept")
          (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 300000000))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
            (i32.store (i32.const 0) (i32.const 512))
            (i32.store (i32.const 4) (i32.const 5))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        limits(16, 60_000),
    );
    let request = host.request("{}", limits(16, 60_000));
    let run = host.sandboxes.run(Arc::clone(&sleeper), request);
    let outcome = host.runtime.block_on(async {
        let mut run = Box::pin(run);
        let polled = tokio::time::timeout(Duration::from_millis(1), &mut run).await;
        assert!(polled.is_err(), "it still sleeps");
        assert!(sleeper.is_loaded());
        for guest in &guests {
            let request = host.request("{}", limits(16, 60_000));
            host.sandboxes
                .run(Arc::clone(guest), request)
                .await
                .unwrap();
        }
        assert!(!sleeper.is_loaded());
        run.await.unwrap()
    });
    assert_eq!(outcome, domain::Outcome::Payload("slept".into()));
    assert_eq!(held(&host).0, 1, "what was given up is gone after the run");
}

#[test]
fn guests_that_are_gone_need_no_room() {
    let host = Host::with_room(ROOM);
    for round in 0..10 {
        let guests = guests(&host);
        run(&host, &guests, round);
        check_bounded(&host);
    }
    assert_eq!(host.sandboxes.evicted(), 0);
}

#[test]
fn one_guest_at_a_time_is_enough_for_all_and_for_many_at_once() {
    let host = Host::with_room(1);
    let guests = guests(&host);
    let runs = (0..200)
        .map(|at| {
            let guest = Arc::clone(&guests[at % GUESTS]);
            let request = host.request("{}", limits(16, 60_000));
            host.runtime.spawn(host.sandboxes.run(guest, request))
        })
        .collect::<Vec<_>>();
    for (at, run) in runs.into_iter().enumerate() {
        let outcome = host.runtime.block_on(run).unwrap().unwrap();
        let expected = format!("n{:03}", at % GUESTS);
        assert_eq!(outcome, domain::Outcome::Payload(expected.into()));
    }
    assert_eq!(held(&host).0, 1);
}

#[test]
fn code_without_data_is_given_up_as_well() {
    let host = Host::with_room(ROOM);
    for number in 0..GUESTS {
        let unused = "(nop)".repeat(number);
        let guest = host.guest(&command(&unused), limits(16, 60_000));
        host.run(&guest, "{}");
        check_bounded(&host);
    }
}
