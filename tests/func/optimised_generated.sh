#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generated modules with optimised code against the interpreter, some at each
# run (tests/fuzz/optimised.c; it takes any number of them).
# timeout: 300
# beside others
BUILD=${BUILD:-$(dirname "$0")/../../build}
failed=0

compare() { # NUMBER KIND WORDS
	local number=$1 kind=$2 words=$3 said
	if [ ! -x "$BUILD/brood-aotc" ]; then
		echo "ok $number - $words # SKIP there is no brood-aotc: it" \
			"needs llvm-19-dev and clang-19"
	elif said=$("$BUILD/tests/fuzz/optimised" "$kind" 1 60 60); then
		echo "$said"
		echo "ok $number - $words"
	else
		echo "$said" | sed 's/^/# /'
		echo "not ok $number - $words"
		failed=1
	fi
}

echo 1..2
compare 1 compare "generated modules, optimised"
compare 2 loops "generated loops, optimised"
exit $failed
