#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood run and brood wasm as their users meet them.
# timeout: 200
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"

run() { # WORD...; the status is in $status
	timeout 30 "$BROOD" run "$@" >out 2>err </dev/null
	status=$?
}

wasm() { # WORD...
	timeout 30 "$BROOD" wasm "$@" >out 2>err </dev/null
	status=$?
}

# One line on stderr, nothing on stdout, and this status.
fails() { # STATUS WORD...
	[ $status = "$1" ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q '^brood: ' err && grep -qF -- "$2" err
}

cat >hello.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello, world\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 13))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 40)))
    (call $exit (i32.const 3))))
END
run hello.wat
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ] && [ ! -s err ]
ok $? "a program from its text: its output, its exit code"
wasm from-text hello.wat
[ $status = 0 ] && [ ! -s out ] && [ "$(head -c 4 hello.wasm | tail -c 3)" = asm ]
ok $? "wasm from-text writes FILE.wasm"
run hello.wasm
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
ok $? "a program from its bytes"
"$BROOD" run - <hello.wasm >out 2>err
status=$?
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
ok $? "a program from standard input"
"$BROOD" run <(cat hello.wat) >out 2>err
status=$?
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
ok $? "a program from a pipe"
run hello.wasm >/dev/null
"$BROOD" run hello.wasm 1>&- 2>err
status=$?
[ $status = 3 ] && [ ! -s err ]
ok $? "without an output it runs too"
"$BROOD" wasm from-text - <hello.wat >out 2>err
status=$?
cmp -s out hello.wasm
ok $? "from-text from standard input to standard output"
wasm to-text hello.wasm -o back.wat
[ $status = 0 ] && [ ! -s out ] && "$BROOD" wasm from-text back.wat &&
	"$BROOD" run back.wasm >out 2>err
[ "$(cat out)" = "hello, world" ]
ok $? "to-text and from-text: the same program"

# Arguments, variables, standard input.
cat >echo.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $put (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8))))
  (func (export "_start")
    (drop (call $args_sizes (i32.const 12) (i32.const 16)))
    (drop (call $args (i32.const 1024) (i32.const 4096)))
    (call $put (i32.const 4096) (i32.load (i32.const 16)))
    (drop (call $environ_sizes (i32.const 12) (i32.const 16)))
    (drop (call $environ (i32.const 1024) (i32.const 8192)))
    (call $put (i32.const 8192) (i32.load (i32.const 16)))
    (loop $more
      (i32.store (i32.const 0) (i32.const 16384))
      (i32.store (i32.const 4) (i32.const 4096))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.const 20)))
      (if (i32.load (i32.const 20))
        (then
          (call $put (i32.const 16384) (i32.load (i32.const 20)))
          (br $more))))))
END
run echo.wat one 'two words' --three ''
[ $status = 0 ] && [ "$(tr '\0' , <out)" = "echo.wat,one,two words,--three,," ]
ok $? "arguments as they are, and no variable"
PASSED=on LEFT=out run --env A=1 --env PASSED --env NOSUCH --env B= echo.wat
[ "$(tr '\0' , <out)" = "echo.wat,A=1,PASSED=on,B=," ]
ok $? "variables that --env names"
seq 20000 >lines
"$BROOD" run echo.wat <lines 2>err | tail -c +10 | cmp -s - lines
ok $? "standard input to standard output"
cat >yes.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "y\n")
  (func (export "_start") (local i32)
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 2))
    (loop $more
      (br_if $more (i32.eqz (local.tee 0 (call $write (i32.const 1)
        (i32.const 0) (i32.const 1) (i32.const 40))))))
    (call $exit (local.get 0))))
END
{ timeout 20 "$BROOD" run yes.wat 2>err; echo $? >status; } | head -1 >out
status=$(cat status)
[ "$status" = 64 ] && [ "$(cat out)" = y ] && [ ! -s err ]
ok $? "who writes to a closed pipe is told (WASI's errno 64)"

# Functions.
cat >functions.wat <<'END'
(module
  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))
  (func (export "all") (param i64 f32 f64 v128)
    (result i64 f32 f64 v128)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3))
  (func (export "ref") (param externref) (result externref)
    (local.get 0))
  (func (export "div") (param i32 i32) (result i32)
    (call $inner (local.get 0) (local.get 1)))
  (func $inner (param i32 i32) (result i32)
    (i32.div_s (local.get 0) (local.get 1)))
  (func (export "loop") (loop (br 0)))
  (func $deep (export "deep") (call $deep))
  (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0)))
  (func (export "far") (param i32) (result i32)
    (i32.load (local.get 0)))
  (tag $t (param i32))
  (func (export "throw") (throw $t (i32.const 1)))
  (memory 1))
END
run --invoke add functions.wat 40 2
[ $status = 0 ] && [ "$(cat out)" = 42 ]
ok $? "--invoke prints the result"
run --invoke add functions.wat 0xffffffff -5
[ "$(cat out)" = -6 ]
ok $? "integers in hexadecimal, and signed"
run --invoke all functions.wat -9223372036854775808 0.1 -1e300 0x1234
[ "$(cat out)" = "-9223372036854775808
0.1
-1e+300
0x00000000000000000000000000001234" ]
ok $? "results of all types, one a line"
run --invoke all functions.wat 18446744073709551615 nan inf 0xffffffffffffffff0000000000000001
[ "$(cat out)" = "-1
nan
inf
0xffffffffffffffff0000000000000001" ]
ok $? "the ends of their ranges"
run --invoke ref functions.wat null
[ "$(cat out)" = null ]
ok $? "a reference that is null"
run --invoke add functions.wat 1
fails 100 "add takes 2 arguments, not 1"
ok $? "too few arguments"
run --invoke add functions.wat 1 4294967296
fails 100 'argument 2: "4294967296" is no i32'
ok $? "an argument out of range"
run --invoke add functions.wat 1 1x
fails 100 'argument 2: "1x" is no i32'
ok $? "an argument that is no number"
run --invoke nosuch functions.wat
fails 126 'no function "nosuch" is exported; --invoke NAME calls one of: add, all'
ok $? "no such export: those that are there"
run functions.wat
fails 126 'no function "_start" is exported; --invoke NAME'
ok $? "no program, only functions"
echo '(module (func (export "_initialize") (param i64) (result i64)
	(local.get 0)) (func (export "f")))' >initialize.wat
run --invoke f initialize.wat
fails 126 "initialize.wat: _initialize has parameters or results"
ok $? "an _initialize of another type"

# Ends.
run --invoke div functions.wat 7 0
[ $status = 134 ] && [ ! -s out ] &&
	[ "$(head -1 err)" = "brood: functions.wat: trap: integer divide by zero" ] &&
	sed -n 2p err | grep -Eq '^  0: function 4 "inner" at 0x[0-9a-f]+$' &&
	sed -n 3p err | grep -Eq '^  1: function 3 "div" at 0x[0-9a-f]+$' &&
	[ "$(wc -l <err)" = 3 ]
ok $? "a trap: 134, its name and the functions that led to it"
run --invoke far functions.wat -1
[ $status = 134 ] && head -1 err | grep -q 'trap: out of bounds memory access'
ok $? "a fault in memory is a trap"
run --invoke deep functions.wat
[ $status = 134 ] && head -1 err | grep -q 'trap: call stack exhausted' &&
	tail -1 err | grep -q '^  ... and [0-9]* more$'
ok $? "a recursion without an end is a trap"
# The first call of a function with 800 KB of locals, at many depths.
{
	printf '(module (func $large (local '
	yes i64 | head -50000 | tr '\n' ' '
	echo '))
  (func $down (export "down") (param i32)
    (if (i32.eqz (local.get 0)) (then (call $large)))
    (call $down (i32.sub (local.get 0) (i32.const 1)))))'
} >large_frame.wat
bad=0
for depth in 100000 150000 170000 200000 220000 240000 250000 260000; do
	run --invoke down large_frame.wat $depth
	[ $status = 134 ] && head -1 err | grep -q 'call stack exhausted' || bad=$depth
done
[ $bad = 0 ]
ok $? "a frame that does not fit, before its function is translated"
for way in interp compiled; do
	run --via $way --invoke run "$here/fused.wat"
	[ $status = 0 ] && [ "$(cat out)" = -1038222321 ]
	ok $? "instructions made of several, $way"
	run --via $way --timeout 20s --invoke sum "$here/repeat.wat"
	[ $status = 0 ] && [ "$(cat out)" = 42 ]
	ok $? "a br_table behind an if at a loop's head, $way"
	run --via $way --invoke below "$here/below.wat"
	[ $status = 0 ] && [ "$(cat out)" = 5403002 ]
	ok $? "values below a branch that is not taken, $way"
done
run --invoke throw functions.wat
[ $status = 134 ] && head -1 err | grep -q 'trap: .*exception'
ok $? "an exception that nobody catches"
run --timeout 200ms --invoke loop functions.wat
[ $status = 124 ] && head -1 err | grep -q '^brood: functions.wat: trap: '
ok $? "--timeout: 124"
run --timeout 9223372036854775s --invoke add functions.wat 1 2
[ $status = 0 ] && [ "$(cat out)" = 3 ]
ok $? "--timeout that never comes"
cat >work.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (type $a (array (mut i64)))
  (tag $t)
  (memory 16384)
  (table $table 5000000 funcref)
  (func (export "fill") (loop
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x8000000)) (br 0)))
  (func (export "copy") (loop
    (memory.copy (i32.const 0) (i32.const 0x8000000) (i32.const 0x4000000))
    (br 0)))
  (func (export "table") (loop
    (table.fill (i32.const 0) (ref.null func) (i32.const 5000000)) (br 0)))
  (func (export "array") (loop
    (drop (array.new_default $a (i32.const 1000000))) (br 0)))
  (func $throw (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $t)))
    (call $throw (i32.sub (local.get 0) (i32.const 1))))
  (func (export "throw") (loop
    (block (try_table (catch_all 0) (call $throw (i32.const 10000))))
    (br 0)))
  (func (export "write")
    (i32.store (i32.const 4) (i32.const 0x10000000))
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8))) (br 0))))
END
for name in fill copy table array throw write; do
	SECONDS=0
	run --timeout 300ms --invoke $name work.wat
	[ $status = 124 ] && [ $SECONDS -lt 10 ]
	ok $? "--timeout in much work at once: $name"
done
run --fuel 1M --invoke fill work.wat
[ $status = 125 ]
ok $? "--fuel counts it"
run --fuel 10000 --invoke loop functions.wat
[ $status = 125 ] && head -1 err | grep -q '^brood: functions.wat: trap: '
ok $? "--fuel: 125"
run --max-memory 1M --invoke grow functions.wat 15
[ "$(cat out)" = 1 ] && run --max-memory 1M --invoke grow functions.wat 16
[ "$(cat out)" = -1 ]
ok $? "--max-memory"
cat >sleep.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 20000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1)
      (i32.const 128)))))
END
SECONDS=0
run --timeout 300ms sleep.wat
[ $status = 124 ] && [ $SECONDS -lt 10 ]
ok $? "--timeout ends a program that sleeps"

# What cannot run.
run nosuch.wasm
fails 127 "open nosuch.wasm"
ok $? "no such file: 127"
run .
fails 126 "read .: "
ok $? "a folder: 126"
echo hello >garbage
run garbage
fails 126 "garbage: neither a WebAssembly module nor the text of one"
ok $? "a file of another kind: 126"
: >empty
run empty
fails 126 "empty: neither"
ok $? "an empty file: 126"
head -c 20 hello.wasm >short.wasm
run short.wasm
fails 126 "short.wasm: "
ok $? "a module that is cut off: 126"
echo '(module (func (export "_start") (i32.add)))' >wrong.wat
run wrong.wat
fails 126 "wrong.wat: "
ok $? "a module that is not valid: 126"
printf '(module\n  (func (bad)))\n' >typo.wat
run typo.wat
fails 126 "typo.wat:2:"
ok $? "text that is not well formed: the line"
echo '(module (import "env" "f" (func)) (func (export "_start")))' >import.wat
run import.wat
fails 126 'import.wat: import "env" "f": unknown import'
ok $? "an import that nobody has"
echo '(module (import "wasi_snapshot_preview1" "fd_close"
	(func (param i64))) (func (export "_start")))' >misfit.wat
run misfit.wat
fails 126 'incompatible import type: function (i64) -> () wanted, function (i32) -> i32 given'
ok $? "an import of another type"
echo '(module (memory 1000) (func (export "_start")))' >large.wat
run --max-memory 1M large.wat
fails 126 "memory 0 of 1000 pages is larger than the limit"
ok $? "a memory that is larger than it may be"
run --via jit hello.wat
[ $status = 100 ]
ok $? "a way that there is not: 100"
run
[ $status = 100 ] && [ "$(wc -l <err)" = 1 ]
ok $? "no file: 100"

# Folders.
mkdir shared
echo content >shared/file
if [ -e /usr/lib/wasm32-wasi/libc.a ] && command -v clang-19 >/dev/null; then
	cat >copy.c <<'END'
#include <errno.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
	FILE *from = fopen(argv[1], "r");
	FILE *to = from ? fopen(argv[2], "w") : NULL;
	int c;

	if (argc != 3 || !from || !to) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	while ((c = fgetc(from)) != EOF)
		fputc(c, to);
	return fclose(to) ? 2 : 0;
}
END
	clang-19 --target=wasm32-wasi -O1 -o copy.wasm copy.c >out 2>&1
	status=$?
	run --dir shared::/data copy.wasm /data/file /data/copy
	[ $status = 0 ] && cmp -s shared/file shared/copy
	ok $? "--dir grants a folder under a name"
	run copy.wasm /data/file /data/other
	[ $status = 1 ] && [ -s out ]
	ok $? "without it there is none"
	run --dir-ro shared::/data copy.wasm /data/file /data/other
	[ $status = 1 ] && [ ! -e shared/other ]
	ok $? "--dir-ro lets nothing be written"
	run --dir shared::/data copy.wasm /data/../import.wat /data/other
	[ $status = 1 ] && [ ! -e shared/other ]
	ok $? "and no way leads out of it"
	run --dir nosuch copy.wasm a b
	[ $status = 111 ] && [ "$(wc -l <err)" = 1 ] && grep -q nosuch err
	ok $? "a folder that is not there: 111"
else
	skip "folders" "no clang-19 with wasi-libc"
fi

# What never ends is refused at its first bytes.
run /dev/zero
fails 126 "/dev/zero: neither a WebAssembly module nor the text of one"
ok $? "a device without an end"
wasm validate /dev/zero
fails 126 "/dev/zero: neither"
ok $? "brood wasm of one"
mkfifo endless
for what in "cat /dev/zero" "yes nothing" "yes ''"; do
	sh -c "exec $what >endless 2>/dev/null" &
	run endless
	fails 126 "endless: neither"
	ok $? "a pipe without an end: $what"
	wait $!
done
{ head -c 60000 /dev/zero | tr '\0' '\n'; printf ';; a comment\n'; cat hello.wat; } >late.wat
"$BROOD" run <(cat late.wat) >out 2>err
status=$?
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
ok $? "a text that begins late"
{ printf ';'; sleep 0.2; printf ';\n'; cat hello.wat; } | "$BROOD" run - >out 2>err
status=$?
[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
ok $? "a text whose first sign comes in two parts"
printf '\0asm\15\0\1\0\0\0' >component.wasm
run component.wasm
fails 126 "component.wasm: a component: brood runs core modules; build it for"
ok $? "a component: what to do"
# From too little memory for anything to enough.
python3 - "$BROOD" hello.wasm >out 2>err <<'END'
import resource, subprocess, sys
program, module = sys.argv[1:]
words = []
for i in range(15):
    words += ["--env", "A%d=" % i + "x" * 100000]
def run(kb):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (kb * 1024, kb * 1024))
    try:
        ended = subprocess.run([program, "run", *words, module], timeout=60,
                               preexec_fn=limit, capture_output=True)
    except OSError:  # the words alone are too much
        return 0, ""
    return ended.returncode, ended.stderr.decode()
if run(1 << 20)[0] != 3:
    print("skip")
    sys.exit()
told = 0
for kb in range(1000, 24000, 250):
    status, text = run(kb)
    assert status != -6, kb
    if "folders and variables" in text:
        assert status == 111 and text.count("\n") == 1, text
        told += 1
assert told, "never"
END
status=$?
if [ "$(cat out)" = skip ]; then
	skip "no memory for variables" "it wants more addresses than that"
else
	ok $status "no memory for variables: 111 and why"
fi

# Sockets.
cat >serve.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv"
    (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send"
    (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown"
    (func $shutdown (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $one (param $listener i32) (local $error i32)
    (local.set $error
      (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
    (if (local.get $error) (then (call $exit (local.get $error))))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 100))
    (drop (call $recv (i32.load (i32.const 0)) (i32.const 8) (i32.const 1)
      (i32.const 0) (i32.const 16) (i32.const 20)))
    (i32.store (i32.const 12) (i32.load (i32.const 16)))
    (drop (call $send (i32.load (i32.const 0)) (i32.const 8) (i32.const 1)
      (i32.const 0) (i32.const 16)))
    (drop (call $shutdown (i32.load (i32.const 0)) (i32.const 3))))
  (func (export "_start")
    (call $one (i32.const 4))
    (call $one (i32.const 5))))
END
cat >client.py <<'END'
import socket, sys, time
def ask(family, where, text):
    for turn in range(200):
        s = socket.socket(family)
        try:
            s.connect(where)
            break
        except OSError:
            time.sleep(0.05)
    s.settimeout(20)
    s.sendall(text)
    got = b""
    while len(got) < len(text):
        more = s.recv(100)
        if not more:
            break
        got += more
    return got
assert ask(socket.AF_UNIX, "socket", b"one") == b"one"
assert ask(socket.AF_INET, ("127.0.0.1", int(sys.argv[1])), b"two") == b"two"
END
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p served
timeout 60 "$BROOD" run --dir served --listen unix:socket \
	--listen "tcp:localhost:$port" serve.wat >out 2>err </dev/null &
server=$!
timeout 50 python3 client.py "$port" 2>client.err
client=$?
wait $server
status=$?
cat client.err >>err
[ $client = 0 ] && [ $status = 0 ] && [ ! -e socket ]
ok $? "--listen: sockets behind the folders, in their order"
run --dir served serve.wat
[ $status = 8 ]
ok $? "without it there is none (EBADF)"
: >socket
run --listen unix:socket serve.wat
fails 111 "--listen unix:socket: Address already in use"
ok $? "a path that is taken: 111"
[ -e socket ]
ok $? "and what is there stays"
good=0
for word in tcp:localhost tcp:localhost:0 tcp:nosuch.example:80 tcp:1.2.3.4:70000 udp:1 unix:; do
	run --listen "$word" serve.wat
	fails 111 "--listen $word: neither tcp:" || good=1
done
ok $good "what is no address"

# Looking at modules.
wasm validate hello.wasm
[ $status = 0 ] && [ ! -s out ] && [ ! -s err ]
ok $? "validate is silent"
wasm validate wrong.wat
fails 126 "type mismatch"
ok $? "validate tells what is wrong"
wasm inspect hello.wasm
[ $status = 0 ] &&
	grep -qF '"wasi_snapshot_preview1" "fd_write": function (i32, i32, i32, i32) -> i32' out &&
	grep -qF '"_start": function () -> ()' out &&
	grep -qF '"memory": memory 1' out && grep -q '^  code .* bytes at 0x' out
ok $? "inspect lists imports, exports, sections"
wasm inspect --json hello.wasm
python3 - out >err 2>&1 <<'END'
import json, sys
it = json.load(open(sys.argv[1]))
assert [s["section"] for s in it["sections"]][:3] == ["type", "import", "function"]
assert it["imports"][0] == {"module": "wasi_snapshot_preview1", "name": "fd_write",
	"kind": "function", "index": 0, "type": "(i32, i32, i32, i32) -> i32"}
assert [e["name"] for e in it["exports"]] == ["memory", "_start"]
assert it["memories"][0]["least"] == 1 and it["functions"] == 3
END
ok $? "inspect --json"
printf '(module (func (export "a\\00\\1b[31m\\22") (result i32) (i32.const 1)))' >name.wat
wasm inspect name.wat
[ $status = 0 ] && grep -qF '"a\00\1b[31m\22": function () -> i32' out
ok $? "what a terminal would obey is shown"
wasm inspect --json name.wat
python3 -c 'import json, sys; json.load(open("out"))' 2>err
ok $? "and in JSON it is escaped"
printf '\0asm\1\0\0\0\0\13\4name\0\0\377\377\377\17' >name.wasm
wasm inspect name.wasm
[ $status = 0 ] && grep -q '^names: 0 functions$' out
ok $? "a module's name that says to be longer than its section"
python3 - <<'END'
def number(n):
    text = b""
    while n > 127:
        text, n = text + bytes([n & 127 | 128]), n >> 7
    return text + bytes([n])
def section(kind, content):
    return bytes([kind]) + number(len(content)) + content
count = 200000
body = number(1) + number(50000) + b"\x7f\x0b"
open("locals.wasm", "wb").write(b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0")
    + section(3, number(count) + bytes(count))
    + section(10, number(count) + (number(len(body)) + body) * count))
END
SECONDS=0
wasm validate locals.wasm
[ $status = 0 ] && [ ! -s err ] && [ $SECONDS -lt 5 ]
ok $? "locals cost nothing that nobody uses"
wasm to-text locals.wasm
fails 126 "locals.wasm: text of more than 64 times the module"
ok $? "a text without measure is refused"
wasm nosuch hello.wasm
fails 100 'no "wasm nosuch"'
ok $? "what wasm cannot do: 100"
wasm inspect nosuch.wasm
fails 127 "nosuch.wasm"
ok $? "wasm of what is not there: 127"
wasm from-text hello.wat -o /proc/nowhere
[ $status = 111 ] && [ "$(wc -l <err)" = 1 ]
ok $? "an output that cannot be: 111"

# ---- for containers: all variables, code that is given, /proc -----------------

cat >variables.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 64) (i32.const 8192)))
    (i32.store (i32.const 16) (i32.const 8192))
    (i32.store (i32.const 20) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1)
      (i32.const 24)))))
END
# shellcheck disable=SC2046
env -i $(seq -f 'N%g=x' 100) A=1 B=2 "$BROOD" run --cache off --env-all \
	--env A=3 --env C=4 variables.wat >out 2>err
status=$?
[ $status = 0 ] && [ "$(tr '\0' '\n' <out | grep -c '^N.*=x$')" = 100 ] &&
	[ "$(tr '\0' '\n' <out | grep -a '^[ABC]=' | sort | tr '\n' ' ')" = \
		"A=3 B=2 C=4 " ]
ok $? "--env-all: all variables, and those of --env in their place"
"$BROOD" wasm from-text hello.wat >out 2>err
"$BROOD" compile --cache "$folder/given" hello.wasm >out 2>err
object=$(find given -maxdepth 1 -type f -name '????????????????????????????????????????????????????????????????')
cp "$object" object
chmod 666 object
run --cache off --code object --verbose hello.wasm
if grep -q ': interpreted' err; then
	for words in "--code: what is given is mapped, whoever may write it" \
		"it is run in the place of FILE" \
		"what is no code, or not there, is passed over"; do
		skip "$words" "this brood interprets"
	done
else
	[ $status = 3 ] && [ "$(cat out)" = "hello, world" ] &&
		grep -q ': mapped' err
	ok $? "--code: what is given is mapped, whoever may write it"
	run --cache off --code object --verbose variables.wat
	[ $status = 3 ] && [ "$(cat out)" = "hello, world" ]
	ok $? "it is run in the place of FILE"
	head -c 100 object >short
	for code in short variables.wat . /none; do
		run --cache off --code $code --verbose hello.wasm
		[ $status = 3 ] && grep -q ': compiled' err || break
	done
	[ $status = 3 ] && grep -q ': compiled' err
	ok $? "what is no code, or not there, is passed over"
fi
cat >proc.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "path_open" (func $open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "proc/self/mem")
  (data (i32.const 96) "self/comm")
  (func (export "_start")
    (if (i32.ne (i32.const 2) (call $open (i32.const 3) (i32.const 1)
        (i32.const 64) (i32.const 13) (i32.const 0) (i64.const 66) (i64.const 0)
        (i32.const 0) (i32.const 0)))
      (then (call $exit (i32.const 1))))
    (if (call $open (i32.const 3) (i32.const 1)
        (i32.const 64) (i32.const 13) (i32.const 0) (i64.const 2) (i64.const 0)
        (i32.const 0) (i32.const 0))
      (then (call $exit (i32.const 2))))
    (if (call $open (i32.const 4) (i32.const 1)
        (i32.const 96) (i32.const 9) (i32.const 0) (i64.const 66) (i64.const 0)
        (i32.const 0) (i32.const 0))
      (then (call $exit (i32.const 3))))))
END
run --dir /::/ --dir /proc::/p proc.wat
[ $status = 0 ] && BROOD_WITHOUT=openat2 run --dir /::/ --dir /proc::/p proc.wat
[ $status = 0 ]
ok $? "nothing in /proc is opened for writing, but where it was granted"
echo "1..$count"
[ $failed = 0 ]
