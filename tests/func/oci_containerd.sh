#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci under containerd, one of the test's own: modules in images by ctr.
# needs: containerd containerd-shim-runc-v2 ctr runc
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

cat >config.toml <<END
version = 2
root = "$folder/c-root"
state = "$folder/c-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$folder/c.sock"
[ttrpc]
  address = "$folder/t.sock"
END
containerd --config config.toml --log-level warn >daemon.log 2>&1 </dev/null &
daemon=$!

c() { # WORD...; the status is in $status
	timeout 60 ctr --address "$folder/c.sock" "$@" >out 2>err </dev/null
	status=$?
}
start() { # WORD...: of ctr run
	c run --snapshotter native --runc-binary "$OCI" --runc-root "$root" \
		--fifo-dir "$folder/fifo" "$@"
}
state_root() { # containerd puts its name space behind it
	find "$root" -mindepth 2 ! -name .lock 2>/dev/null
}
end_containerd() {
	local task
	for task in $(ctr --address "$folder/c.sock" task ls -q 2>/dev/null); do
		timeout 20 ctr --address "$folder/c.sock" task kill -s KILL "$task"
		timeout 20 ctr --address "$folder/c.sock" task rm --force "$task"
	done >/dev/null 2>&1
	kill $daemon 2>/dev/null
	wait $daemon 2>/dev/null
	pgrep -f "containerd-shim.*$folder" | xargs -r kill -9
	grep -o "${folder}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
	rm -rf "$folder"
}
trap end_containerd EXIT
for _ in $(seq 100); do
	c version && [ $status = 0 ] && break
	sleep 0.1
done
[ $status = 0 ]
ok $? "containerd answers"

image() { # NAME FILE...
	python3 "$here/../lib/oci_image.py" "$1.tar" "docker.io/library/$1:1" "${@:2}"
	c image import --snapshotter native "$1.tar"
	[ $status = 0 ]
}
image copy copy.wasm && image hello hello.wasm && image seven seven.wasm && image forever forever.wasm hello.wasm
ok $? "images of modules are imported"
start --rm docker.io/library/hello:1 c1 /hello.wasm ctr
[ $status = 0 ] && [ "$(cat out)" = "Hello, ctr!" ] && [ -z "$(state_root)" ]
ok $? "run: a module's output, and nothing is left"
"$BROOD" wasm export hello.wasm --oci layout --name docker.io/library/exported:1 >out 2>err &&
	tar -C layout -cf layout.tar . &&
	c image import --snapshotter native layout.tar && [ $status = 0 ] &&
	start --rm docker.io/library/exported:1 c1 /hello.wasm Layout &&
	[ "$(cat out)" = "Hello, Layout!" ]
ok $? "a module that was exported to a layout"
start --rm docker.io/library/seven:1 c1
[ $status = 7 ]
ok $? "its exit code"
mkdir volume
start --rm --mount "type=bind,src=$folder/volume,dst=/volume,options=rbind:rw" \
	--env BROOD_REPORT=/volume/report docker.io/library/hello:1 c1
[ $status = 0 ] && grep -q '"way":"mapped"' volume/report
ok $? "its code is mapped"
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	rm -f volume/report
	start --rm --annotation brood.isolation=domain --env BROOD_REPORT=/volume/report \
		--mount "type=bind,src=$folder/volume,dst=/volume,options=rbind:rw" \
		docker.io/library/hello:1 c1
	[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] &&
		grep -q '"isolation":"kvm"' volume/report
	ok $? "in a domain"
	# What it says when it is warm is another word.
	sed 's/(func (export "_start")/(func (export "warm") (i32.store8 (i32.const 64) (i32.const 74)))\n&/' \
		hello.wat >greets.wat
	timeout 60 "$BROOD" run --in domain --until warm --save greets greets.wat \
		>out 2>err </dev/null
	start --rm --annotation brood.tip=greets docker.io/library/seven:1 c1 first Tip
	[ $status = 0 ] && [ "$(cat out)" = "Jello, Tip!" ] && [ -z "$(state_root)" ]
	ok $? "from a warm tip"
else
	skip "from a warm tip" "no /dev/kvm"
	skip "in a domain" "no /dev/kvm"
fi
start --detach docker.io/library/copy:1 c6
mkfifo input
timeout 60 ctr --address "$folder/c.sock" task attach c6 <input >attached 2>&1 &
engine=$!
exec 8>input
echo attached >&8
for _ in $(seq 100); do
	[ -s attached ] && break
	sleep 0.1
done
c task kill --signal TERM c6
exec 8>&-
wait $engine
status=$?
[ $status = 143 ] && [ "$(cat attached)" = attached ] && c task rm c6
c container rm c6
[ $status = 0 ] && [ -z "$(state_root)" ]
ok $? "attach to one that runs: its streams and its exit code"
start --detach docker.io/library/forever:1 c2
[ $status = 0 ] && c task ls && grep -q '^c2 .*RUNNING' out
ok $? "run --detach: the task runs"
c task exec --exec-id e1 --fifo-dir "$folder/fifo" c2 /hello.wasm Exec
[ $status = 0 ] && [ "$(cat out)" = "Hello, Exec!" ]
ok $? "exec of a module"
c task ps c2
[ $status = 0 ] && [ "$(wc -l <out)" = 2 ]
ok $? "ps: one process"
c task pause c2 && [ $status = 0 ] && c task resume c2 && [ $status = 0 ]
ok $? "pause and resume"
c task kill --signal TERM c2
for _ in $(seq 100); do
	c task ls && grep -q '^c2 .*STOPPED' out && break
	sleep 0.1
done
grep -q '^c2 .*STOPPED' out
ok $? "a signal ends it"
c task rm c2
grep -q 143 err && c container rm c2 && [ $status = 0 ] && [ -z "$(state_root)" ]
ok $? "rm: its exit code is 143, and nothing is left"
printf '\0asm\1\0\0\0\377' >broken.wasm
image broken broken.wasm
start --rm docker.io/library/broken:1 c3
[ $status != 0 ] && grep -q 'broken.wasm: at 0x8' err && [ -z "$(state_root)" ]
ok $? "a module that is none: ctr tells our line"
if [ -x /bin/busybox ] && ! readelf -lW /bin/busybox | grep -q INTERP; then
	cp /bin/busybox .
	image native busybox
	start --rm docker.io/library/native:1 c4 /busybox sh -c 'echo native; exit 3'
	[ $status = 3 ] && [ "$(cat out)" = native ] && [ -z "$(state_root)" ]
	ok $? "an ordinary container under the same runtime"
else
	skip "an ordinary container under the same runtime" "no static busybox"
fi
for i in $(seq 50); do
	timeout 100 ctr --address "$folder/c.sock" run --rm --snapshotter native \
		--runc-binary "$OCI" --runc-root "$root" \
		--fifo-dir "$folder/fifo" docker.io/library/hello:1 "m$i" \
		/hello.wasm N >"many.$i" 2>"many-err.$i" </dev/null &
	many[i]=$!
done
wait "${many[@]}"
status=$?
[ "$(cat many.* | sort | uniq -c | sed 's/^ *//')" = "50 Hello, N!" ] && [ -z "$(state_root)" ]
ok $? "50 at once"
# The runtime is killed below containerd, while it makes containers and while it
# ends them; KILLS=N for the long run.
kill_ours() {
	pgrep -n -f "^$OCI --root $root" | xargs -r kill -9 2>/dev/null
}
for i in $(seq "${KILLS:-15}"); do
	start --detach docker.io/library/forever:1 "k$i" &
	engine=$!
	sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
	kill_ours
	wait $engine
	c task kill --signal KILL "k$i" &
	engine=$!
	sleep "0.0$((RANDOM % 9))"
	kill_ours
	wait $engine
	c task rm --force "k$i"
	c container rm "k$i"
done
c task ls
[ "$(wc -l <out)" = 1 ] && [ -z "$(state_root)" ] &&
	! pgrep -f "containerd-shim.*$folder" >/dev/null
ok $? "killed below containerd at chance moments, we leave nothing"
start --detach docker.io/library/forever:1 c5
shim=$(pgrep -f "containerd-shim.*-id c5 .*$folder")
[ -n "$shim" ] && kill -9 "$shim"
for _ in $(seq 100); do
	[ -z "$(state_root)" ] && break
	sleep 0.1
done
[ -n "$shim" ] && [ -z "$(state_root)" ]
ok $? "its shim killed: containerd removes the container, and so do we"
c container rm c5
[ $status = 0 ] && ! pgrep -f "containerd-shim.*$folder" >/dev/null
ok $? "no container and no shim is left"
echo "1..$count"
[ $failed = 0 ]
