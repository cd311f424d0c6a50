//! Is everything an SDK guest says about its memory checked?

use domain::FunctionError;
use domain::limits::PAYLOAD_BYTES_MAX;

use super::smoke::SDK_ECHO;
use super::support::{Host, limits};
use crate::random::SplitMix;

/// Answers with whatever `address` and `length` say; `data` is at 2,000.
fn module(address: u32, length: u32, data: &[u8]) -> String {
    let data = data
        .iter()
        .map(|byte| format!("\\{byte:02x}"))
        .collect::<String>();
    let packed = (u64::from(address) << 32) | u64::from(length);
    format!(
        r#"(module
          (memory (export "memory") 4)
          (data (i32.const 2000) "{data}")
          (global (export "mayfly_v1_input") i32 (i32.const 256000))
          (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
          (func (export "mayfly_v1_handle") (param i32 i32) (result i64) (i64.const {packed})))"#
    )
}

fn answer(host: &Host, data: &[u8]) -> super::support::Ran {
    let length = u32::try_from(data.len()).unwrap();
    host.run(
        &host.guest(&module(2_000, length, data), limits(16, 5_000)),
        "{}",
    )
}

#[track_caller]
fn check_invalid(host: &Host, address: u32, length: u32) {
    let guest = host.guest(&module(address, length, b"\0{}"), limits(16, 5_000));
    let ran = host.run(&guest, "{}");
    assert!(
        matches!(ran.error(), FunctionError::InvalidResponse { .. }),
        "{address} {length}: {:?}",
        ran.outcome
    );
}

#[test]
fn answers_outside_memory_are_invalid() {
    let host = Host::new();
    let end = 4 * 65_536;
    for (address, length) in [
        (0xffff_fff0, 0x20),
        (1, 0xffff_ffff),
        (0xffff_ffff, 0xffff_ffff),
        (0xffff_ffff, 1),
        (end, 0),
        (end, 1),
        (end - 1, 2),
        (0, 0),
        (0x8000_0000, 4),
        (2_000, end),
    ] {
        check_invalid(&host, address, length);
    }
    let guest = host.guest(&module(2_000, 3, b"\0{}"), limits(16, 5_000));
    assert_eq!(host.run(&guest, "{}").payload(), b"{}");
}

#[test]
fn random_answers_never_panic() {
    let host = Host::new();
    let mut random = SplitMix::new(35);
    for _ in 0..150 {
        let address = u32::try_from(random.next() >> 32).unwrap();
        let length = u32::try_from(random.next() >> 32).unwrap() >> random.below(32);
        let address = if random.below(2) == 0 {
            address % (5 * 65_536)
        } else {
            address
        };
        let guest = host.guest(&module(address, length, b"\0{}"), limits(16, 5_000));
        // Zeros from memory are no JSON either, so nothing but the right answer passes.
        assert!(matches!(
            host.run(&guest, "{}").error(),
            FunctionError::InvalidResponse { .. }
        ));
    }
}

#[test]
fn a_payload_must_be_json() {
    let host = Host::new();
    for good in [
        "null",
        "0",
        "\"x\"",
        "[1,2]",
        " {} ",
        r#"{"statusCode":200}"#,
    ] {
        let data = [b"\0", good.as_bytes()].concat();
        assert_eq!(answer(&host, &data).payload(), good.as_bytes());
    }
    let deep = [b"\0".as_slice(), "[".repeat(10_000).as_bytes()].concat();
    for bad in [
        &b"\0"[..],
        b"\0{",
        b"\0oops",
        b"\0\"\xff\"",
        b"\0{} {}",
        b"\x02{}",
        b"",
        &deep,
    ] {
        let ran = answer(&host, bad);
        assert!(
            matches!(ran.error(), FunctionError::InvalidResponse { .. }),
            "{:?}",
            ran.outcome
        );
    }
}

#[test]
fn deep_but_valid_json_is_no_stack_overflow() {
    let host = Host::new();
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let data = [b"\0", text.as_bytes()].concat();
    assert_eq!(answer(&host, &data).payload().len(), 200_000);
}

#[test]
fn an_error_object_is_a_returned_error() {
    let host = Host::new();
    let ran = answer(
        &host,
        b"\x01{\"errorType\":\"Nope\",\"errorMessage\":\"no\"}",
    );
    let FunctionError::Returned {
        error_type,
        message,
        payload,
    } = ran.error()
    else {
        panic!("{:?}", ran.outcome);
    };
    assert_eq!((&**error_type, &**message), ("Nope", "no"));
    assert_eq!(
        &payload[..],
        b"{\"errorType\":\"Nope\",\"errorMessage\":\"no\"}"
    );
    let ran = answer(
        &host,
        b"\x01{\"errorType\":\"A\\tStatus: ok\\nREPORT\",\"errorMessage\":\"no\"}",
    );
    assert_eq!(ran.error().error_type(), "A Status: ok REPORT");
    for bad in [
        &b"\x01{}"[..],
        b"\x01",
        b"\x01[]",
        b"\x01{\"errorMessage\":1}",
    ] {
        let ran = answer(&host, bad);
        assert!(
            matches!(ran.error(), FunctionError::InvalidResponse { .. }),
            "{:?}",
            ran.outcome
        );
    }
}

#[test]
fn an_answer_beyond_the_limit_is_too_large() {
    let host = Host::new();
    let most = u32::try_from(PAYLOAD_BYTES_MAX).unwrap();
    let module = |length: u32| {
        format!(
            r#"(module
              (memory (export "memory") 128)
              (global (export "mayfly_v1_input") i32 (i32.const 8192))
              (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
              (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
                (memory.fill (i32.const 0) (i32.const 0x20) (i32.const 8000000))
                (i32.store8 (i32.const 0) (i32.const 0))
                (i32.store8 (i32.const 1) (i32.const 0x30))
                (i64.const {length})))"#
        )
    };
    let ran = host.run(&host.guest(&module(most + 1), limits(16, 20_000)), "{}");
    assert_eq!(ran.payload().len(), PAYLOAD_BYTES_MAX);
    let ran = host.run(&host.guest(&module(most + 2), limits(16, 20_000)), "{}");
    assert_eq!(ran.error(), &FunctionError::ResponseTooLarge);
}

#[test]
fn the_context_stands_before_the_event() {
    let host = Host::new();
    // Answers with the context: skips the length, puts the kind over its last byte.
    let guest = host.guest(
        r#"(module
          (memory (export "memory") 4)
          (global (export "mayfly_v1_input") i32 (i32.const 1024))
          (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
          (func (export "mayfly_v1_handle") (param $at i32) (param i32) (result i64) (local $n i32)
            (local.set $n (i32.load (local.get $at)))
            (i32.store8 (i32.add (local.get $at) (i32.const 3)) (i32.const 0))
            (i64.or
              (i64.shl (i64.extend_i32_u (i32.add (local.get $at) (i32.const 3))) (i64.const 32))
              (i64.extend_i32_u (i32.add (local.get $n) (i32.const 1))))))"#,
        limits(16, 5_000),
    );
    host.sandboxes.check_links(&guest).unwrap();
    let read = |ran: super::support::Ran| -> serde_json::Value {
        serde_json::from_slice(ran.payload()).unwrap()
    };
    let context = read(host.run(&guest, r#"{"a":1}"#));
    let mut expected = serde_json::json!({
        "requestId": super::support::request_id().to_string(),
        "deadlineMs": 1_763_830_003_123_u64,
        "functionName": "hello",
        "functionVersion": "3",
        "memoryMb": 16,
        "functionArn": "arn:aws:lambda:eu-central-1:000000000000:function:hello",
    });
    assert_eq!(context, expected);
    // Asked for by an alias, it sees the alias.
    let arn = "arn:aws:lambda:eu-central-1:000000000000:function:hello:live";
    expected["functionArn"] = arn.into();
    assert_eq!(read(host.run_as(arn, &guest, "{}")), expected);
}

#[test]
fn an_event_larger_than_the_buffer_is_allocated_for() {
    let host = Host::new();
    let event = format!("\"{}\"", "x".repeat(100_000));
    // No room: the function is out of memory.
    let ran = host.run(&host.guest(SDK_ECHO, limits(16, 5_000)), event.clone());
    assert_eq!(ran.error(), &FunctionError::OutOfMemory);
    // Room, and room that is none.
    let allocating = |address: &str| {
        SDK_ECHO.replace(
            "(param i32) (result i32) (i32.const 0))",
            &format!("(param i32) (result i32) (i32.const {address}))"),
        )
    };
    let ran = host.run(
        &host.guest(&allocating("65536"), limits(16, 5_000)),
        event.clone(),
    );
    assert_eq!(ran.payload(), event.as_bytes());
    for address in ["262143", "-1", "200000"] {
        let ran = host.run(
            &host.guest(&allocating(address), limits(16, 5_000)),
            event.clone(),
        );
        assert!(
            matches!(ran.error(), FunctionError::InvalidResponse { .. }),
            "{:?}",
            ran.outcome
        );
    }
    // The buffer itself may be outside memory, too.
    let outside = SDK_ECHO.replace("(i32.const 1024)", "(i32.const 262144)");
    let ran = host.run(&host.guest(&outside, limits(16, 5_000)), "{}");
    assert!(
        matches!(ran.error(), FunctionError::InvalidResponse { .. }),
        "{:?}",
        ran.outcome
    );
}

#[test]
fn a_module_that_was_not_snapshotted_is_initialised_first() {
    let host = Host::new();
    let module = |initialize: &str| {
        format!(
            r#"(module
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 4)
              (global $ready (mut i32) (i32.const 0))
              (global (export "mayfly_v1_input") i32 (i32.const 8192))
              (func (export "_initialize") {initialize})
              (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
              (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
                (i32.store8 (i32.const 2001) (i32.add (i32.const 0x30) (global.get $ready)))
                (i64.const {})))"#,
            (2_000_u64 << 32) | 2
        )
    };
    let run = |body: &str| host.run(&host.guest(&module(body), limits(16, 200)), "{}");
    assert_eq!(run("(global.set $ready (i32.const 7))").payload(), b"7");
    assert_eq!(run("unreachable").trap(), "UnreachableCodeReached");
    assert_eq!(
        run("(call $exit (i32.const 4))").error(),
        &FunctionError::Exited { code: 4 }
    );
    run("(loop (br 0))").assert_timed_out();
}

#[test]
fn an_sdk_guest_that_exits_without_an_answer_has_exited() {
    let host = Host::new();
    for code in [0, 1, 255] {
        let guest = host.guest(
            &format!(
                r#"(module
                  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                  (memory (export "memory") 4)
                  (global (export "mayfly_v1_input") i32 (i32.const 8192))
                  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
                  (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
                    (call $exit (i32.const {code})) (i64.const 0)))"#
            ),
            limits(16, 5_000),
        );
        assert_eq!(
            host.run(&guest, "{}").error(),
            &FunctionError::Exited { code }
        );
    }
}
