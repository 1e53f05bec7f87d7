;; SPDX-License-Identifier: Apache-2.0
;; A WASI program by hand: greets the word behind its name.
;;
;;	build/brood run examples/hello.wat World
(module $hello
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "Hello, \21\0ayou")

  ;; 0: count of arguments, 4: their bytes, 16: pieces to write,
  ;; 1024: pointers to the arguments, 4096: the arguments
  (func $length (param $text i32) (result i32)
    (local $at i32)
    (local.set $at (local.get $text))
    (block $ended
      (loop $next
        (br_if $ended (i32.eqz (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.sub (local.get $at) (local.get $text)))

  (func $piece (param $number i32) (param $text i32) (param $len i32)
    (local.set $number
      (i32.add (i32.const 16) (i32.mul (local.get $number) (i32.const 8))))
    (i32.store (local.get $number) (local.get $text))
    (i32.store offset=4 (local.get $number) (local.get $len)))

  ;; The first argument, where there is one and all of them have room.
  (func $name (result i32)
    (local $found i32)
    (local.set $found (i32.const 73))
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (if (i32.and (i32.gt_u (i32.load (i32.const 0)) (i32.const 1))
                 (i32.and (i32.lt_u (i32.load (i32.const 0)) (i32.const 768))
                          (i32.lt_u (i32.load (i32.const 4)) (i32.const 65536))))
      (then
        (drop (call $args_get (i32.const 1024) (i32.const 4096)))
        (local.set $found (i32.load (i32.const 1028)))))
    (local.get $found))

  (func (export "_start")
    (local $name i32)
    (local.set $name (call $name))
    (call $piece (i32.const 0) (i32.const 64) (i32.const 7))
    (call $piece (i32.const 1) (local.get $name) (call $length (local.get $name)))
    (call $piece (i32.const 2) (i32.const 71) (i32.const 2))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 3) (i32.const 8)))))
