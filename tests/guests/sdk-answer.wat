;; The SDK's interface: answers with {{LENGTH}} bytes whatever comes in.
(module
  (memory (export "memory") 3)
  (global (export "mayfly_v1_input") i32 (i32.const 131072))
  (data (i32.const 16) "{{ANSWER}}")
  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const {{LENGTH}}))))
