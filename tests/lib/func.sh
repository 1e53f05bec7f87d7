# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests of commands, sourced: a folder of their own to work in, and lines
# for what held.  A test keeps the last status in $status, and what the command
# said in the files out and err.
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
BROOD=$(realpath "${BROOD:-$BUILD/brood}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-test.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
export HOME=$folder/home XDG_CACHE_HOME=$folder/cache
export XDG_RUNTIME_DIR=$folder/run
mkdir -m 700 "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR"
cd "$folder" || exit 1
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		echo "# status $status"
		sed 's/^/# /' out err | head -20
	fi
}

skip() { # WORDS WHY
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}
