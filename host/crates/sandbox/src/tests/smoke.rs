//! The two kinds of guests answer.

use super::support::{Host, limits};

pub(crate) const SDK_ECHO: &str = r#"
(module
  (memory (export "memory") 4)
  (global (export "mayfly_v1_input") i32 (i32.const 1024))
  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
  ;; Answers with the event: the byte before it becomes the answer's first byte.
  (func (export "mayfly_v1_handle") (param $at i32) (param $length i32) (result i64)
    (local $event i32)
    (local.set $event (i32.add (i32.add (local.get $at) (i32.const 4)) (i32.load (local.get $at))))
    (i32.store8 (i32.sub (local.get $event) (i32.const 1)) (i32.const 0))
    (i64.or
      (i64.shl (i64.extend_i32_u (i32.sub (local.get $event) (i32.const 1))) (i64.const 32))
      (i64.extend_i32_u (i32.add (i32.const 1)
        (i32.sub (i32.add (local.get $at) (local.get $length)) (local.get $event)))))))
"#;

#[test]
fn a_command_answers_on_stdout() {
    let host = Host::new();
    let guest = host.command(
        "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
         (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $write (i32.const 1) (i32.const 64) (i32.load (i32.const 8)))
         (call $write (i32.const 2) (i32.const 64) (i32.const 3))",
        limits(16, 1_000),
    );
    let ran = host.run(&guest, r#"{"a":1}"#);
    assert_eq!(ran.payload(), br#"{"a":1}"#);
    assert_eq!(ran.log.lines[0].text, "{\"a");
    assert_eq!(ran.usage.memory_peak_bytes, 4 * 65_536);
    assert!(ran.usage.init.is_some() && !ran.usage.duration.is_zero() && !ran.usage.cpu.is_zero());
    assert!(host.run(&guest, "{}").usage.init.is_none());
}

#[test]
fn an_sdk_guest_answers_in_memory() {
    let host = Host::new();
    let guest = host.guest(SDK_ECHO, limits(16, 1_000));
    let ran = host.run(&guest, r#"{"a":1}"#);
    assert_eq!(ran.payload(), br#"{"a":1}"#);
    assert_eq!(ran.usage.memory_peak_bytes, 4 * 65_536);
}
