;; Answers 0 when the monotonic clock never goes back and clocks of CPU time are refused.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "0")
  (func (export "_start") (local $last i64) (local $count i32)
    (loop $again
      (if (call $time (i32.const 1) (i64.const 1) (i32.const 16)) (then (unreachable)))
      (if (i64.lt_u (i64.load (i32.const 16)) (local.get $last)) (then (unreachable)))
      (local.set $last (i64.load (i32.const 16)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 100000))))
    (if (i32.eqz (call $time (i32.const 2) (i64.const 1) (i32.const 16))) (then (unreachable)))
    (if (i32.eqz (call $time (i32.const 3) (i64.const 1) (i32.const 16))) (then (unreachable)))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
