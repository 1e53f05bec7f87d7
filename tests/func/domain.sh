#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# brood run --in domain does what brood run does: the tests of brood run and
# of WASI again, with all of their programs in domains, compiled and
# interpreted, with KVM and without.
# timeout: 600
# beside others
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

# ---- what those do not ask --------------------------------------------------

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder/difference" | head -20
	fi
}

run_here() { # PLACE COMMAND...
	local place=$1
	shift
	timeout 60 "$@" >"$folder/$place.out" 2>"$folder/$place.err" </dev/null
	echo $? >"$folder/$place.status"
}

# Output, words and status are those of a process.
same() { # BROOD WHAT WORD...
	local brood=$1 what=$2 file
	shift 2
	run_here process "$real" run "${via[@]}" "$@"
	run_here domain "$folder/$brood" run "$@"
	for file in out err status; do
		diff "$folder/process.$file" "$folder/domain.$file"
	done >"$folder/difference" 2>&1
	[ ! -s "$folder/difference" ]
	ok $? "$what, $brood"
}

same_init() { # BROOD
	local cache=$folder/cache.$1
	for turn in made kept; do
		run_here domain "$folder/$1" run --cache "$cache" \
			--init init --invoke get "$here/init.wat"
		cat "$folder"/domain.{out,err,status} >"$folder/difference"
		tail -2 "$folder/difference" | cmp -s - <(printf '47\n0\n')
		ok $? "--init, $turn, $1"
	done
	same "$1" "--init without a cache" --cache off --init init \
		--invoke get "$here/init.wat"
	same "$1" "an --init that is not there" --init none --invoke get \
		"$here/init.wat"
	same "$1" "--init and a function that is not there" --cache off \
		--init init --invoke none "$here/init.wat"
}

# A signal ends it, in the guest and while it waits.
ends_by() { # BROOD SIGNAL FUNCTION
	local pid status
	: >"$folder/wait.out"
	env --default-signal=INT "$folder/$1" run --invoke "$3" \
		"$folder/wait.wat" >"$folder/wait.out" 2>&1 </dev/null &
	pid=$!
	for _ in $(seq 400); do
		[ -s "$folder/wait.out" ] && break
		sleep 0.05
	done
	kill -s "$2" $pid
	wait $pid 2>/dev/null
	status=$?
	echo "status $status" >"$folder/difference"
	[ $status = $((128 + $(kill -l "$2"))) ]
	ok $? "SIG$2 ends it ($3), $1"
}

cat >"$folder/wait.wat" <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1 1 shared)
  (data (i32.const 80) "ready\n")
  (func $ready
    (i32.store (i32.const 0) (i32.const 80))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 60))))
  (func (export "spin") (call $ready) (loop (br 0)))
  (func (export "wait") (call $ready)
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 80)
      (i64.const -1))))
  (func (export "sleep") (call $ready)
    (i64.store (i32.const 8) (i64.const 0))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 60000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1)
      (i32.const 128)))))
END

more() { # BROOD
	local name signal
	same_init "$1"
	for name in spin wait sleep; do
		for signal in INT TERM; do
			ends_by "$1" $signal $name
		done
		same "$1" "--timeout in $name" --timeout 300ms --invoke $name \
			"$folder/wait.wat"
		[ "$(cat "$folder/domain.status")" = 124 ]
		ok $? "and it is 124, $1"
	done
}

all() { # NAME WORDS WITHOUT
	local via=()
	read -ra via <<<"$2"
	make_brood "$@"
	again "$1" run
	again "$1" wasi
	more "$1"
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
