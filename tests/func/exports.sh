#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library gives what its headers declare, no more and no less, and each of
# its symbols has a version.
# needs: readelf
# needs: nm
# needs: gcc
# timeout: 60
# beside others
# shellcheck source=tests/lib/func.sh
source "$(dirname "$0")/../lib/func.sh"
library=$BUILD/libbrood.so
include=$(realpath "$here/../../include")

# What gcc has understood of all headers, but what is static in them.
declared() {
	local header
	for header in "$include"/wasm.h "$include"/brood/*.h; do
		printf '#include "%s"\n' "$header"
	done >all.c
	gcc -std=gnu17 -D_GNU_SOURCE -I"$include" -fsyntax-only \
		-aux-info all.info all.c 2>err &&
		grep -F "/* $include/" all.info |
		sed -n 's/.* extern [^(]*[ *]\([a-z_0-9]*\) (.*/\1/p' |
			sort -u
}

exported() { # FILE: names with their versions
	nm -D --defined-only --with-symbol-versions "$1" |
		awk '$3 !~ /^BROOD_/ { print $3 }' | sort
}

declared >declared
grep -qx wasm_engine_new declared && grep -qx brood_launch declared &&
	[ "$(wc -l <declared)" -gt 250 ]
status=$?
cp declared out
ok $status "the headers declare functions, and these are found"
exported "$library" >symbols
sed 's/@.*//' symbols >exported
# What brood.h has for programs that are served: the shim gives it to them, the
# library does not.
grep -qx brood_ready declared && ! grep -qx brood_ready exported &&
	exported "$BUILD/brood-shim.so" | grep -qx brood_ready
ok $? "brood_ready is the shim's"
comm -13 declared exported >out
[ ! -s out ]
ok $? "what is exported is declared"
comm -23 <(grep -vx brood_ready declared) exported >out
[ ! -s out ]
ok $? "what is declared is exported"
grep -v '@@BROOD_[0-9.]*$' symbols >out
[ ! -s out ] && [ -s symbols ]
ok $? "each symbol has a version"
readelf -dW "$library" >out 2>err
grep -q 'SONAME.*\[libbrood\.so\.0\]' out
ok $? "the library's own name is libbrood.so.0"
if [ -f "$BUILD/public/libbrood.a" ]; then
	nm -g --defined-only "$BUILD/public/libbrood.a" 2>err |
		awk 'NF == 3 { print $3 }' | sort -u |
		diff exported - >out
	ok $? "the static library has the same names"
else
	skip "the static library has the same names" "it is not built"
fi
echo "1..$count"
[ $failed = 0 ]
