;; SPDX-License-Identifier: Apache-2.0
;; Nothing runs behind proc_exit.
;; status: 9
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $inner
    (call $exit (i32.const 9))
    (unreachable))
  (func (export "_start")
    (call $inner)
    (unreachable)))
