#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Read by the benchmarks of byte code (bash: source).  Builds the kernels for
# this machine and for WebAssembly, and sets up folders of their own; what it
# leaves set is in KERNELS_IN, BUILD, BROOD and those of the environment.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bench=bench-$(basename "$0" .sh)
BUILD=$(cd "${BUILD:-$here/../build}" && pwd) || exit 1
CC=${WASM_CC:-clang-19}
scale=${BENCH_SCALE:-100}
to="$BUILD/bench/kernels/$scale"
common=(-std=gnu17 -Wall -Wextra -Wshadow -Wstrict-prototypes
	-Wmissing-prototypes -Werror -ffp-contract=off -DBENCH_SCALE="$scale")
native=(-march=native -fno-math-errno)
wasm=(--target=wasm32 -nostdlib -mbulk-memory -msign-ext
	-mnontrapping-fptoint "-Wl,--strip-all")

case $scale in
0 | *[!0-9]*) echo "$bench: BENCH_SCALE is a percentage, 1 or more" >&2
	exit 100 ;;
esac

# build OUT SOURCE FLAGS...: unless OUT is newer than what it is made of
build() {
	local out=$1 source=$2
	shift 2
	[ "$out" -nt "$source" ] && [ "$out" -nt "$here/kernels/kernel.h" ] &&
		[ "$out" -nt "$here/kernels.sh" ] && return
	"$CC" "${common[@]}" -o "$out.part" "$source" "$@" &&
		mv "$out.part" "$out" && return
	echo "$bench: cannot build $out" >&2
	exit 1
}

mkdir -p "$to/start" || exit 1
if ! echo 'void _start(void); void _start(void) {}' | "$CC" -x c - \
	"${wasm[@]}" -o "$to/probe.wasm" 2>/dev/null; then
	echo "$bench: skipped: $CC and lld, which build the kernels for" \
		"WebAssembly, are not here (WASM_CC names another clang)"
	exit 0
fi
for source in "$here"/kernels/*.c; do
	name=$(basename "$source" .c)
	simd=()
	[[ $name == simd_* ]] && simd=(-msimd128)
	build "$to/$name" "$source" -O2 "${native[@]}"
	build "$to/$name.wasm" "$source" -O2 "${wasm[@]}" "${simd[@]}"
done
for name in hello large waits; do
	build "$to/start/$name" "$here/kernels/start/$name.c" -O1 -static
	build "$to/start/$name.wasm" "$here/kernels/start/$name.c" -O1 \
		"${wasm[@]}"
done
for pages in 16 1024 16384 65535; do
	build "$to/start/memory-$pages.wasm" "$here/kernels/start/hello.c" -O1 \
		"${wasm[@]}" -Wl,--initial-memory=$((pages * 65536))
done

folder=$(mktemp -d /tmp/brood-bench.XXXXXX) || exit 1
trap 'rm -rf "$folder"' EXIT
export BUILD BROOD="${BROOD:-$BUILD/brood}" KERNELS_IN="$to"
# What the caller has of these would be measured, too.
unset BROOD_VIA BROOD_REPORT BROOD_VERBOSE BROOD_CACHE BROOD_CACHE_SIZE
export BROOD_SYSTEM_CACHE=/nowhere BROOD_OPTIMISE=0
export TMPDIR="$folder/tmp" HOME="$folder/home" XDG_DATA_HOME="$folder/data"
export XDG_CACHE_HOME="$folder/cache" XDG_RUNTIME_DIR="$folder/run"
mkdir -m 700 "$TMPDIR" "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" \
	"$XDG_DATA_HOME"
