#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood run --in domain does what brood run does: the tests of brood run and
# of WASI again, with all of their programs in domains, compiled and
# interpreted, with KVM and without.
# timeout: 600
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
real=$(realpath "${BROOD:-$BUILD/brood}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-domain.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
count=0 failed=0

# A brood whose programs run in domains, with WORDS, without what WITHOUT names.
make_brood() { # NAME WORDS WITHOUT
	cat >"$folder/$1" <<-END
		#!/bin/sh
		[ "\$1" = run ] || exec "$real" "\$@"
		shift
		without=$3\${BROOD_WITHOUT:+,\$BROOD_WITHOUT}
		BROOD_WITHOUT=\$without exec "$real" run --in domain $2 "\$@"
	END
	chmod +x "$folder/$1"
}

# The lines of a test, numbered on.
pass_on() { # NAME TEST
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			count=$((count + 1))
			[ "${line%% *}" = ok ] || failed=$((failed + 1))
			echo "${line%%ok *}ok $count - $2, $1: ${line#*- }"
			;;
		1..*) ended=1 ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$folder/out"
}

again() { # NAME TEST
	local ended=0
	BROOD=$folder/$1 timeout 200 "$here/$2.sh" </dev/null >"$folder/out" 2>&1
	pass_on "$1" "$2"
	[ $ended = 1 ] && return
	count=$((count + 1)) failed=$((failed + 1))
	echo "not ok $count - $2, $1: it did not come to its end"
}

all() { # NAME WORDS WITHOUT
	make_brood "$@"
	again "$1" run
	again "$1" wasi
}

# Nothing is skipped but for want of KVM.
echo '(module (func (export "_start")))' >"$folder/one.wat"
if "$real" run --in domain --require-kvm "$folder/one.wat" \
	>"$folder/said" 2>&1 || ! grep -q 'no KVM: ' "$folder/said"; then
	all compiled "" ""
	all interpreted "--via interp" ""
else
	count=$((count + 1))
	echo "ok $count - domains # SKIP $(head -1 "$folder/said")"
fi
if BROOD_WITHOUT=kvm "$real" run --in domain "$folder/one.wat" \
	>/dev/null 2>&1; then
	all without_kvm "" kvm
	all without_kvm_interpreted "--via interp" kvm
else
	count=$((count + 1))
	echo "ok $count - domains without KVM # SKIP there are none"
fi
echo "1..$count"
[ $failed = 0 ]
