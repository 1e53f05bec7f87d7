#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci under podman: modules in images, started, watched, stopped and
# removed as any container; and as the usual runtime of all.
# needs: podman conmon runc
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

# podman takes no long paths.
pod=$(mktemp -d /tmp/brood-pod.XXXXXX) || exit 1
# As it is packaged, with what is commented there, and what this machine needs.
sed "s,^#\(\[engine\]\|runtime = \),\1,; s|/usr/bin/brood-oci|$folder/brood-oci|
/^\[engine\]/a cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = \"file\"" \
	"$here/../../packaging/examples/containers.conf" >containers.conf
cat >>containers.conf <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
END
# Not by --runtime-flag: podman forgets that when it cleans up.
cat >brood-oci <<END
#!/bin/sh
exec "$OCI" --root "$root" "\$@"
END
chmod +x brood-oci
export CONTAINERS_CONF=$folder/containers.conf
podman=(--root "$pod/images" --runroot "$pod/run" --tmpdir "$pod/tmp"
	--storage-driver vfs --network-config-dir "$pod/net")
pod() { # WORD...; the status is in $status
	timeout 60 podman "${podman[@]}" "$@" >out 2>err </dev/null
	status=$?
}
end_podman() {
	pod rm --force --all --time 0
	end_containers
	grep -o "${pod}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
	rm -rf "$folder" "$pod"
}
trap end_podman EXIT

image() { # NAME FILE...
	python3 "$here/../lib/oci_image.py" "$1.tar" "localhost/$1:1" "${@:2}"
	pod load --input "$1.tar"
	[ $status = 0 ]
}

image hello hello.wasm seven.wasm && image forever forever.wasm hello.wasm &&
	image copy copy.wasm && image variables variables.wasm
ok $? "images of modules are loaded"
pod run --rm localhost/hello:1 Podman
[ $status = 0 ] && [ "$(cat out)" = "Hello, Podman!" ] && [ ! -s err ] && nothing_left
ok $? "run: a module's output"
pod run --rm --entrypoint /seven.wasm localhost/hello:1
[ $status = 7 ]
ok $? "its exit code"
pod run --rm --env "WORD=a b" localhost/variables:1
[ $status = 0 ] && tr '\0' '\n' <out | grep -qx 'WORD=a b' && tr '\0' '\n' <out | grep -qx FROM=image
ok $? "variables of the image and of the command"
head -c 200000 /dev/urandom >random
timeout 60 podman "${podman[@]}" run --rm --interactive localhost/copy:1 \
	<random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out
ok $? "standard input and output"
mkdir volume
chmod 777 volume
pod run --rm --user 1000:1000 --read-only --cap-drop all \
	--volume "$folder/volume:/volume" --env BROOD_REPORT=/volume/report \
	localhost/hello:1
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] && grep -q '"way":"mapped"' volume/report
ok $? "another user, a read-only root, no capabilities; its code is mapped"
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	rm volume/report
	pod run --rm --annotation brood.kind=domain --user 1000:1000 \
		--volume "$folder/volume:/volume" \
		--env BROOD_REPORT=/volume/report localhost/hello:1 Domain
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Domain!" ] &&
		grep -q '"isolation":"kvm"' volume/report
	ok $? "in a domain, with podman's own seccomp filter"
	timeout 60 "$BROOD" run --in domain --until stdin --save copied \
		copy.wasm >out 2>err </dev/null
	timeout 60 podman "${podman[@]}" run --rm --interactive --user 1000:1000 \
		--annotation brood.tip=copied localhost/hello:1 <random >out 2>err
	status=$?
	[ $status = 0 ] && cmp -s random out && nothing_left
	ok $? "from a warm tip, whatever the image's process is"
	pod run --rm --annotation brood.tip=none localhost/hello:1
	[ $status = 126 ] || [ $status = 125 ] && grep -q 'no tip none' err
	ok $? "one that is not there is told"
else
	skip "from a warm tip" "no /dev/kvm"
	skip "in a domain" "no /dev/kvm"
fi

pod run --detach --name one localhost/forever:1
[ $status = 0 ]
ok $? "run --detach"
pod ps --format '{{.Names}} {{.Status}}'
[ $status = 0 ] && grep -q '^one Up' out
ok $? "ps: it is up"
pod inspect one --format '{{.OCIRuntime}} {{.State.Running}}'
[ "$(cat out)" = "brood true" ]
ok $? "inspect: our runtime has it"
pod exec one /hello.wasm Exec
[ $status = 0 ] && [ "$(cat out)" = "Hello, Exec!" ]
ok $? "exec of a module"
pod exec one /none
[ $status = 127 ]
ok $? "exec of what is not there: 127, as with any runtime"
pod pause one && [ $status = 0 ] && pod unpause one && [ $status = 0 ]
ok $? "pause and unpause"
pod stop --time 20 one
[ $status = 0 ] && pod inspect one --format '{{.State.ExitCode}} {{.State.Status}}' && [ "$(cat out)" = "143 exited" ]
ok $? "stop: its signal ends it, and no other is needed"
pod start one
[ $status = 0 ] && pod kill --signal KILL one && pod wait one && [ "$(cat out)" = 137 ]
ok $? "start again; kill"
pod rm one
[ $status = 0 ] && nothing_left
ok $? "rm leaves nothing"
pod run --name logged localhost/hello:1 Log
pod logs logged
[ "$(cat out)" = "Hello, Log!" ] && pod rm logged && [ $status = 0 ]
ok $? "logs"
pod create --interactive --name attached localhost/copy:1
timeout 60 podman "${podman[@]}" start --attach --interactive attached \
	<random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out && pod rm attached && [ $status = 0 ]
ok $? "start --attach: its streams"
pod run --detach --interactive --name attached localhost/copy:1
echo attached | timeout 60 podman "${podman[@]}" attach attached >out 2>err
status=$?
[ $status = 0 ] && [ "$(cat out)" = attached ] && pod rm attached && [ $status = 0 ]
ok $? "attach to one that runs"

"$BROOD" wasm export hello.wasm --oci layout --name localhost/exported:1 >out 2>err &&
	pod pull --quiet oci:layout:localhost/exported:1 && [ $status = 0 ] &&
	pod run --rm "$(cat out)" Layout && [ "$(cat out)" = "Hello, Layout!" ]
ok $? "a module that was exported to a layout"
"$BROOD" wasm export hello.wasm --oci layout --name localhost/noted:1 \
	--annotation brood.kind=nothing >out 2>err &&
	pod pull --quiet oci:layout:localhost/noted:1 && [ $status = 0 ] &&
	pod run --rm "$(cat out)"
[ $status = 126 ] && grep -q 'annotation brood.kind' err && nothing_left
ok $? "an image's annotations reach the runtime"

printf '\0asm\1\0\0\0\377' >broken.wasm
image broken broken.wasm
pod run --rm localhost/broken:1
[ $status = 126 ] && grep -q 'broken.wasm: at 0x8' err && nothing_left
ok $? "a module that is none: podman tells our line"
pod run --rm --annotation brood.kind=nothing localhost/hello:1
[ $status = 126 ] && grep -q 'annotation brood.kind' err && nothing_left
ok $? "so it does of annotations"

kernel=$(find /boot -name 'vmlinuz-*cloud*' -readable | sort | tail -1)
if [ -n "$kernel" ] && command -v qemu-system-x86_64 >/dev/null; then
	mkdir -m 700 machines
	machine() { # WORD...
		XDG_RUNTIME_DIR=$folder/machines timeout 200 "$BROOD" machine "$@" >out 2>err </dev/null
	}
	machine image --as first.img &&
		machine boot work --memory 128M --kernel "$kernel" --initrd first.img \
			--append "quiet panic=-1 mitigations=off" &&
		machine save work --as machine --stop &&
		pod run --detach --name box --hostname box --annotation brood.kind=machine \
			--annotation brood.tip=machine --entrypoint '["sh", "-c"]' \
			localhost/hello:1 'uname -n; exec sleep 100' &&
		pod exec --env WORD=told box sh -c 'uname -n; echo $WORD; cat /init.none; exit 5'
	[ $status = 5 ] && [ "$(cat out)" = "box
told" ] && grep -q "can't open '/init.none'" err
	ok $? "a machine, and a command more in it"
	pod logs box
	[ $status = 0 ] && [ "$(cat out)" = box ] && pod rm --force --time 0 box && nothing_left
	ok $? "that says its name, and is removed"
else
	skip "a machine" "no kernel in /boot, or no QEMU"
fi
if [ -x /bin/busybox ] && ! readelf -lW /bin/busybox | grep -q INTERP; then
	cp /bin/busybox .
	image native busybox
	pod run --rm localhost/native:1 sh -c 'echo native; exit 3'
	[ $status = 3 ] && [ "$(cat out)" = native ] && [ ! -e "$root.brood/native" ]
	ok $? "an ordinary container under the same runtime"
else
	skip "an ordinary container under the same runtime" "no static busybox"
fi

for i in $(seq 50); do
	timeout 100 podman "${podman[@]}" run --rm localhost/hello:1 N \
		>"many.$i" 2>"many-err.$i" </dev/null &
done
wait
status=$?
[ "$(cat many.* | sort | uniq -c | sed 's/^ *//')" = "50 Hello, N!" ] && nothing_left
ok $? "50 at once"
pod ps --all --quiet
[ $status = 0 ] && [ ! -s out ] && ! pgrep -f "conmon.*$pod" >/dev/null
ok $? "no container and no monitor is left"
echo "1..$count"
[ $failed = 0 ]
