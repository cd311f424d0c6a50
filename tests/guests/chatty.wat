;; Logs 300 lines of 1,000 letters, then answers "done".
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "\"done\"")
  (func (export "_start") (local $count i32)
    (memory.fill (i32.const 64) (i32.const 0x78) (i32.const 999))
    (i32.store8 (i32.const 1063) (i32.const 10))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1000))
    (loop $again
      (if (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (unreachable)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 300))))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
