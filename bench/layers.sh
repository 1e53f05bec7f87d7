#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts of machines from layers against the floor and the peers, interleaved.
# What can be set, and what is told, is said in layers.py.
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../build}" && pwd) || exit 1
for need in qemu-system-x86_64 busybox; do
	command -v "$need" >/dev/null && continue
	echo "bench-layers: skipped: $need is not here"
	exit 0
done
for KERNEL in "${KERNEL:-}" /boot/vmlinuz*cloud* /boot/vmlinuz*; do
	[ -r "$KERNEL" ] && break
done
if [ ! -r "$KERNEL" ]; then
	echo "bench-layers: skipped: no kernel in /boot that can be read" \
		"(KERNEL= names one)"
	exit 0
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-bench.XXXXXX") || exit 1
export BUILD KERNEL BROOD="${BROOD:-$BUILD/brood}" TMPDIR="$folder/tmp"
export HOME="$folder/home" XDG_CACHE_HOME="$folder/cache"
export XDG_RUNTIME_DIR="$folder/run" XDG_DATA_HOME="$folder/data"
export BROOD_IMAGES="$folder/images" BROOD_OPTIMISE=0
unset BROOD_REPORT
trap '"$BROOD" machine stop --all --now >/dev/null 2>&1
	"$BROOD" stop --all >/dev/null 2>&1
	rm -rf "$folder"' EXIT
mkdir -m 700 "$TMPDIR" "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" \
	"$XDG_DATA_HOME"
PYTHONPATH="$here/../tests/lib" python3 "$here/layers.py" "$@"
