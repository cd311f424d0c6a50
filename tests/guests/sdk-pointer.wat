;; The SDK's interface: says that its answer is {{LENGTH}} bytes at {{AT}}, of {{PAGES}} pages.
(module
  (memory (export "memory") {{PAGES}})
  (global (export "mayfly_v1_input") i32 (i32.const 0))
  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const {{AT}}) (i64.const 32)) (i64.const {{LENGTH}}))))
