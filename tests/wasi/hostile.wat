;; SPDX-License-Identifier: Apache-2.0
;; Addresses and lengths that reach out of the memory, through the calls as a
;; module makes them.  It adds up what is wrong and shows it as its status.
;; status: 0
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread"
    (func $pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get"
    (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 16) "\f0\ff\00\00\11\00\00\00") ;; a vector past the end
  (global $wrong (mut i32) (i32.const 0))
  (func $want (param $got i32) (param $what i32)
    (global.set $wrong
      (i32.add (global.get $wrong)
        (i32.ne (local.get $got) (local.get $what)))))
  (func (export "_start")
    (call $want (call $write (i32.const 1) (i32.const 16) (i32.const 1)
      (i32.const 0)) (i32.const 21))
    (call $want (call $write (i32.const 1) (i32.const 65535) (i32.const 1)
      (i32.const 0)) (i32.const 21))
    (call $want (call $write (i32.const 1) (i32.const 0)
      (i32.const 0x20000000) (i32.const 0)) (i32.const 21))
    (call $want (call $write (i32.const 1) (i32.const 0) (i32.const 0)
      (i32.const 65533)) (i32.const 21))
    (call $want (call $write (i32.const 1) (i32.const 0) (i32.const 0)
      (i32.const -1)) (i32.const 21))
    (call $want (call $pread (i32.const 3) (i32.const 0) (i32.const 0)
      (i64.const 0) (i32.const 0)) (i32.const 76))
    (call $want (call $random (i32.const 65535) (i32.const 2))
      (i32.const 21))
    (call $want (call $random (i32.const -1) (i32.const -1))
      (i32.const 21))
    (call $want (call $random (i32.const 65536) (i32.const 0))
      (i32.const 0))
    (call $want (call $args (i32.const 65534) (i32.const 0))
      (i32.const 21))
    (call $want (call $open (i32.const 3) (i32.const 0) (i32.const 65530)
      (i32.const 100) (i32.const 0) (i64.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0)) (i32.const 21))
    (call $want (call $poll (i32.const 65500) (i32.const 0) (i32.const 1)
      (i32.const 0)) (i32.const 21))
    (call $want (call $poll (i32.const 0) (i32.const 65530) (i32.const 1)
      (i32.const 0)) (i32.const 21))
    (call $want (call $readdir (i32.const 3) (i32.const 1) (i32.const 65536)
      (i64.const 0) (i32.const 0)) (i32.const 21))
    (call $exit (global.get $wrong))))
