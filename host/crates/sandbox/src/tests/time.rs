//! Does every guest end at its deadline, wherever it spends its time?

use std::time::Duration;

use domain::FunctionError;

use super::support::{Host, Ran, command, limits};

/// Far beyond any scheduling delay; a guest that is not stopped runs for ever.
const GENEROUS: Duration = Duration::from_secs(20);

#[track_caller]
fn check_times_out(ran: &Ran) {
    ran.assert_timed_out();
    // It was armed a moment before the run began.
    assert!(
        ran.usage.duration >= Duration::from_millis(30),
        "{:?}",
        ran.usage
    );
    assert!(ran.usage.duration < GENEROUS, "{:?}", ran.usage);
}

const POLL: &str = r#"
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get"
        (func $clock (param i32 i64 i32) (result i32)))
    (memory (export "memory") 4)
    ;; Prepares a clock subscription at `at`.
    (func $subscribe (param $at i32) (param $clock_id i32) (param $ns i64) (param $flags i32)
        (i32.store8 offset=8 (local.get $at) (i32.const 0))
        (i32.store offset=16 (local.get $at) (local.get $clock_id))
        (i64.store offset=24 (local.get $at) (local.get $ns))
        (i32.store16 offset=40 (local.get $at) (local.get $flags)))
"#;

fn poll(body: &str) -> String {
    format!(r#"(module {POLL} (func (export "_start") {body}))"#)
}

#[test]
fn loops_end_at_the_deadline() {
    let host = Host::new();
    check_times_out(&host.run_command("(loop (br 0))", 50));
    // One call after the other, and a large operation again and again.
    check_times_out(&host.run_command(
        "(loop (call $write (i32.const 1) (i32.const 0) (i32.const 0)) (br 0))",
        50,
    ));
    check_times_out(&host.run_command(
        "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 262144)) (br 0))",
        50,
    ));
}

#[test]
fn a_loop_in_the_start_function_ends_at_the_deadline() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (func $s (loop (br 0))) (start $s) (func (export "_start")))"#,
        limits(16, 50),
    );
    check_times_out(&host.run(&guest, "{}"));
}

#[test]
fn a_filled_memory_in_a_loop_ends_at_the_deadline() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (memory (export "memory") 1024) (func (export "_start")
            (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864)) (br 0))))"#,
        limits(64, 50),
    );
    check_times_out(&host.run(&guest, "{}"));
}

#[test]
fn sleeps_end_at_the_deadline() {
    let host = Host::new();
    let sleeps = [
        // Ten minutes on each clock, relative.
        "(call $subscribe (i32.const 0) (i32.const 1) (i64.const 600000000000) (i32.const 0))",
        "(call $subscribe (i32.const 0) (i32.const 0) (i64.const 600000000000) (i32.const 0))",
        // 584 years.
        "(call $subscribe (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 0))",
        "(call $subscribe (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 0))",
        // Until an instant that never comes.
        "(call $subscribe (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 1))",
        "(call $subscribe (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 1))",
    ];
    for sleep in sleeps {
        let wat = poll(&format!(
            "{sleep} (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))"
        ));
        let ran = host.run(&host.guest(&wat, limits(16, 100)), "{}");
        check_times_out(&ran);
        assert!(
            ran.usage.cpu < ran.usage.duration / 2,
            "waiting is not CPU time: {:?}",
            ran.usage
        );
    }
}

#[test]
fn two_sleeps_at_once_and_an_endless_chain_of_short_ones_end_at_the_deadline() {
    let host = Host::new();
    let two = poll(
        "(call $subscribe (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 0))
         (call $subscribe (i32.const 48) (i32.const 1) (i64.const 600000000000) (i32.const 0))
         (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 512)))",
    );
    check_times_out(&host.run(&host.guest(&two, limits(16, 100)), "{}"));
    for ns in [0, 1, 1_000_000] {
        let chain = poll(&format!(
            "(call $subscribe (i32.const 0) (i32.const 1) (i64.const {ns}) (i32.const 0))
             (loop (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))
               (br 0))"
        ));
        check_times_out(&host.run(&host.guest(&chain, limits(16, 100)), "{}"));
    }
}

#[test]
fn a_short_sleep_wakes_up() {
    let host = Host::new();
    let wat = poll(
        "(call $subscribe (i32.const 0) (i32.const 1) (i64.const 5000000) (i32.const 0))
         (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))",
    );
    let ran = host.run(&host.guest(&wat, limits(16, 10_000)), "{}");
    assert_eq!(ran.payload(), b"");
    assert!(ran.usage.duration >= Duration::from_millis(5));
}

#[test]
fn a_poll_of_a_million_subscriptions_allocates_nothing_large() {
    let host = Host::new();
    let wat =
        poll("(drop (call $poll (i32.const 0) (i32.const 0) (i32.const 1000000) (i32.const 0)))");
    // An errno or a trap, and soon; never a timeout.
    let ran = host.run(&host.guest(&wat, limits(16, 10_000)), "{}");
    if let domain::Outcome::Failed(error) = &ran.outcome {
        assert!(matches!(error, FunctionError::Trapped { .. }), "{error:?}");
    }
}

#[test]
fn the_clock_can_be_read_for_ever_and_never_goes_back() {
    let host = Host::new();
    let wat = poll(
        "(local $last i64)
         (loop $again
           (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0)))
           (if (i64.lt_u (i64.load (i32.const 0)) (local.get $last)) (then unreachable))
           (local.set $last (i64.load (i32.const 0)))
           (br $again))",
    );
    check_times_out(&host.run(&host.guest(&wat, limits(16, 50)), "{}"));
}

#[test]
fn clocks_of_cpu_time_are_refused() {
    let host = Host::new();
    for id in [2, 3] {
        let wat = poll(&format!(
            "(if (i32.eqz (call $clock (i32.const {id}) (i64.const 0) (i32.const 0)))
               (then unreachable))"
        ));
        assert_eq!(
            host.run(&host.guest(&wat, limits(16, 1_000)), "{}")
                .payload(),
            b""
        );
    }
}

#[test]
fn a_deadline_that_passed_already_stops_a_loop_at_its_first_slice() {
    let host = Host::new();
    let guest = host.guest(&command("(loop (br 0))"), limits(16, 60_000));
    let mut request = host.request("{}", limits(16, 60_000));
    request.deadline = host.clock.now();
    let observed = std::sync::Arc::clone(&request.observed);
    let outcome = host
        .runtime
        .block_on(host.sandboxes.run(guest, request))
        .unwrap();
    assert!(
        matches!(
            outcome,
            domain::Outcome::Failed(FunctionError::TimedOut { .. })
        ),
        "{outcome:?}"
    );
    assert!(observed.usage(&host.clock).duration < GENEROUS);
}

#[test]
fn the_shorter_deadline_ends_first() {
    let host = Host::new();
    let order = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let spin = host.command("(loop (br 0))", limits(16, 60_000));
    host.run(&host.command("", limits(16, 1_000)), "{}");
    let runs = [600_u64, 50, 300].map(|timeout_ms| {
        let mut request = host.request("{}", limits(16, 60_000));
        request.deadline = host.clock.now() + Duration::from_millis(timeout_ms);
        let run = host.sandboxes.run(std::sync::Arc::clone(&spin), request);
        let order = std::sync::Arc::clone(&order);
        host.runtime.spawn(async move {
            run.await.unwrap();
            order.lock().push(timeout_ms);
        })
    });
    for run in runs {
        host.runtime.block_on(run).unwrap();
    }
    assert_eq!(*order.lock(), [50, 300, 600]);
    host.assert_idle();
}
