#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Containers that are machines of a tip, by brood-oci with runc behind it: the
# bundle's words run in the machine.
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
c['process']['env'] += ['WORD=a b', 'XDG_OTHER=x', 'LD_LIBRARY_PATH=/evil',
    'LD_AUDIT=/evil.so', 'BROOD_WITHOUT=pagemap_scan']"
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
machine one uname -n
for name in box-1.example '' 'a b' "$(printf '%064d' 0)"; do
	change one "c['hostname'] = '$name'"
	oci run --bundle one m1
	[ $status = 0 ] && gone && cat out
done >names
[ "$(paste -s -d' ' names)" = "box-1.example machine machine machine" ]
ok $? "it calls itself as the container does, where that is a host's name"
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

machine one sh -c 'echo "$LD_LIBRARY_PATH $LD_AUDIT $BROOD_WITHOUT"; sleep 100'
timeout 60 "$OCI" --root "$root" create --bundle one m1 >out 2>err </dev/null && oci start m1
for _ in $(seq 300); do
	[ -s out ] && break
	sleep 0.1
done
p=$(machines)
[ -n "$p" ] && tr '\0' '\n' <"/proc/$p/environ" >err
[ -n "$p" ] && [ "$(cat out)" = "/evil /evil.so pagemap_scan" ] &&
	[ "$(cut -d= -f1 err | grep -vxE 'PATH|HOME|XDG_.*' | sort | tr '\n' ' ')" = "BROOD_QEMU BROOD_RAM LD_PRELOAD " ] &&
	grep -qx 'LD_PRELOAD=/dev/.brood/brood-shim.so' err
ok $? "an image's variables are the command's alone, and not QEMU's"
oci kill m1 KILL
oci delete --force m1
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
cp -a images whole
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

# ---- what cannot be --------------------------------------------------------------------

bad=0 tried=0
files=(images/tips/ready)
for id in $(BROOD_IMAGES=$folder/whole "$BROOD" image show ready --json | python3 -c 'import json, sys
tip = json.load(sys.stdin)
print(*(f["id"] for f in tip["layers"] + tip["files"]))'); do
	files+=("images/$id")
done
for file in "${files[@]}"; do
	for way in "${ways[@]}"; do
		rm -rf images code/tip
		cp -a --sparse=always whole images
		damage "$file" "$way"
		oci run --bundle one m1
		tried=$((tried + 1))
		[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && nothing_left &&
			[ -z "$(ls -A code/tip 2>/dev/null)" ] || { bad=1; break 2; }
	done
done
[ $bad = 0 ] && [ $tried -ge 12 ]
ok $? "what is damaged, in $tried ways, is told in a line, and nothing is kept"
rm -rf images
cp -a whole images
head -c 1048576 /dev/urandom >memory
"$BUILD/tests/unit/write_images" images none words='{"shape":{"disks":[{"path":"/disk"}]}}' memory >out 2>err
change one "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'none'}"
oci run --bundle one m1
[ $status = 1 ] && grep -q 'tip none: its words tell of no machine' err && gone
ok $? "a tip that tells of no machine"
cp "$(command -v qemu-system-x86_64)" elsewhere
change one "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'ready'}"
BROOD_QEMU=$folder/elsewhere oci run --bundle one m1
[ $status = 1 ] && grep -q "$folder/elsewhere: a container is given no QEMU of that place" err && gone
ok $? "a QEMU that no container has"
rm elsewhere
change one "c['annotations'] = {'brood.kind': 'machine', 'brood.tip': 'ready'}; c['process']['args'] = []"
oci run --bundle one m1
[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && gone
ok $? "no command"
change one "c['process']['args'] = ['x' * 2000000]"
oci run --bundle one m1
[ $status != 0 ] && [ -s err ] && gone
ok $? "one that is too long"
change one "c['process']['args'] = ['true']"
fake_runtime
forget_tip() {
	rm -rf code/tip
}
is_removed() {
	faked delete --force m9
	[ $status = 0 ] && nothing_left
}
killed forget_tip is_removed create --bundle one m9 && is_removed && [ $steps -gt 19 ] && gone
ok $? "create killed at each of $steps steps: delete --force leaves nothing"
oci run --bundle one m1
[ $status = 0 ] && gone
ok $? "and it runs after that"
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

# ---- a command more ---------------------------------------------------------------

machine waits sh -c 'echo up; sleep 100'
timeout 60 "$OCI" --root "$root" create --bundle waits m1 >said.m1 2>err </dev/null && oci start m1
cat >process.json <<'END'
{"user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin", "WORD=a b"],
 "args": ["sh", "-c", "cat; echo $WORD; cat /memory; echo wrong >&2; exit 7"]}
END
timeout 60 "$OCI" --root "$root" exec --process process.json m1 >out 2>err < <(echo typed)
status=$?
[ $status = 7 ] && [ "$(cat out)" = "typed
a b
before" ] && [ "$(cat err)" = wrong ] && [ "$(machines | wc -l)" = 1 ] && [ "$(cat said.m1)" = up ]
ok $? "exec is a process of the machine, which is waited for"
oci exec m1 sh -c 'echo "$WORD"'
[ $status = 0 ] && [ "$(cat out)" = "a b" ]
ok $? "by words, too, with the container's variables"
joined=()
oci exec --user 1000:1000 m1 id
[ $status = 111 ] && grep -q 'look for machine machine in .*: Permission denied' err
ok $? "another user of the container's is told at once that it is not his"
for n in 1 2 3 4 5 6 7 8; do
	timeout 60 "$OCI" --root "$root" exec m1 sh -c "cat; echo $n" >more.$n 2>&1 < <(seq 500) &
	joined+=($!)
done
wait "${joined[@]}"
good=0
for n in 1 2 3 4 5 6 7 8; do
	(seq 500 && echo $n) | cmp - more.$n && good=$((good + 1))
done
[ $good = 8 ]
ok $? "eight at once"
timeout 60 "$OCI" --root "$root" exec m1 sh -c 'echo up; sleep 98' >said 2>&1 </dev/null &
more=$!
for _ in $(seq 200); do
	grep -q up said && break
	sleep 0.05
done
runs() { # is that command there?
	oci exec m1 sh -c '[ -e /proc/1 ] || mount -t proc none /proc
		cat /proc/[0-9]*/cmdline | tr "\0" " "' && grep -q "$1" out
}
runs 'sleep 9[8]'
before=$?
kill -9 $more
wait $more 2>/dev/null
for p in $(pgrep -f -- '--join machine -- sh -c echo up; sleep 98'); do kill -9 "$p"; done
for _ in $(seq 100); do
	runs 'sleep 9[8]' || break
	sleep 0.1
done
[ $before = 0 ] && ! grep -q 'sleep 9[8]' out && runs 'sleep 10[0]'
ok $? "one that is killed is killed in the machine, and the others go on"
oci kill m1 KILL && stopped m1 && oci delete m1
[ $status = 0 ] && gone
ok $? "and all end with the first"

# ---- folders ---------------------------------------------------------------------

mkdir -p binds/work binds/data binds/more binds/dev
echo work >binds/work/file
echo data >binds/data/file
binds() { # NAME TO SOURCE OPTION...
	change "$1" "c['mounts'].append({'destination': '$2', 'type': 'bind',
    'source': '$3', 'options': ['rbind', *'${*:4}'.split()]})"
}
machine none sh -c 'ls /work'
binds none /work "$folder/binds/work" rw
oci run --bundle none m1
[ $status != 0 ] && grep -q 'No such file' err && gone
ok $? "a tip without places for folders has none"
with_9p=$(for k in /boot/vmlinuz-*; do
	[ -r "$k" ] && find "/lib/modules/${k#*vmlinuz-}" -name '9p.ko*' 2>/dev/null |
		grep -q . && echo "$k"
done | tail -1)
if [ -z "$with_9p" ]; then
	skip "folders in machines" "no kernel here has 9p"
else
	brood machine image --as places.img --kernel "$with_9p" --module share &&
		brood machine boot work --memory 128M --kernel "$with_9p" --folders 2 \
			--initrd places.img --append "quiet panic=-1 mitigations=off" &&
		brood machine save work --as places --stop
	ok $? "a tip with places for folders"
	machine two sh -c 'pwd; cat /work/file /deep/data/file; echo back >/work/back
		echo x >/deep/data/x; ls -A /dev/shm 2>&1 | head -1'
	mkdir binds/work/sub
	change two "c['annotations']['brood.tip'] = 'places'
c['process']['cwd'] = '/work/sub'"
	binds two /dev/shm "$folder/binds/dev" rw
	binds two /work/ ../binds/work rw
	binds two /deep/data "$folder/binds/data" ro
	binds two /etc/hostname /etc/hostname ro
	oci run --bundle two m1
	[ $status = 0 ] && [ "$(head -3 out)" = "/work/sub
work
data" ] && grep -q 'Read-only file system' err && [ "$(cat binds/work/back)" = back ] &&
		[ ! -e binds/data/x ] && gone
	ok $? "folders that the bundle binds are in the machine, to write or not"
	binds two /more "$folder/binds/more" rw
	oci create --bundle two m1
	[ $status != 0 ] && grep -q '/more: tip places has places for 2 folders, and more' err &&
		[ "$(wc -l <err)" = 1 ] && nothing_left
	ok $? "more folders than places: told, and nothing is left"
	good=0
	for to in /usr/local/x /usr /lib/ /a/../usr/x //usr /a/./b; do
		machine odd true
		change odd "c['annotations']['brood.tip'] = 'places'"
		binds odd $to "$folder/binds/more" rw
		oci create --bundle odd m1
		[ $status != 0 ] && [ "$(wc -l <err)" = 1 ] && nothing_left &&
			grep -qE 'has the node.s own there|has no folder of such a name' err &&
			good=$((good + 1))
	done
	[ $good = 6 ]
	ok $? "where the node's own is there is no place for a folder, nor by an odd name"
fi

# ---- disks -----------------------------------------------------------------------

(echo BASE && head -c 3145723 /dev/zero) >raw
if command -v qemu-img >/dev/null; then
	qemu-img convert -O qcow2 raw second.qcow2
else
	cp raw second.qcow2.raw
fi
second=$(echo second.qcow2*)
brood machine image --as disks.img --kernel "$kernel" --module virtio_blk \
	--module virtio_pci &&
	brood machine boot work --memory 128M --kernel "$kernel" --initrd disks.img \
		--append "quiet panic=-1 mitigations=off" --disk raw --disk "$second" &&
	brood machine exec work -- sh -c '[ -b /dev/vda ] && [ -b /dev/vdb ] &&
		echo saved | dd of=/dev/vda bs=512 seek=2 && sync' &&
	brood machine save work --as disks --stop
ok $? "a tip with disks"
sum=$(cat raw "$second" | sha256sum)
machine many sh -c '[ -b /dev/vda ] && head -c 5 /dev/vda
	dd if=/dev/vda bs=512 skip=2 count=1 2>/dev/null | head -c 6
	[ -b /dev/vdb ] && head -c 5 /dev/vdb; echo more | dd of=/dev/vda bs=512 seek=2; sync'
change many "c['annotations']['brood.tip'] = 'disks'"
good=0
for _ in 1 2; do
	oci run --bundle many m1
	[ $status = 0 ] && [ "$(cat out)" = "BASE
saved
BASE" ] && gone && good=$((good + 1))
done
[ $good = 2 ] && [ "$(cat raw "$second" | sha256sum)" = "$sum" ]
ok $? "its machines have them, what was saved over them, and their own writes alone"
(cd code/tip/disks.*/known/brood && [ -s qemu ] && [ "$(find . -name 'digest.*' | wc -l)" = 3 ])
ok $? "what is known of QEMU and of disks is handed in"
# A digest that is wrong would refuse the disk.
bad=0 tried=0
for file in code/tip/disks.*/known/brood/*; do
	for way in "${ways[@]}"; do
		cp "$file" whole.memo
		damage "$file" "$way"
		[ "$way" != "${ways[2]}" ] || chown 1000 "$file"
		oci run --bundle many m1
		[ $status = 0 ] && grep -q saved out && cmp "$file" whole.memo || bad="$file $way"
		tried=$((tried + 1))
	done
done
[ "$bad" = 0 ] && [ $tried = 16 ] && gone
ok $? "what is damaged of it, in $tried ways, is found out anew"
rm -rf code/tip/disks.*/known
touch "$(echo code/tip/disks.*)/known"
oci run --bundle many m1
[ $status = 0 ] && grep -q saved out && gone
ok $? "where it cannot be handed in it is found out inside"
rm -f code/tip/disks.*/known
change many "c['process']['user'] = {'uid': 1000, 'gid': 1000}"
chmod 600 raw
oci run --bundle many m1
[ $status = 111 ] && grep -q 'disks needs its disk: open .*/disk0: Permission denied' err &&
	[ "$(wc -l <err)" = 1 ] && gone
ok $? "a disk that is closed to the container's user"
chmod 644 raw
oci run --bundle many m1
[ $status = 0 ] && grep -q saved out && gone
ok $? "and one that is open to it"
mv raw away
oci run --bundle many m1
[ $status = 1 ] && grep -q "disks needs its disk: open .*/raw: No such" err &&
	[ "$(wc -l <err)" = 1 ] && gone
ok $? "a disk that is missing is one line"
sed 's/BASE/EVIL/' away >raw
oci run --bundle many m1
[ $status = 1 ] && grep -q "disks: its disk .*/raw is not what it was" err &&
	[ "$(wc -l <err)" = 1 ] && gone
ok $? "one that is another, too"
mv away raw
oci run --bundle many m1
[ $status = 0 ] && gone
ok $? "and the right one, back again"
echo "1..$count"
[ $failed = 0 ]
