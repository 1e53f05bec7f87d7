#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Modules and applications in OCI layouts: what is written is what other
# programs read, and what is killed leaves a layout as it was.  How engines run
# such images is in oci_podman.sh and oci_containerd.sh.
# needs: python3
# timeout: 280
# shellcheck source=tests/lib/func.sh
. "$(dirname "$0")/../lib/func.sh"
status=0
touch out err

run() { # WORD...
	timeout 60 "$@" >out 2>err </dev/null
	status=$?
}
brood() { # WORD...
	run "$BROOD" "$@"
}
says() { # STATUS ERE: what err holds, in one line
	[ $status = "$1" ] && grep -qE -e "$2" err && [ "$(wc -l <err)" = 1 ]
}
look() { # DIR [EXPRESSION]
	python3 "$here/../lib/oci_layout.py" "$@" >out 2>err
}
# Every file, its bytes and the names of all.
picture() { # DIR
	(cd "$1" && find . | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

cp "$here/../../examples/hello.wat" .
brood wasm from-text hello.wat

# ---- modules -------------------------------------------------------------------

brood wasm export hello.wasm --oci layout
[ $status = 0 ] && [ "$(cat out)" = "oci:layout:localhost/hello:latest" ]
ok $? "a module is exported"
look layout "
[(m['config']['mediaType'], m['layers'][0]['mediaType'],
  json.loads(blob(m['config']))['config'], files(m['layers'][0]))
 for m in [names['localhost/hello:latest']]] ==
[('application/vnd.oci.image.config.v1+json',
  'application/vnd.oci.image.layer.v1.tar', {'Entrypoint': ['/hello.wasm']},
  {'hello.wasm': (0o755, 0, 0, open('hello.wasm', 'rb').read())})]"
ok $? "config, layer and digests are what they say"
look layout "[json.loads(blob(m['config']))['rootfs']['diff_ids'][0] ==
	m['layers'][0]['digest'] for m in names.values()] == [True]"
ok $? "the layer's digest is its diff_id"
brood wasm export hello.wat --oci again
diff <(picture layout) <(picture again) >out 2>err
ok $? "the same module gives the same layout, of its text too"
picture layout >before
brood wasm export hello.wasm --oci layout
picture layout | diff before - >out 2>err
ok $? "and again over itself"
brood wasm export hello.wasm --oci layout --name hello:2 \
	--annotation brood.isolation=domain --annotation 'more=a "word"'
[ $status = 0 ] && look layout "len(names) == 2 and
	names['hello:2']['annotations'] ==
		{'brood.isolation': 'domain', 'more': 'a \"word\"'} and
	names['hello:2']['layers'] == names['localhost/hello:latest']['layers']"
ok $? "a second name, with annotations: the blobs are shared"
[ "$(find layout/blobs -type f | wc -l)" = 4 ]
ok $? "layer and config once, and two manifests"
brood wasm export - --oci layout
[ $status = 126 ]
ok $? "standard input that is empty is no module"
timeout 60 "$BROOD" wasm export - --oci layout --name in <hello.wasm >out 2>err
status=$?
[ $status = 0 ] && look layout "list(files(names['in']['layers'][0])) == ['module.wasm']"
ok $? "a module from standard input"
cp hello.wasm 'a  name.wasm'
brood wasm export 'a  name.wasm' --oci layout
[ $status = 0 ] && look layout "'localhost/module:latest' in names"
ok $? "a file's name that is no word for an image"

picture layout >before
brood wasm export hello.wasm
says 100 'export: --oci names the folder'
ok $? "without --oci"
brood wasm export hello.wasm --oci layout --name ../x
says 100 '--name ../x: such as'
ok $? "a name that is none"
brood wasm export hello.wasm --oci layout --annotation x
says 100 'annotation x: KEY=VALUE'
ok $? "an annotation that is none"
printf '\0asm\1\0\0\0\377' >broken.wasm
brood wasm export broken.wasm --oci layout
says 126 'broken.wasm: '
ok $? "a module that is none"
touch "$HOME/mine"
brood wasm export hello.wasm --oci "$HOME"
says 111 'is no OCI layout, and not empty: it has mine'
ok $? "a folder of something else"
picture layout | diff before - >out 2>err
ok $? "what is refused changes nothing"

for i in 1 2 3 4 5 6 7 8; do
	timeout 60 "$BROOD" wasm export hello.wasm --oci many --name "n:$i" \
		>/dev/null 2>"err.$i" &
done
wait
look many "len(names) == 8"
ok $? "eight at once: each is there"

# ---- killed at each step -----------------------------------------------------------

# Kills the command at its n-th call of one kind, n = 1, 2...: then there is what
# was there before, or what is new; and once more, not killed, it is whole.
killed_at() { # CALL COMMAND...: works on "cut"
	local n=1 stride=1
	# An image is many writes, and one is like the next.
	[ "$1" = write ] && stride=$writes
	for (( ; n < 100; n += stride)); do
		rm -rf cut
		cp -r "$from" cut
		# The shell between says "Killed" into err.
		run sh -c '"$@"; exit $?' sh strace -f -qq -o trace \
			-e "trace=$1" -e "inject=$1:signal=KILL:when=$n" "${@:2}"
		[ $status = 0 ] && break
		steps=$((steps + 1))
		if [ -e cut/index.json ]; then
			look cut "list(names) in ($old, $new)" || return 1
		else
			[ "$old" = "[]" ] || return 1
		fi
		run "${@:2}"
		[ $status = 0 ] && look cut "list(names) == $new" &&
			[ -z "$(find cut -name '*.draft.*')" ] || return 1
	done
	[ $n -lt 100 ]
}
writes=1
killed() { # COMMAND...
	local call steps=0
	for call in mkdirat write linkat rename fsync; do
		killed_at $call "$@" || return
	done
	echo "# killed at $steps steps"
	[ $steps -gt 9 ]
}
can_kill=false
if command -v strace >/dev/null && strace -qq -o trace true 2>/dev/null; then
	can_kill=true
	brood wasm export hello.wasm --oci old --name old
	from=old old="['old']" new="['old', 'new']"
	killed "$BROOD" wasm export hello.wat --oci cut --name new \
		--annotation a=b
	ok $? "killed at each step: the layout is the old one or the new one"
	mkdir empty
	from=empty old="[]" new="['new']"
	killed "$BROOD" wasm export hello.wat --oci cut --name new
	ok $? "killed at each step of the first: there is none, or the new one"
else
	skip "killed at each step" "no strace"
fi

# ---- applications ---------------------------------------------------------------

mkdir -p tree/bin
printf '#!/bin/sh\necho one\n' >tree/bin/tool
chmod 755 tree/bin/tool
brood app pack tree --name first --release 1.0 --as first.app
[ $status = 0 ]
ok $? "an appliance"
brood app export --oci app first.app --annotation 'who=us'
[ $status = 0 ] && [ "$(cat out)" = "oci:app:localhost/first:latest" ] && look app "
[(m['config']['mediaType'], m['layers'][0]['mediaType'], m['annotations'],
  json.loads(blob(m['config']))['name'],
  blob(m['layers'][0]) == open('first.app', 'rb').read())
 for m in names.values()] ==
[('application/vnd.brood.app.config.v1+json', 'application/vnd.erofs.layer.v1',
  {'who': 'us'}, 'first', True)]"
ok $? "it is exported: the manifest as config, the image as layer"
brood app import --oci app --as back.app
[ $status = 0 ] && cmp first.app back.app >>err
ok $? "what is imported has the same bytes"
brood app pack tree --name first --release 1.0 --as folder.app/
brood app export --oci app2 folder.app --annotation 'who=us'
diff <(picture app) <(picture app2) >out 2>err
ok $? "of an appliance that is a folder: the same layout"
echo 'echo two' >>tree/bin/tool
brood app pack tree --name first --release 2.0 --as second.app
brood app export --oci app second.app --name first:2
brood app import --oci app first:2 --as back.app
[ $status = 0 ] && cmp second.app back.app >>err
ok $? "another one by its name, over a file"

refuses() { # WORDS ERE COMMAND...: one line, and nothing is written
	local words=$1 ere=$2
	shift 2
	cp first.app kept.app
	brood "$@" --as kept.app
	says 111 "$ere" && cmp first.app kept.app >>err && brood "$@" --as none.app
	says 111 "$ere" && [ ! -e none.app ] && [ -z "$(find . -name '*.draft.*')" ]
	ok $? "$words"
}
refuses "an import without a name where there are two" 'has 2 of them' \
	app import --oci app
refuses "of a name that is none" 'nothing in app: No such file' \
	app import --oci app nothing
refuses "of no layout" 'import tree: open tree/oci-layout' \
	app import --oci tree
refuses "of a module" 'its config is no application/vnd.brood.app' \
	app import --oci layout hello:2
brood app import --oci app first:2
says 100 '--as names'
ok $? "without --as"
brood app import --oci app first:2 --as tree
says 111 'tree is no file'
ok $? "as a folder"
brood app export --oci cut2 hello.wasm
says 111 'hello.wasm' && [ ! -e cut2 ]
ok $? "an export of what is no appliance"

# A layout "forged" of what CODE makes of manifest m and the bytes config and
# layer; their sizes and digests are right, but for what the second one changes.
forge() { # CODE [CODE]
	rm -rf forged
	cp -r app2 forged
	python3 - "$1" "${2:-}" <<'END'
import hashlib, json, os, sys
here = "forged/blobs/sha256/"
index = json.load(open("forged/index.json"))
def get(d): return open(here + d["digest"][7:], "rb").read()
def put(d, data):
    h = hashlib.sha256(data).hexdigest()
    open(here + h, "wb").write(data)
    d.update(digest="sha256:" + h, size=len(data))
m = json.loads(get(index["manifests"][0]))
config, layer = get(m["config"]), get(m["layers"][0])
exec(sys.argv[1])
put(m["config"], config)
put(m["layers"][0], layer)
exec(sys.argv[2])
put(index["manifests"][0], json.dumps(m).encode())
json.dump(index, open("forged/index.json", "w"))
END
}
forged() { # WORDS ERE CODE [CODE]
	forge "$3" "${4:-}"
	refuses "$1" "$2" app import --oci forged
}
forge 'pass'
brood app import --oci forged --as back.app
[ $status = 0 ] && cmp first.app back.app >>err
ok $? "forged, but true"
forged "a config that is not the manifest" 'its config is not the appliance' \
	'config = config.replace(b"first", b"worst")'
forged "a long config" 'its config: 70000 bytes' 'config = b" " * 70000'
forged "a layer that is no image" 'is no appliance' 'layer = b"x" * 8192'
forged "a layer that is cut" '(none|kept)\.app' 'layer = layer[:-4096]'
forged "a layer with more behind it" 'more than the appliance' 'layer += b"x" * 4096'
forged "a byte that is another" 'another digest' '' \
	'open(here + m["layers"][0]["digest"][7:], "r+b").write(b"x")'
forged "another size" 'should have 7' '' 'm["layers"][0]["size"] = 7'
forged "a size that is huge" 'should have 9223372036854775807' '' \
	'm["layers"][0]["size"] = 1 << 70'
forged "a digest that leads out" 'its layer has no digest' '' \
	'm["layers"][0]["digest"] = "sha256:../../../first.app"'
forged "a blob that is missing" 'No such file' '' \
	'os.remove(here + m["layers"][0]["digest"][7:])'
forged "a blob that is a link" 'symbolic link' '' \
	'p = here + m["layers"][0]["digest"][7:]; os.remove(p)
os.symlink(os.path.abspath("first.app"), p)'
forged "two layers" 'layers more' '' 'm["layers"] *= 2'
forged "a layer of another kind" 'its layer is no application/vnd.erofs' '' \
	'm["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar"'
forged "an index within the index" 'an index within an index' '' \
	'index["manifests"][0]["mediaType"] = "application/vnd.oci.image.index.v1+json"'

if $can_kill; then
	rm -rf old
	writes=8
	brood app export --oci old first.app --name old
	from=old old="['old']" new="['old', 'new']"
	killed "$BROOD" app export --oci cut second.app --name new
	ok $? "an export killed at each step"
	steps=0 status=1
	for call in write linkat rename fsync; do
		stride=1
		[ $call = write ] && stride=7
		for n in $(seq 1 $stride 80); do
			cp first.app cut.app
			run sh -c '"$@"; exit $?' sh strace -f -qq -o trace \
				-e "trace=$call" -e "inject=$call:signal=KILL:when=$n" \
				"$BROOD" app import --oci app first:2 --as cut.app
			[ $status = 0 ] && break
			steps=$((steps + 1))
			cmp -s first.app cut.app || cmp -s second.app cut.app || break 2
		done
		[ $status = 0 ] || break
	done
	[ $status = 0 ] && [ $steps -gt 4 ] && cmp second.app cut.app
	ok $? "an import killed at each of $steps steps: the old file, or the new one"
else
	skip "an export and an import of applications killed at each step" "no strace"
fi

# ---- other programs -----------------------------------------------------------------

if command -v skopeo >/dev/null; then
	run skopeo copy --preserve-digests oci:layout:hello:2 oci:copied:hello:2
	[ $status = 0 ] && look copied "len(names) == 1" &&
		look layout "blob(index['manifests'][1]) ==
			open('copied/blobs/sha256/' +
			json.load(open('copied/index.json'))['manifests'][0]['digest'][7:],
			'rb').read()"
	ok $? "skopeo copies a module's image: the manifest is the same"
	brood wasm export hello.wasm --oci copied --name more
	[ $status = 0 ] && look copied "list(names) == ['hello:2', 'more']"
	ok $? "what skopeo wrote gets a name more"
else
	skip "skopeo copies a module's image" "no skopeo"
	skip "what skopeo wrote gets a name more" "no skopeo"
fi
registry=""
end_registry() {
	[ -z "$registry" ] || kill "$registry"
	rm -rf "$folder"
}
trap end_registry EXIT
if command -v skopeo >/dev/null && command -v docker-registry >/dev/null; then
	port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >registry.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $folder/registry}}
http: {addr: "127.0.0.1:$port"}
END
	docker-registry serve registry.yml >registry.log 2>&1 </dev/null &
	registry=$!
	for _ in $(seq 100); do
		run skopeo copy --dest-tls-verify=false \
			oci:app:localhost/first:latest "docker://127.0.0.1:$port/first:1"
		[ $status = 0 ] && break
		sleep 0.1
	done
	[ $status = 0 ]
	ok $? "an application is pushed to a registry"
	run skopeo copy --src-tls-verify=false "docker://127.0.0.1:$port/first:1" oci:pulled
	brood app import --oci pulled --as pulled.app
	[ $status = 0 ] && cmp first.app pulled.app >>err
	ok $? "and pulled: the same bytes"
else
	skip "an application goes by a registry" "no skopeo, or no docker-registry"
fi
echo "1..$count"
[ $failed = 0 ]
