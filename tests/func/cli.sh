#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command as a user meets it: help, wrong uses, JSON, pages, completions.
# Needs no template.
# timeout: 120
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
BROOD=${BROOD:-$BUILD/brood}
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-cli.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
export HOME=$folder/home XDG_CACHE_HOME=$folder/cache
export XDG_RUNTIME_DIR=$folder/run XDG_DATA_HOME=$folder/data
mkdir -m 700 "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" "$XDG_DATA_HOME"
verbs="serve launch ps top stop refresh wrap unwrap run wasm compile cache image machine doctor man completions
	version keep"
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder/out" "$folder/err" | head -20
	fi
}

skip() { # WORDS WHY
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

run() { # WORD...; the status is in $status
	timeout 30 "$BROOD" "$@" >"$folder/out" 2>"$folder/err" </dev/null
	status=$?
}

# A wrong use: 100, nothing on stdout, one line that says what is right.
wrong() {
	run "$@"
	[ $status = 100 ] && [ ! -s "$folder/out" ] &&
		[ "$(wc -l <"$folder/err")" = 1 ] &&
		grep -q '^brood: ' "$folder/err"
	ok $? "wrong use: brood $*"
}

is_json() {
	python3 -c 'import json, sys; json.load(sys.stdin)' <"$folder/out" \
		2>>"$folder/err"
}

for verb in $verbs; do
	run "$verb" --help
	[ $status = 0 ] && grep -q "^usage: brood $verb" "$folder/out" &&
		[ ! -s "$folder/err" ] &&
		[ "$(awk '{ if (length > n) n = length } END { print n }' \
			"$folder/out")" -le 80 ]
	ok $? "$verb --help is complete and fits 80 columns"
done
run --help
[ $status = 0 ] && grep -q launch "$folder/out"
ok $? "--help lists the verbs"
run help stop
[ $status = 0 ] && grep -q '^usage: brood stop' "$folder/out"
ok $? "help VERB is VERB --help"
run
[ $status = 100 ]
ok $? "no words at all: help and 100"
run --version
[ $status = 0 ] && grep -Eq '^brood [0-9]+\.[0-9]+\.[0-9]+$' "$folder/out"
ok $? "--version"

wrong nosuchverb
wrong serve
wrong serve --
wrong serve --nosuch ld
wrong serve --pool x ld
wrong serve --pool 1000 ld
wrong serve --idle 5parsecs ld
wrong serve --until nowhere n -- ld
wrong serve --until stdin ld
wrong serve --env NOVALUE ld
wrong serve --env LD_PRELOAD=x ld
wrong serve --idle 99999999h ld
wrong serve --refresh 99999999h ld
wrong serve --detach --foreground ld
wrong serve 'a/b' -- ld
wrong launch
wrong launch --via teleport ld
wrong launch --report
wrong ps extra
wrong top extra
wrong stop
wrong stop --all ld
wrong refresh
wrong wrap
wrong unwrap
wrong compile
wrong cache
wrong cache nosuch
wrong cache show
wrong image
wrong image nosuch
wrong image show
wrong man nosuchverb
wrong completions csh
wrong keep

run launch nosuchprogram-brood
[ $status = 127 ] && grep -q 'not found' "$folder/err"
ok $? "launch of what is not there: 127, as shells have it"
run launch /etc/passwd
[ $status = 126 ]
ok $? "launch of what may not be executed: 126"
run launch /
[ $status = 126 ]
ok $? "launch of a folder: 126"
# shellcheck disable=SC2016
printf '#!/bin/sh\nprintf "%%s," "$0" "$@"; exit 7\n' >"$folder/script"
chmod +x "$folder/script"
run launch --report "$folder/report" "$folder/script" --help -- 'a b' ''
[ $status = 7 ] &&
	[ "$(cat "$folder/out")" = "$folder/script,--help,--,a b,," ] &&
	[ ! -s "$folder/err" ]
ok $? "a script: its own status, its arguments as they are"
cp "$folder/report" "$folder/out"
is_json && grep -q '"way":"exec"' "$folder/out"
ok $? "and the report tells that it was executed"
run launch --verbose "$folder/script"
grep -q '^brood: started cold: ' "$folder/err"
ok $? "--verbose tells why"
run serve "$folder/script"
[ $status = 111 ] && [ "$(wc -l <"$folder/err")" = 1 ]
ok $? "serve of a script: 111 and one line"
run serve nosuchprogram-brood
[ $status = 111 ]
ok $? "serve of what is not there: 111"
key=0123456789abcdef
programs=$XDG_CACHE_HOME/brood/programs
mkdir -m 700 "${programs%/*}" "$programs" "$programs/$key"
printf 'brood-spec=2\0' >"$programs/$key/spec"
run keep --ready-fd 1 $key
[ $status = 111 ] && grep -q 'spec: not of version 1' "$folder/out"
ok $? "a keeper tells who waits that it cannot read its spec"
rm -r "${programs%/*}"
run stop nosuchtemplate
[ $status = 111 ]
ok $? "stop of no template: 111"
run stop --all
[ $status = 0 ]
ok $? "stop --all with nothing there is fine"

for words in "ps --json" "top --json" "cache ls --json" "image ls --json" "doctor --json" "doctor --json --all"; do
	# shellcheck disable=SC2086
	run $words
	is_json
	ok $? "brood $words is JSON"
done
run top
[ $status = 0 ]
ok $? "top into a pipe ends by itself"
run doctor
{ [ $status = 0 ] || [ $status = 111 ]; } &&
	grep -q kernel "$folder/out" && grep -q ptrace "$folder/out"
ok $? "doctor looks and ends"
if command -v qemu-system-x86_64 >/dev/null; then
	grep -Eq '^(ok|less) *QEMU *[0-9.]+, /.*kvm: ' "$folder/out"
	ok $? "doctor tells which QEMU, and why with or without KVM"
else
	skip "doctor on QEMU" "no qemu-system-x86_64"
fi
BROOD_QEMU=/nowhere/qemu run doctor
grep -q '^less *QEMU *BROOD_QEMU: /nowhere/qemu: No such' "$folder/out"
ok $? "doctor tells that there is no such QEMU"
run doctor --all
grep -Eq '^(ok *domains *VM walls: |less *domains *process walls, )' \
	"$folder/out" && grep -q '^ok *domain CPU' "$folder/out"
ok $? "doctor tells which walls domains have"
BROOD_KVM=/dev/null run doctor
grep -q '^less *domains *process walls, as kvm: /dev/null is no KVM' \
	"$folder/out" && grep -q -- '-> unset BROOD_KVM' "$folder/out"
ok $? "doctor tells what keeps them from being a VM's"
XDG_CACHE_HOME=/proc/nowhere run doctor
[ $status = 111 ] && grep -q '^missing *cache' "$folder/out"
ok $? "doctor finds a cache folder that cannot be"

for verb in "" $verbs; do
	if ! command -v mandoc >/dev/null; then
		skip "page of brood $verb" "no mandoc"
		continue
	fi
	# shellcheck disable=SC2086
	run man $verb
	cp "$folder/out" "$folder/page.1"
	mandoc -T lint -W warning "$folder/page.1" >"$folder/err" 2>&1
	[ $status = 0 ] && [ ! -s "$folder/err" ]
	ok $? "page of brood $verb"
done
run completions
bash -n "$folder/out" 2>"$folder/err"
ok $? "completions are bash"
# shellcheck disable=SC1091,SC2034
(
	set -e
	source "$folder/out"
	COMP_WORDS=(brood serve --refresh-l) COMP_CWORD=2
	_brood
	[ "${COMPREPLY[*]}" = --refresh-launches ]
	COMP_WORDS=(brood launch --via h) COMP_CWORD=3
	_brood
	[ "${COMPREPLY[*]}" = hatch ]
	COMP_WORDS=(brood unwr) COMP_CWORD=1
	_brood
	[ "${COMPREPLY[*]}" = unwrap ]
) 2>"$folder/err"
ok $? "completions know verbs, options and their words"
if command -v zsh >/dev/null; then
	run completions zsh
	cp "$folder/out" "$folder/_brood"
	# In a shell that somebody types into; -r waits for what it is given.
	cat >"$folder/type" <<-'END'
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell "cd $1; fpath=($1 \$fpath); autoload -U compinit"
		zpty -w shell "compinit -D -u; print rea""dy"
		zpty -r shell text "*ready*"
		zpty -w -n shell "brood launch --via h"$'\t'
		zpty -r shell text "*via hatch*"
		zpty -d shell
		print completed
	END
	HOME=$folder timeout 60 zsh -f "$folder/type" "$folder" \
		>"$folder/out" 2>"$folder/err" </dev/null
	zsh -n "$folder/_brood" && grep -q completed "$folder/out"
	ok $? "completions are zsh, and know the options' words"
else
	skip "completions of zsh" "no zsh"
fi
if command -v fish >/dev/null; then
	run completions fish
	# shellcheck disable=SC2016
	HOME=$folder timeout 60 fish -c 'source $argv[1]
		complete -C "brood launch --via h"
		complete -C "brood unwr"' "$folder/out" \
		>"$folder/fish" 2>"$folder/err" </dev/null
	[ ! -s "$folder/err" ] &&
		[ "$(cut -f 1 "$folder/fish" | tr '\n' ' ')" = 'hatch unwrap ' ]
	ok $? "completions are fish, and know the options' words"
else
	skip "completions of fish" "no fish"
fi

# Stubs: ours are replaced and removed, other files never.
program=$(command -v ld || command -v ls)
name=${program##*/}
stubs=$folder/stubs
if [ -x "$BUILD/brood-hatch" ]; then
	mkdir "$stubs"
	echo mine >"$stubs/$name"
	run wrap --dir "$stubs" "$program"
	[ $status = 111 ] && [ "$(cat "$stubs/$name")" = mine ]
	ok $? "wrap leaves a file alone that is not its own"
	rm "$stubs/$name"
	run wrap --dir "$stubs" "$name"
	[ $status = 0 ] && [ -x "$stubs/$name" ] &&
		[ -L "$stubs/.brood/$name" ] &&
		[ -f "$(readlink "$stubs/.brood/$name")" ] &&
		grep -q "export PATH=\"$stubs:" "$folder/out"
	ok $? "wrap puts a stub and tells the PATH line"
	PATH=$stubs:$PATH run wrap --dir "$stubs" "$name"
	[ $status = 0 ] && ! grep -q export "$folder/out" &&
		[ "$(ls "$stubs")" = "$name" ]
	ok $? "wrapping again finds the program behind the stub"
	run wrap --dir "$stubs" nosuchprogram-brood
	[ $status = 111 ]
	ok $? "wrap of what is not there: 111"
	run unwrap --dir "$stubs" nosuchstub
	[ $status = 111 ]
	ok $? "unwrap of what is no stub: 111"
	run unwrap --dir "$stubs" --all
	[ $status = 0 ] && [ -z "$(find "$stubs" ! -type d)" ]
	ok $? "unwrap --all leaves nothing"
else
	skip "stubs" "no brood-hatch"
fi
# ---- words of others ----------------------------------------------------------

for word in $'a\e[2Jb' $'a\x7fb' $'a\xc2\x9b2Jb' $'a\nbrood: b'; do
	run machine exec "$word" -- true
	[ $status = 111 ] && [ "$(wc -l <"$folder/err")" = 1 ] &&
		! LC_ALL=C grep -q $'[\x01-\x1f\x7f\x9b]' "$folder/err"
	ok $? "no word of others steers the terminal: $(printf %q "$word")"
done

# ---- systemd units ------------------------------------------------------------

units_hold() { # the units of packaging/, as they would be for /usr/bin/clang
	local unit name files=()
	mkdir -p "$folder/units"
	for unit in "$here"/../../packaging/*@.*; do
		name=$(basename "$unit")
		cp "$unit" "$folder/units/$name"
		cp "$unit" "$folder/units/${name/@/@usr-bin-clang}"
		files+=("$folder/units/${name/@/@usr-bin-clang}")
	done
	timeout 60 systemd-analyze --user --man=no verify "${files[@]}" \
		>"$folder/out" 2>"$folder/err" && [ ! -s "$folder/err" ]
}

if command -v systemd-analyze >/dev/null; then
	units_hold
	ok $? "the systemd units hold"
	sed -n 's/^ExecStart=[^ ]* brood \([^%]*\)--.*/\1/p' \
		"$here"/../../packaging/brood@.service >"$folder/words"
	read -r -a words <"$folder/words"
	# shellcheck disable=SC2154
	run "${words[@]}" --help
	[ $status = 0 ] && [ ${#words[@]} -gt 1 ]
	ok $? "brood knows what the unit runs: ${words[*]}"
else
	skip "the systemd units" "no systemd-analyze here"
fi
echo "1..$count"
[ $failed = 0 ]
