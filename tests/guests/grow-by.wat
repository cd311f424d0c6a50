;; Grows once, by {{PAGES}} pages, and answers with nothing.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eq (memory.grow (i32.const {{PAGES}})) (i32.const -1)) (then (unreachable)))))
