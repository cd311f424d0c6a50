//! What differs from the stock WASI: large buffers, sockets, and silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::FunctionError;

use super::support::{Host, PRELUDE, limits};
use crate::wasi::{FUNCTIONS, MODULE};

/// 20 MiB of memory, and the answer is what fits of them.
fn large_memory(body: &str) -> String {
    let memory = "(memory (export \"memory\") 320)";
    let prelude = PRELUDE.replace("(memory (export \"memory\") 4)", memory);
    format!("(module {prelude} (func (export \"_start\") (local $n i32) (local $at i32) {body}))")
}

#[test]
fn a_buffer_far_larger_than_the_event_reads_all_of_it() {
    let host = Host::new();
    // As `fread` does it: 16 MiB, then what is left of them, until there is no more.
    let wat = large_memory(
        "(local.set $at (i32.const 64))
         (loop $again
           (i32.store (i32.const 0) (local.get $at))
           (i32.store (i32.const 4) (i32.sub (i32.const 16777280) (local.get $at)))
           (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
             (then unreachable))
           (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
           (br_if $again (i32.load (i32.const 8))))
         (call $write (i32.const 1) (i32.const 64) (i32.sub (local.get $at) (i32.const 64)))",
    );
    let guest = host.guest(&wat, limits(32, 60_000));
    let long = (0..3 << 20)
        .map(|n: u32| b'a' + n.to_le_bytes()[0] % 26)
        .collect::<Vec<_>>();
    for event in [&b"{}"[..], b"", &long] {
        let ran = host.run(&guest, event.to_vec());
        assert_eq!(ran.payload(), event);
    }
}

#[test]
fn one_write_of_any_size_to_the_log_is_cut_and_never_fatal() {
    let host = Host::new();
    let wat = large_memory(
        "(memory.fill (i32.const 64) (i32.const 0x78) (i32.const 19000000))
         (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 19000000))
         (if (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))
           (then unreachable))
         (if (i32.eqz (i32.load (i32.const 8))) (then unreachable))
         (call $write (i32.const 1) (i32.const 64) (i32.const 2))",
    );
    let ran = host.run(&host.guest(&wat, limits(32, 60_000)), "{}");
    assert_eq!(ran.payload(), b"xx");
    assert!(ran.log.dropped_bytes > 0);
    assert_eq!(ran.log.lines.len(), 1);
    // On stdout it is an answer that is too large, as it would be in small pieces.
    let wat = large_memory(
        "(loop (call $write (i32.const 1) (i32.const 64) (i32.const 19000000)) (br 0))",
    );
    let ran = host.run(&host.guest(&wat, limits(32, 60_000)), "{}");
    assert_eq!(ran.error(), &FunctionError::ResponseTooLarge);
}

#[test]
fn large_buffers_at_bad_addresses_and_descriptors_are_errors() {
    let host = Host::new();
    for (fd, address, length) in [
        (9, 64, 19_000_000),
        (1, 64, -1),
        (2, -1, -1),
        (2, 20_971_519, 19_000_000),
        (0, 64, 19_000_000),
    ] {
        let wat = large_memory(&format!(
            "(i32.store (i32.const 0) (i32.const {address}))
             (i32.store (i32.const 4) (i32.const {length}))
             (i32.store (i32.const 8) (i32.const 0))
             (drop (call $fd_write (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 8)))
             (if (i32.gt_u (i32.load (i32.const 8)) (i32.const 1048576)) (then unreachable))"
        ));
        // An errno, or short; neither a trap of ours nor a host error.
        host.run(&host.guest(&wat, limits(32, 60_000)), "{}")
            .payload();
    }
}

/// Counts what would be on the server's stderr.
struct Warnings(Arc<AtomicU32>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Every function of WASI with every small descriptor; what they answer is not the question.
fn calls_everything() -> String {
    let engine = crate::engine::compiler().unwrap();
    let linker = crate::wasi::linker(&engine).unwrap();
    let mut store = wasmtime::Store::new(&engine, crate::execute::State::for_test());
    let (mut imports, mut calls) = (String::new(), String::new());
    for name in FUNCTIONS.iter().filter(|name| !name.starts_with("proc_")) {
        let Ok(wasmtime::Extern::Func(func)) = linker.get(&mut store, MODULE, name) else {
            panic!("{name}");
        };
        let ty = func.ty(&store);
        let params = ty.params().map(|ty| ty.to_string()).collect::<Vec<_>>();
        imports += &format!(
            "(import \"{MODULE}\" \"{name}\" (func ${name} (param {}) (result i32)))",
            params.join(" ")
        );
        let takes_descriptor = ["fd_", "path_", "sock_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        for fd in [0, 1, 2, 3, 9] {
            if fd > 0 && !takes_descriptor {
                continue;
            }
            let arguments = params.iter().enumerate().map(|(index, ty)| match index {
                0 => format!("({ty}.const {fd})"),
                _ => format!("({ty}.const 0)"),
            });
            let call = arguments.collect::<Vec<_>>().join(" ");
            // Descriptors stay open until the others were tried.
            if matches!(*name, "fd_close" | "fd_renumber" | "poll_oneoff") {
                continue;
            }
            calls += &format!("(drop (call ${name} {call}))");
        }
    }
    format!(
        "(module {imports} (memory (export \"memory\") 1) (func (export \"_start\") {calls}
           (drop (call $fd_close (i32.const 0)))
           (drop (call $fd_renumber (i32.const 1) (i32.const 2)))
           (drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))"
    )
}

#[test]
fn no_function_of_wasi_writes_to_the_servers_own_log() {
    let warnings = Arc::new(AtomicU32::new(0));
    let _logging = tracing::subscriber::set_default(Warnings(Arc::clone(&warnings)));
    tracing::warn!("it does count");
    assert_eq!(warnings.swap(0, Ordering::Relaxed), 1);
    let host = Host::new();
    let ran = host.run(&host.guest(&calls_everything(), limits(16, 60_000)), "{}");
    assert_eq!(ran.payload(), b"");
    assert_eq!(warnings.load(Ordering::Relaxed), 0);
}

#[test]
fn there_are_no_sockets() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module
          (import "wasi_snapshot_preview1" "sock_accept"
            (func $accept (param i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "sock_recv"
            (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "sock_send"
            (func $send (param i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "sock_shutdown"
            (func $shutdown (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func $all (param $fd i32) (param $errno i32)
            (if (i32.ne (local.get $errno) (call $accept (local.get $fd) (i32.const 0)
              (i32.const 0))) (then unreachable))
            (if (i32.ne (local.get $errno) (call $recv (local.get $fd) (i32.const 0) (i32.const 0)
              (i32.const 0) (i32.const 0) (i32.const 0))) (then unreachable))
            (if (i32.ne (local.get $errno) (call $send (local.get $fd) (i32.const 0) (i32.const 0)
              (i32.const 0) (i32.const 0))) (then unreachable))
            (if (i32.ne (local.get $errno) (call $shutdown (local.get $fd) (i32.const 0)))
              (then unreachable)))
          (func (export "_start")
            (call $all (i32.const 0) (i32.const 57)) (call $all (i32.const 1) (i32.const 57))
            (call $all (i32.const 2) (i32.const 57)) (call $all (i32.const 3) (i32.const 8))
            (call $all (i32.const -1) (i32.const 8))))"#,
        limits(16, 10_000),
    );
    assert_eq!(host.run(&guest, "{}").payload(), b"");
}
