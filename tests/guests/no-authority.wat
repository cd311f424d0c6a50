;; Tries to reach files, sockets and arguments; answers with the number of tries that worked.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "/etc/passwd")
  (func (export "_start") (local $fd i32) (local $worked i32)
    (if (call $args (i32.const 16) (i32.const 20)) (then (unreachable)))
    (local.set $worked (i32.load (i32.const 16)))
    (loop $next
      (local.set $worked (i32.add (local.get $worked) (i32.eqz
        (call $prestat (local.get $fd) (i32.const 16)))))
      (local.set $worked (i32.add (local.get $worked) (i32.eqz
        (call $open (local.get $fd) (i32.const 1) (i32.const 64) (i32.const 11) (i32.const 0)
          (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 16)))))
      (local.set $worked (i32.add (local.get $worked) (i32.eqz
        (call $open (local.get $fd) (i32.const 1) (i32.const 65) (i32.const 10) (i32.const 0)
          (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16)))))
      (local.set $worked (i32.add (local.get $worked) (i32.eqz
        (call $mkdir (local.get $fd) (i32.const 65) (i32.const 3)))))
      (local.set $worked (i32.add (local.get $worked) (i32.eqz
        (call $accept (local.get $fd) (i32.const 0) (i32.const 16)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 16))))
    (i32.store8 (i32.const 32) (i32.add (i32.const 48) (local.get $worked)))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
