#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generated modules give here, interpreted and compiled, what they give in
# other engines, trap for trap: in node, in wabt's interpreter, in wasmtime
# where Python has it.  And compiled in each way of the compiler they give
# what they give interpreted.
#	DIFFERENTIAL=N		modules for each engine (300)
#	DIFFERENTIAL_FIRST=N	the first one's number (1)
#	DIFFERENTIAL_PYTHON=P	the Python that has wasmtime (python3)
# What differs is kept in /tmp/brood-differential, to be made again by
# "differential make FOLDER N 1 FEATURES".
# timeout: 36000
# beside others
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
tool=$BUILD/tests/fuzz/differential
fuzz=$here/../fuzz
total=${DIFFERENTIAL:-300}
first=${DIFFERENTIAL_FIRST:-1}
python=${DIFFERENTIAL_PYTHON:-python3}
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-differential.XXXXXX") || exit 1
kept=/tmp/brood-differential
trap 'rm -rf "$folder"' EXIT
count=0 failed=0
BATCH=250

# Words that one engine does not tell apart are one.  Which of two reasons of
# the same access comes first is nowhere said.
same_words() {
	sed -e 's/trap: unaligned atomic/trap: out of bounds memory access/' \
		-e 's/trap: undefined element/trap: out of bounds table access/' \
		-e 's/trap: null .* reference/trap: null reference/' "$@"
}

# V8 has one message for conversions, and one for calls.
coarse() {
	same_words \
		-e 's/trap: integer overflow/trap: conversion/' \
		-e 's/trap: invalid conversion to integer/trap: conversion/' \
		-e 's/trap: uninitialized element/trap: indirect call type mismatch/'
}

with_node() { # FILE...
	timeout 600 node "$fuzz/differential.mjs" "$@"
}

with_wasmtime() { # FILE...
	timeout 600 "$python" "$fuzz/differential.py" "$@"
}

with_wabt() { # FILE...
	local file
	for file in "$@"; do
		timeout 60 wasm-interp --enable-tail-call --run-all-exports \
			"$file" 2>&1 | sed -e "s|^|${file##*/} |" \
			-e 's/() => i64:/ /' -e 's/() => error: / trap: /' \
			-e 's/error initializing module: /start trap: /' \
			-e 's/: access at.*//; s/: memory\..*//' \
			-e 's/: table\..*//' \
			-e 's/unreachable executed/unreachable/' \
			-e 's/indirect call signature mismatch/indirect call type mismatch/' \
			-e 's/uninitialized table element/uninitialized element/' \
			-e 's/undefined table index/undefined element/'
	done
}

keep() { # NAME: the files whose lines differ
	local name
	mkdir -p "$kept"
	sed -n 's/^[<>] \([^ ]*\).*/\1/p' "$folder/difference" | sort -u |
		head -20 | while read -r name; do
		[ -f "$folder/$name" ] && cp "$folder/$name" "$kept/$1-$name"
	done
}

# wabt's interpreter has bugs: what it gives is not compared where node gives
# what we do.
without_known() {
	local name files
	command -v node >/dev/null || return
	sed -n 's/^[<>] \([^ ]*\).*/\1/p' "$folder/difference" | sort -u |
		while read -r name; do
			"$tool" run "$folder/$name" | coarse >"$folder/a"
			with_node "$folder/$name" | coarse >"$folder/b"
			cmp -s "$folder/a" "$folder/b" || continue
			echo "# $name: node gives what we do, wabt does not"
			for files in ours theirs difference; do
				sed -i "/^[<> ]*$name /d" "$folder/$files"
			done
		done
}

compare() { # NAME FEATURES NORMALISE
	local at=$first left=$total size differ=0 lines=0
	while [ "$left" -gt 0 ]; do
		size=$((left < BATCH ? left : BATCH))
		rm -f "$folder"/*.wasm
		"$tool" make "$folder" "$at" "$size" "$2" || return 1
		"$tool" run "$folder"/*.wasm 2>&1 | "$3" >"$folder/ours"
		"$tool" run compiled "$folder"/*.wasm 2>&1 | "$3" \
			>"$folder/compiled"
		if ! diff "$folder/ours" "$folder/compiled" \
			>"$folder/difference"; then
			differ=1
			echo "# interpreted and compiled differ:"
			head -8 "$folder/difference" | sed 's/^/# /'
			keep compiled
		fi
		"with_$1" "$folder"/*.wasm 2>&1 | "$3" >"$folder/theirs"
		if ! diff "$folder/ours" "$folder/theirs" >"$folder/difference" &&
			[ "$1" = wabt ]; then
			without_known
		fi
		if ! cmp -s "$folder/ours" "$folder/theirs"; then
			differ=1
			head -8 "$folder/difference" | sed 's/^/# /'
			keep "$1"
		fi
		lines=$((lines + $(wc -l <"$folder/ours")))
		at=$((at + size)) left=$((left - size))
	done
	count=$((count + 1))
	if [ $differ = 0 ] && [ $lines -gt "$total" ]; then
		echo "ok $count - $1: $total modules, $lines results ($2)"
	else
		failed=$((failed + 1))
		echo "not ok $count - $1: $total modules ($2)"
	fi
}

skip() { # WORDS
	count=$((count + 1))
	echo "ok $count - # SKIP $1"
}

# Waiting is left out, for there is nobody to wake.
count=1
never=$("$tool" operations 1 400 | awk '$1 == 0 && !/memory.atomic.wait/')
if [ -z "$never" ]; then
	echo "ok 1 - 400 modules have each operation"
else
	failed=1
	echo "not ok 1 - 400 modules have each operation"
	echo "# $never"
fi
count=2
if "$tool" compare "$first" "$total" >"$folder/differ"; then
	echo "ok 2 - $total modules, each compiled in 18 ways, and in domains"
else
	failed=$((failed + 1))
	echo "not ok 2 - $total modules, each compiled in 18 ways, and in domains"
	head -20 "$folder/differ" | sed 's/^/# /'
fi
if command -v node >/dev/null; then
	has=$(node "$fuzz/differential.mjs" --features)
	compare node "${has/,relaxed/}" coarse
	compare node imports coarse
else
	skip "no node to compare with"
fi
if command -v wasm-interp >/dev/null; then
	compare wabt simd,tail same_words
else
	skip "no wasm-interp to compare with"
fi
if "$python" -c 'import wasmtime' 2>/dev/null; then
	compare wasmtime simd,tail,atomics,exceptions,gc,memories,memory64,wide,imports same_words
	compare wasmtime gc,exceptions,imports same_words
else
	skip "no wasmtime to compare with"
fi
echo "1..$count"
[ $failed = 0 ]
