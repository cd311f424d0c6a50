//! What can a guest do with its streams, its environment and the rest of WASI?

use std::collections::BTreeSet;

use domain::FunctionError;
use domain::limits::{LOG_BYTES_MAX, PAYLOAD_BYTES_MAX};

use super::support::{Host, PRELUDE, limits, request_id};

#[test]
fn an_answer_of_exactly_the_limit_is_one_and_a_byte_more_is_not() {
    let host = Host::new();
    let write = |bytes: usize| {
        format!(
            "(module {} (func (export \"_start\")
               (call $write (i32.const 1) (i32.const 64) (i32.const {bytes}))))",
            PRELUDE.replace(
                "(memory (export \"memory\") 4)",
                "(memory (export \"memory\") 128)"
            )
        )
    };
    let ran = host.run(
        &host.guest(&write(PAYLOAD_BYTES_MAX), limits(16, 20_000)),
        "{}",
    );
    assert_eq!(ran.payload().len(), PAYLOAD_BYTES_MAX);
    let ran = host.run(
        &host.guest(&write(PAYLOAD_BYTES_MAX + 1), limits(16, 20_000)),
        "{}",
    );
    assert_eq!(ran.error(), &FunctionError::ResponseTooLarge);
}

#[test]
fn a_flood_on_stdout_is_stopped_at_the_limit() {
    let host = Host::new();
    let ran = host.run_command(
        "(loop (call $write (i32.const 1) (i32.const 64) (i32.const 200000)) (br 0))",
        20_000,
    );
    assert_eq!(ran.error(), &FunctionError::ResponseTooLarge);
}

#[test]
fn a_flood_on_stderr_is_cut_and_the_guest_does_not_notice() {
    let host = Host::new();
    // 300 KB in 100-byte lines, then the answer.
    let ran = host.run_command(
        "(local $n i32)
         (memory.fill (i32.const 64) (i32.const 0x78) (i32.const 99))
         (i32.store8 (i32.const 163) (i32.const 10))
         (loop $again
           (call $write (i32.const 2) (i32.const 64) (i32.const 100))
           (if (i32.ne (i32.load (i32.const 8)) (i32.const 100)) (then unreachable))
           (br_if $again (i32.lt_u
             (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3000))))
         (call $write (i32.const 1) (i32.const 64) (i32.const 2))",
        20_000,
    );
    assert_eq!(ran.payload(), b"xx");
    let kept = ran
        .log
        .lines
        .iter()
        .map(|line| line.text.len())
        .sum::<usize>();
    assert!(kept <= LOG_BYTES_MAX && kept > LOG_BYTES_MAX / 2, "{kept}");
    assert!(ran.log.dropped_bytes > 40_000, "{}", ran.log.dropped_bytes);
}

#[test]
fn one_byte_and_no_byte_at_a_time_for_ever_is_bounded() {
    let host = Host::new();
    for (fd, length) in [(2, 1), (2, 0), (1, 0)] {
        let ran = host.run_command(
            &format!(
                "(i32.store8 (i32.const 64) (i32.const 10))
                 (loop (call $write (i32.const {fd}) (i32.const 64) (i32.const {length})) (br 0))"
            ),
            100,
        );
        ran.assert_timed_out();
        assert!(
            ran.log.lines.len() <= LOG_BYTES_MAX / 32,
            "{}",
            ran.log.lines.len()
        );
    }
}

#[test]
fn control_characters_and_forged_lines_stay_text() {
    let host = Host::new();
    let text = "\\1b[31m\\0dREPORT RequestId: x\\00\\ff\\0asecond";
    let guest = host.guest(
        &format!(
            "(module {PRELUDE} (data (i32.const 64) \"{text}\") (func (export \"_start\")
               (call $write (i32.const 2) (i32.const 64) (i32.const 34))))"
        ),
        limits(16, 1_000),
    );
    let ran = host.run(&guest, "{}");
    assert_eq!(
        ran.log.lines[0].text,
        "\u{1b}[31m\rREPORT RequestId: x\0\u{fffd}"
    );
    assert_eq!(ran.log.lines[1].text, "second");
    assert_eq!(ran.log.lines.len(), 2);
}

#[test]
fn stdin_ends_after_the_event_and_is_never_the_hosts() {
    let host = Host::new();
    let read = "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))";
    let ran = host.run_command(
        &format!(
            "(local $n i32) {read}
             (if (i32.ne (i32.load (i32.const 8)) (i32.const 2)) (then unreachable))
             (loop $again {read}
               (if (i32.load (i32.const 8)) (then unreachable))
               (br_if $again (i32.lt_u
                 (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))"
        ),
        20_000,
    );
    assert_eq!(ran.payload(), b"");
    let guest = host.command(
        &format!("{read} (if (i32.load (i32.const 8)) (then unreachable))"),
        limits(16, 1_000),
    );
    assert_eq!(host.run(&guest, "").payload(), b"");
}

const ENVIRON: &str = r#"
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $args (i32.const 16) (i32.const 20)))
    (if (i32.load (i32.const 16)) (then unreachable))
    (drop (call $sizes (i32.const 16) (i32.const 20)))
    (drop (call $get (i32.const 64) (i32.const 4096)))
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (i32.load (i32.const 20)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"#;

#[test]
fn the_environment_is_exactly_what_is_promised_and_there_are_no_arguments() {
    let host = Host::new();
    let mut spec = host.spec(&wat::parse_str(ENVIRON).unwrap(), limits(16, 1_000));
    let own = [
        ("GREETING", "hi"),
        ("AWS_REGION", "forged"),
        ("MAYFLY_REQUEST_ID", "forged"),
    ];
    spec.environment = own
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let guest = host.sandboxes.guest(spec);
    host.sandboxes.check_links(&guest).unwrap();
    let ran = host.run(&guest, "{}");
    let text = String::from_utf8(ran.payload().to_vec()).unwrap();
    // Asked for by an alias, it sees the alias, and everything else as before.
    let arn = "arn:aws:lambda:eu-central-1:000000000000:function:hello:a-long-alias";
    let aliased = host.run_as(arn, &guest, "{}");
    assert_eq!(
        String::from_utf8(aliased.payload().to_vec()).unwrap(),
        text.replace(":function:hello\0", ":function:hello:a-long-alias\0")
    );
    let variables = text.trim_end_matches('\0').split('\0').map(str::to_owned);
    let expected = [
        "GREETING=hi".to_owned(),
        "AWS_LAMBDA_FUNCTION_NAME=hello".to_owned(),
        "AWS_LAMBDA_FUNCTION_VERSION=3".to_owned(),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=16".to_owned(),
        "AWS_REGION=eu-central-1".to_owned(),
        "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/hello".to_owned(),
        "AWS_LAMBDA_LOG_STREAM_NAME=2026/11/22/[3]abc".to_owned(),
        format!("MAYFLY_REQUEST_ID={}", request_id()),
        "MAYFLY_FUNCTION_ARN=arn:aws:lambda:eu-central-1:000000000000:function:hello".to_owned(),
        "MAYFLY_DEADLINE_MS=1763830003123".to_owned(),
    ];
    assert_eq!(
        variables.clone().count(),
        expected.len(),
        "no variable twice"
    );
    assert_eq!(variables.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

const RANDOM: &str = r#"
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (func $write (param $from i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $from)) (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") BODY))
"#;

#[test]
fn random_bytes_are_bounded_for_each_call() {
    let host = Host::new();
    let run = |body: &str, timeout_ms| {
        host.run(
            &host.guest(&RANDOM.replace("BODY", body), limits(16, timeout_ms)),
            "{}",
        )
    };
    let ok = run(
        "(if (call $random (i32.const 0) (i32.const 262144)) (then unreachable))",
        10_000,
    );
    assert_eq!(ok.payload(), b"");
    for bytes in [262_145, 64 << 20, -1] {
        let ran = run(
            &format!("(drop (call $random (i32.const 0) (i32.const {bytes})))"),
            10_000,
        );
        assert!(
            ran.trap().starts_with("host call failed"),
            "{:?}",
            ran.outcome
        );
    }
    run(
        "(loop (drop (call $random (i32.const 0) (i32.const 262144))) (br 0))",
        100,
    )
    .assert_timed_out();
}

#[test]
fn random_bytes_differ_from_run_to_run() {
    let host = Host::new();
    let body = "(drop (call $random (i32.const 64) (i32.const 32)))
        (call $write (i32.const 64) (i32.const 32))";
    let guest = host.guest(&RANDOM.replace("BODY", body), limits(16, 1_000));
    let seen = (0..500)
        .map(|_| host.run(&guest, "{}").payload().to_vec())
        .collect::<BTreeSet<_>>();
    assert_eq!(seen.len(), 500);
}

#[test]
fn tricks_with_descriptors_end_in_errors_and_leak_nothing() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "sock_accept"
            (func $accept (param i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_prestat_get"
            (func $prestat (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 64) "/etc/passwd../../../etc/passwd")
          (func (export "_start") (local $n i32)
            (loop $fds
              (if (i32.eqz (call $open (local.get $n) (i32.const 0) (i32.const 64) (i32.const 11)
                  (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0)))
                (then unreachable))
              (if (i32.eqz (call $open (local.get $n) (i32.const 0) (i32.const 75) (i32.const 19)
                  (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
                (then unreachable))
              (if (i32.eqz (call $accept (local.get $n) (i32.const 0) (i32.const 0)))
                (then unreachable))
              (if (i32.eqz (call $prestat (local.get $n) (i32.const 0))) (then unreachable))
              (br_if $fds (i32.lt_u
                (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10))))
            (local.set $n (i32.const 0))
            (loop $again
              (drop (call $renumber (i32.const 1) (i32.const 2)))
              (drop (call $renumber (i32.const 2) (i32.const 1)))
              (drop (call $renumber (local.get $n) (i32.const 1)))
              (drop (call $close (i32.rem_u (local.get $n) (i32.const 4))))
              (br_if $again (i32.lt_u
                (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))))"#,
        limits(16, 60_000),
    );
    assert_eq!(host.run(&guest, "{}").payload(), b"");
}
