//! How long does a run wait for code that is not there?

use std::sync::Arc;
use std::time::Duration;

use super::support::{Host, command, limits, wait_until};
use crate::{Guest, LoadError, SandboxError};

/// A guest whose code was never compiled.
fn uncompiled(host: &Host, timeout_ms: u32) -> Arc<Guest> {
    let wasm = wat::parse_str(command("")).unwrap();
    host.sandboxes
        .guest(host.spec(&wasm, limits(16, timeout_ms)))
}

fn is_preparing(error: &SandboxError) -> bool {
    matches!(error, SandboxError::Load(LoadError::Preparing))
}

#[test]
fn a_run_waits_for_a_compilation_no_longer_than_it_may_run() {
    let host = Host::new();
    let guest = uncompiled(&host, 50);
    let compiling = host.sandboxes.compiling();
    for _ in 0..3 {
        let started = host.clock.now();
        let error = host.try_run(&guest, "{}").unwrap_err();
        assert!(is_preparing(&error), "{error:?}");
        assert!(host.clock.now() - started >= Duration::from_millis(50));
    }
    // Several at once wait side by side and not one after the other.
    let guest = uncompiled(&host, 200);
    let started = host.clock.now();
    let runs = (0..30)
        .map(|_| {
            let request = host.request("{}", limits(16, 200));
            host.runtime
                .spawn(host.sandboxes.run(Arc::clone(&guest), request))
        })
        .collect::<Vec<_>>();
    for run in runs {
        let error = host.runtime.block_on(run).unwrap().unwrap_err();
        assert!(is_preparing(&error), "{error:?}");
    }
    assert!(host.clock.now() - started < Duration::from_secs(4));
    // One compilation was started, and it goes on for whoever comes then.
    assert!(guest.preparing.try_lock().unwrap().is_some());
    assert!(!guest.is_loaded());
    drop(compiling);
    wait_until("the compilation", || host.try_run(&guest, "{}").is_ok());
    assert!(guest.preparing.try_lock().unwrap().is_none());
}

#[test]
fn a_compilation_is_no_part_of_the_init_time() {
    let host = Host::new();
    let guest = uncompiled(&host, 60_000);
    let request = host.request("{}", limits(16, 60_000));
    let observed = Arc::clone(&request.observed);
    let compiling = host.sandboxes.compiling();
    let run = host.runtime.spawn(host.sandboxes.run(guest, request));
    host.runtime
        .block_on(async { tokio::time::sleep(Duration::from_millis(1_500)).await });
    drop(compiling);
    host.runtime.block_on(run).unwrap().unwrap();
    let usage = observed.usage(&host.clock);
    assert!(
        usage.init.unwrap() < Duration::from_millis(1_000),
        "{usage:?}"
    );
}

#[test]
fn code_that_is_kept_is_waited_for_however_short_the_limit_is() {
    let host = Host::new();
    let functions = (0..12_000)
        .map(|n| format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))"))
        .collect::<String>();
    // Large enough to be loaded on another thread, and a limit that is over before.
    let guest = host.guest(
        &format!(r#"(module {functions} (func (export "_start")))"#),
        limits(16, 1),
    );
    host.try_run(&guest, "{}").unwrap();
    assert!(guest.is_loaded());
}

#[test]
fn one_artifact_is_compiled_once_for_all_guests() {
    let host = Host::new();
    let guests = [uncompiled(&host, 60_000), uncompiled(&host, 60_000)];
    let compiling = host.sandboxes.compiling();
    let runs = guests.map(|guest| {
        let request = host.request("{}", limits(16, 60_000));
        let run = host.sandboxes.run(Arc::clone(&guest), request);
        (guest, host.runtime.spawn(run))
    });
    wait_until("both wait", || {
        let waits = |guest: &Guest| guest.preparing.try_lock().is_err();
        waits(&runs[0].0) && waits(&runs[1].0)
    });
    drop(compiling);
    let path = host.sandboxes.cache().path(runs[0].0.spec().artifact);
    wait_until("the code", || path.is_file());
    let inode = || std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let first = inode();
    for (_, run) in runs {
        host.runtime.block_on(run).unwrap().unwrap();
    }
    assert_eq!(inode(), first, "it was not written again");
}
