;; SPDX-License-Identifier: Apache-2.0
;; A module without memory cannot call.
;; status: 134
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (func (export "_start")
    (drop (call $yield))))
