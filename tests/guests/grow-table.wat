;; Grows its table until it may not; answers with 1 when there was an end to it.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (data (i32.const 32) "1")
  (func (export "_start") (local $count i32)
    (drop (table.grow $table (ref.null func) (i32.const -1)))
    (loop $more
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (if (i32.gt_u (local.get $count) (i32.const 10000000)) (then (unreachable)))
      (br_if $more
        (i32.ne (table.grow $table (ref.null func) (i32.const 16)) (i32.const -1))))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
