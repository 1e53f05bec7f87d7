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
	local n=0
	while [ $((n += 1)) -lt 100 ]; do
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
killed() { # COMMAND...
	local call steps=0
	for call in mkdirat write linkat rename fsync; do
		killed_at $call "$@" || return
	done
	echo "# killed at $steps steps"
	[ $steps -gt 9 ]
}
if command -v strace >/dev/null && strace -qq -o trace true 2>/dev/null; then
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
echo "1..$count"
[ $failed = 0 ]
