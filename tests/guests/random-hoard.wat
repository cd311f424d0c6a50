;; Asks for {{BYTES}} random bytes in one call, over and over.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1025)
  (func (export "_start")
    (loop $again
      (drop (call $random (i32.const 64) (i32.const {{BYTES}})))
      (br $again))))
