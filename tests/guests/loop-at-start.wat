;; Never ends, in its start function: there is no instance yet.
(module
  (func $begin (loop $again (br $again)))
  (start $begin)
  (func (export "_start")))
