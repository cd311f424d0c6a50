//! Modules that can never run, or ask for what nobody gives: refused when they are dropped, with a
//! reason, before anything of them is run.

use support::TestHost;
use support::guests::printing;

/// Drops each module and waits for its refusal; `part` must be in the reason.
#[track_caller]
fn check_refused(cases: &[(&str, String, &str)]) {
    let host = TestHost::start();
    host.deploy("good", &printing("1"));
    for (name, wat, _) in cases {
        host.drop_wat(name, wat);
    }
    for (name, _, part) in cases {
        let reason = host.wait_refused(&format!("{name}.wasm"));
        assert!(reason.to_lowercase().contains(part), "{name}: {reason}");
        assert!(
            reason.len() < 2_000 && !reason.contains('\n'),
            "{name}: {reason}"
        );
        assert_eq!(host.function(name), None, "{name}");
    }
    assert_eq!(host.get("/good").text(), "1");
    assert_eq!(host.metric("mayfly_refused_files", &[]), cases.len() as u64);
}

fn module(inside: &str) -> String {
    format!("(module {inside} (func (export \"_start\")))")
}

#[test]
fn a_module_without_a_way_in_is_refused() {
    check_refused(&[
        ("empty", "(module)".to_owned(), "_start"),
        (
            "no-start",
            "(module (func (export \"main\")))".to_owned(),
            "_start",
        ),
        (
            "start-takes",
            "(module (func (export \"_start\") (param i32)))".to_owned(),
            "_start",
        ),
        (
            "start-gives",
            "(module (func (export \"_start\") (result i32) (i32.const 0)))".to_owned(),
            "_start",
        ),
        (
            "start-is-a-memory",
            "(module (memory (export \"_start\") 1))".to_owned(),
            "_start",
        ),
    ]);
}

#[test]
fn an_import_that_nobody_offers_is_named() {
    let import = |what: &str| {
        let memory = if what.contains("(memory") {
            ""
        } else {
            "(memory (export \"memory\") 1)"
        };
        module(&format!("(import {what}) {memory}"))
    };
    let many: String = (0..1_001)
        .map(|_| "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))")
        .collect();
    check_refused(&[
        (
            "env",
            import("\"env\" \"system\" (func (param i32) (result i32))"),
            "env",
        ),
        (
            "unknown",
            import("\"wasi_snapshot_preview1\" \"fd_frobnicate\" (func)"),
            "fd_frobnicate",
        ),
        (
            "older",
            import("\"wasi_unstable\" \"fd_write\" (func)"),
            "wasi_unstable",
        ),
        (
            "wrong-type",
            import("\"wasi_snapshot_preview1\" \"fd_write\" (func)"),
            "fd_write",
        ),
        ("memory", import("\"env\" \"memory\" (memory 1)"), "memory"),
        (
            "table",
            import("\"env\" \"table\" (table 1 funcref)"),
            "table",
        ),
        ("global", import("\"env\" \"g\" (global i32)"), "g"),
        ("many", module(&many), "import"),
    ]);
}

#[test]
fn more_memory_than_there_is_is_refused_when_it_is_asked_for_at_the_start() {
    let memories: String = (0..100).map(|_| "(memory 1)").collect();
    check_refused(&[
        ("all-memory", module("(memory 65536)"), "memory"),
        ("just-over", module("(memory 2049)"), "memory"),
        (
            "sparse",
            module("(memory 65536) (data (i32.const 0) \"a\") (data (i32.const 0xffffff00) \"b\")"),
            "memory",
        ),
        ("many-memories", module(&memories), "memor"),
        ("table", module("(table 100000000 funcref)"), "table"),
    ]);
}

#[test]
fn a_module_that_needs_a_proposal_that_is_off_is_refused_by_its_name() {
    check_refused(&[
        ("shared", module("(memory 1 1 shared)"), "thread"),
        (
            "atomics",
            module("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
            "thread",
        ),
        ("memory64", module("(memory i64 1)"), "memory64"),
        ("table64", module("(table i64 1 funcref)"), "memory64"),
        ("gc", module("(type (struct (field i32)))"), "gc"),
        ("exceptions", module("(tag)"), "exception"),
        (
            "relaxed-simd",
            module(
                "(func (param v128 v128) (result v128)
                   (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
            ),
            "relaxed",
        ),
        ("page-size", module("(memory 1 (pagesize 1))"), "page"),
        ("tail-call", module("(func $f (return_call $f))"), "tail"),
        (
            "wide-arithmetic",
            module(
                "(func (param i64) (result i64 i64)
                   (i64.mul_wide_u (local.get 0) (local.get 0)))",
            ),
            "wide",
        ),
        (
            "function-references",
            module("(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))"),
            "function",
        ),
    ]);
}
