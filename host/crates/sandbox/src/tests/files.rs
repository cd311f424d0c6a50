//! Is every file either a guest or refused with the rule that it breaks?

use domain::Limits;

use super::smoke::SDK_ECHO;
use super::support::{Host, command, limits};
use crate::random::SplitMix;
use crate::{GuestKind, LoadError, Refusal, inspect};

#[track_caller]
fn refusal(wasm: &[u8]) -> String {
    inspect(wasm, &Limits::default()).unwrap_err().to_string()
}

#[track_caller]
fn refusal_of_text(wat: &str) -> String {
    refusal(&wat::parse_str(wat).unwrap())
}

#[test]
fn the_kinds_are_recognised_by_their_exports() {
    let kind = |wat: &str| inspect(&wat::parse_str(wat).unwrap(), &Limits::default()).unwrap();
    assert_eq!(kind(&command("")), GuestKind::Command);
    assert_eq!(
        kind(r#"(module (func (export "_start")))"#),
        GuestKind::Command
    );
    assert_eq!(kind(SDK_ECHO), GuestKind::Sdk);
    assert_eq!(serde_json::to_string(&GuestKind::Sdk).unwrap(), "\"sdk\"");
}

#[test]
fn other_files_are_refused_by_how_they_begin() {
    for (bytes, found) in [
        (&b""[..], "empty"),
        (b"\0", "unknown data"),
        (b"\0asm", "cut off"),
        (b"\0asm\x01\0\0", "cut off"),
        (b"\0asm\x02\0\0\0", "unknown version"),
        (b"\x7fELF\x02\x01\x01", "native code (ELF)"),
        (b"\xcf\xfa\xed\xfe", "native code (Mach-O)"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"%PDF-1.7", "PDF"),
        (b"#!/bin/sh\n", "a script"),
        (b"(module (func (export \"_start\")))", "WebAssembly text"),
        (b"  ;; comment\n(module)", "WebAssembly text"),
        (b"hello", "is text,"),
    ] {
        let text = refusal(bytes);
        assert!(text.contains(found), "{text}");
    }
    assert!(refusal(b"\0asm\x0d\0\x01\0").contains("the file is a component"));
    assert!(
        refusal_of_text("(component (core module (func (export \"_start\"))))")
            .contains("component")
    );
}

#[test]
fn what_can_not_be_entered_is_refused_with_what_is_missing() {
    assert_eq!(
        refusal(b"\0asm\x01\0\0\0"),
        "the module exports neither `_start`, as programs do, nor what the SDK exports (missing: \
         mayfly_v1_input, mayfly_v1_alloc, mayfly_v1_handle)"
    );
    for (wat, expected) in [
        (
            SDK_ECHO.replace("mayfly_v1_alloc", "alloc"),
            "(missing: mayfly_v1_alloc)",
        ),
        (
            r#"(module (func (export "_start") (param i32)))"#.to_owned(),
            "export `_start` must be a function without parameters or results",
        ),
        (
            r#"(module (memory (export "_start") 1))"#.to_owned(),
            "export `_start` must be a function",
        ),
        (
            SDK_ECHO.replace(")\n  (global", ") (func (export \"_start\"))\n  (global"),
            "exports both `_start` and `mayfly_v1_handle`",
        ),
        (
            SDK_ECHO.replace("i32 (i32.const 1024)", "(mut i32) (i32.const 1024)"),
            "export `mayfly_v1_input` must be an immutable global of type i32",
        ),
        (
            SDK_ECHO.replace("(export \"memory\")", "(export \"mem\")"),
            "does not export its memory as `memory`",
        ),
        (
            command("").replace("(export \"memory\")", ""),
            "does not export its memory as `memory`",
        ),
        (
            r#"(module (func (export "memory")) (func (export "_start")))"#.to_owned(),
            "does not export its memory as `memory`",
        ),
        (
            SDK_ECHO.replace(
                "(param i32) (result i32) (i32.const 0)",
                "(result i32) (i32.const 0)",
            ),
            "export `mayfly_v1_alloc` must be a function from i32 to i32",
        ),
    ] {
        let text = refusal_of_text(&wat);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn imports_other_than_known_functions_of_wasi_are_refused_by_name() {
    let import =
        |import: &str| refusal_of_text(&format!("(module {import} (func (export \"_start\")))"));
    for (text, name) in [
        (r#"(import "env" "secret" (func))"#, "`env.secret`"),
        (
            r#"(import "wasi_snapshot_preview1" "fd_dup" (func))"#,
            "`wasi_snapshot_preview1.fd_dup`",
        ),
        (
            r#"(import "wasi_unstable" "fd_write" (func))"#,
            "`wasi_unstable.fd_write`",
        ),
        (
            r#"(import "env" "memory" (memory 1))"#,
            "a memory, `env.memory`",
        ),
        (
            r#"(import "env" "table" (table 1 funcref))"#,
            "a table, `env.table`",
        ),
        (
            r#"(import "env" "stack" (global i32))"#,
            "a global, `env.stack`",
        ),
        (
            "(import \"a\\0ab\" \"\\1b[31m\" (func))",
            "`a\\nb.\\u{1b}[31m`",
        ),
    ] {
        let text = import(text);
        assert!(text.contains(name), "{text}");
    }
    let long = import(&format!(
        r#"(import "env" "{}" (func))"#,
        "x".repeat(90_000)
    ));
    assert!(long.len() < 400, "{}", long.len());
}

#[test]
fn an_import_with_another_type_is_refused_when_it_is_linked() {
    let host = Host::new();
    let wat = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32)))
        (memory (export "memory") 1) (func (export "_start")))"#;
    let guest = host.guest(wat, limits(16, 1_000));
    let error = host.sandboxes.check_links(&guest).unwrap_err();
    assert!(matches!(error, LoadError::Link { .. }), "{error:?}");
    assert!(error.to_string().contains("fd_write"), "{error}");
    let good = host.command("", limits(16, 1_000));
    host.sandboxes.check_links(&good).unwrap();
    assert!(good.is_loaded());
    host.assert_idle();
}

#[test]
fn proposals_that_are_off_are_refused_by_name() {
    for (wat, proposal) in [
        ("(memory 1 1 shared)", "threads"),
        (
            "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
            "threads",
        ),
        ("(memory i64 1)", "memory64"),
        ("(table i64 1 funcref)", "memory64"),
        ("(memory 1) (memory 1)", "multi-memory"),
        ("(memory 1 (pagesize 1))", "custom-page-sizes"),
        ("(type (struct))", "gc"),
        ("(type (array i8))", "gc"),
        ("(func (drop (ref.i31 (i32.const 0))))", "gc"),
        ("(func (param externref))", "gc-types"),
        ("(tag)", "exceptions"),
        ("(func (try_table))", "exceptions"),
        ("(func try end)", "legacy-exceptions"),
        ("(func $f return_call $f)", "tail-call"),
        ("(func (param (ref func)))", "function-references"),
        (
            "(func (param v128 v128 v128) (result v128)
               (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))",
            "relaxed-simd",
        ),
        (
            "(func (param i64 i64) (result i64 i64)
               (i64.mul_wide_s (local.get 0) (local.get 1)))",
            "wide-arithmetic",
        ),
        ("(type $f (func)) (type $c (cont $f))", "stack-switching"),
    ] {
        let wasm = wat::parse_str(format!("(module {wat} (func (export \"_start\")))")).unwrap();
        match inspect(&wasm, &Limits::default()).unwrap_err() {
            Refusal::Proposal {
                proposal: named, ..
            } => assert_eq!(named, proposal, "{wat}"),
            other => panic!("{wat}: {other}"),
        }
    }
}

#[test]
fn what_makes_compilers_slow_is_bounded() {
    let many = |item: &str, count: usize| item.repeat(count);
    let blocks = |count: usize| format!("(func {} {})", many("(block ", count), many(")", count));
    for (wat, expected) in [
        (many("(func)", 100_001), "functions; at most 100000"),
        (
            (0..10_001)
                .map(|n| format!("(export \"e{n}\" (func 0))"))
                .collect::<String>()
                + "(func)",
            "exports; at most 10000",
        ),
        (
            many(
                "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))",
                1_001,
            ),
            "1001 imports; at most 1000",
        ),
        (
            format!(
                "(memory (export \"memory\") 1) {}",
                many("(data (i32.const 0) \"\")", 100_001)
            ),
            "data segments; at most 100000",
        ),
        (many("(table 1 funcref)", 3), "3 tables; at most 2"),
        (
            format!("(func (local {}))", many("i32 ", 20_001)),
            "20001 locals in one function",
        ),
        (blocks(1_001), "blocks inside each other; at most 1000"),
        (
            format!(
                "(func (block (br_table {} (i32.const 0))))",
                many("0 ", 65_522)
            ),
            "65521 targets in one `br_table`; at most 65520",
        ),
        (
            many(
                &format!(
                    "(func (block (br_table {} (i32.const 0))))",
                    many("0 ", 60_001)
                ),
                17,
            ),
            "`br_table` targets; at most 1000000",
        ),
        (
            format!("(func {})", many("(drop (i32.const 1))", 800_000)),
            "bytes in one function; at most 2097152",
        ),
    ] {
        let text = refusal_of_text(&format!("(module {wat} (func (export \"_start\")))"));
        assert!(text.contains(expected), "{text}");
    }
    let mut large = b"\0asm\x01\0\0\0".to_vec();
    large.resize((32 << 20) + 1, 0);
    assert!(refusal(&large).contains("bytes; at most 33554432"));
}

#[test]
fn what_each_instance_pays_for_on_the_host_is_bounded() {
    let many = |item: &str, count: usize| item.repeat(count);
    for (wat, expected) in [
        (
            format!("(func) (elem func {})", many("0 ", 100_001)),
            "100001 elements in all segments; at most 100000",
        ),
        (
            format!(
                "(func) {}",
                many(&format!("(elem func {})", many("0 ", 6_000)), 17)
            ),
            "elements in all segments; at most 100000",
        ),
        (
            format!("(elem funcref {})", many("(ref.null func) ", 100_001)),
            "100001 elements in all segments; at most 100000",
        ),
        (
            many("(global i32 (i32.const 0))", 40_001),
            "40001 globals; at most 40000",
        ),
    ] {
        let text = refusal_of_text(&format!("(module {wat} (func (export \"_start\")))"));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn deeply_nested_and_lengthy_functions_within_the_bounds_run() {
    let host = Host::new();
    let nested = format!("{} {}", "(block ".repeat(990), ")".repeat(990));
    let loops = "(loop)".repeat(5_000);
    let gets = "(block (drop (local.get $n)))".repeat(5_000);
    let ran = host.run_command(&format!("(local $n i32) {nested} {loops} {gets}"), 10_000);
    assert_eq!(ran.payload(), b"");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for wat in [
        &command("(call $write (i32.const 1) (i32.const 0) (i32.const 4))"),
        SDK_ECHO,
    ] {
        let wasm = wat::parse_str(wat).unwrap();
        for end in 0..wasm.len() {
            // What is cut off may be the names only.
            if inspect(&wasm[..end], &Limits::default()).is_ok() {
                assert!(end > wasm.len() / 2, "{end} of {}", wasm.len());
            }
        }
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused_or_runs_without_harm() {
    let host = Host::new();
    let wasm = wat::parse_str(SDK_ECHO).unwrap();
    let mut accepted = 0;
    for bit in 0..wasm.len() * 8 {
        let mut flipped = wasm.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if inspect(&flipped, &limits(16, 50)).is_err() {
            continue;
        }
        accepted += 1;
        if accepted % 8 == 0 {
            let guest = host.guest_of(&flipped, limits(16, 50));
            // Every outcome will do; a host error or a panic will not.
            host.run(&guest, "{}");
        }
    }
    assert!(accepted > 0);
}

#[test]
fn random_bytes_after_the_magic_never_panic() {
    let mut random = SplitMix::new(4);
    for _ in 0..20_000 {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for _ in 0..random.below(200) {
            bytes.push(random.next().to_le_bytes()[0] >> random.below(5));
        }
        // Whatever it says, it says something.
        if let Err(refusal) = inspect(&bytes, &Limits::default()) {
            assert!(!refusal.to_string().is_empty());
        }
    }
}
