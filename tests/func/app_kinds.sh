#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Applications of each kind, installed as context only: Python and a compiler
# with what they open by themselves, programs with a C library of their own,
# byte code here and in a domain, and warm starts.
# timeout: 280
# shellcheck source=tests/lib/func.sh disable=SC2016
. "$(dirname "$0")/../lib/func.sh"
export BROOD_APPS=$folder/apps BROOD_REPORT=$folder/report
share=$folder/share bin=$folder/bin
status=0
touch out err

clean_up() {
	"$BROOD" stop --all >/dev/null 2>&1
	umount "$BROOD_APPS"/.mounts/*-* 2>/dev/null
	cd /
	rm -rf "$folder"
}
trap clean_up EXIT
unpacked=(--unpacked)
[ "$(id -u)" != 0 ] || unpacked=()

run() { # WORD...
	"$@" >out 2>err
	status=$?
}

install() { # APPLIANCE: without words of its own
	run "$BROOD" app install --share "$share" --bin "$bin" \
		"${unpacked[@]}" "$@"
	[ $status = 0 ] && ! grep -q 'cannot be loaded' out
	ok $? "$(basename "$1") is installed"
}

pack() { # WORD...
	run "$BROOD" app pack "$@"
}

shared() { # the last start was one from the share
	grep '"app"' "$BROOD_REPORT" | tail -1 | grep -q '"way":"shared"'
}

# ---- a script that needs its interpreter's library ---------------------------------

python=/usr/bin/python3.11 # and no script of that name that PATH has before it
if [ -x $python ] && [ -d /usr/lib/python3.11 ]; then
	pack $python --with /usr/lib/python3.11 --release 3.11 --as python.app
	ok $status "python is packed with its standard library"
	install python.app
	cat >program.py <<-'P'
		import hashlib, json, os, sqlite3, sys
		print(json.dumps([os.__file__, sys.argv[1:],
		                  hashlib.sha256(b"x").hexdigest()[:6]]))
		sys.exit(9)
	P
	run "$bin/python3.11" program.py a b
	[ $status = 9 ] && grep -q '"a", "b"' out && shared
	ok $? "python runs a program with modules of it"
	run "$bin/python3.11" -c 'import sys; print(sys.executable, sys.prefix)'
	[ $status = 0 ] && grep -q "$BROOD_APPS\|$share" out
	ok $? "they are those of the payload"
	echo 'print(6 * 7)' | "$bin/python3.11" - >out 2>err
	[ "$(cat out)" = 42 ]
	ok $? "it reads a program"
	run "$BROOD" app uninstall python3.11
	[ ! -e "$bin/python3.11" ]
	ok $? "python is uninstalled"
else
	skip "python" "there is none with a library"
fi

# ---- a compiler -----------------------------------------------------------------------

resource=/usr/lib/llvm-19/lib/clang/19
if command -v clang-19 >/dev/null && [ -d $resource ]; then
	pack clang-19 --with $resource --as clang.app
	ok $status "clang is packed with its resource folder"
	install clang.app
	cat >hello.c <<-'C'
		#include <stddef.h>
		#include <stdio.h>
		int main(void) { return puts("compiled") < 0; }
	C
	run "$bin/clang-19" -O1 hello.c -o hello
	[ $status = 0 ] && [ "$(./hello)" = compiled ] && shared
	ok $? "clang compiles and links a program"
	run "$bin/clang-19" -print-resource-dir
	grep -q "$BROOD_APPS\|$share" out
	ok $? "its resource folder is the payload's"
	run "$bin/clang-19" nothing.c
	[ $status = 1 ] && grep -q 'nothing.c' err
	ok $? "it says what is wrong"
else
	skip "clang" "it is not here"
fi

# ---- a C library of its own --------------------------------------------------------------

cat >alone.c <<-'C'
	#include <gnu/libc-version.h>
	#include <stdio.h>
	#include <stdlib.h>
	int main(int argc, char **argv)
	{
		char line[4096];
		FILE *maps = fopen("/proc/self/maps", "r");
		printf("%d %s %s\n", argc, gnu_get_libc_version(), argv[0]);
		while (maps && fgets(line, sizeof line, maps))
			fputs(line, stdout);
		system("echo child");
		return 0;
	}
C
if cc alone.c -o alone 2>err; then
	pack ./alone --own-libc --as alone.app
	ok $status "a program is packed with its C library"
	install alone.app
	run "$bin/alone" x
	[ $status = 0 ] && grep -q '^2 ' out && grep -qx child out && shared
	ok $? "it starts, and so does its child"
	! grep 'libc\.so\|ld-linux' out | grep -qv "$BROOD_APPS\|$share"
	ok $? "library and loader are the payload's"
	pack ./alone --as plain.app --name plain
	ok $status "and without it"
	install plain.app --at "$folder/plain"
	run ./plain x
	[ $status = 0 ] && ! grep 'libc\.so' out | grep -q "$BROOD_APPS\|$share"
	ok $? "then the C library is the host's"
else
	skip "a C library of its own" "there is no compiler"
fi

# ---- several entries, words and variables ---------------------------------------------------

mkdir -p tree/bin
printf '#!/bin/sh\necho one "$@" "$WHERE"\n' >tree/bin/one
printf '#!/bin/sh\necho two "$@" "$WHERE"\n' >tree/bin/two
chmod 755 tree/bin/*
pack tree --name both --argument -x --argument 'a b' --env 'WHERE=${app}' \
	--as both.app --entry one=bin/one --entry zwei=bin/two
install both.app
run "$bin/one" y
grep -q '^one -x a b y /' out
ok $? "one entry"
run "$bin/zwei" y
grep -q '^two -x a b y /' out
ok $? "and another one"
run "$BROOD" app start both/zwei z
grep -q '^two -x a b z /' out
ok $? "by its name"
! "$BROOD" app uninstall both | grep -q .
[ ! -e "$bin/one" ] && [ ! -e "$bin/zwei" ]
ok $? "an uninstall takes both away"

# ---- byte code --------------------------------------------------------------------------------

printf '(module
 (import "wasi_snapshot_preview1" "fd_write"
  (func $write (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (data (i32.const 16) "from byte code\\n")
 (func (export "_start")
  (i32.store (i32.const 0) (i32.const 16))
  (i32.store (i32.const 4) (i32.const 15))
  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (call $exit (i32.const 5))))' >code.wat
run "$BROOD" wasm from-text code.wat -o code.wasm
if [ -s code.wasm ]; then
	chmod 644 code.wasm
	pack ./code.wasm --as code.app
	ok $status "a module is packed"
	install code.app
	run "$bin/code.wasm"
	[ $status = 5 ] && grep -qx 'from byte code' out && shared
	ok $? "it starts"
	pack ./code.wasm --kind domain --name inside --entry inside=code.wasm \
		--as inside.app
	if [ $status != 0 ]; then # where it lies depends on where it was
		pack ./code.wasm --kind domain --name inside --as inside.app
	fi
	install inside.app --at "$folder/inside"
	run ./inside
	if grep -qi 'kvm\|no hypervisor' err; then
		skip "in a domain" "there is no KVM"
	else
		[ $status = 5 ] && grep -qx 'from byte code' out && shared
		ok $? "it starts in a domain"
	fi
else
	ok 1 "a module is made"
fi

# ---- warm ------------------------------------------------------------------------------------------

if [ -x $python ] && [ -d /usr/lib/python3.11 ]; then
	pack $python --with /usr/lib/python3.11 --warm --as warm.app \
		--name warm
	install warm.app
	run "$bin/python3.11" -c 'print("cold")'
	[ $status = 0 ] && grep -qx cold out && shared
	ok $? "the first warm start"
	for _ in $(seq 100); do
		ls "$XDG_CACHE_HOME"/brood/programs/*/image >/dev/null 2>&1 && break
		sleep 0.1
	done
	run "$bin/python3.11" -c 'import sys; print("warm"); sys.exit(3)'
	[ $status = 3 ] && grep -qx warm out
	ok $? "the second one"
	shared
	ok $? "it is loaded from the share"
	tail -1 "$BROOD_REPORT" | grep -q '"way":"hatch"' &&
		tail -1 "$BROOD_REPORT" | grep -q "program\":\"\($BROOD_APPS\|$share\)/"
	ok $? "and goes by its template"
else
	skip "warm starts" "there is no python with a library"
fi

echo "1..$count"
[ $failed = 0 ]
