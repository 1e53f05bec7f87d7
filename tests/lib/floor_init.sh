#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The first process of the machine of tests/func/floor.sh.  Its root is the
# host's own, through virtiofs and read-only; all that is written goes to
# folders in memory.  What the guest says leaves by the second serial port.
on() { /bin/busybox "$@"; }

on mkdir -p /proc /dev /root /kept
on mount -t devtmpfs devices /dev
# shellcheck source=/dev/null
. /words
for module in $MODULES; do
	on insmod "/modules/$module" || echo "floor: no module $module"
done
if ! on mount -t virtiofs -o ro host /root; then
	echo "floor: the host's files are not here"
	on poweroff -f
fi
cd /root || on poweroff -f
# The tree may lie where memory will hide it.
for folder in "$TREE" "$BUILD"; do
	on mkdir -p "/kept$folder"
	on mount -o bind "/root$folder" "/kept$folder"
done
on mount -t proc proc proc
on mount -t sysfs sys sys
on mount -t devtmpfs devices dev
on mkdir -p dev/pts dev/shm
on mount -t devpts -o ptmxmode=666,mode=620 terminals dev/pts
for folder in dev/shm tmp var/tmp run root home; do
	on mount -t tmpfs -o mode=1777 memory "$folder"
done
on chmod 700 root
on chmod 755 run home
for folder in "$TREE" "$BUILD"; do
	[ -d "/root$folder" ] && continue
	on mkdir -p "/root$folder"
	on mount -o bind "/kept$folder" "/root$folder"
done
on ln -s /proc/self/fd dev/fd
on ln -s fd/0 dev/stdin
on ln -s fd/1 dev/stdout
on ln -s fd/2 dev/stderr
on stty -F dev/ttyS1 raw -echo 115200
on hostname floor
on ip link set lo up
# A child: someone must be left to reap and to turn off.
on env -i TREE="$TREE" BUILD="$BUILD" TESTS="$TESTS" HOME=/root TERM=dumb \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/bin/busybox chroot /root /bin/bash "$TREE/tests/lib/floor_guest.sh" \
	2>&1 </dev/null | on cat >dev/ttyS1
on poweroff -f
