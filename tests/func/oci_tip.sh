#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Containers that go on from a warm tip of a domain, by brood-oci with runc
# behind it, and under podman and containerd where these are.
# needs: runc
# timeout: 500
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"
[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip_all "no /dev/kvm"
store=$HOME/.local/share/brood/images

# Keeps a text from before it was ready; then it tells that, its arguments and
# its variables, and what is on standard input.  It ends with how many arguments
# there were.
module teller <<'END'
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "brood" "ready" (func $ready))
  (memory (export "memory") 2)
  (func $put (param $at i32) (param $len i32)
    (i32.store (i32.const 32) (local.get $at))
    (i32.store (i32.const 36) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1)
      (i32.const 40))))
  (func (export "_start")
    (i64.store (i32.const 48) (i64.const 0x0a776f6e20736977))
    (i32.store8 (i32.const 48) (i32.const 65))
    (call $ready)
    (call $put (i32.const 48) (i32.const 8))
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 64) (i32.const 8192)))
    (call $put (i32.const 8192) (i32.load (i32.const 4)))
    (drop (call $environ_sizes (i32.const 8) (i32.const 12)))
    (drop (call $environ (i32.const 64) (i32.const 16384)))
    (call $put (i32.const 16384) (i32.load (i32.const 12)))
    (block $end
      (loop $next
        (i32.store (i32.const 32) (i32.const 65536))
        (i32.store (i32.const 36) (i32.const 4096))
        (br_if $end (call $read (i32.const 0) (i32.const 32) (i32.const 1)
          (i32.const 40)))
        (br_if $end (i32.eqz (i32.load (i32.const 40))))
        (call $put (i32.const 65536) (i32.load (i32.const 40)))
        (br $next)))
    (call $exit (i32.load (i32.const 0)))))
END
# Opens words.txt of its folder before it is ready, and tells it then.
module opener <<'END'
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "brood" "ready" (func $ready))
  (memory (export "memory") 1)
  (data (i32.const 96) "words.txt")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 9)
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
      (i32.const 40)))
    (call $ready)
    (i32.store (i32.const 0) (i32.const 128))
    (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.load (i32.const 40)) (i32.const 0) (i32.const 1)
      (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 8)))))
END
module spins <<'END'
(module (import "brood" "ready" (func $ready)) (memory (export "memory") 1)
  (func (export "_start") (call $ready) (loop (br 0))))
END
module traps <<'END'
(module (import "brood" "ready" (func $ready)) (memory (export "memory") 1)
  (func (export "_start") (call $ready) unreachable))
END

keep() { # TIP POINT WORD...: behind the options, FILE and its arguments
	timeout 60 "$BROOD" run --in domain --until "$2" --save "$1" "${@:3}" \
		>out 2>err </dev/null
	status=$?
	[ $status = 0 ]
}
tip() { # BUNDLE TIP [WORD...]: such a bundle, with nothing in its root
	bundle "$1" whatever "${@:3}"
	rm "$folder/$1/rootfs"/*.wasm
	change "$1" "c['annotations'] = {'brood.tip': '$2'}
c['process']['env'] = ['A=b c', 'HOME=/']"
}
kept() { # TIP: its folders in the cache
	find "$BROOD_CACHE/tip" -mindepth 1 -maxdepth 1 -name "$1.*" 2>/dev/null
}
nothing_kept() { # no half of one
	nothing_left && [ ! -e "$BROOD_CACHE/tip/.new" ]
}
# One line, and nothing behind it.
refused() { # WORDS ARGUMENT...
	local words=$1
	shift
	oci "$@"
	[ $status = 1 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q '^brood-oci: ' err && grep -qF -- "$words" err && nothing_kept
}

keep teller ready teller.wasm && keep copy stdin copy.wasm && keep spins ready spins.wasm &&
	keep traps ready traps.wasm
ok $? "tips are kept"
mkdir volume
chmod 777 volume

# ---- one of them ---------------------------------------------------------------------

tip told teller -- --dir 'a b' ''
echo input | timeout 60 "$OCI" --root "$root" run --bundle told c1 >out 2>err
status=$?
printf 'Ais now\nteller\0--\0--dir\0a b\0\0A=b c\0HOME=/\0input\n' >want
[ $status = 5 ] && cmp -s out want && [ ! -s err ] && nothing_kept
ok $? "it goes on with arguments, variables and input of the container's; its exit code"
[ -z "$(find told/rootfs -type f)" ] && [ -z "$(ls -A told/rootfs/dev)" ]
ok $? "and needs nothing in its root file system"
change told "c['annotations']['brood.kind'] = 'domain'
c['annotations']['brood.isolation'] = 'domain'
c['process']['args'] = ['']"
oci run --bundle told c1
[ $status = 1 ] && [ "$(tr '\0' ' ' <out | tail -1)" = "teller A=b c HOME=/ " ]
ok $? "with the other annotations, and a first word that says nothing"
[ "$(kept teller | wc -l)" = 1 ] &&
	[ "$(find "$(kept teller)" -type f -links 2 -size +0 | wc -l)" = 5 ] &&
	[ "$(find "$(kept teller)/tips" -type f | wc -l)" = 1 ]
ok $? "it was given that tip alone: links to what the store has"
find "$store" "$(kept teller)" -mindepth 1 -printf '%i %P %C@\n' >before
oci run --bundle told c1
find "$store" "$(kept teller)" -mindepth 1 -printf '%i %P %C@\n' >after
[ $status = 1 ] && cmp -s before after
ok $? "which stay as they are"
tip trapped traps
oci run --bundle trapped c1
[ $status = 134 ] && grep -q 'trap: unreachable' err && nothing_kept
ok $? "a trap is told, and is 134"
tip copied copy
head -c 300000 /dev/urandom >random
timeout 60 "$OCI" --root "$root" run --bundle copied c1 <random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out
ok $? "standard input and output pass through"

# What a container that reports, for another user, says.
reports() { # BUNDLE CODE
	change "$1" "c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})
c['process']['env'].append('BROOD_REPORT=/volume/report')
c['process']['user'] = {'uid': 4711, 'gid': 4712}
c['root']['readonly'] = True
$2"
	rm -f volume/report
	oci run --bundle "$1" c1
	grep -qs '"way":"mapped".*"isolation":"kvm".*"kept":true' volume/report
}
tip user teller
reports user "c['process']['noNewPrivileges'] = True" && [ $status = 1 ]
ok $? "another user, and a root that is read-only"
open=$(mktemp -d /tmp/brood-oci.XXXXXX)
chmod 755 "$open"
trap 'end_containers; rm -rf "$folder" "$open"' EXIT
cp -r user/rootfs "$open/"
reports user "c['linux']['namespaces'].append({'type': 'user'})
c['root']['path'] = '$open/rootfs'
c['process']['user'] = {'uid': 0, 'gid': 0}
c['linux']['uidMappings'] = c['linux']['gidMappings'] = [{'containerID': 0, 'hostID': 200000, 'size': 65536}]"
told=$?
if [ $told != 0 ] && grep -q '/dev/kvm' err; then
	skip "a name space of users, to which the tip belongs to nobody" "$(head -1 err)"
else
	[ $told = 0 ] && [ $status = 1 ]
	ok $? "a name space of users, to which the tip belongs to nobody"
fi

cp -a "$(kept teller)" nobody
chown -R 65534 nobody
BROOD_IMAGES=$folder/nobody timeout 30 "$BROOD" run --from teller >out 2>err </dev/null
status=$?
[ $status = 111 ] && grep -q 'written by others' err &&
	timeout 30 "$BROOD" run --given nobody --from teller -- x >out 2>err </dev/null
status=$?
[ $status = 2 ] && grep -qa 'is now' out
ok $? "a folder that is given is believed, whoever it belongs to"
timeout 30 "$BROOD" run --given nobody --until ready --save other --from teller >out 2>err </dev/null
status=$?
[ $status = 100 ] && [ "$(wc -l <err)" = 1 ]
ok $? "and nothing is kept there"
tip spun spins
oci create --bundle spun --pid-file pid c2 && oci start c2 && [ $status = 0 ] &&
	oci ps c2 && grep -q -- '--from spins' out
ok $? "create, start, ps"
oci exec c2 /none
[ $status != 0 ] && [ -s err ]
ok $? "exec of what is not there is the runtime's error"
oci kill c2 TERM
[ $status = 0 ] && stopped c2 && oci delete c2 && [ $status = 0 ] && nothing_kept
ok $? "a signal ends it, delete leaves nothing"

# ---- folders ----------------------------------------------------------------------------

mkdir data
echo words >data/words.txt
keep opener ready --dir data::/data opener.wasm
ok $? "a tip that has a file of a folder open"
tip opened opener
refused "made with the folder /data" create --bundle opened c1
ok $? "without that folder it is told"
mount_data="c['mounts'].append({'destination': '/data', 'type': 'bind', 'source': '$folder/data', 'options': ['bind', 'ro']})"
change opened "$mount_data"
oci run --bundle opened c1
[ $status = 0 ] && [ "$(cat out)" = words ] && nothing_kept
ok $? "with it, it goes on there"
echo others >data/words.txt
oci run --bundle opened c1
[ $status = 126 ] && grep -q 'has changed' err && nothing_kept
ok $? "but not in a file that has changed"
# The folder alone: whatever is in it.
keep folder ready --dir data::/data teller.wasm
tip granted folder
mkdir granted/rootfs/data
oci run --bundle granted c1
[ $status = 1 ]
ok $? "a folder of that name in the root file system is one"
rmdir granted/rootfs/data
ln -s /etc granted/rootfs/data
refused "made with the folder /data" create --bundle granted c1
ok $? "no link out of it"
rm granted/rootfs/data
echo >granted/rootfs/data
refused "made with the folder /data" create --bundle granted c1
ok $? "nor a file"
rm granted/rootfs/data
change granted "c['mounts'].append({'destination': '/data/in/it', 'type': 'tmpfs', 'source': 'tmpfs'})"
oci run --bundle granted c1
[ $status = 1 ]
ok $? "nor need it be there, where something is mounted in it"
keep near ready --dir data teller.wasm
tip near near
change near "c['process']['cwd'] = '/srv'"
refused "made with the folder data" create --bundle near c1 && mkdir -p near/rootfs/srv/data &&
	oci run --bundle near c1 && [ $status = 1 ]
ok $? "a name that is no path is in the working folder"
keep listens ready --listen unix:"$folder/sock" teller.wasm
tip listened listens
refused "tip listens: it was made with a socket" create --bundle listened c1
ok $? "a socket is nothing that a container can give"

# ---- what is no tip -----------------------------------------------------------------------

bad=0
for wrong in "'brood.kind': 'module'" "'brood.kind': 'program'" "'brood.isolation': 'process'" \
	"'brood.kind': 'domain', 'brood.isolation': 'process'" "'module.wasm.image/variant': 'compat'"; do
	change told "c['annotations'] = {'brood.tip': 'teller', $wrong}"
	refused "annotation brood." create --bundle told c1 || bad=1
done
[ $bad = 0 ]
ok $? "annotations that contradict it"
bad=0
for name in ../x a/b /etc/passwd .hidden -x '' 'a b' "$(printf 'n%.0s' $(seq 65))" \
	"$(printf 'n%.0s' $(seq 10000))" "tip\\\\n" '%s'; do
	change told "c['annotations'] = {'brood.tip': '''$name'''}"
	refused "no name of a tip" create --bundle told c1 || bad=1
done
[ $bad = 0 ]
ok $? "names that are none"
change told "c['annotations'] = {'brood.tip': 'n' * 64}"
refused "brood run --in domain --until stdin --save nnnn" create --bundle told c1
ok $? "no such tip: how to make one is told"
HOME=/nowhere refused "no tip nnnn" create --bundle told c1
ok $? "nor is there a folder of them"
HOME='' refused "in /root/.local/share/brood/images" create --bundle told c1
ok $? "without a home they are root's"
head -c 1048576 /dev/urandom >memory
"$BUILD/tests/unit/write_images" "$store" machine words='{"kind":"machine"}' memory >out 2>err
change told "c['annotations'] = {'brood.tip': 'machine'}"
refused "tip machine is a machine's" create --bundle told c1
ok $? "a machine's tip"
"$BUILD/tests/unit/write_images" "$store" older words='{"kind":"domain"}' memory >out 2>err
change told "c['annotations'] = {'brood.tip': 'older'}"
refused "another build" create --bundle told c1
ok $? "one of another build"
change told "c['annotations'] = {'brood.tip': 'teller'}"
BROOD_CACHE=off refused "which is off" create --bundle told c1
ok $? "no cache"
if unshare -m true 2>/dev/null; then
	unshare -m sh -c 'mount --bind /dev/null /dev/kvm 2>/dev/null; exec "$@"' - \
		timeout 30 "$OCI" --root "$root" create --bundle told c1 >out 2>err </dev/null
	status=$?
	[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -q 'a domain: no KVM' err && nothing_kept
	ok $? "no KVM"
else
	skip "no KVM" "no name space of mounts"
fi
chmod 777 "$store"
refused "can be written by others" create --bundle told c1
ok $? "a folder of tips that others can write"
chmod 700 "$store"

# ---- damaged ---------------------------------------------------------------------------

cp -a "$store" whole
bad=0 tried=0
files=("$store/tips/copy")
for id in $("$BROOD" image show copy --json | python3 -c 'import json, sys
tip = json.load(sys.stdin)
print(*(f["id"] for f in tip["layers"] + tip["files"]))'); do
	files+=("$store/$id")
done
for file in "${files[@]}"; do
	for way in "${ways[@]}"; do
		rm -rf "$store" "$BROOD_CACHE/tip"
		cp -a whole "$store"
		damage "$file" "$way"
		oci run --bundle copied c1
		tried=$((tried + 1))
		[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && nothing_kept ||
			{ bad=1; cp err bad-err; echo "$file $way: $status" >>bad-err; }
	done
done
[ $bad = 0 ] && [ $tried -ge 16 ]
ok $? "what is damaged in the store, in $tried ways, is told in a line"
rm -rf "$store" "$BROOD_CACHE/tip"
cp -a whole "$store"
# Not its links: those are the store's.
bad=0 tried=0
oci run --bundle copied c1
for n in $(seq "$(find "$(kept copy)" -type f -size +0 | wc -l)"); do
	for way in "${ways[@]}"; do
		rm -rf "$BROOD_CACHE/tip"
		oci run --bundle copied c1
		file=$(find "$(kept copy)" -type f -size +0 | sort | sed -n "${n}p")
		cp "$file" own && mv -f own "$file"
		damage "$file" "$way"
		oci run --bundle copied c1
		[ $status = 0 ] && [ ! -s err ] && nothing_kept || bad=1
		tried=$((tried + 1))
	done
done
[ $bad = 0 ] && [ $tried -ge 20 ]
ok $? "what is damaged in the cache, in $tried ways, is made anew"
fake_runtime
forget_tip() {
	rm -rf "$BROOD_CACHE/tip"
}
is_made_again() {
	faked delete --force c9
	faked create --bundle copied c9
	[ $status = 0 ] && [ "$(kept copy | wc -l)" = 1 ] || return
	faked delete c9
	nothing_kept
}
killed forget_tip is_made_again create --bundle copied c9 && faked delete --force c9 && oci run --bundle copied c8 &&
	[ $status = 0 ] && [ $steps -gt 19 ] && nothing_kept
ok $? "killed at each of $steps steps of a create that keeps it: the next one has it whole"

# ---- removed, replaced, in another file system ---------------------------------------------

tip later copy
mkfifo input
oci create --bundle later --pid-file pid c3
first=$(kept copy)
"$BROOD" image rm copy >/dev/null && "$BROOD" image gc >out 2>err
oci create --bundle later c4
[ $status = 1 ] && grep -q 'no tip copy' err
ok $? "a tip that was removed"
"$OCI" --root "$root" start c3
stopped c3
ok $? "what was created of it before starts"
oci delete c3
# The same again may have the same ID.
keep copy stdin copy.wasm more
oci run --bundle later c5
[ $status = 0 ] && nothing_kept
ok $? "and one that is kept again is used"
keep copy ready teller.wasm
oci run --bundle later c6
[ $status = 1 ] && grep -qa 'is now' out && [ "$(kept copy | wc -l)" -ge 2 ] && [ -e "$first" ]
ok $? "another one of the same name is another folder"
touch -d '40 days ago' "$first"
keep fresh ready traps.wasm
tip fresh fresh
oci run --bundle fresh c7
[ $status = 134 ] && [ ! -e "$first" ] && [ "$(kept copy | wc -l)" -ge 1 ]
ok $? "what nobody used for long is removed when the next is kept"
if mkdir shm && mount -t tmpfs tmpfs shm 2>/dev/null; then
	mkdir -m 700 shm/code
	BROOD_CACHE=$folder/shm/code oci run --bundle fresh c3
	[ $status = 134 ] && [ "$(find shm/code/tip -type f -links 1 -size +0 | wc -l)" -ge 6 ] && nothing_left_in=1
	BROOD_CACHE=$folder/shm/code oci run --bundle fresh c3
	[ $status = 134 ] && [ "${nothing_left_in:-0}" = 1 ] &&
		[ "$(du -s --block-size=1M shm/code/tip | cut -f1)" -lt 30 ]
	ok $? "where the cache is another file system it is copied, holes and all"
	umount shm
else
	skip "where the cache is another file system it is copied" "no tmpfs"
fi

# ---- many ----------------------------------------------------------------------------------

keep copy stdin copy.wasm
tip many copy
rm -f many.*
exec 8<>input
for i in $(seq 20); do
	timeout 120 "$OCI" --root "$root" create --bundle many --pid-file "pid.$i" "m$i" \
		>"many.$i" 2>"many-err.$i" <input &
	pids[i]=$!
done
wait "${pids[@]}"
made=()
for i in $(seq 20); do
	oci start "m$i"
	made+=("$(cat "pid.$i")")
done
cat >same.py <<'END'
"""Of the tip's files that processes have mapped: are they the same for all, and
is none of the code's pages anybody's own?"""
import sys, time
def look(pid):
    files, code, dirty, name = set(), 0, 0, ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            words = line.split()
            if words[0][-1] != ":":
                name = words[-1] if "/.brood/tip/" in words[-1] else ""
                code = name and words[1][1] == "-"
                if name:
                    files.add((words[3], words[4], name))
            elif code and words[0] == "Private_Dirty:":
                dirty += int(words[1])
    return frozenset(files), dirty
end = time.monotonic() + 30
while time.monotonic() < end:
    got = [look(pid) for pid in sys.argv[1:]]
    if all(len(files) >= 4 for files, _ in got):
        break
    time.sleep(0.1)
print(len({files for files, _ in got}), len(got[0][0]), sum(d for _, d in got))
END
python3 same.py "${made[@]:0:2}" >out 2>err
[ "$(cut -d' ' -f1 out)" = 1 ] && [ "$(cut -d' ' -f2 out)" -ge 4 ] && [ "$(cut -d' ' -f3 out)" = 0 ]
ok $? "two at once have mapped the same files, and no page of the code is their own"
python3 same.py "${made[@]}" >out 2>err
[ "$(cut -d' ' -f1 out)" = 1 ] && [ "$(cut -d' ' -f3 out)" = 0 ]
ok $? "so have twenty"
for i in $(seq 20); do
	oci kill "m$i" KILL
done
for i in $(seq 20); do
	stopped "m$i" && oci delete "m$i"
done
exec 8>&-
[ -z "$(cat many-err.*)" ] && nothing_kept
ok $? "and nothing is left of them"
rm -f many.* many-err.* && rm -rf "$BROOD_CACHE/tip"
for i in $(seq 20); do
	echo "number $i" | timeout 120 "$OCI" --root "$root" run --bundle many "n$i" \
		>"many.$i" 2>"many-err.$i" &
	pids[i]=$!
done
wait "${pids[@]}"
bad=0
for i in $(seq 20); do
	[ "$(cat "many.$i")" = "number $i" ] || bad=1
done
cat many-err.* >err
[ $bad = 0 ] && [ ! -s err ] && nothing_kept && [ "$(kept copy | wc -l)" = 1 ]
ok $? "20 at once that have to keep it first, each with its own input"
echo "1..$count"
[ $failed = 0 ]
