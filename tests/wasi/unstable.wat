;; SPDX-License-Identifier: Apache-2.0
;; The older name of the calls, and its order of whence: 0 from here, 1 from
;; the end, 2 from the start.
;; > 3 6 5
(module
  (import "wasi_unstable" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_seek"
    (func $seek (param i32 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "new-file")
  (data (i32.const 16) "\20\00\00\00\07\00\00\00") ;; 7 bytes at 32
  (data (i32.const 32) "content")
  (data (i32.const 64) "\50\00\00\00\06\00\00\00") ;; 6 bytes at 80
  (data (i32.const 80) "0 0 0\n")
  (global $file (mut i32) (i32.const 0))
  (func $to (param $by i64) (param $whence i32) (param $at i32)
    (if (call $seek (global.get $file) (local.get $by) (local.get $whence)
          (i32.const 48))
      (then (unreachable)))
    (i32.store8 (local.get $at)
      (i32.add (i32.const 48) (i32.load8_u (i32.const 48)))))
  (func (export "_start")
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 8)
          (i32.const 1) (i64.const 0x66) (i64.const 0) (i32.const 0)
          (i32.const 48))
      (then (unreachable)))
    (global.set $file (i32.load (i32.const 48)))
    (if (call $write (global.get $file) (i32.const 16) (i32.const 1)
          (i32.const 48))
      (then (unreachable)))
    (call $to (i64.const 3) (i32.const 2) (i32.const 80))
    (call $to (i64.const 3) (i32.const 0) (i32.const 82))
    (call $to (i64.const -2) (i32.const 1) (i32.const 84))
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1)
      (i32.const 48)))))
