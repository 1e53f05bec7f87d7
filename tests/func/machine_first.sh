#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Machines on a system where none ever was: the first one's QEMU has no
# template yet, and the starter tells so; it starts all the same.
# needs: qemu-system-x86_64
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
BROOD=${BROOD:-$BUILD/brood}
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-first.XXXXXX") || exit 1
trap '"$BROOD" machine stop --all --now; "$BROOD" stop --all
	rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"
mkdir -m 700 "$XDG_CACHE_HOME"
truncate -s 1M "$folder/disk"

echo 1..2
for count in 1 2; do
	what="machine $count of a new user"
	if "$BROOD" machine boot --disk "$folder/disk" --ready none --json \
		>"$folder/out" 2>"$folder/err"; then
		echo "ok $count - $what"
	else
		echo "not ok $count - $what"
		sed 's/^/# /' "$folder/err"
	fi
done
