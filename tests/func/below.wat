;; Values below those that a branch brings, which is not taken: they are what
;; they were, also when others are made.  Each kind of value, and from one to
;; six of those above.
(module
  (func $one (param $go i32) (param $f f64) (result f64)
    (block $b (result i32)
      (f64.neg (local.get $f)) (i32.const 1)
      (br_if $b (local.get $go)) drop
      (drop (f64.mul (local.get $f) (local.get $f)))
      (local.set $f) (i32.const 1))
    drop (local.get $f))
  (func $five (param $go i32) (param $f f64) (result f64)
    (block $b (result i32 i32 i32 i32 i32)
      (f64.neg (local.get $f))
      (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
      (br_if $b (local.get $go)) drop drop drop drop drop
      (drop (f64.mul (local.get $f) (local.get $f)))
      (local.set $f)
      (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1))
    drop drop drop drop drop (f64.sqrt (local.get $f)))
  (func $vector (param $go i32) (param $v v128) (result i64)
    (block $b (result i32 i64 f32 f64 i32 i32)
      (v128.not (local.get $v))
      (local.get $go) (i64.const 1) (f32.const 1) (f64.const 1)
      (i32.const 1) (i32.const 1)
      (br_if $b (local.get $go)) drop drop drop drop
      (f64.convert_i64_s) (f64.const 4) f64.div drop drop
      (drop (v128.or (local.get $v) (local.get $v)))
      (local.set $v)
      (i32.const 1) (i64.const 1) (f32.const 1) (f64.const 1)
      (i32.const 1) (i32.const 1))
    drop drop drop drop drop drop (i64x2.extract_lane 0 (local.get $v)))
  (func $null (param $r funcref) (param $f f32) (result f32)
    (block $b (result i32 i32 i32 i32 i32)
      (f32.abs (local.get $f))
      (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
      (br_on_null $b (local.get $r)) drop drop drop drop drop drop
      (drop (f32.mul (local.get $f) (local.get $f)))
      (local.set $f)
      (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1))
    drop drop drop drop drop (f32.sqrt (local.get $f)))
  (elem declare func $one)
  (func (export "below") (result i64)
    (i64.trunc_f64_s (call $one (i32.const 0) (f64.const -2)))
    (i64.trunc_f64_s (call $five (i32.const 0) (f64.const -9)))
    (call $vector (i32.const 0) (v128.const i64x2 -5 0))
    (i64.trunc_f32_s (call $null (ref.func $one) (f32.const -25)))
    ;; 2 3 4 5
    (i64.add (i64.mul (i64.const 10)))
    (i64.add (i64.mul (i64.const 100)))
    (i64.add (i64.mul (i64.const 1000)))))
