;; Grows by one page and then by more than there is, until the first fails; answers with 1 when the
;; refused requests changed nothing.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "1")
  (func (export "_start") (local $count i32)
    (loop $more
      (if (i32.ne (memory.grow (i32.const -1)) (i32.const -1)) (then (unreachable)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (if (i32.gt_u (local.get $count) (i32.const 100000)) (then (unreachable)))
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
