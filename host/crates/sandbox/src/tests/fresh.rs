//! Can a guest see anything of the one before it?
//!
//! Set `MAYFLY_LONG` to a number of alternations for a longer proof.

use std::sync::Arc;

use domain::{FunctionError, Outcome};

use super::support::{Host, limits};
use crate::settings::{Compile, Profile};

/// Fills memory (grown first), globals, a table and the stack; then ends as the event says.
const WRITER: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $g (mut i64) (i64.const 0))
  (table $t 64 funcref)
  (func $f)
  (elem declare func $f)
  (func $deep (param $n i32) (param $a i64) (param $b i64) (result i64) (local $c i64)
    (local.set $c (i64.mul (local.get $a) (i64.const 3)))
    (if (result i64) (local.get $n)
      (then (i64.add (local.get $c)
        (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $c) (local.get $a))))
      (else (local.get $b))))
  (func (export "_start") (local $n i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (memory.grow (i32.const 14)))
    (local.set $n (i32.load8_u (i32.const 64)))
    (memory.fill (i32.const 0) (i32.const 0xA5) (i32.const 1048576))
    (global.set $g (i64.const 0xA5A5A5A5A5A5A5A5))
    (table.fill $t (i32.const 0) (ref.func $f) (i32.const 64))
    (drop (table.grow $t (ref.func $f) (i32.const 100)))
    (drop (call $deep (i32.const 2000) (i64.const 0xA5A5A5A5A5A5A5A5) (i64.const 1)))
    ;; 't': trap, 'l': loop until the deadline
    (if (i32.eq (local.get $n) (i32.const 0x74)) (then unreachable))
    (if (i32.eq (local.get $n) (i32.const 0x6c)) (then (loop (br 0))))))
"#;

/// Traps if anything is not as it was written in the file; then leaves as much behind as it can.
const READER: &str = r#"
(module
  (memory (export "memory") 2)
  (data (i32.const 70000) "fresh")
  (global $g (mut i64) (i64.const 0))
  (table $t 64 funcref)
  (elem declare func $zero)
  (func $zero (param $from i32) (param $to i32)
    (loop $again
      (if (i64.ne (i64.load (local.get $from)) (i64.const 0)) (then unreachable))
      (br_if $again (i32.lt_u
        (local.tee $from (i32.add (local.get $from) (i32.const 8))) (local.get $to)))))
  (func (export "_start") (local $n i32)
    (if (i32.ne (memory.size) (i32.const 2)) (then unreachable))
    (if (i32.ne (i32.load (i32.const 70000)) (i32.const 0x73657266)) (then unreachable))
    (i32.store (i32.const 70000) (i32.const 0)) (i32.store8 (i32.const 70004) (i32.const 0))
    (call $zero (i32.const 0) (i32.const 131072))
    (if (i64.ne (global.get $g) (i64.const 0)) (then unreachable))
    (if (i32.ne (table.size $t) (i32.const 64)) (then unreachable))
    (loop $slots
      (if (i32.eqz (ref.is_null (table.get $t (local.get $n)))) (then unreachable))
      (br_if $slots (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 64))))
    ;; What the writer grew must be zero when it is grown again.
    (if (i32.eq (memory.grow (i32.const 14)) (i32.const -1)) (then unreachable))
    (call $zero (i32.const 131072) (i32.const 1048576))
    (local.set $n (table.grow $t (ref.null func) (i32.const 100)))
    (if (i32.eq (local.get $n) (i32.const -1)) (then unreachable))
    (loop $grown
      (if (i32.eqz (ref.is_null (table.get $t (local.get $n)))) (then unreachable))
      (br_if $grown (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 164))))
    (memory.fill (i32.const 0) (i32.const 0x5A) (i32.const 1048576))
    (global.set $g (i64.const -1))
    (table.fill $t (i32.const 0) (ref.func $zero) (i32.const 164))))
"#;

fn alternations() -> u32 {
    std::env::var("MAYFLY_LONG")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_500)
}

/// The same guest with so many pages of memory in the end: 24 are more than any profile resets in
/// place, 16 more than one of them does, 3 are reset in place by both.
fn with_pages(wat: &str, pages: u32) -> String {
    wat.replace(
        "(memory.grow (i32.const 14))",
        &format!("(memory.grow (i32.const {}))", pages - 2),
    )
    .replace("1048576", &(pages << 16).to_string())
}

#[track_caller]
fn check_fresh(profile: Profile) {
    // In a pool of one slot each guest gets what the one before it had, whatever its module. With more
    // of them a function gets its own slot again.
    for (slots, pages) in [(1, 24), (1, 16), (1, 3), (8, 16), (8, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::with_slots(dir, profile, Compile::InProcess, slots);
        let writer = with_pages(WRITER, pages);
        let reader = host.guest(&with_pages(READER, pages), limits(2, 30_000));
        let stuck = host.guest(&writer, limits(2, 5));
        let writer = host.guest(&writer, limits(2, 5_000));
        for round in 0..alternations() / 5 {
            match round % 100 {
                7 => {
                    host.run(&stuck, "l").assert_timed_out();
                }
                n if n % 5 == 0 => {
                    assert_eq!(host.run(&writer, "t").trap(), "UnreachableCodeReached");
                }
                _ => {
                    assert_eq!(host.run(&writer, "w").payload(), b"");
                }
            }
            for _ in 0..2 {
                assert_eq!(
                    host.run(&reader, "").payload(),
                    b"",
                    "round {round} with {slots} slots and {pages} pages"
                );
            }
        }
    }
}

#[test]
fn nothing_is_left_of_the_guest_before_with_the_scan_profile() {
    if wasmtime::PoolingAllocationConfig::is_pagemap_scan_available() {
        check_fresh(Profile::Scan);
    }
}

#[test]
fn nothing_is_left_of_the_guest_before_with_the_plain_profile() {
    check_fresh(Profile::Plain);
}

#[test]
fn the_same_function_starts_from_its_file_each_time() {
    for profile in Profile::ALL {
        if profile == Profile::Scan
            && !wasmtime::PoolingAllocationConfig::is_pagemap_scan_available()
        {
            continue;
        }
        let host = Host::with(profile, Compile::InProcess);
        // Counts in memory and in a global, and traps when the count is not 0.
        let guest = host.guest(
            r#"(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 0))
              (data (i32.const 8) "\00")
              (func (export "_start")
                (if (i32.or (i32.load (i32.const 8)) (global.get $g)) (then unreachable))
                (i32.store (i32.const 8) (i32.const 1)) (global.set $g (i32.const 1))))"#,
            limits(1, 5_000),
        );
        for _ in 0..alternations() {
            assert_eq!(host.run(&guest, "{}").payload(), b"");
        }
    }
}

/// A check that can't fail proves nothing.
#[test]
fn the_reader_notices_what_a_writer_could_leave() {
    let host = Host::new();
    for (clean, dirty) in [
        (
            "(data (i32.const 70000)",
            "(data (i32.const 131064) \"x\") (data (i32.const 70000)",
        ),
        (
            "(data (i32.const 70000) \"fresh\")",
            "(data (i32.const 70000) \"stale\")",
        ),
        (
            "(global $g (mut i64) (i64.const 0))",
            "(global $g (mut i64) (i64.const 1))",
        ),
        (
            "(table $t 64 funcref)",
            "(table $t 64 funcref) (func $f) (elem (i32.const 63) $f)",
        ),
        ("(table $t 64 funcref)", "(table $t 65 funcref)"),
        (
            "(memory (export \"memory\") 2)",
            "(memory (export \"memory\") 3)",
        ),
    ] {
        assert!(READER.contains(clean));
        let guest = host.guest(&READER.replace(clean, dirty), limits(2, 30_000));
        assert_eq!(
            host.run(&guest, "").trap(),
            "UnreachableCodeReached",
            "{dirty}"
        );
    }
}

/// Many at once, on several threads, so that slots are taken and given back in all orders.
#[test]
fn nothing_is_left_when_many_run_at_once() {
    for profile in Profile::ALL {
        if profile == Profile::Scan
            && !wasmtime::PoolingAllocationConfig::is_pagemap_scan_available()
        {
            continue;
        }
        let host = Host::with(profile, Compile::InProcess);
        let runtime = super::support::multi_thread(2);
        let writer = host.guest(WRITER, limits(2, 20_000));
        let reader = host.guest(READER, limits(2, 20_000));
        for _ in 0..alternations() / 50 {
            let runs = (0..16).map(|n| {
                let guest = if n % 2 == 0 { &writer } else { &reader };
                let event = if n % 4 == 0 { "t" } else { "w" };
                let request = host.request(event, guest.spec().limits);
                (
                    n,
                    runtime.spawn(host.sandboxes.run(Arc::clone(guest), request)),
                )
            });
            for (n, run) in runs.collect::<Vec<_>>() {
                match runtime.block_on(run).unwrap().unwrap() {
                    Outcome::Payload(_) => {}
                    Outcome::Failed(FunctionError::Trapped { .. }) if n % 4 == 0 => {}
                    Outcome::Failed(error) => panic!("{n}: {error:?}"),
                }
            }
        }
        host.assert_idle();
    }
}
