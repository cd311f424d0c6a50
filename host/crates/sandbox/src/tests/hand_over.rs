//! Do long guests make room for short ones?

use std::sync::Arc;

use super::support::{Host, limits, multi_thread};

/// The foreground has one thread, so a guest that kept it would let nobody else through.
#[test]
fn short_guests_run_while_long_ones_spin() {
    let host = Host::new();
    let spin = host.command("(loop (br 0))", limits(16, 2_000));
    let quick = host.command("", limits(16, 60_000));
    host.run(&quick, "{}");
    let spinning = (0..3)
        .map(|_| {
            let request = host.request("{}", spin.spec().limits);
            host.runtime
                .spawn(host.sandboxes.run(Arc::clone(&spin), request))
        })
        .collect::<Vec<_>>();
    let mut answered = 0;
    while !spinning.iter().all(tokio::task::JoinHandle::is_finished) {
        let request = host.request("{}", quick.spec().limits);
        let run = host
            .runtime
            .spawn(host.sandboxes.run(Arc::clone(&quick), request));
        host.runtime.block_on(run).unwrap().unwrap();
        answered += 1;
    }
    for run in spinning {
        assert!(matches!(
            host.runtime.block_on(run).unwrap().unwrap(),
            domain::Outcome::Failed(domain::FunctionError::TimedOut { .. })
        ));
    }
    // Each took a fraction of a millisecond; without the hand-over a handful would have been.
    assert!(answered > 50, "{answered}");
    host.assert_idle();
}

#[test]
fn a_long_guest_answers_from_the_background() {
    let host = Host::new();
    let guest = host.command(
        "(local $n i64)
         (loop $again (br_if $again (i64.lt_u
           (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 100000000))))
         (i32.store (i32.const 64) (i32.const 0x6b6f))
         (call $write (i32.const 1) (i32.const 64) (i32.const 2))",
        limits(16, 60_000),
    );
    let ran = host.run(&guest, "{}");
    assert_eq!(ran.payload(), b"ok");
    assert!(ran.usage.cpu <= ran.usage.duration, "{:?}", ran.usage);
    assert!(ran.usage.cpu.as_millis() >= 2, "{:?}", ran.usage);
}

#[test]
fn a_guest_that_waits_does_not_move() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 50000000))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
            (call $work (i32.const 1000)))
          ;; Asks at each call whether its slice is used up.
          (func $work (param $n i32)
            (if (local.get $n) (then (call $work (i32.sub (local.get $n) (i32.const 1)))))))"#,
        limits(16, 60_000),
    );
    host.sandboxes.check_links(&guest).unwrap();
    // A busy machine may take the thread away for longer than a slice: then it looks long.
    let stays = (0..20).any(|_| {
        let request = host.request("{}", guest.spec().limits);
        let observed = Arc::clone(&request.observed);
        let run = host.sandboxes.run(Arc::clone(&guest), request);
        host.runtime.block_on(run).unwrap();
        !observed.ran_long()
    });
    assert!(stays);
}

/// On a busy machine the threads of the background get a core too seldom to look at a clock.
#[test]
fn a_deadline_rings_though_no_thread_of_the_background_is_free() {
    let busy = multi_thread(1);
    let (release, held) = std::sync::mpsc::channel::<()>();
    busy.spawn(async move { held.recv() });
    let (_dir, sandboxes) = with_background(busy.handle());
    let host = Host::new();
    let spec = host
        .command("(loop (br 0))", limits(16, 100))
        .spec()
        .clone();
    let guest = sandboxes.guest(spec);
    sandboxes.check_links(&guest).unwrap();
    let request = host.request("{}", guest.spec().limits);
    let outcome = host.runtime.block_on(sandboxes.run(guest, request));
    assert!(matches!(
        outcome.unwrap(),
        domain::Outcome::Failed(domain::FunctionError::TimedOut { .. })
    ));
    // Nothing was left waiting in the background: the slot is free.
    assert_eq!(sandboxes.live(), 0);
    assert_eq!(sandboxes.pool_counts().memories, 0);
    release.send(()).unwrap();
}

fn with_background(background: &tokio::runtime::Handle) -> (tempfile::TempDir, crate::Sandboxes) {
    let dir = tempfile::tempdir().unwrap();
    let sandboxes = crate::Sandboxes::new(crate::EngineSettings {
        sandboxes_max: 4,
        loaded_max: 1_000,
        cache_dir: dir.path().join("code"),
        compile: crate::Compile::InProcess,
        background: background.clone(),
        clock: domain::Clock::system(),
    });
    (dir, sandboxes.unwrap())
}

/// The background is a runtime like any other; when it is gone, that is the host's failure.
#[test]
fn a_background_that_shut_down_is_an_error_and_no_hang() {
    let gone = multi_thread(1);
    let (_dir, sandboxes) = with_background(gone.handle());
    let host = Host::new();
    let spec = host
        .command("(loop (br 0))", limits(16, 60_000))
        .spec()
        .clone();
    let guest = sandboxes.guest(spec);
    sandboxes.check_links(&guest).unwrap();
    let request = host.request("{}", guest.spec().limits);
    let run = host.runtime.spawn(sandboxes.run(guest, request));
    gone.shutdown_background();
    let error = host.runtime.block_on(run).unwrap().unwrap_err();
    assert!(
        matches!(error, crate::SandboxError::Stopped { .. }),
        "{error:?}"
    );
}
