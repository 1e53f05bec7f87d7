#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood app probe, by two processes on storage of this host alone, and the
# shares that may have OFD locks after it.
# timeout: 120
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
trap 'umount -l "$folder"/front "$folder"/apps/.mounts/*/ 2>/dev/null; rm -rf "$folder"' EXIT
export BROOD_APPS=$folder/apps
status=0
touch out err

run() { # ARG...
	"$BROOD" "$@" >out 2>err
	status=$?
}

pair() { # DIR: both to their end
	local other
	"$BROOD" app probe "$1" >out2 2>err2 &
	run app probe "$1"
	wait $!
	other=$?
	[ "$status" = 0 ] && [ "$other" = 0 ] && cmp -s out out2
}

install() { # SHARE ARG...
	local share=$1
	shift
	run app install --share "$share" --bin bin "$@" box.app
}

refused() { # WORDS: one line, and nothing on stdout
	[ "$status" = 111 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q "$1" err
}

run app probe --help
[ "$status" = 0 ] && grep -q 'probe.proven' out
ok $? "the help tells how to use it"
run app probe
[ "$status" = 100 ]
ok $? "it wants a folder"
run app probe --wait 200ms alone
refused 'nobody else came'
ok $? "who is alone is told so"
[ ! -e alone/probe.proven ]
ok $? "and has proven nothing"

mkdir box bin
cp /bin/busybox box/ 2>/dev/null || cp /bin/true box/busybox
run app pack box --name box --entry box=busybox --as box.app
[ "$status" = 0 ]
ok $? "an appliance"
install share --lock ofd
refused 'brood app probe'
ok $? "a new share with OFD locks is refused before"
[ ! -e share/brood.json ]
ok $? "and is not made"
pair share
ok $? "two processes here prove it for this host's own storage"
grep -q '"format":"brood-probe"' share/probe.proven && [ ! -e share/probe ]
ok $? "the proof is there, and nothing else"
run app install --share share --bin bin --lock ofd --unpacked box.app
[ "$status" = 0 ] && grep -q '"lock":"ofd"' share/brood.json
ok $? "a new share with OFD locks is made after it"
run app uninstall box

# ---- storage that other hosts may have, too ----------------------------------------

words="two processes of one host prove nothing for it"
if [ "$(id -u)" = 0 ] && [ -e /dev/fuse ]; then
	mkdir back front
	mkfifo orders
	"$BUILD/tests/programs/share_fuse" back front <orders >server 2>&1 &
	exec 3>orders
	for _ in $(seq 100); do
		mountpoint -q front && break
		sleep 0.1
	done
	"$BROOD" app probe --wait 2s front >out2 2>err2 &
	pid=$!
	run app probe --wait 2s front
	wait $pid
	other=$?
	refused 'only processes of this host came' && [ "$other" = 111 ] &&
		[ ! -e back/probe.proven ]
	ok $? "$words"
	umount front
	exec 3>&-
else
	skip "$words" "it needs root and /dev/fuse"
fi

echo "1..$count"
[ "$failed" = 0 ]
