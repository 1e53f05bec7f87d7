;; A signal that ends the guest: what a shell would tell of it (SIGXCPU, 23
;; here and 24 on the host).
;; status: 152
(module
  (import "wasi_snapshot_preview1" "proc_raise"
    (func $raise (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $raise (i32.const 0)))
    (drop (call $raise (i32.const 23)))
    unreachable))
