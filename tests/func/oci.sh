#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood-oci as engines call it, with runc behind it: modules in containers,
# whatever else a bundle holds, hostile bundles, and kills at any step.
# needs: runc
# timeout: 400
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

oci --version
[ $status = 0 ] && [ "$(sed -n '1s/ [0-9.]*$//p' out)" = "brood-oci version" ] &&
	[ "$(grep -c version out)" = 1 ] && grep -q '^spec: 1\.' out
ok $? "--version has the form that engines read"
oci --help
[ $status = 0 ] && grep -q '^  create ' out && [ ! -s err ]
ok $? "--help lists the commands"

# ---- a module's life ---------------------------------------------------------------

bundle hello /hello.wasm World
oci run --bundle hello c1
[ $status = 0 ] && [ "$(cat out)" = "Hello, World!" ] && [ ! -s err ] && nothing_left
ok $? "run: a module's output, and nothing is left"
BROOD_EVENTS=$folder/events oci run --bundle hello c1
[ $status = 0 ] && [ "$(grep -c . events)" = "$(grep -c '"event":"' events)" ] &&
	grep '"event":"oci.create"' events | grep -q '"id":"c1","kind":"module","code":true,"ready":false}$'
ok $? "a line of JSON for it, where one is wished"
[ "$(cd hello/rootfs && find . -type f | sort)" = "$(cd "$folder" && find . -maxdepth 1 -name '*.wasm' | sort)" ] &&
	[ -z "$(ls -A hello/rootfs/dev)" ] && [ ! -e hello/rootfs/.brood ]
ok $? "its root file system is as it was"
cd hello && oci run c1 && mv out err .. ; cd ..
[ $status = 0 ] && [ "$(cat out)" = "Hello, World!" ]
ok $? "the bundle is the working folder where none is named"
bundle seven /seven.wasm
oci run -b=seven c1
[ $status = 7 ] && [ ! -s err ] && nothing_left
ok $? "its exit code is the container's"
bundle trap /trap.wasm
oci run --bundle trap c1
[ $status = 134 ] && grep -q 'trap: unreachable' err && nothing_left
ok $? "a trap is told, and is 134"
bundle copy copy.wasm
change copy "c['process']['cwd'] = '/'"
head -c 300000 /dev/urandom >random
timeout 30 "$OCI" --root "$root" run --bundle copy c1 <random >out 2>err
status=$?
[ $status = 0 ] && cmp -s random out
ok $? "standard input and output pass through; a name is looked for in the working folder"
bundle variables variables.wasm
change variables "c['process']['env'] = ['PATH=/', 'A=b c'] + ['N%d=x' % i for i in range(100)]"
oci run --bundle variables c1
[ $status = 0 ] && [ "$(tr '\0' '\n' <out | head -2 | tail -1)" = "A=b c" ] &&
	[ "$(tr '\0' '\n' <out | grep -c =x)" = 100 ]
ok $? "all of its variables; a name is looked for in PATH"

mkdir volume
cp hello.wasm volume/far.wasm
bundle far /volume/far.wasm
change far "c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})
c['process']['env'].append('BROOD_REPORT=/volume/report')"
oci run --bundle far c1
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] &&
	grep -q '"way":"mapped"' volume/report
ok $? "a module on a volume; its code is mapped, not compiled"
rm volume/report
change far "c['process']['user'] = {'uid': 1234, 'gid': 1234}
c['root']['readonly'] = True
c['process']['noNewPrivileges'] = True"
chmod 777 volume
oci run --bundle far c1
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] &&
	grep -q '"way":"mapped"' volume/report
ok $? "the same for another user, and a root that is read-only"
rm volume/report
open=$(mktemp -d /tmp/brood-oci.XXXXXX)
chmod 755 "$open"
trap 'end_containers; rm -rf "$folder" "$open"' EXIT
cp -r far/rootfs "$open/"
change far "c['linux']['namespaces'].append({'type': 'user'})
c['root']['path'] = '$open/rootfs'
c['linux']['uidMappings'] = c['linux']['gidMappings'] = [{'containerID': 0, 'hostID': 200000, 'size': 65536}]"
oci run --bundle far c1
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ] &&
	grep -q '"way":"mapped"' volume/report
ok $? "the same in a name space of users, to which the code belongs to nobody"
if setpriv --reuid 65534 --regid 65534 --clear-groups unshare -U true 2>/dev/null; then
	mkdir "$open/rootless" "$open/home" "$open/bin"
	cp "$OCI" "$BROOD" "$open/bin/"
	(cd "$open/rootless" && runc spec --rootless)
	mv "$open/rootless" rootless
	change rootless "c['process'].update(terminal=False, args=['/hello.wasm', 'Nobody'])
c['process'].pop('rlimits', None)
c['root']['path'] = '$open/rootfs'
c['linux']['uidMappings'][0]['hostID'] = c['linux']['gidMappings'][0]['hostID'] = 65534"
	mv rootless "$open/"
	chown -R 65534:65534 "$open"
	(cd / && HOME=$open/home XDG_RUNTIME_DIR=$open/home BROOD_CACHE='' XDG_CACHE_HOME='' \
		timeout 30 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$open/bin/brood-oci" run --bundle "$open/rootless" c1) >out 2>err </dev/null
	status=$?
	[ $status = 0 ] && grep -q 'Hello, Nobody!' out && [ -d "$open/home/runc.brood" ] &&
		[ ! -e "$open/home/runc.brood/c1" ]
	ok $? "as a user without rights"
	# As podman does without root: it is one in a name space of users.
	(cd / && HOME=$open/home XDG_RUNTIME_DIR=$open/home BROOD_OCI_RUNTIME=/bin/true \
		timeout 30 setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Ur \
		"$open/bin/brood-oci" create --bundle "$open/rootless" c1) >out 2>err </dev/null
	status=$?
	[ $status = 0 ] && [ -e "$open/home/runc.brood/c1/config.json" ]
	ok $? "and as one who is root in a name space of users"
else
	skip "and as one who is root in a name space of users" "no name space of users"
	skip "as a user without rights" "no name space of users for it"
fi
bundle bare /hello.wasm
change bare "c['mounts'] = [m for m in c['mounts'] if m['type'] == 'proc']"
oci run --bundle bare c1
[ $status = 0 ] && [ "$(cat out)" = "Hello, you!" ]
ok $? "without a tmpfs on /dev"

bundle forever /forever.wasm
oci create --bundle forever --pid-file pid c2
[ $status = 0 ] && [ -d "/proc/$(cat pid)" ]
ok $? "create: the process is there, by its pid file"
oci state c2
[ $status = 0 ] && python3 - out <<END
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit((s["status"], s["bundle"], s["id"]) != ("created", "$folder/forever", "c2"))
END
ok $? "state: it is created, and its bundle is the one that was given"
oci list --format json
[ $status = 0 ] && python3 - out <<END
import json, sys
sys.exit([c["bundle"] for c in json.load(open(sys.argv[1]))] != ["$folder/forever"])
END
ok $? "list: the same"
oci create --bundle forever c2
[ $status = 1 ] && grep -q 'exists already' err && [ -d "/proc/$(cat pid)" ]
ok $? "an ID that is there is not taken, and stays"
oci start c2
[ $status = 0 ] && oci ps c2 && grep -q '/forever.wasm' out
ok $? "start, ps"
oci exec c2 /hello.wasm Words
[ $status = 0 ] && [ "$(cat out)" = "Hello, Words!" ]
ok $? "exec of a module by words"
python3 - forever/config.json >process.json <<'END'
import json, sys
p = json.load(open(sys.argv[1]))["process"]
p["args"] = ["hello.wasm", "File"]
print(json.dumps(p))
END
oci exec --process process.json c2
[ $status = 0 ] && [ "$(cat out)" = "Hello, File!" ]
ok $? "exec of a module by a file"
oci exec c2 /seven.wasm
[ $status = 7 ]
ok $? "its exit code"
oci exec c2 /none
[ $status != 0 ] && [ ! -s out ] && [ -s err ]
ok $? "exec of what is not there is the runtime's error"
oci kill c2 TERM
[ $status = 0 ] && stopped c2
ok $? "a signal ends it"
oci delete c2
[ $status = 0 ] && nothing_left
ok $? "delete leaves nothing"
oci delete c2
[ $status != 0 ] && oci delete --force c2 && [ $status = 0 ] && nothing_left
ok $? "a second one is an error, but with --force"
"$OCI" --root "$root" run --bundle forever c3 >out 2>err </dev/null &
runner=$!
for _ in $(seq 100); do
	"$OCI" --root "$root" state c3 2>/dev/null | grep -q running && break
	sleep 0.1
done
kill -TERM $runner
wait $runner
status=$?
[ $status = 143 ] && nothing_left
ok $? "a signal to run is handed on, and 128 and its number is the code"
for word in -d --detach; do
	oci run $word --bundle forever c3
	[ $status = 0 ] && [ -e "$root.brood/c3" ] && oci kill c3 KILL && stopped c3 &&
		oci delete c3 && [ $status = 0 ] && nothing_left
	ok $? "run $word: it is there until it is deleted"
done
# Without a word of it, the runtime goes and the container stays.
"$OCI" --root "$root" run --bundle forever c3 >out 2>err </dev/null &
for _ in $(seq 100); do
	pgrep -f "^[^ ]*runc --root $root run .* c3" >pid && break
	sleep 0.1
done
for _ in $(seq 100); do
	"$OCI" --root "$root" state c3 2>/dev/null | grep -q running && break
	sleep 0.1
done
xargs -r kill -9 <pid
wait $!
[ -s pid ] && [ -e "$root.brood/c3" ] && oci delete --force c3 && [ $status = 0 ] && nothing_left
ok $? "run whose runtime is killed: the container is there until it is deleted"

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	bundle domain /hello.wasm Domain
	change domain "c['annotations'] = {'brood.isolation': 'domain'}
c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})
c['process']['env'].append('BROOD_REPORT=/volume/report')"
	rm -f volume/report
	oci run --bundle domain c1
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Domain!" ] && nothing_left &&
		grep -q '"isolation":"kvm"' volume/report
	ok $? "in a domain: a virtual machine of its own inside the container"
	grep -q '"kept":true' volume/report &&
		[ "$(find "$BROOD_CACHE/ready" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
	ok $? "which begins as its module's instance that was kept"
	change domain "c['process']['args'] = ['/seven.wasm']"
	oci run --bundle domain c1
	[ $status = 7 ] && nothing_left
	ok $? "its exit code"
	bundle domain /starts.wasm
	change domain "c['annotations'] = {'brood.isolation': 'domain'}
c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})
c['process']['env'].append('BROOD_REPORT=/volume/report')"
	rm -f volume/report
	oci run --bundle domain c1
	[ $status = 0 ] && nothing_left && grep -q '"kept":false' volume/report
	ok $? "no guest runs outside to be kept: one with a start function"
	bundle domain /hello.wasm User
	change domain "c['annotations'] = {'brood.isolation': 'domain'}
c['process']['user'] = {'uid': 4711, 'gid': 4712}
c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})
c['process']['env'].append('BROOD_REPORT=/volume/report')"
	rm -f volume/report
	chmod 777 volume
	oci run --bundle domain c1
	[ $status = 0 ] && [ "$(cat out)" = "Hello, User!" ] && nothing_left &&
		grep -q '"kept":true' volume/report
	ok $? "whoever the container's user is"
	chmod 755 volume
	kept() { # made anew: its files
		rm -rf "$BROOD_CACHE/ready"
		oci run --bundle domain c1
		find "$BROOD_CACHE/ready" -type f -size +0 | sort
	}
	bad=0 tried=0
	for n in $(seq "$(kept | wc -l)"); do
		for way in "${ways[@]}" 'flip(size // 2)'; do
			damage "$(kept | sed -n "${n}p")" "$way" || bad=1
			oci run --bundle domain c1
			[ $status = 0 ] && [ "$(cat out)" = "Hello, User!" ] &&
				nothing_left || bad=1
			tried=$((tried + 1))
		done
	done
	[ $bad = 0 ] && [ $tried -gt 15 ]
	ok $? "what was kept and is damaged, in $tried ways, is not used"
	chmod 700 "$BROOD_CACHE"/ready/* "$BROOD_CACHE"/ready/*/tips
	rm -f volume/report
	chmod 777 volume
	oci run --bundle domain c1
	[ $status = 0 ] && grep -q '"kept":true' volume/report
	ok $? "one whose maker was killed before it was open to all is opened"
	chmod 755 volume
else
	skip "which begins as its module's instance that was kept" "no /dev/kvm"
	skip "no guest runs outside to be kept: one with a start function" "no /dev/kvm"
	skip "whoever the container's user is" "no /dev/kvm"
	skip "what was kept and is damaged is not used" "no /dev/kvm"
	skip "one whose maker was killed before it was open to all is opened" "no /dev/kvm"
	skip "in a domain" "no /dev/kvm"
	skip "its exit code" "no /dev/kvm"
fi

# ---- what is not the runtime's any more ---------------------------------------------

groups() { # of that name, in whatever hierarchies there are
	find /sys/fs/cgroup -type d -path "*$1*" 2>/dev/null
}
# As a runtime does that is killed when it has made the group.
forget() { # ID
	kill -9 "$(cat pid)"
	stopped "$1"
	rm -rf "${root:?}/$1"
}
bundle forgotten /forever.wasm
change forgotten "c['linux']['cgroupsPath'] = '/brood-test-$$/c9'"
oci create --bundle forgotten --pid-file pid c9
[ $status = 0 ] && [ -n "$(groups "brood-test-$$/c9")" ] && forget c9 &&
	[ -n "$(groups "brood-test-$$/c9")" ]
ok $? "a group stays of a container that its runtime has forgotten"
oci delete --force c9
[ $status = 0 ] && [ -z "$(groups "brood-test-$$/c9")" ] && nothing_left
ok $? "and goes with a delete"
oci create --bundle forgotten --pid-file pid c9
forget c9
mkdir -p "$(groups "brood-test-$$/c9" | head -1)/others"
oci delete --force c9
[ $status = 0 ] && [ "$(groups "brood-test-$$/c9" | wc -l)" = 2 ] && nothing_left
ok $? "but for one that has another in it"
groups "brood-test-$$" | sort -r | xargs -r rmdir
change forgotten "c['linux'].pop('cgroupsPath')"
oci create --bundle forgotten --pid-file pid "brood-test-$$"
forget "brood-test-$$"
[ -n "$(groups "brood-test-$$")" ] && oci delete --force "brood-test-$$" &&
	[ $status = 0 ] && [ -z "$(groups "brood-test-$$")" ]
ok $? "and one whose name the runtime has chosen"

# ---- what is not ours --------------------------------------------------------------

cat >told <<'END'
#!/bin/sh
printf '<%s>' "$@"
END
chmod +x told
as_told() { # WORD...
	BROOD_OCI_RUNTIME=$folder/told timeout 20 "$OCI" "$@" >out 2>err </dev/null
	status=$?
	[ $status = 0 ] && [ "$(cat out)" = "$(printf '<%s>' "$@")" ]
}
bundle plain /bin/true
as_told --root /r --unknown create --bundle plain --odd=1 --pid-file x 'c 1'
ok $? "an ordinary bundle: the words are handed over unchanged"
change plain "c['process']['args'] = ['/hello.wasm']
c['annotations'] = {'brood.kind': 'program'}"
as_told run -b plain c
ok $? "so is one whose annotations say a program"
as_told events --stats c && as_told features && as_told spec && as_told kill c 9 && as_told pause --x c
ok $? "so are commands that are not ours"
if [ -x /bin/busybox ] && ! readelf -lW /bin/busybox | grep -q INTERP; then
	cp /bin/busybox plain/rootfs/
	change plain "c['process']['args'] = ['/busybox', 'sh', '-c', 'echo native; exit 3']
del c['annotations']"
	oci run --bundle plain c1
	[ $status = 3 ] && [ "$(cat out)" = native ]
	ok $? "an ordinary container runs"
else
	skip "an ordinary container runs" "no static busybox"
fi
BROOD_OCI_RUNTIME=$OCI oci run --bundle hello c1
[ $status = 1 ] && grep -q 'no other program' err
ok $? "it does not start itself"
BROOD_OCI_RUNTIME=/none oci run --bundle hello c1
[ $status = 1 ] && grep -q BROOD_OCI_RUNTIME err && nothing_left
ok $? "a runtime that is not there is told"

# ---- hostile bundles ----------------------------------------------------------------

# One line, the same in the log, and nothing behind it.
refused() { # WORDS ARGUMENT...
	local words=$1
	shift
	rm -f log
	oci --log log --log-format json "$@"
	[ $status = 1 ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q '^brood-oci: ' err && grep -qF -- "$words" err &&
		python3 - log "$words" <<'END' && nothing_left
import json, sys
with open(sys.argv[1]) as f:
    (line,) = f.readlines()
said = json.loads(line)
sys.exit(set(said) != {"level", "msg", "time"} or said["level"] != "error" or sys.argv[2] not in said["msg"])
END
}

bundle bad /hello.wasm
cp bad/config.json good.json
hostile() { # WORDS WHAT: of bad/config.json as it is now
	refused "$1" create --bundle bad c1
	ok $? "$2"
	cp good.json bad/config.json
}
head -c 11000000 /dev/zero | tr '\0' ' ' >bad/config.json
hostile "too large" "a config.json of 11 MB"
printf '{"a":%s' "$(printf '[%.0s' $(seq 10000))" >bad/config.json
hostile malformed "one of 10000 levels"
echo "process: here" >bad/config.json
hostile malformed "one that is not JSON"
rm bad/config.json && mkfifo bad/config.json
refused "not a regular file" create --bundle bad c1
ok $? "one that is a pipe"
rm bad/config.json
hostile "No such file" "none at all"
change bad "c['annotations'] = {'brood.kind': 'machine-x'}"
hostile "none of module" "an unknown kind"
change bad "c['annotations'] = {'brood.kind': 'domain', 'brood.isolation': 'process'}"
hostile "brood.kind does not" "annotations that contradict each other"
change bad "c['annotations'] = {'brood.kind': 'module'}; c['process']['args'] = ['/../../../etc/passwd']"
hostile "No such file" "a name that would lead out of the root"
ln -s /etc/hostname bad/rootfs/link
change bad "c['annotations'] = {'brood.kind': 'module'}; c['process']['args'] = ['/link']"
hostile "No such file" "a link that would"
printf '\0asm\1\0\0\0\377\377\377' >bad/rootfs/broken.wasm
change bad "c['process']['args'] = ['/broken.wasm']"
hostile "broken.wasm" "a module that is none"
printf '\0asm\15\0\1\0' >bad/rootfs/component.wasm
change bad "c['process']['args'] = ['/component.wasm']"
hostile "component.wasm" "a component"
change bad "c['root']['path'] = 'nothing'"
hostile "root.path" "no root"
change bad "c['mounts'] = {}"
hostile "no list" "mounts that are no list"
bad=''
for id in .. ../x a/b .x 'a b'; do
	refused "no ID" create --bundle bad "$id" || { bad=$id; break; }
done
[ -z "$bad" ]
ok $? "IDs that are no names"
refused "is missing" create --bundle bad
ok $? "no ID"
if unshare -m true 2>/dev/null; then
	change bad "c['annotations'] = {'brood.kind': 'domain'}"
	rm -f log
	unshare -m sh -c 'mount --bind /dev/null /dev/kvm 2>/dev/null; exec "$@"' - \
		timeout 30 "$OCI" --root "$root" --log log create --bundle bad c1 \
		>out 2>err </dev/null
	status=$?
	[ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -q 'a domain: no KVM' err &&
		grep -q '^time="[^"]*" level=error msg="a domain' log && nothing_left
	ok $? "a domain where there is no KVM"
else
	skip "a domain where there is no KVM" "no name space of mounts"
fi
bundle late /hello.wasm
change late "c['linux']['namespaces'].append({'type': 'none-such'})"
oci create --bundle late c1
[ $status != 0 ] && nothing_left
ok $? "what the runtime refuses leaves nothing"

# ---- killed ---------------------------------------------------------------------------

fake_runtime
make_it() {
	faked create --bundle hello c9
}
# An engine asks, and then removes it.
is_removed() {
	faked delete --force c9
	[ $status = 0 ] && nothing_left
}
killed : is_removed create --bundle hello c9 && is_removed && [ $steps -gt 4 ]
ok $? "create killed at each of $steps steps: delete --force leaves nothing"
killed make_it is_removed delete c9 && is_removed && [ $steps -gt 4 ]
ok $? "delete killed at each of $steps steps: delete --force leaves nothing"
faked create --bundle hello c9
rmdir "$root/c9"
faked create --bundle plain c9
[ $status = 0 ] && faked state c9 &&
	grep -q '"bundle":"x"' out && faked delete c9 && nothing_left
ok $? "what was left of one is not taken for another's of its ID"
# Who writes a record names a program that is started.
cat >evil <<END
#!/bin/sh
touch "$folder/ran"
END
chmod +x evil
faked create --bundle hello c9
sed -i "s|$folder/fake|$folder/evil|" "$root.brood/c9/record"
chown -R 65534 "$root.brood"
bad=0
for words in "state c9" "delete --force c9" "kill c9" "create --bundle plain c9" "create --bundle hello c9"; do
	# shellcheck disable=SC2086
	faked $words
	case $words in
	kill*) ;;
	*) [ $status = 1 ] && grep -q "another user's\|belong" err || bad=1 ;;
	esac
done
[ $bad = 0 ] && [ ! -e ran ] && [ -e "$root.brood/c9/record" ]
ok $? "a folder of records that is another user's is believed in nothing"
chown -R 0 "$root.brood"
sed -i "s|$folder/evil|$folder/fake|" "$root.brood/c9/record"
faked delete --force c9
[ $status = 0 ] && nothing_left
ok $? "and removed by its owner"
is_made_again() {
	faked state c9
	local made=$status
	faked create --bundle hello c9
	# One that the runtime has by then is there.
	[ $status = 0 ] || [ $made = 0 ] || return
	faked delete c9
	[ $status = 0 ] && nothing_left
}
killed : is_made_again create --bundle hello c9 && is_removed && [ $steps -gt 4 ]
ok $? "create again, and a plain delete, do too"
# One step of a life, by chance, is killed at a chance moment; KILLS=1000 for the
# long run.
life() { # STEP-TO-KILL WORD...
	if [ "$step" != "$1" ]; then
		timeout 20 "$OCI" --root "$root" "${@:2}" >/dev/null 2>&1 </dev/null
		return
	fi
	"$OCI" --root "$root" "${@:2}" >/dev/null 2>&1 </dev/null &
	runner=$!
	sleep "0.0$((RANDOM % 90 + 10))"
	kill -9 $runner 2>/dev/null
	wait $runner 2>/dev/null
}
cp forever.wasm "life-$$.wasm"
bundle life "/life-$$.wasm"
rm "life-$$.wasm"
bad=0
for i in $(seq "${KILLS:-40}"); do
	step=$((RANDOM % 4))
	life 0 create --bundle life k1
	life 1 start k1
	life 2 kill k1 KILL
	life 3 delete k1
	oci delete --force k1
	[ $status = 0 ] && nothing_left || { bad=$i; break; }
done
[ "$bad" = 0 ] && ! pgrep -f "brood run .* /life-$$.wasm" >/dev/null
ok $? "a chance step killed at a chance moment, often: delete --force leaves nothing"

# ---- many at once ---------------------------------------------------------------------

rm -f many.*
for i in $(seq 50); do
	timeout 120 "$OCI" --root "$root" run --bundle hello "m$i" \
		>"many.$i" 2>"many-err.$i" </dev/null &
done
wait
[ "$(cat many.* | sort | uniq -c | sed 's/^ *//')" = "50 Hello, World!" ] && nothing_left
status=$?
ok $status "50 at once"
[ "$(find "$BROOD_CACHE" -maxdepth 1 -type f -name '????????????????????????????????????????????????????????????????' | wc -l)" -le 8 ]
ok $? "whatever runs a module maps the one object of it"
echo "1..$count"
[ $failed = 0 ]
