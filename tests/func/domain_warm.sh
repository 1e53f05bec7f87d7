#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Warm states of domains, and domains that start others, as their users meet
# them.  Without KVM a process takes a domain's place.
# timeout: 200
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
export BROOD_IMAGES=$folder/images

run() { # WORD...; standard input is ours
	timeout 60 "$BROOD" run "$@" >out 2>err
	status=$?
}

# Reads lines, and tells for each how many there were, and a number that it
# made up when it began; it has a file open from before.
cat >counter.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get"
    (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "brood" "ready" (func $ready))
  (memory (export "memory") 1)
  (global $count (mut i32) (i32.const 48))
  (data (i32.const 64) "? then x\n")
  (data (i32.const 96) "words.txt")
  ;; 0: an iovec, 8: what came of it, 16: a byte that was read
  (func $put (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8))))
  (func $get (param $fd i32) (result i32)
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (local.get $fd) (i32.const 0) (i32.const 1)
      (i32.const 8)))
    (i32.load (i32.const 8)))
  (func (export "prepare")
    (global.set $count (i32.const 65)))
  (func (export "random") (param) (result i64)
    (drop (call $random (i32.const 32) (i32.const 8)))
    (i64.load (i32.const 32)))
  (func (export "_start")
    ;; words.txt of the folder, its first byte read
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 9)
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
      (i32.const 40)))
    (drop (call $get (i32.load (i32.const 40))))
    (call $ready)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (call $get (i32.const 0))))
        (br_if $next (i32.ne (i32.load8_u (i32.const 16)) (i32.const 10)))
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.const 64) (global.get $count))
        (i32.store8 (i32.const 71) (i32.const 45))
        (if (call $get (i32.load (i32.const 40)))
          (then (i32.store8 (i32.const 71) (i32.load8_u (i32.const 16)))))
        (call $put (i32.const 64) (i32.const 9))
        (br $next)))))
END
mkdir shared
printf 'abcdefgh' >shared/words.txt

run --in domain --dir shared counter.wat < <(printf '1\n2\n')
[ $status = 0 ] && [ "$(cat out)" = "1 then b
2 then c" ]
ok $? "a program that counts"

run --dir shared --until stdin --save one counter.wat </dev/null
[ $status = 0 ] && [ ! -s out ] && grep -q "kept as one: 3 layers" err
ok $? "it is kept where it reads its input"
run --dir shared --from one < <(printf 'x\n')
[ $status = 0 ] && [ "$(cat out)" = "1 then b" ]
ok $? "and goes on from there, its file where it was"
run --dir shared --from one < <(printf 'x\ny\n')
[ $status = 0 ] && [ "$(tail -1 out)" = "2 then c" ]
ok $? "any number of times"

run --dir shared --from one --until stdin --save two < <(printf '1\n2\n3\n')
[ $status = 0 ] && [ "$(tail -1 out)" = "3 then d" ] &&
	grep -q "kept as two: 4 layers" err
ok $? "a difference on top, with input that it has seen"
run --dir shared --from two < <(printf 'x\n')
[ $status = 0 ] && [ "$(cat out)" = "4 then e" ]
ok $? "base, module and two differences"
run --dir shared --from one < <(printf 'x\n')
[ "$(cat out)" = "1 then b" ]
ok $? "the one below is what it was"

run --dir shared --until ready --save ready counter.wat </dev/null
[ $status = 0 ] && run --dir shared --from ready < <(printf 'x\n') &&
	[ "$(cat out)" = "1 then b" ]
ok $? "it is kept where it says that it is ready"
run --dir shared --until prepare --save prepared counter.wat </dev/null
[ $status = 0 ] && run --dir shared --from prepared < <(printf 'x\n') &&
	[ "$(cat out)" = "B then b" ]
ok $? "it is kept when a function has returned"

# Many at once.
for i in 1 2 3 4 5 6 7 8; do
	printf 'x\ny\n' | timeout 60 "$BROOD" run --dir shared --from two >out.$i &
done
wait
status=0
for i in 1 2 3 4 5 6 7 8; do
	[ "$(tail -1 out.$i)" = "5 then f" ] || status=1
done
cat out.* >out
ok $status "eight at once, each its own"

# What it had open must be what it was.
run --from one </dev/null
[ $status = 126 ] && [ "$(wc -l <err)" = 1 ]
ok $? "without the folder it says so"
mv shared/words.txt kept.txt
printf 'abcdefghi' >shared/words.txt
run --dir shared --from one </dev/null
[ $status = 126 ] && grep -q "has changed" err
ok $? "and where the file has changed"
mv kept.txt shared/words.txt

run --dir shared --until stdin --save nothing hello.wat </dev/null
[ $status = 127 ] && [ "$(wc -l <err)" = 1 ]
ok $? "no such file"
cat >short.wat <<'END'
(module (memory 1) (func (export "_start")))
END
run --until stdin --save short short.wat </dev/null
[ $status = 126 ] && grep -q "has ended before" err &&
	! "$BROOD" image show short >/dev/null 2>&1
ok $? "what ends before is not kept"
run --until nosuch --save short short.wat </dev/null
[ $status = 126 ] && grep -q 'no function "nosuch"' err
ok $? "nor what has no such function"
run --until stdin short.wat </dev/null
[ $status = 100 ]
ok $? "--until needs --save"
base() { # TIP
	"$BROOD" image show "$1" | awk '$2 == "base" { print $3 }'
}
run --until ready --save other --fuel 1000000 --max-memory 1M --dir shared \
	counter.wat </dev/null
[ $status = 0 ] && [ -n "$(base one)" ] && [ "$(base one)" = "$(base other)" ]
ok $? "all stand on the same booted guest"
run --from nosuch </dev/null
[ $status = 127 ] && [ "$(wc -l <err)" = 1 ]
ok $? "a tip that is not there"
run --from one --in process </dev/null
[ $status = 100 ]
ok $? "a tip is for domains"
run --from one --max-memory 1M </dev/null
[ $status = 100 ]
ok $? "what the tip's making has settled cannot be said again"
run --require-kvm short.wat </dev/null
[ $status = 100 ]
ok $? "--require-kvm is for domains"
cat >reactor.wat <<'END'
(module (memory 1) (func (export "warm")))
END
run --until warm --save reactor --report report reactor.wat </dev/null
[ $status = 0 ] && grep -q '"isolation":"' report
ok $? "--report tells of what is kept"
run --from reactor </dev/null
[ $status = 126 ] && grep -q 'no function "_start"' err
ok $? "a tip that has nothing to go on with"
timeout 30 "$BROOD" machine start one >out 2>err
status=$?
[ $status != 0 ] && grep -q "no machine" err
ok $? "a domain's tip is no machine's"

# Carried.
timeout 60 "$BROOD" image export two two.bundle >out 2>err &&
	BROOD_IMAGES=$folder/other timeout 60 "$BROOD" image import two.bundle \
		>out 2>err &&
	BROOD_IMAGES=$folder/other run --dir shared --from two < <(printf 'x\n')
if timeout 30 "$BROOD" run --in domain --require-kvm short.wat 2>/dev/null; then
	[ "$status" = 0 ] && [ "$(cat out)" = "4 then e" ]
	ok $? "a tip is carried to another folder, with all that it needs"
else
	[ $status = 126 ] && grep -q "made elsewhere" err
	ok $? "a tip that was carried here needs KVM"
fi

# Broken bytes are refused, not run.
cp -r images broken
for f in broken/????????*; do
	[ -f "$f" ] && chmod u+w "$f" && printf 'x' |
		dd of="$f" bs=1 seek=$(($(stat -c %s "$f") - 1)) conv=notrunc 2>/dev/null
done
BROOD_IMAGES=$folder/broken run --dir shared --from two </dev/null
[ $status != 0 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ]
ok $? "a tip with a wrong byte is refused"

# Made and served in one.
if timeout 60 "$BROOD" serve --in domain --dir shared --until stdin served -- \
	counter.wat >out 2>err </dev/null; then
	for i in 1 2 3 4 5 6; do
		printf 'x\ny\n' | timeout 60 "$BROOD" launch served >out.$i 2>err.$i &
	done
	wait
	status=0
	for i in 1 2 3 4 5 6; do
		[ "$(cat out.$i)" = "1 then b
2 then c" ] || status=1
	done
	cat out.? >out
	cat err.? >err
	ok $status "a warm state is served, and launched six times at once"
	timeout 30 "$BROOD" stop served >out 2>err
	status=$?
	ok $status "and stopped"
else
	status=1
	ok 1 "a warm state is served"
fi
timeout 30 "$BROOD" serve --in domain --until stdin counter.wat >out 2>err </dev/null
status=$?
[ $status = 100 ] && [ "$(wc -l <err)" = 1 ]
ok $? "a warm state needs a name"

# What was kept in the cache goes when it is told to.
ls "$XDG_CACHE_HOME"/brood/code/domains/tips/module.* >/dev/null 2>&1 || status=1
timeout 30 "$BROOD" cache prune --all --dry-run >out 2>err
grep -q "beginnings of domains would go" out
ok $? "cache prune --dry-run tells of what domains begin as"
timeout 30 "$BROOD" cache prune --all >out 2>err
status=$?
[ $status = 0 ] && ! ls "$XDG_CACHE_HOME"/brood/code/domains/tips/* >/dev/null 2>&1
ok $? "cache prune removes that"
run --in domain --dir shared counter.wat < <(printf '1\n')
[ $status = 0 ] && [ "$(cat out)" = "1 then b" ]
ok $? "and it is kept anew"

# Random numbers are the clone's own, the first that it asks for too.
cat >dice.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get"
    (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $set (mut i32) (i32.const 0))
  (func (export "prepare") (global.set $set (i32.const 1)))
  (func (export "answer") (param i32) (result i32)
    (i32.add (local.get 0) (global.get $set)))
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $random (i32.const 32) (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8)))))
END
run --until prepare --save dice dice.wat </dev/null
for i in 1 2 3 4; do
	timeout 60 "$BROOD" run --from dice </dev/null >dice.$i
	[ "$(wc -c <dice.$i)" = 16 ] || status=1
	sha256sum <dice.$i
done | sort | uniq -d >out
[ $status = 0 ] && [ ! -s out ]
ok $? "two clones have other random numbers"
run --from dice --invoke answer 41 </dev/null
[ $status = 0 ] && [ "$(cat out)" = 42 ]
ok $? "an export of a warm state is called"
run --from one --dir shared --invoke answer 41 </dev/null
[ $status = 126 ] && grep -q "in the middle of a call" err
ok $? "but not of one in the middle of a call"

# A program that waits for its input before it reads it.
cat >polls.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store8 (i32.const 72) (i32.const 1)) ;; a subscription at 64
    (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1)
      (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 256))
    (i32.store (i32.const 4) (i32.const 64))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8)))))
END
run --until stdin --save polls polls.wat </dev/null
[ $status = 0 ] && run --from polls < <(printf 'input\n') &&
	[ "$(cat out)" = input ]
ok $? "a program that waits for its input is kept there"

# What is carried here runs behind a VM's walls, or not at all.
run --until prepare --save mine dice.wat </dev/null
BROOD_WITHOUT=kvm run --from mine </dev/null
[ $status = 0 ] && [ "$(wc -c <out)" = 16 ]
ok $? "what was made here runs without KVM"
timeout 60 "$BROOD" image export mine mine.bundle >out 2>err &&
	BROOD_IMAGES=$folder/foreign timeout 60 "$BROOD" image import \
		mine.bundle >out 2>err
BROOD_IMAGES=$folder/foreign BROOD_WITHOUT=kvm run --from mine </dev/null
[ $status = 126 ] && grep -q "made elsewhere" err
ok $? "what was made elsewhere does not"

run --until random --save chance counter.wat </dev/null
[ $status = 126 ]
ok $? "a function with results cannot be what it is kept behind"

mkfifo silent
exec 9<>silent
run --dir shared --timeout 300ms --until stdin --save late counter.wat <&9
exec 9<&-
[ $status = 124 ] && ! "$BROOD" image show late >late 2>&1
ok $? "it is waited for input as long as --timeout says"

# Fuel: what was used up before is gone; without --fuel there is no limit.
cat >fuel.wat <<'END'
(module
  (memory 1)
  (func $spin (local $i i32)
    (loop $next
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 10000)))))
  (func (export "warm") (call $spin))
  (func (export "_start") (call $spin)))
END
run --fuel 30000 --until warm --save counts fuel.wat </dev/null
[ $status = 0 ]
ok $? "a tip of code that counts"
run --from counts --fuel 30000 </dev/null
[ $status = 0 ] && run --from counts --fuel 15000 </dev/null &&
	[ $status = 125 ]
ok $? "is limited by another --fuel"
run --from counts </dev/null
[ $status = 0 ]
ok $? "and by none"
run --from counts --until warm --save counts2 </dev/null
[ $status = 0 ] && run --from counts2 --fuel 35000 </dev/null &&
	[ $status = 0 ] && run --from counts2 --fuel 25000 </dev/null &&
	[ $status = 125 ]
ok $? "a tip on top counts on"

# Domains that start others.
cat >parent.wat <<'END'
(module
  (import "brood" "start"
    (func $start (param i32 i32 i32 i32) (result i32)))
  (import "brood" "wait" (func $wait (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "childnobody")
  (data (i32.const 32) "one\00two\00")
  (func (export "_start") (local $a i32) (local $b i32)
    (local.set $a (call $start (i32.const 0) (i32.const 5)
      (i32.const 32) (i32.const 8)))
    (local.set $b (call $start (i32.const 0) (i32.const 5)
      (i32.const 32) (i32.const 4)))
    (if (i32.lt_s (local.get $b) (i32.const 0))
      (then (call $exit (i32.const 90))))
    (if (i32.ge_s (call $start (i32.const 5) (i32.const 6) (i32.const 0)
        (i32.const 0)) (i32.const 0))
      (then (call $exit (i32.const 91))))
    (if (i32.ge_s (call $start (i32.const 65535) (i32.const 6) (i32.const 0)
        (i32.const 0)) (i32.const 0))
      (then (call $exit (i32.const 95))))
    (if (call $wait (local.get $a) (i32.const 100))
      (then (call $exit (i32.const 92))))
    (if (call $wait (local.get $b) (i32.const 104))
      (then (call $exit (i32.const 93))))
    (if (i32.eqz (call $wait (local.get $b) (i32.const 104)))
      (then (call $exit (i32.const 94))))
    (call $exit (i32.add
      (i32.mul (i32.const 10) (i32.load (i32.const 100)))
      (i32.load (i32.const 104))))))
END
cat >child.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "child\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 40)))
    (drop (call $sizes (i32.const 100) (i32.const 104)))
    (call $exit (i32.load (i32.const 100)))))
END
cat >orphan.wat <<'END'
(module
  (import "brood" "start"
    (func $start (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "child")
  (func (export "_start")
    (drop (call $start (i32.const 0) (i32.const 5) (i32.const 32)
      (i32.const 0)))))
END
cat >spin.wat <<'END'
(module (memory 1) (func (export "_start") (loop (br 0))))
END
if timeout 30 "$BROOD" run --in domain --require-kvm short.wat 2>err; then
	run --in domain --start child=child.wat parent.wat </dev/null
	[ $status = 32 ] && [ "$(cat out)" = "child
child" ]
	ok $? "a domain starts two others, and waits for them (CLAIM 3.13)"
	cat >other.wat <<-'END'
		(module
		  (import "wasi_snapshot_preview1" "proc_exit"
		    (func $exit (param i32)))
		  (memory (export "memory") 60)
		  (func (export "_start")
		    (if (i32.load (i32.const 3000000)) (then (call $exit (i32.const 77))))
		    (i32.store (i32.const 3000000) (i32.const 5))
		    (call $exit (i32.const 2))))
	END
	cat >many.wat <<-'END'
		(module
		  (import "brood" "start"
		    (func $start (param i32 i32 i32 i32) (result i32)))
		  (import "brood" "wait" (func $wait (param i32 i32) (result i32)))
		  (import "wasi_snapshot_preview1" "proc_exit"
		    (func $exit (param i32)))
		  (memory (export "memory") 1)
		  (data (i32.const 0) "childother")
		  (func (export "_start") (local $i i32)
		    (loop $next
		      (if (call $wait (call $start
		            (i32.mul (i32.and (local.get $i) (i32.const 1)) (i32.const 5))
		            (i32.const 5) (i32.const 32) (i32.const 0)) (i32.const 100))
		        (then (call $exit (i32.const 9))))
		      (if (i32.ne (i32.load (i32.const 100))
		            (i32.add (i32.const 1) (i32.and (local.get $i) (i32.const 1))))
		        (then (call $exit (i32.const 8))))
		      (br_if $next (i32.lt_u
		        (local.tee $i (i32.add (local.get $i) (i32.const 1)))
		        (i32.const 100))))))
	END
	run --in domain --start child=child.wat --start other=other.wat many.wat \
		</dev/null
	[ $status = 0 ] && [ "$(grep -c child out)" = 50 ]
	ok $? "two programs in turns, in machines that are used again"
	run --in domain --start child=spin.wat orphan.wat </dev/null
	[ $status = 0 ] && [ ! -s err ]
	ok $? "what it left running ends with it, without a word"
	run --in domain --start child=none.wat parent.wat </dev/null
	[ $status = 90 ] && grep -q none.wat err
	ok $? "a child whose file is not there"
else
	skip "domains that start others" "$(head -1 err)"
fi
bad=
for words in child= =child.wat "a=short.wat --start a=child.wat"; do
	# shellcheck disable=SC2086
	run --in domain --start $words short.wat </dev/null
	[ $status = 100 ] || bad=$words
done
[ -z "$bad" ]
ok $? "a child without name or file, or two of a name"
run --in domain parent.wat </dev/null
[ $status = 90 ]
ok $? "what was not granted is not started"
run parent.wat </dev/null
[ $status = 126 ] && grep -q '"brood" "start"' err
ok $? "a process has no such import"
echo "1..$count"
[ $failed = 0 ]
