;; Calls itself without end.
(module
  (func $deeper (call $deeper) (call $deeper))
  (func (export "_start") (call $deeper)))
