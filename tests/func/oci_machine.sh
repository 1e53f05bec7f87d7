#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Containers that are machines of a tip, by brood-oci with runc behind it and
# under podman where that is: the bundle's words run in the machine.
# needs: runc qemu-system-x86_64
# timeout: 400
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"
kernel=$(find /boot -name 'vmlinuz-*cloud*' -readable | sort | tail -1)
[ -n "$kernel" ] || skip_all "there is no kernel in /boot"
# Engines hand variables on; the images are where the home has them.
unset XDG_DATA_HOME XDG_RUNTIME_DIR
export BROOD_IMAGES=$folder/images

brood() { # WORD...
	XDG_RUNTIME_DIR=$folder/run timeout 200 "$BROOD" "$@" >out 2>err </dev/null
}
mkdir -m 700 run
brood machine image --as first.img &&
	brood machine boot work --memory 128M --kernel "$kernel" --initrd first.img \
		--append "quiet panic=-1 mitigations=off" &&
	brood machine exec work -- sh -c 'echo before >/memory; mkdir -p /tmp' &&
	brood machine save work --as ready --stop
ok $? "a tip"
if [ $failed != 0 ]; then
	sed 's/^/# /' out err
	echo "1..$count"
	exit 1
fi

module warm <<'END'
(module (import "brood" "ready" (func $ready))
  (func (export "_start") (call $ready)))
END

machine() { # NAME WORD...: a bundle
	bundle "$@"
	change "$1" "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'ready'}
c['process']['env'] += ['WORD=a b', 'XDG_OTHER=x']"
}
base() { # the inode of the tip's memory, as containers have it
	find "$folder/code/tip" -type f -size +20M -printf '%i\n' 2>/dev/null
}
machines() { # QEMU that maps it
	local p inode
	inode=$(base)
	for p in $(pgrep -f '^[^ ]*qemu-system-x86_64 '); do
		awk -v inode="${inode:-none}" '$5 == inode { n++ } END { exit !n }' \
			"/proc/$p/maps" 2>/dev/null && echo "$p"
	done
}
gone() {
	for _ in $(seq 100); do
		[ -z "$(machines)" ] && nothing_left && return
		sleep 0.1
	done
	return 1
}

machine one sh -c 'cat /memory; uname -s; echo "$WORD,$XDG_OTHER,$XDG_RUNTIME_DIR"; cat; echo wrong >&2; exit 7'
timeout 60 "$OCI" --root "$root" run --bundle one m1 >out 2>err < <(echo typed)
status=$?
[ $status = 7 ] && [ "$(cat out)" = "before
Linux
a b,,
typed" ] && [ "$(cat err)" = wrong ] && gone
ok $? "its words run in a machine of the tip: streams, variables, exit code"
machine one echo -n 'a  b' --help
oci run --bundle one m1
[ $status = 0 ] && [ "$(cat out)" = "a  b --help" ] && gone
ok $? "words stay as they are"
machine one sh -c 'kill -9 $$'
oci run --bundle one m1
[ $status = 137 ] && gone
ok $? "a signal there is 128 and its number"
machine one nothing-of-this-name
oci run --bundle one m1
[ $status != 0 ] && [ -s err ] && gone
ok $? "a command that is not there"
machine one sh -c 'ls /proc/1/root/dev | head -1; echo $$ >/mine; ls /mine'
oci run --bundle one m1 && cp out first && oci run --bundle one m1
[ $status = 0 ] && cmp -s first out && gone
ok $? "what one has written is not the next one's"

machine waits sh -c 'echo up; sleep 100'
for id in m1 m2; do
	timeout 60 "$OCI" --root "$root" create --bundle waits $id >said.$id 2>err </dev/null &&
		oci start $id
done
for _ in $(seq 300); do
	cat said.m1 said.m2 | grep -c up | grep -qx 2 && break
	sleep 0.1
done
[ "$(base | wc -l)" = 1 ] && [ "$(machines | wc -l)" = 2 ]
ok $? "two at once map one copy of its memory"
brood image rm ready && oci kill m1 TERM && stopped m1 && oci delete m1 && [ $status = 0 ] &&
	[ "$(machines | wc -l)" = 1 ]
ok $? "SIGTERM ends it, though it is process 1; the tip may be gone"
oci kill m2 KILL
oci delete --force m2
[ $status = 0 ] && gone
ok $? "SIGKILL leaves no QEMU"

oci run --bundle one m1
[ $status = 1 ] && grep -q 'no tip ready in .*/images; brood machine save MACHINE --as ready makes one' err && gone
ok $? "a tip that is not there: how one is made"
change one "c['annotations'] = {'brood.kind': 'machine'}"
oci run --bundle one m1
[ $status = 1 ] && grep -q 'says a machine, and brood.tip names none' err && gone
ok $? "a machine without a tip"
change one "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'ready', 'brood.isolation': 'domain'}"
oci run --bundle one m1
[ $status = 1 ] && grep -q 'brood.isolation is for a module' err && gone
ok $? "isolation is for modules"
if [ -r /dev/kvm ] && [ -w /dev/kvm ] && brood run --in domain --until ready --save small warm.wasm; then
	change one "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'small'}"
	oci run --bundle one m1
	[ $status = 1 ] && grep -q "tip small is a domain's, no machine's" err && gone
	ok $? "a domain's tip is none"
else
	skip "a domain's tip is none" "no domain can be kept here"
fi
echo "1..$count"
[ $failed = 0 ]
