#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Applications from a share against copies of them and other ways to have
# them.  What can be set, and what is told, is said in app.py.
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../build}" && pwd) || exit 1
if [ "$(id -u)" != 0 ]; then
	echo "bench-app: skipped: only root may mount"
	exit 0
fi
if ! grep -qw erofs /proc/filesystems && ! modprobe -q erofs; then
	echo "bench-app: skipped: this kernel has no EROFS"
	exit 0
fi
# What is mounted goes with the namespace, whatever happens.
if [ -z "${BENCH_APP_ALONE:-}" ]; then
	BENCH_APP_ALONE=1 exec unshare -m --propagation private "$0" "$@"
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-bench.XXXXXX") || exit 1
# rm must not meet what is mounted.
trap 'cut -d" " -f2 /proc/self/mounts | grep "^$folder/" | tac |
	xargs -r umount -l
	"$BROOD" machine stop --all --now >/dev/null 2>&1
	rm -rf --one-file-system "$folder"' EXIT
export BUILD BROOD="${BROOD:-$BUILD/brood}" TMPDIR="$folder/tmp"
export HOME="$folder/home" XDG_CACHE_HOME="$folder/cache"
export XDG_RUNTIME_DIR="$folder/run" XDG_DATA_HOME="$folder/data"
export BROOD_IMAGES="$folder/images" KERNELS_IN="$folder/programs"
export STARTS="${STARTS:-200}" BROOD_OPTIMISE=0
unset BROOD_REPORT BROOD_APPS LD_LIBRARY_PATH
mkdir -m 700 "$TMPDIR" "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" \
	"$XDG_DATA_HOME" "$KERNELS_IN"
cp "$BUILD/bench/hello" "$KERNELS_IN/hello-dynamic"
"${CC:-cc}" -O2 -static -o "$KERNELS_IN/hello-static" "$here/hello.c" ||
	exit 1
PYTHONPATH="$here/../tests/lib" python3 "$here/app.py" "$@"
