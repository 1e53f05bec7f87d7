#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Containers of modules beside runc's of native programs, under the engines
# that are here.  What can be set, and what is told, is said in fleet.py.
if [ "$(id -u)" != 0 ] || ! command -v runc >/dev/null; then
	echo "bench-fleet: skipped: only root starts containers, by runc"
	exit 0
fi
# shellcheck source=bench/kernels.sh
. "$(dirname "$0")/kernels.sh"
# Engines have the state of containers in /run, which is in memory.
for STATE in /run /dev/shm "$folder"; do
	[ "$(stat --file-system --format %T "$STATE")" = tmpfs ] && break
done
STATE=$(mktemp -d "$STATE/brood-bench.XXXXXX") || exit 1
export STATE
trap 'cut -d" " -f2 /proc/self/mounts | grep "^$folder/\|^$STATE/" | tac |
	xargs -r umount -l
	rm -rf --one-file-system "$folder" "$STATE"' EXIT
export BROOD_CACHE="$folder/code"
# Engines hand variables on, and containers have none of these folders.
unset XDG_RUNTIME_DIR
PYTHONPATH="$here/../tests/lib" python3 "$here/fleet.py" "$@"
