;; Writes {{BYTES}} bytes at a time to file descriptor {{FD}}, for ever.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 20)
  (func (export "_start")
    (memory.fill (i32.const 64) (i32.const 0x78) (i32.const 1048576))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const {{BYTES}}))
    (loop $again
      (drop (call $write (i32.const {{FD}}) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))))
