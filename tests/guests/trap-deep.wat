;; Traps 20 calls deep, in functions whose names hold line breaks and escape sequences.
(module
  (func $trap (@name "a\0aREPORT RequestId: 0\09Billed Duration: 0 ms\1b[31m") (param i32)
    (if (i32.eqz (local.get 0)) (then (unreachable)))
    (call $trap (i32.sub (local.get 0) (i32.const 1))))
  (func (export "_start") (call $trap (i32.const 20))))
