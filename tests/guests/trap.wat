;; Does one thing that traps: {{CODE}}
(module
  (type $nothing (func))
  (type $number (func (result i32)))
  (memory (export "memory") 1)
  (table $table 2 2 funcref)
  (func $number (type $number) (i32.const 1))
  (elem (i32.const 1) $number)
  (func (export "_start") {{CODE}}))
