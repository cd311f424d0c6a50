;; Writes a pattern to all of its memory, its globals and its table, and answers with nothing.
(module
  (memory (export "memory") 256)
  (table $table 100 funcref)
  (global $a (mut i64) (i64.const 0))
  (global $b (mut v128) (v128.const i64x2 0 0))
  (elem declare func $self)
  (func $self)
  (func $deep (param i32 i64 i64 i64 i64)
    (if (local.get 0) (then
      (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (local.get 2)
        (local.get 3) (local.get 4)))))
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 16777216))
    (table.fill $table (i32.const 0) (ref.func $self) (i32.const 100))
    (global.set $a (i64.const 0xa5a5a5a5a5a5a5a5))
    (global.set $b (v128.const i64x2 0xa5a5a5a5a5a5a5a5 0xa5a5a5a5a5a5a5a5))
    (call $deep (i32.const 1000) (i64.const 0xa5a5a5a5a5a5a5a5) (i64.const 0xa5a5a5a5a5a5a5a5)
      (i64.const 0xa5a5a5a5a5a5a5a5) (i64.const 0xa5a5a5a5a5a5a5a5))))
