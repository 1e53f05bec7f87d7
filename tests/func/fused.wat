;; SPDX-License-Identifier: Apache-2.0
;; What the translator makes one instruction of; other engines answer the same.
(module
  (func $h (param i32 i32) (result i32)
    (i32.add (i32.mul (local.get 0) (i32.const 31)) (local.get 1)))
  ;; a shifted sum that is kept
  (func $shifted (param i32) (result i32) (local i32)
    (local.set 1 (i32.add (i32.shl (local.get 0) (i32.const 3))
                          (i32.const 1056)))
    (i32.xor (local.get 1) (local.get 0)))
  ;; copies, then a sum that a loop steps by
  (func $copies (param i32) (result i32) (local i32 i32 i32)
    (loop
      (local.set 1 (local.get 2))
      (local.set 2 (local.get 3))
      (local.set 3 (i32.add (local.get 3) (i32.const 3)))
      (br_if 0 (i32.lt_u (local.get 3) (local.get 0))))
    (call $h (call $h (local.get 1) (local.get 2)) (local.get 3)))
  (func $copy_plain (param i32 i32) (result i32)
    (local.set 0 (local.get 1))
    (local.set 1 (i32.add (local.get 1) (i32.const 7)))
    (i32.sub (local.get 1) (i32.mul (local.get 0) (i32.const 5))))
  ;; a sum, and a test of another local
  (func $added (param i32) (result i32) (local i32 i32)
    (loop
      (local.set 2 (i32.lt_s (local.get 1) (local.get 0)))
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (local.get 2)))
    (block
      (local.set 1 (i32.add (local.get 1) (i32.const 100)))
      (br_if 0 (i32.eqz (local.get 2)))
      (return (i32.const -1)))
    (local.get 1))
  ;; bytes in words
  (func $masked (param i32) (result i32) (local i32)
    (if (i32.lt_u (i32.and (local.get 0) (i32.const 255)) (i32.const 10))
      (then (local.set 1 (i32.const 1))))
    (if (i32.eq (i32.and (local.get 0) (i32.const 255)) (i32.const 77))
      (then (local.set 1 (i32.or (local.get 1) (i32.const 2)))))
    (if (i32.gt_u (i32.and (local.get 0) (i32.const 240)) (i32.const 15))
      (then (local.set 1 (i32.or (local.get 1) (i32.const 4)))))
    (loop
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if 0 (i32.ne (i32.and (local.get 0) (i32.const 7))
                       (i32.const 5))))
    (call $h (local.get 0) (local.get 1)))
  ;; (a op b) shifted, x and -x
  (func $bits (param i32 i32) (result i32) (local i64)
    (local.set 2 (i64.extend_i32_u (local.get 0)))
    (i32.add
      (i32.wrap_i64 (i64.and (i64.sub (i64.const 0) (local.get 2))
                             (local.get 2)))
      (i32.xor
        (i32.and (i32.sub (i32.const 0) (local.get 0)) (local.get 0))
        (i32.xor
          (i32.shl (i32.or (local.get 0) (local.get 1)) (i32.const 1))
          (i32.shr_u (i32.xor (local.get 0) (local.get 1))
                     (i32.const 3))))))
  ;; constants side by side, sums in a select
  (func $select (param i32 i32) (result i32) (local i32 i32 i64)
    (local.set 2 (i32.const 17))
    (local.set 3 (i32.const -4))
    (local.set 4 (i64.const 0x123456789a))
    (call $h
      (select (i32.add (local.get 0) (i32.const 5))
              (i32.add (local.get 1) (local.get 3))
              (i32.lt_s (local.get 0) (local.get 1)))
      (call $h
        (select (i32.add (local.get 0) (i32.const 5))
                (i32.add (local.get 1) (i32.const -9))
                (i32.lt_u (i32.and (i32.add (local.get 0) (local.get 2))
                                   (i32.const 255))
                          (i32.const 26)))
        (i32.wrap_i64 (i64.shr_u (local.get 4) (i64.const 8))))))
  ;; floats that compare not, NaN among them
  (func $floats (param f64 f64) (result i32) (local i32)
    (if (i32.eqz (f64.gt (f64.add (local.get 0) (local.get 1))
                         (f64.const 4)))
      (then (local.set 2 (i32.const 1))))
    (block
      (br_if 0 (i32.eqz (f64.lt (local.get 0) (local.get 1))))
      (local.set 2 (i32.or (local.get 2) (i32.const 2))))
    (local.get 2))
  ;; a value kept, its local set from what is in the accumulator
  (func $put (param i32 i32) (result i32)
    (local.get 0)
    (local.set 0 (i32.rotl (i32.mul (local.get 0) (local.get 1))
                           (i32.const 5)))
    (call $h (local.get 0)))
  (func (export "run") (result i32) (local i32 i32)
    (loop
      (local.set 1 (call $h (local.get 1) (call $shifted (local.get 0))))
      (local.set 1 (call $h (local.get 1) (call $copies (local.get 0))))
      (local.set 1 (call $h (local.get 1)
        (call $copy_plain (local.get 0) (local.get 1))))
      (local.set 1 (call $h (local.get 1) (call $added (local.get 0))))
      (local.set 1 (call $h (local.get 1)
        (call $masked (i32.mul (local.get 0) (i32.const 0x10b)))))
      (local.set 1 (call $h (local.get 1)
        (call $bits (local.get 0) (local.get 1))))
      (local.set 1 (call $h (local.get 1)
        (call $select (local.get 0) (local.get 1))))
      (local.set 1 (call $h (local.get 1)
        (call $floats (f64.convert_i32_u (local.get 0))
                      (f64.div (f64.const 0)
                               (f64.convert_i32_s
                                 (i32.sub (local.get 0) (i32.const 3)))))))
      (local.set 1 (call $h (local.get 1)
        (call $put (local.get 0) (local.get 1))))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 0) (i32.const 300))))
    (local.get 1)))
