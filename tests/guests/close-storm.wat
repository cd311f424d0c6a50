;; Renumbers and closes its file descriptors 100,000 times.
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $count i32)
    (loop $again
      (drop (call $renumber (i32.const 1) (i32.and (local.get $count) (i32.const 1023))))
      (drop (call $renumber (i32.const 2) (i32.const -1)))
      (drop (call $close (i32.and (local.get $count) (i32.const 3))))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 100000))))))
