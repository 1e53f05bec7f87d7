#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The byte-code engine's speed: ours and what other engines are here, measured
# interleaved.  What can be set, and what is told, is said in wasm.py.
# shellcheck source=bench/kernels.sh
. "$(dirname "$0")/kernels.sh"
python3 "$here/wasm.py" "$@"
