#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What runs compiled code can be linked without the compiler and without a C
# library: by who brings jit_features, jit_places and a few mem functions.
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-parts.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$BUILD" || exit 1
if nm libbrood.a 2>/dev/null | grep -q __asan_; then
	echo "1..0 # SKIP objects of this build need sanitizers"
	exit 0
fi
ld -r -o "$folder/parts.o" \
	host/src/jit/{run,open,out,unwind,enter,arguments}.o gen/jit/outs.o \
	host/src/cache/code_header.o host/src/wasm/*.o gen/wasm/operations.o ||
	exit 1
# The linker finds the section's ends; builds may protect stacks.
nm -u "$folder/parts.o" | awk '{ print $2 }' | sort | grep -vxF \
	-e _GLOBAL_OFFSET_TABLE_ -e __start_wasm_handlers \
	-e __stop_wasm_handlers -e __stack_chk_fail -e jit_features \
	-e jit_places -e memcmp -e memcpy -e memmove -e memset -e strlen \
	>"$folder/needs"
if [ -s "$folder/needs" ]; then
	echo "not ok 1 - running compiled code needs no compiler and no libc"
	sed 's/^/# needs /' "$folder/needs"
else
	echo "ok 1 - running compiled code needs no compiler and no libc"
fi
echo 1..1
[ ! -s "$folder/needs" ]
