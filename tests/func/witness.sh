#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs whose constructors do what cannot be copied start cold, with the
# reason told; and every launch prints what a plain start prints.
# timeout: 180
here=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$here/../../build}" && pwd)
BROOD=${BROOD:-$BUILD/brood}
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-witness.XXXXXX") || exit 1
export HOME=$folder/home XDG_CACHE_HOME=$folder/cache
export XDG_RUNTIME_DIR=$folder/run XDG_DATA_HOME=$folder/data
export BROOD_SHIM_PATH=$BUILD WITNESS_FILE=$folder/word
mkdir -m 700 "$HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR" "$XDG_DATA_HOME"
trap 'timeout 30 "$BROOD" stop --all >/dev/null 2>&1; rm -rf "$folder"' EXIT
count=0 failed=0

ok() { # STATUS WORDS [DETAIL]
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		echo "$3" | sed 's/^/# /'
	fi
}

same() { # PROGRAM WORDS
	local plain warm
	plain=$("$1" a b </dev/null 2>&1)
	warm=$(timeout 30 "$BROOD" launch "$1" a b </dev/null 2>&1)
	[ "$plain" = "$warm" ]
	ok $? "$2" "plain: $plain
launched: $warm"
}

reason() { # NAME WORDS
	local program=$BUILD/tests/programs/witness_$1 said
	said=$(timeout 30 "$BROOD" serve --explain "$program" 2>&1)
	grep -qF -- "$2" <<<"$said"
	ok $? "$1: the reason is told: $2" "$said"
	timeout 30 "$BROOD" serve "$program" >/dev/null 2>&1
	same "$program" "$1: a launch prints what a plain start does"
}

reason status "reads /proc/self/stat"
reason pid "asks for its process id"
reason timer "sets a timer"
reason thread "starts a thread or process by itself"
reason descriptor "keeps descriptor 3 open: /etc/passwd"
reason shared "shares memory"
reason argv "keeps its arguments (argv)"

program=$BUILD/tests/programs/witness_plain
said=$(timeout 30 "$BROOD" serve "$program" 2>&1)
ok $? "harmless calls are served" "$said"
same "$program" "plain: a launch prints what a plain start does"

program=$BUILD/tests/programs/witness_file
echo one >"$WITNESS_FILE"
said=$(timeout 30 "$BROOD" serve --env "WITNESS_FILE=$WITNESS_FILE" "$program" 2>&1)
ok $? "a program that reads a file is served" "$said"
same "$program" "file: as it was"
echo another >"$WITNESS_FILE"
same "$program" "file: changed"
rm "$WITNESS_FILE"
same "$program" "file: gone"

program=$BUILD/tests/programs/witness_locale
said=$(timeout 30 "$BROOD" serve "$program" 2>&1)
ok $? "a program that takes the locale over is served" "$said"
same "$program" "locale: as it was"
export BROOD_REPORT=$folder/report
LC_ALL='' LANG=C LC_CTYPE=C.UTF-8 same "$program" "locale: mixed"
LC_ALL=C same "$program" "locale: C"
TZ=EST5 same "$program" "locale: another time zone"
grep -q '"reason":"TZ is another"' "$BROOD_REPORT"
ok $? "locale: the reason is told" "$(cat "$BROOD_REPORT")"
: >"$BROOD_REPORT"
same "$program" "locale: as it was, again"
grep -qE '"way":"(clone|hatch)"' "$BROOD_REPORT"
ok $? "locale: is warm" "$(cat "$BROOD_REPORT")"
unset BROOD_REPORT

# The loader finds a library in the first folder, and from then on only tries
# to open others in it.
program=$BUILD/tests/programs/witness_library
mkdir "$folder/early" "$folder/late"
cp "$BUILD/tests/programs/libgreeting.so" "$folder/early/libfirst.so"
cp "$(ldd "$program" | awk '$1 == "libc.so.6" { print $3 }')" "$folder/early"
cp "$BUILD/tests/programs/libgreeting.so" "$folder/late"
export LD_LIBRARY_PATH=$folder/early:$folder/late
said=$(timeout 30 "$BROOD" serve --env "LD_LIBRARY_PATH=$LD_LIBRARY_PATH" "$program" 2>&1)
ok $? "a program that loads libraries is served" "$said"
same "$program" "library: as it was"
sed s/hello/howdy/ "$folder/late/libgreeting.so" >"$folder/early/libgreeting.so"
same "$program" "library: another, in a folder that is searched earlier"
unset LD_LIBRARY_PATH

# A library that is written over in place after its text was read, before the
# stop; one of the day after tomorrow.
cp "$BUILD/tests/programs/witness_slow" "$BUILD/tests/programs/libgreeting.so" "$folder"
timeout 30 "$BROOD" serve "$folder/witness_slow" >"$folder/said" 2>&1 &
sleep 0.4
sed s/hello/howdy/ "$BUILD/tests/programs/libgreeting.so" |
	dd of="$folder/libgreeting.so" conv=notrunc status=none
wait $!
ok $? "a program whose library changes at the start is served" "$(cat "$folder/said")"
same "$folder/witness_slow" "library: changed during the start"
touch -d '2 days' "$folder/libgreeting.so"
said=$(timeout 30 "$BROOD" serve "$folder/witness_slow" 2>&1)
ok $? "a library of the future is served" "$said"
same "$folder/witness_slow" "library: of the future"

echo "1..$count"
exit $((failed > 0))
