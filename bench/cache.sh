#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiled code, and the cache of it, against their goals and against others.
# What can be set, and what is told, is said in cache.py.
# shellcheck source=bench/kernels.sh
. "$(dirname "$0")/kernels.sh"

sqlite=(-w -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION
	-DSQLITE_OMIT_WAL -DSQLITE_TEMP_STORE=3)
wasi=(--target=wasm32-wasi -mbulk-memory -msign-ext -mnontrapping-fptoint
	"-Wl,--strip-all")
for part in MMAN GETPID SIGNAL PROCESS_CLOCKS; do
	library=${part,,}
	wasi+=("-D_WASI_EMULATED_$part" "-lwasi-emulated-${library//_/-}")
done

# build_sql OUT FLAGS...
build_sql() {
	local out=$1
	shift
	[ "$out" -nt "$here/programs/sql.c" ] &&
		[ "$out" -nt "$here/cache.sh" ] || rm -f "$out"
	build "$out" "$SQLITE_SOURCE/sqlite3.c" "$here/programs/sql.c" -O2 \
		-I"$SQLITE_SOURCE" "${sqlite[@]}" "$@"
}

if [ -n "${SQLITE_SOURCE:-}" ]; then
	build_sql "$to/start/sql" "${native[@]}" -lm
	[ -n "${SQLITE:-}" ] || {
		build_sql "$to/start/sql.wasm" "${wasi[@]}"
		export SQLITE="$to/start/sql.wasm"
	}
	export SQLITE_NATIVE="$to/start/sql"
fi
PROGRAMS="$here/programs" python3 "$here/cache.py" "$@"
