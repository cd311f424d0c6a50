;; The SDK's interface with places for the input that are not its own: a buffer at {{INPUT}} and a
;; large one at {{ALLOC}}.
(module
  (memory (export "memory") 3)
  (global (export "mayfly_v1_input") i32 (i32.const {{INPUT}}))
  (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const {{ALLOC}}))
  (func (export "mayfly_v1_handle") (param i32 i32) (result i64) (i64.const 0)))
