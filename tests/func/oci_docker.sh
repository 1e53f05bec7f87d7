#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci under Docker, a daemon of the test's own: modules in images, started,
# watched, stopped and removed as any container.
# needs: dockerd docker containerd runc
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

# Sockets have no long paths.
place=$(mktemp -d /tmp/brood-docker.XXXXXX) || exit 1
had_folder=$([ -d /run/docker ] && echo yes)
export DOCKER_HOST=unix://$place/sock DOCKER_CONFIG=$folder/config
sed "s|/usr/bin/brood-oci|$OCI|" "$here/../../packaging/examples/daemon.json" >daemon.json
dockerd --config-file "$folder/daemon.json" --data-root "$place/data" --exec-root "$place/exec" --host "$DOCKER_HOST" \
	--pidfile "$place/pid" --iptables=false --ip6tables=false --bridge=none \
	--storage-driver vfs --default-ulimit nofile=1024:1024 >daemon.log 2>&1 </dev/null &
daemon=$!

d() { # WORD...; the status is in $status
	timeout 60 docker "$@" >out 2>err </dev/null
	status=$?
}
start() { # WORD...: of docker run
	d run --network none --runtime brood "$@"
}
left() { # of containers
	find "$place/exec/runtime-runc" -mindepth 2 ! -name .lock
}
end_docker() {
	# shellcheck disable=SC2046
	timeout 60 docker rm --force $(timeout 20 docker ps --all --quiet) >/dev/null 2>&1
	kill $daemon 2>/dev/null
	wait $daemon 2>/dev/null
	pgrep -f "containerd.*$place" | xargs -r kill -9
	grep -o "${place}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
	# The daemon makes it wherever it is told to live.
	[ "$had_folder" = yes ] || rmdir /run/docker/plugins /run/docker 2>/dev/null
	rm -rf "$folder" "$place"
}
trap end_docker EXIT
for _ in $(seq 200); do
	d version && [ $status = 0 ] && break
	kill -0 $daemon 2>/dev/null || break
	sleep 0.1
done
if [ $status != 0 ]; then
	skip_all "no daemon starts here: $(grep -v level=info daemon.log | tail -1)"
fi

image() { # NAME FILE...
	tar -cf "$1.tar" "${@:2}" && d import --change "ENTRYPOINT [\"/$2\"]" \
		--change 'ENV FROM=image' "$1.tar" "$1"
	[ $status = 0 ]
}
image hello hello.wasm seven.wasm && image forever forever.wasm hello.wasm &&
	image variables variables.wasm && image copy copy.wasm
ok $? "images of modules are imported"
start --rm hello Docker
[ $status = 0 ] && [ "$(cat out)" = "Hello, Docker!" ]
ok $? "run: a module's output"
start --rm --entrypoint /seven.wasm hello
[ $status = 7 ]
ok $? "its exit code"
start --rm --env "WORD=a b" variables
[ $status = 0 ] && tr '\0' '\n' <out | grep -qx 'WORD=a b' && tr '\0' '\n' <out | grep -qx FROM=image
ok $? "variables of the image and of the command"
head -c 200000 /dev/urandom >random
timeout 60 docker run --rm --interactive --network none --runtime brood copy \
	<random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out
ok $? "standard input and output"
mkdir volume
chmod 777 volume
start --rm --user 1000:1000 --read-only --cap-drop all \
	--volume "$folder/volume:/volume" --env BROOD_REPORT=/volume/report hello
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] && grep -q '"way":"mapped"' volume/report
ok $? "another user, a read-only root, no capabilities, Docker's own seccomp filter; its code is mapped"
start --detach --name one forever
[ $status = 0 ] && [ -n "$(left)" ] && d ps --format '{{.Names}} {{.Status}}' && grep -q '^one Up' out
ok $? "run --detach; ps: it is up"
d exec one /hello.wasm Exec
[ $status = 0 ] && [ "$(cat out)" = "Hello, Exec!" ]
ok $? "exec of a module"
d top one
[ $status = 0 ] && grep -q '/forever.wasm' out
ok $? "top"
d pause one && [ $status = 0 ] && d unpause one && [ $status = 0 ]
ok $? "pause and unpause"
d stop --time 20 one
[ $status = 0 ] && d inspect one --format '{{.State.ExitCode}} {{.State.Status}}' &&
	[ "$(cat out)" = "143 exited" ]
ok $? "stop: its signal ends it, and no other is needed"
d start one
[ $status = 0 ] && d kill one && d wait one && [ "$(cat out)" = 137 ]
ok $? "start again; kill"
d rm one
[ $status = 0 ] && [ -z "$(left)" ]
ok $? "rm leaves nothing"
start --name logged hello Log
d logs logged
[ "$(cat out)" = "Hello, Log!" ] && d rm logged && [ $status = 0 ]
ok $? "logs"
d create --interactive --network none --runtime brood --name attached copy
d start attached
echo attached | timeout 60 docker attach attached >out 2>err
status=$?
[ $status = 0 ] && [ "$(cat out)" = attached ] && d rm attached && [ $status = 0 ]
ok $? "attach"
printf '\0asm\1\0\0\0\377' >broken.wasm
image broken broken.wasm
start --rm broken
[ $status -ge 125 ] && [ $status -le 127 ] && grep -q 'broken.wasm: at 0x8' err && [ -z "$(left)" ]
ok $? "a module that is none: Docker tells our line"
if [ -x /bin/busybox ] && ! readelf -lW /bin/busybox | grep -q INTERP; then
	cp /bin/busybox .
	image native busybox
	start --rm native sh -c 'echo native; exit 3'
	[ $status = 3 ] && [ "$(cat out)" = native ]
	ok $? "an ordinary container under the same runtime"
else
	skip "an ordinary container under the same runtime" "no static busybox"
fi
for i in $(seq 50); do
	timeout 100 docker run --rm --network none --runtime brood hello N \
		>"many.$i" 2>"many-err.$i" </dev/null &
	many[i]=$!
done
wait "${many[@]}"
status=$?
[ "$(cat many.* | sort | uniq -c | sed 's/^ *//')" = "50 Hello, N!" ] && [ -z "$(left)" ]
ok $? "50 at once"
d ps --all --quiet
[ $status = 0 ] && [ ! -s out ] && ! pgrep -f "containerd-shim.*$place" >/dev/null
ok $? "no container and no shim is left"
echo "1..$count"
[ $failed = 0 ]
