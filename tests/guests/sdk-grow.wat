;; The SDK's interface: grows in the middle of the call and answers with what lies in the new page.
(module
  (memory (export "memory") 3)
  (global (export "mayfly_v1_input") i32 (i32.const 131072))
  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "mayfly_v1_handle") (param i32 i32) (result i64) (local $at i32)
    (local.set $at (i32.shl (memory.grow (i32.const 1)) (i32.const 16)))
    (i32.store offset=1 (local.get $at) (i32.const 0x6c6c756e))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32)) (i64.const 5))))
