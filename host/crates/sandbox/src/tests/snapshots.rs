//! Does a snapshot keep what the set-up did, and nothing that must be fresh?

use super::support::{Host, limits};
use crate::{SnapshotError, snapshot};

fn module(imports: &str, init: &str) -> String {
    format!(
        r#"(module
          {imports}
          (memory (export "memory") 4)
          (global $ready (mut i32) (i32.const 0))
          (global (export "mayfly_v1_input") i32 (i32.const 8192))
          (func (export "_initialize") (global.set $ready (i32.const 1)))
          (func (export "mayfly_v1_init")
            (global.set $ready (i32.add (global.get $ready) (i32.const 6)))
            (drop (memory.grow (i32.const 1)))
            (i32.store8 (i32.const 262200) (i32.const 0x39))
            {init})
          (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
          (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
            (i32.store8 (i32.const 2001) (i32.add (i32.const 0x30) (global.get $ready)))
            (i32.store8 (i32.const 2002) (i32.load8_u (i32.const 262200)))
            (i64.const {})))"#,
        (2_000_u64 << 32) | 3
    )
}

#[track_caller]
fn check_fails(imports: &str, init: &str) -> SnapshotError {
    snapshot(&wat::parse_str(module(imports, init)).unwrap()).unwrap_err()
}

#[test]
fn every_sandbox_starts_where_the_set_up_ended() {
    let wasm = snapshot(&wat::parse_str(module("", "")).unwrap()).unwrap();
    let host = Host::new();
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 5_000)));
    for _ in 0..3 {
        assert_eq!(host.run(&guest, "{}").payload(), b"79");
    }
    for gone in [&b"mayfly_v1_init"[..], b"_initialize"] {
        let found = wasm.windows(gone.len() + 1).any(|window| {
            window[..gone.len()] == *gone && !window[gone.len()].is_ascii_alphanumeric()
        });
        assert!(!found, "{}", String::from_utf8_lossy(gone));
    }
}

#[test]
fn what_must_be_fresh_can_not_be_asked_for() {
    for (name, params, call) in [
        ("random_get", "i32 i32", "(i32.const 0) (i32.const 8)"),
        (
            "clock_time_get",
            "i32 i64 i32",
            "(i32.const 0) (i64.const 0) (i32.const 0)",
        ),
        ("environ_get", "i32 i32", "(i32.const 0) (i32.const 8)"),
        (
            "environ_sizes_get",
            "i32 i32",
            "(i32.const 0) (i32.const 8)",
        ),
        (
            "poll_oneoff",
            "i32 i32 i32 i32",
            "(i32.const 0) (i32.const 8) (i32.const 1) (i32.const 8)",
        ),
    ] {
        let import = format!(
            r#"(import "wasi_snapshot_preview1" "{name}" (func $f (param {params}) (result i32)))"#
        );
        let error = check_fails(&import, &format!("(drop (call $f {call}))"));
        assert!(matches!(error, SnapshotError::Shared { function, .. } if function == name));
        let text = error.to_string();
        assert!(
            text.contains(name) && text.contains("a snapshot would share"),
            "{text}"
        );
    }
}

#[test]
fn a_set_up_that_fails_is_told_from_one_that_is_missing() {
    assert!(matches!(
        check_fails("", "unreachable"),
        SnapshotError::Failed { .. }
    ));
    let exit = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $f (param i32)))"#;
    assert!(matches!(
        check_fails(exit, "(call $f (i32.const 1))"),
        SnapshotError::Failed { .. }
    ));
    let without = module("", "").replace("mayfly_v1_init\"", "init\"");
    let error = snapshot(&wat::parse_str(without).unwrap()).unwrap_err();
    assert!(matches!(error, SnapshotError::NoInit), "{error}");
    assert!(matches!(
        snapshot(b"(module)").unwrap_err(),
        SnapshotError::Refused(_)
    ));
}

#[test]
fn an_instruction_that_can_not_be_snapshotted_is_named() {
    let wat = module(
        "(table $t 2 funcref)",
        "(table.set $t (i32.const 0) (ref.null func))",
    );
    let wat = wat.replace("(table $t 2 funcref)", "").replace(
        "(memory (export \"memory\") 4)",
        "(table $t 2 funcref) (memory (export \"memory\") 4)",
    );
    let error = snapshot(&wat::parse_str(wat).unwrap()).unwrap_err();
    assert!(error.to_string().contains("table.set"), "{error}");
}
