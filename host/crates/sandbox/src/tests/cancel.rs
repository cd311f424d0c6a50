//! Does a dropped run give everything back, and keep what was measured?

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::support::{Host, PRELUDE, limits, wait_until};
use crate::{PoolCounts, RunRequest};

const IDLE: PoolCounts = PoolCounts {
    core_instances: 0,
    memories: 0,
    tables: 0,
    stacks: 0,
};

fn request(host: &Host) -> RunRequest {
    host.request("{}", limits(16, 600_000))
}

#[test]
fn a_run_that_was_never_polled_costs_nothing() {
    let host = Host::new();
    let guest = host.command("", limits(16, 1_000));
    drop(host.sandboxes.run(guest, request(&host)));
    host.assert_idle();
}

#[test]
fn a_run_dropped_while_it_waits_gives_everything_back_at_once() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 600000000000))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#,
        limits(16, 600_000),
    );
    host.sandboxes.check_links(&guest).unwrap();
    let request = request(&host);
    let observed = Arc::clone(&request.observed);
    host.runtime.block_on(async {
        let mut run = Box::pin(host.sandboxes.run(guest, request));
        let polled = tokio::time::timeout(Duration::from_millis(50), &mut run).await;
        assert!(polled.is_err(), "it still sleeps");
        assert_eq!(host.sandboxes.live(), 1);
        assert_eq!(host.sandboxes.memory_in_use_bytes(), 4 * 65_536);
        assert_eq!(host.sandboxes.pool_counts().core_instances, 1);
        drop(run);
        host.assert_idle();
    });
    let usage = observed.usage(&host.clock);
    assert!(usage.duration >= Duration::from_millis(45), "{usage:?}");
    assert_eq!(usage.memory_peak_bytes, 4 * 65_536);
    assert!(!usage.cpu.is_zero() && usage.cpu < usage.duration);
}

#[test]
fn a_run_dropped_while_it_spins_in_the_background_gives_everything_back_soon() {
    let host = Host::new();
    let guest = host.guest(
        &format!(
            "(module {PRELUDE} (data (i32.const 64) \"hello\\n\") (func (export \"_start\")
               (call $write (i32.const 2) (i32.const 64) (i32.const 6)) (loop (br 0))))"
        ),
        limits(16, 600_000),
    );
    host.sandboxes.check_links(&guest).unwrap();
    let request = request(&host);
    let observed = Arc::clone(&request.observed);
    host.runtime.block_on(async {
        let mut run = Box::pin(host.sandboxes.run(guest, request));
        let polled = tokio::time::timeout(Duration::from_millis(100), &mut run).await;
        assert!(polled.is_err(), "it still spins");
        assert_eq!(host.sandboxes.live(), 1);
    });
    let duration = observed.usage(&host.clock).duration;
    wait_until("the end of the cancelled guest", || {
        host.sandboxes.live() == 0 && host.sandboxes.pool_counts() == IDLE
    });
    host.assert_idle();
    assert_eq!(observed.take_log().lines[0].text, "hello");
    assert!(duration >= Duration::from_millis(90), "{duration:?}");
    assert_eq!(
        observed.usage(&host.clock).duration,
        duration,
        "it ended when it was dropped"
    );
}

#[test]
fn runs_dropped_at_any_point_leave_nothing_behind() {
    let host = Host::new();
    let spin = host.command("(loop (br 0))", limits(16, 600_000));
    let quick = host.command("", limits(16, 1_000));
    host.run(&quick, "{}");
    for round in 0_u64..200 {
        let guest = if round % 3 == 0 { &quick } else { &spin };
        host.runtime.block_on(async {
            let run = host.sandboxes.run(Arc::clone(guest), request(&host));
            let wait = Duration::from_micros(round * 37 % 4_000);
            // Cut off by the clock wherever it is.
            let _cut = tokio::time::timeout(wait, run).await;
        });
    }
    wait_until("the end of all guests", || {
        host.sandboxes.live() == 0 && host.sandboxes.pool_counts() == IDLE
    });
    host.assert_idle();
    assert_eq!(host.run(&quick, "{}").payload(), b"");
}

#[test]
fn one_cancelled_load_does_not_keep_others_from_loading() {
    let host = Host::new();
    let wasm = wat::parse_str(super::support::command("")).unwrap();
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 60_000)));
    let mut first = Box::pin(host.sandboxes.run(Arc::clone(&guest), request(&host)));
    let _entered = host.runtime.enter();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(
        first.as_mut().poll(&mut context).is_pending(),
        "it waits for the compiler"
    );
    drop(first);
    assert_eq!(
        host.runtime
            .block_on(host.sandboxes.run(guest, request(&host)))
            .unwrap(),
        { domain::Outcome::Payload(bytes::Bytes::new()) }
    );
}

#[test]
fn a_full_pool_is_the_hosts_failure_and_not_the_guests() {
    let host = Host::new();
    let guest = host.command("(loop (br 0))", limits(1, 600_000));
    host.sandboxes.check_links(&guest).unwrap();
    host.runtime.block_on(async {
        let mut runs = Vec::new();
        for _ in 0..32 {
            runs.push(tokio::spawn(
                host.sandboxes.run(Arc::clone(&guest), request(&host)),
            ));
        }
        while host.sandboxes.pool_counts().core_instances < 32 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let error = host
            .sandboxes
            .run(Arc::clone(&guest), request(&host))
            .await
            .unwrap_err();
        assert!(
            matches!(error, crate::SandboxError::PoolFull { .. }),
            "{error:?}"
        );
        runs.iter().for_each(tokio::task::JoinHandle::abort);
    });
    wait_until("the end of all guests", || {
        host.sandboxes.pool_counts() == IDLE
    });
    host.assert_idle();
}
