#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ratios of warm to plain starts: all ways interleaved, medians, spread.
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../build}" && pwd)
folder=$(mktemp -d /tmp/brood-bench.XXXXXX) || exit 1
trap 'rm -rf "$folder"' EXIT
export BUILD BROOD="$BUILD/brood" TMPDIR="$folder/tmp" HOME="$folder/home"
export XDG_CACHE_HOME="$folder/cache" XDG_RUNTIME_DIR="$folder/run"
export XDG_DATA_HOME="$folder/data" BROOD_OPTIMISE=0
mkdir -m 700 "$TMPDIR" "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" \
	"$XDG_DATA_HOME"
PYTHONPATH="$here/../tests/lib" python3 "$here/launch.py" "$@"
