;; Answers with 16 random bytes, as 32 letters from a to p.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $byte i32)
    (if (call $random (i32.const 64) (i32.const 16)) (then (unreachable)))
    (loop $next
      (local.set $byte (i32.load8_u (i32.add (i32.const 64) (local.get $at))))
      (i32.store8 offset=128 (i32.shl (local.get $at) (i32.const 1))
        (i32.add (i32.const 97) (i32.shr_u (local.get $byte) (i32.const 4))))
      (i32.store8 offset=129 (i32.shl (local.get $at) (i32.const 1))
        (i32.add (i32.const 97) (i32.and (local.get $byte) (i32.const 15))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 16))))
    (i32.store (i32.const 0) (i32.const 128))
    (i32.store (i32.const 4) (i32.const 32))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
