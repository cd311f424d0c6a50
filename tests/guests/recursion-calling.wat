;; Calls itself without end and asks the host for the time on each level: the stack is nearly full
;; when the host runs.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $deeper (param $level i64)
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 0)))
    (call $deeper (i64.add (local.get $level) (i64.load (i32.const 0))))
    (drop (i64.load (i32.const 8))))
  (func (export "_start") (call $deeper (i64.const 0))))
