//! Are the calls that are answered without the stock WASI answered as the stock one does?
//!
//! Each call is made twice: by a guest that has no stock context, and by one that has.

use super::support::{Host, limits};

/// What every case starts with: buffers described at 0, and the memory's last byte is at 262,143.
const BUFFERS: &str = r#"
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3))
    (i32.store (i32.const 8) (i32.const -1)) (i32.store (i32.const 12) (i32.const 9))
    (i32.store (i32.const 16) (i32.const -1)) (i32.store (i32.const 20) (i32.const 0))
    (i32.store (i32.const 24) (i32.const 64)) (i32.store (i32.const 28) (i32.const 5))
    (i32.store (i32.const 32) (i32.const 64)) (i32.store (i32.const 36) (i32.const 70000))"#;

/// Makes one call, writes what memory holds then, and ends with its errno.
fn guest(name: &str, params: &str, arguments: &[i32], clear: (u32, u32), context: bool) -> String {
    let arguments = arguments
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let kind = if params.split(' ').nth(index) == Some("i64") {
                "i64"
            } else {
                "i32"
            };
            format!("({kind}.const {value})")
        })
        .collect::<String>();
    let (at, length) = clear;
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "{name}" (func $call (param {params}) (result i32)))
          (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 4) (data (i32.const 64) "some text to write")
          (func (export "_start") (local $errno i32) {BUFFERS}
            ;; The stock function, which makes the context.
            (if (i32.const {context}) (then (drop (call $tell (i32.const 1) (i32.const 2048)))))
            (local.set $errno (call $call {arguments}))
            ;; What may differ from run to run.
            (memory.fill (i32.const {at}) (i32.const 0) (i32.const {length}))
            (i32.store (i32.const 4096) (i32.const 0)) (i32.store (i32.const 4100) (i32.const 262144))
            (drop (call $write (i32.const 1) (i32.const 4096) (i32.const 1) (i32.const 4104)))
            (if (local.get $errno) (then (call $exit (local.get $errno))))))"#,
        context = u8::from(context),
    )
}

#[track_caller]
fn check(host: &Host, name: &str, params: &str, arguments: &[i32], clear: (u32, u32)) {
    let run = |context| {
        let wat = guest(name, params, arguments, clear, context);
        let guest = host.guest(&wat, limits(16, 60_000));
        // Loading moves the deadline, which the guest can see.
        host.sandboxes.check_links(&guest).unwrap();
        let ran = host.run(&guest, "the event");
        let log = ran.log.lines.into_iter().map(|line| line.text);
        (format!("{:?}", ran.outcome), log.collect::<Vec<_>>())
    };
    let (without, with) = (run(false), run(true));
    // The memory is too long to be printed.
    assert!(without == with, "{name} {arguments:?}");
}

/// Addresses: usual, not aligned, and at and beyond the end of the memory.
const PLACES: [i32; 5] = [2_048, 2_049, 262_136, 262_140, -4];

#[test]
fn reads_and_writes_are_the_same() {
    let host = Host::new();
    let params = "i32 i32 i32 i32";
    for name in ["fd_read", "fd_write"] {
        for fd in [-1, 0, 1, 2, 3] {
            check(&host, name, params, &[fd, 0, 1, 2_048], (0, 0));
        }
        for fd in [0, 1, 2] {
            for (buffers, count) in [(0, 0), (0, 2), (8, 1), (16, 1), (16, 2), (32, 1), (2, 1)] {
                check(&host, name, params, &[fd, buffers, count, 2_048], (0, 0));
            }
            for (buffers, count) in [(0, -1), (-8, 1), (262_140, 1), (16, 4)] {
                check(&host, name, params, &[fd, buffers, count, 2_048], (0, 0));
            }
            for place in PLACES {
                check(&host, name, params, &[fd, 0, 1, place], (0, 0));
            }
        }
    }
}

#[test]
fn what_is_said_of_descriptors_is_the_same() {
    let host = Host::new();
    for fd in [-1, 0, 1, 2, 3, 4] {
        for place in PLACES {
            check(&host, "fd_fdstat_get", "i32 i32", &[fd, place], (0, 0));
            check(&host, "fd_prestat_get", "i32 i32", &[fd, place], (0, 0));
        }
    }
}

#[test]
fn the_environment_and_the_arguments_are_the_same() {
    let host = Host::new();
    for name in [
        "environ_sizes_get",
        "environ_get",
        "args_sizes_get",
        "args_get",
    ] {
        for list in PLACES {
            for text in [3_000, 3_001, 262_000, 262_140, -4] {
                check(&host, name, "i32 i32", &[list, text], (0, 0));
            }
        }
    }
}

#[test]
fn errors_of_clocks_and_random_bytes_are_the_same() {
    let host = Host::new();
    for place in PLACES {
        for clock in [-1, 0, 1, 2, 3, 4] {
            let clear = if place == 2_048 {
                (2_048, 8)
            } else {
                (262_100, 44)
            };
            check(
                &host,
                "clock_time_get",
                "i32 i64 i32",
                &[clock, 0, place],
                clear,
            );
        }
        for length in [0, 1, 32, 5_000, 300_000, -1] {
            check(
                &host,
                "random_get",
                "i32 i32",
                &[place, length],
                (2_048, 260_096),
            );
        }
    }
}

#[test]
fn the_stock_functions_go_on_where_the_others_stopped() {
    let host = Host::new();
    let copy = "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2048)))
        (i32.store (i32.const 4) (i32.load (i32.const 2048)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 2048)))";
    let wat = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 4)
          (func (export "_start") {BUFFERS} {copy} {copy}
            (drop (call $tell (i32.const 0) (i32.const 2048)))
            {copy} (i32.store (i32.const 4) (i32.const 100)) {copy} {copy}))"#
    );
    let ran = host.run(&host.guest(&wat, limits(16, 60_000)), "the event, and more");
    assert_eq!(ran.payload(), b"the event, and more");
}
