#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The oldest kernel that Brood is for: Debian 12's own 6.1, in a machine of
# QEMU without KVM, runs this build and a selection of these tests on this
# host's files (tests/lib/floor_init.sh, tests/lib/floor_guest.sh).  Time in
# that machine is counted in instructions, a thousand million a second: no
# limit of a test is too short for it, however slow it is.  It has one CPU: a
# second one does not come up when time is counted so.
# timeout: 7300
# beside others
#
#	FLOOR=full		all tests that do not need minutes elsewhere
#	FLOOR="FILE..."		these tests
#	FLOOR_SECONDS=N		when the machine is ended (900; full: 7200)
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd -P)
build=$(cd "${BUILD:-$tree/build}" && pwd -P)
count=0 failed=0

quick="unit/test_registry unit/test_handshake unit/test_identity
	unit/test_image unit/test_fact unit/test_stub unit/test_witness
	unit/test_snapshot unit/test_vm_process unit/test_wasi_streams
	unit/test_scan unit/test_sweep func/image.sh
	func/witness.sh claims/launch.sh"
full="unit func/api.sh func/behaviour.sh func/cache.sh
	func/cli.sh func/image.sh func/compile.sh func/deep.sh func/generations.sh
	func/keeper.sh func/protocol.sh func/run.sh func/terminal.sh
	func/wasi.sh func/wasm_api.sh func/witness.sh claims fault"
case ${FLOOR:-} in
'') tests=$quick limit=${FLOOR_SECONDS:-900} ;;
full) tests=$full limit=${FLOOR_SECONDS:-7200} ;;
*) tests=$FLOOR limit=${FLOOR_SECONDS:-7200} ;;
esac

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
	fi
}

skip() { # WORDS WHY
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

skip_all() { # WHY
	skip "Linux 6.1 runs this build" "$1"
	echo "1..$count"
	exit 0
}

# ---- what there is -----------------------------------------------------------

qemu=$(command -v qemu-system-x86_64)
sharer=/usr/lib/qemu/virtiofsd
busybox=$(command -v busybox)
kernel=
for file in /boot/vmlinuz-6.1.*; do
	release=${file#/boot/vmlinuz-}
	[ -r "$file" ] && [ -e "/lib/modules/$release/modules.dep" ] &&
		kernel=$release
done
[ "$(id -u)" = 0 ] || skip_all "only root can share this host's files"
[ -n "$kernel" ] || skip_all "no kernel: install linux-image-cloud-amd64"
[ -n "$qemu" ] || skip_all "no QEMU: install qemu-system-x86"
[ -x "$sharer" ] || skip_all "no virtiofsd: install qemu-system-common"
[ -n "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1 ||
	skip_all "no static busybox: install busybox-static"
for need in cpio modprobe unshare setpriv; do
	PATH=$PATH:/sbin:/usr/sbin command -v "$need" >/dev/null ||
		skip_all "no $need"
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-floor.XXXXXX") || exit 1
cd "$folder" || exit 1
machine='' sharing='' late=''
leave() {
	local pid
	for pid in $machine $sharing; do
		kill "$pid" 2>/dev/null
	done
	wait
	cd /
	rm -rf "$folder"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- the machine's first files ------------------------------------------------

mkdir -p first/bin first/modules shared
cp "$busybox" first/bin/busybox
cp "$tree/tests/lib/floor_init.sh" first/init
modules=
while read -r file; do
	cp "$file" first/modules/ || exit 1
	modules+=" ${file##*/}"
done < <(PATH=$PATH:/sbin:/usr/sbin modprobe -S "$kernel" --show-depends -a \
	virtio_pci virtiofs | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
{
	printf 'TREE=%q\nBUILD=%q\nMODULES=%q\n' "$tree" "$build" "$modules"
	# shellcheck disable=SC2086
	printf 'TESTS="%s"\n' "$(echo $tests)"
} >first/words
(cd first && find . | cpio -o -H newc --quiet) >initrd || exit 1

# ---- this host's files --------------------------------------------------------

# For the guest they are read-only by the mount too, which is nobody else's.
# shellcheck disable=SC2016
unshare -m --propagation private bash -c '
	mount --bind / shared && mount -o remount,bind,ro shared || exit
	for part in /usr "$@"; do
		on=$(stat -c %m "$part")
		[ "$on" = / ] || mountpoint -q "shared$on" ||
			{ mount --bind "$on" "shared$on" &&
			mount -o remount,bind,ro "shared$on"; } || exit
	done
	mount -t tmpfs virtiofsd /run &&
	exec '"$sharer"' --socket-path=socket -o source="$PWD/shared" \
		-o cache=always,announce_submounts -o log_level=err' \
	- "$tree" "$build" >sharer 2>&1 &
sharing=$!
for _ in $(seq 100); do
	[ -S socket ] || ! kill -0 $sharing 2>/dev/null && break
	sleep 0.1
done
[ -S socket ] ||
	skip_all "files cannot be shared: $(tail -1 sharer | cut -c 1-100)"

# ---- the machine -------------------------------------------------------------

start=$SECONDS
timeout -k 10 "$limit" "$qemu" -M q35,memory-backend=memory \
	-object memory-backend-memfd,id=memory,size=2G,share=on \
	-accel tcg -icount shift=0 -cpu max -nodefaults -no-user-config \
	-display none -no-reboot \
	-serial file:console -serial file:said \
	-kernel "/boot/vmlinuz-$kernel" -initrd initrd \
	-append "console=ttyS0 quiet panic=-1 mitigations=off" \
	-chardev socket,id=files,path=socket \
	-device vhost-user-fs-pci,chardev=files,tag=host \
	>qemu 2>&1 </dev/null &
machine=$!
wait $machine
[ $? = 124 ] && late="not over after $limit s"
machine=
took=$((SECONDS - start))

# ---- what it said ------------------------------------------------------------

part() { # NAME: what the guest said between "== NAME" and the next "=="
	awk -v name="== $1" '/^== / { inside = $0 == name; next } inside' said
}

status_of() { # NAME
	awk -v name="== $1" '/^== status/ { if (now == name) print $3 }
		/^== / && !/^== status/ { now = $0 }' said
}

part doctor >doctor
part user >user
part hello >hello
part tests >tests
up=$(sed -n 's/^== over //p' said)
[ -n "$up" ]
ok $? "Linux $kernel runs and ends in $took s, ${up:--} of its own${late:+: $late}"
if [ -z "$up" ]; then
	tail -n 30 console qemu said | tr -d '\r' | sed 's/^/# /'
fi
sed 's/^/# /' doctor
[ "$(status_of doctor)" = 0 ] && ! grep -q '^missing' doctor &&
	grep -q '^ok *kernel *Linux 6\.1\.' doctor
ok $? "brood doctor there: nothing is missing"
grep -q '^ok *PIDFD_GET_INFO *not in this kernel' doctor &&
	grep -q '^ok *RWF_NOSIGNAL *not in this kernel' doctor &&
	grep -q '^ok *PAGEMAP_SCAN *not in this kernel' doctor
ok $? "it names what that kernel has not"
diff doctor user | sed -n 's/^> /# a user: /p'
[ "$(status_of user)" = 0 ] && ! grep -q '^missing' user
ok $? "a plain user's doctor misses nothing either"
[ "$(status_of hello)" = 0 ] && grep -qx 'Hello, World!' hello
ok $? "brood run there: $(head -1 hello)"

while read -r line; do
	[[ $line != *FAILED* ]]
	ok $? "there: $line"
done < <(grep -E '^[a-z]+/[^ ]+: [0-9]+ ok' tests)
while read -r line; do
	skip "there: ${line%% # SKIP*}" "${line##*# SKIP }"
done < <(sed -n '/^skipped:$/,/^[0-9]* passed/s/^  //p' tests)
total=$(grep -E '^[0-9]+ passed, [0-9]+ failed' tests)
[ "$(status_of tests)" = 0 ] && [ -n "$total" ] && [[ $total != 0\ * ]]
ok $? "there, in all: ${total:-no total}"
[ $failed = 0 ] || grep -vE '^[a-z]+/[^ ]+: [0-9]+ ok' tests | sed 's/^/# /'
echo "1..$count"
[ $failed = 0 ]
