;; Fills 64 MiB of memory in one instruction, over and over.
(module
  (memory (export "memory") 1025)
  (func (export "_start")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 67108864))
      (br $again))))
