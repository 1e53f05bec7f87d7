#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The standard C API of WebAssembly as clients of other engines use it:
# #include <wasm.h>, -lbrood, in C and C++.
# timeout: 180
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
include=$here/../../include
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-wasm-api.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder/out" "$folder/err" | head -20
	fi
}

skip() { # WORDS
	count=$((count + 1))
	echo "ok $count - # SKIP $1"
}

: >"$folder/out"
sanitize=
nm "$BUILD/libbrood.a" 2>/dev/null | grep -q __asan_ &&
	sanitize=-fsanitize=address,undefined
# As an install has it.
ln -s "$BUILD/libbrood.so" "$folder/libbrood.so"
ln -s "$BUILD/libbrood.so" "$folder/libbrood.so.0"
export LD_LIBRARY_PATH=$folder

echo '#include <wasm.h>' >"$folder/header.c"
for standard in c11 c17 gnu17; do
	"${CC:-cc}" "-std=$standard" -Wall -Wextra -Werror -I"$include" \
		-fsyntax-only "$folder/header.c" >"$folder/out" 2>"$folder/err"
	ok $? "wasm.h is good $standard"
done
cxx=$(command -v g++ || command -v clang++ || command -v clang++-19)
cat >"$folder/client.cc" <<'C'
#include <wasm.h>
int main()
{
	wasm_engine_t *engine = wasm_engine_new();
	wasm_functype_t *type = wasm_functype_new_2_1(
		wasm_valtype_new_i32(), wasm_valtype_new_externref(),
		wasm_valtype_new_f64());
	size_t params = wasm_functype_params(type)->size;
	wasm_functype_delete(type);
	wasm_engine_delete(engine);
	return params == 2 && engine ? 0 : 1;
}
C
if [ -n "$cxx" ]; then
	# shellcheck disable=SC2086
	"$cxx" -std=c++11 -Wall -Wextra -Werror -I"$include" $sanitize \
		"$folder/client.cc" -o "$folder/client" -L"$folder" -lbrood \
		>"$folder/out" 2>"$folder/err" && "$folder/client"
	ok $? "a client in C++11"
else
	skip "no C++ compiler"
fi

# Functions that the header defines itself are not the library's.
"${CC:-cc}" -E -I"$include" "$folder/header.c" | tr '\n' ' ' >"$folder/whole"
grep -oE 'static inline [^(]*' "$folder/whole" | grep -oE 'wasm_[a-z0-9_]+ *$' |
	tr -d ' ' | sort -u >"$folder/inline"
grep -oE 'wasm_[a-z0-9_]+ *\(' "$folder/whole" | tr -d ' (' | sort -u |
	comm -23 - "$folder/inline" >"$folder/declared"
nm -D --defined-only "$BUILD/libbrood.so" | sed 's/@.*//' |
	awk '$2 == "T" && $3 ~ /^wasm_/ { print $3 }' | sort >"$folder/exported"
[ "$(wc -l <"$folder/declared")" -gt 250 ] &&
	diff "$folder/declared" "$folder/exported" >"$folder/out" 2>"$folder/err"
ok $? "libbrood.so has all functions of wasm.h and no other wasm_..."

# shellcheck disable=SC2086
"${CC:-cc}" -Wall -Wextra -Werror $sanitize -I"$include" \
	"$here/../../examples/wasm.c" -o "$folder/wasm" -L"$folder" -lbrood \
	>"$folder/out" 2>"$folder/err"
ok $? "the example compiles against wasm.h and -lbrood"
timeout 20 "$folder/wasm" >"$folder/out" 2>"$folder/err" &&
	[ "$(tr '\n' ' ' <"$folder/out")" = "1 4 9 16 25 5 squares " ] &&
	[ "$(timeout 20 "$folder/wasm" 1 | wc -l)" = 2 ]
ok $? "the example runs"
echo "1..$count"
[ $failed = 0 ]
