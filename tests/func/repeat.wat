;; A loop that begins with an if in front of its br_table: the head is no
;; piece of code that can be repeated.  Pairs (kind, value) until kind 0; the
;; values of kind 1 are added, those of kind 2 taken off.
(module
  (memory 1)
  (data (i32.const 64)
    "\01\00\00\00\28\00\00\00" "\02\00\00\00\05\00\00\00"
    "\03\00\00\00\63\00\00\00" "\01\00\00\00\07\00\00\00"
    "\00\00\00\00\00\00\00\00")
  (func (export "sum") (result i32) (local $at i32) (local $sum i32)
    (local.set $at (i32.const 64))
    (loop $next
      (if (i32.load (local.get $at))
        (then
          (block $step
            (block $two
              (block $one
                (br_table $one $two $step
                  (i32.sub (i32.load (local.get $at)) (i32.const 1))))
              (local.set $sum
                (i32.add (local.get $sum) (i32.load offset=4 (local.get $at))))
              (br $step))
            (local.set $sum
              (i32.sub (local.get $sum) (i32.load offset=4 (local.get $at)))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br $next))))
    (local.get $sum)))
