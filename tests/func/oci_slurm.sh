#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci under Slurm, a cluster of the test's own with two nodes: modules in
# bundles by srun --container, with the oci.conf and the Prolog of packaging/.
# needs: slurmctld slurmd srun sbatch runc
# timeout: 300
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

# Sockets have no long paths, and users have to get there.
place=$(mktemp -d /tmp/brood-slurm.XXXXXX) || exit 1
mkdir "$place/bundles"
python3 "$here/../lib/slurm.py" "$place" "$OCI" "$BROOD" || exit 1
export SLURM_CONF=$place/slurm.conf
slurmctld -D >control.out 2>&1 </dev/null &
daemons=($!)
for node in n1 n2; do
	slurmd -D -N $node >$node.out 2>&1 </dev/null &
	daemons+=($!)
done

steps() { # the programs of Slurm that hold a step of ours
	local p
	for p in $(pgrep -x slurmstepd); do
		readlink "/proc/$p/fd"/* 2>/dev/null | grep -q "^$place/" && echo "$p"
	done
}
end_slurm() {
	local id
	# A step that does not end holds its daemon.
	timeout 20 scancel --user=root,nobody
	kill "${daemons[@]}"
	steps | xargs -r kill -9
	for _ in $(seq 100); do
		[ -z "$(jobs -rp)" ] && break
		sleep 0.1
	done
	kill -9 "${daemons[@]}"
	wait "${daemons[@]}"
	pgrep -f "brood-oci --root=$place" | xargs -r kill -9
	for id in "$place"/run/*/oci/*; do
		[ -e "$id" ] && timeout 20 runc --root "${id%/*}" delete --force "${id##*/}"
	done
	grep -o "${place}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
	rm -rf "$folder" "$place"
}
trap 'end_slurm >/dev/null 2>&1' EXIT

# What is left of containers, and of what Slurm made for them.
left() {
	find "$place"/run/*/oci "$place"/run/*/oci.brood "$place"/n[12]/oci-* \
		-mindepth 1 ! -name .lock 2>/dev/null
}
# Slurm cleans up behind the step, when srun has its answer.
gone() {
	for _ in $(seq 100); do
		[ -z "$(left)$(steps)$(squeue --noheader)" ] && return
		sleep 0.1
	done
	echo "left: $(left) $(steps) $(squeue --noheader)" >>err
	return 1
}
s() { # WORD...: of srun; the status is in $status
	timeout 60 srun --quiet "$@" >out 2>err </dev/null
	status=$?
}
forever() { # NODES WORD...: in the background, as $runner, when it runs on all
	timeout 60 "${@:2}" srun --quiet -N"$1" --job-name=forever --container="$at" \
		/forever.wasm >out 2>err </dev/null &
	runner=$!
	for _ in $(seq 100); do
		[ "$(running | wc -l)" -ge "$1" ] && return
		sleep 0.1
	done
	return 1
}
running() { # those of this test: their variables name its cluster
	local p
	for p in $(pgrep -f '^/dev/.brood/brood run .*/forever.wasm'); do
		grep -qzsFx "SLURM_CONF=$SLURM_CONF" "/proc/$p/environ" && echo "$p"
	done
}
bundle_change() { # CODE
	folder=$place/bundles change plain "$1"
}

for _ in $(seq 200); do
	timeout 5 sinfo --noheader --format %T%D >out 2>err
	status=$?
	[ "$(cat out)" = idle2 ] && break
	sleep 0.1
done
[ "$(cat out)" = idle2 ]
ok $? "two nodes are there"
if [ $failed != 0 ]; then
	sed 's/^/# /' "$place"/*.log ./*.out | tail -20
	echo "1..$count"
	exit 1
fi

bundle plain /none
mv plain "$place/bundles/"
at=$place/bundles/plain
s -N2 --container="$at" /hello.wasm Slurm
[ $status = 0 ] && [ "$(cat out)" = "Hello, Slurm!
Hello, Slurm!" ] && [ ! -s err ] && gone
ok $? "srun on two nodes: a module's output"
s -N2 --container="$at" /seven.wasm
[ $status = 7 ] && gone
ok $? "its exit code"
s -N1 --container="$at" /trap.wasm
[ $status = 134 ] && grep -q unreachable err && gone
ok $? "a trap is 134, and its line is there"
head -c 200000 /dev/urandom >random
timeout 60 srun --quiet -N1 --container="$at" /copy.wasm <random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out && gone
ok $? "standard input and output"
WORD="a b" s -N2 --export=ALL,MORE=x --container="$at" /variables.wasm
tr '\0' '\n' <out >variables
[ $status = 0 ] && [ "$(grep -cx 'WORD=a b' variables)" = 2 ] &&
	[ "$(grep -cx MORE=x variables)" = 2 ] &&
	[ "$(grep -cx SLURM_NTASKS=2 variables)" = 2 ] && gone
ok $? "variables, and those of Slurm"
echo '0-1 /hello.wasm %t' >ranks
s -N2 --container="$at" --multi-prog ranks
[ $status = 0 ] && [ "$(sort out)" = "Hello, 0!
Hello, 1!" ] && gone
ok $? "a task's number, by --multi-prog"
bundle_change "c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder', 'options': ['bind', 'rw']})"
s -N1 --container="$at" --export=ALL,BROOD_REPORT=/volume/report /hello.wasm
[ $status = 0 ] && grep -q '"way":"mapped"' report && gone
ok $? "its code is mapped"

forever 2
held=$(left | grep -c 'oci.brood/n[12]\.root\.[0-9.]*$')
timeout 20 scancel --name=forever
wait $runner
status=$?
[ "$held" = 2 ] && [ $status != 0 ] && gone && [ -z "$(running)" ]
ok $? "scancel ends it on both, and nothing is left"
forever 1
pgrep -f "^$place/bin/brood-oci --root=.* run " | xargs -r kill -9
wait $runner
status=$?
[ $status != 0 ] && gone && [ -z "$(running)" ]
ok $? "the runtime killed: Slurm removes the container, and so do we"

printf '\0asm\1\0\0\0\377' >"$at/rootfs/broken.wasm"
s -N1 --container="$at" /broken.wasm
[ $status = 1 ] && grep -q 'broken.wasm: at 0x8' err && gone
ok $? "a module that is none: srun tells our line"
if [ -x /bin/busybox ] && ! readelf -lW /bin/busybox | grep -q INTERP; then
	cp /bin/busybox "$at/rootfs/"
	s -N2 --container="$at" /busybox sh -c 'echo native; exit 3'
	[ $status = 3 ] && [ "$(cat out)" = "native
native" ] && gone
	ok $? "an ordinary bundle, under the same oci.conf"
else
	skip "an ordinary bundle, under the same oci.conf" "no static busybox"
fi
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	bundle_change "c['annotations'] = {'brood.isolation': 'domain'}"
	rm -f report
	s -N1 --container="$at" --export=ALL,BROOD_REPORT=/volume/report /hello.wasm Domain
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Domain!" ] &&
		grep -q '"isolation":"kvm"' report && gone
	ok $? "in a domain, as the bundle's annotation says"
	bundle_change "del c['annotations']"
else
	skip "in a domain, as the bundle's annotation says" "no /dev/kvm"
fi

timeout 120 sbatch --wait --quiet --array=1-50 --output="$place/array.%a" \
	--wrap "srun --quiet --container=$at /variables.wasm" >out 2>err </dev/null
status=$?
cat "$place"/array.* | tr '\0' '\n' | grep '^SLURM_ARRAY_TASK_ID=' | sort -u >numbers
[ $status = 0 ] && [ "$(wc -l <numbers)" = 50 ] && gone
ok $? "a job array of 50, each with its number"

# ---- another user ------------------------------------------------------------------

nobody=(env --chdir=/ setpriv --reuid nobody --regid nogroup --init-groups)
as_nobody() { # WORD...; the status is in $status
	timeout 60 "${nobody[@]}" "$@" >out 2>err </dev/null
	status=$?
}
as_nobody unshare -U true
if [ $status = 0 ]; then
	mv "$at/config.json" config.root
	(cd "$at" && runc spec --rootless)
	bundle_change "c['linux']['uidMappings'][0]['hostID'] = $(id -u nobody)
c['linux']['gidMappings'][0]['hostID'] = $(id -g nobody)
c['process'].pop('rlimits', None)"
	as_nobody srun --quiet -N2 --container="$at" /hello.wasm Nobody
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Nobody!
Hello, Nobody!" ] && gone &&
		[ "$(stat -c %U "$place/run/nobody/oci.brood")" = nobody ] &&
		[ -n "$(find "$place/cache/nobody" -type f -user nobody)" ]
	ok $? "a user without rights, with folders of that user"
	as_nobody srun --quiet -N1 --container="$at" /seven.wasm
	[ $status = 7 ] && gone
	ok $? "that user's exit code"
	forever 1 "${nobody[@]}"
	pgrep -f "^$place/bin/brood-oci --root=.* run " | xargs -r kill -9
	wait $runner
	status=$?
	[ $status != 0 ] && gone && [ -z "$(running)" ]
	ok $? "the runtime killed: the container is removed as that user"
	mv config.root "$at/config.json"
else
	skip "a user without rights, with folders of that user" "no name space of users"
	skip "that user's exit code" "no name space of users"
	skip "the runtime killed: the container is removed as that user" "no name space of users"
fi

# ---- create and start ----------------------------------------------------------------

sed -i 's/^RunTimeRun/#&/; s/^#\(RunTimeCreate\|RunTimeStart\)/\1/' "$place/oci.conf"
s -N2 --container="$at" /hello.wasm Create
[ $status = 0 ] && [ "$(cat out)" = "Hello, Create!
Hello, Create!" ] && gone
ok $? "by create and start: a module's output"
echo "1..$count"
[ $failed = 0 ]
