#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood run --in domain where there is no KVM: the same as brood run, and it
# says what it is.
# timeout: 200
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"

domain() { # WORD...; the status is in $status
	BROOD_WITHOUT=kvm timeout 30 "$BROOD" run --in domain "$@" \
		>out 2>err <input
	status=$?
}

# Output, messages and status of both, each way of running, twice: the second
# time what was compiled is mapped.
same() { # WORD...
	local via
	for via in compiled interp compiled interp; do
		timeout 30 "$BROOD" run --via $via "$@" \
			>wanted 2>wanted.err <input
		wanted=$?
		domain --via $via "$@"
		if [ $status != $wanted ] || ! cmp -s out wanted ||
			! cmp -s err wanted.err; then
			sed 's/^/# wanted: /' wanted wanted.err
			return 1
		fi
	done
}

echo "some input" >input
cp "$here/../../examples/hello.wat" .
cat >many.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1 300)
  (func $say (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8))))
  (func (export "_start")
    (drop (call $sizes (i32.const 16) (i32.const 20)))
    (drop (call $args (i32.const 1024) (i32.const 2048)))
    (call $say (i32.const 2048) (i32.load (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 24)))
    (call $say (i32.const 4096) (i32.load (i32.const 24)))
    (call $exit (i32.add (i32.const 7) (memory.grow (i32.const 200)))))
  (func (export "vectors") (param i32) (result v128)
    (i32x4.mul (i32x4.splat (local.get 0))
      (v128.const i32x4 1 2 3 4)))
  (func (export "load") (param i32) (result i32)
    (i32.load (local.get 0)))
  (func (export "divide") (param i32 i32) (result i32)
    (i32.div_s (local.get 0) (local.get 1)))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func (export "real") (param f64) (result f64)
    (f64.sqrt (local.get 0)))
  (func (export "spin") (loop (br 0))))
END

same hello.wat
ok $? "a program's output"
same many.wat one "two three"
ok $? "arguments, standard input, more memory, an exit code"
same --invoke vectors many.wat 5 && same --invoke real many.wat 2
ok $? "exports: vectors and reals"
same --invoke load many.wat 65533 && same --invoke load many.wat 4294967295
ok $? "traps: out of bounds"
same --invoke divide many.wat 1 0 && same --invoke divide many.wat 12 4
ok $? "traps: division by zero"
domain --invoke deep many.wat 1
[ $status = 134 ] && grep -q 'trap: .*stack' err
ok $? "traps: a stack that is used up"
domain --timeout 100ms --invoke spin many.wat
[ $status = 124 ]
ok $? "--timeout ends it"
domain --fuel 1000 --via interp --invoke spin many.wat
[ $status = 125 ]
ok $? "--fuel ends it"

domain --verbose hello.wat
grep -q "in a process that takes a domain's place: switched off by BROOD_WITHOUT" err
ok $? "--verbose says what it is, and why"
domain --report report hello.wat
grep -q '"isolation":"process"' report &&
	grep -q '"isolation_reason":"switched off by BROOD_WITHOUT"' report &&
	grep -q '"exits":{"bells":[1-9].*"traps":0,"kicks":0}' report
ok $? "--report too"
domain --require-kvm hello.wat
[ $status = 111 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
	grep -q 'no KVM: .*; take kvm out of BROOD_WITHOUT' err
ok $? "--require-kvm fails, with what to do"
echo "1..$count"
[ $failed = 0 ]
