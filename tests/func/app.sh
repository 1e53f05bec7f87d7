#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood app: each verb as its users know it.  Applications are packed, installed
# as context only, started from a share, upgraded, lost and found again.
# timeout: 280
# shellcheck source=tests/lib/func.sh disable=SC2016
. "$(dirname "$0")/../lib/func.sh"
export BROOD_APPS=$folder/apps BROOD_REPORT=$folder/report
share=$folder/share bin=$folder/bin
status=0
loop="" user=""
touch out err

clean_up() {
	umount "$BROOD_APPS"/.mounts/*-* 2>/dev/null
	[ -z "$loop" ] || losetup -d "$loop"
	"$BROOD" stop --all >/dev/null 2>&1
	cd /
	rm -rf "$folder" ${user:+"$user"}
}
trap clean_up EXIT

root=false unpacked=(--unpacked)
if [ "$(id -u)" = 0 ]; then
	root=true unpacked=()
fi

run() { # WORD...
	"$@" >out 2>err
	status=$?
}

app() { # WORD...: brood app
	run "$BROOD" app "$@"
}

install() { # WORD...
	app install --share "$share" --bin "$bin" "${unpacked[@]}" "$@"
}

says() { # STATUS ERE: what err holds, in one line
	[ $status = "$1" ] && grep -qE -e "$2" err && [ "$(wc -l <err)" = 1 ]
}

last() { # KEY: of the last report
	tail -1 "$BROOD_REPORT" |
		python3 -c "import json,sys; d=json.load(sys.stdin)
for k in '$1'.split('.'): d=d[k]
print(d)"
}

json() { # EXPRESSION of d
	python3 -c "import json; d=json.load(open('out'))
assert ($1), d" 2>>err
}

script() { # FILE TEXT
	mkdir -p "$(dirname "$1")"
	printf '#!/bin/sh\n%s\n' "$2" >"$1"
	chmod 755 "$1"
}

# ---- words -------------------------------------------------------------------

for verb in pack install start ls show verify upgrade rollback load rejoin \
	gc uninstall export import; do
	app $verb --help
	[ $status = 0 ] && grep -q "^usage: brood app $verb" out && [ ! -s err ]
	ok $? "app $verb --help"
	app $verb --no-such-option
	says 100 'unknown option --no-such-option'
	ok $? "app $verb with an option that is none"
done
app --help
[ $status = 0 ] && grep -q rollback out
ok $? "app --help"
app
says 100 'too few words'
ok $? "app without a verb"
app instal x
says 100 'no "app instal"; there are pack, install'
ok $? "app with a verb that is none"
for verb in show verify load rejoin rollback uninstall start; do
	app $verb nothing
	says 111 'nothing'
	ok $? "app $verb of what is not installed"
	app $verb ../etc
	says 111 '"\.\.(/etc)?" is no name'
	ok $? "app $verb of what is no name"
done
app ls
[ $status = 0 ] && grep -q 'nothing is installed' out
ok $? "nothing is listed"
app ls --json
json "d == {'apps': []}"
ok $? "nothing is listed as JSON"
app pack /bin/sh
says 100 '--as names where the appliance goes'
ok $? "a pack without --as"
app pack no-such-program --as x
says 111 'no-such-program is no folder and no program in PATH'
ok $? "a pack of what is not there"
app pack /bin/sh --as x --kind kernel
says 100 'kernel: not one of program'
ok $? "a pack of a kind that is none"
install missing.app
says 111 'open missing.app: No such file'
ok $? "an install of what is not there"
install /dev/null
says 111 '/dev/null'
ok $? "an install of what is no image"
[ ! -e "$BROOD_APPS" ] && [ ! -e "$share" ] && [ ! -e "$bin" ]
ok $? "nothing was made by what was refused"

# ---- a script, with all that an application may want --------------------------

script tree/bin/tool 'echo "tool 1: $*"
echo "$HOME_OF" "$(cat "$CONF")"
echo "$1" >>"$STORE/log"
cat "$0" >/dev/null && exit 7'
mkdir -p tree/.brood/settings
echo 'name=${name} data=${data} host=${host} ${other}' \
	>tree/.brood/settings/tool.conf
pack=(pack tree --name first --argument fixed --env 'HOME_OF=${app}/bin'
	--env 'CONF=${settings}/tool.conf' --env 'STORE=${data}/store'
	--writable store --port 8080)
app "${pack[@]}" --release 1.0 --as first.app --json
json "d['name'] == 'first' and d['entries'] == ['tool'] and
	d['bytes'] == $(stat -c %s first.app) and
	d['digest'] == '$(sha256sum first.app | cut -d' ' -f1)'"
ok $? "a folder is packed"
app "${pack[@]}" --release 1.0 --as again.app
cmp first.app again.app >out 2>err
ok $? "and again with the same bytes"
install first.app --json
json "d['name'] == 'first' and d['version'] == 1 and not d['payload_was_there']
	and d['paths'] == [{'path': '$bin/tool', 'before': 'nothing',
		'after': '$BROOD_APPS/first/bin/tool'}]
	and d['context_bytes'] < 8192 and d['notes'].count('\\n') == 1"
ok $? "it is installed"
run "$bin/tool" one two
[ $status = 7 ] && grep -qx 'tool 1: fixed one two' out && [ ! -s err ]
ok $? "its start path starts it, with its words, and its status is the script's"
[ "$(last way)" = shared ] && [ "$(last app)" = first ] &&
	[ "$(last load.lock_was_held)" = False ]
ok $? "it was loaded from the share, under its lock"
where=$(sed -n 's,^\(/.*\)/bin name=.*,\1,p' out)
grep -qxF "$where/bin name=first data=$BROOD_APPS/first/data host=$(cat \
	"$BROOD_APPS/.host") \${other}" out
ok $? "its variables and settings are those of this host"
[ "$(cat "$BROOD_APPS/first/data/store/log")" = fixed ]
ok $? "it has written what it may write"
if $root; then
	[ "$(stat -f -c %T "$where")" != "$(stat -f -c %T "$folder")" ] &&
		grep -q "$where erofs ro" /proc/mounts
	ok $? "its payload is mounted"
else
	skip "its payload is mounted" "only root mounts"
fi
app start first three
[ $status = 7 ] && grep -qx 'tool 1: fixed three' out
ok $? "app start starts it"
app start first/tool four
[ $status = 7 ] && grep -qx 'tool 1: fixed four' out
ok $? "app start starts an entry of it"
app start first/nothing
says 111 'start .*/nothing: No such file'
ok $? "app start of an entry that is none"
(cd "$bin" && PATH=.:$PATH ./tool five) >out 2>err
[ $? = 7 ]
ok $? "it starts by a relative path"
ln -s bin/tool link
ln -s "$folder/link" more
run ./more six
[ $status = 7 ]
ok $? "it starts through links"
echo from stdin | run "$bin/tool"
[ $status = 7 ]
ok $? "it starts in a pipe"

app ls --json
json "len(d['apps']) == 1 and d['apps'][0]['state'] == 'shared' and
	d['apps'][0]['release'] == '1.0'"
ok $? "it is listed"
app show first
[ $status = 0 ] && grep -q "start path $bin/tool" out && grep -q 'version *1' out
ok $? "it is shown"
app show --json first
json "d['ports'] == [8080] and d['versions'][0]['number'] == 1 and
	d['versions'][0]['is_there'] and d['share_error'] == '' and
	d['entries'][0]['kind'] == 'program'"
ok $? "it is shown as JSON"
app verify first
[ $status = 0 ] && grep -qx 'first: all right' out
ok $? "it is verified"
app verify --json first
json "d['right'] and d['wrong'] == ''"
ok $? "it is verified, as JSON"

# ---- another host on the same share --------------------------------------------

BROOD_APPS=$folder/apps2 app install --share "$share" --bin "$folder/bin2" \
	"${unpacked[@]}" first.app --json
json "d['version'] == 1 and d['payload_was_there'] and d['version_was_there']"
ok $? "a second host finds payload and version there"
epoch=$(last load.epoch)
run "$folder/bin2/tool" x
[ $status = 7 ] && [ "$(last way)" = shared ]
ok $? "it starts there"
[ "$(last load.epoch)" -gt "$epoch" ] 2>>err
ok $? "under the lock of all hosts, each time anew"
[ "$(find "$share/payloads" -name '*.erofs' | wc -l)" = 1 ] &&
	[ "$(find "$share/hosts" -mindepth 1 -maxdepth 1 -type d | wc -l)" = 2 ]
ok $? "the share has one payload, and knows two hosts"

# ---- upgrade, rollback, gc -----------------------------------------------------

script tree/bin/tool 'echo "tool 2: $*"'
app "${pack[@]}" --release 2.0 --as second.app
install second.app
[ $status = 0 ] && grep -q 'the share has another version (1.0)' out
ok $? "an install of another version takes what the share has, and says so"
run "$bin/tool" x
grep -qx 'tool 1: fixed x' out
ok $? "that is what starts"
app upgrade --share "$share" --bin "$bin" "${unpacked[@]}" second.app --json
json "d['version'] == 2"
ok $? "an upgrade makes it the newest"
run "$bin/tool" x
[ $status = 0 ] && grep -qx 'tool 2: fixed x' out && [ "$(last load.version)" = 2 ]
ok $? "it starts here"
run "$folder/bin2/tool" x
[ $status = 0 ] && grep -qx 'tool 2: fixed x' out
ok $? "and on the other host"
[ "$(wc -l <"$BROOD_APPS/first/data/store/log")" -ge 6 ]
ok $? "what it had written is still there"
app rollback first
[ $status = 0 ] && grep -qx 'first is version 3 now' out
ok $? "a rollback is a version of its own"
run "$bin/tool" x
[ $status = 7 ] && grep -qx 'tool 1: fixed x' out
ok $? "the old one starts again"
app rollback --to 2 first
run "$bin/tool" x
grep -qx 'tool 2: fixed x' out && [ "$(last load.version)" = 4 ]
ok $? "a rollback to a number"
app rollback --to 9 first
says 111 'v\.9|version 9'
ok $? "a rollback to what there is not"
script tree/bin/tool 'echo "tool 3: $*"'
for release in 3.0 4.0; do
	echo $release >tree/release
	app "${pack[@]}" --release $release --as $release.app
	app upgrade --share "$share" --bin "$bin" "${unpacked[@]}" $release.app
done
app gc --share "$share"
[ $status = 0 ] && grep -q ': 0 payloads' out
ok $? "gc keeps what is new"
app gc --share "$folder/nothing"
says 111 'no application here is of the share'
ok $? "gc of a share that is none"
find "$share/payloads" "$share/hosts" -exec touch -h -d '2020-01-01' {} +
run "$bin/tool" x
[ "$(find "$share/hosts" -type f -mtime -1 -name "$(last load.payload)" |
	wc -l)" = 1 ]
ok $? "a start notes what this host uses"
app gc --grace 1h --json
json "d['payloads'] == 2"
ok $? "gc removes what nobody starts"
run "$bin/tool" x
[ $status = 0 ] && grep -qx 'tool 3: fixed x' out
ok $? "what is started is still there"
app rollback --to 1 first
says 111 'the payload of that version is gone'
ok $? "a rollback to what gc has removed is refused"
run "$folder/bin2/tool" x
[ $status = 0 ] && grep -qx 'tool 3: fixed x' out
ok $? "the other host starts the newest"

# ---- damaged contexts ----------------------------------------------------------

script other/bin/other 'echo other'
app pack other --as other.app
install other.app
run "$bin/other"
[ $status = 0 ] && grep -qx other out
ok $? "another application"
cp "$BROOD_APPS/other/context" context.good
for change in 's/share/shard/' 's/end ./end x/' '$d' '1s/1/2/'; do
	sed -i "$change" "$BROOD_APPS/other/context"
	run "$bin/other"
	says 111 'other/context: (is damaged|does not begin)'
	ok $? "a context that is damaged ($change) does not start"
	cp context.good "$BROOD_APPS/other/context"
done
sed -i 's/share/shard/' "$BROOD_APPS/other/context"
app ls
[ $status = 0 ] && grep -q '^other *damaged: ' out && grep -q '^first ' out
ok $? "it is listed as damaged, and the other one is there"
app ls --json
json "[a['state'] for a in d['apps']] == ['shared', 'damaged']"
ok $? "also as JSON"
run "$bin/tool" x
[ $status = 0 ]
ok $? "the other application starts"
app gc
[ $status = 0 ]
ok $? "gc goes on"
install other.app
run "$bin/other"
[ $status = 0 ]
ok $? "an install makes it whole"
app uninstall other
[ $status = 0 ] && [ ! -e "$bin/other" ] && [ ! -e "$BROOD_APPS/other" ]
ok $? "it is uninstalled"

# ---- start paths of programs that are there --------------------------------------

script full 'echo full'
cp -p full full.before
script tree3/bin/prog 'echo shared'
app pack tree3 --as prog.app
install prog.app --at "$folder/full"
[ $status = 0 ] && grep -q "full (was: a file of" out
ok $? "an install over a program says what was there"
run ./full
[ $status = 0 ] && grep -qx shared out
ok $? "its path starts the shared one"
install prog.app --at "prog=$folder/full"
run ./full
[ $status = 0 ] && grep -qx shared out
ok $? "also after a second install"
script tree4/bin/prog4 'echo four'
app pack tree4 --as prog4.app
install prog4.app --at "$folder/full"
says 111 'full starts the application prog;'
ok $? "another application cannot have the same path"
install prog.app --at nobody=/x
says 111 '--at nobody=/x: prog has no such entry'
ok $? "--at of an entry that is none"
install prog.app --at relative
says 111 '--at relative: not ENTRY=PATH'
ok $? "--at of what is no path"
install prog.app
run ./full
[ $status = 0 ] && grep -qx full out && cmp full full.before
ok $? "an install without the path gives it back"
run "$bin/prog"
[ $status = 0 ] && grep -qx shared out
ok $? "and has another one"
ln -s full linked
install prog.app --at "$folder/linked"
run ./linked
grep -qx shared out && [ "$(./full)" = full ]
ok $? "a start path that was a link"
install prog.app --at "$folder/linked"
run ./linked
grep -qx shared out
ok $? "also after a second install of it"

# ---- without the share --------------------------------------------------------------

mv "$share" away
run ./linked
[ $status = 0 ] && grep -qx full out && grep -q 'goes on without the share' err &&
	[ "$(last way)" = independent ] && [ "$(last source)" = full ]
ok $? "without the share the program that was there starts"
run ./linked
[ $status = 0 ] && grep -qx full out && [ ! -s err ]
ok $? "it is told once"
app ls
grep -q '^prog .*independent' out
ok $? "it is listed as independent"
app rejoin prog
says 111 'share'
ok $? "it does not rejoin what is not there"
mv away "$share"
run ./linked
grep -qx full out
ok $? "it stays independent for a while"
app rejoin prog
[ $status = 0 ] && grep -qx 'prog is shared' out
ok $? "it rejoins"
run ./linked
grep -qx shared out && [ "$(last way)" = shared ]
ok $? "the shared one starts again"
app uninstall prog
[ "$(readlink linked)" = full ] && cmp full full.before
ok $? "an uninstall gives back the link as it was"
install prog.app --keep
run "$bin/prog"
[ "$(last way)" = shared ]
ok $? "an install that keeps a copy starts the shared one"
mv "$share" away
mv prog.app prog.away
if $root; then
	run "$bin/prog"
	[ $status = 0 ] && grep -qx shared out && [ "$(last source)" = copy ]
	ok $? "without the share its copy starts"
else
	skip "without the share its copy starts" "only root mounts"
fi
app uninstall prog
[ $status = 0 ] && grep -q 'the share was not told' out
ok $? "it is uninstalled without the share"
mv away "$share"
mv prog.away prog.app
install prog.app
mv "$share" away
mv prog.app prog.away
run "$bin/prog"
[ $status = 75 ] && grep -q 'rejoin" tries the share again' err
ok $? "with nothing to go on from it ends with 75"
mv away "$share"
mv prog.away prog.app
app rejoin prog
mv "$share" away
if $root; then
	run "$bin/prog"
	[ $status = 0 ] && grep -qx shared out && [ "$(last source)" = appliance ]
	ok $? "with the appliance at hand that starts"
else
	skip "with the appliance at hand that starts" "only root mounts"
fi
mv away "$share"
app rejoin prog
sed -i 's/shared/SHARED/' "$share"/payloads/*.erofs 2>/dev/null
payload=$(sed -n 's/^payload \([0-9a-f]*\) .*/\1/p' "$BROOD_APPS/prog/record")
chmod 644 "$share/payloads/$payload.erofs"
app verify prog
says 111 'is damaged: its digest is'
ok $? "a changed payload does not verify"
app uninstall --purge prog first
[ $status = 0 ] && [ ! -e "$BROOD_APPS/.data.first" ] && [ -z "$(ls -A "$bin")" ]
ok $? "all is uninstalled, and what was written goes"

# ---- what was written stays ---------------------------------------------------------

rm -rf away "$share"
install first.app
"$bin/tool" kept >out 2>err
app uninstall first
grep -q "what it has written is kept in $BROOD_APPS/.data.first" out
ok $? "an uninstall says what it keeps"
install first.app
grep -qx fixed "$BROOD_APPS/first/data/store/log"
ok $? "the next install has it again"
app uninstall --purge first
[ ! -e "$BROOD_APPS/.data.first" ]
ok $? "--purge removes it"

# ---- folders, devices, unpacked ---------------------------------------------------------

app pack tree3 --as dir/
[ $status = 0 ] && [ -x dir/.brood/installer ] && [ -x dir/bin/prog ]
ok $? "an appliance as a folder"
install dir
run "$bin/prog"
[ $status = 0 ] && grep -qx shared out
ok $? "it is installed from there"
app pack tree3 --as dir/
says 111 'make dir/: File exists'
ok $? "a folder that is there is not written into"
app uninstall prog
if $root && truncate -s 16M device && loop=$(losetup -f --show device 2>err)
then
	app pack tree3 --as "$loop"
	cmp -n "$(stat -c %s prog.app)" prog.app "$loop" >>out 2>err
	ok $? "an appliance on a block device"
	install "$loop"
	run "$bin/prog"
	[ $status = 0 ] && grep -qx shared out
	ok $? "it is installed from there"
	mv "$share" away
	run "$bin/prog"
	[ $status = 0 ] && [ "$(last source)" = appliance ]
	ok $? "and goes on from there"
	mv away "$share"
	app uninstall prog
	truncate -s 1M small
	small=$(losetup -f --show small)
	app pack tree3 --as "$small"
	says 111 'has 1048576 bytes of'
	ok $? "a device that is too small"
	losetup -d "$small"
else
	skip "an appliance on a block device" "there is none to be had"
fi

umount "$BROOD_APPS"/.mounts/*-* 2>/dev/null
BROOD_WITHOUT=erofs app install --share share2 --bin "$bin" prog.app --unpacked
[ $status = 0 ] && ! grep -q 'cannot be loaded' out
ok $? "an install where nothing can be mounted"
BROOD_WITHOUT=erofs run "$bin/prog"
[ $status = 0 ] && grep -qx shared out && [ "$(last load.placed)" = folder ]
ok $? "it starts from the unpacked payload"
echo 'echo evil' >>"$(echo share2/payloads/*.tree)/bin/prog"
rm -f "$BROOD_APPS"/.mounts/*.tree
BROOD_WITHOUT=erofs run "$bin/prog"
[ $status = 75 ] && ! grep -q evil out && grep -q 'this kernel has no EROFS' err
ok $? "not when it was changed"
app uninstall prog
if $root && command -v setpriv >/dev/null; then
	user=$(mktemp -d /tmp/brood-user.XXXXXX)
	cp prog.app "$user"
	chown -R 65534:65534 "$user"
	as=(setpriv --reuid 65534 --regid 65534 --clear-groups env
		"HOME=$user" "XDG_RUNTIME_DIR=$user" "TMPDIR=$user"
		"BROOD_APPS=$user/apps" "BROOD_REPORT=$user/report")
fi
if [ -n "$user" ] && "${as[@]}" test -x "$BROOD"; then
	cd "$user" || exit 1
	run_as() { # WORD...
		"${as[@]}" "$@" >"$folder/out" 2>"$folder/err"
		status=$?
	}
	run_as "$BROOD" app install --share share --bin bin --unpacked prog.app
	[ $status = 0 ] && ! grep -q 'cannot be loaded' "$folder/out"
	user_installs=$?
	run_as bin/prog
	[ $status = 0 ] && grep -qx shared "$folder/out" &&
		grep -q '"placed":"folder"' report
	user_starts=$?
	run_as "$BROOD" app verify prog
	user_verifies=$status
	run_as "$BROOD" app uninstall prog
	[ $status = 0 ] && [ ! -e bin/prog ]
	user_uninstalls=$?
	cd "$folder" || exit 1
	ok $user_installs "a user who may not mount installs"
	ok $user_starts "and starts"
	ok $user_verifies "and verifies"
	ok $user_uninstalls "and uninstalls"
else
	skip "a user who may not mount" "it needs root, setpriv and a build for all"
fi

# ---- the installer that is in it ------------------------------------------------------------

cp dir/.brood/installer installer
run env -i "BROOD_APPS=$folder/apps3" ./installer install --share "$share" \
	--bin "$folder/bin3" "${unpacked[@]}" prog.app
[ $status = 0 ]
ok $? "the installer needs nothing of Brood"
run env -i "$folder/bin3/prog"
[ $status = 0 ] && grep -qx shared out
ok $? "what it has installed starts"
run env -i "BROOD_APPS=$folder/apps3" ./installer uninstall prog
[ $status = 0 ] && [ ! -e "$folder/bin3/prog" ]
ok $? "it uninstalls"
run ./installer
[ $status = 100 ] && grep -q '^usage: ' err
ok $? "it tells how it is used"
umount "$folder"/apps[23]/.mounts/*-* 2>/dev/null

echo "1..$count"
[ $failed = 0 ]
