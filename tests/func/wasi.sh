#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# WASI as guests see it: small C programs (tests/wasi), made when they are
# tested, print what they see.  Each runs here twice, with and without
# openat2, and where node is, under its WASI too, unless the source says that
# node does otherwise.
# timeout: 300
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
BROOD=${BROOD:-$BUILD/brood}
guests=$here/../wasi
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-wasi.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder"/{difference,err} 2>/dev/null | head -30
	fi
}

skip() { # WORDS WHY
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# ---- the compiler ---------------------------------------------------------------

compile() { # SOURCE MODULE
	"$compiler" --target=wasm32-wasi "${sysroot[@]}" -O2 -Wall -Wextra \
		-Werror "$1" -o "$2" 2>"$folder/err"
}

find_compiler() {
	echo 'int main(void) { return 0; }' >"$folder/empty.c"
	for compiler in ${WASI_CC:-} clang-19 clang; do
		command -v "$compiler" >/dev/null || continue
		for root in "" /usr /usr/share/wasi-sysroot; do
			sysroot=()
			[ -n "$root" ] && sysroot=("--sysroot=$root")
			compile "$folder/empty.c" "$folder/empty.wasm" && return
		done
	done
	return 1
}

# ---- a guest and what its source says ------------------------------------------

told() { # SOURCE KEY: its lines " * KEY: VALUE"
	sed -n "s,^ \* $2: *\(.*[^ ]\)\( *\*/\)*\$,\1,p" "$1" | sed 's, *\*/$,,'
}

# What lies around the folder of the guest that tries to leave it.
lay_escape() { # PLACE
	mkdir -p "$1/root/in/deep" "$1/outside"
	echo secret >"$1/secret"
	echo file >"$1/outside/file"
	echo ours >"$1/root/ours"
	ln -s .. "$1/root/up"
	ln -s /etc/passwd "$1/root/abs"
	ln -s ../outside "$1/root/out"
	ln -s ../../../secret "$1/root/in/deep/high"
	ln -s ../../ours "$1/root/in/deep/fine"
}

escaped() { # PLACE: what has changed there
	[ "$(cat "$1/secret")" = secret ] && [ -f "$1/outside/file" ] &&
		[ "$(ls "$1")" = "$(printf 'outside\nroot\nsecret')" ] &&
		[ "$(ls "$1/outside")" = file ] &&
		[ ! -e /tmp/brood-made ] && return
	{ echo "it got out:"; ls -R "$1"; } >"$folder/difference"
	return 1
}

# Runs it in a place of its own; what it prints is in $folder/out.
run_guest() { # NAME COMMAND...
	local source=$guests/$1.c name=$1 place options=() words=() line
	shift
	place=$(mktemp -d "$folder/place.XXXXXX")
	mkdir "$place/root"
	options=(--dir "$place/root::/")
	[ "$(told "$source" fixture)" = escape ] && lay_escape "$place"
	for line in $(told "$source" folder); do
		mkdir "$place$line"
		options+=(--dir "$place$line::$line")
	done
	while read -r line; do
		options+=(--env "$line")
	done < <(told "$source" env)
	eval "words=($(told "$source" arguments))"
	printf '%b' "$(told "$source" input)" | timeout 60 "$@" "${options[@]}" \
		"$folder/$name.wasm" "${words[@]}" \
		>"$folder/out" 2>"$folder/err"
	status=${PIPESTATUS[1]}
	cat "$folder/err" >>"$folder/out"
	line=0
	[ "$(told "$source" fixture)" = escape ] &&
		{ escaped "$place" || line=1; }
	rm -rf "$place"
	return $line
}

# The guest's output and status are what they should be.
as_expected() { # NAME COMMAND...
	local want
	want=$(told "$guests/$1.c" status)
	run_guest "$@" || return 1
	diff "$guests/$1.expected" "$folder/out" >"$folder/difference" &&
		[ "$status" = "${want:-0}" ] && return
	echo "status $status" >>"$folder/difference"
	return 1
}

try_guest() { # NAME
	local why
	if ! compile "$guests/$1.c" "$folder/$1.wasm"; then
		ok 1 "$1: compiled"
		return
	fi
	as_expected "$1" "$BROOD" run
	ok $? "$1"
	as_expected "$1" env BROOD_WITHOUT=openat2 "$BROOD" run
	ok $? "$1, without openat2"
	why=$(told "$guests/$1.c" node)
	if [ -n "$why" ]; then
		return
	elif [ -n "$node" ]; then
		as_expected "$1" node --no-warnings "$guests/node.mjs"
		ok $? "$1, under node"
	else
		skip "$1, under node" "no node with WASI"
	fi
}

node=
[ "$(node -p 'process.versions.node.split(".")[0] >= 20' 2>/dev/null)" = true ] &&
	node=yes
if find_compiler; then
	for source in "$guests"/*.c; do
		try_guest "$(basename "$source" .c)"
	done
else
	for source in "$guests"/*.c; do
		skip "$(basename "$source" .c)" "no compiler for wasm32-wasi"
	done
fi

# ---- modules in text, at the edge of what they may ask --------------------------

for source in "$guests"/*.wat; do
	name=$(basename "$source" .wat)
	mkdir -p "$folder/plain"
	timeout 60 "$BROOD" run --dir "$folder/plain::/" "$source" \
		>"$folder/out" 2>"$folder/err" </dev/null
	status=$?
	want=$(sed -n 's/^;; status: //p' "$source")
	[ "$status" = "${want:-0}" ] &&
		diff <(sed -n 's/^;; > //p' "$source") "$folder/out" \
			>"$folder/difference"
	ok $? "$name.wat"
done

# ---- what the command grants ----------------------------------------------------

module=$folder/files.wasm
if [ -f "$module" ]; then
	mkdir -p "$folder/kept"
	echo old >"$folder/kept/old"
	timeout 60 "$BROOD" run --dir-ro "$folder/kept::/" "$module" \
		>"$folder/out" 2>"$folder/err"
	grep -q 'O_EXCL | O_RDWR, 0644): ENOTCAPABLE' "$folder/out" &&
		[ "$(ls "$folder/kept")" = old ]
	ok $? "a folder that may be read only stays as it is"
	timeout 60 "$BROOD" run "$module" >"$folder/out" 2>"$folder/err"
	[ "$(grep -c ': ok$' "$folder/out")" = 0 ]
	ok $? "without a folder there is no file"
	timeout 60 "$BROOD" run --dir "$folder/none::/" "$module" \
		>"$folder/out" 2>"$folder/err"
	[ $? = 111 ] && grep -q 'open folder .*/none: No such file' "$folder/err"
	ok $? "a folder that is not there: 111 and why"
	timeout 60 "$BROOD" run "$folder/standard.wasm" <&- >"$folder/out" \
		2>"$folder/err"
	grep -q '^end 0$' "$folder/out"
	ok $? "a closed standard input is none"
	HOME=/nowhere timeout 60 "$BROOD" run --env A=1 "$folder/environ.wasm" \
		>"$folder/out" 2>"$folder/err"
	[ "$(cat "$folder/out")" = "$(printf 'A=1\n1\nno PATH')" ]
	ok $? "of the caller's variables none is seen"
	python3 - "$BROOD" "$folder/standard.wasm" >"$folder/out" \
		2>"$folder/err" <<'END'
import os, pty, signal, subprocess, sys
signal.alarm(60)
ours, theirs = pty.openpty()
run = subprocess.Popen([sys.argv[1], "run", sys.argv[2]], stdin=theirs,
                       stdout=theirs, stderr=theirs, close_fds=True)
os.close(theirs)
os.write(ours, b"line\n\x04\x04\x04")
text = b""
try:
    while chunk := os.read(ours, 4096):
        text += chunk
except OSError:
    pass
run.wait(timeout=30)
sys.stdout.write(text.decode().replace("\r", ""))
END
	[ "$(grep -c 'is a terminal' "$folder/out")" = 3 ]
	ok $? "a terminal is seen as one"
else
	skip "what the command grants" "no compiler for wasm32-wasi"
fi
echo "1..$count"
[ $failed = 0 ]
