#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Applications that are installed on the node, as containers of brood-oci: with
# runc behind it, and under podman.  What they are given, what they share, what
# happens without the share, hostile annotations, and kills at any step.
# needs: runc busybox python3
# timeout: 400
TMPDIR=/tmp # other users look into it
# shellcheck source=tests/lib/func.sh disable=SC2016
. "$(dirname "$0")/../lib/func.sh"
# shellcheck source=tests/lib/oci.sh
. "$here/../lib/oci.sh"

export BROOD_APPS=$folder/apps BROOD_REPORT=$folder/report
share=$folder/share
status=0
touch out err
fuse="" pod=""

clean_up() {
	[ -z "$pod" ] || end_podman
	end_containers
	umount "$BROOD_APPS"/.mounts/*-* 2>/dev/null
	[ -z "$fuse" ] || kill "$fuse"
	umount -l "$folder/front" 2>/dev/null
	cd /
	rm -rf "$folder" ${pod:+"$pod"}
}
trap clean_up EXIT

grep -q '	erofs$' /proc/filesystems || modprobe erofs 2>/dev/null ||
	skip_all "this kernel has no EROFS"
readelf -lW "$(command -v busybox)" | grep -q INTERP && skip_all "busybox is not static"

app() { # WORD...: brood app
	timeout 60 "$BROOD" app "$@" >out 2>err
	status=$?
}

# Fresh: first is a shell, with all that an application may want.
pack() { # RELEASE
	mkdir -p tree/bin tree/.brood/settings
	cp "$(command -v busybox)" tree/bin/busybox
	echo "$1" >tree/release
	echo 'name=${name} data=${data} own=${settings}' >tree/.brood/settings/first.conf
	app pack tree --name first --release "$1" --entry tool=bin/busybox \
		--entry other=bin/busybox --argument sh --env 'APP=${app}' \
		--env 'CONF=${settings}/first.conf' --env 'STORE=${data}/store' \
		--env 'WORD=of the application' --writable store --as "$1.app"
	[ $status = 0 ] || { cat err; exit 1; }
}
install() { # WORD...
	app install --share "$share" --bin "$folder/bin" --answer 1s --deadline 8s --ttl 2s "$@"
	[ $status = 0 ] || { cat err; exit 1; }
}

# A bundle of the application with these words; there is nothing in its root.
bundle_of() { # NAME APP WORD...
	bundle "$1" anything "${@:3}"
	rm -rf "${folder:?}/$1"/rootfs/*
	change "$1" "c['annotations'] = {'brood.app': '$2'}"
}

left() { # no container, and no mount but the node's own
	[ -z "$(find "$root" "$root.brood" -mindepth 1 ! -name .lock 2>/dev/null)" ] &&
		! grep "$folder" /proc/mounts | grep -qv " $BROOD_APPS/.mounts/\|$folder/front"
}
one_line() { # WORDS
	[ "$(wc -l <err)" = 1 ] && grep -q '^brood-oci: ' err && grep -qF -- "$1" err
}
state() { # of first
	"$BROOD" app ls --json | python3 -c 'import json, sys
print([a["state"] for a in json.load(sys.stdin)["apps"] if a["name"] == "first"][0])'
}
last() { # KEY: of the last report
	grep '"app"' "$BROOD_REPORT" | tail -1 |
		python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"
}

pack one
install one.app

# ---- a life --------------------------------------------------------------------------

bundle_of plain first -c 'echo "$# $1 $2"; cat "$APP/release"; exit 7' - 'a b' c
oci run --bundle plain p1
[ $status = 7 ] && [ "$(cat out)" = "2 a b c
one" ] && [ ! -s err ] && left
ok $? "run: the program, its words and its exit code, and nothing is left"
[ "$(last way)" = shared ] && [ "$(last entry)" = tool ]
ok $? "it was loaded from the share"
[ "$(cd plain/rootfs && find . -mindepth 1 | sort | xargs)" = "./bin ./dev ./proc ./sys" ]
ok $? "its root file system is empty but for folders that were mounted over"
bundle_of plain first/other -c 'cat; exit 3'
head -c 300000 /dev/urandom >random
timeout 30 "$OCI" --root "$root" run --bundle plain p1 <random >out 2>err
status=$?
[ $status = 3 ] && cmp -s random out && [ "$(last entry)" = other ]
ok $? "an entry by its name; standard input and output"
bundle_of plain first -c 'echo "$WORD, $OWN"; cat "$CONF"; echo x >"$STORE/x" && cat "$STORE/x"
	env | grep -c ^WORD=; touch "$APP/x" || touch "$CONF"'
change plain "c['process']['env'] = ['PATH=/', 'WORD=old', 'OWN=of the bundle', 'WORD=older']"
oci run --bundle plain p1
[ $status = 1 ] && [ "$(cat out)" = "of the application, of the bundle
name=first data=/dev/.brood/data own=/dev/.brood/settings
x
1" ] && [ "$(grep -c 'Read-only file system' err)" = 2 ]
ok $? "its variables, its settings with the container's places, what it may write and what not"
[ -z "$(find "$BROOD_APPS/.data.first" -type f)" ]
ok $? "which is nothing of the node's"
mkdir volume
bundle_of plain first -c 'echo kept >"$STORE/x"'
change plain "c['mounts'].append({'destination': '/dev/.brood/data/store/', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})"
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat volume/x)" = kept ]
ok $? "a volume takes its place"
bundle_of plain first -c 'id -u; cat "$APP/release" "$CONF" >/dev/null && echo x >"$STORE/x" && cat "$STORE/x"'
change plain "c['process']['user'] = {'uid': 1234, 'gid': 1234}
c['root']['readonly'] = True
c['process']['capabilities'] = {}
c['process']['noNewPrivileges'] = True"
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "1234
x" ]
ok $? "another user, without capabilities, and a root that is read-only"
chmod 711 "$folder"
change plain "c['linux']['namespaces'].append({'type': 'user'})
c['process']['user'] = {'uid': 0, 'gid': 0}
c['linux']['uidMappings'] = c['linux']['gidMappings'] = [{'containerID': 0, 'hostID': 200000, 'size': 65536}]"
chown 200000:200000 plain/rootfs
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "0
x" ] && left
ok $? "the same in a name space of users"
if setpriv --reuid 65534 --regid 65534 --clear-groups unshare -U true 2>/dev/null; then
	mkdir -m 755 rootless user bin2
	cp "$OCI" "$BROOD" bin2/
	chown 65534:65534 user
	(cd rootless && runc spec --rootless && mkdir rootfs)
	change rootless "c['process'].update(terminal=False, args=['x', '-c', 'id -u; cat \$APP/release; echo x >\$STORE/x && cat \$STORE/x'])
c['process'].pop('rlimits', None)
c['annotations'] = {'brood.app': 'first'}
c['linux']['uidMappings'][0]['hostID'] = c['linux']['gidMappings'][0]['hostID'] = 65534"
	chmod 644 rootless/config.json
	chown 65534:65534 rootless/rootfs
	(cd / && HOME=$folder/user XDG_RUNTIME_DIR=$folder/user BROOD_CACHE='' BROOD_REPORT='' \
		timeout 30 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$folder/bin2/brood-oci" run --bundle "$folder/rootless" p1) >out 2>err </dev/null
	status=$?
	[ $status = 0 ] && [ "$(tail -n 3 out)" = "0
one
x" ] && [ ! -e "$folder/user/runc.brood/p1" ]
	ok $? "of a user without rights, what root has loaded"
else
	skip "of a user without rights, what root has loaded" "no name space of users for it"
fi
bundle_of plain first -c 'echo "$APP"; cat "$APP/release"'
change plain "c['mounts'] = [m for m in c['mounts'] if m['type'] == 'proc']"
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "/.brood/app
one" ] && left
ok $? "without a tmpfs on /dev"

bundle_of forever first -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
oci create --bundle forever --pid-file pid p2
[ $status = 0 ] && [ -d "/proc/$(cat pid)" ] && oci state p2 &&
	grep -q '"created"' out && grep -q "\"$folder/forever\"" out
ok $? "create and state"
oci start p2
[ $status = 0 ] && oci exec p2 /dev/.brood/app/bin/busybox cat /dev/.brood/app/release
[ $status = 0 ] && [ "$(cat out)" = one ]
ok $? "start; exec of a program that it has"
oci kill p2 TERM
[ $status = 0 ] && stopped p2
ok $? "a signal ends it"
oci delete p2
[ $status = 0 ] && left
ok $? "delete leaves nothing"
oci create --bundle forever p2
[ $status = 0 ] && oci delete --force p2 && [ $status = 0 ] && left
ok $? "nor does that of one that was not started"

# ---- shared ----------------------------------------------------------------------------

text() { # PID: device, inode and Private_Dirty of the program's text
	awk -v program=/app/bin/busybox '/^[0-9a-f]+-[0-9a-f]+ / {
		is = $2 ~ /x/ && substr($6, length($6) - length(program) + 1) == program
		if (is) at = $4 " " $5 }
		is && /^Private_Dirty:/ { dirty = $2 }
		is && /^Shared_Clean:/ { shared = $2 }
		END { print at, dirty, (shared > 0) }' "/proc/$1/smaps"
}
running() { # ID [BUNDLE]: its pid is in the file ID.pid
	oci create --bundle "${2:-forever}" --pid-file "$1.pid" "$1" && oci start "$1" || return
	for _ in $(seq 100); do
		text "$(cat "$1.pid")" | grep -q ' 0 1$' && return
		sleep 0.1
	done
}
running pa && running pb
[ "$(text "$(cat pa.pid)")" = "$(text "$(cat pb.pid)")" ] &&
	text "$(cat pa.pid)" | grep -Eq '^[0-9a-f]+:[0-9a-f]+ [1-9][0-9]* 0 1$'
status=$?
text "$(cat pa.pid)" >out
text "$(cat pb.pid)" >err
ok $status "two containers map the same file of the same device, and share its pages"
[ "$(grep -c " $BROOD_APPS/.mounts/" /proc/mounts)" = 1 ]
ok $? "it is mounted once for the node"

pack two
app upgrade --share "$share" --bin "$folder/bin" two.app
[ $status = 0 ]
ok $? "an upgrade meanwhile"
bundle_of plain first -c 'cat "$APP/release"'
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = two ]
ok $? "the next container has it"
oci exec pa /dev/.brood/app/bin/busybox cat /dev/.brood/app/release
[ "$(cat out)" = one ]
ok $? "those that run keep theirs"
oci create --bundle plain p1
[ $status = 0 ]
ok $? "one is created"
touch -d '1 hour ago' "$BROOD_APPS"/.mounts/*.ok
app gc && app uninstall first
[ $status = 0 ] && ! grep -q " $BROOD_APPS/.mounts/" /proc/mounts && [ ! -e "$BROOD_APPS/first" ]
ok $? "its application is taken from the node, and all mounts of it"
timeout 20 "$OCI" --root "$root" delete --force pb
oci exec pa /dev/.brood/app/bin/busybox cat /dev/.brood/app/release
[ "$(cat out)" = one ]
ok $? "what runs goes on"
oci start p1
stopped p1 && [ "$(cat out)" = two ]
ok $? "what was created starts"
oci delete p1
oci delete --force pa
left
ok $? "and nothing is left"
oci run --bundle plain p1
[ $status = 1 ] && one_line "application first is not installed on this node" && left
ok $? "a new one is refused"

# ---- programs ---------------------------------------------------------------------------

# WORDS: of what it says in an empty root file system.
refused() { # WORDS [BUNDLE]
	rm -f log
	oci --log log --log-format json create --bundle "${2:-plain}" p1
	[ $status = 1 ] && [ ! -s out ] && one_line "$1" &&
		python3 - log "$1" <<'END' && left
import json, sys
with open(sys.argv[1]) as f:
    (line,) = f.readlines()
said = json.loads(line)
sys.exit(said["level"] != "error" or sys.argv[2] not in said["msg"])
END
}
cat >words.c <<'END'
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (argc == 2)
		execl(argv[0], argv[0], argv[1], "again", NULL);
	printf("%d %s\n", argc, argv[1]);
	return 5;
}
END
if cc -o words words.c 2>err; then
	app pack ./words --name own --own-libc --as own.app && install own.app
	bundle_of plain own xyz word
	oci run --bundle plain p1
	[ $status = 5 ] && [ "$(cat out)" = "3 xyz" ]
	ok $? "a program with a C library of its own, by its own loader"
	bundle_of plain own xyz
	oci run --bundle plain p1
	[ $status = 5 ] && [ "$(cat out)" = "3 xyz" ] && oci run --bundle plain p1 && [ $status = 5 ]
	ok $? "it finds them when it starts itself, and so does the next one"
	mkdir plain/rootfs/opt plain/rootfs/usr/x
	oci run --bundle plain p1
	[ $status = 5 ] && [ "$(cat out)" = "2 xyz" ]
	ok $? "not in a container that has a system of its own"
	app uninstall own
	app pack ./words --name foreign --as foreign.app && install foreign.app
	bundle_of plain foreign xyz
	refused "needs /lib64/ld-linux-x86-64.so.2, which the container does not have"
	ok $? "one without, in a container that has none"
	change plain "c['mounts'] += [{'destination': d, 'type': 'bind', 'source': d, 'options': ['rbind', 'ro']} for d in ('/lib64', '/lib', '/usr/lib')]"
	oci run --bundle plain p1
	[ $status = 5 ] && [ "$(cat out)" = "3 xyz" ]
	ok $? "and in one that has"
	app uninstall foreign
else
	skip "a program with a C library of its own" "no compiler"
	skip "it finds them when it starts itself" "no compiler"
	skip "not in a container that has a system of its own" "no compiler"
	skip "one without" "no compiler"
	skip "and in one that has" "no compiler"
fi
mkdir -p script/bin
printf '#! /bin/sh -e\necho script\n' >script/bin/run
chmod 755 script/bin/run
app pack script --name script --entry run=bin/run --as script.app && install script.app
bundle_of plain script
refused "run of script needs /bin/sh, which the container does not have"
ok $? "a script whose interpreter the container does not have"
mkdir -p plain/rootfs/bin && cp "$(command -v busybox)" plain/rootfs/bin/sh
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = script ]
ok $? "and one whose it has"
app uninstall script
cp "$(command -v busybox)" script/bin/sh
app pack script --name whole --entry run=bin/run --as whole.app && install whole.app
bundle_of plain whole
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = script ]
ok $? "and one that has it itself"
app uninstall whole

# ---- links of a payload that lead out of it ----------------------------------------------

# "brood app" makes and installs no such payload: links are written into another
# one, in the place of words as long, which is mounted where one is verified.
link() { # PATH TARGET
	ln -s "$(padded "QQ$1" Q | tr / Q)" "links/$1"
	padded "QQ$1" Q | tr / Q >>words.sed
	case $2 in
	/*) printf ' %s%s\n' "$(padded "" / | cut -c"$((${#2} + 1))"-)" "$2" ;;
	*) printf ' %s\n' "$(padded "$2" /)" ;;
	esac >>words.sed
}
padded() { # TEXT CHARACTER: sixty of them
	printf '%s%s' "$1" "$(printf "$2%.0s" $(seq $((60 - ${#1}))))"
}
linked() { # NAME WORD...: of the folder "links", which is what is mounted then
	app pack whole --name "$@" --as "$1.app" && install "$1.app"
	rm -f "$1.app" bad.app
	app pack links --name bad --entry x=bin/busybox --as bad.app
	[ $status = 0 ] || { cat err; exit 1; }
	python3 - <<'END' || exit 1
with open("words.sed") as f, open("bad.app", "r+b") as image:
    data = image.read()
    for line in f:
        word, target = (text.encode() for text in line.split())
        data = data.replace(word, target)
    image.seek(0)
    image.write(data)
END
	place=$(grep " $BROOD_APPS/.mounts/[0-9a-f]*-share erofs " /proc/mounts | tail -1 | cut -d' ' -f2)
	umount "$place" && mount -t erofs -o loop,ro bad.app "$place" || exit 1
}
mkdir -p whole/bin links/bin links/usr/lib
cp "$(command -v busybox)" whole/bin/busybox
cp script/bin/run whole/bin/run
cp hello.wasm whole/bin/wasm
cp whole/bin/* links/bin
echo lib >links/usr/lib/word
ln -s usr/lib links/lib
link all /
link etc /etc
link up ../../../../..
link own "$folder"
linked within --entry sh=bin/busybox --argument sh
bundle_of plain within -c 'echo /*; cat /lib/word'
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "/bin /dev /lib /proc /sys /usr
lib" ] && left
ok $? "folders that are links: within the payload, and none of the host's"
app uninstall within
rm -r links/usr links/lib
link usr /usr
link lib64 /usr/lib64
linked usr --entry sh=bin/busybox --argument sh
bundle_of plain usr -c 'echo /*'
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "/bin /dev /proc /sys" ]
ok $? "nor the host's /usr by a link of that name"
app uninstall usr
for kind in program wasm; do
	file=wasm
	[ $kind = wasm ] || file=run
	rm links/bin/$file
	link bin/$file "$folder/target"
	linked "out-$kind" --entry out=bin/$file --kind $kind
	rm -f target
	cp whole/bin/$file target
	bundle_of plain "out-$kind"
	refused "bin/$file leads out of its payload"
	ok $? "an entry ($kind) that is a link to a file of the host's"
	rm -f target opened
	mkfifo target
	(echo >target && touch opened) 2>/dev/null &
	writer=$!
	refused "bin/$file is no file"
	status=$?
	sleep 0.2
	[ $status = 0 ] && [ ! -e opened ]
	ok $? "or to what is no file: it is not even opened"
	kill $writer
	wait $writer
	app uninstall "out-$kind"
	umount "$place" 2>/dev/null
done

# ---- modules, domains, machines ------------------------------------------------------------

mkdir -p modules/images
cp hello.wasm variables.wasm modules/
app pack modules --name words --kind wasm --entry hello=hello.wasm \
	--entry variables=variables.wasm --env 'HERE=${app}' --as words.app
install words.app
bundle_of plain words/hello World
change plain "c['process']['env'].append('BROOD_REPORT=/volume/report')
c['mounts'].append({'destination': '/volume', 'type': 'bind', 'source': '$folder/volume', 'options': ['bind', 'rw']})"
oci run --bundle plain p1
[ $status = 0 ] && [ "$(cat out)" = "Hello, World!" ] && left && grep -q '"way":"mapped"' volume/report
ok $? "byte code: a module of the payload, whose code is mapped"
bundle_of plain words/variables
oci run --bundle plain p1
[ $status = 0 ] && tr '\0' '\n' <out | grep -qx HERE=/dev/.brood/app
ok $? "it has the application's variables"
bundle_of long words/hello
change long "c['process']['args'] = ['x', 'y']"
oci create --bundle long p2 && oci start p2
oci delete --force p2
[ $status = 0 ] && left
ok $? "its life, in steps"
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	bundle_of plain words/hello Isolated
	change plain "c['annotations']['brood.isolation'] = 'domain'"
	oci run --bundle plain p1
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Isolated!" ] && left
	ok $? "byte code, in a domain"
	app pack modules --name apart --kind domain --entry greet=hello.wasm --as apart.app
	install apart.app
	bundle_of plain apart Domain
	oci run --bundle plain p1
	[ $status = 0 ] && [ "$(cat out)" = "Hello, Domain!" ] && left
	ok $? "an entry that is a domain"
	change plain "c['annotations']['brood.isolation'] = 'process'"
	refused "annotation brood.isolation says a process, greet of apart is a domain"
	ok $? "which is no process"
	app uninstall apart
else
	skip "byte code, in a domain" "no /dev/kvm"
	skip "an entry that is a domain" "no /dev/kvm"
	skip "which is no process" "no /dev/kvm"
fi
app pack modules --name machine --kind machine --entry vm=images --as machine.app
install machine.app
bundle_of plain machine
refused "vm of machine is a machine, and no container's process"
ok $? "a machine is refused"
app uninstall machine
app uninstall words

# ---- hostile annotations ----------------------------------------------------------------------

rm -rf "$share" && install one.app --keep
bundle_of good first -c 'cat "$APP/release"'
annotated() { # WORDS ANNOTATIONS WHAT
	bundle_of plain first
	change plain "c['annotations'] = $2"
	refused "$1"
	ok $? "$3"
}
annotated "says another kind" "{'brood.app': 'first', 'brood.kind': 'module'}" "another kind"
annotated "says another kind" "{'brood.app': 'first', 'brood.kind': 'program'}" "a program of the image"
annotated "brood.app names none" "{'brood.kind': 'app'}" "a kind without a name"
annotated "says a module" "{'brood.app': 'first', 'module.wasm.image/variant': 'compat'}" "another runtime's word"
annotated "tool of first is a program" "{'brood.app': 'first', 'brood.isolation': 'domain'}" "a program is no domain"
annotated "is no text" "{'brood.app': 7}" "a number"
bad=""
for name in .. ../first first/../tool first/.. first/ /first "" . .start .host first//tool \
	'first tool' first/tool/x "$(printf 'a%.0s' $(seq 5000))" $'first\nx' $'\e[31m'; do
	bundle_of plain first
	NAME=$name change plain "import os; c['annotations'] = {'brood.app': os.environ['NAME']}"
	refused "is no name of an application" || bad="$bad $name"
done
status=0 && [ -z "$bad" ]
ok $? "names that lead elsewhere, or are none$bad"
before=$(wc -l <"$BROOD_REPORT")
annotated "has no entry nothing on this node" "{'brood.app': 'first/nothing'}" "an entry that is none"
annotated "application second is not installed" "{'brood.app': 'second'}" "an application that is none"
[ "$before" = "$(wc -l <"$BROOD_REPORT")" ] && [ "$(state)" = shared ]
ok $? "neither was asked of the share, and the application is what it was"
bundle_of plain first
change plain "c['annotations'] = {'brood.app': 'first', 'brood.kind': 'app', 'brood.isolation': 'process'}; c['process']['args'] = ['x', '-c', 'exit 4']"
oci run --bundle plain p1
[ $status = 4 ]
ok $? "all that fits may be said"
change plain "c['annotations']['io.kubernetes.cri.container-type'] = 'sandbox'; c['process']['args'] = ['/bin/true']"
BROOD_OCI_RUNTIME=/bin/true oci create --bundle plain p1
[ $status = 0 ] && [ ! -e "$root.brood/p1" ]
ok $? "what holds a pod's name spaces is an ordinary container"
bundle_of plain first
change plain "c['process']['args'] = []"
refused "no words"
ok $? "no words at all"
cp "$BROOD_APPS/first/context" context.good
sed -i 's/share/shard/' "$BROOD_APPS/first/context"
refused "is damaged" good
ok $? "a context that is damaged"
cp context.good "$BROOD_APPS/first/context"
chown 65534 "$BROOD_APPS/first/context"
refused "belong" good || refused "another" good || refused "owne" good
ok $? "one that is another user's"
chown 0 "$BROOD_APPS/first/context"
# Nothing of the image is executed before the walls are there.
bundle_of plain first -c 'exit 0'
mkdir -p plain/rootfs/dev/.brood/app/bin plain/rootfs/lib64
printf '#!/bin/sh\ntouch %s/ran\n' "$folder" >plain/rootfs/dev/.brood/app/bin/busybox
chmod 755 plain/rootfs/dev/.brood/app/bin/busybox
change plain "c['mounts'] = [m for m in c['mounts'] if m['type'] == 'proc']"
ln -s "$folder/volume" plain/rootfs/.brood
oci run --bundle plain p1
[ $status = 0 ] && [ ! -e ran ] && [ ! -e volume/app ] && left
ok $? "a root file system that has our places already"

# ---- without the share ---------------------------------------------------------------------------

rejoin() {
	app rejoin first
	[ $status = 0 ]
}
oci run --bundle good p1
[ "$(cat out)" = one ] && [ ! -s err ]
ok $? "from the share"
mv share away
rm -f log
oci --log log --log-format json run --bundle good p1
[ $status = 0 ] && [ "$(cat out)" = one ] && one_line "goes on without the share" &&
	grep -q '"level":"warning"' log && [ "$(last source)" = copy ] && left
ok $? "a share that is gone: from the node's copy, with one line"
oci run --bundle good p1
[ $status = 0 ] && [ "$(cat out)" = one ] && [ ! -s err ] && [ "$(state)" = independent ]
ok $? "the next one, too, and says nothing"
mv away share && rejoin && oci run --bundle good p1
[ "$(last way)" = shared ]
ok $? "and from the share again"
payload=$(find share/payloads -name '*.erofs')
cp "$payload" payload.good
flip() {
	python3 - "$payload" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(5000)
    byte = f.read(1)[0]
    f.seek(5000)
    f.write(bytes([byte ^ 1]))
END
}
chmod u+w "$payload"
flip
oci run --bundle good p1
[ $status = 0 ] && [ "$(cat out)" = one ] && one_line "goes on without the share" &&
	[ "$(last source)" = copy ] && left
ok $? "a payload that is damaged: from the copy"
alone() { # it has nothing to go on from
	umount "$BROOD_APPS"/.mounts/*-copy 2>/dev/null
	rm -f "$BROOD_APPS"/first/copy.* "$BROOD_APPS/first/state" one.app
}
alone
refused "without the share" good && [ "$(state)" = independent ]
ok $? "with no copy: one line, and nothing is left"
cp payload.good "$payload" && rejoin && oci run --bundle good p1 && [ "$(cat out)" = one ]
ok $? "whole again"
mv share away
alone
refused "open share" good
ok $? "a share that is gone, and no copy: one line"
mv away share && rejoin
ok $? "there again"

if [ -e /dev/fuse ]; then
	app uninstall first
	mkdir back front
	mkfifo orders
	"$BUILD/tests/programs/share_fuse" back front <orders >server 2>&1 &
	fuse=$!
	exec 3>orders
	for _ in $(seq 100); do mountpoint -q front && break; sleep 0.1; done
	share=$folder/front
	pack one
	install one.app --keep
	oci run --bundle good p1
	[ $status = 0 ] && [ "$(cat out)" = one ]
	ok $? "a share that answers"
	echo freeze >&3
	oci run --bundle good p1
	[ $status = 0 ] && [ "$(cat out)" = one ] && one_line "no answer" && left
	ok $? "one that hangs: from the copy, with one line"
	alone
	refused "no answer" good
	ok $? "one that hangs, and no copy: one line, and nothing is left"
	echo ok >&3
	rejoin
	oci run --bundle good p1
	[ $status = 0 ] && [ "$(cat out)" = one ] && [ "$(last way)" = shared ]
	ok $? "and answers again"
	app uninstall first
	exec 3>&-
	wait "$fuse"
	fuse=""
	umount "$BROOD_APPS"/.mounts/*-* 2>/dev/null
	share=$folder/share
	pack one
	install one.app
else
	for words in "a share that answers" "one that hangs" "one that hangs, and no copy" "and answers again"; do
		skip "$words" "no /dev/fuse"
	done
fi

# ---- killed, and many --------------------------------------------------------------------------------

fake_runtime
is_removed() {
	faked delete --force p9
	[ $status = 0 ] && left
}
killed : is_removed create --bundle good p9 && is_removed && [ $steps -gt 4 ]
ok $? "create killed at each of $steps steps: delete --force leaves nothing"
for _ in $(seq 60); do # the lock of who was killed is taken over after a while
	rejoin && break
done
oci run --bundle good p1
[ $status = 0 ] && [ "$(cat out)" = one ] && [ "$(last way)" = shared ]
ok $? "and the application is whole"
rm -f many.*
for i in $(seq 20); do
	timeout 120 "$OCI" --root "$root" run --bundle good "q$i" >"many.$i" 2>"many-err.$i" </dev/null &
done
wait
[ "$(cat many.* | sort | uniq -c | sed 's/^ *//')" = "20 one" ] && [ -z "$(cat many-err.*)" ] && left
status=$?
ok $status "20 at once"
[ "$(grep -c " $BROOD_APPS/.mounts/" /proc/mounts)" = 1 ]
ok $? "of one mount"
! pgrep -f "$folder" >/dev/null
ok $? "no process is left"

# ---- podman ---------------------------------------------------------------------------------------------

if ! command -v podman >/dev/null || ! command -v conmon >/dev/null; then
	skip "under podman, by annotation" "no podman"
	echo "1..$count"
	[ $failed = 0 ]
	exit
fi
pod=$(mktemp -d /tmp/brood-pod.XXXXXX) || exit 1
cat >containers.conf <<END
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[engine.runtimes]
brood = ["$folder/brood-oci"]
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
END
cat >brood-oci <<END
#!/bin/sh
export BROOD_APPS="$BROOD_APPS" BROOD_REPORT="$BROOD_REPORT"
exec "$OCI" --root "$root" "\$@"
END
chmod +x brood-oci
podman() {
	CONTAINERS_CONF=$folder/containers.conf timeout 60 podman --root "$pod/images" \
		--runroot "$pod/run" --tmpdir "$pod/tmp" --storage-driver vfs \
		--network-config-dir "$pod/net" --runtime brood "$@" >out 2>err </dev/null
	status=$?
}
end_podman() {
	podman rm --force --all --time 0
	grep -o "${pod}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l
}
python3 "$here/../lib/oci_image.py" any.tar localhost/any:1 hello.wasm
podman load --input any.tar
podman run --rm --annotation brood.app=first --env OWN=podman localhost/any:1 \
	-c 'cat "$APP/release"; echo "$OWN $1"; exit 6' - word
[ $status = 6 ] && [ "$(cat out)" = "one
podman word" ] && left
ok $? "under podman, by annotation"
podman run --detach --name p5 --annotation brood.app=first localhost/any:1 -c 'sleep 100'
[ $status = 0 ] && podman exec p5 /dev/.brood/app/bin/busybox cat /dev/.brood/app/release &&
	[ "$(cat out)" = one ]
ok $? "exec"
podman rm --force --time 0 p5
[ $status = 0 ] && left
ok $? "it is removed, and nothing is left"
podman run --rm --annotation brood.app=none localhost/any:1
[ $status != 0 ] && grep -q "application none is not installed on this node" err && left
ok $? "an application that is none is told"
echo "1..$count"
[ $failed = 0 ]
