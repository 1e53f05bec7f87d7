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

count=0
check() { # WORDS COMMAND...: it ends well
	local what=$1
	shift
	count=$((count + 1))
	if "$@" >"$folder/out" 2>"$folder/err"; then
		echo "ok $count - $what"
	else
		echo "not ok $count - $what: status $?"
		sed 's/^/# /' "$folder/err"
	fi
}

echo 1..4
machine=("$BROOD" machine)
boot=("${machine[@]}" boot --disk "$folder/disk" --ready none)
check "the first machine of a user" "${boot[@]}" first
check "a second one" "${boot[@]}" second
no_huge_pages() {
	local pids pid
	pids=$("${machine[@]}" ps --json | grep -o '"pid":[0-9]*')
	for pid in $pids; do
		grep -q "^AnonHugePages: *0 kB" \
			"/proc/${pid#*:}/smaps_rollup" || return
	done
	[ -n "$pids" ]
}
check "they have no huge pages" no_huge_pages
check "stop says that it went well" "${machine[@]}" stop --now first second
