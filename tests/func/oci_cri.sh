#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci under containerd's interface for Kubernetes: pods of the runtime
# class "brood", with the configuration of packaging/, called as kubelet would.
# needs: containerd containerd-shim-runc-v2 ctr runc curl
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

# Sockets have no long paths.
place=$(mktemp -d /tmp/brood-cri.XXXXXX) || exit 1
part() { # as it is packaged, with our program
	sed "s|BinaryName = .*|BinaryName = \"$OCI\"\nRoot = \"$root\"|" "$here/../../packaging/examples/containerd.toml"
}
# It begins as Debian's does.
cat - <(part) >config.toml <<END
version = 2
root = "$place/root"
state = "$place/state"
[grpc]
  address = "$place/sock"
[ttrpc]
  address = "$place/ttrpc"
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "docker.io/library/pause:1"
    restrict_oom_score_adj = true
    disable_tcp_service = true
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "$place/cni"
      conf_dir = "$place/cni"
    [plugins."io.containerd.grpc.v1.cri".containerd]
      snapshotter = "native"
  [plugins."io.containerd.internal.v1.opt"]
    path = "$place/opt"
END
containerd --config config.toml config dump >out 2>err
status=$?
[ $status = 0 ] && grep -qF 'containerd.runtimes.brood]' out && grep -qF "BinaryName = \"$OCI\"" out
ok $? "containerd takes the configuration"
{ containerd config default; part | sed '/^# A list/,$d'; } >default.toml
containerd --config default.toml config dump >out 2>err
status=$?
[ $status = 0 ] && grep -qF 'containerd.runtimes.brood]' out && grep -qF 'containerd.runtimes.runc]' out
ok $? "and behind its own one, without the lines that are there"

containerd --config config.toml --log-level warn >daemon.log 2>&1 </dev/null &
daemon=$!
c() { # WORD...: of ctr
	timeout 60 ctr --address "$place/sock" --namespace k8s.io "$@" >out 2>err </dev/null
	status=$?
}
cri() { # WORD...: the last line is in $answer
	timeout 60 python3 "$here/../lib/cri.py" "$place/sock" "$@" >out 2>err </dev/null
	status=$?
	answer=$(tail -1 out)
}
state_root() { # containerd puts its name space behind it
	find "$root" -mindepth 2 ! -name .lock 2>/dev/null
}
end_cri() {
	local task
	for task in $(ctr --address "$place/sock" --namespace k8s.io task ls -q); do
		timeout 20 ctr --address "$place/sock" --namespace k8s.io task kill -s KILL "$task"
		timeout 20 ctr --address "$place/sock" --namespace k8s.io task rm --force "$task"
	done
	kill $daemon
	wait $daemon
	pgrep -f "containerd-shim.*$place" | xargs -r kill -9
	grep -o "${place}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
	rm -rf "$folder" "$place"
}
trap 'end_cri >/dev/null 2>&1' EXIT
for _ in $(seq 100); do
	c version && [ $status = 0 ] && break
	sleep 0.1
done
ctr --address "$place/sock" plugins ls >out 2>err
grep -q 'cri .* ok' out
ok $? "containerd answers, and has its interface for Kubernetes"

cat >pause.c <<'END'
#include <unistd.h>
int main(void)
{
	for (;;)
		pause();
}
END
image() { # NAME FILE...
	python3 "$here/../lib/oci_image.py" "$1.tar" "docker.io/library/$1:1" "${@:2}"
	c image import --snapshotter native "$1.tar"
	[ $status = 0 ]
}
gcc -static -o pause pause.c && image pause pause && image hello hello.wasm &&
	image seven seven.wasm && image forever forever.wasm hello.wasm
ok $? "images are imported"

ended() { # CONTAINER CODE: it has that
	for _ in $(seq 100); do
		cri status "$1"
		[ "$answer" = "exited $2" ] && return
		sleep 0.1
	done
	return 1
}
pod() { # NOTES
	notes=${1:-}
	cri sandbox brood "$notes"
	sandbox=$answer
}
made=0
container() { # IMAGE WORD...: begins
	log=$folder/log.$((made += 1))
	cri container "$sandbox" "$notes" "docker.io/library/$1:1" "$log" "${@:2}" &&
		[ $status = 0 ] && container=$answer && cri start "$container"
	[ $status = 0 ]
}
pod
[ $status = 0 ] && container hello /hello.wasm Pod && ended "$container" 0 &&
	grep -q ' stdout F Hello, Pod!$' "$log"
ok $? "a pod, and in it a module; its output is in the log"
container seven && ended "$container" 7
ok $? "its exit code"
container forever && cri status "$container" && [ "$answer" = "running 0" ]
ok $? "one that runs"
cri exec "$container" /hello.wasm Exec
[ $status = 0 ] && [ "$(cat out)" = "Hello, Exec!" ]
ok $? "exec of a module"
cri stop "$container" && ended "$container" 137 && cri remove "$container"
[ $status = 0 ]
ok $? "stop, remove"
cri end "$sandbox"
[ $status = 0 ] && [ -z "$(state_root)" ]
ok $? "the end of the pod leaves nothing"
pod brood.kind=module,other=x
[ $status = 0 ] && container hello && ended "$container" 0 && ! container pause &&
	grep -q 'is no WebAssembly module' err && cri end "$sandbox" && [ $status = 0 ]
ok $? "a pod's annotation is for its containers, and not for what holds the pod"
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	pod brood.isolation=domain
	[ $status = 0 ] && container forever && grep -q '"domain":true' "$root/k8s.io.brood/$container/record" &&
		cri exec "$container" /hello.wasm Domain && [ "$(cat out)" = "Hello, Domain!" ] &&
		cri end "$sandbox" && [ $status = 0 ]
	ok $? "a pod in domains, by its annotation"
else
	skip "a pod in domains, by its annotation" "no /dev/kvm"
fi
pod brood.kind=nothing
[ $status = 0 ] && ! container hello && grep -q 'annotation brood.kind' err && cri end "$sandbox" && [ $status = 0 ]
ok $? "what is wrong with an annotation is told"
[ -z "$(state_root)" ] && ! pgrep -f "containerd-shim.*$place" >/dev/null
ok $? "no container and no shim is left"
echo "1..$count"
[ $failed = 0 ]
