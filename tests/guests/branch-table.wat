;; Takes branches of a table with {{TARGETS}} targets; traps unless each is the right one.
(module
  (func $pick (param i32) (result i32)
    (block $other
      (block $first
        (br_table {{LABELS}} (local.get 0)))
      (return (i32.const 1)))
    (i32.const 2))
  (func (export "_start")
    (if (i32.ne (call $pick (i32.const 0)) (i32.const 1)) (then (unreachable)))
    (if (i32.ne (call $pick (i32.const 1)) (i32.const 2)) (then (unreachable)))
    (if (i32.ne (call $pick (i32.const {{TARGETS}})) (i32.const 2)) (then (unreachable)))
    (if (i32.ne (call $pick (i32.const -1)) (i32.const 2)) (then (unreachable)))))
