#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generated modules with optimised code against the interpreter, some at each
# run (tests/fuzz/optimised.c; it takes any number of them).
# timeout: 200
BUILD=${BUILD:-$(dirname "$0")/../../build}
echo 1..1
if [ ! -x "$BUILD/brood-aotc" ]; then
	echo "ok 1 - generated modules # SKIP there is no brood-aotc: it needs" \
		"llvm-19-dev and clang-19"
elif said=$("$BUILD/tests/fuzz/optimised" compare 1 60 60); then
	echo "$said"
	echo "ok 1 - generated modules, optimised"
else
	echo "$said" | sed 's/^/# /'
	echo "not ok 1 - generated modules, optimised"
	exit 1
fi
