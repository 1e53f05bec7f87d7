#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The lock of a share, as a model: spin tries all orders of its steps, and
# finds what is wrong with those that lack one.
# needs: spin gcc
# timeout: 180
# beside others
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
model=$here/../model/lease.pml
status=0

search() { # PAN-WORDS WORDS FOR SPIN...: what it found is in the file out
	local words=$1
	shift
	rm -f pan* ./*.trail
	{
		spin -a "$@" "$model" &&
			gcc -w -O2 -DMEMLIM=1000 -DNFAIR=4 -DCOLLAPSE \
				-o pan pan.c
	} >err 2>&1 || return
	# shellcheck disable=SC2086
	timeout 100 ./pan $words -m200000 -n >out 2>err
	status=$?
}

holds() { # NAME PAN-WORDS SPIN-WORDS...: all orders were tried, none is wrong
	local name=$1
	shift
	search "$@"
	[ "$status" = 0 ] && grep -q 'errors: 0$' out &&
		! grep -qE 'max search depth too small|out of memory' out err
	ok $? "$name ($(awk '/states, stored/{print $1}' out) states)"
}

fails() { # NAME ASSERTION SPIN-WORDS...
	local name=$1 assertion=$2
	shift 2
	search '' "$@"
	grep -qF "assertion violated" out &&
		grep -F 'assertion violated' out | grep -qF "$assertion"
	ok $? "$name"
}

holds "two takers, five epochs" '' -DTAKERS=2 -DEPOCHS=5
holds "three takers, four epochs" '' -DTAKERS=3 -DEPOCHS=4
holds "a dead holder is broken" '-a -f' -DLIVE -DTAKERS=2
fails "an epoch is given twice if nobody looks for its predecessor" \
	'(late)' -DTAKERS=2 -DBROKEN=1
fails "... or if trimming begins at the top" '(late)' -DTAKERS=2 -DBROKEN=2
fails "a commit is lost if it is no compare-and-swap" '(commits==version)' \
	-DTAKERS=2 -DBROKEN=3
fails "a release by rename brings an epoch back" '(late)' \
	-DTAKERS=2 -DBROKEN=4
echo "1..$count"
[ "$failed" = 0 ]
